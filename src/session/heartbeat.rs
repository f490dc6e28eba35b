//! Whether a client is still there, and how long the session waits for one that takes nothing.
//!
//! Most clients do not read while they handle a message, and so answer no ping for minutes. The
//! system at their end answers for them: it acknowledges what it is sent, or at least that its
//! buffer is full. So the server asks its own system ([`Line::signs`]), and a client has gone when
//! its end owes an acknowledgement for too long. Pings make sure that it always owes some.
//!
//! Where the system does not tell, a client has gone when it is silent for two pings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::ends::{Cause, SessionEnd};
use crate::connection::line::{Line, Signs};

/// How long the other end may owe an acknowledgement.
const SILENT_MAX: Duration = Duration::from_secs(25);
/// How often the system must have tried again by then: maybe nothing was sent.
const TRIES_MIN: u8 = 2;
/// The time between two looks at a client that takes nothing, or owes an acknowledgement.
const LOOK: Duration = Duration::from_secs(5);
/// How long a client may take nothing while others wait for the memory that it keeps.
const IN_THE_WAY_MAX: Duration = Duration::from_secs(30);
/// Pings that may stay unanswered where the system does not tell.
const UNANSWERED_MAX: u32 = 2;

/// What a look at a client tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is there.
    Well,
    /// Look again after this time.
    Doubtful(Duration),
    Gone,
}

/// Judges a client that has owed something for `owing` at most.
fn judge(signs: &Signs, owing: Duration) -> Verdict {
    let silent = signs.silent.min(owing);
    if !signs.is_owing || silent < LOOK {
        Verdict::Well
    } else if silent < SILENT_MAX {
        Verdict::Doubtful(SILENT_MAX - silent)
    } else if signs.tries < TRIES_MIN {
        Verdict::Doubtful(LOOK)
    } else {
        Verdict::Gone
    }
}

/// What a client that takes nothing costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Burden {
    /// More may wait for it.
    None,
    /// As much waits for it as the limits allow.
    Full,
    /// It keeps memory that others wait for.
    InTheWay,
}

/// Looks at the other end of a line.
pub(super) struct Vigil {
    ask: Box<dyn Fn() -> Option<Signs> + Send>,
    /// Since when the other end has owed an acknowledgement, and what it had acknowledged then.
    owing: Option<(Instant, u64)>,
}

impl Vigil {
    pub(super) fn new(line: &Line) -> Vigil {
        let line = line.clone();
        Vigil {
            ask: Box::new(move || line.signs()),
            owing: None,
        }
    }

    /// `None`: the system does not tell.
    fn look(&mut self) -> Option<(Signs, Verdict)> {
        let (signs, now) = ((self.ask)()?, Instant::now());
        // If it has acknowledged more since, what it owes now was sent later.
        let is_known = |(_, acknowledged): &(_, u64)| *acknowledged == signs.acknowledged;
        let known = self.owing.filter(is_known);
        let (since, _) = *self
            .owing
            .insert(known.unwrap_or((now, signs.acknowledged)));
        if !signs.is_owing {
            self.owing = None;
        }
        Some((signs, judge(&signs, now - since)))
    }

    /// The other end is sent something now.
    fn send(&mut self, signs: &Signs) {
        let now = (Instant::now(), signs.acknowledged);
        self.owing.get_or_insert(now);
    }

    /// Waits for a client that takes nothing of what is written to it, and returns why the wait
    /// is over: the client has gone, or has taken nothing for `patience` while what waits for it
    /// is full, or for [`IN_THE_WAY_MAX`] while it is in the way of others.
    pub(super) async fn run_out(
        &mut self,
        patience: Duration,
        burden: impl Fn() -> Burden,
    ) -> SessionEnd {
        let (mut taken, mut since) = (None, Instant::now());
        loop {
            let rest = patience.saturating_sub(since.elapsed());
            sleep(if rest.is_zero() { LOOK } else { rest.min(LOOK) }).await;
            let looked = self.look();
            match looked {
                Some((_, Verdict::Gone)) => return unacknowledged(),
                Some((signs, _)) if signs.has_ended => return SessionEnd::ByClient,
                Some((signs, _)) if taken != Some(signs.acknowledged) => {
                    (taken, since) = (Some(signs.acknowledged), Instant::now());
                }
                _ => {}
            }
            let limit = match burden() {
                Burden::InTheWay => patience.min(IN_THE_WAY_MAX),
                Burden::None if looked.is_some() => continue,
                Burden::None | Burden::Full => patience,
            };
            if since.elapsed() >= limit {
                return nothing_read(limit);
            }
        }
    }
}

/// Signs of life of a client: its connection notes them, its session asks for them. Clones are
/// for the same client.
#[derive(Clone, Default)]
pub struct Liveness(Arc<Signals>);

#[derive(Default)]
struct Signals {
    lately: AtomicBool,
    /// The client has sent pings that the connection reads once the client reads.
    is_waiting: AtomicBool,
}

