//! How messages become frames, and the frames of one delivery in each encoding that a session
//! asks for. No encoding is known here: each dialect brings its own.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::message::Message;

/// How a dialect writes a pushed message.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Names the encoding: sessions that give the same name share one set of frames.
    pub name: &'static str,
    /// Appends the frame of a message.
    pub write: fn(&mut Vec<u8>, &Message),
    /// The length of that frame, in bytes.
    pub frame_bytes: fn(&Message) -> usize,
}

/// About what an encoding writes around the data of a message.
const AROUND_BYTES: usize = 224;

/// The frames of one delivery, by encoding: made by the first session that asks, shared by all
/// that ask for the same.
#[derive(Default)]
pub(super) struct Encodings {
    name: OnceLock<&'static str>,
    frames: OnceLock<Vec<Bytes>>,
    /// How long the frame of a large message is.
    frame_bytes: OnceLock<usize>,
    /// The other encodings. Most deliveries need one only.
    others: OnceLock<Box<Encodings>>,
}

impl Encodings {
    /// The frames of `messages`, which have `data_bytes` bytes of data, in order.
    pub(super) fn frames(
        &self,
        encoding: &Encoding,
        messages: &[Message],
        data_bytes: usize,
    ) -> &[Bytes] {
        let encode = || encode(encoding, messages, data_bytes);
        self.of(encoding.name).frames.get_or_init(encode)
    }

    /// How long the frame of `message` is, the only one of the delivery.
    pub(super) fn frame_bytes(&self, encoding: &Encoding, message: &Message) -> usize {
        let measure = || (encoding.frame_bytes)(message);
        *self.of(encoding.name).frame_bytes.get_or_init(measure)
    }

    fn of(&self, name: &'static str) -> &Encodings {
        let mut at = self;
        while *at.name.get_or_init(|| name) != name {
            at = at.others.get_or_init(Box::default);
        }
        at
    }
}

/// All frames are parts of one buffer.
fn encode(encoding: &Encoding, messages: &[Message], data_bytes: usize) -> Vec<Bytes> {
    let mut buffer = Vec::with_capacity(data_bytes + messages.len() * AROUND_BYTES);
    let mut ends = Vec::with_capacity(messages.len());
    for message in messages {
        (encoding.write)(&mut buffer, message);
        ends.push(buffer.len());
    }
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    ends.into_iter()
        .map(|end| buffer.slice(std::mem::replace(&mut start, end)..end))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::broker::fixture::{FakeStore, message, settings, start, ticket};
    use crate::limits::memory_budget::SMALL_BYTES;

    #[tokio::test]
    async fn each_dialect_gets_its_own_frames_and_each_is_encoded_once() {
        static PLAIN_WRITTEN: AtomicUsize = AtomicUsize::new(0);
        static LOUD_WRITTEN: AtomicUsize = AtomicUsize::new(0);
        let plain = Encoding {
            name: "plain",
            write: |out, message| {
                PLAIN_WRITTEN.fetch_add(1, Ordering::Relaxed);
                out.extend_from_slice(message.data.as_bytes());
            },
            frame_bytes: |message| message.data.len(),
        };
        let loud = Encoding {
            name: "loud",
            write: |out, message| {
                LOUD_WRITTEN.fetch_add(1, Ordering::Relaxed);
                out.extend_from_slice(message.data.to_uppercase().as_bytes());
                out.push(b'!');
            },
            frame_bytes: |message| message.data.len() + 1,
        };
        let mut running = start(FakeStore::default(), settings());
        let mut consumers = ["a", "b", "c", "d"].map(|id| running.join("t", id));
        running.commit(vec![message("t", 1), message("t", 2)]);
        let mut tickets = vec![];
        for consumer in &mut consumers {
            tickets.push(ticket(consumer).await);
        }
        // As it comes: two sessions of each dialect, in turn.
        for _ in 0..2 {
            for (ticket, encoding, frame) in [
                (&tickets[0], &plain, "x"),
                (&tickets[1], &loud, "X!"),
                (&tickets[2], &loud, "X!"),
                (&tickets[3], &plain, "x"),
            ] {
                assert_eq!(ticket.frames(encoding), [frame, frame], "{}", encoding.name);
            }
        }
        assert_eq!(PLAIN_WRITTEN.load(Ordering::Relaxed), 2);
        assert_eq!(LOUD_WRITTEN.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn each_dialect_measures_a_large_message_once() {
        static MEASURED: AtomicUsize = AtomicUsize::new(0);
        let plain = Encoding {
            name: "plain",
            write: |_, _| unreachable!("a large message is not encoded as a whole"),
            frame_bytes: |message| {
                MEASURED.fetch_add(1, Ordering::Relaxed);
                message.data.len()
            },
        };
        let quoted = Encoding {
            name: "quoted",
            frame_bytes: |message| message.data.len() + 2,
            ..plain
        };
        let bytes = SMALL_BYTES + 1;
        let mut running = start(FakeStore::default(), settings());
        let mut consumers = ["a", "b"].map(|id| running.join("t", id));
        let mut large = message("t", 1);
        large.data = "x".repeat(bytes).into();
        running.commit(vec![large]);
        for consumer in &mut consumers {
            let ticket = ticket(consumer).await;
            for (encoding, frame_bytes) in [(&plain, bytes), (&quoted, bytes + 2)] {
                let (message, measured) = ticket.large(encoding).unwrap();
                assert_eq!((message.data.len(), measured), (bytes, frame_bytes));
            }
        }
        assert_eq!(MEASURED.load(Ordering::Relaxed), 1);
    }
}
