//! What the tests at the public doors share: a server of their own, clients for it, and waiting
//! for events.
//!
//! Every test starts the real binary in a directory of its own, on a port of its own. Nothing
//! here sleeps for a guessed time: what is to happen is waited for, at most [`PATIENCE`].

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "every test file compiles this module and uses its own part of it; a failed step fails its test"
)]

mod original;
pub mod raw;
mod server;
mod socket;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::multipart::Form;

pub use original::{GoMessage, fixture, go_data};
pub use server::{Setup, TestServer, signal};
pub use socket::{Listed, Socket};

/// The longest that a test waits for one event; machines stand still for seconds now and then.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a test listens to be sure that nothing comes, where no later event can prove it.
pub const QUIET: Duration = Duration::from_millis(600);
/// The key of every test server that sets no other.
pub const KEY: &str = "dpmq";
/// The time zone of every test server, east of UTC: not UTC, so that a mistaken zone shows.
pub const ZONE_HOURS: i32 = 8;

/// Waits until `condition` holds, at most [`PATIENCE`]; fails naming `what` did not happen.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `text` as one segment of a path: everything but letters, digits and `-._~` escaped.
pub fn encode(text: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A multipart body with these text fields.
pub fn multipart(fields: &[(&'static str, &str)]) -> Form {
    fields.iter().fold(Form::new(), |form, (name, value)| {
        form.text(*name, (*value).to_owned())
    })
}

/// The time of day as Unix seconds.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// `time` as the console's forms write it, in the zone of the test servers.
pub fn local(time: i64) -> String {
    let zone = chrono::FixedOffset::east_opt(ZONE_HOURS * 3600).unwrap();
    let time = chrono::DateTime::from_timestamp(time, 0).unwrap();
    time.with_timezone(&zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// The files below `dir` whose bytes are `bytes`.
pub fn files_with(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if fs::read(&path).is_ok_and(|content| content == bytes) {
            found.push(path);
        }
    }
    found
}
