use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::keys::KEYS;

pub(super) const SHIPPED: &str = include_str!("../../config/application.yaml");

/// Loads `yaml` as a named file, with variables and overrides.
pub(super) fn load(
    yaml: impl AsRef<[u8]>,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    std::fs::write(&file, yaml).unwrap();
    let os = |text: &str| OsString::from(text);
    let sources = Sources {
        file: Some(file.clone()),
        environment: environment.iter().map(|(k, v)| (os(k), os(v))).collect(),
        overrides: overrides
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
    };
    Config::load(&sources).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        text.replace(file.to_str().unwrap(), "FILE")
    })
}

fn problem(yaml: &str) -> String {
    load(yaml, &[], &[]).unwrap_err()
}

fn source_of(config: &Config, key: &str) -> String {
    let setting = config.settings.iter().find(|s| s.key == key).unwrap();
    setting.source.clone()
}

#[test]
fn the_shipped_file_is_the_defaults_with_their_meanings() {
    let (mut shipped, built_in) = (load(SHIPPED, &[], &[]).unwrap(), Config::default());
    // It is beside the file.
    assert_eq!(built_in.server.keys_file, Path::new("config/keys.yaml"));
    assert!(shipped.server.keys_file.is_absolute());
    shipped.server.keys_file = built_in.server.keys_file.clone();
    assert_eq!(shipped.server, built_in.server);
    assert_eq!(shipped.mq, built_in.mq);
    assert_eq!(shipped.log, built_in.log);
    for setting in &built_in.settings {
        assert_eq!(setting.source, "default");
        let (_, name) = setting.key.split_once('.').unwrap();
        let bare = format!("{name}: {} ", setting.default);
        let quoted = format!("{name}: {:?} ", setting.default);
        let is_its = |line: &str| line.starts_with(&bare) || line.starts_with(&quoted);
        let line = SHIPPED.lines().find(|line| is_its(line.trim_start()));
        match setting.key {
            "mq.checkCount" => assert_eq!(line, None),
            key => assert!(
                line.unwrap_or_else(|| panic!("{key}"))
                    .ends_with(setting.meaning)
            ),
        }
    }
}

#[test]
fn an_original_file_loads() {
    let yaml = "\u{feff}# 服务\r\nserver:\r\n  port: 9000 # 端口\r\n\r\nmq:\r\n  \
        secretKey: 0123 # 密钥\r\n  checkCount: 100\r\n  pushMessagesSpeed: 0.5\r\n  sendCount: 100000000";
    let config = load(yaml, &[], &[]).unwrap();
    assert_eq!(config.server.port, 9000);
    assert_eq!(config.mq.secret_key.expose(), "0123");
    assert_eq!(config.mq.push_pause, Duration::from_millis(500));
    assert_eq!(config.mq.send_count, 100_000_000);
}

#[test]
fn without_a_pace_in_the_file_there_is_none() {
    let pause = |yaml: &str| load(yaml, &[], &[]).unwrap().mq.push_pause;
    assert_eq!(pause(""), Duration::ZERO);
    assert_eq!(pause("mq:\n  sendCount: 100"), Duration::ZERO);
    assert_eq!(pause(SHIPPED), Duration::ZERO);
    assert_eq!(pause("mq:\n  pushMessagesSpeed: 1"), Duration::from_secs(1));
}

#[test]
fn an_empty_file_or_section_is_the_defaults() {
    for yaml in [
        "",
        "# nothing\n",
        "mq:\n",
        "server:\nmq:\nlog:",
        "---\n",
        "{}",
    ] {
        let config = load(yaml, &[], &[]).unwrap();
        assert_eq!(config.mq, Config::default().mq, "{yaml:?}");
    }
}

