//! Packs requests into proposals.

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::message::MessageCode;
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::commit::order::{Proposal, Proposed};
use crate::store::commit::request::Request;
use crate::store::committed::Hold;
use crate::store::error::StoreError;

/// What a range of sequences counts in the size of a group.
const SPAN_BYTES: usize = 16;
/// The data in one group. More waits for the next group, so that early messages get their answer
/// early.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Requests that are proposed together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) proposal: Proposal,
    pub(super) callers: Callers,
    bytes: usize,
}

/// Who waits for a proposal to be stored.
#[derive(Default)]
pub(super) struct Callers {
    pub(super) appends: Vec<Append>,
    pub(super) changes: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// One request with messages: who waits for its answer, the number of its messages, and what is
/// held until then.
pub(super) type Append = (
    oneshot::Sender<Result<Vec<MessageCode>, StoreError>>,
    usize,
    Option<Box<dyn Hold>>,
);

/// Turns requests into the data of a proposal.
pub(crate) struct Proposer {
    clock: Clock,
    /// Goes into message codes: the upper half is random, the lower half counts.
    id_counter: u128,
}

impl Proposer {
    /// One whose codes differ from those of any other.
    pub(crate) fn new(clock: Clock) -> Proposer {
        let random = getrandom::u64().expect("the system gives random numbers");
        Proposer {
            clock,
            id_counter: u128::from(random) << 64,
        }
    }

    /// Adds a request to a group. An expiry needs a group of its own.
    pub(super) fn add(&mut self, group: &mut Group, request: Request) {
        match request {
            Request::Append { drafts, hold, done } => {
                group.callers.appends.push((done, drafts.len(), hold));
                let now = self.clock.now();
                for draft in drafts {
                    group.bytes += draft.data.len();
                    self.id_counter = self.id_counter.wrapping_add(1);
                    group.proposal.messages.push(Proposed {
                        digest: draft.digest(now, self.id_counter),
                        topic: draft.topic,
                        data: draft.data,
                    });
                }
            }
            Request::Change {
                change,
                sequences,
                done,
            } => {
                group.change(change, sequences);
                group.callers.changes.push(done);
            }
            Request::Expire { cutoff, also, done } => {
                group.proposal.expire = Some(cutoff);
                group.change(Change::Deleted, also);
                group.callers.changes.push(done);
            }
            Request::Probe | Request::Ordered | Request::Close => {}
        }
    }
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.proposal.is_empty() && self.callers.is_empty()
    }

    /// Whether it is to be proposed before anything is added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES_MAX || self.proposal.expire.is_some()
    }

    /// A group that begins with outcomes that could not be written before.
    pub(super) fn of_outcomes(changes: Vec<(Change, SequenceSet)>) -> Group {
        Group {
            proposal: Proposal {
                changes,
                ..Proposal::default()
            },
            ..Group::default()
        }
    }

    fn change(&mut self, change: Change, sequences: SequenceSet) {
        self.bytes += sequences.spans().len() * SPAN_BYTES;
        let begin = sequences.spans().first().map_or(0, |span| span.first);
        match self.proposal.changes.last_mut() {
            // Anything else would have to be sorted in, again for every request.
            Some((last, set))
                if *last == change && set.spans().last().is_none_or(|s| s.end() <= begin) =>
            {
                for span in sequences.spans() {
                    set.insert_span(*span);
                }
            }
            _ => self.proposal.changes.push((change, sequences)),
        }
    }
}

impl Callers {
    /// Takes those who wait for changes alone.
    pub(super) fn take_changes(&mut self) -> Callers {
        Callers {
            changes: std::mem::take(&mut self.changes),
            ..Callers::default()
        }
    }

    /// Tells everybody that it is stored. `codes` are those of all messages, in their order.
    pub(super) fn answer(self, codes: Vec<MessageCode>) {
        // A caller that no longer waits does not need the answer.
        let mut codes = codes.into_iter();
        let mut holds = Vec::with_capacity(self.appends.len());
        for (done, len, hold) in self.appends {
            let _ = done.send(Ok(codes.by_ref().take(len).collect()));
            holds.extend(hold);
        }
        for done in self.changes {
            let _ = done.send(Ok(()));
        }
        // Nobody waits for these.
        for hold in holds {
            hold.stored();
        }
    }

    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.changes.is_empty()
    }

    /// Tells everybody that nothing was stored.
    pub(super) fn refuse(self, error: &StoreError) {
        for (done, _, hold) in self.appends {
            drop(hold);
            let _ = done.send(Err(error.clone()));
        }
        for done in self.changes {
            let _ = done.send(Err(error.clone()));
        }
    }
}
