//! Format 1: a folder `log/` of segments and a folder `sled/` with the mirror.

use std::io;
use std::path::Path;

/// Makes the folders of an empty store.
pub(super) fn run(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir.join("log"))
}
