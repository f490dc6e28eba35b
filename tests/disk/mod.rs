//! The server's disk, seen and disturbed from outside: `preload.c`, loaded into the real
//! binary, writes down every change of its files, and makes those fail that a rule names.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part; a failed step fails its test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::common::Setup;

/// The preload library, compiled once for each process of tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/preload.c");
        let process = std::process::id();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join("preload.so");
        let mine = folder.join(format!("preload.{process}.so"));
        let compiled = Command::new("cc")
            .args([
                "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
            ])
            .args([&mine, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("cc, which links every Rust program, is there");
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "preload.c: {errors}");
        fs::rename(&mine, &library).unwrap();
        library
    })
}

/// What a rule does to an operation: see `preload.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The disk is full.
    NoSpace,
    /// The disk fails.
    Fails,
    /// The file system is read-only.
    ReadOnly,
    /// Half of a write is done.
    Short,
    /// A sync says that it is done, and does nothing.
    Lie,
    /// The process is killed before the operation.
    KillBefore,
    /// The process is killed in the middle of a write.
    KillAmid,
    /// The process is killed after the operation.
    KillAfter,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::NoSpace => "ENOSPC",
            Action::Fails => "EIO",
            Action::ReadOnly => "EROFS",
            Action::Short => "short",
            Action::Lie => "lie",
            Action::KillBefore => "before",
            Action::KillAmid => "amid",
            Action::KillAfter => "after",
        }
    }
}

/// Which operations are met by an [`Action`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) action: Action,
    /// create, open, write, truncate, sync, rename, unlink or mkdir.
    pub(crate) operation: &'static str,
    /// A pattern of the path below the working directory; `*` is any text.
    pub(crate) path: &'static str,
    /// How many pass before.
    pub(crate) skip: usize,
    /// How many are met.
    pub(crate) count: usize,
}

impl Rule {
    /// All such operations.
    pub(crate) fn all(action: Action, operation: &'static str, path: &'static str) -> Rule {
        Rule {
            action,
            operation,
            path,
            skip: 0,
            count: usize::try_from(i64::MAX).unwrap(),
        }
    }

    /// One such operation, after `skip` others.
    pub(crate) fn one(
        action: Action,
        operation: &'static str,
        path: &'static str,
        skip: usize,
    ) -> Rule {
        let count = 1;
        Rule {
            skip,
            count,
            ..Rule::all(action, operation, path)
        }
    }
}

/// A change that the server made, in the order of making.
#[derive(Debug)]
pub(crate) enum Entry {
    Create {
        folder: u64,
        inode: u64,
        name: String,
    },
    MakeFolder {
        folder: u64,
        inode: u64,
        name: String,
    },
    Link {
        folder: u64,
        inode: u64,
        name: String,
    },
    Rename {
        folder: u64,
        from: String,
        to: String,
    },
    Unlink {
        folder: u64,
        name: String,
    },
    Write {
        inode: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        len: u64,
    },
    SyncBegins {
        inode: u64,
        number: u64,
    },
    /// The sync of this number succeeded.
    SyncEnds {
        number: u64,
    },
}

/// Watches and disturbs the files of one server.
pub(crate) struct Preload {
    dir: TempDir,
}

impl Preload {
    pub(crate) fn new() -> Preload {
        Preload {
            dir: TempDir::new().unwrap(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    /// The server will run under rules; nothing is written down.
    pub(crate) fn disturb(&self, setup: Setup) -> Setup {
        setup
            .environment("LD_PRELOAD", library())
            .environment("DISK_RULES", self.dir.path().join("rules"))
    }

    /// The server will run under rules, and every change of its files is written down.
    pub(crate) fn record(&self, setup: Setup) -> Setup {
        let setup = self.disturb(setup);
        setup.environment("DISK_JOURNAL", self.journal())
    }

    /// From the next operation on these rules hold, and no others.
    pub(crate) fn rules(&self, rules: &[Rule]) {
        let line = |rule: &Rule| {
            let Rule {
                action,
                operation,
                path,
                skip,
                count,
            } = rule;
            format!("{} {operation} {path} {skip} {count}\n", action.name())
        };
        let text: String = rules.iter().map(line).collect();
        let aside = self.dir.path().join("rules.new");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.dir.path().join("rules")).unwrap();
    }

    /// What was written down since the last call, of a server that has ended.
    pub(crate) fn take_journal(&self) -> Vec<Entry> {
        let Ok(bytes) = fs::read(self.journal()) else {
            return vec![];
        };
        fs::remove_file(self.journal()).unwrap();
        let mut entries = vec![];
        let mut rest = &bytes[..];
        // The last entry may be cut off: whoever made that change has not gone on.
        while let Some((entry, behind)) = parse(rest) {
            entries.push(entry);
            rest = behind;
        }
        entries
    }
}

fn parse(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, rest) = bytes.split_at_checked(40)?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let kind = u8::try_from(word(0)).unwrap();
    let (a, rest) = rest.split_at_checked(word(4) as usize)?;
    let (b, rest) = rest.split_at_checked(word(8) as usize)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (folder, inode, number) = (long(16), long(16), long(24));
    let entry = match kind {
        b'C' => Entry::Create {
            folder,
            inode: number,
            name: text(a),
        },
        b'D' => Entry::MakeFolder {
            folder,
            inode: number,
            name: text(a),
        },
        b'L' => Entry::Link {
            folder,
            inode: number,
            name: text(a),
        },
        b'R' => Entry::Rename {
            folder,
            from: text(a),
            to: text(b),
        },
        b'U' => Entry::Unlink {
            folder,
            name: text(a),
        },
        b'W' => Entry::Write {
            inode,
            at: number,
            bytes: a.to_vec(),
        },
        b'T' => Entry::Truncate { inode, len: number },
        b'S' => Entry::SyncBegins { inode, number },
        b'E' => Entry::SyncEnds { number },
        _ => panic!(
            "the server changes files in a way that is not recorded: {}",
            text(a)
        ),
    };
    Some((entry, rest))
}
