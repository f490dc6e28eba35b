//! Moments at which a server dies that random times hardly ever hit.

use crate::disk::{Action, Rule};
use crate::kill_9::random::Random;

/// Where a server is in its work: at one of these operations.
pub(crate) struct Moment {
    /// Ends the sentence "it died".
    pub(crate) name: &'static str,
    /// Whether clients lead to it.
    pub(crate) loaded: bool,
    /// What must be gone before a start leads to it.
    pub(crate) without: Option<&'static str>,
    /// Whether half a frame at the end of the log leads to it.
    pub(crate) cuts: bool,
    /// Whether it is always in the middle of the operation, never before or after it.
    amid: bool,
    /// Operation, path, and how many of them may pass before.
    operations: &'static [(&'static str, &'static str, usize)],
}

impl Moment {
    const fn starting(
        name: &'static str,
        without: Option<&'static str>,
        operations: &'static [(&'static str, &'static str, usize)],
    ) -> Moment {
        Moment {
            name,
            loaded: false,
            without,
            cuts: false,
            amid: false,
            operations,
        }
    }

    const fn living(
        name: &'static str,
        operations: &'static [(&'static str, &'static str, usize)],
    ) -> Moment {
        Moment {
            name,
            loaded: true,
            without: None,
            cuts: false,
            amid: false,
            operations,
        }
    }

    /// Kills the server before, in the middle of, or after one of the operations.
    pub(crate) fn rule(&self, random: &mut Random) -> Rule {
        let (operation, path, skip_max) = random.of(self.operations);
        let action = match operation {
            _ if self.amid => Action::KillAmid,
            "write" => random.of(&[Action::KillBefore, Action::KillAmid, Action::KillAfter]),
            _ => random.of(&[Action::KillBefore, Action::KillAfter]),
        };
        Rule::one(action, operation, path, random.between(0, skip_max))
    }
}

/// Moments of a start.
pub(crate) const STARTING: &[Moment] = &[
    Moment::starting(
        "while the mirror was rebuilt",
        Some("data.db/sled"),
        &[
            ("mkdir", "data.db/sled", 0),
            ("create", "data.db/sled/*", 1),
            ("write", "data.db/sled/*", 1),
        ],
    ),
    Moment::starting(
        "while the snapshot was unpacked",
        Some("data.db"),
        &[
            ("mkdir", "data.db/log.restoring", 0),
            ("write", "data.db/log.restoring/*", 1),
            ("sync", "data.db/log.restoring*", 1),
            ("rename", "data.db/log", 0),
        ],
    ),
    Moment::starting(
        "while it migrated",
        Some("data.db/format"),
        &[
            ("create", "data.db/format.tmp", 0),
            ("write", "data.db/format.tmp", 0),
            ("sync", "data.db/format.tmp", 0),
            ("rename", "data.db/format", 0),
        ],
    ),
    Moment {
        cuts: true,
        ..Moment::starting(
            "while a torn tail was cut off",
            None,
            &[
                ("truncate", "data.db/log/*", 0),
                ("sync", "data.db/log/*", 0),
            ],
        )
    },
];

/// The start that takes over a file of the original.
pub(crate) const IMPORTING: Moment = Moment::starting(
    "while it imported",
    None,
    &[
        ("write", "data.db/log/*", 1),
        ("sync", "data.db/log/*", 1),
        ("rename", "data.original", 0),
        ("write", "data.db/sled/*", 1),
    ],
);

/// A write to the log is cut in half.
pub(crate) const APPENDING: Moment = Moment {
    amid: true,
    ..Moment::living(
        "in the middle of a write to the log",
        &[("write", "data.db/log/*", 40)],
    )
};

/// Moments of a life under load.
pub(crate) const LIVING: &[Moment] = &[
    Moment::living(
        "while messages were stored",
        &[
            ("write", "data.db/log/*", 40),
            ("sync", "data.db/log/*", 40),
        ],
    ),
    Moment::living(
        "while the snapshot was appended to",
        &[("write", "data", 3), ("sync", "data", 1)],
    ),
    Moment {
        without: Some("data"),
        ..Moment::living(
            "while the snapshot was written anew",
            &[
                ("create", "data.tmp", 0),
                ("write", "data.tmp", 2),
                ("sync", "data.tmp", 1),
                ("rename", "data", 0),
            ],
        )
    },
    Moment::living(
        "while a segment was begun",
        &[("create", "data.db/log/*", 0), ("sync", "data.db/log", 0)],
    ),
];

/// Moments of a server whose messages expire while nobody is connected.
pub(crate) const EXPIRING: &[Moment] = &[
    Moment {
        loaded: false,
        ..Moment::living("while messages expired", &[("write", "data.db/log/*", 0)])
    },
    Moment {
        loaded: false,
        ..Moment::living(
            "while space was given back",
            &[("unlink", "data.db/log/*", 0)],
        )
    },
];
