//! The log: lines on standard error, for people or as JSON, and the same in a file per month; and
//! the lines of the audit in a file of their own.
//!
//! Set up once by the commands that run the broker. Whatever is logged, here and elsewhere, it is
//! never a secret key and never the data of a message.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chrono::{DateTime, Local};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FormatFields, MakeWriter, layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::access::AUDIT;
use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat};

/// Where the monthly files are, below the working directory.
pub const LOG_DIR: &str = "log";

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
    /// Goes over to `filter`, which is a value of `log.level`.
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
    let mut parts = vec![lines.with_filter(level).boxed()];
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
    let file = MonthlyFile::open(Path::new(LOG_DIR), &this_month())?;
    Ok(tracing_appender::non_blocking(file))
}

/// Appends; only the owner may read a file that is made here.
fn open_audit(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Colours are for people: at a terminal, unless `NO_COLOR` is set to anything.
fn colours_wanted(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

fn local_time() -> DateTime<Local> {
    Clock::system().date().with_timezone(&Local)
}

/// The local month, as in `2026-11`.
fn this_month() -> String {
    local_time().format("%Y-%m").to_string()
}

/// Appends to `dpmq-2026-11.log`, and to the next file when the month ends.
struct MonthlyFile {
    dir: PathBuf,
    month: String,
    file: File,
}

impl MonthlyFile {
    fn open(dir: &Path, month: &str) -> io::Result<MonthlyFile> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("dpmq-{month}.log"));
        Ok(MonthlyFile {
            dir: dir.to_owned(),
            month: month.to_owned(),
            file: File::options().create(true).append(true).open(path)?,
        })
    }

    /// Goes on in the file of `month`; in the last one as long as that cannot be opened.
    fn turn_to(&mut self, month: &str) {
        if self.month != month
            && let Ok(next) = MonthlyFile::open(&self.dir, month)
        {
            *self = next;
        }
    }
}

impl Write for MonthlyFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.turn_to(&this_month());
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

    #[test]
    fn a_month_has_its_file_and_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("log");
        for line in ["one\n", "two\n"] {
            let mut file = MonthlyFile::open(&dir, "2026-11").unwrap();
            file.file.write_all(line.as_bytes()).unwrap();
        }
        let november = std::fs::read_to_string(dir.join("dpmq-2026-11.log")).unwrap();
        assert_eq!(november, "one\ntwo\n");
    }

    #[test]
    fn the_file_changes_with_the_month() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MonthlyFile::open(dir.path(), "1999-12").unwrap();
        file.write_all(b"now\n").unwrap();
        let name = format!("dpmq-{}.log", this_month());
        let now = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(now, "now\n");
        let then = std::fs::read_to_string(dir.path().join("dpmq-1999-12.log")).unwrap();
        assert_eq!(then, "");
    }

    #[test]
    fn a_month_that_cannot_be_opened_goes_on_in_the_last_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MonthlyFile::open(dir.path(), "1999-12").unwrap();
        std::fs::create_dir(dir.path().join("dpmq-2000-01.log")).unwrap();
        file.turn_to("2000-01");
        assert_eq!(file.month, "1999-12");
    }

    #[test]
    fn colours_need_a_terminal_and_no_objection() {
        assert!(colours_wanted(true, None));
        assert!(colours_wanted(true, Some(OsStr::new(""))));
        assert!(!colours_wanted(true, Some(OsStr::new("1"))));
        assert!(!colours_wanted(false, None));
    }
}
