//! How long a client may keep the server waiting.
//!
//! What serves a connection tells its [`Deadlines`] what the client has to do next. The task of
//! the connection polls [`Expired`] when nothing else moves. A request that comes at once sets
//! no timer.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits::pace::ReceivePace;

/// A connection without a request is kept this long: longer than proxies keep theirs (60 seconds
/// in nginx), so that no proxy sends a request on one that the server is just closing.
const IDLE: Duration = Duration::from_secs(90);
/// The client may take none of an answer for this long.
const STUCK: Duration = Duration::from_secs(30);

/// What the server waits for, or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for the first byte of the next request.
    Idle,
    /// It waits for the rest of the head of a request.
    Head,
    /// It waits for more of a body.
    Body,
    /// It answers. Only a client that takes nothing of the answer is late.
    Answer,
}

/// The deadlines of one connection.
pub(super) struct Deadlines {
    request: Duration,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// The end of the phase.
    due: Option<Instant>,
    /// The client has taken nothing of an answer since then.
    stuck: Option<Instant>,
}

impl Deadlines {
    /// The head of the first request is due within `request` of `accepted`, and the head of each
    /// later one within the same time of its first byte.
    pub(super) fn new(accepted: Instant, request: Duration) -> Deadlines {
        let state = State {
            phase: Phase::Head,
            due: Some(accepted + request),
            stuck: None,
        };
        Deadlines {
            request,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// Bytes have come: if the connection was idle, a head has begun.
    pub(super) fn reading_head(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.due = Some(Instant::now() + self.request);
        }
    }

    /// The answer to a request has left.
    pub(super) fn idle(&self) {
        let mut state = self.state();
        state.phase = Phase::Idle;
        state.due = Some(Instant::now() + IDLE);
    }

    /// The client has sent what it had to for now.
    pub(super) fn answering(&self) {
        let mut state = self.state();
        state.phase = Phase::Answer;
        state.due = None;
    }

    fn reading_body(&self, until: Instant) {
        let mut state = self.state();
        state.phase = Phase::Body;
        state.due = Some(until);
    }

    /// A write was tried; `is_stuck` if the client took nothing of it.
    pub(super) fn writing(&self, is_stuck: bool) {
        let mut state = self.state();
        match (is_stuck, state.stuck) {
            (true, None) => state.stuck = Some(Instant::now()),
            (false, Some(_)) => state.stuck = None,
            _ => {}
        }
    }

    /// The phase that ends first, and its end.
    fn due(&self) -> (Phase, Option<Instant>) {
        let state = self.state();
        let stuck = state.stuck.map(|since| since + STUCK);
        match (state.due, stuck) {
            (Some(due), Some(stuck)) if stuck < due => (Phase::Answer, Some(stuck)),
            (None, Some(stuck)) => (Phase::Answer, Some(stuck)),
            (due, _) => (state.phase, due),
        }
    }
}

/// Ends when one of the [`Deadlines`] has passed. It has to be polled each time after the
/// connection was.
pub(super) struct Expired(Pin<Box<Sleep>>);

impl Expired {
    pub(super) fn new(deadlines: &Deadlines) -> Expired {
        let due = deadlines.due().1.unwrap_or_else(Instant::now);
        Expired(Box::pin(tokio::time::sleep_until(due)))
    }

    pub(super) fn poll(&mut self, deadlines: &Deadlines, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let (phase, Some(due)) = deadlines.due() else {
                return Poll::Pending;
            };
            // A timer that ends too early costs less than one that is set again each time.
            if self.0.is_elapsed() || due < self.0.deadline() {
                self.0.as_mut().reset(due);
            }
            ready!(self.0.as_mut().poll(cx));
            if due <= self.0.deadline() {
                return Poll::Ready(phase);
            }
        }
    }
}

/// The deadline of a body, which moves as the body comes.
pub(super) struct BodyDeadline {
    pace: ReceivePace,
    waits: bool,
}

impl BodyDeadline {
    pub(super) fn new(deadlines: &Deadlines) -> BodyDeadline {
        BodyDeadline {
            pace: ReceivePace::new(deadlines.request),
            waits: false,
        }
    }

    /// The server waits for more of the body.
    pub(super) fn wait(&mut self, deadlines: &Deadlines) {
        self.waits = true;
        deadlines.reading_body(self.pace.wait());
    }

    /// `bytes` of the body have come.
    pub(super) fn received(&mut self, bytes: usize, deadlines: &Deadlines) {
        self.pace.received(bytes);
        if std::mem::take(&mut self.waits) {
            deadlines.answering();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LIMIT: Duration = Duration::from_secs(8);

    fn start() -> (Arc<Deadlines>, Instant) {
        let now = Instant::now();
        (Arc::new(Deadlines::new(now, LIMIT)), now)
    }

    async fn expired(deadlines: &Deadlines) -> Phase {
        let mut timer = Expired::new(deadlines);
        std::future::poll_fn(|cx| timer.poll(deadlines, cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_a_kept_connection_another() {
        let (deadlines, begin) = start();
        assert_eq!(expired(&deadlines).await, Phase::Head);
        assert_eq!(begin.elapsed(), LIMIT);
        deadlines.idle();
        let begin = Instant::now();
        assert_eq!(expired(&deadlines).await, Phase::Idle);
        // nginx closes an idle connection after 60 seconds, and needs a while for that.
        assert!(IDLE >= Duration::from_secs(75));
        assert_eq!(begin.elapsed(), IDLE);
        deadlines.idle();
        deadlines.reading_head();
        let begin = Instant::now();
        assert_eq!(expired(&deadlines).await, Phase::Head);
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_does_not_wait_for_the_timer() {
        let (deadlines, begin) = start();
        deadlines.idle();
        let mut timer = Expired::new(&deadlines);
        let mut turn = 0;
        let phase = std::future::poll_fn(|cx| {
            let polled = timer.poll(&deadlines, cx);
            if turn == 0 {
                deadlines.reading_head();
                cx.waker().wake_by_ref();
            }
            turn += 1;
            polled
        });
        assert_eq!(phase.await, Phase::Head);
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_as_long_as_it_comes_at_a_pace() {
        let (deadlines, _) = start();
        let mut body = BodyDeadline::new(&deadlines);
        for _ in 0..100 {
            body.wait(&deadlines);
            tokio::time::advance(Duration::from_secs(1)).await;
            body.received(64 << 10, &deadlines);
            assert_eq!(deadlines.due().1, None);
        }
        for _ in 0..7 {
            body.wait(&deadlines);
            tokio::time::advance(Duration::from_secs(1)).await;
            body.received(1, &deadlines);
        }
        body.wait(&deadlines);
        let begin = Instant::now();
        assert_eq!(expired(&deadlines).await, Phase::Body);
        assert!(begin.elapsed() <= Duration::from_millis(1_002));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_an_answer_is_too_late() {
        let (deadlines, begin) = start();
        deadlines.answering();
        deadlines.writing(true);
        tokio::time::advance(Duration::from_secs(20)).await;
        deadlines.writing(false);
        deadlines.writing(true);
        assert_eq!(expired(&deadlines).await, Phase::Answer);
        assert_eq!(begin.elapsed(), Duration::from_secs(20) + STUCK);
    }
}
