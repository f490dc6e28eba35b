//! Clients that have not logged in take turns.
//!
//! Such a client asks for little work each time, but ten thousand may ask at once, and a runtime
//! runs its tasks in the order in which they become ready: everybody else would wait behind all
//! of them. Here they wait for each other instead. After every few of them, each other task that
//! is ready runs first.
//!
//! `server/` throttles a connection until its first request is there, `ws/` a session until its
//! client has logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::ready;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Turns between two rounds of everybody else, for each thread of the runtime. With fewer, logins
/// are slower; with more, the clients that have logged in are.
const TURNS_PER_WORKER: usize = 2;

/// The turns of all clients that have not logged in. Clones share them.
#[derive(Clone, Debug)]
pub struct FairShare {
    turns: Arc<Semaphore>,
    used: UnboundedSender<OwnedSemaphorePermit>,
}

/// One turn; dropping it ends it.
#[derive(Debug)]
pub struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    used: UnboundedSender<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            // It fails only when the runtime ends.
            let _ = self.used.send(permit);
        }
    }
}

/// A client that has not logged in at first. Clones are for the same client.
#[derive(Clone, Debug)]
pub struct Unauthenticated {
    share: FairShare,
    is_authenticated: Arc<AtomicBool>,
}

impl FairShare {
    /// The turns of the clients that `runtime` serves.
    pub fn new(runtime: &Handle) -> FairShare {
        let at_once = TURNS_PER_WORKER * runtime.metrics().num_workers();
        let (used, ended) = mpsc::unbounded_channel();
        runtime.spawn(release(ended, at_once));
        FairShare {
            turns: Arc::new(Semaphore::new(at_once)),
            used,
        }
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Turn {
        let permit = self.turns.clone().acquire_owned().await;
        self.begin(permit.expect("nobody closes it"))
    }

    /// A client that has just connected.
    pub fn unauthenticated(&self) -> Unauthenticated {
        Unauthenticated {
            share: self.clone(),
            is_authenticated: Arc::default(),
        }
    }

    fn begin(&self, permit: OwnedSemaphorePermit) -> Turn {
        Turn {
            permit: Some(permit),
            used: self.used.clone(),
        }
    }
}

impl Unauthenticated {
    /// From now on the tasks of the client take no turns.
    pub fn authenticated(&self) {
        self.is_authenticated.store(true, Ordering::Relaxed);
    }

    /// Wraps `task` so that each of its steps waits for a turn until the client has logged in.
    pub fn throttled<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        let mut waits = Some((PollSemaphore::new(self.share.turns.clone()), self.clone()));
        let mut task = Box::pin(task);
        std::future::poll_fn(move |cx| {
            if let Some((_, client)) = &waits
                && client.is_authenticated.load(Ordering::Relaxed)
            {
                waits = None;
            }
            let _turn = match &mut waits {
                None => None,
                Some((turns, client)) => {
                    let permit = ready!(turns.poll_acquire(cx));
                    Some(client.share.begin(permit.expect("nobody closes it")))
                }
            };
            task.as_mut().poll(cx)
        })
    }
}

/// Releases ended turns after every task that was ready by then has run.
async fn release(mut ended: UnboundedReceiver<OwnedSemaphorePermit>, at_once: usize) {
    let mut turns = Vec::with_capacity(at_once);
    while ended.recv_many(&mut turns, at_once).await > 0 {
        tokio::task::yield_now().await;
        turns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::task::{LocalSet, yield_now};

    /// The most steps that a hundred clients take between two steps of another task.
    async fn most_between(is_authenticated: bool) -> usize {
        const CLIENTS: usize = 100;
        const STEPS_EACH: usize = 10;
        let (steps, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let share = FairShare::new(&Handle::current());
        let tasks = LocalSet::new();
        for _ in 0..CLIENTS {
            let client = share.unauthenticated();
            if is_authenticated {
                client.authenticated();
            }
            let steps = steps.clone();
            tasks.spawn_local(client.throttled(async move {
                for _ in 0..STEPS_EACH {
                    steps.set(steps.get() + 1);
                    yield_now().await;
                }
            }));
        }
        let (counted, found) = (steps.clone(), most.clone());
        tasks.spawn_local(async move {
            let mut before = counted.get();
            while counted.get() < CLIENTS * STEPS_EACH {
                yield_now().await;
                found.set(found.get().max(counted.get() - before));
                before = counted.get();
            }
        });
        tasks.await;
        assert_eq!(steps.get(), CLIENTS * STEPS_EACH);
        most.get()
    }

    #[tokio::test]
    async fn unauthenticated_clients_let_others_go_first() {
        let most = most_between(false).await;
        assert!(most <= 2 * TURNS_PER_WORKER, "{most}");
        let most = most_between(true).await;
        assert!(most >= 50, "{most}: the test sees the difference");
    }

    #[tokio::test]
    async fn an_authenticated_client_waits_for_nobody() {
        let share = FairShare::new(&Handle::current());
        let mut turns = vec![];
        while let Some(turn) = share.turn().now_or_never() {
            turns.push(turn);
        }
        assert_eq!(turns.len(), TURNS_PER_WORKER);
        let (first, second) = (share.unauthenticated(), share.unauthenticated());
        first.authenticated();
        assert!(first.throttled(async {}).now_or_never().is_some());
        let mut waits = Box::pin(second.throttled(async {}));
        assert!(waits.as_mut().now_or_never().is_none());
        turns.pop();
        waits.await;
        // A client that logs in while its task waits.
        let mut waits = Box::pin(second.throttled(async {}));
        while share
            .turn()
            .now_or_never()
            .map(|turn| turns.push(turn))
            .is_some()
        {}
        assert!(waits.as_mut().now_or_never().is_none());
        second.authenticated();
        assert!(waits.now_or_never().is_some());
    }
}
