//! The Chinese pages say what the English ones do: as many sections, lists and rows, the same names
//! of settings, routes and commands in each, the same blocks of code, links to the same pages. One
//! word stands for one thing, also in the console, which tells every setting in Chinese.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dpmq::config::Config;

/// What only the Chinese page of concepts has: the words that are used.
const WORDS: &str = "\n## 术语对照\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each English page and its translation.
fn pages() -> Vec<(PathBuf, PathBuf)> {
    let translated = fs::read_dir(root().join("docs/zh")).unwrap();
    let mut pages: Vec<(PathBuf, PathBuf)> = translated
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .map(|name| {
            (
                Path::new("docs").join(&name),
                Path::new("docs/zh").join(name),
            )
        })
        .collect();
    pages.push(("README.md".into(), "README.zh-CN.md".into()));
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A part of a page that its translation has too, and the heading it is below.
#[derive(Debug)]
struct Part<'a> {
    heading: &'a str,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Heading(usize),
    Item,
    Row {
        cells: usize,
        code: BTreeSet<String>,
        numbers: BTreeSet<String>,
    },
    Block {
        language: String,
        lines: Vec<String>,
    },
    /// The code that the text of a section names, beside its rows.
    Names(BTreeSet<String>),
    /// The files that a section links to; a translation may link to more.
    Links(BTreeSet<String>),
}

impl What {
    fn is_in(&self, translation: &What) -> bool {
        match (self, translation) {
            (What::Links(one), What::Links(other)) => one.is_subset(other),
            (one, other) => one == other,
        }
    }
}

fn parts(page: &str) -> Vec<Part<'_>> {
    let (mut parts, mut heading) = (vec![], "");
    let (mut text, mut links) = (String::new(), BTreeSet::new());
    // One more heading ends the last section.
    let mut lines = page.lines().chain(["#"]);
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let lines = code_of(&block, language);
            let language = language.to_owned();
            let what = What::Block { language, lines };
            parts.push(Part { heading, what });
            continue;
        }
        links.extend(files_in(line));
        let mut add = |what| parts.push(Part { heading, what });
        if line.starts_with('#') {
            add(What::Names(names_in(&std::mem::take(&mut text))));
            add(What::Links(std::mem::take(&mut links)));
            let level = line.bytes().take_while(|c| *c == b'#').count();
            add(What::Heading(level));
            heading = line;
        } else if line.starts_with('|') {
            let (cells, code) = (line.matches('|').count(), names_in(line));
            let numbers = numbers_in(line);
            add(What::Row {
                cells,
                code,
                numbers,
            });
        } else {
            text = text + line + " ";
            if is_item(line) {
                add(What::Item);
            }
        }
    }
    parts
}

fn is_item(line: &str) -> bool {
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with("- ") || (numbered.len() < line.len() && numbered.starts_with(". "))
}

/// What stands between backticks.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What is written in digits, in names too.
fn numbers_in(line: &str) -> BTreeSet<String> {
    let numbers = line.split(|c: char| !c.is_ascii_digit() && !['.', ','].contains(&c));
    let numbers = numbers.map(|number| number.trim_matches(['.', ',']));
    let numbers = numbers.filter(|number| !number.is_empty());
    numbers.map(str::to_owned).collect()
}

/// The names of the files that a line links to; those of translations are the same.
fn files_in(line: &str) -> impl Iterator<Item = String> {
    let targets = line.split("](").skip(1);
    let files = targets.filter_map(|rest| rest.split([')', '#']).next()?.rsplit('/').next());
    files
        .filter(|file| !file.is_empty())
        .map(|file| file.replace("README.zh-CN.md", "README.md"))
}

/// The lines of a block as a program reads them. The words of a picture are translated.
fn code_of(block: &[&str], language: &str) -> Vec<String> {
    if block.iter().any(|line| line.contains(['─', '▶'])) {
        return vec![];
    }
    let code = |line: &&str| match language {
        "sh" => line.split(" #").next().unwrap().trim_end().to_owned(),
        _ => (*line).to_owned(),
    };
    block.iter().map(code).collect()
}

#[test]
fn chinese_pages_have_what_the_english_ones_have() {
    let pages = pages();
    assert!(pages.len() > 3, "{pages:?}");
    for (english, chinese) in pages {
        let (one, other) = (read(&english), read(&chinese));
        let other = other.split(WORDS).next().unwrap();
        let (one, other) = (parts(&one), parts(other));
        assert!(one.len() > 10, "{}: {one:?}", english.display());
        for (left, right) in one.iter().zip(&other) {
            let place = (
                english.display(),
                left.heading,
                chinese.display(),
                right.heading,
            );
            let is_there = left.what.is_in(&right.what);
            assert!(is_there, "{place:?}\n{:?}\n{:?}", left.what, right.what);
        }
        assert_eq!(one.len(), other.len(), "parts of {}", chinese.display());
    }
}

#[test]
fn one_chinese_word_stands_for_one_thing() {
    let concepts = read(Path::new("docs/zh/concepts.md"));
    let (before, words) = concepts.split_once(WORDS).unwrap();
    let rows = words.lines().filter(|line| line.starts_with('|')).skip(2);
    let avoided: Vec<&str> = rows
        .flat_map(|row| {
            row.trim_matches('|')
                .rsplit('|')
                .next()
                .unwrap()
                .split('、')
        })
        .map(str::trim)
        .collect();
    assert!(avoided.len() > 20, "{avoided:?}");

    let mut texts = vec![("docs/zh/concepts.md".into(), before.to_owned())];
    for (_, chinese) in pages() {
        if !chinese.ends_with("zh/concepts.md") {
            texts.push((chinese.clone(), read(&chinese)));
        }
    }
    for path in scripts(&root().join("view/js")) {
        texts.push((path.clone(), read(&path)));
    }
    assert!(texts.len() > 20, "{} texts", texts.len());
    for (path, text) in texts {
        for word in &avoided {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn the_console_has_every_setting_in_chinese() {
    let script = read(Path::new("view/js/views/config/text.js"));
    let settings = Config::default().settings;
    for setting in &settings {
        let told = format!("\n  \"{}\": \"", setting.key);
        assert!(script.contains(&told), "{}", setting.key);
    }
    let all = script.lines().filter(|line| line.starts_with("  \""));
    assert_eq!(
        all.count(),
        settings.len(),
        "none is told that is no setting"
    );
}

/// The scripts of the console below a folder.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| path.is_dir());
    let below = dirs.iter().flat_map(|dir| scripts(dir));
    let scripts = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "js"));
    scripts.chain(below).collect()
}
