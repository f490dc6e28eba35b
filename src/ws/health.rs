//! Whether a client is still there: the server pings, and one that lets nothing be heard for
//! two intervals has gone, whatever its socket says.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::End;
use super::intake::Heard;

/// Pings that may be unanswered.
const UNANSWERED_MAX: u32 = 2;

/// See the module.
pub(super) struct Health {
    /// `None`: nobody is pinged.
    beat: Option<Interval>,
    heard: Heard,
    /// Whether silence means anything: a client that has to read nothing may never see a ping.
    answers: bool,
    pinged: bool,
    unanswered: u32,
}

impl Health {
    /// A client that is pinged `every` so often, or never.
    pub(super) fn new(every: Option<Duration>, heard: Heard, answers: bool) -> Health {
        let beat = every.map(|every| {
            let mut beat = interval_at(tokio::time::Instant::now() + every, every);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        });
        Health {
            beat,
            heard,
            answers,
            pinged: false,
            unanswered: 0,
        }
    }

    /// A pong has come: it does answer.
    pub(super) fn answered(&mut self) {
        self.answers = true;
    }

    /// Waits until a ping is due. May be called off.
    ///
    /// # Errors
    /// The client has not answered those before.
    pub(super) async fn ping_due(&mut self) -> Result<(), End> {
        let Some(beat) = &mut self.beat else {
            return std::future::pending().await;
        };
        beat.tick().await;
        self.unanswered = match self.heard.lately() {
            true => 0,
            false => self.unanswered + u32::from(self.pinged),
        };
        if self.answers && self.unanswered >= UNANSWERED_MAX {
            let seconds = beat.period().as_secs_f64() * f64::from(UNANSWERED_MAX);
            return Err(End::Silent(format!("no answer to pings for {seconds} s")));
        }
        self.pinged = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const EVERY: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn who_answers_nothing_for_two_intervals_has_gone() {
        let (heard, begin) = (Heard::default(), Instant::now());
        let mut health = Health::new(Some(EVERY), heard.clone(), true);
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
        let mut health = Health::new(Some(EVERY), Heard::default(), false);
        for _ in 0..100 {
            assert_eq!(health.ping_due().await, Ok(()));
        }
        health.answered();
        assert!(health.ping_due().await.is_err());
    }
}
