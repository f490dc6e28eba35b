//! What ends a command from outside: Ctrl-C, or SIGTERM.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, caught as long as it exists.
pub(in crate::cli) struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Catches both signals from now on; without it a signal ends the program at once.
    pub(in crate::cli) fn listen() -> anyhow::Result<Interrupt> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Interrupt {
            ctrl_c: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Safe to cancel.
    pub(in crate::cli) async fn next(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
