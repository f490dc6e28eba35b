//! The parts of the crate depend on each other in one direction; this test keeps it so.
//!
//! `main → server → {http, ws → session} → broker → store → message`. It reads the sources: comments
//! and the test modules at the end of files do not count, `use` lines and paths in code do.

use std::fs;
use std::path::Path;

/// The most lines of code in a file; comments, blank lines and tests are not counted. Beyond it
/// there are two owners in the file.
const FILE_LINES_MAX: usize = 500;

/// Which files may name a path.
enum Scope {
    /// Only those whose name begins so.
    Only(&'static [&'static str]),
    /// All but those whose name begins so.
    Never(&'static [&'static str]),
}

use Scope::{Never, Only};

const RULES: &[(&str, Scope)] = &[
    (
        "libc",
        Only(&["src/allocator.rs", "src/connection/line.rs"]),
    ),
    ("sled", Only(&["src/store"])),
    ("rmp_serde", Only(&["src/store"])),
    ("axum", Only(&["src/http", "src/ws", "src/server"])),
    (
        "tokio_tungstenite",
        Only(&["src/ws", "src/cli", "src/server"]),
    ),
    ("hyper", Only(&["src/cli", "src/server", "src/ws"])),
    ("tokio_rustls", Only(&["src/cli", "src/server"])),
    ("prometheus_client", Only(&["src/http/metrics"])),
    (
        "serde_json",
        Never(&["src/broker", "src/session", "src/message.rs"]),
    ),
    (
        "crate::cli",
        Never(&["src/broker", "src/store", "src/message.rs", "src/access"]),
    ),
    (
        "crate::server",
        Never(&[
            "src/http",
            "src/ws",
            "src/session",
            "src/broker",
            "src/store",
            "src/message.rs",
            "src/access",
        ]),
    ),
    (
        "crate::http",
        Never(&[
            "src/broker",
            "src/store",
            "src/session",
            "src/message.rs",
            "src/access",
        ]),
    ),
    (
        "crate::ws",
        Never(&[
            "src/broker",
            "src/store",
            "src/session",
            "src/message.rs",
            "src/access",
        ]),
    ),
    (
        "crate::session",
        Never(&[
            "src/broker",
            "src/store",
            "src/wire",
            "src/message.rs",
            "src/access",
        ]),
    ),
    (
        "crate::wire",
        Never(&[
            "src/broker",
            "src/store",
            "src/session",
            "src/message.rs",
            "src/access",
        ]),
    ),
    (
        "crate::broker",
        Never(&["src/store", "src/wire", "src/message.rs", "src/access"]),
    ),
    (
        "crate::store",
        Never(&["src/wire", "src/message.rs", "src/access"]),
    ),
    (
        "crate::access",
        Never(&[
            "src/broker",
            "src/store",
            "src/message.rs",
            "src/wire",
            "src/config",
        ]),
    ),
    (
        "std::fs",
        Never(&[
            "src/message.rs",
            "src/wire",
            "src/store/commit/",
            "src/store/disk.rs",
            "src/store/index/",
            "src/store/log/",
            "src/store/offline/",
            "src/store/reader/",
            "src/store/recovery/",
            "src/store/repair/",
            "src/store/snapshot/",
            "src/store/threads/",
        ]),
    ),
    // It panics before 1970: `src/clock.rs` tells the time.
    ("Utc::now", Never(&["src"])),
    ("Local::now", Never(&["src"])),
    ("chrono::Utc::now", Never(&["src"])),
    ("chrono::Local::now", Never(&["src"])),
    ("tokio", Never(&["src/message.rs", "src/wire"])),
    ("serde", Never(&["src/message.rs"])),
];

#[test]
fn parts_depend_in_one_direction() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = crate::sources::below(&root.join("src"));
    assert!(files.len() > 5, "the sources were not found");
    let mut broken = vec![];
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        if name.ends_with("/fuzz.rs") {
            // Tests beside the code, in files of their own.
            continue;
        }
        broken.extend(violations(name, &text));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// What breaks a rule in the file `name`, each as `file:line: what`.
fn violations(name: &str, text: &str) -> Vec<String> {
    let code = code_lines(text);
    let mut found = vec![];
    for (line, path) in paths(&code) {
        for (rule, scope) in RULES {
            if names(&path, rule) && !scope.allows(name) {
                found.push(format!("{name}:{line}: names {rule}, {scope}"));
            }
        }
    }
    let lines = code.iter().filter(|line| !line.trim().is_empty()).count();
    if lines > FILE_LINES_MAX {
        found.push(format!(
            "{name}:1: has {lines} lines of code, more than {FILE_LINES_MAX}"
        ));
    }
    found.sort();
    found.dedup();
    found
}

impl Scope {
    fn allows(&self, name: &str) -> bool {
        let is_in = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        match self {
            Only(starts) => is_in(starts),
            Never(starts) => !is_in(starts),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Only(starts) => write!(f, "which is for {} only", starts.join(", ")),
            Never(starts) => write!(f, "which is not for {}", starts.join(", ")),
        }
    }
}

/// Whether `path` is `rule` or begins with it.
fn names(path: &str, rule: &str) -> bool {
    path.strip_prefix(rule)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The lines before the test module, without their comments.
pub(crate) fn code_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|two| two[0] == "#[cfg(test)]" && two[1] == "mod tests {");
    let code = &lines[..tests.unwrap_or(lines.len())];
    let without_comment = |line: &&'_ str| match line.trim_start().starts_with("//") {
        true => 0,
        false => line.find(" // ").unwrap_or(line.len()),
    };
    code.iter()
        .map(|line| &line[..without_comment(line)])
        .collect()
}

