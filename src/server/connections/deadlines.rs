//! How long a connection may keep the server waiting.
//!
//! The task of a connection serves it and looks here when nothing moves; what serves it notes
//! what it waits for. No timer is set for a request that comes at once.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits::pace::ReceivePace;

/// How long a connection is kept without a request: longer than proxies keep theirs (60 seconds
/// in nginx), so that none of them sends a request on one that is just being closed.
const IDLE: Duration = Duration::from_secs(90);
/// How long a client may take nothing of an answer.
const STUCK: Duration = Duration::from_secs(30);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The next request, of which nothing has come.
    Request,
    /// The rest of the head of a request.
    Head,
    /// More of a body.
    Body,
    /// Nothing of the client.
    Nothing,
}

/// See the module.
pub(super) struct Patience {
    request: Duration,
    state: Mutex<State>,
}

struct State {
    wait: Wait,
    /// When it has taken too long.
    due: Option<Instant>,
    /// Since when nothing of an answer is taken.
    stuck: Option<Instant>,
}

impl Patience {
    /// The first request is to come within `request` of `accepted`, and each later one as soon
    /// after its first byte.
    pub(super) fn new(accepted: Instant, request: Duration) -> Patience {
        let state = State {
            wait: Wait::Head,
            due: Some(accepted + request),
            stuck: None,
        };
        Patience {
            request,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// Something has come.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.wait == Wait::Request {
            state.wait = Wait::Head;
            state.due = Some(Instant::now() + self.request);
        }
    }

    /// The answer to a request has left.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.wait = Wait::Request;
        state.due = Some(Instant::now() + IDLE);
    }

    /// The client has done its part for now.
    pub(super) fn satisfied(&self) {
        let mut state = self.state();
        state.wait = Wait::Nothing;
        state.due = None;
    }

    fn wait_for_body(&self, until: Instant) {
        let mut state = self.state();
        state.wait = Wait::Body;
        state.due = Some(until);
    }

    /// The client takes nothing of an answer, or does again.
    pub(super) fn stuck(&self, stuck: bool) {
        let mut state = self.state();
        match (stuck, state.stuck) {
            (true, None) => state.stuck = Some(Instant::now()),
            (false, Some(_)) => state.stuck = None,
            _ => {}
        }
    }

    /// What is waited for, and how long.
    fn due(&self) -> (Wait, Option<Instant>) {
        let state = self.state();
        let stuck = state.stuck.map(|since| since + STUCK);
        match (state.due, stuck) {
            (Some(due), Some(stuck)) if stuck < due => (Wait::Nothing, Some(stuck)),
            (None, Some(stuck)) => (Wait::Nothing, Some(stuck)),
            (due, _) => (state.wait, due),
        }
    }
}

/// Ends when what a [`Patience`] waits for has taken too long. It is to be polled whenever the
/// connection has been.
pub(super) struct TooLate(Pin<Box<Sleep>>);

impl TooLate {
    pub(super) fn new(patience: &Patience) -> TooLate {
        let due = patience.due().1.unwrap_or_else(Instant::now);
        TooLate(Box::pin(tokio::time::sleep_until(due)))
    }

    pub(super) fn poll(&mut self, patience: &Patience, cx: &mut Context<'_>) -> Poll<Wait> {
        loop {
            let (wait, Some(due)) = patience.due() else {
                return Poll::Pending;
            };
            // A timer that ends too early costs less than one that is set anew each time.
            if self.0.is_elapsed() || due < self.0.deadline() {
                self.0.as_mut().reset(due);
            }
            ready!(self.0.as_mut().poll(cx));
            if due <= self.0.deadline() {
                return Poll::Ready(wait);
            }
        }
    }
}

/// How long a body may still take.
pub(super) struct BodyTime {
    pace: ReceivePace,
    waits: bool,
}

impl BodyTime {
    pub(super) fn new(patience: &Patience) -> BodyTime {
        BodyTime {
            pace: ReceivePace::new(patience.request),
            waits: false,
        }
    }

    /// More of the body has to be waited for.
    pub(super) fn wait(&mut self, patience: &Patience) {
        self.waits = true;
        patience.wait_for_body(self.pace.wait());
    }

    /// So much of it has come.
    pub(super) fn came(&mut self, bytes: usize, patience: &Patience) {
        self.pace.received(bytes);
        if std::mem::take(&mut self.waits) {
            patience.satisfied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LIMIT: Duration = Duration::from_secs(8);

    fn start() -> (Arc<Patience>, Instant) {
        let now = Instant::now();
        (Arc::new(Patience::new(now, LIMIT)), now)
    }

    async fn too_late(patience: &Patience) -> Wait {
        let mut late = TooLate::new(patience);
        std::future::poll_fn(|cx| late.poll(patience, cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_a_kept_connection_another() {
        let (patience, begin) = start();
        assert_eq!(too_late(&patience).await, Wait::Head);
        assert_eq!(begin.elapsed(), LIMIT);
        patience.answered();
        let begin = Instant::now();
        assert_eq!(too_late(&patience).await, Wait::Request);
        // nginx closes what it keeps after 60 seconds, and needs a while for that.
        assert!(IDLE >= Duration::from_secs(75));
        assert_eq!(begin.elapsed(), IDLE);
        patience.answered();
        patience.heard();
        let begin = Instant::now();
        assert_eq!(too_late(&patience).await, Wait::Head);
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_set_for_later_is_not_waited_for() {
        let (patience, begin) = start();
        patience.answered();
        let mut late = TooLate::new(&patience);
        let mut turn = 0;
        let wait = std::future::poll_fn(|cx| {
            let polled = late.poll(&patience, cx);
            if turn == 0 {
                patience.heard();
                cx.waker().wake_by_ref();
            }
            turn += 1;
            polled
        });
        assert_eq!(wait.await, Wait::Head);
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_as_long_as_it_comes_at_a_pace() {
        let (patience, _) = start();
        let mut time = BodyTime::new(&patience);
        for _ in 0..100 {
            time.wait(&patience);
            tokio::time::advance(Duration::from_secs(1)).await;
            time.came(64 << 10, &patience);
            assert_eq!(patience.due().1, None);
        }
        for _ in 0..7 {
            time.wait(&patience);
            tokio::time::advance(Duration::from_secs(1)).await;
            time.came(1, &patience);
        }
        time.wait(&patience);
        let begin = Instant::now();
        assert_eq!(too_late(&patience).await, Wait::Body);
        assert!(begin.elapsed() <= Duration::from_millis(1_002));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_not_kept_for_ever() {
        let (patience, begin) = start();
        patience.satisfied();
        patience.stuck(true);
        tokio::time::advance(Duration::from_secs(20)).await;
        patience.stuck(false);
        patience.stuck(true);
        assert_eq!(too_late(&patience).await, Wait::Nothing);
        assert_eq!(begin.elapsed(), Duration::from_secs(20) + STUCK);
    }
}
