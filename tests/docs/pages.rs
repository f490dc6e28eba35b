//! The pages hold: the README stays short and its links lead somewhere, as do those of all pages;
//! the table of settings has every one, and the texts in `docs/troubleshooting.md` are the
//! program's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dpmq::config::Config;

/// The most lines of the README: a newcomer reads all of it.
const README_LINES_MAX: usize = 130;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages in a folder of the project and in the folders in it.
fn pages_below(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            pages_below(&path, pages);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path);
        }
    }
}

/// The pages of the root and of `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![];
    pages_below(Path::new("docs"), &mut pages);
    let files = fs::read_dir(root()).unwrap();
    let files = files.map(|entry| PathBuf::from(entry.unwrap().file_name()));
    pages.extend(files.filter(|file| file.extension().is_some_and(|kind| kind == "md")));
    pages
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let parts = page.split("\n```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

/// The targets of the links and pictures of a page.
fn targets(prose: &str) -> Vec<String> {
    let inline = prose.split("](").skip(1);
    let inline = inline.filter_map(|rest| Some(rest.split_once(')')?.0));
    let listed = prose.lines().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some(target)
    });
    inline.chain(listed).map(str::to_owned).collect()
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(prose: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose.lines() {
        let text = line.trim_start_matches('#');
        let is_heading = text.len() < line.len() && text.starts_with(' ');
        if !is_heading {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let text = text.trim().to_lowercase();
        let anchor: String = text.chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let twice = |n: &usize| format!("{anchor}-{n}");
        match anchors.contains(&anchor) {
            true => {
                let n = (1..).find(|n| !anchors.contains(&twice(n))).unwrap();
                anchors.insert(twice(&n));
            }
            false => {
                anchors.insert(anchor);
            }
        }
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let (mut checked, mut dead) = (0, vec![]);
    for page in pages() {
        for target in targets(&prose(&read(&page))) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let linked = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_there = root().join(&linked).exists();
            let has_anchor =
                || anchor.is_empty() || anchors(&prose(&read(&linked))).contains(anchor);
            if !is_there || !has_anchor() {
                dead.push(format!("{}: {target}", page.display()));
            }
            checked += 1;
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(checked > 150, "{checked} links");
}

/// The files and folders that a page names in code: what ends as a folder or a file of the tree.
fn named(prose: &str) -> BTreeSet<&str> {
    let in_code = prose.split('`').skip(1).step_by(2);
    let is_path = |name: &&str| {
        let ends = ["/", ".rs", ".json", ".yaml", ".md"];
        !name.contains(' ') && !name.starts_with('/') && ends.iter().any(|end| name.ends_with(end))
    };
    in_code.filter(is_path).collect()
}

#[test]
fn the_architecture_names_what_is_there() {
    let page = prose(&read("ARCHITECTURE.md"));
    let named = named(&page);
    let is_missing = |name: &&&str| {
        let places = [root().join("src").join(name), root().join(name)];
        !places.iter().any(|place| place.exists())
    };
    let missing: Vec<_> = named.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named.len() > 40, "{} names", named.len());
}

#[test]
fn paths_are_found_in_a_page() {
    let page = "`store/log/` and `a.rs`, not `/api/x/`, `mq.cleanTime`, `a b/` or c.rs";
    assert_eq!(named(page), ["a.rs", "store/log/"].into());
}

#[test]
fn anchors_are_those_of_headings() {
    let page =
        prose("# Who? `a.b` & c\n```sh\n# no heading\n```\n## Twice\n#none\n## Twice\n## 配置\n");
    let expected = ["twice", "twice-1", "who-ab--c", "配置"];
    assert_eq!(anchors(&page), expected.map(str::to_owned).into());
}

#[test]
fn the_readme_is_short_and_its_first_command_runs_the_broker() {
    let page = read("README.md");
    let lines = page.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
    let mut blocks = page.split("\n```sh\n").skip(1);
    let first = blocks.next().unwrap().split("\n```").next().unwrap();
    assert!(first.starts_with("cargo run --release"), "{first}");
    assert_eq!(first.lines().count(), 1, "{first}");
    assert!(blocks.any(|block| block.starts_with("bash tests/run")));
}

#[test]
fn every_setting_is_on_the_page_with_its_default() {
    let page = read("docs/configuration.md");
    let (_, table) = page
        .split_once("| setting | default | reload | meaning |\n")
        .unwrap();
    let row = |line: &str| -> [String; 3] {
        let mut cells = line
            .split('|')
            .skip(1)
            .map(|cell| cell.trim().replace('`', ""));
        [0; 3].map(|_| cells.next().unwrap())
    };
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<[String; 3]> = rows.map(row).collect();
    let source = read("src/config/keys.rs");
    let is_fixed = |key: &str| source.contains(&format!("    fixed(\"{key}\","));
    let settings = Config::default().settings;
    let expected: Vec<[String; 3]> = settings
        .iter()
        .map(|setting| {
            let reload = if is_fixed(setting.key) { "no" } else { "yes" };
            [setting.key, setting.default, reload].map(str::to_owned)
        })
        .collect();
    assert_eq!(rows, expected);
    assert!(rows.iter().any(|[_, _, reload]| reload == "no"));
}

/// What follows `{` is a value, and `…` in the page.
fn without_values(source: &str) -> String {
    let mut parts = source.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| match part.split_once('}') {
        Some((value, rest)) if !value.contains(['\n', ' ']) => all + "…" + rest,
        _ => all + "{" + part,
    })
}

#[test]
fn what_troubleshooting_quotes_is_what_the_program_says() {
    let page = read("docs/troubleshooting.md");
    let sources: String = crate::sources::below(&root().join("src"))
        .into_iter()
        .map(|file| read(&file))
        .collect();
    // A text that goes on in the next line of the source.
    let mut whole = sources.split("\\\n");
    let first = whole.next().unwrap().to_owned();
    let whole = whole.fold(first, |all, line| all + line.trim_start());
    let whole = without_values(&whole);
    let headings = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let headings: Vec<&str> = headings.collect();
    for heading in &headings {
        for part in heading.split('…').map(str::trim) {
            assert!(whole.contains(part), "nothing says {part:?} of {heading:?}");
        }
    }
    assert!(headings.len() > 15, "{} texts", headings.len());
}
