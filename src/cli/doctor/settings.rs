//! The configuration: whether it is valid, and which of its settings are dangerous.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::access::KeysFile;
use crate::broker::Pace;
use crate::cli::doctor::finding::Finding;
use crate::config::{Config, ConfigError, Durability, ListenHost, Recovery};
use crate::server;

const CHECK: &str = "configuration";
/// Reading and writing, for users that are neither the owner nor of the group.
const READABLE_BY_ALL: u32 = 0o004;
const WRITABLE_BY_ALL: u32 = 0o002;

/// The finding for an invalid configuration.
pub(super) fn unusable(error: &ConfigError) -> Finding {
    let advice = "correct it; dpmq check-config shows every setting and where it comes from";
    Finding::fail(CHECK, error.to_string(), advice)
}

/// The findings on a valid configuration.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let sources: BTreeSet<&str> = config.settings.iter().map(|it| &*it.source).collect();
    let sources: Vec<&str> = sources.into_iter().collect();
    let text = format!("can be used; it is from: {}", sources.join(", "));
    let mut findings = vec![Finding::ok(CHECK, text)];
    findings.extend(guessable_key(config));
    findings.extend(key_files(config));
    findings.extend(open_network(config));
    findings.extend(pace(config));
    if config.mq.durability == Durability::Memory {
        findings.push(Finding::warn(
            CHECK,
            "mq.isPersistent is 0: messages are in memory only, and a restart loses them",
            "set mq.isPersistent to 1, unless no message matters",
        ));
    }
    if config.mq.recovery == Recovery::Empty {
        findings.push(Finding::warn(
            CHECK,
            "mq.recoveryStrategy is 0: every start deletes the store and its snapshot",
            "set mq.recoveryStrategy to 1, unless no message matters",
        ));
    }
    findings
}

/// Reports that messages and keys travel without TLS.
fn open_network(config: &Config) -> Option<Finding> {
    let host = config.listen_host();
    if config.server.tls.is_some() || host.is_loopback() {
        return None;
    }
    let address = host.host.parse::<IpAddr>();
    let what = match address.is_ok_and(|address| address.to_canonical().is_unspecified()) {
        true => "every address of this machine is listened on",
        false => "an address beyond this machine is listened on",
    };
    Some(Finding::warn(
        CHECK,
        format!(
            "{what} ({}), without TLS: keys and messages can be read on their way",
            host.host
        ),
        "set server.tlsCert and server.tlsKey; or let a proxy have TLS, and nobody else reach the port: server.host 127.0.0.1, or a network of its own",
    ))
}

/// Reports a pace that slows down messages.
fn pace(config: &Config) -> Option<Finding> {
    let pace = Pace {
        batch_messages: config.mq.send_count,
        pause: config.mq.push_pause,
    };
    let messages = pace.per_second()?;
    Some(Finding::warn(
        CHECK,
        format!(
            "a pace is set: at most {messages} messages a second leave, for all topics together"
        ),
        "set mq.pushMessagesSpeed to 0, unless consumers have to be spared",
    ))
}

/// Checks the file of named keys: no server starts with an invalid one.
pub(super) fn named_keys(config: &Config) -> Finding {
    const CHECK: &str = "keys";
    let file = &config.server.keys_file;
    match KeysFile::at(file).keys() {
        Ok(keys) => Finding::ok(
            CHECK,
            format!("{} named keys in {}", keys.len(), file.display()),
        ),
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "mend the file; docs/keys.md has its form",
        ),
    }
}

/// Checks the certificate and its key, if there are any.
pub(super) fn tls(config: &Config) -> Option<Finding> {
    const CHECK: &str = "tls";
    config.server.tls.as_ref()?;
    Some(match server::check_tls(config) {
        Ok(()) => Finding::ok(CHECK, "certificate and key can be used"),
        Err(error) => Finding::fail(
            CHECK,
            format!("{error:#}"),
            "let the server's user read both files, and see that they belong together",
        ),
    })
}

fn guessable_key(config: &Config) -> Option<Finding> {
    let secret = &config.mq.secret_key;
    let what = match (
        secret.is_default(),
        secret.is_guessable(),
        secret.is_short(),
    ) {
        (true, ..) => "mq.secretKey is the published default",
        (_, true, _) => "mq.secretKey has fewer than 8 characters",
        (.., true) => {
            let text = "mq.secretKey has fewer than 16 characters";
            return Some(Finding::warn(CHECK, text, "set a longer one, of chance"));
        }
        _ => return None,
    };
    if config.listen_host().restricted {
        let text = format!("only this machine can connect: {what}");
        return Some(Finding::warn(CHECK, text, ListenHost::ADVICE));
    }
    config.server.allow_default_key.then(|| {
        Finding::warn(
            CHECK,
            format!("{what}, and server.allowDefaultKey lets everybody in"),
            "set mq.secretKey to a key of your own",
        )
    })
}

/// The files of keys that every user of this machine can read or change.
fn key_files(config: &Config) -> Vec<Finding> {
    let secret = config.settings.iter().find(|it| it.secret);
    let secret = secret.filter(|_| !config.mq.secret_key.is_default());
    let mut files = vec![("the named keys", &*config.server.keys_file)];
    files.extend(secret.map(|it| (it.key, Path::new(&it.source))));
    files.extend(
        config
            .server
            .tls
            .as_ref()
            .map(|tls| ("the key of TLS", &*tls.key)),
    );
    let opened = |(what, path): (&str, &Path)| {
        let mode = fs::metadata(path).ok()?.permissions().mode();
        let can = match (mode & READABLE_BY_ALL, mode & WRITABLE_BY_ALL) {
            (0, 0) => return None,
            (_, 0) => "read",
            (0, _) => "change",
            _ => "read and change",
        };
        let shown = path.display();
        Some(Finding::warn(
            CHECK,
            format!("everybody on this machine can {can} {what} in {shown}"),
            format!("chmod o-rw {shown}"),
        ))
    };
    files.into_iter().filter_map(opened).collect()
}
