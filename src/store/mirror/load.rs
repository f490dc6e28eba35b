//! Reads the trees back into an index, and checks that they are what was written.

use std::collections::{BTreeMap, HashMap};

use crate::message::{StatusKind, Topic, UnixSeconds};
use crate::store::error::StoreError;
use crate::store::growth::{Day, Growth};
use crate::store::index::Index;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::Block;
use crate::store::index::changes::IndexState;
use crate::store::index::topics::{TopicId, TopicTable};
use crate::store::log::position::Position;
use crate::store::mirror::consumed::TIME_RANGE_BYTES;
use crate::store::mirror::guard::failed;
use crate::store::mirror::keys::{key_day, kind_byte, parse_status_key, parse_u32, parse_u64};
use crate::store::mirror::trees::{FORMAT, SUM, Trees, hash};

impl Trees {
    /// The state that the trees stand for.
    pub(super) fn load(&self) -> Result<Index, StoreError> {
        self.check()?;
        let mut blocks = self.blocks()?;
        self.add_statuses(&mut blocks)?;
        self.check_times()?;
        let growth = Growth {
            days: self.growth_by_day()?,
            quarters: self.growth_by_quarter()?,
        };
        let topics = self.topics()?;
        let applied = Position::from_u64(self.meta_u64("applied")?);
        let next = self.meta_u64("next")?.max(1);
        let cutoff = UnixSeconds(u32::try_from(self.meta_u64("floor")?).map_err(failed)?);
        let partial = self.meta_u64("partial")? != 0;
        let newest = blocks.last_key_value().map(|(number, _)| *number);
        if newest.is_some_and(|newest| newest > next / BLOCK_LEN) && !partial {
            return Err(failed("there is a block of messages to come"));
        }
        let mut index = Index::restore(IndexState {
            blocks,
            topics,
            growth,
            next,
            cutoff,
            applied,
        })
        .ok_or_else(|| failed("there are messages of no topic"))?;
        if partial {
            // What a replay leads to may be there already, without its counts.
            index.mark_all_dirty();
        } else {
            self.check_counts(&index)?;
        }
        Ok(index)
    }

    /// Whether the mirror has the form that this version writes, and is complete.
    fn check(&self) -> Result<(), StoreError> {
        let mut sum = 0_u64;
        for (name, tree) in self.all() {
            for entry in tree {
                let (key, value) = entry.map_err(failed)?;
                if *key != *SUM {
                    sum = sum.wrapping_add(hash(name, &key, &value));
                }
            }
        }
        let stored = self.meta_u64("sum")?;
        match self.meta_u64("format")? {
            // Empty, or the first change was interrupted.
            0 if sum == stored => Ok(()),
            FORMAT if sum == stored => Ok(()),
            FORMAT => Err(failed("its content is not what was written")),
            0 => Err(failed("it is of an older form")),
            other => Err(failed(format!("it is of form {other}, not {FORMAT}"))),
        }
    }

    /// The blocks without their bitmaps.
    fn blocks(&self) -> Result<BTreeMap<u64, Block>, StoreError> {
        let mut blocks = BTreeMap::new();
        for entry in &self.block {
            let (key, value) = entry.map_err(failed)?;
            let number = parse_u64(&key).ok_or_else(|| failed("a block's key is wrong"))?;
            let block = Block::from_bytes(&value).ok_or_else(|| failed("a block is wrong"))?;
            blocks.insert(number, block);
        }
        Ok(blocks)
    }

    /// Adds to the blocks which message is in which status.
    fn add_statuses(&self, blocks: &mut BTreeMap<u64, Block>) -> Result<(), StoreError> {
        for entry in &self.status {
            let (key, value) = entry.map_err(failed)?;
            let (kind, day, number) =
                parse_status_key(&key).ok_or_else(|| failed("a bitmap's key is wrong"))?;
            let bitmap = Bitmap::from_bytes(&value).ok_or_else(|| failed("a bitmap is wrong"))?;
            let block = blocks
                .get_mut(&number)
                .ok_or_else(|| failed("a bitmap is of no block"))?;
            block.day_mut(day).bits[kind.index()] = bitmap;
        }
        Ok(())
    }

    /// Times are not kept in memory, but unreadable ones should be found now.
    fn check_times(&self) -> Result<(), StoreError> {
        for entry in &self.consumed {
            let (_, value) = entry.map_err(failed)?;
            if value.len() % TIME_RANGE_BYTES != 0 {
                return Err(failed("times of consumption are wrong"));
            }
        }
        Ok(())
    }

    /// The number of messages accepted on each day.
    fn growth_by_day(&self) -> Result<BTreeMap<Day, u64>, StoreError> {
        let mut days = BTreeMap::new();
        for entry in &self.growth {
            let (key, value) = entry.map_err(failed)?;
            let cell = key_day(&key).zip(parse_u64(&value));
            let (day, count) = cell.ok_or_else(|| failed("a day's growth is wrong"))?;
            days.insert(day, count);
        }
        Ok(days)
    }

    /// The number of messages accepted in each quarter of an hour.
    fn growth_by_quarter(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        let mut quarters = BTreeMap::new();
        for entry in &self.quarter {
            let (key, value) = entry.map_err(failed)?;
            let cell = parse_u32(&key).zip(parse_u64(&value));
            let (quarter, count) = cell.ok_or_else(|| failed("a quarter's growth is wrong"))?;
            quarters.insert(quarter, count);
        }
        Ok(quarters)
    }

    /// The topics, each in its place.
    fn topics(&self) -> Result<TopicTable, StoreError> {
        let mut topics = HashMap::new();
        for entry in &self.topic {
            let (key, value) = entry.map_err(failed)?;
            let name = std::str::from_utf8(&value).ok();
            let name: Option<Topic> = name.and_then(|name| name.parse().ok());
            let row = parse_u32(&key).zip(name);
            let (id, name) = row.ok_or_else(|| failed("a topic is wrong"))?;
            topics.insert(TopicId(id), name);
        }
        TopicTable::restore(topics).ok_or_else(|| failed("a topic is in two places"))
    }

    /// Whether the stored counts are those of the bitmaps.
    fn check_counts(&self, index: &Index) -> Result<(), StoreError> {
        let mut stored: BTreeMap<Day, [u64; 3]> = BTreeMap::new();
        for entry in &self.count {
            let (key, value) = entry.map_err(failed)?;
            let cell = key.split_first().and_then(|(kind, day)| {
                let kind = StatusKind::ALL
                    .into_iter()
                    .find(|k| kind_byte(*k) == *kind)?;
                Some((kind, key_day(day)?, parse_u64(&value)?))
            });
            let (kind, day, count) = cell.ok_or_else(|| failed("a count is wrong"))?;
            stored.entry(day).or_default()[kind.index()] = count;
        }
        let nonzero = |counts: &BTreeMap<Day, [u64; 3]>| -> BTreeMap<Day, [u64; 3]> {
            counts
                .iter()
                .filter(|(_, counts)| **counts != [0; 3])
                .map(|(day, counts)| (*day, *counts))
                .collect()
        };
        if nonzero(&stored) != nonzero(index.counts_by_day()) {
            return Err(failed("its counts are not those of its bitmaps"));
        }
        Ok(())
    }
}
