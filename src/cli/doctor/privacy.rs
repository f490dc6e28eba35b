//! What other users of the machine can read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::finding::{folder_of, named};
use crate::config::{Config, Durability};
use crate::store::{OsFiles, places};
use crate::telemetry;

const CHECK: &str = "privacy";
/// Any access for users other than the owner.
const OTHERS: u32 = 0o077;

/// Whether only the server's user can read data and log.
pub(super) fn check(config: &Config) -> Finding {
    let mut files = vec![];
    if config.mq.durability != Durability::Memory {
        files = places(&OsFiles, &config.mq.persistent_file).unwrap_or_default();
    }
    if config.log.file {
        files.push(PathBuf::from(telemetry::LOG_DIR));
    }
    files.extend(config.log.audit_file.clone());
    let mut open = vec![];
    for file in &files {
        if is_open(&folder_of(file)) {
            walk(file, &mut open);
        }
    }
    if open.is_empty() {
        return Finding::ok(
            CHECK,
            "no other user of this machine can look into data or log",
        );
    }
    let paths: Vec<&Path> = open.iter().map(|path| &**path).collect();
    let roots = files.iter().filter(|file| open.contains(file));
    let roots: Vec<String> = roots.map(|it| it.display().to_string()).collect();
    Finding::warn(
        CHECK,
        format!(
            "other users of this machine can look into {}",
            named(&paths)
        ),
        format!("chmod -R go= {}", roots.join(" ")),
    )
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.permissions().mode() & OTHERS != 0)
}

/// What others can read at `path` and in it. A closed folder hides everything in it.
fn walk(path: &Path, open: &mut Vec<PathBuf>) {
    if !is_open(path) {
        return;
    }
    open.push(path.to_owned());
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        walk(&entry.path(), open);
    }
}
