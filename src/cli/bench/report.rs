//! The report of a run, as text and as JSON.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use crate::cli::bench::clients::consumer::Inbound;
use crate::cli::bench::clients::outbound::Outbound;
use crate::cli::bench::figures::{Latencies, Percentiles};
use crate::cli::bench::ledger::Owed;
use crate::cli::bench::progress::whole;
use crate::cli::bench::server::Facts;
use crate::cli::bench::settings::{End, Settings};

/// A measurement. Its fields, and what they mean, are listed in `docs/bench.md`.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    ok: bool,
    /// What is wrong.
    pub(super) problems: Vec<String>,
    /// Notes that explain the figures.
    notes: Vec<String>,
    client_version: &'static str,
    server: &'a Facts,
    settings: &'a Settings,
    started_at: u64,
    elapsed_s: f64,
    sent: u64,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    received: u64,
    missing: u64,
    undelivered: u64,
    duplicates: u64,
    out_of_order: u64,
    changed: u64,
    foreign: u64,
    sent_per_s: f64,
    acknowledged_per_s: Option<f64>,
    acknowledged_mb_per_s: Option<f64>,
    delivered_per_s: f64,
    delivered_mb_per_s: f64,
    ack_ms: Option<Percentiles>,
    receipt_ms: Option<Percentiles>,
}

