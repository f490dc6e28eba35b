//! `dpmq bench`: puts load on a running server, measures it, and checks every message.
//!
//! Each producer and consumer is a task with books of its own. While messages fly they share
//! nothing but gauges, which are written once for each batch. The report adds up the books.

mod clients;
mod figures;
mod ledger;
mod payload;
mod progress;
mod report;
mod schedule;
mod server;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::cli::args::Bench;
use crate::cli::bench::clients::consumer::{Consumer, Inbound};
use crate::cli::bench::clients::http::HttpProducer;
use crate::cli::bench::clients::link::Link;
use crate::cli::bench::clients::outbound::Outbound;
use crate::cli::bench::clients::producer::Producer;
use crate::cli::bench::figures::Gauge;
use crate::cli::bench::ledger::Owed;
use crate::cli::bench::payload::{HEADER_BYTES, Pattern};
use crate::cli::bench::progress::{LOOK, Progress};
use crate::cli::bench::report::{Outcome, Report};
use crate::cli::bench::schedule::{Clock, Extent, Plan};
use crate::cli::bench::server::Facts;
use crate::cli::bench::settings::{End, Settings};
use crate::cli::client::Target;
use crate::cli::client::url::{ServerUrl, Side};
use crate::cli::failure::complain;
use crate::cli::terminal::interrupt::Interrupt;
use crate::cli::terminal::output::Output;
use crate::config::Config;
use crate::message::Topic;

/// Connections that are made at the same time.
const CONNECTING_MAX: usize = 64;
/// How long deleting the messages of a run may take.
const CLEAR_TIME: Duration = Duration::from_secs(10);

/// All clients of a run, logged in.
struct Clients {
    producers: Vec<ConnectedProducer>,
    consumers: Vec<Link>,
}

enum ConnectedProducer {
    WebSocket(Link),
    Http(HttpProducer),
}

/// A task that has ended, with its book.
enum Ended {
    Producer(Outbound, anyhow::Result<()>),
    Consumer(Inbound, anyhow::Result<()>),
}

/// Measures, and prints the report; fails if the received messages are not those that were sent.
#[tokio::main]
pub(super) async fn run(config: &Config, args: Bench) -> Result<(), Failure> {
    if args.size < HEADER_BYTES {
        return Err(Failure::Usage(format!(
            "--size {}: a message has at least {HEADER_BYTES} bytes, which tell it from the others",
            args.size
        )));
    }
    let url = args.server.address.server(config)?;
    let run = getrandom::u32().context("no random number for this run")?;
    let topic: Topic = match &args.topic {
        Some(topic) => topic.clone(),
        None => format!("bench-{run:08x}").parse().context("a topic")?,
    };
    let settings = settings(&args, &url, &topic);
    let key = config.mq.secret_key.expose();
    let mut interrupt = Interrupt::listen()?;
    let (clients, facts) = tokio::select! {
        ready = async {
            let clients = connect(config, &args, &url, &topic).await?;
            Ok::<_, Failure>((clients, Facts::of(&url, key).await))
        } => ready?,
        () = interrupt.next() => return Err(anyhow!("interrupted before anything was sent").into()),
    };
    if let Some(warning) = settings.limited_by(&facts).filter(|_| !args.quiet) {
        complain(&format!("note: {warning}"));
    }
    let pattern = Pattern::new(run, args.size);
    let outcome = measure(&args, clients, pattern, &facts, &mut interrupt).await;
    let note = match settings.fresh_topic && !args.keep {
        true => clear(&url, key, &topic, &mut interrupt).await,
        false => None,
    };
    let outcome = outcome?;
    let report = Report::new(&settings, &facts, &outcome, note);
    let mut out = Output::open();
    match args.json {
        true => out.line(report.json().as_bytes())?,
        false => report
            .lines()
            .iter()
            .try_for_each(|line| out.line(line.as_bytes()))?,
    }
    match &report.problems[..] {
        [] => Ok(()),
        problems => Err(anyhow!(problems.join("; ")).into()),
    }
}