#[test]
fn a_later_layer_wins_and_keeps_its_name() {
    let yaml = "server:\n  port: 1\n  loginAttempts: 2\nmq:\n  sendCount: 2\n  isClean: false";
    let environment = [
        ("DPMQ_SERVER_PORT", "2"),
        ("dpmq_mq_sendcount", "3"),
        ("DPMQ_TEST_HOME", "other"),
        ("DPMQ_HOME", "other"),
        ("PATH", "/bin"),
    ];
    let overrides = [("server.port", "3"), ("server.port", "4")];
    let config = load(yaml, &environment, &overrides).unwrap();
    assert_eq!(config.server.port, 4);
    assert_eq!(config.mq.send_count, 3);
    assert_eq!(config.server.login_attempts, 2);
    assert!(!config.mq.clean);
    assert_eq!(source_of(&config, "server.port"), "command line");
    assert_eq!(source_of(&config, "mq.sendCount"), "dpmq_mq_sendcount");
    assert!(source_of(&config, "mq.isClean").ends_with("a.yaml"));
    assert_eq!(source_of(&config, "log.level"), "default");
}

#[test]
fn an_impossible_value_is_named() {
    for (yaml, expected) in [
        (
            "mq:\n  sendCount: abc",
            "mq.sendCount: \"abc\" is not a whole number of 1 or more",
        ),
        (
            "mq:\n  sendCount: 0",
            "mq.sendCount: \"0\" is not a whole number of 1 or more",
        ),
        (
            "mq:\n  sendCount: -1",
            "mq.sendCount: \"-1\" is not a whole number of 1 or more",
        ),
        (
            "mq:\n  sendCount: 1.5",
            "mq.sendCount: \"1.5\" is not a whole number of 1 or more",
        ),
        (
            "mq:\n  sendCount: 99999999999999999999",
            "mq.sendCount: \"99999999999999999999\" is more than 1000000000000",
        ),
        ("mq:\n  sendCount:", "mq.sendCount: it has no value"),
        (
            "mq:\n  sendCount: [1, 2]",
            "mq.sendCount: expected one value, not a list or section",
        ),
        (
            "mq:\n  sendCount:\n    a: 1",
            "mq.sendCount: expected one value, not a list or section",
        ),
        (
            "mq:\n  sendRetryCount: -1",
            "mq.sendRetryCount: \"-1\" is not a whole number of 0 or more",
        ),
        (
            "server:\n  port: 70000",
            "server.port: \"70000\" is not a port number from 0 to 65535",
        ),
        (
            "server:\n  host: 1.2.3.4:80",
            "server.host: \"1.2.3.4:80\" is not a host name or an IP address",
        ),
        ("mq:\n  isClean: 2", "mq.isClean: \"2\" is neither 0 nor 1"),
        (
            "mq:\n  checkSpeed: 0",
            "mq.checkSpeed: \"0\" is not 0.001 seconds or more",
        ),
        (
            "mq:\n  pushMessagesSpeed: nan",
            "mq.pushMessagesSpeed: \"nan\" is not a number of seconds, 0 or more",
        ),
        (
            "mq:\n  pushMessagesSpeed: -0.5",
            "mq.pushMessagesSpeed: \"-0.5\" is not a number of seconds, 0 or more",
        ),
        (
            "mq:\n  pushMessagesSpeed: inf",
            "mq.pushMessagesSpeed: \"inf\" is not a number of seconds, 0 or more",
        ),
        (
            "mq:\n  pushMessagesSpeed: 1e300",
            "mq.pushMessagesSpeed: \"1e300\" is more than 1000000000 seconds",
        ),
        (
            "mq:\n  persistentFile: ''",
            "mq.persistentFile: \"\" is not a path",
        ),
        (
            "mq:\n  persistentFile: ~/data",
            "mq.persistentFile: \"~/data\" begins with ~, which is not expanded: give the whole path, or ./~ if it is a name",
        ),
        (
            "server:\n  keysFile: ~dpmq/keys.yaml",
            "server.keysFile: \"~dpmq/keys.yaml\" begins with ~, which is not expanded: give the whole path, or ./~ if it is a name",
        ),
        (
            "log:\n  auditFile: $HOME/audit.log",
            "log.auditFile: \"$HOME/audit.log\" has a variable, which is not expanded: give the whole path",
        ),
        (
            "mq:\n  persistentFile: /var/lib/${NAME}/data",
            "mq.persistentFile: \"/var/lib/${NAME}/data\" has a variable, which is not expanded: give the whole path",
        ),
        (
            "mq:\n  persistentFile: data/",
            "mq.persistentFile: \"data/\" names a folder: give the path of a file in it, without a slash at the end",
        ),
        (
            "mq:\n  persistentFile: /srv/..",
            "mq.persistentFile: \"/srv/..\" names a folder: give the path of a file in it, without a slash at the end",
        ),
        (
            "server:\n  tlsCert: /etc/dpmq/.",
            "server.tlsCert: \"/etc/dpmq/.\" names a folder: give the path of a file in it, without a slash at the end",
        ),
        (
            "mq:\n  segmentMiB: 0",
            "mq.segmentMiB: \"0\" is not a whole number of 1 or more",
        ),
        (
            "mq:\n  segmentMiB: 1025",
            "mq.segmentMiB: \"1025\" is more than 1024",
        ),
        (
            "log:\n  level: verbose",
            "log.level: \"verbose\" is neither one of off, error, warn, info, debug, trace nor filter directives",
        ),
    ] {
        assert_eq!(problem(yaml), format!("FILE: {expected}"));
    }
}

