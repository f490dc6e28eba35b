//! The caller of a route: the key that the request showed, and where it comes from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;

use crate::access::{Access, Denied, Grant, RequestSource};
use crate::message::Topic;

/// The caller. The guard of a route puts it into each request that it lets through.
#[derive(Clone)]
pub(in crate::http) struct Caller {
    pub(in crate::http) access: Access,
    pub(in crate::http) grant: Arc<Grant>,
    pub(in crate::http) place: RequestSource,
}

impl Caller {
    /// Checks that the key still holds and is for this topic: reading the body may have taken long.
    pub(in crate::http) fn may_use(&self, topic: &Topic) -> Result<(), Denied> {
        let holds = self.grant.holds();
        self.told(holds.and_then(|()| self.grant.may_use(topic)))
    }

    /// Checks that the key still holds and is for this topic, or for all topics if none is given.
    pub(in crate::http) fn may_ask(&self, topic: Option<&Topic>) -> Result<(), Denied> {
        let holds = self.grant.holds();
        self.told(holds.and_then(|()| self.grant.may_ask(topic)))
    }

    /// The result of `work`, or the refusal if the key ends first.
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

    /// The name of the key. Places are shared by it.
    pub(in crate::http) fn key(&self) -> &str {
        self.grant.name()
    }

    /// Whether a list may show this topic.
    pub(in crate::http) fn sees(&self, topic: &Topic) -> bool {
        self.grant.topics().has(topic)
    }

    /// Whether the key is for all topics.
    pub(in crate::http) fn sees_all(&self) -> bool {
        self.grant.topics().are_all()
    }

    /// The same answer. A denial is logged.
    pub(in crate::http) fn told(&self, answer: Result<(), Denied>) -> Result<(), Denied> {
        if let Err(denied) = &answer {
            self.access.tell_denied(&self.grant, &self.place, denied);
        }
        answer
    }

    /// Writes to the audit what the caller took without changing anything; at most once a second.
    pub(in crate::http) fn took(&self, what: fmt::Arguments<'_>) {
        self.access.tell_taken(&self.grant, &self.place, what);
    }

    /// Writes to the audit what the caller did, with topics and codes but without data.
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

/// The address that a request comes from; 0.0.0.0 without a socket.
pub(in crate::http) fn address(request: &Request) -> IpAddr {
    match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => address.ip().to_canonical(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    }
}
