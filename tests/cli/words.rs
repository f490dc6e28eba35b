//! What is said of a mistake.

use std::fs;
use std::os::unix::fs::symlink;

use crate::program::{Run, dir, program, run};

#[test]
fn a_number_that_must_not_be_0_says_so() {
    for args in [
        &["listen", "t", "--count", "0"][..],
        &["bench", "--window", "0"],
        &["bench", "--count", "many"],
    ] {
        let run = run(args);
        assert_eq!(run.code, 64);
        let expected = "expected a whole number of 1 or more";
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_link_that_leads_to_nothing_is_refused_by_name() {
    let backup = dir();
    let serve = [
        "serve",
        "--port",
        "0",
        "--set",
        "mq.secretKey=a key of my own",
    ];
    for (name, args) in [
        ("data", &serve[..]),
        ("data.db", &serve),
        ("data", &["doctor"]),
        ("data", &["restore", "backup"]),
    ] {
        let dir = dir();
        fs::write(dir.path().join("backup"), "").unwrap();
        let link = dir.path().join(name);
        symlink(backup.path().join("mount/data"), &link).unwrap();
        let run = Run::from(program(dir.path()).args(args).output().unwrap());
        assert_eq!(run.code, 1, "{args:?}");
        let said = run.stdout + &run.stderr;
        let expected = format!("{name}: it is a link to ");
        assert!(said.contains(&expected), "{args:?}: {said}");
        assert!(said.contains("mount/data, which is not there"), "{said}");
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
}

#[test]
fn a_path_that_a_shell_would_read_otherwise_makes_nothing() {
    for path in ["~/data", "data/", "$HOME/data"] {
        let dir = dir();
        let set = format!("mq.persistentFile={path}");
        let output = program(dir.path()).args(["serve", "--set", &set]).output();
        let run = Run::from(output.unwrap());
        assert_eq!(run.code, 64, "{path}");
        let expected = format!("error: command line: mq.persistentFile: \"{path}\" ");
        assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