fn settings(args: &Bench, url: &ServerUrl, topic: &Topic) -> Settings {
    let acks = !args.no_acks;
    let plan = plan(args);
    let (count, duration) = match plan.extent {
        Extent::Messages(count) => (Some(count.get()), None),
        Extent::Time(time) => (None, Some(time.as_secs_f64())),
    };
    Settings {
        url: url.to_string(),
        topic: topic.as_str().to_owned(),
        fresh_topic: args.topic.is_none(),
        http: args.http,
        acks,
        producers: args.producers,
        consumers: args.consumers,
        size_bytes: args.size,
        window: window(args),
        rate_per_s: plan.rate.map(u64::from),
        count,
        duration_s: duration,
    }
}

fn plan(args: &Bench) -> Plan {
    Plan {
        producers: args.producers,
        rate: args.rate.try_into().ok(),
        extent: match args.count {
            Some(count) => Extent::Messages(count),
            None => Extent::Time(args.duration),
        },
    }
}

/// The most unanswered messages of a producer over WebSocket.
fn window(args: &Bench) -> Option<u64> {
    (!args.http && !args.no_acks).then_some(args.window.get())
}

/// Connects the consumers first: a message is pushed only to those that are connected.
async fn connect(
    config: &Config,
    args: &Bench,
    url: &ServerUrl,
    topic: &Topic,
) -> Result<Clients, Failure> {
    let target = |side, name: &str, number: u16| {
        let id = format!("bench-{name}-{number}");
        Target::new(config, &args.server, &id, side, topic)
    };
    let consumers: Vec<Link> = stream::iter(0..args.consumers)
        .map(|number| open(target(Side::Consumer, "consumer", number)))
        .buffered(CONNECTING_MAX)
        .try_collect()
        .await?;
    let acks = !args.no_acks;
    let key = config.mq.secret_key.expose();
    let producers = stream::iter(0..args.producers);
    let producers = match args.http {
        true => {
            let connected = producers.map(|_| HttpProducer::connect(url, key, topic));
            let connected = connected.buffered(CONNECTING_MAX);
            connected
                .map_ok(ConnectedProducer::Http)
                .try_collect()
                .await?
        }
        false => {
            let side = Side::Producer { acks };
            let opened = producers.map(|number| open(target(side, "producer", number)));
            let opened = opened.buffered(CONNECTING_MAX);
            opened
                .map_ok(ConnectedProducer::WebSocket)
                .try_collect()
                .await?
        }
    };
    Ok(Clients {
        producers,
        consumers,
    })
}

async fn open(target: Result<Target, Failure>) -> Result<Link, Failure> {
    Ok(Link::new(target?.open().await?))
}

/// From the first message to the last.
async fn measure(
    args: &Bench,
    clients: Clients,
    pattern: Pattern,
    facts: &Facts,
    interrupt: &mut Interrupt,
) -> Result<Outcome, Failure> {
    let (plan, pattern) = (plan(args), Arc::new(pattern));
    let stop = CancellationToken::new();
    let (settle, settled) = watch::channel(None);
    let mut tasks = JoinSet::new();
    let mut gauges = vec![];
    let mut gauge = || {
        let gauge = Arc::<Gauge>::default();
        gauges.push(gauge.clone());
        gauge
    };
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = Clock::start();
    for link in clients.consumers {
        let consumer = Consumer {
            link,
            pattern: pattern.clone(),
            clock,
            gauge: gauge(),
            settled: settled.clone(),
            stop: stop.clone(),
        };
        let mut book = Inbound::new(args.producers);
        tasks.spawn(async move {
            let ended = consumer.run(&mut book).await;
            Ended::Consumer(book, ended)
        });
    }
    let mut wakes = vec![];
    for (number, client) in (0..).zip(clients.producers) {
        let due = Arc::new(Notify::new());
        wakes.push(due.clone());
        let mut out = Outbound::new(number, pattern.clone(), gauge());
        let (stop, window) = (stop.clone(), window(args));
        tasks.spawn(async move {
            let ended = match client {
                ConnectedProducer::WebSocket(link) => {
                    let producer = Producer {
                        link,
                        plan,
                        clock,
                        window,
                        due,
                        stop,
                    };
                    producer.run(&mut out).await
                }
                ConnectedProducer::Http(producer) => {
                    producer.run(plan, clock, due, stop, &mut out).await
                }
            };
            Ended::Producer(out, ended)
        });
    }
    plan.pace(clock, wakes, stop.clone());
    let watch = RunWatch {
        args,
        facts,
        stop,
        settle,
        progress: Progress::new(gauges, args.quiet),
        sent_at: None,
        end: End::Complete,
        producers: vec![],
        consumers: vec![],
    };
    let watch = watch.until_ended(tasks, interrupt).await?;
    Ok(Outcome {
        end: watch.end,
        producers: watch.producers,
        consumers: watch.consumers,
        started_at: started_at.map_or(0, |time| time.as_secs()),
        elapsed: Duration::from_nanos(clock.now_ns()),
        due: plan.due(clock.now_ns()),
    })
}

