//! Whether a client is still there, and how long one is waited for that takes nothing.
//!
//! Most clients do not read while they handle a message, and so answer no ping for minutes. The
//! system at their end answers for them: it acknowledges what it is sent, or at least that it has
//! no room. So the server asks its own system ([`Line::signs`]), and a client has gone when its
//! end owes an acknowledgement for too long. Pings see to it that it always owes some.
//!
//! Where the system does not tell, a client has gone of which nothing is heard for two pings.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::End;
use super::intake::Heard;
use crate::connection::line::{Line, Signs};

/// How long the other end may owe an acknowledgement.
const SILENT_MAX: Duration = Duration::from_secs(25);
/// How often it must have been tried again by then: it may be that nothing was sent.
const TRIES_MIN: u8 = 2;
/// How often one is looked at that takes nothing, or owes an acknowledgement for so long.
const LOOK: Duration = Duration::from_secs(5);
/// How long a client may take nothing of what others wait for the memory of.
const IN_THE_WAY_MAX: Duration = Duration::from_secs(30);
/// Pings that may be unanswered where the system does not tell.
const UNANSWERED_MAX: u32 = 2;

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    /// It is to be looked at again after so long.
    Doubtful(Duration),
    Gone,
}

/// Judges a client that has owed something for as long as `owing` at most.
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
    /// What waits for it may become more.
    None,
    /// As much waits for it as may.
    Full,
    /// It keeps memory that others wait for.
    InTheWay,
}

/// Looks at the other end of a line.
pub(super) struct Vigil {
    ask: Box<dyn Fn() -> Option<Signs> + Send>,
    /// Since when it has owed an acknowledgement, and what it had acknowledged then.
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
        // What it owes now it may have been sent after it acknowledged the rest.
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

    /// It is sent something now.
    fn send(&mut self, signs: &Signs) {
        let now = (Instant::now(), signs.acknowledged);
        self.owing.get_or_insert(now);
    }

    /// Waits for a client that takes nothing of what is written to it, and says why it is waited
    /// for no longer: it has gone, or has taken nothing for as long as `patience` while what waits
    /// for it is full, or for [`IN_THE_WAY_MAX`] while it is in the way of others.
    pub(super) async fn run_out(&mut self, patience: Duration, burden: impl Fn() -> Burden) -> End {
        let (mut taken, mut since) = (None, Instant::now());
        loop {
            let rest = patience.saturating_sub(since.elapsed());
            sleep(if rest.is_zero() { LOOK } else { rest.min(LOOK) }).await;
            let looked = self.look();
            match looked {
                Some((_, Verdict::Gone)) => return End::unacknowledged(),
                Some((signs, _)) if signs.has_ended => return End::Gone,
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
                return End::nothing_read(limit);
            }
        }
    }
}

/// See the module.
pub(super) struct Health {
    /// `None`: nobody is pinged.
    beat: Option<Interval>,
    vigil: Vigil,
    /// When it is looked at between two pings.
    doubt: Option<Instant>,
    heard: Heard,
    /// Whether silence means anything: a client that has to read nothing may never see a ping.
    answers: bool,
    pinged: bool,
    unanswered: u32,
}

impl Health {
    /// A client that is pinged `every` so often, or never.
    pub(super) fn new(
        every: Option<Duration>,
        vigil: Vigil,
        heard: Heard,
        answers: bool,
    ) -> Health {
        let beat = every.map(|every| {
            let mut beat = interval_at(Instant::now() + every, every);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        });
        Health {
            beat,
            vigil,
            doubt: None,
            heard,
            answers,
            pinged: false,
            unanswered: 0,
        }
    }

    /// What looks at it while it takes nothing.
    pub(super) fn vigil(&mut self) -> &mut Vigil {
        &mut self.vigil
    }

    /// It has shown otherwise than by an answer that it is there.
    pub(super) fn heard(&self) {
        self.heard.note();
    }

    /// A pong has come: it does answer.
    pub(super) fn answered(&mut self) {
        self.answers = true;
    }

