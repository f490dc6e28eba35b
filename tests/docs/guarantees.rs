//! What `docs/guarantees.md` promises has the tests that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The page, and its list of tests.
fn page() -> (String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let (promises, tests) = text.split_once("\n## Tests\n").unwrap();
    (promises.to_owned(), tests.to_owned())
}

/// The texts between `open` and `close`, wherever `open` is.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let parts = text.split(open).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(close)?.0))
        .collect()
}

#[test]
fn every_test_that_is_named_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let (_, tests) = page();
    let mut named = 0;
    for link in between(&tests, "[`", ")") {
        let (name, file) = link.split_once("`](").unwrap();
        let code = fs::read_to_string(docs.join(file)).unwrap_or_default();
        let is_there = code.contains(&format!("fn {name}()"));
        assert!(is_there, "{file} has no test {name}");
        named += 1;
    }
    assert!(named > 30, "{named} tests are named");
}

#[test]
fn every_number_has_its_tests_and_every_test_a_promise() {
    let (promises, tests) = page();
    let numbers = |text: &str| -> BTreeSet<u32> {
        let all = between(text, "[", "]").into_iter();
        all.filter_map(|number| number.parse().ok()).collect()
    };
    let listed: BTreeSet<u32> = tests
        .lines()
        .filter_map(|line| line.split_once(". [`")?.0.parse().ok())
        .collect();
    assert_eq!(numbers(&promises), listed);
    assert_eq!(numbers(&tests), listed, "each number is a link");
}
