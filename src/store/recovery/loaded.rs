//! Loads the mirror at a start, and decides whether it can be used and belongs to the log.

use crate::store::error::StoreError;
use crate::store::fs::layout::Layout;
use crate::store::fs::reserve::{Reserve, Urgency};
use crate::store::index::Index;
use crate::store::log::position::Position;
use crate::store::log::segments::Segments;
use crate::store::mirror::{self, Mirror};

/// The mirror, and the state that it stands for.
pub(super) struct LoadedMirror {
    pub(super) mirror: Mirror,
    pub(super) index: Index,
    /// Why the state is empty: the mirror must be built from the log.
    pub(super) unusable: Option<String>,
}

impl LoadedMirror {
    /// Opens the mirror and loads its state. One that cannot be used is renamed, and an empty one is
    /// opened in its place.
    pub(super) fn open(layout: &Layout, reserve: &Reserve) -> Result<LoadedMirror, StoreError> {
        let absent = !layout.sled.exists();
        let opened = open_mirror(layout, reserve).and_then(|mirror| {
            let index = mirror.load()?;
            Ok((mirror, index))
        });
        let (mirror, index) = match opened {
            Ok(opened) => opened,
            // A new mirror could not be opened either.
            Err(error) if error.is_of_machine() => return Err(error),
            Err(error) => {
                mirror::put_aside(&layout.sled)?;
                return LoadedMirror::empty(layout, reserve, error.to_string());
            }
        };
        let unusable = match index.applied() {
            _ if !mirror.is_open() => Some("no space was left to open it".into()),
            _ if absent => Some("there was none".into()),
            // sled takes a file whose beginning it cannot read for a new one.
            applied if applied == Position::default() => Some("it was empty".into()),
            _ => None,
        };
        Ok(LoadedMirror {
            mirror,
            index,
            unusable,
        })
    }

    /// An empty mirror in place of one that is lost.
    fn empty(
        layout: &Layout,
        reserve: &Reserve,
        reason: String,
    ) -> Result<LoadedMirror, StoreError> {
        Ok(LoadedMirror {
            mirror: open_mirror(layout, reserve)?,
            index: Index::new(),
            unusable: Some(reason),
        })
    }

    /// The same mirror, or an empty one if it does not belong to the log with `segments`.
    pub(super) fn of_log(
        self,
        segments: &Segments,
        layout: &Layout,
        reserve: &Reserve,
    ) -> Result<LoadedMirror, StoreError> {
        let seed = segments.seed;
        let oldest = segments.oldest().unwrap_or_default();
        let loaded = if self.mirror.seed().is_some_and(|other| other != seed) {
            drop(self.mirror);
            mirror::put_aside(&layout.sled)?;
            LoadedMirror::empty(layout, reserve, "it belongs to another log".into())?
        } else if self.unusable.is_none() && self.index.applied().segment < oldest {
            // The segments in between are gone, and with them, for example, deletions.
            drop(self.mirror);
            mirror::remove(&layout.sled)?;
            LoadedMirror::empty(layout, reserve, "it is older than the log".into())?
        } else {
            self
        };
        loaded.mirror.set_seed(seed);
        Ok(loaded)
    }
}

/// Opens the mirror. On a full disk, returns one that is not open.
fn open_mirror(layout: &Layout, reserve: &Reserve) -> Result<Mirror, StoreError> {
    match reserve.spend(Urgency::Deletion, || Mirror::open(&layout.sled)) {
        Err(error) if error.is_full() => {
            tracing::warn!(%error, "the disk is too full to open the mirror: the whole log is read instead, and the mirror is written when there is space");
            Ok(Mirror::unopened(&layout.sled))
        }
        opened => opened,
    }
}
