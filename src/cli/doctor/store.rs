//! The store: whether a server can read and write it, and would start on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::DateTime;
use rustix::fs::Access;

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::finding::named;
use crate::cli::doctor::machine::changed;
use crate::message::UnixSeconds;
use crate::store::{self, Dates, Examined, Files, OsFiles, Present, StoreError, examine, places};

/// Whether this user may read and write every file of the store of the snapshot `file` in `folder`.
pub(super) fn permissions(file: &Path, folder: &Path) -> Vec<Finding> {
    const CHECK: &str = "permissions";
    let mut findings = vec![];
    let mut all = vec![];
    for place in places(&OsFiles, file).unwrap_or_default() {
        walk(place, &mut all);
    }
    let may = |path: &Path, access| rustix::fs::access(path, access).is_ok();
    let rights = Access::READ_OK | Access::WRITE_OK;
    let mut closed: Vec<&Path> = all
        .iter()
        .map(|path| &**path)
        .filter(|path| !may(path, rights))
        .collect();
    if !may(folder, rights | Access::EXEC_OK) {
        closed.push(folder);
    }
    if !closed.is_empty() {
        findings.push(Finding::fail(
            CHECK,
            format!("this user may not read and write {}", named(&closed)),
            "run this as the server's user; if it is, give everything to it: chown -R USER",
        ));
    }
    let owner = |path: &Path| fs::metadata(path).ok().map(|it| it.uid());
    let ours = owner(folder);
    let strange: Vec<&Path> = all
        .iter()
        .map(|path| &**path)
        .filter(|path| owner(path) != ours)
        .collect();
    if !strange.is_empty() {
        findings.push(Finding::warn(
            CHECK,
            format!("not of the owner of {}: {}", folder.display(), named(&strange)),
            "give them to the server's user: chown; a command that was run by root leaves such files",
        ));
    }
    if findings.is_empty() {
        let text = format!("everything in {} can be read and written", folder.display());
        findings.push(Finding::ok(CHECK, text));
    }
    findings
}

/// `path`, and everything in it.
fn walk(path: PathBuf, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
        walk(entry.path(), all);
    }
    all.push(path);
}

/// The last write to the store of the snapshot `file`.
pub(super) fn newest(file: &Path) -> Option<SystemTime> {
    let places = places(&OsFiles, file).unwrap_or_default();
    places.iter().filter_map(|place| changed(place)).max()
}

/// Reports messages dated ahead of the clock, which says `now`.
pub(super) fn dates(file: &Path, now: UnixSeconds) -> Vec<Finding> {
    const CHECK: &str = "clock";
    const DAY_SECONDS: u64 = 24 * 3600;
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    // What keeps it from being read is what other checks are for.
    let Ok(Dates { cutoff, ahead }) = store::dates(&files, file, now) else {
        return vec![];
    };
    let mut findings = vec![];
    if ahead > 0 {
        findings.push(Finding::fail(
            CHECK,
            format!("{ahead} messages are dated ahead of it: it was ahead when they came, or they came from elsewhere"),
            "set the clock if it is wrong; if it is right, a server deletes them when it has run for mq.cleanTime, or delete them in the console",
        ));
    }
    if cutoff.saturating_sub(DAY_SECONDS) > now {
        let date = date(cutoff);
        findings.push(Finding::warn(
            CHECK,
            format!("what was created before {date} has expired, and that is still to come: the clock was ahead"),
            "set the clock if it is wrong; if it is right, there is nothing to do: new messages have its time",
        ));
    }
    findings
}

/// Reports the age of the newest backup that a server of this store has sent.
fn backup(file: &Path, now: UnixSeconds) -> Finding {
    const CHECK: &str = "backup";
    const OLD_DAYS: u32 = 7;
    let advice = "take one now and then, to another disk: dpmq backup FILE; copies made in other ways are not known of";
    match store::last_backup(&OsFiles, file) {
        Ok(Some(at)) => {
            let days = now.0.saturating_sub(at.0) / (24 * 3600);
            let age = match days {
                0 => "less than a day ago".to_owned(),
                1 => "a day ago".to_owned(),
                days => format!("{days} days ago"),
            };
            let text = format!("the last one was taken {age}, at {}", date(at));
            match days < OLD_DAYS {
                true => Finding::ok(CHECK, text),
                false => Finding::warn(CHECK, text, advice),
            }
        }
        Ok(None) => Finding::warn(CHECK, "no server of this store has ever sent one", advice),
        Err(error) => Finding::warn(
            CHECK,
            format!("when the last one was taken is not known: {error}"),
            "let the server's user read that file, or remove it",
        ),
    }
}

fn date(at: UnixSeconds) -> String {
    let date = DateTime::from_timestamp(at.0.into(), 0).unwrap_or_default();
    date.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Whether a server would start on the store of the snapshot `file`, or runs on it.
pub(super) fn check(file: &Path, now: UnixSeconds) -> Vec<Finding> {
    const CHECK: &str = "store";
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let Examined {
        present,
        log_bytes,
        snapshot_bytes,
        report,
    } = match examine(&files, file) {
        Ok(examined) => examined,
        Err(StoreError::Locked { path }) => {
            let text = format!("a server has it open ({} is locked)", path.display());
            return vec![Finding::ok(CHECK, text), backup(file, now)];
        }
        Err(error) => {
            let advice = match &error {
                StoreError::RestoreCutOff { .. } => "run dpmq restore again",
                StoreError::FormatTooNew { .. } => "run the version that wrote it, or a newer one",
                StoreError::NotOurs { .. } => {
                    "move it away, or name another file in mq.persistentFile"
                }
                _ => "let the server's user read it; dpmq verify says what else is wrong",
            };
            return vec![Finding::fail(CHECK, error.to_string(), advice)];
        }
    };
    let shown = file.display();
    let text = match present {
        Present::Nothing => format!("there is none at {shown}; a server makes it"),
        Present::Snapshot => {
            format!("there is a snapshot alone at {shown}; a server makes the store from it")
        }
        Present::Original => {
            format!("{shown} is a data file of the original; a server takes it over")
        }
        Present::Store => format!(
            "its format is known; log {} MiB, snapshot {} MiB; dpmq verify reads all of it",
            log_bytes >> 20,
            snapshot_bytes >> 20
        ),
    };
    let mut findings = vec![Finding::ok(CHECK, text)];
    if present == Present::Store {
        findings.push(backup(file, now));
    }
    for finding in &report.findings {
        findings.push(Finding::warn(
            CHECK,
            format!("damaged: {finding}"),
            "a server heals what the snapshot has; dpmq verify says what is lost",
        ));
    }
    findings
}
