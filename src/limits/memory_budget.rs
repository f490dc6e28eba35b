//! A bound for the memory of everything large that is under way.
//!
//! One budget is for the requests and frames that clients send, another for the large messages of
//! lists. Small messages are exempt: the connection limit bounds them. A large message reserves
//! its memory as a whole before any is allocated, and waits until there is enough. A request of
//! unknown length reserves more as it grows, at once or not at all, so that no request holds a
//! part while it waits for the rest. `http/`, `ws/` and the lists of the broker reserve here;
//! `server/` releases what a request reserved, with its answer.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages up to this size reserve nothing.
pub const SMALL_BYTES: usize = 64 << 10;
/// The unit that memory is counted in.
const UNIT_BYTES: usize = 1 << 10;

/// A number of bytes that many reserve from. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    /// The number of units, reserved or free.
    total: Arc<Mutex<u32>>,
}

/// Memory that is reserved; dropping it releases it.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

/// The budget is spent for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy with large messages, try again later")]
pub struct Busy;

impl MemoryBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> MemoryBudget {
        let total = units_of_all(bytes);
        MemoryBudget {
            units: Arc::new(Semaphore::new(permits(total))),
            total: Arc::new(Mutex::new(total)),
        }
    }

    /// Makes it a budget of `bytes`. What is reserved beyond that stays reserved until it is
    /// released, and nothing is reserved meanwhile. To be called within a runtime.
    pub fn resize(&self, bytes: usize) {
        let new = units_of_all(bytes);
        let old = std::mem::replace(&mut *self.total(), new);
        match new.checked_sub(old) {
            Some(more) => self.units.add_permits(permits(more)),
            None => {
                let fewer = self.units.clone().acquire_many_owned(old - new);
                tokio::spawn(async move { fewer.await.expect("nobody closes it").forget() });
            }
        }
    }

    /// Whether there are clones of it, each of which may hold a reservation.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.units) > 1
    }

    fn total(&self) -> MutexGuard<'_, u32> {
        self.total.lock().expect("nothing panics while it is held")
    }

    /// Waits until `bytes` are reserved, in the order of the calls. More than the whole budget
    /// gets the whole budget.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let units = units_for(bytes);
        let mut acquiring = None;
        let permit = poll_fn(|cx| {
            // It queues under the lock, so before a resize that makes the budget smaller, and is served
            // before it.
            let total = self.total();
            let acquire = || self.units.clone().acquire_many_owned(units.min(*total));
            let permit = acquiring.get_or_insert_with(|| Box::pin(acquire()));
            permit.as_mut().poll(cx)
        });
        Reservation {
            permit: permit.await.expect("nobody closes it"),
        }
    }

    /// Reserves `bytes`, if so many are free now.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let units = units_for(bytes);
        let permit = self.units.clone().try_acquire_many_owned(units).ok()?;
        Some(Reservation { permit })
    }

    /// Makes `reservation` one of `bytes`, if the rest is free and nobody waits for it.
    fn grow(&self, reservation: &mut Reservation, bytes: usize) -> Result<(), Busy> {
        let held = u32::try_from(reservation.permit.num_permits()).unwrap_or(u32::MAX);
        let needed = units_for(bytes).min(*self.total());
        let more = needed.saturating_sub(held);
        let more = self.units.clone().try_acquire_many_owned(more);
        reservation.permit.merge(more.map_err(|_| Busy)?);
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

/// What one request reserves. Clones are for the same request, and the last one releases it.
#[derive(Clone, Debug)]
pub struct RequestBudget(Arc<OfRequest>);

#[derive(Debug)]
struct OfRequest {
    budget: MemoryBudget,
    reserved: Mutex<Option<Reservation>>,
}

impl RequestBudget {
    /// A request that has reserved nothing yet.
    pub fn new(budget: &MemoryBudget) -> RequestBudget {
        RequestBudget(Arc::new(OfRequest {
            budget: budget.clone(),
            reserved: Mutex::default(),
        }))
    }

    /// Makes the request's reservation one of `bytes`; small requests need none. The first call
    /// waits for the memory, at most `wait`; later ones get it at once or not at all.
    ///
    /// # Errors
    ///
    /// The memory was not free in time.
    pub async fn reserve(&self, bytes: usize, wait: Duration) -> Result<(), Busy> {
        if bytes <= SMALL_BYTES {
            return Ok(());
        }
        if let Some(reservation) = &mut *self.reserved() {
            return self.0.budget.grow(reservation, bytes);
        }
        let reservation = tokio::time::timeout(wait, self.0.budget.reserve(bytes)).await;
        *self.reserved() = Some(reservation.map_err(|_| Busy)?);
        Ok(())
    }

    /// Releases what the request has reserved.
    pub fn release(&self) {
        *self.reserved() = None;
    }

    fn reserved(&self) -> MutexGuard<'_, Option<Reservation>> {
        let reserved = self.0.reserved.lock();
        reserved.expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::Instant;

    const WAIT: Duration = Duration::from_secs(8);

    /// What a request gets without waiting.
    fn reserve(request: &RequestBudget, bytes: usize) -> Option<Result<(), Busy>> {
        tokio::task::unconstrained(request.reserve(bytes, WAIT)).now_or_never()
    }

    #[tokio::test]
    async fn memory_is_released_with_the_request() {
        let budget = MemoryBudget::new(1 << 20);
        let first = RequestBudget::new(&budget);
        assert_eq!(reserve(&first, 1 << 20), Some(Ok(())));
        let second = RequestBudget::new(&budget);
        assert_eq!(reserve(&second, SMALL_BYTES), Some(Ok(())));
        assert_eq!(reserve(&second, SMALL_BYTES + 1), None);
        drop(first);
        assert_eq!(reserve(&second, 1 << 20), Some(Ok(())));
        second.release();
        assert!(budget.reserve(1 << 20).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_not_waited_for_for_ever() {
        let budget = MemoryBudget::new(1 << 20);
        let _all = budget.reserve(1 << 20).await;
        let begin = Instant::now();
        let refused = RequestBudget::new(&budget)
            .reserve(SMALL_BYTES + 1, WAIT)
            .await;
        assert_eq!((refused, begin.elapsed()), (Err(Busy), WAIT));
    }

    #[tokio::test]
    async fn a_reservation_grows_at_once_or_not_at_all() {
        let budget = MemoryBudget::new(1 << 20);
        let growing = RequestBudget::new(&budget);
        assert_eq!(reserve(&growing, 256 << 10), Some(Ok(())));
        let rest = budget.reserve(256 << 10).await;
        assert_eq!(reserve(&growing, 512 << 10), Some(Ok(())));
        assert_eq!(reserve(&growing, 768 << 10), Some(Ok(())));
        assert_eq!(reserve(&growing, 1 << 20), Some(Err(Busy)));
        drop(rest);

        let waiting = RequestBudget::new(&budget);
        let mut waiting = std::pin::pin!(waiting.reserve(1 << 20, WAIT));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(reserve(&growing, 1 << 20), Some(Err(Busy)), "others wait");
        drop(growing);
        assert_eq!(waiting.await, Ok(()));
    }

    #[test]
    fn more_than_the_budget_gets_the_whole_budget() {
        let budget = MemoryBudget::new(1 << 20);
        let all = budget.reserve(usize::MAX).now_or_never();
        assert!(all.is_some());
        assert!(budget.reserve(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_is_reserved_beyond_a_smaller_budget_stays_reserved() {
        let budget = MemoryBudget::new(4 << 20);
        let first = budget.reserve(3 << 20).await;
        let mut queued = Box::pin(budget.reserve(usize::MAX));
        assert!(queued.as_mut().now_or_never().is_none());
        budget.resize(2 << 20);
        let mut next = Box::pin(budget.reserve(usize::MAX));
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        let all_of_before = queued.await;
        tokio::task::yield_now().await;
        assert!(next.as_mut().now_or_never().is_none());
        drop(all_of_before);
        let next = next.await;
        assert_eq!(budget.units.available_permits(), 0, "there are 2 MiB");
        budget.resize(3 << 20);
        let more = budget.reserve(1 << 20).now_or_never();
        assert!(more.is_some());
        drop((more, next));
        assert_eq!(budget.units.available_permits(), 3 << 10);
    }
}
