//! The log: lines on standard error, for people or as JSON, and the same in a file per month; and
//! the lines of the audit in a file of their own.
//!
//! Set up once by the commands that run the broker. Whatever is logged, here and elsewhere, it is
//! never a secret key and never the data of a message.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chrono::{DateTime, Local};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FormatFields, MakeWriter, layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::access::AUDIT;
use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat};
use crate::regular;

/// Where the monthly files are, below the working directory.
pub const LOG_DIR: &str = "log";
/// The permissions of a file that is made: it has addresses, and the names of clients and keys.
const MODE: u32 = 0o600;

/// Keeps the log file being written; dropping it writes out what waits.
#[must_use = "the log file is only complete when this is dropped at the end"]
pub struct Telemetry {
    level: Level,
    _file: Option<WorkerGuard>,
}

impl Telemetry {
    /// What changes the level later.
    pub fn level(&self) -> &Level {
        &self.level
    }
}

/// Changes what is logged while the program runs.
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Replaces the filter by `filter`, which is a value of `log.level`.
    pub fn set(&self, filter: &str) {
        // It fails when nothing is logged any more, or to another log than this one.
        let _ = self.0.reload(EnvFilter::new(filter));
    }
}

/// A part of the log: standard error, or a file.
type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the log. A log file that cannot be written is a warning on standard error, no failure:
/// a broker that serves is worth more than its log.
pub fn init(config: &LogConfig) -> Telemetry {
    let colours = colours_wanted(
        io::stderr().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
    );
    let mut lines = vec![lines(io::stderr, config.format, colours)];
    let opened = config.file.then(open_file).transpose();
    let (opened, failure) = match opened {
        Ok(opened) => (opened, None),
        Err(error) => (None, Some(error)),
    };
    let (writer, guard) = opened.unzip();
    lines.extend(writer.map(|writer| self::lines(writer, config.format, false)));
    let audited = config.audit_file.as_deref().map(open_audit).transpose();
    let (audited, audit_failure) = match audited {
        Ok(audited) => (audited, None),
        Err(error) => (None, Some(error)),
    };
    // What is audited does not depend on the level of the log.
    let audit = audited.map(|writer| {
        let audit = Targets::new().with_target(AUDIT, LevelFilter::INFO);
        self::lines(Mutex::new(writer), config.format, false)
            .with_filter(audit)
            .boxed()
    });
    let (level, handle) = reload::Layer::new(EnvFilter::new(&config.level));
    let mut parts = vec![lines.with_filter(level.and(without_content())).boxed()];
    parts.extend(audit);
    let log = tracing_subscriber::registry().with(parts);
    // A second start in one process, as in tests, keeps the first log.
    let _ = log.try_init();
    if let Some(error) = failure {
        tracing::warn!(directory = LOG_DIR, %error, "no log file is written");
    }
    if let (Some(error), Some(file)) = (audit_failure, &config.audit_file) {
        tracing::error!(file = %file.display(), %error, "log.auditFile is not written");
    }
    Telemetry {
        level: Level(handle),
        _file: guard,
    }
}

/// Keeps out what libraries say in detail, whatever the level is: it shows what they are given, keys
/// and messages with it.
fn without_content() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
        .with_target(AUDIT, LevelFilter::TRACE)
}

/// Lines to `writer`.
fn lines<W>(writer: W, format: LogFormat, colours: bool) -> Lines
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = layer()
        .with_writer(writer)
        .with_timer(LocalTime)
        .log_internal_errors(false);
    match format {
        LogFormat::Text if colours => lines.boxed(),
        LogFormat::Text => lines
            .with_ansi(false)
            .fmt_fields(PlainFields(DefaultFields::new()))
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    }
}

fn open_file() -> io::Result<(NonBlocking, WorkerGuard)> {
    let file = Appended::open(this_months_file)?;
    Ok(tracing_appender::non_blocking(file))
}

fn open_audit(path: &Path) -> io::Result<impl Write + use<>> {
    let path = path.to_owned();
    Appended::open(move || path.clone())
}

