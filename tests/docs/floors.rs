//! Files import each other in one direction: no circle of files, floors in the store, folders of
//! a size that can be seen at once, and one style of folder.
//!
//! A file imports another if it names something that is defined there, in a `use` or in a path.
//! What a module shows of another with `pub use` is a name for it and no import: who uses that
//! name imports the file behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::architecture::{code_lines, paths};
use crate::sources;

/// The most files of a folder, those in its own folders not counted, nor files of tests.
const FOLDER_FILES_MAX: usize = 12;

/// The store from its ground up: each imports what is on the floors below. The words of the
/// first floor may name each other.
const FLOORS: &[&[&str]] = &[
    &[
        "change",
        "committed",
        "counts",
        "error",
        "growth",
        "health",
        "measures",
        "query",
    ],
    &["fs"],
    &["log"],
    &["index", "snapshot"],
    &["commit", "mirror", "repair"],
    &["options", "reader"],
    &["recovery", "threads"],
    &["offline"],
    &["mod"],
    &["disk", "memory"],
];

/// The sources by their path in the repository.
type Sources = BTreeMap<String, String>;

/// Who imports whom, and in which line first.
type Imports = BTreeMap<String, BTreeMap<String, usize>>;

fn sources_of_the_crate() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources::below(&root.join("src"));
    let named = files.iter().map(|file| {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(file).unwrap())
    });
    named.filter(|(name, _)| !is_of_tests(name)).collect()
}

/// Tests beside the code, in files of their own.
fn is_of_tests(name: &str) -> bool {
    name.ends_with("/fuzz.rs") || name.ends_with("/tests.rs")
}

/// The path of the module that a file is, without `crate`.
fn module(name: &str) -> Vec<String> {
    let path = name.strip_prefix("src/").unwrap().strip_suffix(".rs");
    let mut path: Vec<_> = path.unwrap().split('/').map(str::to_owned).collect();
    if matches!(path.last().unwrap().as_str(), "mod" | "lib" | "main") {
        path.pop();
    }
    path
}

fn imports(sources: &Sources) -> Imports {
    let modules: BTreeMap<Vec<String>, &String> = sources
        .keys()
        .filter(|name| *name != "src/main.rs")
        .map(|name| (module(name), name))
        .collect();
    let mut found = BTreeMap::new();
    // What a module has names for: the path behind each.
    let mut known: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (name, text) in sources {
        let at = module(name);
        let mut absolute = vec![];
        for (line, path, is_shown) in uses_and_paths(text) {
            if let Some(path) = absolute_path(&path, &at, &modules) {
                let mut own = at.clone();
                own.extend(path.last().cloned());
                if own != path {
                    known.entry(own).or_insert_with(|| path.clone());
                }
                absolute.push((line, path, is_shown));
            }
        }
        found.insert(name, absolute);
    }
    let mut imports = Imports::new();
    for (name, absolute) in found {
        let own = imports.entry(name.clone()).or_default();
        for (line, path, _) in absolute.iter().filter(|(.., is_shown)| !is_shown) {
            let file = file_behind(path, &modules, &known);
            if let Some(file) = file.filter(|file| *file != name) {
                own.entry(file.clone()).or_insert(*line);
            }
        }
    }
    imports
}

/// Every path with its line, and whether it is shown with `pub use`.
fn uses_and_paths(text: &str) -> Vec<(usize, String, bool)> {
    // What may see an item is no import.
    let text = text.replace("pub(in crate::", "pub(in ");
    let code = code_lines(&text);
    let mut shown = BTreeSet::new();
    let mut is_open = false;
    for (index, line) in code.iter().enumerate() {
        let line = line.trim_start();
        is_open |= line.starts_with("pub") && line.contains(" use ");
        if is_open {
            shown.insert(index + 1);
            is_open = !line.contains(';');
        }
    }
    let named = paths(&code).into_iter();
    named
        .map(|(line, path)| (line, path, shown.contains(&line)))
        .collect()
}

