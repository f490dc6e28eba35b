//! A consumer: reads as fast as it can, and checks everything.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::clients::link::Link;
use crate::cli::bench::figures::{Gauge, Latencies};
use crate::cli::bench::ledger::{Ledger, Owed, Verdict};
use crate::cli::bench::payload::Pattern;
use crate::cli::bench::schedule::Clock;

/// The answers to each producer, after all producers have ended.
pub(in crate::cli::bench) type Settled = watch::Receiver<Option<Arc<[Owed]>>>;

/// A consumer that is logged in.
pub(in crate::cli::bench) struct Consumer {
    pub(in crate::cli::bench) link: Link,
    pub(in crate::cli::bench) pattern: Arc<Pattern>,
    pub(in crate::cli::bench) clock: Clock,
    pub(in crate::cli::bench) gauge: Arc<Gauge>,
    pub(in crate::cli::bench) settled: Settled,
    pub(in crate::cli::bench) stop: CancellationToken,
}

/// What it has received.
pub(in crate::cli::bench) struct Inbound {
    pub(in crate::cli::bench) ledger: Ledger,
    pub(in crate::cli::bench) latencies: Latencies,
    pub(in crate::cli::bench) last_receipt_ns: u64,
}

impl Inbound {
    pub(in crate::cli::bench) fn new(producers: u16) -> Inbound {
        Inbound {
            ledger: Ledger::new(producers),
            latencies: Latencies::default(),
            last_receipt_ns: 0,
        }
    }
}

impl Consumer {
    /// Receives until everything that it is owed has arrived.
    ///
    /// # Errors
    ///
    /// The connection has ended. `book` has what came before.
    pub(in crate::cli::bench) async fn run(mut self, book: &mut Inbound) -> anyhow::Result<()> {
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
