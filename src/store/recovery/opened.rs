//! A store that has been read back, before its threads run.

use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::damage::Findings;
use crate::store::log::local::Log;
use crate::store::mirror::Mirror;
use crate::store::recovery::recovered::Recovered;
use crate::store::repair::scrub::Scrub;
use crate::store::snapshot::Snapshot;

/// A store that has been read back, before its threads run.
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) index: Index,
    pub(crate) mirror: Mirror,
    pub(crate) snapshot: Snapshot,
    pub(crate) recovered: Recovered,
    pub(crate) findings: Arc<Findings>,
    /// What is left to be scrubbed in the background, if that is much.
    pub(crate) scrub: Option<Scrub>,
    /// Whether the file at the snapshot's path is one of the original, still to be imported.
    pub(crate) original: bool,
}

/// Writes the whole index to the mirror, and the mirror to the disk.
pub(crate) fn mirror_all(opened: &mut Opened) -> Result<(), StoreError> {
    opened.index.mark_all_dirty();
    opened.mirror.apply(&opened.index.take_changes())?;
    opened.index.mirrored(None);
    opened.mirror.flush()
}