/// Colours are for people: at a terminal, unless `NO_COLOR` is set to anything.
fn colours_wanted(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

fn local_time() -> DateTime<Local> {
    Clock::system().date().with_timezone(&Local)
}

/// The file of the local month, as in `log/dpmq-2026-11.log`.
fn this_months_file() -> PathBuf {
    let name = local_time().format("dpmq-%Y-%m.log").to_string();
    Path::new(LOG_DIR).join(name)
}

/// Appends to the file at a place: to another one as soon as the place is another, or somebody
/// has moved the file away.
struct Appended<P> {
    place: P,
    file: File,
    /// Which file that is; no other is the same while it is open.
    identity: (u64, u64),
}

impl<P: Fn() -> PathBuf> Appended<P> {
    fn open(place: P) -> io::Result<Appended<P>> {
        let (file, identity) = append(&place())?;
        Ok(Appended {
            place,
            file,
            identity,
        })
    }

    /// Goes on in the file that is there now; in the last one as long as that cannot be opened.
    fn follow(&mut self) {
        let path = (self.place)();
        let is_there = std::fs::metadata(&path).is_ok_and(|file| identity(&file) == self.identity);
        if !is_there && let Ok((file, identity)) = append(&path) {
            (self.file, self.identity) = (file, identity);
        }
    }
}

/// Opens the file at `path`, or makes it and its folder.
fn append(path: &Path) -> io::Result<(File, (u64, u64))> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut how = File::options();
    how.create(true).append(true).mode(MODE);
    // Nobody may be there to read, or may read slowly: the log is nothing to wait for.
    let file = regular::without_waiting(&mut how).open(path)?;
    let identity = identity(&file.metadata()?);
    Ok((file, identity))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl<P: Fn() -> PathBuf> Write for Appended<P> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.follow();
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The fields of spans are kept per type of formatter: with one of its own, the file does not
/// get the colours that were formatted for a terminal.
struct PlainFields(DefaultFields);

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

/// Local time with its offset, to the millisecond.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(
            writer,
            "{}",
            local_time().format("%Y-%m-%dT%H:%M:%S%.3f%:z")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_file_is_made_with_its_folder_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/audit.log");
        for line in ["one\n", "two\n"] {
            let mut file = Appended::open(|| path.clone()).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "one\ntwo\n");
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn the_file_changes_with_the_month() {
        let dir = tempfile::tempdir().unwrap();
        let [november, december] = ["11", "12"].map(|month| dir.path().join(month));
        let place = Mutex::new(november.clone());
        let mut file = Appended::open(|| place.lock().unwrap().clone()).unwrap();
        file.write_all(b"then\n").unwrap();
        *place.lock().unwrap() = december.clone();
        file.write_all(b"now\n").unwrap();
        assert_eq!(read(&november), "then\n");
        assert_eq!(read(&december), "now\n");
    }

    #[test]
    fn a_file_that_is_moved_away_or_deleted_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let [path, moved] = ["audit.log", "audit.log.1"].map(|name| dir.path().join(name));
        let mut file = Appended::open(|| path.clone()).unwrap();
        file.write_all(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(read(&moved), "one\n");
        assert_eq!(read(&path), "two\n");
        // As a rotation does that makes the next file itself.
        std::fs::rename(&path, &moved).unwrap();
        std::fs::write(&path, "").unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(read(&path), "three\n");
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"four\n").unwrap();
        assert_eq!(read(&path), "four\n");
    }

    #[test]
    fn while_the_next_file_cannot_be_opened_it_goes_on_in_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let [path, moved] = ["audit.log", "audit.log.1"].map(|name| dir.path().join(name));
        let mut file = Appended::open(|| path.clone()).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        assert_eq!(read(&moved), "one\n");
        std::fs::remove_dir(&path).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(read(&path), "two\n");
    }

    #[test]
    fn colours_need_a_terminal_and_no_objection() {
        assert!(colours_wanted(true, None));
        assert!(colours_wanted(true, Some(OsStr::new(""))));
        assert!(!colours_wanted(true, Some(OsStr::new("1"))));
        assert!(!colours_wanted(false, None));
    }
}
