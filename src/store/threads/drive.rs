//! Drives the writer, the mirror and the snapshot of a
//! [`DiskStore`](crate::store::disk::DiskStore). Each has its own thread. In a simulation, the
//! caller drives them step by step and decides what happens when.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::store::commit::request::Request;
use crate::store::commit::watermarks::Watermarks;
use crate::store::commit::writer::Writer;
use crate::store::error::{IoContext, StoreError};
use crate::store::threads::mirroring::{MirrorThread, Taken};
use crate::store::threads::snapshotting::SnapshotThread;

/// A step of a store that is driven by hand.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The writer serves at most this many requests.
    Write(usize),
    /// The mirror takes what it lacks of the log. The next step writes it.
    Take,
    /// The mirror catches up with the log.
    Mirror,
    /// The snapshot catches up with the log.
    Snapshot,
}

/// The parts that do the work.
pub(in crate::store) struct Engine {
    pub(in crate::store) requests: UnboundedReceiver<Request>,
    pub(in crate::store) writer: Writer,
    pub(in crate::store) mirror: MirrorThread,
    pub(in crate::store) snapshot: SnapshotThread,
}

/// How they are driven.
pub(in crate::store) enum Drive {
    Threads(Threads),
    ByHand(Arc<ByHand>),
    Ended,
}

/// The parts, driven by calls. A step of one may come in the middle of a step of another, as with
/// threads.
pub(in crate::store) struct ByHand {
    writer: Mutex<(UnboundedReceiver<Request>, Writer)>,
    mirror: Mutex<(MirrorThread, Option<Taken>)>,
    snapshot: Mutex<SnapshotThread>,
}

/// One thread for each part.
pub(in crate::store) struct Threads {
    writer: JoinHandle<Result<(), StoreError>>,
    mirror: JoinHandle<Result<(), StoreError>>,
    snapshot: JoinHandle<Result<(), StoreError>>,
}

impl Engine {
    /// Starts the threads.
    pub(in crate::store) fn start(self) -> Result<Threads, StoreError> {
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

    pub(in crate::store) fn by_hand(self) -> ByHand {
        ByHand {
            writer: Mutex::new((self.requests, self.writer)),
            mirror: Mutex::new((self.mirror, None)),
            snapshot: Mutex::new(self.snapshot),
        }
    }
}

impl ByHand {
    /// Does one step, unless its part is in the middle of one. Returns the number of requests
    /// served.
    pub(in crate::store) fn work(&self, work: Work) -> Result<usize, StoreError> {
        match work {
            Work::Write(most) => Ok(self.write(most)),
            Work::Take => {
                if let Ok(mut part) = self.mirror.try_lock() {
                    let (mirror, taken) = &mut *part;
                    *taken = taken.take().or_else(|| mirror.take(&mut Instant::now()));
                }
                Ok(0)
            }
            Work::Mirror => {
                let Ok(mut part) = self.mirror.try_lock() else {
                    return Ok(0);
                };
                let (mirror, taken) = &mut *part;
                let taken = taken.take().or_else(|| mirror.take(&mut Instant::now()));
                mirror.put(taken).map(|()| 0)
            }
            Work::Snapshot => match self.snapshot.try_lock() {
                Ok(mut snapshot) => snapshot.step().map(|()| 0),
                Err(_) => Ok(0),
            },
        }
    }

    fn write(&self, most: usize) -> usize {
        let Ok(mut part) = self.writer.try_lock() else {
            return 0;
        };
        let (requests, writer) = &mut *part;
        let mut taken = vec![];
        while taken.len() < most
            && let Ok(request) = requests.try_recv()
        {
            taken.push(request);
        }
        let served = taken.len();
        if served > 0 || writer.has_retry() {
            writer.serve(&mut taken);
        }
        served
    }

    fn close(self) -> Result<(), StoreError> {
        while self.write(usize::MAX) > 0 {}
        let whole = "no step of it has panicked";
        let (_, writer) = self.writer.into_inner().expect(whole);
        let (mirror, taken) = self.mirror.into_inner().expect(whole);
        let mut snapshot = self.snapshot.into_inner().expect(whole);
        let written = writer.end();
        let mirrored = mirror.put(taken).and_then(|()| mirror.end());
        let snapshot = snapshot.step();
        written.and(mirrored).and(snapshot)
    }
}

impl Threads {
    /// Waits until the writer has finished its requests, and then for the other threads.
    fn join(self, watermarks: &Watermarks) -> Result<(), StoreError> {
        let joined = |thread: JoinHandle<Result<(), StoreError>>| {
            thread.join().unwrap_or(Err(StoreError::Closed))
        };
        let written = joined(self.writer);
        watermarks.close();
        let mirrored = joined(self.mirror);
        let snapshot = joined(self.snapshot);
        written.and(mirrored).and(snapshot)
    }
}

impl Drive {
    /// The parts, if they are driven by hand.
    pub(in crate::store) fn by_hand(&self) -> Option<Arc<ByHand>> {
        match self {
            Drive::ByHand(parts) => Some(parts.clone()),
            Drive::Threads(_) | Drive::Ended => None,
        }
    }

    /// Ends the parts, once the requests before [`Request::Close`] are done.
    pub(in crate::store) fn close(&mut self, watermarks: &Watermarks) -> Result<(), StoreError> {
        match std::mem::replace(self, Drive::Ended) {
            Drive::Threads(threads) => threads.join(watermarks),
            Drive::ByHand(parts) => match Arc::try_unwrap(parts) {
                Ok(parts) => parts.close(),
                Err(_) => Err(StoreError::Closed),
            },
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
