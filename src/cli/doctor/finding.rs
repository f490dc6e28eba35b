//! What a check has found, and what to do about it.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// All is well.
    Ok,
    /// A server runs with it, but the operator should know.
    Warn,
    /// A server does not start with it, or breaks its promises.
    Fail,
}

/// The result of one check, with advice.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            check,
            state: State::Ok,
            text: text.into(),
            advice: None,
        }
    }

    pub(super) fn warn(
        check: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            state: State::Warn,
            advice: Some(advice.into()),
            ..Finding::ok(check, text)
        }
    }

    pub(super) fn fail(
        check: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            state: State::Fail,
            ..Finding::warn(check, text, advice)
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        write!(f, "{state:<5} {:<14} {}", self.check, self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:20} to do: {advice}", ""),
            None => Ok(()),
        }
    }
}

/// The most paths that a finding names.
const NAMED_MAX: usize = 3;

/// The closest existing folder above `file`; a server creates the missing ones.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    let there = file.ancestors().skip(1).find(|folder| folder.is_dir());
    match there {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The first few of `paths`, and how many more there are.
pub(super) fn named(paths: &[&Path]) -> String {
    let names: Vec<String> = paths
        .iter()
        .take(NAMED_MAX)
        .map(|path| path.display().to_string())
        .collect();
    let more = match paths.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}
