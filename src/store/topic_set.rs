//! Which topics a block may have, in 128 bytes whatever their number.

use crate::message::Topic;

const WORDS: usize = 16;
/// The bytes of a set in the mirror.
pub(crate) const TOPIC_SET_BYTES: usize = WORDS * 8;

/// A set of topics that may say yes wrongly, never no: each topic is one of 1,024 bits.
///
/// A block holds 1,024 messages, so with up to a hundred topics nine of ten blocks without a
/// topic are passed over unread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicSet([u64; WORDS]);

impl TopicSet {
    pub(crate) fn insert(&mut self, topic: &Topic) {
        let hash = hash(topic);
        self.0[(hash / 64) as usize % WORDS] |= 1 << (hash % 64);
    }

    pub(crate) fn intersects(&self, other: &TopicSet) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn to_bytes(self) -> [u8; TOPIC_SET_BYTES] {
        let mut bytes = [0; TOPIC_SET_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<TopicSet> {
        let bytes: &[u8; TOPIC_SET_BYTES] = bytes.try_into().ok()?;
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_be_bytes(chunk.try_into().ok()?);
        }
        Some(TopicSet(words))
    }
}

impl<'a> FromIterator<&'a Topic> for TopicSet {
    fn from_iter<I: IntoIterator<Item = &'a Topic>>(topics: I) -> TopicSet {
        let mut set = TopicSet::default();
        for topic in topics {
            set.insert(topic);
        }
        set
    }
}

/// FNV-1a: stored in the mirror, so it must never change.
fn hash(topic: &Topic) -> u64 {
    let hash = topic
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: std::ops::Range<u32>) -> Vec<Topic> {
        names
            .map(|n| format!("topic-{n}").parse().unwrap())
            .collect()
    }

    #[test]
    fn a_set_never_denies_what_it_has() {
        let all = topics(0..500);
        let set: TopicSet = all.iter().collect();
        for topic in &all {
            assert!(set.intersects(&TopicSet::from_iter([topic])));
        }
        assert_eq!(TopicSet::from_bytes(&set.to_bytes()), Some(set));
    }

    #[test]
    fn a_set_of_few_denies_most_others() {
        let set: TopicSet = topics(0..10).iter().collect();
        let wrong = topics(1000..2000)
            .iter()
            .filter(|topic| set.intersects(&TopicSet::from_iter([*topic])))
            .count();
        assert!(wrong < 30, "{wrong} of 1000");
    }
}