/// A path of this crate from its root; `None` for what is of another.
fn absolute_path(
    path: &str,
    at: &[String],
    modules: &BTreeMap<Vec<String>, &String>,
) -> Option<Vec<String>> {
    let mut rest: VecDeque<&str> = path.split("::").collect();
    let mut from = match *rest.front()? {
        "crate" => {
            rest.pop_front();
            vec![]
        }
        "super" | "self" => at.to_vec(),
        first => {
            let mut below = at.to_vec();
            below.push(first.to_owned());
            // Of a module that is here, and of nothing that only has its name.
            if !modules.contains_key(&below) {
                return None;
            }
            at.to_vec()
        }
    };
    while let Some("super" | "self") = rest.front().copied() {
        if rest.pop_front() == Some("super") {
            from.pop();
        }
    }
    let rest = rest.into_iter().filter(|name| *name != "self");
    from.extend(rest.map(str::to_owned));
    Some(from)
}

/// The file in which the end of a path is defined.
fn file_behind<'a>(
    path: &[String],
    modules: &BTreeMap<Vec<String>, &'a String>,
    known: &BTreeMap<Vec<String>, Vec<String>>,
) -> Option<&'a String> {
    let mut path = path.to_vec();
    // As often as names may stand for names.
    for _ in 0..8 {
        let of_module = (0..=path.len())
            .rev()
            .find(|len| modules.contains_key(&path[..*len]))?;
        let next = path.get(..=of_module).and_then(|name| known.get(name));
        let Some(next) = next else {
            return modules.get(&path[..of_module]).copied();
        };
        path = next.iter().chain(&path[of_module + 1..]).cloned().collect();
    }
    None
}

/// The shortest way from a file back to itself.
fn circle(imports: &Imports, start: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for other in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if other == start {
                let mut way = vec![start.to_owned(), file.to_owned()];
                let mut at = file;
                while let Some(previous) = before.get(at) {
                    way.push((*previous).to_owned());
                    at = previous;
                }
                way.reverse();
                way.dedup();
                return Some(way);
            }
            if !before.contains_key(other.as_str()) {
                before.insert(other, file);
                next.push_back(other);
            }
        }
    }
    None
}

/// Files that import each other.
fn circles(sources: &Sources) -> Vec<String> {
    let imports = imports(sources);
    let mut found: BTreeMap<BTreeSet<String>, String> = BTreeMap::new();
    for way in sources.keys().filter_map(|name| circle(&imports, name)) {
        let files = way.iter().cloned().collect();
        found.entry(files).or_insert_with(|| way.join(" → "));
    }
    found.into_values().collect()
}

/// Imports of the store that lead up.
fn against_the_floors(sources: &Sources) -> Vec<String> {
    let part = |name: &str| {
        let name = name.strip_prefix("src/store/")?.strip_suffix(".rs")?;
        Some(name.split('/').next()?.to_owned())
    };
    let floor = |part: &str| FLOORS.iter().position(|floor| floor.contains(&part));
    let mut broken = vec![];
    for (name, files) in imports(sources) {
        let Some(own) = part(&name) else { continue };
        let Some(at) = floor(&own) else {
            broken.push(format!("{name}: is on no floor of the store"));
            continue;
        };
        for (file, line) in files {
            let Some(other) = part(&file).filter(|other| *other != own) else {
                continue;
            };
            let is_below = floor(&other).is_some_and(|it| it < at || (it, at) == (0, 0));
            if !is_below {
                broken.push(format!(
                    "{name}:{line}: imports {file}, which is not below it"
                ));
            }
        }
    }
    broken
}

/// Folders with too many files, and modules whose file is beside their folder.
fn folders(sources: &Sources) -> Vec<String> {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for name in sources.keys() {
        *files.entry(name.rsplit_once('/').unwrap().0).or_default() += 1;
    }
    let mut broken = vec![];
    for (folder, count) in files {
        if count > FOLDER_FILES_MAX {
            broken.push(format!(
                "{folder}: has {count} files, more than {FOLDER_FILES_MAX}"
            ));
        }
        if sources.contains_key(&format!("{folder}.rs")) {
            broken.push(format!("{folder}.rs: its place is {folder}/mod.rs"));
        }
    }
    broken
}