/// A run that has ended.
pub(super) struct Outcome {
    pub(super) end: End,
    /// By their number.
    pub(super) producers: Vec<Outbound>,
    pub(super) consumers: Vec<Inbound>,
    /// Unix seconds.
    pub(super) started_at: u64,
    pub(super) elapsed: Duration,
    /// How many messages were due by then, at a rate.
    pub(super) due: Option<u64>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        server: &'a Facts,
        outcome: &Outcome,
        note: Option<String>,
    ) -> Report<'a> {
        let (producers, consumers) = (&outcome.producers, &outcome.consumers);
        let of_producers = |of: fn(&Outbound) -> u64| producers.iter().map(of).sum::<u64>();
        let of_consumers = |of: fn(&Inbound) -> u64| consumers.iter().map(of).sum::<u64>();
        let owed: Vec<Owed> = producers.iter().map(|out| out.owed.clone()).collect();
        let verdicts: Vec<_> = consumers.iter().map(|c| c.ledger.verdict(&owed)).collect();
        let sent = of_producers(|out| out.sent);
        let answered = of_producers(|out| out.owed.answered);
        let refused = of_producers(|out| out.owed.refused.len() as u64);
        let acknowledged = if settings.acks { answered - refused } else { 0 };
        let distinct = of_consumers(|book| book.ledger.distinct);
        let answers_s = last_s(producers.iter().map(|out| out.last_answer_ns));
        let receipts_s = last_s(consumers.iter().map(|book| book.last_receipt_ns));
        let acknowledged_per_s = settings.acks.then(|| rate(acknowledged, answers_s));
        let delivered_per_s = rate(distinct, receipts_s);
        let mb_per_s = |rate: f64| rounded(rate * settings.size_bytes as f64 / 1e6);
        let mut report = Report {
            ok: false,
            problems: vec![],
            notes: note.into_iter().collect(),
            client_version: env!("CARGO_PKG_VERSION"),
            server,
            settings,
            started_at: outcome.started_at,
            elapsed_s: rounded(outcome.elapsed.as_secs_f64()),
            sent,
            acknowledged,
            refused,
            unanswered: if settings.acks { sent - answered } else { 0 },
            received: of_consumers(|book| book.ledger.received),
            missing: verdicts.iter().map(|verdict| verdict.missing).sum(),
            undelivered: verdicts.iter().map(|verdict| verdict.undelivered).sum(),
            duplicates: of_consumers(|book| book.ledger.duplicates),
            out_of_order: of_consumers(|book| book.ledger.out_of_order),
            changed: of_consumers(|book| book.ledger.changed),
            foreign: of_consumers(|book| book.ledger.foreign),
            sent_per_s: rate(sent, answers_s),
            acknowledged_per_s,
            acknowledged_mb_per_s: acknowledged_per_s.map(mb_per_s),
            delivered_per_s,
            delivered_mb_per_s: mb_per_s(delivered_per_s),
            ack_ms: all(producers.iter().map(|out| &out.latencies)),
            receipt_ms: all(consumers.iter().map(|book| &book.latencies)),
        };
        let refusal = producers.iter().find_map(|out| out.refusal.as_deref());
        report.problems = report.problems(&outcome.end, refusal);
        report.ok = report.problems.is_empty();
        report.note(&outcome.end, outcome.due);
        report
    }

    fn problems(&self, end: &End, refusal: Option<&str>) -> Vec<String> {
        let refused = match refusal {
            Some(reason) => format!("messages refused ({reason})"),
            None => "messages refused".to_owned(),
        };
        let foreign = match self.settings.fresh_topic {
            true => self.foreign,
            false => 0,
        };
        let mut problems: Vec<String> = [
            (self.missing, "messages missing"),
            (self.duplicates, "messages received twice"),
            (self.changed, "messages received with other bytes"),
            (self.out_of_order, "messages received out of order"),
            (foreign, "messages received that are not of this run"),
            (self.refused, &refused),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{what}: {}", HumanCount(count)))
        .collect();
        let undelivered = HumanCount(self.undelivered);
        match end {
            End::Complete | End::Interrupted => {}
            End::Failed(error) => problems.push(format!("{error:#}")),
            End::Stalled(time) => problems.push(format!(
                "nothing moved for {} s: {} unanswered, {undelivered} undelivered",
                time.as_secs_f64(),
                HumanCount(self.unanswered)
            )),
            End::Late(time) => problems.push(format!(
                "messages not delivered within {} s after the last was sent: {undelivered}",
                time.as_secs_f64()
            )),
            End::TooLate(time) => problems.push(format!(
                "messages not delivered: {undelivered}, which take another {} s at the server's pace",
                time.as_secs()
            )),
        }
        problems
    }

    fn note(&mut self, end: &End, due: Option<u64>) {
        if let End::Interrupted = end {
            self.notes.push(format!(
                "ended early: {} messages unanswered, {} not delivered yet",
                HumanCount(self.unanswered),
                HumanCount(self.undelivered)
            ));
        }
        if let Some(due) = due
            // The last few may be due in the moment of the end.
            && self.sent < due - due / 100
        {
            self.notes.push(format!(
                "the rate was not reached: {} of {} messages that were due were sent",
                HumanCount(self.sent),
                HumanCount(due)
            ));
        }
        let lags = self.undelivered > 0
            || self.delivered_per_s < 0.9 * self.sent_per_s * f64::from(self.settings.consumers);
        if let Some(pace) = self.server.pace_per_s()
            && self.settings.consumers > 0
            && (lags || self.sent_per_s > pace)
        {
            self.notes.push(format!(
                "delivery is limited by the server's pace of {pace} messages a second for all topics (mq.sendCount, \
                 mq.pushMessagesSpeed): without it, --set mq.pushMessagesSpeed=0 there"
            ));
        }
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is structs of texts and numbers")
    }

    /// As text for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let settings = self.settings;
        let count = HumanCount;
        let mut lines = vec![
            format!("server     {}, {}", settings.url, self.server),
            format!("load       {settings}"),
        ];
        let mb = |rate: f64| format!("{rate:.1} MB/s");
        lines.push(
            match (self.acknowledged_per_s, self.acknowledged_mb_per_s) {
                (Some(rate), Some(mb_per_s)) => format!(
                    "acked      {}/s, {}: {} of {} sent, {} refused, {} unanswered",
                    whole(rate),
                    mb(mb_per_s),
                    count(self.acknowledged),
                    count(self.sent),
                    count(self.refused),
                    count(self.unanswered)
                ),
                _ => format!(
                    "sent       {}/s: {}, read by the server and not acknowledged",
                    whole(self.sent_per_s),
                    count(self.sent)
                ),
            },
        );
        if settings.consumers > 0 {
            lines.push(format!(
                "delivered  {}/s, {}: {} received, {} missing, {} undelivered, {} twice, {} out of order, {} changed",
                whole(self.delivered_per_s),
                mb(self.delivered_mb_per_s),
                count(self.received),
                count(self.missing),
                count(self.undelivered),
                count(self.duplicates),
                count(self.out_of_order),
                count(self.changed)
            ));
        }
        if self.foreign > 0 {
            lines.push(format!(
                "others     {} messages that are not of this run",
                count(self.foreign)
            ));
        }
        lines.push(format!(
            "{:21}{:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms", "p50", "p90", "p99", "p99.9", "max"
        ));
        for (name, percentiles) in [
            ("acknowledgement", self.ack_ms),
            ("publish to receipt", self.receipt_ms),
        ] {
            if let Some(Percentiles {
                p50,
                p90,
                p99,
                p99_9,
                max,
            }) = percentiles
            {
                lines.push(format!(
                    "{name:21}{p50:>9.3} {p90:>9.3} {p99:>9.3} {p99_9:>9.3} {max:>9.3}"
                ));
            }
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

fn all<'l>(latencies: impl Iterator<Item = &'l Latencies>) -> Option<Percentiles> {
    let mut all = Latencies::default();
    latencies.for_each(|one| all.add(one));
    all.percentiles()
}

/// The last of these times, in seconds.
fn last_s(times_ns: impl Iterator<Item = u64>) -> f64 {
    Duration::from_nanos(times_ns.max().unwrap_or(0)).as_secs_f64()
}

fn rate(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => rounded(count as f64 / seconds),
        false => 0.0,
    }
}

/// A number with few decimals.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
