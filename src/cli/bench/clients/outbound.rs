//! What one producer has sent, and the answers to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::cli::bench::figures::{Gauge, Latencies};
use crate::cli::bench::ledger::Owed;
use crate::cli::bench::payload::{Pattern, Stamp};

/// Memory that is allocated at a time for the next messages.
const CHUNK_BYTES: usize = 64 << 10;

/// The book of one producer.
pub(in crate::cli::bench) struct Outbound {
    producer: u16,
    pattern: Arc<Pattern>,
    gauge: Arc<Gauge>,
    chunk: BytesMut,
    /// The times of unanswered messages.
    waiting: VecDeque<u64>,
    pub(in crate::cli::bench) sent: u64,
    pub(in crate::cli::bench) owed: Owed,
    /// The reason for the first message that was refused.
    pub(in crate::cli::bench) refusal: Option<String>,
    pub(in crate::cli::bench) latencies: Latencies,
    pub(in crate::cli::bench) last_answer_ns: u64,
}

impl Outbound {
    pub(in crate::cli::bench) fn new(
        producer: u16,
        pattern: Arc<Pattern>,
        gauge: Arc<Gauge>,
    ) -> Outbound {
        Outbound {
            producer,
            pattern,
            gauge,
            chunk: BytesMut::new(),
            waiting: VecDeque::new(),
            sent: 0,
            owed: Owed::default(),
            refusal: None,
            latencies: Latencies::default(),
            last_answer_ns: 0,
        }
    }

    /// The producer's index.
    pub(in crate::cli::bench) fn producer(&self) -> u16 {
        self.producer
    }

    pub(in crate::cli::bench) fn message_bytes(&self) -> usize {
        self.pattern.message_bytes()
    }

    /// The next message after `prefix`; it counts as sent at `at_ns`.
    pub(in crate::cli::bench) fn next(&mut self, prefix: &[u8], at_ns: u64) -> Bytes {
        let bytes = prefix.len() + self.pattern.message_bytes();
        if self.chunk.capacity() < bytes {
            self.chunk.reserve(bytes.max(CHUNK_BYTES));
        }
        self.chunk.extend_from_slice(prefix);
        let stamp = Stamp {
            producer: self.producer,
            number: self.sent,
            at_ns,
        };
        self.pattern.write(stamp, &mut self.chunk);
        self.sent += 1;
        self.chunk.split().freeze()
    }

    /// Remembers the time of the last message, for its answer.
    pub(in crate::cli::bench) fn expect_answer(&mut self, at_ns: u64) {
        self.waiting.push_back(at_ns);
    }

    /// The number of unanswered messages.
    pub(in crate::cli::bench) fn in_flight(&self) -> u64 {
        self.sent - self.owed.answered
    }

    /// Takes the answer to the oldest message that has none.
    ///
    /// # Errors
    ///
    /// It is not an answer, or no message is unanswered.
    pub(in crate::cli::bench) fn take(&mut self, answer: &[u8], now_ns: u64) -> anyhow::Result<()> {
        let refused = refusal(answer)?;
        let sent = self.waiting.pop_front();
        let sent = sent.context("the server acknowledges what was not sent")?;
        match refused {
            None => self.latencies.record_ns(now_ns.saturating_sub(sent)),
            Some(reason) => {
                self.owed.refused.push(self.owed.answered);
                self.refusal.get_or_insert(reason);
            }
        }
        self.owed.answered += 1;
        self.last_answer_ns = now_ns;
        Ok(())
    }

    /// Notes that the server has read everything that was sent.
    pub(in crate::cli::bench) fn all_read(&mut self, now_ns: u64) {
        self.owed.answered = self.sent;
        self.last_answer_ns = now_ns;
    }

    /// Writes the gauge.
    pub(in crate::cli::bench) fn show(&self) {
        self.gauge.sent.store(self.sent, Relaxed);
        self.gauge.answered.store(self.owed.answered, Relaxed);
    }
}

/// Why something was refused; `None` if it was not.
pub(in crate::cli::bench) fn refusal(answer: &[u8]) -> anyhow::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Answer {
        code: i64,
        #[serde(default)]
        msg: String,
    }
    // As servers write it; there are very many of them.
    if answer.starts_with(br#"{"code":0,"#) {
        return Ok(None);
    }
    let answer: Answer =
        serde_json::from_slice(answer).context("the server's answer is no acknowledgement")?;
    Ok((answer.code != 0).then_some(answer.msg))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::payload::Reading;

    fn outbound() -> Outbound {
        Outbound::new(7, Arc::new(Pattern::new(1, 100)), Arc::default())
    }

    #[test]
    fn messages_are_numbered_and_of_the_size_asked_for() {
        let mut outbound = outbound();
        let pattern = Pattern::new(1, 100);
        for number in 0..2000 {
            let message = outbound.next(b"data=", number * 10);
            let text = std::str::from_utf8(&message).unwrap();
            let data = text.strip_prefix("data=").unwrap();
            assert_eq!(data.len(), 100);
            let expected = Stamp {
                producer: 7,
                number,
                at_ns: number * 10,
            };
            let frame = format!(r#"{{"MessageData":"{data}"}}"#);
            assert_eq!(pattern.read_frame(&frame), Reading::Ours(expected));
        }
    }

    #[test]
    fn answers_belong_to_messages_in_order() {
        let mut outbound = outbound();
        for at in [1000, 2000, 3000] {
            outbound.next(b"", at);
            outbound.expect_answer(at);
        }
        outbound.take(br#"{"code":0,"msg":"c"}"#, 5000).unwrap();
        outbound.take(br#"{"code":-1,"msg":"full"}"#, 6000).unwrap();
        outbound
            .take(br#"{ "code": 0, "msg": "c" }"#, 1_003_000)
            .unwrap();
        assert_eq!((outbound.owed.answered, outbound.in_flight()), (3, 0));
        assert_eq!(outbound.owed.refused, [1]);
        assert_eq!(outbound.refusal.as_deref(), Some("full"));
        assert_eq!(outbound.latencies.percentiles().unwrap().max, 1.0);
        assert_eq!(outbound.last_answer_ns, 1_003_000);
        let none_left = outbound.take(br#"{"code":0,"msg":"c"}"#, 1).unwrap_err();
        assert!(none_left.to_string().contains("not sent"));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut outbound = outbound();
        outbound.next(b"", 0);
        outbound.expect_answer(0);
        assert!(outbound.take(b"hello", 1).is_err());
        assert_eq!(outbound.in_flight(), 1);
    }
}
