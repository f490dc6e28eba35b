//! What the holder of a key may do, and until when.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::access::listed_key::{ListedKey, SECRET_KEY};
use crate::access::rights::{Right, Rights};
use crate::message::{Topic, UnixSeconds};
use crate::patterns::Topics;

/// What the holder of a key may do. It can end at any time: ask [`Grant::holds`] before using it.
#[derive(Debug)]
pub struct Grant {
    name: String,
    rights: Rights,
    topics: Topics,
    expires: Option<UnixSeconds>,
    ended: CancellationToken,
    end: OnceLock<End>,
}

/// Why a grant has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The key was taken out of the file, or was changed.
    Revoked,
    /// The key has expired.
    Expired,
}

/// Why the holder of a valid key may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The key lacks the required right.
    #[error("the key {key} has not the right {right}")]
    Right {
        /// Its name.
        key: String,
        /// What it lacks.
        right: Right,
    },
    /// The key is for other topics.
    #[error("the key {key} is not for this topic")]
    Topic {
        /// Its name.
        key: String,
    },
    /// The key is for some topics, and none of them was named.
    #[error("the key {key} is for some topics only: name one of them as topic")]
    Unnamed {
        /// Its name.
        key: String,
    },
    /// The key is for some topics, and this is about all.
    #[error("the key {key} is for some topics only, and this is about all")]
    Whole {
        /// Its name.
        key: String,
    },
    /// The key was valid until it expired.
    #[error("the key {key} has expired")]
    Expired {
        /// Its name.
        key: String,
    },
    /// The key was valid until it was revoked or changed.
    #[error("the key {key} was revoked or changed")]
    Revoked {
        /// Its name.
        key: String,
    },
}

/// What a valid key lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A right.
    Right,
    /// A topic, or all of them.
    Topic,
    /// Time: it has expired, or was revoked meanwhile.
    Time,
}

impl Lack {
    /// All of them.
    pub const ALL: [Lack; 3] = [Lack::Right, Lack::Topic, Lack::Time];
}

impl Denied {
    /// What the key lacks.
    pub fn lack(&self) -> Lack {
        match self {
            Denied::Right { .. } => Lack::Right,
            Denied::Topic { .. } | Denied::Unnamed { .. } | Denied::Whole { .. } => Lack::Topic,
            Denied::Expired { .. } | Denied::Revoked { .. } => Lack::Time,
        }
    }

    /// The denial for a grant that has ended.
    pub(super) fn ended(grant: &Grant, why: End) -> Denied {
        let key = grant.name.clone();
        match why {
            End::Revoked => Denied::Revoked { key },
            End::Expired => Denied::Expired { key },
        }
    }
}

impl Grant {
    /// The grant of the secret key: everything, for ever.
    pub(crate) fn of_secret_key() -> Grant {
        Grant {
            name: SECRET_KEY.to_owned(),
            rights: Rights::of(&Right::ALL),
            topics: Topics::all(),
            expires: None,
            ended: CancellationToken::new(),
            end: OnceLock::new(),
        }
    }

    /// The grant of a key in the file.
    pub(super) fn of(key: &ListedKey) -> Grant {
        Grant {
            name: key.name.clone(),
            rights: key.rights.clone(),
            topics: key.topics.clone(),
            expires: key.expires,
            ..Grant::of_secret_key()
        }
    }

    /// The name of its key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rights of the key.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The topics that the key is for.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The time at which the key expires.
    pub fn expires(&self) -> Option<UnixSeconds> {
        self.expires
    }

    /// Whether the grant still holds. A key that has just expired is noticed a moment later.
    ///
    /// # Errors
    /// It has ended.
    pub fn holds(&self) -> Result<(), Denied> {
        match self.ended() {
            Some(why) => Err(Denied::ended(self, why)),
            None => Ok(()),
        }
    }

    /// Whether the key has this right.
    ///
    /// # Errors
    /// It lacks the right.
    pub fn may(&self, right: Right) -> Result<(), Denied> {
        match self.rights.has(right) {
            true => Ok(()),
            false => Err(Denied::Right {
                key: self.name.clone(),
                right,
            }),
        }
    }

    /// Whether the key is for this topic.
    ///
    /// # Errors
    /// It is not.
    pub fn may_use(&self, topic: &Topic) -> Result<(), Denied> {
        match self.topics.has(topic) {
            true => Ok(()),
            false => Err(Denied::Topic {
                key: self.name.clone(),
            }),
        }
    }

    /// Whether the key is for what a request asks about: this topic, or all topics if it names none.
    ///
    /// # Errors
    /// It is not.
    pub fn may_ask(&self, topic: Option<&Topic>) -> Result<(), Denied> {
        match topic {
            Some(topic) => self.may_use(topic),
            None if self.topics.are_all() => Ok(()),
            None => Err(Denied::Unnamed {
                key: self.name.clone(),
            }),
        }
    }

    /// Whether the key is for all topics.
    ///
    /// # Errors
    /// It is not.
    pub fn may_use_all(&self) -> Result<(), Denied> {
        match self.topics.are_all() {
            true => Ok(()),
            false => Err(Denied::Whole {
                key: self.name.clone(),
            }),
        }
    }

    /// Why the grant has ended at `now`, if it has.
    pub(super) fn ended_by(&self, now: UnixSeconds) -> Option<End> {
        let is_over = self.is_over(now);
        self.ended().or(is_over.then_some(End::Expired))
    }

    /// Whether the key has expired at `now`.
    pub(super) fn is_over(&self, now: UnixSeconds) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Why the grant has ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Waits for the end of the grant. Safe to cancel.
    pub async fn until_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits for the end of the grant, and returns what its holder is told. Safe to cancel.
    pub async fn until_denied(&self) -> Denied {
        self.until_ended().await;
        Denied::ended(self, self.ended().unwrap_or(End::Revoked))
    }

    /// Ends the grant; `false` if it had ended before.
    pub(super) fn end(&self, why: End) -> bool {
        let first = self.end.set(why).is_ok();
        self.ended.cancel();
        first
    }
}