/// Watches a run, and ends it if it does not end by itself.
struct RunWatch<'a> {
    args: &'a Bench,
    facts: &'a Facts,
    stop: CancellationToken,
    settle: watch::Sender<Option<Arc<[Owed]>>>,
    progress: Progress,
    /// The time of the last answer to a producer.
    sent_at: Option<Instant>,
    end: End,
    producers: Vec<Outbound>,
    consumers: Vec<Inbound>,
}

impl RunWatch<'_> {
    async fn until_ended(
        mut self,
        mut tasks: JoinSet<Ended>,
        interrupt: &mut Interrupt,
    ) -> Result<Self, Failure> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(ended) => self.take(ended.context("a task of this run")?),
                    None => break,
                },
                () = interrupt.next() => self.end(End::Interrupted),
                _ = look.tick() => self.look(),
            }
        }
        self.progress.end();
        Ok(self)
    }

    /// Ends the run for `reason`. Only the first reason counts.
    fn end(&mut self, reason: End) {
        if !self.stop.is_cancelled() {
            self.stop.cancel();
            self.end = reason;
        }
    }

    fn take(&mut self, ended: Ended) {
        let result = match ended {
            Ended::Producer(out, result) => {
                self.producers.push(out);
                if self.producers.len() == usize::from(self.args.producers) {
                    self.settle();
                }
                result
            }
            Ended::Consumer(book, result) => {
                self.consumers.push(book);
                result
            }
        };
        if let Err(error) = result {
            self.end(End::Failed(error));
        }
    }

    /// Tells the consumers what they are owed, after all producers have ended.
    fn settle(&mut self) {
        self.producers.sort_by_key(Outbound::producer);
        let owed = self.producers.iter().map(|out| out.owed.clone()).collect();
        // Nobody listens when there are no consumers.
        let _ = self.settle.send(Some(owed));
        self.sent_at = Some(Instant::now());
    }

    fn look(&mut self) {
        let now = Instant::now();
        let still = self.progress.look(now);
        // Where messages are sent or pushed at a pace, nothing need move in between.
        let seconds = self.facts.push_pause_s.unwrap_or_default();
        let push_pause = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let send_pause = match self.args.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1).div_f64(rate as f64),
        };
        let patience = self.args.idle + push_pause.max(send_pause);
        if still >= patience {
            return self.end(End::Stalled(patience));
        }
        let Some(sent_at) = self.sent_at else {
            return;
        };
        if sent_at.elapsed() >= self.args.drain {
            return self.end(End::Late(self.args.drain));
        }
        if let Some(pace) = self.facts.pace_per_s() {
            let totals = self.progress.totals();
            let owed = totals.answered * u64::from(self.args.consumers);
            let rest = owed.saturating_sub(totals.received);
            let rest = rest as f64 / f64::from(self.args.consumers.max(1)) / pace;
            let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
            if rest > self.args.drain {
                self.end(End::TooLate(rest));
            }
        }
    }
}

/// Deletes the messages of the run; returns a note if that fails.
async fn clear(
    url: &ServerUrl,
    key: &str,
    topic: &Topic,
    interrupt: &mut Interrupt,
) -> Option<String> {
    let stay = |why: &str| {
        Some(format!(
            "the messages stay on topic {}: {why}",
            topic.as_str()
        ))
    };
    tokio::select! {
        cleared = tokio::time::timeout(CLEAR_TIME, server::clear(url, key, topic)) => match cleared {
            Ok(Ok(())) => None,
            Ok(Err(error)) => stay(&format!("{error:#}")),
            Err(_) => stay("the server does not answer"),
        },
        () = interrupt.next() => stay("interrupted"),
    }
}
