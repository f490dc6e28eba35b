//! Format 1: a folder `log/` of segments and a folder `sled/` with the mirror.

use std::io;
use std::path::Path;

use super::Files;

/// Makes the folders of an empty store.
pub(super) fn run(files: &dyn Files, dir: &Path) -> io::Result<()> {
    files.create_dirs(&dir.join("log"))
}
