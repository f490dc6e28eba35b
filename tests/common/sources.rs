//! The sources, for tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of Rust below a folder.
pub(crate) fn below(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(below(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}
