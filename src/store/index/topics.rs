//! Tells the topic of each message: a table of all topics that have messages, with their counts,
//! and for each block the topics of its messages as places in that table.
//!
//! So counts, lists and deletions of one topic touch only the index, whatever the number of topics.
//! A block of one topic costs four bytes for it, a block of several two bytes per message.

use std::collections::{BTreeSet, HashMap};

use crate::message::{StatusKind, Topic};
use crate::store::counts::Counts;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};

/// Places examined before the lock of the index is released: everything waits for it.
const ROWS_AT_ONCE: usize = 1024;

/// A topic's place in the [`TopicTable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicId(pub(crate) u32);

/// Every topic that has messages.
///
/// A place is given to another topic only when the mirror knows that its former topic is gone. So a
/// mirror that is written in part never has a message under the wrong topic.
#[derive(Debug, Default)]
pub(crate) struct TopicTable {
    rows: Vec<Option<Row>>,
    ids: HashMap<Topic, TopicId>,
    /// Topics without messages. They leave when the mirror knows.
    empty: BTreeSet<TopicId>,
    /// Places without a topic that the mirror may not know of.
    leaving: BTreeSet<TopicId>,
    free: BTreeSet<TopicId>,
    /// New topics that the mirror lacks.
    fresh: BTreeSet<TopicId>,
}

#[derive(Clone, Debug)]
struct Row {
    topic: Topic,
    /// By [`StatusKind::index`].
    counts: [u64; 3],
}

impl Row {
    fn is_empty(&self) -> bool {
        self.counts == [0; 3]
    }
}

/// What the mirror must write to have the table.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TopicChanges {
    pub(crate) fresh: Vec<(TopicId, Topic)>,
    pub(crate) gone: Vec<TopicId>,
}

impl TopicTable {
    /// The table that a mirror had, without counts. `None` if a topic has two places.
    pub(crate) fn restore(names: HashMap<TopicId, Topic>) -> Option<TopicTable> {
        let mut table = TopicTable::default();
        let end = names.keys().max().map_or(0, |last| last.0 as usize + 1);
        table.rows.resize(end, None);
        for (id, topic) in names {
            if table.ids.insert(topic.clone(), id).is_some() {
                return None;
            }
            table.empty.insert(id);
            table.rows[id.0 as usize] = Some(Row {
                topic,
                counts: [0; 3],
            });
        }
        let ids = (0..).map(TopicId).take(end);
        table.free = ids.filter(|id| table.row(*id).is_none()).collect();
        Some(table)
    }

    /// The place of a topic that is about to get a message.
    pub(crate) fn intern(&mut self, topic: &Topic) -> TopicId {
        if let Some(id) = self.ids.get(topic) {
            return *id;
        }
        let id = self.free.pop_first().unwrap_or_else(|| {
            self.rows.push(None);
            TopicId(u32::try_from(self.rows.len() - 1).expect("topics fit in memory"))
        });
        self.rows[id.0 as usize] = Some(Row {
            topic: topic.clone(),
            counts: [0; 3],
        });
        self.ids.insert(topic.clone(), id);
        self.empty.insert(id);
        self.fresh.insert(id);
        id
    }

    fn row(&self, id: TopicId) -> Option<&Row> {
        self.rows.get(id.0 as usize)?.as_ref()
    }

    fn row_mut(&mut self, id: TopicId) -> &mut Row {
        let row = self.rows.get_mut(id.0 as usize).and_then(Option::as_mut);
        row.expect("a message that is there has its topic in the table")
    }

    /// Counts new `messages` of a topic in `kind`.
    pub(crate) fn add(&mut self, id: TopicId, kind: StatusKind, messages: u64) {
        if messages > 0 {
            let row = self.row_mut(id);
            let was_empty = row.is_empty();
            row.counts[kind.index()] += messages;
            if was_empty {
                self.empty.remove(&id);
            }
        }
    }

