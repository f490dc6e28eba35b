//! What other people's code the program is made of: where it comes from, and under which
//! licences. `deny.toml` says what is allowed; `cargo deny check` looks at more than this.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The licences that `deny.toml` allows.
fn allowed() -> BTreeSet<String> {
    let deny = file("deny.toml");
    let (_, list) = deny.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The packages that are built on this machine, as cargo describes them.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let rustc = String::from_utf8(rustc).unwrap();
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
        ])
        .arg(host)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Whether `expression` (SPDX, or the older form with a slash) can be met with these licences.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = any(&mut rest, allowed);
    assert!(rest.is_empty(), "{expression}: what is {rest:?}?");
    met
}

fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, allowed);
    while let Some(("OR", after)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = after;
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while let Some(("AND", after)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = after;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let (first, after) = words.split_first().expect("a licence");
    *words = after;
    if *first == "(" {
        let met = any(words, allowed);
        assert_eq!(words.split_off_first().copied(), Some(")"));
        return met;
    }
    match *words {
        ["WITH", exception, ..] => {
            *words = &words[2..];
            allowed.contains(&format!("{first} WITH {exception}"))
        }
        _ => allowed.contains(*first),
    }
}

#[test]
fn every_dependency_is_from_the_registry_with_its_checksum() {
    let lock = file("Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        if package.contains("\nname = \"dpmq\"\n") {
            assert!(!package.contains("\nsource = "), "{package}");
            continue;
        }
        assert!(
            package.contains(&format!("\nsource = \"{CRATES_IO}\"\n")),
            "{package}"
        );
        assert!(package.contains("\nchecksum = \""), "{package}");
    }
}

#[test]
fn every_licence_is_one_that_is_allowed() {
    let allowed = allowed();
    assert!(allowed.contains("MIT") && allowed.len() < 20, "{allowed:?}");
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let name = &package["name"];
        let licence = package["license"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no licence"));
        assert!(is_met(licence, &allowed), "{name} is under {licence}");
    }
}

#[test]
fn an_expression_of_licences_is_understood() {
    let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"]
        .map(str::to_owned)
        .into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("MIT OR GPL-3.0 AND BSD-3-Clause", true),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("Apache-2.0 WITH Classpath-exception-2.0", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
