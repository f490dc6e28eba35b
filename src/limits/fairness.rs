//! Clients that are not known yet take turns.
//!
//! What such a client makes the server do is little each time, but ten thousand may ask for it
//! at once, and a runtime takes up its tasks in the order in which they become ready: everybody
//! else would wait behind all of them. Here they wait for each other instead, and after each few
//! of them whoever else is ready comes first.
//!
//! `server/` has connections pass until their first request is there, `ws/` sessions until the
//! client has logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::ready;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Turns that are taken before others come first, for each thread of the runtime. Fewer cost
/// strangers their pace, more cost the others theirs.
const TURNS_PER_WORKER: usize = 2;

/// See the module. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Turnstile {
    turns: Arc<Semaphore>,
    taken: UnboundedSender<OwnedSemaphorePermit>,
}

/// One turn; it is over when this is dropped.
#[derive(Debug)]
pub struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    taken: UnboundedSender<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            // It fails only where the runtime ends.
            let _ = self.taken.send(permit);
        }
    }
}

/// A client that is not known at first; clones are for the same client.
#[derive(Clone, Debug)]
pub struct Stranger {
    turnstile: Turnstile,
    is_known: Arc<AtomicBool>,
}

impl Turnstile {
    /// One for the clients that `runtime` serves.
    pub fn new(runtime: &Handle) -> Turnstile {
        let at_once = TURNS_PER_WORKER * runtime.metrics().num_workers();
        let (taken, passed) = mpsc::unbounded_channel();
        runtime.spawn(give_back(passed, at_once));
        Turnstile {
            turns: Arc::new(Semaphore::new(at_once)),
            taken,
        }
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Turn {
        let permit = self.turns.clone().acquire_owned().await;
        self.begin(permit.expect("nobody closes it"))
    }

    /// A client that has just come.
    pub fn stranger(&self) -> Stranger {
        Stranger {
            turnstile: self.clone(),
            is_known: Arc::default(),
        }
    }

    fn begin(&self, permit: OwnedSemaphorePermit) -> Turn {
        Turn {
            permit: Some(permit),
            taken: self.taken.clone(),
        }
    }
}

impl Stranger {
    /// From now on the client waits for nobody.
    pub fn welcome(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// `task`, each step of which waits for a turn as long as the client is not known.
    pub fn pass<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        let mut waits = Some((
            PollSemaphore::new(self.turnstile.turns.clone()),
            self.clone(),
        ));
        let mut task = Box::pin(task);
        std::future::poll_fn(move |cx| {
            if let Some((_, stranger)) = &waits
                && stranger.is_known.load(Ordering::Relaxed)
            {
                waits = None;
            }
            let _turn = match &mut waits {
                None => None,
                Some((turns, stranger)) => {
                    let permit = ready!(turns.poll_acquire(cx));
                    Some(stranger.turnstile.begin(permit.expect("nobody closes it")))
                }
            };
            task.as_mut().poll(cx)
        })
    }
}

/// Gives turns back, when everybody who was ready at their end has been served.
async fn give_back(mut passed: UnboundedReceiver<OwnedSemaphorePermit>, at_once: usize) {
    let mut turns = Vec::with_capacity(at_once);
    while passed.recv_many(&mut turns, at_once).await > 0 {
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
    async fn most_between(known: bool) -> usize {
        const CLIENTS: usize = 100;
        const STEPS_EACH: usize = 10;
        let (steps, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let turnstile = Turnstile::new(&Handle::current());
        let tasks = LocalSet::new();
        for _ in 0..CLIENTS {
            let client = turnstile.stranger();
            if known {
                client.welcome();
            }
            let steps = steps.clone();
            tasks.spawn_local(client.pass(async move {
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
    async fn strangers_let_others_go_first() {
        let most = most_between(false).await;
        assert!(most <= 2 * TURNS_PER_WORKER, "{most}");
        let most = most_between(true).await;
        assert!(most >= 50, "{most}: the test sees the difference");
    }

    #[tokio::test]
    async fn who_is_known_waits_for_nobody() {
        let turnstile = Turnstile::new(&Handle::current());
        let mut turns = vec![];
        while let Some(turn) = turnstile.turn().now_or_never() {
            turns.push(turn);
        }
        assert_eq!(turns.len(), TURNS_PER_WORKER);
        let (known, stranger) = (turnstile.stranger(), turnstile.stranger());
        known.welcome();
        assert!(known.pass(async {}).now_or_never().is_some());
        let mut waits = Box::pin(stranger.pass(async {}));
        assert!(waits.as_mut().now_or_never().is_none());
        turns.pop();
        waits.await;
        // One that becomes known meanwhile.
        let mut waits = Box::pin(stranger.pass(async {}));
        while turnstile
            .turn()
            .now_or_never()
            .map(|turn| turns.push(turn))
            .is_some()
        {}
        assert!(waits.as_mut().now_or_never().is_none());
        stranger.welcome();
        assert!(waits.now_or_never().is_some());
    }
}