    /// Counts `messages` of a topic that went from one status to another, or away.
    pub(crate) fn moved(
        &mut self,
        id: TopicId,
        from: StatusKind,
        to: Option<StatusKind>,
        messages: u64,
    ) {
        let row = self.row_mut(id);
        row.counts[from.index()] -= messages;
        if let Some(to) = to {
            row.counts[to.index()] += messages;
        }
        if row.is_empty() {
            self.empty.insert(id);
        }
    }

    /// The number of topics that have messages.
    pub(crate) fn len(&self) -> usize {
        self.ids.len() - self.empty.len()
    }

    pub(crate) fn id(&self, topic: &Topic) -> Option<TopicId> {
        self.ids.get(topic).copied()
    }

    pub(crate) fn name(&self, id: TopicId) -> Option<&Topic> {
        Some(&self.row(id)?.topic)
    }

    pub(crate) fn counts(&self, topic: &Topic) -> Counts {
        self.id(topic)
            .and_then(|id| self.row(id))
            .map(|row| counts_of(row.counts))
            .unwrap_or_default()
    }

    /// Every topic with its counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Topic, Counts)> {
        self.rows
            .iter()
            .flatten()
            .filter(|row| !row.is_empty())
            .map(|row| (&row.topic, counts_of(row.counts)))
    }

    /// Passes some topics with their counts to `each`, from a place in the table on. Returns where
    /// to continue, unless that was all.
    pub(crate) fn some_from(
        &self,
        place: usize,
        each: &mut dyn FnMut(&Topic, Counts),
    ) -> Option<usize> {
        let end = place.saturating_add(ROWS_AT_ONCE).min(self.rows.len());
        let rows = self.rows.get(place..end)?.iter().flatten();
        for row in rows.filter(|row| !row.is_empty()) {
            each(&row.topic, counts_of(row.counts));
        }
        (end < self.rows.len()).then_some(end)
    }

    /// The ids of those of `topics` that have messages.
    pub(crate) fn ids<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) -> TopicIds {
        let mut ids = TopicIds::default();
        for id in topics.into_iter().filter_map(|topic| self.id(topic)) {
            ids.insert(id);
        }
        ids
    }

    /// Marks everything as not mirrored.
    pub(crate) fn mark_all_dirty(&mut self) {
        self.fresh.extend(self.ids.values());
    }

    /// Takes what changed since the last call. The caller ends it with [`TopicTable::mirrored`].
    pub(crate) fn take_changes(&mut self) -> TopicChanges {
        for id in std::mem::take(&mut self.empty) {
            if let Some(row) = self.rows[id.0 as usize].take() {
                self.ids.remove(&row.topic);
                self.leaving.insert(id);
            }
        }
        let fresh = std::mem::take(&mut self.fresh);
        TopicChanges {
            fresh: fresh
                .into_iter()
                .filter_map(|id| Some((id, self.name(id)?.clone())))
                .collect(),
            gone: self.leaving.iter().copied().collect(),
        }
    }

    /// Ends what [`TopicTable::take_changes`] began. `failed` returns what was not written.
    pub(crate) fn mirrored(&mut self, failed: Option<TopicChanges>) {
        match failed {
            None => self.free.append(&mut self.leaving),
            Some(changes) => self.fresh.extend(changes.fresh.iter().map(|(id, _)| *id)),
        }
    }
}

fn counts_of([accepted, not_consumed, consumed]: [u64; 3]) -> Counts {
    Counts {
        accepted,
        not_consumed,
        consumed,
    }
}

/// A set of topics, one bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicIds(Vec<u64>);

impl TopicIds {
    /// Adds a topic. Returns false if it was there.
    pub(crate) fn insert(&mut self, id: TopicId) -> bool {
        let word = id.0 as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let fresh = !self.contains(id);
        self.0[word] |= 1 << (id.0 % 64);
        fresh
    }

    pub(crate) fn contains(&self, id: TopicId) -> bool {
        let word = self.0.get(id.0 as usize / 64);
        word.is_some_and(|word| word >> (id.0 % 64) & 1 == 1)
    }
}

/// Which topic each message of a block is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BlockTopics {
    /// The topics, in the order of their first message.
    ids: Vec<TopicId>,
    /// The place in `ids` of each message's topic. Empty while there is only one topic.
    places: Vec<u16>,
}