#[test]
fn no_files_import_each_other() {
    let found = circles(&sources_of_the_crate());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_store_imports_what_is_below() {
    let sources = sources_of_the_crate();
    let found = against_the_floors(&sources);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    for part in FLOORS.concat() {
        let of_it = |name: &String| {
            name == &format!("src/store/{part}.rs")
                || name.starts_with(&format!("src/store/{part}/"))
        };
        assert!(sources.keys().any(of_it), "there is no src/store/{part}");
    }
}

#[test]
fn folders_are_small_and_of_one_style() {
    let found = folders(&sources_of_the_crate());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn sample(files: &[(&str, &str)]) -> Sources {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

#[test]
fn imports_are_seen_in_every_form() {
    for text in [
        "use crate::store::b::Thing;\n",
        "use super::b;\n",
        "use super::{b::{Thing, More}, c};\n",
        "fn f() {\n    super::b::call();\n}\n",
        "fn f(_: crate::store::b::Thing) {}\n",
        // A name that the folder has for it, shown or not.
        "use super::Thing;\n",
        "use crate::store::Hidden;\n",
    ] {
        let sources = sample(&[
            ("src/lib.rs", ""),
            (
                "src/store/mod.rs",
                "mod a;\npub use b::Thing;\nuse self::b::Hidden;\n",
            ),
            ("src/store/a.rs", text),
            ("src/store/b.rs", "use crate::store::a::Other;\n"),
            ("src/store/c.rs", ""),
        ]);
        let found = circles(&sources);
        assert_eq!(
            found,
            ["src/store/a.rs → src/store/b.rs → src/store/a.rs"],
            "{text}"
        );
    }
}

#[test]
fn what_is_no_import_makes_no_circle() {
    for text in [
        "//! See [`crate::store::b`].\n",
        "pub use super::b::Thing;\n",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::store::b::Thing;\n}\n",
        "use b::Thing;\n",
    ] {
        let sources = sample(&[
            ("src/lib.rs", ""),
            ("src/store/mod.rs", "pub use a::Other;\n"),
            ("src/store/a.rs", text),
            ("src/store/b.rs", "use crate::store::a::Other;\n"),
        ]);
        assert_eq!(circles(&sources), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_circle_of_three_and_one_with_its_folder_are_found() {
    let sources = sample(&[
        ("src/lib.rs", ""),
        ("src/store/a.rs", "use super::b::B;\n"),
        ("src/store/b.rs", "use super::c::C;\n"),
        ("src/store/c/mod.rs", "use d::D;\n"),
        ("src/store/c/d.rs", "use crate::store::a::A;\n"),
    ]);
    let found = circles(&sources);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].matches('→').count(), 4, "{found:?}");
    let sources = sample(&[
        ("src/lib.rs", ""),
        ("src/store/c/mod.rs", "use d::D;\n"),
        ("src/store/c/d.rs", "use super::C;\n"),
    ]);
    assert_eq!(circles(&sources).len(), 1);
}

#[test]
fn an_import_that_leads_up_is_named() {
    for (name, text, is_right) in [
        (
            "src/store/log/walk.rs",
            "use crate::store::fs::files::F;\n",
            true,
        ),
        ("src/store/log/walk.rs", "use crate::store::log::b;\n", true),
        ("src/store/counts.rs", "use crate::store::query::Q;\n", true),
        (
            "src/store/fs/files.rs",
            "use crate::store::log::b::B;\n",
            false,
        ),
        (
            "src/store/mirror/mod.rs",
            "use crate::store::repair::R;\n",
            false,
        ),
        (
            "src/store/log/walk.rs",
            "\nuse crate::store::Store;\n",
            false,
        ),
        ("src/store/other.rs", "", false),
    ] {
        let sources = sample(&[
            ("src/lib.rs", ""),
            ("src/store/mod.rs", "pub trait Store {}\n"),
            ("src/store/fs/files.rs", ""),
            ("src/store/log/b.rs", ""),
            ("src/store/query.rs", ""),
            ("src/store/repair/mod.rs", ""),
            (name, text),
        ]);
        let found = against_the_floors(&sources);
        assert_eq!(found.is_empty(), is_right, "{name} {text}: {found:?}");
    }
}

#[test]
fn a_large_folder_and_a_file_beside_its_folder_are_named() {
    let names: Vec<_> = (0..=FOLDER_FILES_MAX)
        .map(|n| format!("src/store/log/f{n}.rs"))
        .collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(
        folders(&sample(&files)),
        ["src/store/log: has 13 files, more than 12"]
    );
    assert!(folders(&sample(&files[1..])).is_empty());
    let beside = [("src/store/log.rs", ""), ("src/store/log/walk.rs", "")];
    assert_eq!(
        folders(&sample(&beside)),
        ["src/store/log.rs: its place is src/store/log/mod.rs"]
    );
}