#[test]
fn an_unknown_key_or_section_is_named() {
    assert_eq!(
        problem("mq:\n  sendcount: 1"),
        "FILE: mq.sendcount is not a setting, did you mean mq.sendCount?"
    );
    assert_eq!(
        problem("mq:\n  nothing: 1"),
        "FILE: mq.nothing is not a setting"
    );
    assert_eq!(problem("queue:\n  a: 1"), "FILE: queue is not a setting");
    assert_eq!(
        problem("port: 1"),
        "FILE: port: expected lines \"key: value\" under it"
    );
    let variable = load("", &[("DPMQ_MQ_SEND_COUNT", "1")], &[]).unwrap_err();
    assert_eq!(
        variable,
        "DPMQ_MQ_SEND_COUNT: mq.SEND_COUNT is not a setting, did you mean DPMQ_MQ_SENDCOUNT?"
    );
    let argument = load("", &[], &[("mq.x", "1")]).unwrap_err();
    assert_eq!(argument, "command line: mq.x is not a setting");
}

#[test]
fn what_a_slip_may_have_meant_is_named() {
    for (yaml, expected) in [
        (
            "mq:\n  sendCout: 1",
            "mq.sendCout is not a setting, did you mean mq.sendCount?",
        ),
        (
            "mq:\n  isPersistant: 1",
            "mq.isPersistant is not a setting, did you mean mq.isPersistent?",
        ),
        (
            "mq:\n  clenaTime: 1",
            "mq.clenaTime is not a setting, did you mean mq.cleanTime?",
        ),
        (
            "server:\n  sendCount: 1",
            "server.sendCount is not a setting, did you mean mq.sendCount?",
        ),
        (
            "servers:\n  port: 1",
            "servers is not a setting, did you mean server?",
        ),
        (
            "MQ:\n  sendCount: 1",
            "MQ is not a setting, did you mean mq?",
        ),
        ("my:\n  sendCount: 1", "my is not a setting"),
    ] {
        assert_eq!(problem(yaml), format!("FILE: {expected}"));
    }
    let variable = load("", &[("DPMQ_MQ_SENDCOUTN", "1")], &[]).unwrap_err();
    assert!(
        variable.ends_with("did you mean DPMQ_MQ_SENDCOUNT?"),
        "{variable}"
    );
    let argument = load("", &[], &[("mq.sendCunt", "1")]).unwrap_err();
    assert!(
        argument.ends_with("did you mean mq.sendCount?"),
        "{argument}"
    );
}

