//! One bound for the memory of all large requests and frames that are under way; another of its
//! kind is for the large messages of lists.
//!
//! Small ones take none of it: there are only so many connections. What is larger takes its
//! room as a whole before it takes memory, and waits until there is some. A request of which
//! nobody knows how large it becomes takes more as it grows, at once or not at all: so nobody
//! has a part and waits for the rest. `http/`, `ws/` and the lists of the broker ask here,
//! `server/` gives the room of a request back with the answer.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What needs no room.
pub const SMALL_BYTES: usize = 64 << 10;
/// What room is counted in.
const UNIT_BYTES: usize = 1 << 10;

/// See the module. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    /// How many there are in all.
    most: Arc<Mutex<u32>>,
}

/// Room that is taken; it is given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    permit: OwnedSemaphorePermit,
}

/// There is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy with large messages, try again later")]
pub struct Busy;

impl Room {
    /// Room for `bytes` in all.
    pub fn new(bytes: usize) -> Room {
        let most = units_of_all(bytes);
        Room {
            units: Arc::new(Semaphore::new(permits(most))),
            most: Arc::new(Mutex::new(most)),
        }
    }

    /// Room for `bytes` in all from now on. What is taken over that stays so until it is given
    /// back; nobody takes any meanwhile. To be called within a runtime.
    pub fn change(&self, bytes: usize) {
        let new = units_of_all(bytes);
        let old = std::mem::replace(&mut *self.most(), new);
        match new.checked_sub(old) {
            Some(more) => self.units.add_permits(permits(more)),
            None => {
                let fewer = self.units.clone().acquire_many_owned(old - new);
                tokio::spawn(async move { fewer.await.expect("nobody closes it").forget() });
            }
        }
    }

    /// Whether others have it too: some of it may be taken.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.units) > 1
    }

    fn most(&self) -> MutexGuard<'_, u32> {
        self.most.lock().expect("nothing panics while it is held")
    }

    /// Waits for room for `bytes`, in the order of asking; what is larger than all of it gets all.
    pub async fn take(&self, bytes: usize) -> Taken {
        let units = units_for(bytes);
        let mut acquiring = None;
        let permit = poll_fn(|cx| {
            // Whoever queues for all of it does so before there is less, and is served before.
            let most = self.most();
            let acquire = || self.units.clone().acquire_many_owned(units.min(*most));
            let permit = acquiring.get_or_insert_with(|| Box::pin(acquire()));
            permit.as_mut().poll(cx)
        });
        Taken {
            permit: permit.await.expect("nobody closes it"),
        }
    }

    /// Room for `bytes`, if there is some now.
    pub fn try_take(&self, bytes: usize) -> Option<Taken> {
        let units = units_for(bytes);
        let permit = self.units.clone().try_acquire_many_owned(units).ok()?;
        Some(Taken { permit })
    }

    /// Makes `taken` room for `bytes` in all, if the rest is free and nobody waits for it.
    fn enlarge(&self, taken: &mut Taken, bytes: usize) -> Result<(), Busy> {
        let has = u32::try_from(taken.permit.num_permits()).unwrap_or(u32::MAX);
        let needed = units_for(bytes).min(*self.most());
        let more = needed.saturating_sub(has);
        let more = self.units.clone().try_acquire_many_owned(more);
        taken.permit.merge(more.map_err(|_| Busy)?);
        Ok(())
    }
}

fn units_for(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

fn units_of_all(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1)
}

fn permits(units: u32) -> usize {
    usize::try_from(units).unwrap_or(usize::MAX)
}

/// The room of one request; clones are for the same request, and the last one gives it back.
#[derive(Clone, Debug)]
pub struct RoomFor(Arc<Request>);

#[derive(Debug)]
struct Request {
    room: Room,
    taken: Mutex<Option<Taken>>,
}

impl RoomFor {
    /// A request that has taken none.
    pub fn new(room: &Room) -> RoomFor {
        RoomFor(Arc::new(Request {
            room: room.clone(),
            taken: Mutex::default(),
        }))
    }

    /// Takes room for `bytes` in all, unless that is little. The first time waits for it, but
    /// not longer than `wait`; a request that has room gets more at once or not at all.
    ///
    /// # Errors
    ///
    /// There was none in time.
    pub async fn take(&self, bytes: usize, wait: Duration) -> Result<(), Busy> {
        if bytes <= SMALL_BYTES {
            return Ok(());
        }
        if let Some(taken) = &mut *self.taken() {
            return self.0.room.enlarge(taken, bytes);
        }
        let taken = tokio::time::timeout(wait, self.0.room.take(bytes)).await;
        *self.taken() = Some(taken.map_err(|_| Busy)?);
        Ok(())
    }

