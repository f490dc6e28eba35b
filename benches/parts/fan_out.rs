//! One delivery to many outboxes: from messages that the store has just committed to their frames at
//! every consumer, beside bare channels that carry the same frames.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dpmq::broker::{
    Blocking, Broker, ClientInfo, Encoding, Inbox, OutboxLimits, Pace, Settings, Subscription,
    Tasks, Ticket,
};
use dpmq::clock::Clock;
use dpmq::message::{Message, Sequence, UnixSeconds};
use dpmq::store::{Committed, MemoryStore};
use dpmq::wire::{push_frame_bytes, write_push_frame};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::{Bench, messages};

const DATA_BYTES: usize = 128;
/// More bytes than a frame of that data has.
const FRAME_BYTES: usize = DATA_BYTES + 224;
const ENCODING: Encoding = Encoding {
    name: "classic",
    write: write_push_frame,
    frame_bytes: push_frame_bytes,
};
const CLOCK: UnixSeconds = UnixSeconds(1_790_000_000);

pub(super) fn run(bench: &mut Bench) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for consumers in [1, 10, 100] {
        for count in [1, 256] {
            let messages = messages(count, DATA_BYTES);
            let mut fan = runtime.block_on(async { Fan::new(consumers) });
            let mut channels = Channels::new(consumers);
            bench.compare(
                &format!("fan-out/{count} to {consumers}"),
                count * consumers,
                || runtime.block_on(fan.deliver(&messages)),
                ("bare channels", || channels.deliver(&runtime, &messages)),
            );
        }
    }
}

/// A broker with consumers of one topic. Its store is empty, and the committed messages are handed to
/// it directly, so this measures the broker alone.
struct Fan {
    committed: Committed,
    subscriptions: Vec<Subscription>,
    tickets: Vec<Ticket>,
    next: u64,
    _tasks: Tasks,
}

impl Fan {
    fn new(consumers: usize) -> Fan {
        let clock = Clock::manual(CLOCK);
        let inbox = Inbox::new(1 << 20, 1 << 30);
        let committed = inbox.committed();
        let store = MemoryStore::new(clock.clone(), Box::new(|_| {}));
        let settings = Settings {
            pace: Pace {
                batch_messages: 100,
                pause: Duration::ZERO,
            },
            retries: 0,
            outbox: OutboxLimits {
                messages: 1 << 20,
                bytes: 1 << 30,
            },
            re_push: false,
            clean_after_seconds: None,
            check_every: Duration::from_secs(3600),
            clock,
            blocking: Blocking::Threads,
        };
        let (broker, tasks) = Broker::start(Arc::new(store), inbox, settings);
        let join = |number| {
            broker.join(ClientInfo {
                id: format!("consumer {number}"),
                topic: "bench".parse().expect("a topic"),
                ip: Ipv4Addr::LOCALHOST.into(),
                since: CLOCK,
                key: "secretKey".into(),
            })
        };
        Fan {
            committed,
            subscriptions: (0..consumers).map(join).collect(),
            tickets: vec![],
            next: 1,
            _tasks: tasks,
        }
    }

    /// The bytes that all consumers got.
    async fn deliver(&mut self, messages: &[Message]) -> usize {
        let mut committed = messages.to_vec();
        for message in &mut committed {
            message.sequence = Sequence(self.next);
            self.next += 1;
        }
        (self.committed)(committed);
        let mut bytes = 0;
        for subscription in &mut self.subscriptions {
            let mut frames = 0;
            while frames < messages.len() {
                subscription.recv(&mut self.tickets, usize::MAX).await;
                for ticket in self.tickets.drain(..) {
                    let got = ticket.frames(&ENCODING);
                    frames += got.len();
                    bytes += got.iter().map(Bytes::len).sum::<usize>();
                    ticket.written();
                }
            }
        }
        bytes
    }
}

type Channel<T> = (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>);

/// The least work of a fan-out: all frames encoded once, and a channel to each consumer.
struct Channels(Vec<Channel<Arc<[Bytes]>>>);

impl Channels {
    fn new(consumers: usize) -> Channels {
        Channels((0..consumers).map(|_| mpsc::unbounded_channel()).collect())
    }

    fn deliver(&mut self, runtime: &Runtime, messages: &[Message]) -> usize {
        // The receiver owns the messages, as it owns those that a store commits.
        let messages = messages.to_vec();
        let mut buffer = Vec::with_capacity(messages.len() * FRAME_BYTES);
        let mut ends = Vec::with_capacity(messages.len());
        for message in &messages {
            write_push_frame(&mut buffer, message);
            ends.push(buffer.len());
        }
        let buffer = Bytes::from(buffer);
        let mut start = 0;
        let frames: Arc<[Bytes]> = ends
            .into_iter()
            .map(|end| buffer.slice(std::mem::replace(&mut start, end)..end))
            .collect();
        runtime.block_on(async {
            for (sender, _) in &self.0 {
                sender.send(frames.clone()).expect("a receiver");
            }
            let mut bytes = 0;
            for (_, receiver) in &mut self.0 {
                let frames = receiver.recv().await.expect("a sender");
                bytes += frames.iter().map(Bytes::len).sum::<usize>();
            }
            bytes
        })
    }
}