impl Liveness {
    /// Something has come, or the client has shown otherwise that it is there.
    pub fn note(&self) {
        self.0.lately.store(true, Ordering::Relaxed);
    }

    /// Whether something has come since this was last asked.
    pub fn lately(&self) -> bool {
        self.0.lately.swap(false, Ordering::Relaxed)
    }

    /// Whether the client has sent pings that the connection reads once the client reads.
    pub fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    /// Notes whether pings of the client wait until it reads.
    pub fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::Relaxed);
    }
}

/// When a client is pinged, and whether it is still there.
pub(super) struct Heartbeat {
    /// `None`: the client is never pinged.
    beat: Option<Interval>,
    vigil: Vigil,
    /// When the client is looked at between two pings.
    doubt: Option<Instant>,
    liveness: Liveness,
    /// Whether silence means anything: a client that need not read may never see a ping.
    answers: bool,
    pinged: bool,
    unanswered: u32,
}

impl Heartbeat {
    /// A client that is pinged at this interval, or never.
    pub(super) fn new(
        every: Option<Duration>,
        vigil: Vigil,
        liveness: Liveness,
        answers: bool,
    ) -> Heartbeat {
        let beat = every.map(|every| {
            let mut beat = interval_at(Instant::now() + every, every);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        });
        Heartbeat {
            beat,
            vigil,
            doubt: None,
            liveness,
            answers,
            pinged: false,
            unanswered: 0,
        }
    }

    /// What looks at the client while it takes nothing.
    pub(super) fn vigil(&mut self) -> &mut Vigil {
        &mut self.vigil
    }

    /// The client has shown otherwise than by an answer that it is there.
    pub(super) fn note_sign(&self) {
        self.liveness.note();
    }

    /// A pong has come: the client does answer.
    pub(super) fn answered(&mut self) {
        self.answers = true;
    }

    /// Waits until a ping is due. May be called off.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn ping_due(&mut self) -> Result<(), SessionEnd> {
        let Some(beat) = &mut self.beat else {
            return std::future::pending().await;
        };
        loop {
            let is_due = match self.doubt {
                None => {
                    beat.tick().await;
                    true
                }
                Some(look) => tokio::select! {
                    _ = beat.tick() => true,
                    () = sleep_until(look) => false,
                },
            };
            let Some((signs, verdict)) = self.vigil.look() else {
                self.unanswered = match self.liveness.lately() {
                    true => 0,
                    false => self.unanswered + u32::from(self.pinged),
                };
                if self.answers && self.unanswered >= UNANSWERED_MAX {
                    return Err(unanswered(beat.period() * UNANSWERED_MAX));
                }
                self.pinged = true;
                return Ok(());
            };
            self.doubt = match verdict {
                Verdict::Well => None,
                Verdict::Doubtful(rest) => Some(Instant::now() + rest),
                Verdict::Gone => return Err(unacknowledged()),
            };
            if is_due {
                self.vigil.send(&signs);
                return Ok(());
            }
        }
    }
}

/// The other end acknowledges nothing.
fn unacknowledged() -> SessionEnd {
    let seconds = SILENT_MAX.as_secs();
    let reason = format!("nothing was acknowledged for {seconds} s");
    SessionEnd::by_server(Cause::Silent, reason)
}

fn unanswered(time: Duration) -> SessionEnd {
    let reason = format!("no answer to pings for {} s", time.as_secs_f64());
    SessionEnd::by_server(Cause::Silent, reason)
}

