//! Refuses by name what a newer version has written, before a byte of the store is touched.
//!
//! A change of the stored form raises the number in the file `format`. Log and snapshot have marks
//! of their own as well, for a store whose files were brought together by hand. A mark counts only
//! where nothing around it has today's form: otherwise the mark is damaged.

use std::path::Path;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};
use crate::store::fs::layout::Layout;
use crate::store::log::frame::{self, HEAD_BYTES, Head, newer, newer_frame};
use crate::store::log::segment::{
    READ_AHEAD, SEGMENT_HEAD_BYTES, SEGMENT_MAGIC, segment_numbers, segment_path,
};
use crate::store::recovery::migrate;
use crate::store::snapshot;

/// Reads the marks of a store: its number, the snapshot's, and the first bytes of each segment.
pub(crate) fn refuse_newer(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    migrate::check(files, &layout.dir)?;
    snapshot::refuse_newer(files, &layout.snapshot)?;
    for number in segment_numbers(files, &layout.log)? {
        segment(files, &segment_path(&layout.log, number))?;
    }
    Ok(())
}

fn segment(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    let file = files.open(path, OpenHow::Read).doing("open", path)?;
    let len = file.len().doing("look at", path)?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(READ_AHEAD)];
    file.read_exact_at(&mut bytes, 0).doing("read", path)?;
    let head_bytes = usize::try_from(SEGMENT_HEAD_BYTES).expect("it is small");
    let Some((head, frame)) = bytes.split_at_checked(head_bytes) else {
        return Ok(());
    };
    let seed = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if let Some(version) = frame::newer_version(seed, frame) {
        return Err(newer_frame(path, version));
    }
    let (name, version) = (&SEGMENT_MAGIC[..7], SEGMENT_MAGIC[7]);
    let is_known = Head::parse(frame).is_ok_and(|head| {
        let end = HEAD_BYTES + head.meta_len;
        frame
            .get(..end)
            .is_none_or(|bytes| head.meta(seed, bytes).is_ok())
    });
    match head.starts_with(name) && head[7] > version && !is_known {
        true => Err(newer(path, head[7].into(), version.into())),
        false => Ok(()),
    }
}
