//! A consumer: reads as fast as it can, and checks everything.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::figures::{Gauge, Latencies};
use super::ledger::{Ledger, Owed, Verdict};
use super::link::Link;
use super::payload::Pattern;
use super::schedule::Clock;

/// What each producer's messages have become, once all producers have ended.
pub(super) type Settled = watch::Receiver<Option<Arc<[Owed]>>>;

/// A consumer that is logged in.
pub(super) struct Consumer {
    pub(super) link: Link,
    pub(super) pattern: Arc<Pattern>,
    pub(super) clock: Clock,
    pub(super) gauge: Arc<Gauge>,
    pub(super) settled: Settled,
    pub(super) stop: CancellationToken,
}

/// What it has received.
pub(super) struct Inbound {
    pub(super) ledger: Ledger,
    pub(super) latencies: Latencies,
    pub(super) last_receipt_ns: u64,
}

impl Inbound {
    pub(super) fn new(producers: u16) -> Inbound {
        Inbound {
            ledger: Ledger::new(producers),
            latencies: Latencies::default(),
            last_receipt_ns: 0,
        }
    }
}

impl Consumer {
    /// Receives until everything has come that is owed to it.
    ///
    /// # Errors
    ///
    /// The connection has ended. `book` has what came before.
    pub(super) async fn run(mut self, book: &mut Inbound) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        tokio::select! {
            ended = self.receive_all(book) => ended?,
            () = stop.cancelled() => {}
        }
        self.link.close().await;
        Ok(())
    }

    async fn receive_all(&mut self, book: &mut Inbound) -> anyhow::Result<()> {
        while !has_all(&self.settled, &book.ledger) {
            tokio::select! {
                biased;
                frames = self.link.turn() => {
                    let now = self.clock.now_ns();
                    for frame in frames? {
                        if let Message::Text(text) = frame {
                            book.take(&self.pattern, &text, now);
                        }
                    }
                    self.gauge.received.store(book.ledger.distinct, Relaxed);
                }
                Ok(()) = self.settled.changed() => {}
            }
        }
        Ok(())
    }
}

fn has_all(settled: &Settled, ledger: &Ledger) -> bool {
    let owed = settled.borrow();
    owed.as_deref().is_some_and(|owed| {
        let least = |owed: &Owed| owed.answered - owed.refused.len() as u64;
        // The quick look first: it is asked for every few frames.
        ledger.distinct >= owed.iter().map(least).sum()
            && ledger.verdict(owed) == Verdict::default()
    })
}

impl Inbound {
    fn take(&mut self, pattern: &Pattern, frame: &str, now_ns: u64) {
        if let Some(stamp) = self.ledger.enter(pattern.read_frame(frame)) {
            self.latencies.record_ns(now_ns.saturating_sub(stamp.at_ns));
            self.last_receipt_ns = now_ns;
        }
    }
}