/// The client has taken nothing for this long.
fn nothing_read(time: Duration) -> SessionEnd {
    let reason = format!("nothing was read for {} s", time.as_secs_f64());
    SessionEnd::by_server(Cause::TooSlow, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const EVERY: Duration = Duration::from_secs(25);
    const WELL: Signs = Signs {
        is_owing: false,
        acknowledged: 0,
        silent: Duration::ZERO,
        tries: 0,
        has_ended: false,
    };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_client_that_owes_an_acknowledgement_for_too_long_has_gone() {
        use Verdict::{Doubtful, Gone, Well};
        let owes = |silent, tries| Signs {
            is_owing: true,
            silent: secs(silent),
            tries,
            ..WELL
        };
        for (signs, owing, verdict) in [
            // Idle for an hour, and nothing under way.
            (
                Signs {
                    silent: secs(3600),
                    ..WELL
                },
                0,
                Well,
            ),
            // Idle for an hour, and just sent something.
            (owes(3600, 0), 0, Well),
            (owes(3600, 3), 4, Well),
            // It does not read for an hour, and says all the time that its buffer is full.
            (owes(4, 0), 3600, Well),
            (owes(9, 1), 3600, Doubtful(secs(16))),
            // The network drops some.
            (owes(12, 4), 12, Doubtful(secs(13))),
            // Nothing was sent, so nothing could be acknowledged: the machine was asleep.
            (owes(3600, 0), 3600, Doubtful(LOOK)),
            // Where the system probes it every two minutes, one probe may be lost.
            (owes(125, 1), 3600, Doubtful(LOOK)),
            (owes(25, 2), 25, Gone),
            (owes(3600, 7), 30, Gone),
        ] {
            let judged = judge(&signs, secs(owing));
            assert_eq!(judged, verdict, "{signs:?}, owing for {owing} s");
        }
    }

    /// The other end of a line, which says what a test wants.
    #[derive(Clone, Default)]
    struct Other(Arc<Mutex<Option<Signs>>>);

    impl Other {
        fn is(&self, signs: Signs) {
            *self.0.lock().unwrap() = Some(signs);
        }

        fn vigil(&self) -> Vigil {
            let other = self.clone();
            Vigil {
                ask: Box::new(move || *other.0.lock().unwrap()),
                owing: None,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_no_ping_is_there_as_long_as_its_system_is() {
        let other = Other::default();
        other.is(WELL);
        let mut heartbeat = Heartbeat::new(Some(EVERY), other.vigil(), Liveness::default(), true);
        for beat in 1..=100 {
            other.is(Signs {
                acknowledged: beat,
                ..WELL
            });
            assert_eq!(heartbeat.ping_due().await, Ok(()));
        }
        // The last ping is acknowledged, and then the network is gone.
        let begin = Instant::now();
        other.is(Signs {
            is_owing: true,
            silent: secs(3600),
            acknowledged: 100,
            tries: 5,
            ..WELL
        });
        assert_eq!(heartbeat.ping_due().await, Err(unacknowledged()));
        assert_eq!(begin.elapsed(), SILENT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_known_two_pings_have_to_be_answered() {
        let (liveness, begin) = (Liveness::default(), Instant::now());
        let vigil = Other::default().vigil();
        let mut heartbeat = Heartbeat::new(Some(EVERY), vigil, liveness.clone(), true);
        for _ in 0..10 {
            assert_eq!(heartbeat.ping_due().await, Ok(()));
            liveness.note();
        }
        assert_eq!(heartbeat.ping_due().await, Ok(()));
        assert_eq!(heartbeat.ping_due().await, Ok(()));
        let silent = SessionEnd::by_server(Cause::Silent, "no answer to pings for 50 s");
        assert_eq!(heartbeat.ping_due().await, Err(silent));
        assert_eq!(begin.elapsed(), EVERY * 13);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_need_not_read_may_be_silent_until_it_has_answered() {
        let vigil = Other::default().vigil();
        let mut heartbeat = Heartbeat::new(Some(EVERY), vigil, Liveness::default(), false);
        for _ in 0..100 {
            assert_eq!(heartbeat.ping_due().await, Ok(()));
        }
        heartbeat.answered();
        assert!(heartbeat.ping_due().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_waited_for_until_its_outbox_is_full() {
        const PATIENCE: Duration = Duration::from_secs(600);
        let (other, begin) = (Other::default(), Instant::now());
        let stuck = |acknowledged, silent| Signs {
            is_owing: true,
            acknowledged,
            silent: secs(silent),
            tries: 0,
            has_ended: false,
        };
        other.is(stuck(1, 4));
        let mut vigil = other.vigil();
        let burden = Mutex::new(Burden::None);
        let run_out = vigil.run_out(PATIENCE, || *burden.lock().unwrap());
        let mut run_out = Box::pin(run_out);
        let goes_on = tokio::time::timeout(secs(3600), &mut run_out).await;
        assert!(goes_on.is_err(), "{goes_on:?}");
        // It takes a little, so it reads.
        other.is(stuck(2, 4));
        *burden.lock().unwrap() = Burden::Full;
        let (end, since) = (run_out.as_mut().await, begin.elapsed() - secs(3600));
        drop(run_out);
        let too_slow = |reason| SessionEnd::by_server(Cause::TooSlow, reason);
        assert_eq!(end, too_slow("nothing was read for 600 s"));
        assert!(
            since >= PATIENCE && since <= PATIENCE + 2 * LOOK,
            "{since:?}"
        );

        other.is(Signs {
            tries: 9,
            ..stuck(2, 3600)
        });
        let begin = Instant::now();
        let end = vigil.run_out(PATIENCE, || Burden::None).await;
        assert_eq!(end, unacknowledged());
        assert!(begin.elapsed() <= SILENT_MAX + 2 * LOOK);
        other.is(Signs {
            has_ended: true,
            ..stuck(2, 4)
        });
        assert_eq!(
            vigil.run_out(PATIENCE, || Burden::None).await,
            SessionEnd::ByClient
        );

        // Others wait for the memory of what it does not take.
        other.is(stuck(2, 4));
        let begin = Instant::now();
        let end = vigil.run_out(PATIENCE, || Burden::InTheWay).await;
        assert_eq!(end, too_slow("nothing was read for 30 s"));
        assert!(begin.elapsed() >= IN_THE_WAY_MAX && begin.elapsed() <= IN_THE_WAY_MAX + 2 * LOOK);
    }
}