    /// Waits until a ping is due. May be called off.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn ping_due(&mut self) -> Result<(), End> {
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
                self.unanswered = match self.heard.lately() {
                    true => 0,
                    false => self.unanswered + u32::from(self.pinged),
                };
                if self.answers && self.unanswered >= UNANSWERED_MAX {
                    return Err(End::unanswered(beat.period() * UNANSWERED_MAX));
                }
                self.pinged = true;
                return Ok(());
            };
            self.doubt = match verdict {
                Verdict::Well => None,
                Verdict::Doubtful(rest) => Some(Instant::now() + rest),
                Verdict::Gone => return Err(End::unacknowledged()),
            };
            if is_due {
                self.vigil.send(&signs);
                return Ok(());
            }
        }
    }
}

impl End {
    /// The other end acknowledges nothing.
    fn unacknowledged() -> End {
        let seconds = SILENT_MAX.as_secs();
        End::Silent(format!("nothing was acknowledged for {seconds} s"))
    }

    fn unanswered(time: Duration) -> End {
        End::Silent(format!("no answer to pings for {} s", time.as_secs_f64()))
    }

    /// The client has taken nothing for so long.
    fn nothing_read(time: Duration) -> End {
        End::TooSlow(format!("nothing was read for {} s", time.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

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
    fn who_owes_an_acknowledgement_for_too_long_has_gone() {
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
            // It does not read for an hour, and says all the time that it has no room.
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

    /// The other end of a line, as a test has it.
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
    async fn who_answers_no_ping_is_there_as_long_as_its_system_is() {
        let other = Other::default();
        other.is(WELL);
        let mut health = Health::new(Some(EVERY), other.vigil(), Heard::default(), true);
        for beat in 1..=100 {
            other.is(Signs {
                acknowledged: beat,
                ..WELL
            });
            assert_eq!(health.ping_due().await, Ok(()));
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
        assert_eq!(health.ping_due().await, Err(End::unacknowledged()));
        assert_eq!(begin.elapsed(), SILENT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_known_two_pings_have_to_be_answered() {
        let (heard, begin) = (Heard::default(), Instant::now());
        let vigil = Other::default().vigil();
        let mut health = Health::new(Some(EVERY), vigil, heard.clone(), true);
        for _ in 0..10 {
            assert_eq!(health.ping_due().await, Ok(()));
            heard.note();
        }
        assert_eq!(health.ping_due().await, Ok(()));
        assert_eq!(health.ping_due().await, Ok(()));
        let reason = "no answer to pings for 50 s".to_owned();
        assert_eq!(health.ping_due().await, Err(End::Silent(reason)));
        assert_eq!(begin.elapsed(), EVERY * 13);
    }

    #[tokio::test(start_paused = true)]
    async fn who_need_not_read_may_be_silent_until_it_has_answered() {
        let vigil = Other::default().vigil();
        let mut health = Health::new(Some(EVERY), vigil, Heard::default(), false);
        for _ in 0..100 {
            assert_eq!(health.ping_due().await, Ok(()));
        }
        health.answered();
        assert!(health.ping_due().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_waited_for_while_there_is_room() {
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
        assert_eq!(end, End::TooSlow("nothing was read for 600 s".into()));
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
        assert_eq!(end, End::unacknowledged());
        assert!(begin.elapsed() <= SILENT_MAX + 2 * LOOK);
        other.is(Signs {
            has_ended: true,
            ..stuck(2, 4)
        });
        assert_eq!(vigil.run_out(PATIENCE, || Burden::None).await, End::Gone);

        // Others wait for the memory of what it does not take.
        other.is(stuck(2, 4));
        let begin = Instant::now();
        let end = vigil.run_out(PATIENCE, || Burden::InTheWay).await;
        assert_eq!(end, End::TooSlow("nothing was read for 30 s".into()));
        assert!(begin.elapsed() >= IN_THE_WAY_MAX && begin.elapsed() <= IN_THE_WAY_MAX + 2 * LOOK);
    }
}
