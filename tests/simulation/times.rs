//! The time that really passes, what the clock says of it, and what may expire by either: the
//! clock is set while the broker runs, and is far ahead for one start.

use dpmq::message::UnixSeconds;

use crate::common_store::NOON;

/// A clock that is put right by so much is taken for slow, each time; and a second each for what
/// is counted in whole seconds.
const UNSEEN_SECONDS: i64 = 60 + 2;

/// When a message was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    life: u64,
    /// When it really was; `None` if a crash came before anybody was told.
    at_ms: Option<u64>,
    /// So many seconds ahead of that it is dated.
    ahead: i64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// How much time has really passed.
    ms: u64,
    /// So many seconds ahead of it the clock is …
    set: i64,
    /// … and so many more in this life, which is more than messages are old.
    far: i64,
    /// It has been far ahead.
    was_far: bool,
    /// The most that it was ahead by `set` …
    most: i64,
    /// … and before this life.
    most_before: i64,
    life: u64,
    /// When this life began.
    began_ms: u64,
    /// How often the clock was set in this life.
    settings: i64,
    /// For how long messages are kept, where they are not for ever.
    keep_ms: Option<u64>,
}

impl Times {
    /// Another life begins; in it the clock is ahead by `far` seconds more.
    pub(crate) fn begin(&mut self, far: i64) {
        self.life += 1;
        self.began_ms = self.ms;
        self.most_before = self.most;
        self.settings = 0;
        self.far = far;
        self.was_far |= far > 0;
    }

    /// Whether the clock was far ahead, in this life or before.
    pub(crate) fn was_far(&self) -> bool {
        self.was_far
    }

    pub(crate) fn keep(&mut self, seconds: Option<u64>) {
        self.keep_ms = seconds.map(|seconds| seconds * 1000);
    }

    /// For how long messages are kept, where they are not for ever.
    pub(crate) fn kept_ms(&self) -> Option<u64> {
        self.keep_ms
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.ms += ms;
    }

    /// The clock is set by so many seconds.
    pub(crate) fn set(&mut self, seconds: i64) {
        self.set += seconds;
        self.most = self.most.max(self.set);
        self.settings += 1;
    }

    fn seconds(&self) -> i64 {
        i64::from(NOON.0) + i64::try_from(self.ms / 1000).unwrap()
    }

    /// What the clock says.
    pub(crate) fn clock(&self) -> UnixSeconds {
        UnixSeconds(u32::try_from(self.seconds() + self.set + self.far).unwrap())
    }

    /// A message that is dated so is stored now. One that was on its way while the clock was set
    /// back may have a time before.
    pub(crate) fn stored(&self, created: UnixSeconds) -> Stored {
        let ahead = i64::from(created.0) - i64::from(self.clock().0);
        let set_back = self.most - self.set;
        assert!(
            (0..=60 + set_back).contains(&ahead),
            "dated {ahead} s ahead, set back by {set_back} s"
        );
        Stored {
            life: self.life,
            at_ms: Some(self.ms),
            ahead: i64::from(created.0) - self.seconds(),
        }
    }

    /// A message of which nobody knows when it was stored.
    pub(crate) fn stored_sometime(&self) -> Stored {
        Stored {
            life: self.life,
            at_ms: None,
            ahead: 0,
        }
    }

    /// Whether a message is old enough to expire, as far as the broker can tell: in the life in
    /// which the clock was set it knows that, and later only if that was by far.
    pub(crate) fn may_expire(&self, stored: &Stored) -> bool {
        let (Some(keep_ms), Some(at_ms)) = (self.keep_ms, stored.at_ms) else {
            return true;
        };
        let unknown = match stored.life == self.life {
            true => 0,
            false => (self.most_before - stored.ahead).max(0),
        };
        let unseen = UNSEEN_SECONDS * self.settings + 2;
        let unseen_ms = u64::try_from(unknown + unseen).unwrap() * 1000;
        self.ms - at_ms + unseen_ms >= keep_ms
    }

    /// Whether a message has been there in this life for as long as messages are kept.
    pub(crate) fn was_kept(&self, stored: &Stored) -> bool {
        let since_ms = stored.at_ms.unwrap_or(0).max(self.began_ms);
        self.keep_ms
            .is_some_and(|keep_ms| self.ms - since_ms >= keep_ms)
    }
}
