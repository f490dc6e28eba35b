//! What a client asks to be let in to.

use std::net::IpAddr;

use crate::access::{Denied, Grant, RequestSource, Right};
use crate::broker::{ClientInfo, Role};
use crate::clock::Clock;
use crate::message::Topic;

/// The right that a key needs for a session.
pub const fn right(role: Role) -> Right {
    match role {
        Role::Consumer => Right::Consume,
        Role::Producer => Right::Publish,
    }
}

/// What a client asks to be let in to, and as whom.
#[derive(Clone, Debug)]
pub struct LoginScope {
    /// What it does.
    pub role: Role,
    /// Its topic.
    pub topic: Topic,
    /// The name that it gives itself.
    pub id: String,
    /// Where it connects from.
    pub address: IpAddr,
    /// The path of the route that it asked for, with the names of its parameters.
    pub path: &'static str,
}

impl LoginScope {
    /// Where the client presents its key.
    pub(super) fn place(&self) -> RequestSource {
        RequestSource {
            address: self.address,
            method: "GET",
            path: self.path,
        }
    }

    /// Whether a grant is good for this.
    pub(super) fn admit(&self, grant: &Grant) -> Result<(), Denied> {
        grant.may(right(self.role))?;
        grant.may_use(&self.topic)
    }

    /// The client, which logs in now with this grant.
    pub(super) fn client(self, grant: &Grant, clock: &Clock) -> ClientInfo {
        ClientInfo {
            id: self.id,
            topic: self.topic,
            ip: self.address,
            since: clock.now(),
            key: grant.name().into(),
        }
    }
}