impl BlockTopics {
    /// Sets the topic of the messages from `low` up to `high`.
    pub(crate) fn set(&mut self, low: u64, high: u64, id: TopicId) {
        let (low, high) = (index_of(low), index_of(high));
        let before = low
            .checked_sub(1)
            .and_then(|at| self.places.get(at))
            .copied()
            .filter(|place| self.ids[usize::from(*place)] == id);
        let place = before.unwrap_or_else(|| self.place(id));
        if self.ids.len() == 1 {
            return;
        }
        if self.places.len() < high {
            self.places
                .reserve_exact(index_of(BLOCK_LEN) - self.places.len());
            self.places.resize(high, 0);
        }
        self.places[low..high].fill(place);
    }

    fn place(&mut self, id: TopicId) -> u16 {
        let at = self.ids.iter().position(|known| *known == id);
        let at = at.unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        u16::try_from(at).expect("a block has 1,024 messages")
    }

    /// The topic of a message that is in the block.
    pub(crate) fn of(&self, bit: u64) -> Option<TopicId> {
        let place = self.places.get(index_of(bit)).copied().unwrap_or_default();
        self.ids.get(usize::from(place)).copied()
    }

    /// Passes the topics of some messages to `each`, with the number of messages. A topic may come
    /// more than once.
    pub(crate) fn count(&self, messages: &Bitmap, mut each: impl FnMut(TopicId, u64)) {
        match self.ids[..] {
            [] => {}
            _ if messages.is_empty() => {}
            [id] => each(id, messages.len()),
            _ => {
                let (mut last, mut run) = (0_u16, 0);
                for bit in messages.iter() {
                    let place = self.places.get(index_of(bit)).copied().unwrap_or_default();
                    if place != last && run > 0 {
                        each(self.ids[usize::from(last)], run);
                        run = 0;
                    }
                    last = place;
                    run += 1;
                }
                if run > 0 {
                    each(self.ids[usize::from(last)], run);
                }
            }
        }
    }

    /// Whether the block has, or had, a message of one of `wanted`.
    pub(crate) fn has(&self, wanted: &TopicIds) -> bool {
        self.ids.iter().any(|id| wanted.contains(*id))
    }

    /// Keeps those of `messages` that are of one of `wanted`.
    pub(crate) fn retain(&self, messages: &mut Bitmap, wanted: &TopicIds) {
        if !self.has(wanted) {
            *messages = Bitmap::default();
        } else if self.ids.len() > 1 {
            let is_wanted: Vec<bool> = self.ids.iter().map(|id| wanted.contains(*id)).collect();
            messages.retain(|bit| {
                let place = self.places.get(index_of(bit)).copied().unwrap_or_default();
                is_wanted[usize::from(place)]
            });
        }
    }

    /// The number of topics, the topics, the places: big-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + self.ids.len() * 4 + self.places.len() * 2);
        let len = u16::try_from(self.ids.len()).expect("a block has 1,024 messages");
        bytes.extend_from_slice(&len.to_be_bytes());
        for id in &self.ids {
            bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        for place in &self.places {
            bytes.extend_from_slice(&place.to_be_bytes());
        }
        bytes
    }

    /// The inverse of [`BlockTopics::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<BlockTopics> {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (ids, places) = rest.split_at_checked(len * 4)?;
        let ids = ids
            .as_chunks::<4>()
            .0
            .iter()
            .map(|id| TopicId(u32::from_be_bytes(*id)))
            .collect();
        let (places, odd) = places.as_chunks::<2>();
        let places: Vec<u16> = places
            .iter()
            .map(|place| u16::from_be_bytes(*place))
            .collect();
        let sound = odd.is_empty()
            && places.len() <= index_of(BLOCK_LEN)
            && places.iter().all(|place| usize::from(*place) < len);
        sound.then_some(BlockTopics { ids, places })
    }

    /// Whether all of its topics are in the table.
    pub(crate) fn is_of(&self, messages: &Bitmap, table: &TopicTable) -> bool {
        let mut known = messages.is_empty() || !self.ids.is_empty();
        self.count(messages, |id, _| known &= table.name(id).is_some());
        known
    }
}