    /// Gives back what was taken.
    pub fn give_back(&self) {
        *self.taken() = None;
    }

    fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
        let taken = self.0.taken.lock();
        taken.expect("nothing panics while it is held")
    }
}

/// A client sends at this pace, or has no time for a rest: what is large takes room from others
/// for as long as it comes.
const BYTES_PER_SECOND: f64 = 64.0 * 1024.0;

/// How long something may still take that a client sends.
#[derive(Debug)]
pub struct Pace {
    most: Duration,
    left: Duration,
    waiting: Option<Instant>,
}

impl Pace {
    /// The client may rest for `most` at a time; what it sends earns it time.
    pub fn new(most: Duration) -> Pace {
        Pace {
            most,
            left: most,
            waiting: None,
        }
    }

    /// More has to be waited for, until the time that is returned.
    pub fn wait(&mut self) -> Instant {
        *self.waiting.get_or_insert_with(Instant::now) + self.left
    }

    /// So much has come.
    pub fn came(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let waited = self
            .waiting
            .take()
            .map_or(Duration::ZERO, |since| since.elapsed());
        self.left = (self.left.saturating_sub(waited) + earned).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const WAIT: Duration = Duration::from_secs(8);

    /// What comes of it at once.
    fn take(request: &RoomFor, bytes: usize) -> Option<Result<(), Busy>> {
        tokio::task::unconstrained(request.take(bytes, WAIT)).now_or_never()
    }

    #[tokio::test]
    async fn room_is_given_back_with_the_request() {
        let room = Room::new(1 << 20);
        let first = RoomFor::new(&room);
        assert_eq!(take(&first, 1 << 20), Some(Ok(())));
        let second = RoomFor::new(&room);
        assert_eq!(take(&second, SMALL_BYTES), Some(Ok(())));
        assert_eq!(take(&second, SMALL_BYTES + 1), None);
        drop(first);
        assert_eq!(take(&second, 1 << 20), Some(Ok(())));
        second.give_back();
        assert!(room.take(1 << 20).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_not_waited_for_for_ever() {
        let room = Room::new(1 << 20);
        let _all = room.take(1 << 20).await;
        let begin = Instant::now();
        let refused = RoomFor::new(&room).take(SMALL_BYTES + 1, WAIT).await;
        assert_eq!((refused, begin.elapsed()), (Err(Busy), WAIT));
    }

    #[tokio::test]
    async fn whoever_has_room_gets_more_at_once_or_not_at_all() {
        let room = Room::new(1 << 20);
        let growing = RoomFor::new(&room);
        assert_eq!(take(&growing, 256 << 10), Some(Ok(())));
        let rest = room.take(256 << 10).await;
        assert_eq!(take(&growing, 512 << 10), Some(Ok(())));
        assert_eq!(take(&growing, 768 << 10), Some(Ok(())));
        assert_eq!(take(&growing, 1 << 20), Some(Err(Busy)));
        drop(rest);

        let waiting = RoomFor::new(&room);
        let mut waiting = std::pin::pin!(waiting.take(1 << 20, WAIT));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(take(&growing, 1 << 20), Some(Err(Busy)), "others wait");
        drop(growing);
        assert_eq!(waiting.await, Ok(()));
    }

    #[test]
    fn what_is_larger_than_all_of_it_gets_all() {
        let room = Room::new(1 << 20);
        let all = room.take(usize::MAX).now_or_never();
        assert!(all.is_some());
        assert!(room.take(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_is_taken_over_less_room_stays_taken() {
        let room = Room::new(4 << 20);
        let first = room.take(3 << 20).await;
        let mut queued = Box::pin(room.take(usize::MAX));
        assert!(queued.as_mut().now_or_never().is_none());
        room.change(2 << 20);
        let mut next = Box::pin(room.take(usize::MAX));
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        let all_of_before = queued.await;
        tokio::task::yield_now().await;
        assert!(next.as_mut().now_or_never().is_none());
        drop(all_of_before);
        let next = next.await;
        assert_eq!(room.units.available_permits(), 0, "there are 2 MiB");
        room.change(3 << 20);
        let more = room.take(1 << 20).now_or_never();
        assert!(more.is_some());
        drop((more, next));
        assert_eq!(room.units.available_permits(), 3 << 10);
    }
}
