//! Tells systemd, if it started this process (`Type=notify`, `WatchdogSec=`), when the server is
//! ready, when it stops, and that it is alive. Without systemd nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::broker::Broker;

/// Tells that the server takes and stores messages.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the server reads its configuration again, until it is [`ready`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd is not told of the reload"),
    }
}

/// Tells that the server stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the server is alive, twice in each of its intervals, as long as
/// `broker` stores messages. After its writer has ended this stops, and systemd restarts the
/// server.
pub(super) async fn keep_alive(broker: Broker) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let alive = || tell(&[NotifyState::Watchdog]);
    while_alive(patience / 2, || broker.is_alive(), alive).await;
}

/// Calls `tell` now and each `every`, until `is_alive` is false.
async fn while_alive(every: Duration, is_alive: impl Fn() -> bool, tell: impl Fn()) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.tick().await;
    while is_alive() {
        tell();
        ticks.tick().await;
    }
    tracing::error!("the writer of the store has ended: restart the server");
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how the server is");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_nothing_once_the_writer_has_ended() {
        let told = Cell::new(0);
        let alive = || told.get() < 4;
        let start = tokio::time::Instant::now();
        while_alive(Duration::from_secs(1), alive, || told.set(told.get() + 1)).await;
        assert_eq!((told.get(), start.elapsed().as_secs()), (4, 4));
    }
}