/// Every path of two or more names with its line, from 1; the names of a `use` group are
/// taken apart, as is `use name;`.
pub(crate) fn paths(code: &[&str]) -> Vec<(usize, String)> {
    let mut found = vec![];
    // The paths before each open brace of a `use`.
    let mut groups: Vec<String> = vec![];
    let mut in_use = false;
    for (index, text) in code.iter().enumerate() {
        let mut rest = text.trim_start();
        if let Some(tree) = use_tree(rest) {
            in_use = true;
            rest = tree;
        }
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            let path = rest[..end].trim_matches(':');
            let stop = rest[end..].chars().next();
            if in_use && !path.is_empty() {
                let mut full = groups.concat();
                full.push_str(path);
                if stop == Some('{') {
                    groups.push(format!("{path}::"));
                } else {
                    found.push((index + 1, full));
                }
            } else if path.contains("::") {
                found.push((index + 1, path.to_owned()));
            }
            match stop {
                Some('{') if in_use && path.is_empty() => groups.push(String::new()),
                Some('}') if in_use => drop(groups.pop()),
                Some(';') => {
                    in_use = false;
                    groups.clear();
                }
                _ => {}
            }
            rest = &rest[end + stop.map_or(0, char::len_utf8)..];
        }
    }
    found
}

/// What follows `use`, also after `pub` or `pub(crate)`.
fn use_tree(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("use ")
}

#[test]
fn a_bad_sample_breaks_every_rule() {
    for (rule, scope) in RULES {
        let name = match scope {
            Only(_) => "src/config.rs".to_owned(),
            Never(starts) => match starts[0].ends_with(".rs") {
                true => starts[0].to_owned(),
                false => format!("{}/mod.rs", starts[0]),
            },
        };
        let (first, last) = rule.split_once("::").unwrap_or(("other", rule));
        for (line, sample) in [
            (1, format!("use {rule};\n")),
            (1, format!("pub(crate) use {rule}::Thing;\n")),
            (2, format!("\nuse {rule}::{{self, Thing}};\n")),
            (
                3,
                format!("fn f() {{\n    // a comment\n    {rule}::call();\n}}\n"),
            ),
            (1, format!("fn f(thing: &mut {rule}::Thing) {{}}\n")),
        ] {
            let found = violations(&name, &sample);
            assert_eq!(found.len(), 1, "{name} {sample:?}: {found:?}");
            let wanted = format!("{name}:{line}: names {rule}, ");
            assert!(found[0].starts_with(&wanted), "{wanted}: {found:?}");
        }
        if rule.contains("::") {
            let sample = format!("use {first}::{{\n    a::{{B, C}},\n    {last}::Thing,\n}};\n");
            let found = violations(&name, &sample);
            assert!(
                found[0].starts_with(&format!("{name}:3: names {rule}, ")),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_is_allowed_breaks_no_rule() {
    for (name, sample) in [
        (
            "src/store/mirror/mod.rs",
            "use sled::Db;\nuse crate::message::Topic;\n",
        ),
        (
            "src/ws/mod.rs",
            "use axum::extract::ws;\nuse crate::{broker::Broker, wire};\n",
        ),
        (
            "src/broker/mod.rs",
            "use crate::store::Store;\n/// See [`crate::http`].\nfn f() {}\n",
        ),
        (
            "src/message.rs",
            "//! Knows no serde::Serialize.\nuse serde_like::x;\nlet my_tokio::x;\n",
        ),
        (
            "src/message.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use serde_json::json;\n}\n",
        ),
    ] {
        assert_eq!(violations(name, sample), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_long_file_is_named_and_its_tests_and_comments_do_not_count() {
    let long = "fn f() {} // one\n// two\n\n".repeat(FILE_LINES_MAX + 1);
    let found = violations("src/config.rs", &long);
    assert!(
        found[0].starts_with("src/config.rs:1: has 501 lines"),
        "{found:?}"
    );
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(violations("src/config.rs", &tests).is_empty());
}

#[test]
fn each_name_of_a_type_stands_for_one_thing_in_its_part() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (part, known) in [
        ("src/access", "Grant"),
        ("src/cli", "ServerUrl"),
        ("src/config", "Setting"),
        ("src/connection", "Line"),
        ("src/broker", "Sweep"),
        ("src/http", "ConsoleError"),
        ("src/import", "Import"),
        ("src/limits", "FairShare"),
        ("src/server", "Front"),
        ("src/session", "Cause"),
        ("src/store", "Segments"),
        ("src/wire", "PushFrame"),
        ("src/ws", "Intake"),
    ] {
        let files = crate::sources::below(&root.join(part));
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
        let texts: Vec<String> = texts.collect();
        let types: Vec<&str> = texts.iter().flat_map(|text| type_names(text)).collect();
        assert!(types.contains(&known), "{part}");
        assert_eq!(repeated(types), Vec::<&str>::new(), "{part}");
    }
    let sample = "pub(crate) struct Found {\n}\nenum Found {\n}\ntype Other<'a> = &'a Found;\n";
    assert_eq!(repeated(type_names(sample)), ["Found"]);
}

/// The names that stand more than once in `names`.
fn repeated(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    let same = names.chunk_by(|a, b| a == b);
    same.filter(|same| same.len() > 1)
        .map(|same| same[0])
        .collect()
}

/// The names of the types that `text` declares at its first level, without those of its tests.
fn type_names(text: &str) -> Vec<&str> {
    let declared = |line: &&'_ str| !line.starts_with(' ');
    let lines = code_lines(text).into_iter().filter(declared);
    lines.filter_map(type_name).collect()
}

fn type_name(line: &str) -> Option<&str> {
    let kinds = ["struct ", "enum ", "trait ", "type "];
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let name = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    name.split(|c: char| !c.is_alphanumeric()).next()
}