#[test]
fn a_duplicate_is_named() {
    assert_eq!(
        problem("mq:\n  isClean: 1\n  isClean: 1"),
        "FILE: line 3: isClean appears twice"
    );
    assert_eq!(
        problem("mq:\n  isClean: 1\nmq:\n"),
        "FILE: line 3: mq appears twice"
    );
    let both = [("DPMQ_LOG_FILE", "1"), ("dpmq_log_file", "0")];
    assert_eq!(
        load("", &both, &[]).unwrap_err(),
        "dpmq_log_file: log.file: DPMQ_LOG_FILE sets it too"
    );
}

#[test]
fn what_is_no_yaml_is_located() {
    assert_eq!(
        problem("just text"),
        "FILE: expected sections such as \"mq:\", each with lines \"key: value\""
    );
    assert_eq!(
        problem("mq:\n\tisClean: 1"),
        "FILE: tabs disallowed within this context (block indentation) at line 2, column 2"
    );
    assert_eq!(
        problem("mq:\n---\nmq:"),
        "FILE: line 3: a second document begins with \"---\""
    );
    let binary = load([b'm', 0xff], &[], &[]).unwrap_err();
    assert!(binary.starts_with("FILE: not UTF-8 text"), "{binary}");
}

#[test]
fn values_of_the_environment_and_command_line_are_checked_like_those_of_a_file() {
    let variable = load("", &[("DPMQ_SERVER_PORT", "x")], &[]).unwrap_err();
    assert_eq!(
        variable,
        "DPMQ_SERVER_PORT: server.port: \"x\" is not a port number from 0 to 65535"
    );
    let argument = load("", &[], &[("server.port", "")]).unwrap_err();
    assert_eq!(
        argument,
        "command line: server.port: \"\" is not a port number from 0 to 65535"
    );
}

#[test]
fn an_error_is_one_short_line() {
    let long = "x".repeat(10_000);
    for yaml in [
        "mq:\n  \"send\\nCount\": 1".to_owned(),
        "\"a\\nb\": {}".to_owned(),
        "mq:\n  \"a\\nb\": [1]".to_owned(),
        format!("mq:\n  {long}: 1"),
        format!("mq:\n  sendCount: {long}"),
        format!("mq:\n  sendCount: |\n    1\n    {long}"),
    ] {
        assert!(problem(&yaml).len() < 300, "{yaml}");
    }
}

proptest::proptest! {
    #[test]
    fn no_file_is_too_odd(lines in "(server|mq|log|[a-z\"\\[{&*!|>%@~-]?):\n(\\PC{0,12}\n?[ \t]{0,2}(port|sendCount)?:?){0,6}") {
        // `load` checks the error line.
        let _ = load(lines, &[], &[]);
    }
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources {
        file: Some(PathBuf::from("no/such.yaml")),
        ..Sources::default()
    };
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.starts_with("no/such.yaml: No such file"), "{error}");
}

