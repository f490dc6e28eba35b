//! Orders beside the store's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use dpmq::clock::Clock;
use dpmq::store::{Durability, Order, OrderEntry, OrderOf, Proposal, Wake};

/// How long the order waits for company, and the number of entries after which it does not.
const DELAY: Duration = Duration::from_millis(1);
const BATCH: usize = 8;

/// An order in memory that lets proposals wait for company, as one over a network would.
pub(crate) fn delayed(clock: &Clock) -> OrderOf {
    let clock = clock.clone();
    OrderOf::new(move |wake| Box::new(Delayed::begin(clock.clone(), wake)))
}

struct Delayed {
    proposed: mpsc::Sender<Proposal>,
    ordered: Arc<Mutex<VecDeque<OrderEntry>>>,
}

impl Delayed {
    fn begin(clock: Clock, wake: Wake) -> Delayed {
        let (proposed, proposals) = mpsc::channel::<Proposal>();
        let ordered = Arc::<Mutex<VecDeque<OrderEntry>>>::default();
        let into = ordered.clone();
        thread::spawn(move || {
            while let Ok(first) = proposals.recv() {
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(next) = proposals.recv_timeout(DELAY)
                {
                    batch.push(next);
                }
                let entries = batch.into_iter().map(|proposal| OrderEntry {
                    at: clock.now(),
                    is_own: true,
                    proposal,
                });
                into.lock().unwrap().extend(entries);
                wake.wake();
            }
        });
        Delayed { proposed, ordered }
    }
}

impl Order for Delayed {
    fn propose(&mut self, proposal: Proposal) {
        self.proposed.send(proposal).unwrap();
    }

    fn next(&mut self) -> Option<OrderEntry> {
        self.ordered.lock().unwrap().pop_front()
    }

    fn durability(&self) -> Durability {
        Durability::Order
    }
}

/// An order that several stores follow: each proposes to it, and reads it at its own pace.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Mutex<Ordered>>);

struct Ordered {
    clock: Clock,
    entries: Vec<(usize, OrderEntry)>,
    followers: Vec<Taken>,
}

/// How far a store is.
#[derive(Clone, Default)]
struct Taken {
    entries: usize,
    /// How many it may take.
    most: usize,
    wake: Option<Wake>,
}

impl Tape {
    pub(crate) fn new(clock: &Clock, stores: usize) -> Tape {
        Tape(Arc::new(Mutex::new(Ordered {
            clock: clock.clone(),
            entries: vec![],
            followers: vec![Taken::default(); stores],
        })))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().entries.len()
    }

    /// Store `number` may take the first `entries` entries.
    pub(crate) fn let_take(&self, number: usize, entries: usize) {
        let mut ordered = self.0.lock().unwrap();
        let follower = &mut ordered.followers[number];
        follower.most = entries;
        follower.wake.iter().for_each(Wake::wake);
    }

    /// How many entries store `number` has taken.
    pub(crate) fn taken(&self, number: usize) -> usize {
        self.0.lock().unwrap().followers[number].entries
    }

    /// The order as store `number` has it. What it has taken, it does not take again after a
    /// restart.
    pub(crate) fn of(&self, number: usize) -> OrderOf {
        let tape = self.clone();
        OrderOf::new(move |wake| {
            tape.0.lock().unwrap().followers[number].wake = Some(wake);
            Box::new(Follower {
                tape: tape.clone(),
                number,
            })
        })
    }
}

struct Follower {
    tape: Tape,
    number: usize,
}

impl Order for Follower {
    fn propose(&mut self, proposal: Proposal) {
        let mut ordered = self.tape.0.lock().unwrap();
        let at = ordered.clock.now();
        let at = ordered.entries.last().map_or(at, |last| at.max(last.1.at));
        let entry = OrderEntry {
            at,
            is_own: false,
            proposal,
        };
        ordered.entries.push((self.number, entry));
    }

    fn next(&mut self) -> Option<OrderEntry> {
        let mut ordered = self.tape.0.lock().unwrap();
        let Taken { entries, most, .. } = ordered.followers[self.number];
        let (by, entry) = ordered.entries.get(entries).filter(|_| entries < most)?;
        let entry = OrderEntry {
            is_own: *by == self.number,
            ..entry.clone()
        };
        ordered.followers[self.number].entries += 1;
        Some(entry)
    }

    fn durability(&self) -> Durability {
        Durability::Order
    }
}
