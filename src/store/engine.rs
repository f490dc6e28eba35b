//! What works behind a [`DiskStore`](super::DiskStore): the writer, the mirror and the
//! snapshot. Each has a thread of its own, or all are driven step by step by hand, so that a
//! simulation decides what happens when.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use super::error::{IoContext, StoreError};
use super::keeper::{Keeper, MirrorThread, SnapshotThread};
use super::writer::{Request, Writer};

/// A step of a store that is driven by hand.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The writer serves at most so many requests.
    Write(usize),
    /// The mirror catches up with the log.
    Mirror,
    /// The snapshot catches up with the log.
    Snapshot,
}

/// The parts that work.
pub(super) struct Engine {
    pub(super) requests: UnboundedReceiver<Request>,
    pub(super) writer: Writer,
    pub(super) mirror: MirrorThread,
    pub(super) snapshot: SnapshotThread,
}

/// How they are driven.
pub(super) enum Drive {
    Threads(Threads),
    ByHand(Box<Engine>),
    Ended,
}

/// A thread for each.
pub(super) struct Threads {
    writer: JoinHandle<Result<(), StoreError>>,
    mirror: JoinHandle<Result<(), StoreError>>,
    snapshot: JoinHandle<Result<(), StoreError>>,
}

impl Engine {
    /// Starts the threads.
    pub(super) fn start(self) -> Result<Threads, StoreError> {
        let Engine {
            requests,
            writer,
            mirror,
            snapshot,
        } = self;
        Ok(Threads {
            writer: spawn("dpmq-writer", move || writer.run(requests))?,
            mirror: spawn("dpmq-mirror", move || mirror.run())?,
            snapshot: spawn("dpmq-snapshot", move || snapshot.run())?,
        })
    }

    /// Does one step; says how many requests were served.
    fn work(&mut self, work: Work) -> Result<usize, StoreError> {
        match work {
            Work::Write(most) => {
                let mut taken = vec![];
                while taken.len() < most
                    && let Ok(request) = self.requests.try_recv()
                {
                    taken.push(request);
                }
                let served = taken.len();
                if served > 0 || self.writer.carries() {
                    self.writer.serve(&mut taken);
                }
                Ok(served)
            }
            Work::Mirror => self.mirror.step(&mut Instant::now()).map(|()| 0),
            Work::Snapshot => self.snapshot.step().map(|()| 0),
        }
    }

    fn close(mut self) -> Result<(), StoreError> {
        while self.work(Work::Write(usize::MAX))? > 0 {}
        let written = self.writer.end();
        let mirrored = self.mirror.end();
        let snapshot = self.snapshot.step();
        written.and(mirrored).and(snapshot)
    }
}

impl Threads {
    /// Waits until the writer has done what it was asked, and then for the others.
    fn join(self, keeper: &Keeper) -> Result<(), StoreError> {
        let joined = |thread: JoinHandle<Result<(), StoreError>>| {
            thread.join().unwrap_or(Err(StoreError::Closed))
        };
        let written = joined(self.writer);
        keeper.close();
        let mirrored = joined(self.mirror);
        let snapshot = joined(self.snapshot);
        written.and(mirrored).and(snapshot)
    }
}

impl Drive {
    pub(super) fn is_by_hand(&self) -> bool {
        matches!(self, Drive::ByHand(_))
    }

    /// Does one step by hand; a store with threads is not to be asked.
    pub(super) fn work(&mut self, work: Work) -> Result<usize, StoreError> {
        match self {
            Drive::ByHand(engine) => engine.work(work),
            Drive::Threads(_) | Drive::Ended => Err(StoreError::Closed),
        }
    }

    /// Ends what works, once it has done what it was asked before [`Request::Close`].
    pub(super) fn close(&mut self, keeper: &Keeper) -> Result<(), StoreError> {
        match std::mem::replace(self, Drive::Ended) {
            Drive::Threads(threads) => threads.join(keeper),
            Drive::ByHand(engine) => engine.close(),
            Drive::Ended => Ok(()),
        }
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> Result<JoinHandle<Result<(), StoreError>>, StoreError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .doing("start a thread for", Path::new(name))
}
