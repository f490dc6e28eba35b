//! The rights that a key can have.

use std::fmt;
use std::str::FromStr;

/// One thing that a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Sending messages, over HTTP and WebSocket.
    Publish,
    /// Being pushed messages.
    Consume,
    /// Reading in the console: lists, searches, exports, figures, backups.
    ConsoleRead,
    /// Changing things in the console: publish, delete, purge, push again, disconnect.
    ConsoleChange,
}

impl Right {
    /// Every right.
    pub const ALL: [Right; 4] = [
        Right::Publish,
        Right::Consume,
        Right::ConsoleRead,
        Right::ConsoleChange,
    ];

    /// Its name in files, commands and answers.
    pub fn name(self) -> &'static str {
        match self {
            Right::Publish => "publish",
            Right::Consume => "consume",
            Right::ConsoleRead => "console-read",
            Right::ConsoleChange => "console-change",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(name: &str) -> Result<Right, String> {
        let found = Right::ALL.into_iter().find(|right| right.name() == name);
        found.ok_or_else(|| {
            let all = Right::ALL.map(Right::name).join(", ");
            format!("{name:?} is no right; there are {all}")
        })
    }
}

/// Rights, in the order of [`Right::ALL`] and each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights(Vec<Right>);

impl Rights {
    /// These rights.
    pub fn of(rights: &[Right]) -> Rights {
        let mut all = Right::ALL.to_vec();
        all.retain(|right| rights.contains(right));
        Rights(all)
    }

    /// Whether `right` is among them.
    pub fn has(&self, right: Right) -> bool {
        self.0.contains(&right)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of each.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|right| right.name()).collect()
    }
}
