//! What `dpmq send` sends: a text, a file, all of standard input, or its lines, at a rate.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cli::args::Send;

/// Messages that are read ahead of the socket.
const AHEAD_MAX: usize = 64;

/// The messages to send; an error ends them.
pub(super) type Messages = mpsc::Receiver<anyhow::Result<Bytes>>;

/// Where messages come from.
pub(super) enum Input {
    /// One message, sent this many times.
    Same(Same, u64),
    /// Each line of standard input that is not empty.
    Lines,
}

/// The source of a single message.
pub(super) enum Same {
    Text(String),
    File(PathBuf),
    /// All of standard input.
    Whole,
}

impl Input {
    /// The input that the arguments ask for.
    pub(super) fn of(args: &Send) -> Input {
        let times = args.count.map_or(1, NonZeroU64::get);
        match (args.data.as_deref(), &args.file) {
            (Some("-"), _) => Input::Same(Same::Whole, times),
            (Some(text), _) => Input::Same(Same::Text(text.to_owned()), times),
            (None, Some(file)) => Input::Same(Same::File(file.clone()), times),
            (None, None) => Input::Lines,
        }
    }

    /// Whether it may be typed at a terminal.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Input::Lines | Input::Same(Same::Whole, _))
    }

    /// The messages, each when it is due at `rate` a second.
    pub(super) fn messages(self, bytes_max: usize, rate: Option<NonZeroU64>) -> Messages {
        let (sender, messages) = mpsc::channel(AHEAD_MAX);
        let mut due = Due {
            begun: Instant::now(),
            rate,
            sent: 0,
        };
        // A thread of its own, because a read of standard input cannot be called off.
        std::thread::spawn(move || {
            let mut send = |item: anyhow::Result<Bytes>| {
                due.wait();
                let is_error = item.is_err();
                sender.blocking_send(item).is_ok() && !is_error
            };
            match self {
                Input::Same(same, times) => match same.read(bytes_max) {
                    Ok(data) => {
                        (0..times).all(|_| send(Ok(data.clone())));
                    }
                    Err(error) => {
                        send(Err(error));
                    }
                },
                Input::Lines => send_lines(bytes_max, send),
            }
        });
        messages
    }
}

/// When the next message is due.
struct Due {
    begun: Instant,
    rate: Option<NonZeroU64>,
    sent: u32,
}

impl Due {
    fn wait(&mut self) {
        let Some(rate) = self.rate else {
            return;
        };
        // Counted in seconds, so that a rate is kept for as long as it takes.
        if u64::from(self.sent) == rate.get().min(u32::MAX.into()) {
            self.begun += Duration::from_secs(1);
            self.sent = 0;
        }
        let at = self.begun + Duration::from_secs_f64(f64::from(self.sent) / rate.get() as f64);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        self.sent += 1;
    }
}

impl Same {
    fn read(self, bytes_max: usize) -> anyhow::Result<Bytes> {
        let cannot = |file: &Path| format!("cannot read {}", file.display());
        let (data, name) = match self {
            Same::Text(text) => (text.into_bytes(), String::new()),
            Same::File(file) => {
                let opened = File::open(&file).with_context(|| cannot(&file))?;
                let data = whole(opened, bytes_max).with_context(|| cannot(&file))?;
                (data, format!("{}: ", file.display()))
            }
            Same::Whole => {
                let data = whole(io::stdin().lock(), bytes_max).context("standard input")?;
                (data, "standard input: ".to_owned())
            }
        };
        ensure!(!data.is_empty(), "{name}it is empty, and no message is");
        ensure!(data.len() <= bytes_max, "{name}{}", too_long(bytes_max));
        Ok(data.into())
    }
}

/// The whole input, or one byte more than a message may have.
fn whole(input: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![];
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    input.take(limit.saturating_add(1)).read_to_end(&mut data)?;
    Ok(data)
}

fn too_long(bytes_max: usize) -> String {
    format!("it has more than {bytes_max} bytes (server.maxMessageBytes)")
}

fn send_lines(bytes_max: usize, mut send: impl FnMut(anyhow::Result<Bytes>) -> bool) {
    let mut input = io::stdin().lock();
    for line_number in 1.. {
        let line = next_line(&mut input, bytes_max)
            .with_context(|| format!("line {line_number} of standard input"));
        match line.transpose() {
            None => return,
            Some(Ok(line)) if line.is_empty() => {}
            Some(item) => {
                if !send(item.map(Bytes::from)) {
                    return;
                }
            }
        }
    }
}

/// The next line without its end; `None` after the last.
fn next_line(input: &mut impl BufRead, bytes_max: usize) -> anyhow::Result<Option<Vec<u8>>> {
    const LINE_END: &[u8] = b"\r\n";
    let mut line = Vec::new();
    let limit = u64::try_from(bytes_max + LINE_END.len()).unwrap_or(u64::MAX);
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    match line.len() > bytes_max {
        true => Err(anyhow!(too_long(bytes_max))),
        false => Ok(Some(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8], bytes_max: usize) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match next_line(&mut input, bytes_max) {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            }
        }
    }

    #[test]
    fn a_line_ends_with_its_end_or_the_input() {
        assert_eq!(lines(b"a\r\nb\n\nc\rd", 9), ["a", "b", "", "c\rd"]);
        assert_eq!(lines(b"", 9), [""; 0]);
    }

    #[test]
    fn a_line_over_the_limit_is_an_error() {
        assert_eq!(lines(b"123\r\n456\n", 3), ["123", "456"]);
        let expected = "it has more than 3 bytes (server.maxMessageBytes)";
        assert_eq!(lines(b"1234\n", 3), [expected]);
        assert_eq!(lines(b"123456789", 3), [expected]);
    }

    #[test]
    fn a_rate_is_kept_over_the_seconds() {
        let begun = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        let mut due = Due {
            begun,
            rate: NonZeroU64::new(3),
            sent: 0,
        };
        (0..10).for_each(|_| due.wait());
        assert_eq!((due.begun - begun, due.sent), (Duration::from_secs(3), 1));
    }

    #[test]
    fn one_message_has_a_byte_and_no_more_than_may_be() {
        let read = |text: &str| Same::Text(text.to_owned()).read(3);
        assert_eq!(read("123").unwrap(), "123");
        assert!(read("1234").is_err() && read("").is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb").unwrap();
        let data = Same::File(file.path().to_owned()).read(3).unwrap();
        assert_eq!(data, "a\nb");
        let error = Same::File(file.path().to_owned()).read(2).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("more than 2 bytes (server.maxMessageBytes)")
        );
    }
}
