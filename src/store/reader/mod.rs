//! Reads messages back: by status in order, for the queue; by time, newest first, for lists.
//!
//! The index says which blocks and messages match; the log has their meta and data. Reads block on
//! the disk, so they run on threads that may block. The reader imports `mirror`, `index` and `log`.

pub(super) mod found;
mod waiting;

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytestring::ByteString;

use crate::message::{Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::index::bitmap::BLOCK_LEN;
use crate::store::index::search::BlockView;
use crate::store::index::topics::TopicIds;
use crate::store::log::damage::Findings;
use crate::store::log::frame::Entry;
use crate::store::log::segments::Segments;
use crate::store::mirror::Mirror;
use crate::store::query::{LISTED_MAX, Listed, Mark, Query, Rest, Scan, Scanned, rest_after};
use crate::store::reader::found::{DataCache, FoundMessage, find};

/// Reads messages back from the index and the log.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) segments: Arc<Segments>,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) findings: Arc<Findings>,
}

impl Reader {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("no holder of this lock panics")
    }

    fn find(&self, view: &BlockView) -> Result<Vec<FoundMessage>, StoreError> {
        find(&self.segments, view, &self.findings)
    }

    fn message(
        &self,
        found: &FoundMessage,
        status: StatusKind,
        cache: &mut DataCache,
    ) -> Result<Message, StoreError> {
        let data = cache.get(&self.segments, &found.frame)?;
        let (from, len) = (found.entry.offset as usize, found.entry.len as usize);
        let data = ByteString::try_from(data.slice(from..from + len)).map_err(|_| {
            StoreError::Corrupt {
                path: found.frame.segment.path.clone(),
                offset: found.frame.position.offset.into(),
                what: "a message's data is not UTF-8",
            }
        })?;
        let sequence = found.entry.sequence;
        let status = match status {
            StatusKind::Accepted => Status::Accepted,
            StatusKind::NotConsumed => Status::NotConsumed,
            StatusKind::Consumed => Status::Consumed {
                at: self.consumed_at(sequence)?,
            },
        };
        Ok(Message {
            sequence,
            code: found.entry.code,
            topic: found.topic.clone(),
            data,
            created: found.entry.created,
            status,
        })
    }

    fn consumed_at(&self, sequence: Sequence) -> Result<UnixSeconds, StoreError> {
        // Memory first: the index forgets a time only after the mirror has it.
        let recent = self.lock().times.get(sequence);
        match recent {
            Some(at) => Ok(at),
            None => Ok(self.mirror.consumed_at(sequence)?.unwrap_or_default()),
        }
    }

    /// A message; `None` if its bytes are damaged, which is reported once.
    fn message_or_report(
        &self,
        found: &FoundMessage,
        status: StatusKind,
        cache: &mut DataCache,
    ) -> Result<Option<Message>, StoreError> {
        match self.message(found, status, cache) {
            Ok(message) => Ok(Some(message)),
            Err(error @ StoreError::Corrupt { .. }) => {
                self.findings.report(found.frame.position, &error.text());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The messages in a status, oldest first: see [`crate::store::Reads::scan`].
    pub(crate) fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        const BLOCKS: usize = 4;
        let topics = scan.topics.as_ref().map(|topics| self.ids(topics));
        let mut scanned = Scanned {
            messages: vec![],
            next: scan.from,
        };
        let (mut bytes, mut cache) = (0, DataCache::default());
        loop {
            let (views, next) =
                self.lock()
                    .in_status(&[scan.kind], topics.as_ref(), scanned.next, scan.to, BLOCKS);
            for found in views.iter().map(|view| self.find(view)) {
                for found in &found? {
                    // Meanwhile this place in the table may have been given to another topic.
                    let topics = scan.topics.as_ref();
                    if topics.is_some_and(|topics| !topics.contains(&found.topic)) {
                        continue;
                    }
                    if scanned.messages.len() >= scan.messages_max || bytes >= scan.bytes_max {
                        scanned.next = found.entry.sequence;
                        return Ok(scanned);
                    }
                    if let Some(message) = self.message_or_report(found, scan.kind, &mut cache)? {
                        bytes += message.data.len();
                        // A frame may have messages of any topic.
                        scanned.messages.push(match topics {
                            Some(_) => found.without_frame(message),
                            None => message,
                        });
                    }
                }
            }
            match next {
                Some(next) => scanned.next = next,
                None => {
                    scanned.next = Sequence(scan.to.0.saturating_add(1));
                    return Ok(scanned);
                }
            }
        }
    }

    fn ids<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) -> TopicIds {
        self.lock().topics().ids(topics)
    }

    /// The newest messages that match: see [`crate::store::Reads::list`].
    pub(crate) fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError> {
        let from = query.from.unwrap_or(UnixSeconds::MIN);
        let to = query.to.unwrap_or(UnixSeconds::MAX);
        let mut to = to;
        if let Some(mark) = query.before {
            to = to.min(mark.created);
        }
        let topics = query.topic.as_ref().map(|topic| self.ids([topic]));
        // The heap has blocks by the newest time that they may hold, and messages by their own
        // time. A block is opened when no message found so far is newer than that.
        let mut blocks: BinaryHeap<(UnixSeconds, u64)> = self
            .lock()
            .created_between(from, to, query.before, topics.as_ref(), query.status)
            .into();
        let mut ready: BinaryHeap<Ready> = BinaryHeap::new();
        let mut cache = DataCache::default();
        let (mut messages, mut bytes) = (vec![], 0);
        loop {
            while let Some(&(created_max, number)) = blocks.peek() {
                let newest = (created_max, (number + 1) * BLOCK_LEN);
                if ready.peek().is_some_and(|ready| ready.rank() > newest) {
                    break;
                }
                blocks.pop();
                self.open_block(number, query, topics.as_ref(), &mut ready)?;
            }
            let Some(Ready { found, status }) = ready.pop() else {
                let rest = Rest::Nothing;
                return Ok(Listed { messages, rest });
            };
            let len = found.entry.len as usize;
            if bytes + len > bytes_max || messages.len() == LISTED_MAX {
                let rest = rest_after(&messages, len);
                return Ok(Listed { messages, rest });
            }
            // One that cannot be read takes none of the bytes.
            if let Some(message) = self.message_or_report(&found, status, &mut cache)? {
                bytes += len;
                messages.push(found.without_frame(message));
            }
        }
    }

    fn open_block(
        &self,
        number: u64,
        query: &Query,
        topics: Option<&TopicIds>,
        ready: &mut BinaryHeap<Ready>,
    ) -> Result<(), StoreError> {
        let (view, in_status) = {
            let index = self.lock();
            let Some(view) = index.view(number, query.status, topics) else {
                return Ok(());
            };
            let kinds = StatusKind::ALL
                .map(|kind| index.view(number, Some(kind), None).map(|view| view.bits));
            (view, kinds)
        };
        for found in self.find(&view)? {
            if !query.has(&found) {
                continue;
            }
            let bit = found.entry.sequence.0 % BLOCK_LEN;
            let status = StatusKind::ALL.into_iter().find(|kind| {
                in_status[kind.index()]
                    .as_ref()
                    .is_some_and(|bits| bits.contains(bit))
            });
            ready.extend(status.map(|status| Ready { found, status }));
        }
        Ok(())
    }

    /// The message with a code: see [`crate::store::Reads::find`]. The code tells when the message
    /// was created, and so the few blocks that it can be in.
    pub(crate) fn message_with(
        &self,
        code: MessageCode,
        bytes_max: usize,
    ) -> Result<Listed, StoreError> {
        let (mut messages, mut rest) = (vec![], Rest::Nothing);
        let created = code.created();
        let blocks = self
            .lock()
            .created_between(created, created, None, None, None);
        for (_, number) in blocks {
            let view = self.lock().view(number, None, None);
            let found = view.map(|view| self.find(&view)).transpose()?;
            let mut found = found.unwrap_or_default().into_iter();
            if let Some(found) = found.find(|found| found.entry.code == code) {
                match found.entry.len as usize {
                    len if len > bytes_max => rest = Rest::Large(len),
                    _ => messages.extend(self.now(&found)?),
                }
                break;
            }
        }
        Ok(Listed { messages, rest })
    }

    /// The message with its present status; `None` if it is gone.
    fn now(&self, found: &FoundMessage) -> Result<Option<Message>, StoreError> {
        let status = self.lock().status(found.entry.sequence);
        let message = |status| self.message(found, status, &mut DataCache::default());
        let message = status.map(message).transpose()?;
        Ok(message.map(|message| found.without_frame(message)))
    }

    /// The messages of a topic in one of `kinds`, with sequences from `from` up to but not
    /// including `end`, in a limited number of blocks. Also where to continue, unless that was all.
    pub(crate) fn of_topic(
        &self,
        topic: &Topic,
        kinds: &[StatusKind],
        from: Sequence,
        end: Sequence,
    ) -> (SequenceSet, Option<Sequence>) {
        const BLOCKS: usize = 64;
        let index = self.lock();
        let ids = index.topics().ids([topic]);
        let last = Sequence(end.0.saturating_sub(1));
        let (views, next) = index.in_status(kinds, Some(&ids), from, last, BLOCKS);
        drop(index);
        let sequences = views.iter().flat_map(|view| {
            let base = view.number * BLOCK_LEN;
            view.bits.iter().map(move |bit| Sequence(base + bit))
        });
        (sequences.collect(), next)
    }

    /// When a message was created, if it exists.
    fn created(&self, sequence: Sequence) -> Result<Option<UnixSeconds>, StoreError> {
        let view = self.lock().view_of(sequence);
        let found = view.map(|view| self.find(&view)).transpose()?;
        Ok(found.and_then(|found| Some(found.first()?.entry.created)))
    }

    /// The messages created before `cutoff` in blocks that also have newer ones.
    pub(crate) fn expired_beside_newer(
        &self,
        cutoff: UnixSeconds,
    ) -> Result<SequenceSet, StoreError> {
        let mut expired = SequenceSet::new();
        let numbers = self.lock().straddling(cutoff);
        for number in numbers {
            let view = self.lock().view(number, None, None);
            let found = view
                .map(|view| self.find(&view))
                .transpose()?
                .unwrap_or_default();
            for found in found {
                if found.entry.created < cutoff {
                    expired.insert(found.entry.sequence);
                }
            }
        }
        Ok(expired)
    }
}

impl Query {
    fn has(&self, found: &FoundMessage) -> bool {
        let Entry {
            created, sequence, ..
        } = found.entry;
        let rank = Mark { created, sequence };
        self.from.is_none_or(|from| from <= created)
            && self.to.is_none_or(|to| created <= to)
            && self.before.is_none_or(|mark| rank < mark)
            && self
                .topic
                .as_ref()
                .is_none_or(|topic| *topic == found.topic)
    }
}

/// A message that matches, ordered by time and then sequence.
struct Ready {
    found: FoundMessage,
    status: StatusKind,
}

impl Ready {
    fn rank(&self) -> (UnixSeconds, u64) {
        (self.found.entry.created, self.found.entry.sequence.0)
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Ready) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ready {}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Ready) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ready {
    fn cmp(&self, other: &Ready) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}
