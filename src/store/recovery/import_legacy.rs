//! Imports the messages of an original into a store that is not running.

use std::collections::{BTreeMap, HashSet};

use crate::import::{self, ImportedMessage};
use crate::message::{Message, MessageCode, Sequence, Status, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, parent};
use crate::store::fs::layout::{Layout, free_name, with_suffix};
use crate::store::log::encode::{frame_ranges, new_message};
use crate::store::log::frame::{self, Frame, NewMessage};
use crate::store::reader::found;
use crate::store::recovery::opened::Opened;
use crate::store::recovery::recovered::Imported;

/// Imports the original's file at the snapshot's path, and renames it. After a crash before the
/// rename, the next start imports it again, which changes nothing.
pub(in crate::store) fn import_legacy(
    files: &dyn Files,
    opened: &mut Opened,
    layout: &Layout,
) -> Result<(), StoreError> {
    let path = &layout.snapshot;
    let file = files.read(path).doing("read", path)?;
    let import = import::parse(&file).map_err(|error| StoreError::NotOurs {
        path: path.clone(),
        what: error.to_string(),
    })?;
    import.tell_refused();
    let imported = add(opened, import.messages, &mut |_| {})?;
    opened.index.mark_all_dirty();
    let kept = free_name(files, &with_suffix(path, ".original"))?;
    files.rename(path, &kept).doing("rename", path)?;
    files.sync_dir(parent(path)).doing("sync", path)?;
    let damage = import
        .damage
        .map(|damage| format!("{}: {damage}", kept.display()));
    opened.recovered.damage.extend(damage);
    opened.recovered.imported = Some((imported, kept));
    opened.recovered.counts = opened.index.counts();
    Ok(())
}

/// Adds the messages that the store lacks, and syncs them. `progress` gets the number done so far.
pub(in crate::store) fn add(
    opened: &mut Opened,
    messages: Vec<ImportedMessage>,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, StoreError> {
    let created = || messages.iter().map(|message| message.created);
    let (Some(from), Some(to)) = (created().min(), created().max()) else {
        return Ok(Imported::default());
    };
    let present: HashSet<MessageCode> = codes_between(opened, from, to)?.into_iter().collect();
    let (fresh, present) = not_present(messages, &present);
    let first = opened.index.next_sequence();
    let messages: Vec<Message> = fresh
        .into_iter()
        .zip(first.0..)
        .map(|(message, sequence)| Message {
            sequence: Sequence(sequence),
            code: message.code,
            topic: message.topic,
            data: message.data,
            created: message.created,
            status: message.status,
        })
        .collect();
    let mut buffer = vec![];
    for range in frame_ranges(&messages) {
        let done = range.end as u64 + present;
        append_with_status(opened, &messages[range], &mut buffer)?;
        progress(done);
    }
    opened.log.sync()?;
    Ok(Imported {
        added: messages.len() as u64,
        present,
    })
}

/// Writes messages and their statuses in one frame, so that a crash keeps both or neither.
fn append_with_status(
    opened: &mut Opened,
    messages: &[Message],
    buffer: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let new_messages: Vec<NewMessage<'_>> = messages.iter().map(new_message).collect();
    let mut changes: BTreeMap<(bool, UnixSeconds), (Change, SequenceSet)> = BTreeMap::new();
    for message in messages {
        let (key, change) = match message.status {
            Status::Accepted => continue,
            Status::NotConsumed => ((false, UnixSeconds::MIN), Change::NotConsumed),
            Status::Consumed { at } => ((true, at), Change::Consumed { at }),
        };
        let entry = changes
            .entry(key)
            .or_insert_with(|| (change, SequenceSet::new()));
        entry.1.insert(message.sequence);
    }
    let changes: Vec<_> = changes.into_values().collect();
    let frame = Frame {
        first: messages[0].sequence,
        new_messages: &new_messages,
        changes: &changes,
        ..Frame::default()
    };
    buffer.clear();
    frame::encode(buffer, opened.log.seed(), &frame);
    let position = opened.log.end();
    opened.log.append(buffer)?;
    let last = messages[messages.len() - 1].sequence;
    opened.log.publish(last.0);
    let located = opened.log.segments().meta_at(position)?;
    opened.index.apply(position, located.next, &located.meta);
    if opened.log.is_full() {
        let checkpoint = opened.index.checkpoint();
        opened.log.drop_preallocated()?;
        opened.log.sync()?;
        opened.log.roll(&checkpoint)?;
        opened.index.advance(opened.log.end());
    }
    Ok(())
}

fn codes_between(
    opened: &mut Opened,
    from: UnixSeconds,
    to: UnixSeconds,
) -> Result<Vec<MessageCode>, StoreError> {
    let (segments, findings) = (opened.log.segments(), &opened.findings);
    found::codes_between(segments, &opened.index, findings, from, to)
}

/// The messages of an import that are not in `present`, and how many were.
fn not_present(
    messages: Vec<ImportedMessage>,
    present: &HashSet<MessageCode>,
) -> (Vec<ImportedMessage>, u64) {
    let all = messages.len();
    let fresh: Vec<_> = messages
        .into_iter()
        .filter(|message| !present.contains(&message.code))
        .collect();
    let present = all - fresh.len();
    (fresh, present as u64)
}
