//! The machine: port, open files, clock, the folder of the log.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, Utc};
use rlimit::Resource;
use rustix::fs::Access;

use crate::cli::client::url::ServerUrl;
use crate::cli::doctor::finding::Finding;
use crate::cli::health;
use crate::config::Config;
use crate::telemetry;

/// Fewer open files leave little for clients beside the files of the store.
const OPEN_FILES_MIN: u64 = 4096;
/// Times outside these years mean a wrong clock.
const YEARS: std::ops::Range<i32> = 2026..2100;
/// Clocks that are synchronised differ by less.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// A server that was stopped for this much longer than mq.cleanTime deletes nothing at its start.
const LONG_STOP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether the port is free, or a server listens on it already.
pub(super) fn port(config: &Config) -> Finding {
    const CHECK: &str = "port";
    let address = (config.listen_host().host, config.server.port);
    let shown = format!("{}:{}", address.0, address.1);
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(CHECK, format!("{shown} can be listened on")),
        Err(error) => error,
    };
    if error.kind() == ErrorKind::AddrInUse {
        let asked = ServerUrl::configured(config)
            .ok()
            .map(|url| health::ask(&url));
        return match asked {
            Some(Ok((true, _))) => {
                Finding::ok(CHECK, format!("a server listens on {shown}, and is ready"))
            }
            Some(Ok((false, said))) => Finding::warn(
                CHECK,
                format!(
                    "a server listens on {shown}, and is not ready: {}",
                    String::from_utf8_lossy(&said)
                ),
                "its log says why",
            ),
            _ => Finding::fail(
                CHECK,
                format!("another program listens on {shown}"),
                "set server.port to another number, or end that program; as root, ss -ltnp names it",
            ),
        };
    }
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: take a higher server.port"
        }
        ErrorKind::AddrNotAvailable => {
            "server.host is no address of this machine: set it to one, or to 0.0.0.0"
        }
        _ => "set server.host to an address of this machine, or to 0.0.0.0",
    };
    Finding::fail(
        CHECK,
        format!("{shown} cannot be listened on: {error}"),
        advice,
    )
}

/// The limit of open files; every client takes one.
pub(super) fn open_files() -> Finding {
    const CHECK: &str = "open files";
    match rlimit::getrlimit(Resource::NOFILE) {
        Ok((_, hard)) if hard >= OPEN_FILES_MIN => Finding::ok(
            CHECK,
            format!("up to {hard}, of which each client takes one"),
        ),
        Ok((_, hard)) => Finding::warn(
            CHECK,
            format!("up to {hard}, of which each client takes one, and the store some"),
            "raise the hard limit: LimitNOFILE= of systemd, ulimit -Hn, or nofile of a container",
        ),
        Err(error) => Finding::warn(
            CHECK,
            format!("the limit is not known: {error}"),
            "see ulimit -Hn",
        ),
    }
}

/// Whether the file of the log can be written; a server runs without it.
pub(super) fn log_folder() -> Finding {
    const CHECK: &str = "log";
    let folder = Path::new(telemetry::LOG_DIR);
    let shown = folder.display();
    let place = if folder.exists() {
        folder
    } else {
        Path::new(".")
    };
    match rustix::fs::access(place, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(CHECK, format!("written to {shown}/ and standard error")),
        Err(error) => Finding::warn(
            CHECK,
            format!("no file can be written in {shown}/: {error}"),
            "let the server's user write there, or set log.file to 0",
        ),
    }
}

/// Whether the clock is plausible; `newest` is the last write to the store.
pub(super) fn clock(newest: Option<SystemTime>, config: &Config) -> Finding {
    told(
        SystemTime::now(),
        newest,
        config.mq.clean.then_some(config.mq.clean_after_seconds),
    )
}

fn told(now: SystemTime, newest: Option<SystemTime>, clean_after_seconds: Option<u64>) -> Finding {
    const CHECK: &str = "clock";
    let utc = DateTime::<Utc>::from(now).format("%Y-%m-%d %H:%M:%S UTC");
    if !YEARS.contains(&DateTime::<Utc>::from(now).year()) {
        let text = format!("it is {utc}, which cannot be");
        return Finding::fail(
            CHECK,
            text,
            "set the clock: messages get their times and expire by it",
        );
    }
    let Some(newest) = newest else {
        return Finding::ok(CHECK, format!("it is {utc}"));
    };
    let written = DateTime::<Utc>::from(newest).format("%Y-%m-%d %H:%M:%S UTC");
    let age = match now.duration_since(newest) {
        Ok(age) => age,
        Err(ahead) if ahead.duration() <= CLOCK_TOLERANCE => Duration::ZERO,
        Err(_) => {
            return Finding::warn(
                CHECK,
                format!("it is {utc}, and the store was written to at {written}, which is later"),
                "set the clock before a server starts: new messages would be older than those that are there",
            );
        }
    };
    match clean_after_seconds {
        Some(seconds) if age > Duration::from_secs(seconds).saturating_add(LONG_STOP) => {
            Finding::warn(
                CHECK,
                format!(
                    "it is {utc}, and the store was written to at {written}: all of it is deleted when a server has run for mq.cleanTime"
                ),
                "set the clock if it is ahead; if it is right and the messages are wanted, set a higher mq.cleanTime, or mq.isClean to 0",
            )
        }
        Some(seconds) if age > Duration::from_secs(seconds) => Finding::warn(
            CHECK,
            format!(
                "it is {utc}, and the store was written to at {written}: the first check deletes all of it"
            ),
            "if the clock is right and the messages are wanted, start with --set mq.isClean=0, or a higher mq.cleanTime",
        ),
        _ => Finding::ok(
            CHECK,
            format!("it is {utc}; the store was written to at {written}"),
        ),
    }
}

/// The last change of `path`, or of anything in it.
pub(super) fn changed(path: &Path) -> Option<SystemTime> {
    let own = fs::metadata(path).and_then(|it| it.modified()).ok();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| changed(&entry.path()))
        .chain(own)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::State;

    #[test]
    fn a_clock_is_held_against_what_the_store_was_written_at() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = 1_800_000_000;
        for (now, newest, clean, state) in [
            (now, None, Some(60), State::Ok),
            (now, Some(now - 60), Some(60), State::Ok),
            (now, Some(now - 61), Some(60), State::Warn),
            (now, Some(now - 61), None, State::Ok),
            (now, Some(now + 60), Some(60), State::Ok),
            (now, Some(now + 61), Some(60), State::Warn),
            (0, None, None, State::Fail),
            (5_000_000_000, None, None, State::Fail),
        ] {
            let finding = told(at(now), newest.map(at), clean);
            assert_eq!(finding.state, state, "{finding}");
        }
    }
}
