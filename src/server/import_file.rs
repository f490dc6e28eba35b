//! Takes the messages of an original's data file over into a store.

use std::path::Path;

use crate::clock::Clock;
use crate::config::{Config, Durability};
use crate::import::{self, ImportError};
use crate::server::open_store::options;
use crate::store::DiskStore;

/// The progress of an import.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Messages that are imported, or were there already.
    pub done: u64,
    /// All messages of the file.
    pub total: u64,
}

/// Imports the messages of an original's data file into the store of `config`, which no server
/// may have open. Returns the result as a sentence, after everything is synced.
///
/// # Errors
/// The file is not one of the original, or the store cannot be written; also if the file is
/// damaged and only a part of it was imported.
pub fn import_file(
    config: &Config,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<String> {
    anyhow::ensure!(
        config.mq.durability == Durability::Disk,
        "mq.isPersistent is 0: there is no store to import into"
    );
    let import = import::read(path).map_err(|error| match error {
        ImportError::Io { .. } => anyhow::Error::new(error),
        ImportError::Foreign { .. } => anyhow::anyhow!("{} is {error}", path.display()),
    })?;
    let total = import.messages.len() as u64;
    progress(Progress { done: 0, total });
    import.tell_refused();
    let mut options = options(&config.mq, Clock::system());
    options.clear = false;
    let imported = DiskStore::import(&options, import.messages, &mut |done| {
        progress(Progress { done, total });
    })?;
    let mut summary = format!("{} messages came over", imported.added);
    if imported.present > 0 {
        summary += &format!(", {} were there already", imported.present);
    }
    if import.refused_entries > 0 {
        let refused = import.refused_entries;
        summary += &format!(", {refused} could not be taken (see the log)");
    }
    match import.damage {
        Some(damage) => anyhow::bail!("{summary}; {damage}"),
        None => Ok(summary),
    }
}