#[test]
fn the_secret_is_never_shown() {
    for value in [
        "\"hunter2",
        "hunter2: x",
        "[hunter2]",
        "{hunter2: 1}",
        "*hunter2",
        "\"hunter2\\n\"",
        "@hunter2",
        "!!int hunter2",
        "|\n hunter2",
    ] {
        let error = problem(&format!("mq:\n  secretKey: {value}\n"));
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(
        problem("mq:\n  secretKey: ''"),
        "FILE: mq.secretKey: the value is empty"
    );
    let config = load("mq:\n  secretKey: hunter2", &[], &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(config.mq.secret_key.matches("hunter2"));
}

#[test]
fn a_key_that_no_header_has_is_refused() {
    for key in [" own key", "own key ", " ", "own\tkey", "own key\r\n", ""] {
        let error = load("", &[], &[("mq.secretKey", key)]).unwrap_err();
        assert!(error.contains("mq.secretKey: the value "), "{error}");
    }
    assert!(load("", &[], &[("mq.secretKey", "own key")]).is_ok());
}

#[test]
fn a_key_that_can_be_guessed_listens_on_loopback_only() {
    let listen = |overrides: &[(&str, &str)]| {
        let config = load("", &[], overrides).unwrap();
        let listen = config.listen_host();
        (listen.host.to_owned(), listen.restricted)
    };
    let on = |host: &str, restricted| (host.to_owned(), restricted);
    assert_eq!(listen(&[]), on("127.0.0.1", true));
    assert_eq!(listen(&[("server.host", "[::]")]), on("127.0.0.1", true));
    assert_eq!(
        listen(&[("server.allowDefaultKey", "1")]),
        on("0.0.0.0", false)
    );
    for (key, restricted) in [("a", true), ("7 signs", true), ("8 signs!", false)] {
        let host = if restricted { "127.0.0.1" } else { "0.0.0.0" };
        assert_eq!(listen(&[("mq.secretKey", key)]), on(host, restricted));
    }
    let short = [("mq.secretKey", "a"), ("server.allowDefaultKey", "1")];
    assert_eq!(listen(&short), on("0.0.0.0", false));
    for host in ["localhost", "::1", "127.0.0.2"] {
        assert_eq!(listen(&[("server.host", host)]), on(host, false));
    }
}

#[test]
fn log_levels_and_directives_are_taken() {
    for level in [
        "info",
        "TRACE",
        "off",
        "info,dpmq::store=debug",
        "dpmq=debug",
        "warn, hyper",
    ] {
        assert!(load("", &[], &[("log.level", level)]).is_ok(), "{level}");
    }
    for level in ["", " ", ",", "dpmq=loud", "info,,warn"] {
        assert!(load("", &[], &[("log.level", level)]).is_err(), "{level}");
    }
}

#[test]
fn the_legacy_view_has_the_original_keys_as_numbers() {
    let config = load("mq:\n  pushMessagesSpeed: 0.5", &[], &[]).unwrap();
    let json = serde_json::to_string(&config.legacy_view()).unwrap();
    let expected = r#"{"messageChanBuffer":1000000,"pushMessagesSpeed":0.5,"sendCount":100,"sendRetryCount":1,"persistentFile":"data","isPersistent":1,"recoveryStrategy":1,"persistentTime":5,"isRePush":1,"isClean":1,"checkSpeed":5,"checkCount":0,"cleanTime":259200}"#;
    assert_eq!(json, expected);
}

#[test]
fn what_needs_a_restart_is_what_the_page_on_operations_says() {
    let page = include_str!("../../docs/operations.md");
    let (_, table) = page.split_once("| needs a restart | why |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let keys = table.lines().filter_map(|row| row.split('|').nth(1));
    let listed: BTreeSet<&str> = keys
        .flat_map(|keys| keys.split('`').skip(1).step_by(2))
        .collect();
    let fixed = KEYS.iter().filter(|key| key.is_fixed).map(|key| key.path);
    assert_eq!(listed, fixed.collect());
}

#[test]
fn a_setting_says_whether_another_value_of_the_file_counts_at_a_reload() {
    let file = "mq:\n  sendCount: 7\n  checkSpeed: 9\n  cleanTime: 60\n  segmentMiB: 64\n";
    let config = load(
        file,
        &[("DPMQ_MQ_CHECKSPEED", "3")],
        &[("mq.cleanTime", "90"), ("server.port", "1")],
    );
    let config = config.unwrap();
    let settings = config.settings.iter();
    let reloads: BTreeSet<&str> = settings
        .filter(|one| one.reloads)
        .map(|one| one.key)
        .collect();
    let expected = KEYS.iter().filter(|key| !key.is_fixed).map(|key| key.path);
    let of_the_process = ["mq.checkSpeed", "mq.cleanTime"];
    let expected = expected.filter(|path| !of_the_process.contains(path));
    assert_eq!(reloads, expected.collect());
    assert!(reloads.contains("mq.sendCount") && !reloads.contains("mq.segmentMiB"));
}
