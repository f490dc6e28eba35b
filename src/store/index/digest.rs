//! A digest of the state, by which stores that follow the same order are compared.

use sha1::{Digest, Sha1};

use crate::message::StatusKind;
use crate::store::index::Index;

impl Index {
    /// A digest of what the entries add up to: next sequence, cutoff, growth, the counts of each
    /// topic, and the status of every message. Positions in the log are not in it, nor days, which
    /// go by the time zone: stores may differ in both.
    pub(crate) fn digest(&self) -> [u8; 20] {
        let mut sha1 = Sha1::new();
        sha1.update(self.next.to_be_bytes());
        sha1.update(self.cutoff.0.to_be_bytes());
        for (quarter, count) in &self.growth.quarters {
            sha1.update(quarter.to_be_bytes());
            sha1.update(count.to_be_bytes());
        }
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort_by(|a, b| a.0.cmp(b.0));
        for (topic, counts) in topics {
            sha1.update((topic.as_str().len() as u64).to_be_bytes());
            sha1.update(topic.as_str());
            for count in [counts.accepted, counts.not_consumed, counts.consumed] {
                sha1.update(count.to_be_bytes());
            }
        }
        for (number, block) in self.numbered().filter(|(_, block)| !block.is_empty()) {
            sha1.update(number.to_be_bytes());
            for kind in StatusKind::ALL {
                for bit in block.in_status(kind).iter() {
                    sha1.update(bit.to_be_bytes());
                }
                sha1.update(u64::MAX.to_be_bytes());
            }
        }
        sha1.finalize().into()
    }
}