fn index_of(bit: u64) -> usize {
    usize::try_from(bit).expect("a block has 1,024 messages")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(n: u32) -> Topic {
        format!("topic-{n}").parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_block_knows_the_topic_of_each_message(
            runs in prop::collection::vec((0_u32..40, 1_u64..60), 1..40), wanted in 0_u32..40
        ) {
            let mut topics = BlockTopics::default();
            let mut of = vec![];
            for (id, len) in runs {
                let low = of.len() as u64;
                let high = (low + len).min(BLOCK_LEN);
                if low < high {
                    topics.set(low, high, TopicId(id));
                    of.resize(usize::try_from(high).unwrap(), id);
                }
            }
            let mut set = TopicIds::default();
            set.insert(TopicId(wanted));
            let all = Bitmap::range(0, of.len() as u64);
            for topics in [&topics, &BlockTopics::from_bytes(&topics.to_bytes()).unwrap()] {
                let mut counted: HashMap<u32, u64> = HashMap::new();
                topics.count(&all, |id, n| *counted.entry(id.0).or_default() += n);
                let mut expected: HashMap<u32, u64> = HashMap::new();
                of.iter().for_each(|id| *expected.entry(*id).or_default() += 1);
                prop_assert_eq!(counted, expected);
                let mut kept = all.clone();
                topics.retain(&mut kept, &set);
                let expected: Vec<u64> = (0..).zip(&of).filter(|(_, id)| **id == wanted).map(|(bit, _)| bit).collect();
                prop_assert_eq!(kept.iter().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_place_is_given_to_another_topic_once_the_mirror_knows_it_is_free() {
        let mut table = TopicTable::default();
        let first = table.intern(&topic(1));
        table.add(first, StatusKind::Accepted, 2);
        table.moved(first, StatusKind::Accepted, Some(StatusKind::Consumed), 1);
        assert_eq!(table.counts(&topic(1)).all(), 2);
        let second = table.intern(&topic(2));
        table.add(second, StatusKind::Accepted, 1);
        assert_eq!(table.take_changes().fresh.len(), 2);
        table.mirrored(None);

        table.moved(first, StatusKind::Accepted, None, 1);
        assert_eq!(table.len(), 2);
        table.moved(first, StatusKind::Consumed, None, 1);
        assert_eq!(table.len(), 1);
        assert_eq!(table.iter().count(), 1);
        let changes = table.take_changes();
        assert_eq!(
            (&changes.gone[..], table.id(&topic(1))),
            (&[first][..], None)
        );
        table.mirrored(Some(changes));
        // Not yet: the mirror may still have messages under this place.
        let third = table.intern(&topic(3));
        assert_ne!(third, first);
        table.add(third, StatusKind::Accepted, 1);
        let changes = table.take_changes();
        assert_eq!(changes.gone, [first]);
        assert_eq!(changes.fresh, [(third, topic(3))]);
        table.mirrored(None);
        assert_eq!(table.intern(&topic(4)), first);
    }

    #[test]
    fn a_topic_in_two_places_is_refused() {
        let names = |second| HashMap::from([(TopicId(0), topic(0)), (TopicId(4), topic(second))]);
        assert!(TopicTable::restore(names(0)).is_none());
        let mut table = TopicTable::restore(names(1)).unwrap();
        assert_eq!((table.len(), table.intern(&topic(2))), (0, TopicId(1)));
    }

    #[test]
    fn other_bytes_are_no_topics() {
        let mut topics = BlockTopics::default();
        topics.set(0, 3, TopicId(7));
        topics.set(3, 5, TopicId(9));
        let bytes = topics.to_bytes();
        assert_eq!(BlockTopics::from_bytes(&bytes), Some(topics));
        assert_eq!(BlockTopics::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(BlockTopics::from_bytes(&bytes[..5]), None);
        let mut wrong = bytes.clone();
        *wrong.last_mut().unwrap() = 2;
        assert_eq!(BlockTopics::from_bytes(&wrong), None);
    }
}
