//! Who asks: the key that a request has shown, and where it comes from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;

use crate::access::{Access, Denied, Grant, Place};
use crate::message::Topic;

/// Who asks. The guard of a route puts it into each request that it lets through.
#[derive(Clone)]
pub(in crate::http) struct Caller {
    pub(in crate::http) access: Access,
    pub(in crate::http) grant: Arc<Grant>,
    pub(in crate::http) place: Place,
}

impl Caller {
    /// Whether the key is for this topic, still: since it was shown the body may have taken its
    /// time.
    pub(in crate::http) fn may_use(&self, topic: &Topic) -> Result<(), Denied> {
        let holds = self.grant.holds();
        self.told(holds.and_then(|()| self.grant.may_use(topic)))
    }

    /// Whether the key is for what a question is about, still: this topic, or all if none is named.
    pub(in crate::http) fn may_ask(&self, topic: Option<&Topic>) -> Result<(), Denied> {
        let holds = self.grant.holds();
        self.told(holds.and_then(|()| self.grant.may_ask(topic)))
    }

    /// What comes of `work`, unless the key ends before.
    pub(in crate::http) async fn while_it_holds<T, E: From<Denied>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            denied = self.grant.until_denied() => {
                self.access.tell_denied(&self.grant, &self.place, &denied);
                Err(denied.into())
            }
            done = work => done,
        }
    }

    /// The name of the key, by which places are shared.
    pub(in crate::http) fn key(&self) -> &str {
        self.grant.name()
    }

    /// Whether this topic may be shown, in a list that leaves others out.
    pub(in crate::http) fn sees(&self, topic: &Topic) -> bool {
        self.grant.topics().has(topic)
    }

    /// Whether every topic may be shown.
    pub(in crate::http) fn sees_all(&self) -> bool {
        self.grant.topics().are_all()
    }

    /// The same answer, after the log has been told that it is no.
    pub(in crate::http) fn told(&self, answer: Result<(), Denied>) -> Result<(), Denied> {
        if let Err(denied) = &answer {
            self.access.tell_denied(&self.grant, &self.place, denied);
        }
        answer
    }

    /// Writes into the audit what was taken, which changes nothing: the first in a second.
    pub(in crate::http) fn took(&self, what: fmt::Arguments<'_>) {
        self.access.tell_taken(&self.grant, &self.place, what);
    }

    /// Writes into the audit what was done. Topics and codes may be in it, data may not.
    pub(in crate::http) fn did(&self, what: fmt::Arguments<'_>) {
        self.place.tell(&self.grant, what);
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>().cloned();
        Ok(caller.expect("only routes that need a key ask who it is"))
    }
}

/// The address that a request comes from; 0.0.0.0 if it did not come over a socket.
pub(in crate::http) fn address(request: &Request) -> IpAddr {
    match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => address.ip().to_canonical(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    }
}
