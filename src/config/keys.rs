//! Every setting: its name, default and meaning. Ranges are checked where the values are read.

use crate::config::SecretKey;

/// One setting.
pub(super) struct Key {
    /// Section and key, as in `mq.sendCount`.
    pub(super) path: &'static str,
    /// The default, as the file would have it.
    pub(super) default: &'static str,
    /// What it does, with its unit.
    pub(super) meaning: &'static str,
    /// Whether a new value needs a restart.
    pub(super) is_fixed: bool,
}

impl Key {
    /// Whether the value must never be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.path == "mq.secretKey"
    }

    /// Section and name.
    pub(super) fn parts(&self) -> (&'static str, &'static str) {
        self.path
            .split_once('.')
            .expect("a test looks at every path")
    }
}

/// The key at `path`, exactly as it is written.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The key that a misspelt `path` may stand for: another case, `_` or `-` between the words,
/// another section, or one or two wrong letters.
pub(super) fn similar(path: &str) -> Option<&'static Key> {
    const SLIPS_MAX: usize = 2;
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let (path, name) = (plain(path), plain(path.rsplit('.').next()?));
    let elsewhere = |key: &&Key| plain(key.parts().1) == name;
    let slips = |key: &&Key| strsim::damerau_levenshtein(&plain(key.path), &path);
    let nearest = KEYS
        .iter()
        .min_by_key(slips)
        .filter(|key| slips(key) <= SLIPS_MAX);
    nearest.or_else(|| KEYS.iter().find(elsewhere))
}

/// The section that a misspelt `name` may stand for.
pub(super) fn similar_section(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let sections = KEYS.iter().map(|key| key.parts().0);
    let slips = |section: &&str| strsim::damerau_levenshtein(section, &name);
    // A short name is similar to too many.
    sections
        .min_by_key(slips)
        .filter(|section| slips(section) * 3 <= section.len())
}

/// Whether a section of this name exists, ignoring case.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter()
        .any(|key| key.parts().0.eq_ignore_ascii_case(name))
}

const fn key(path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        path,
        default,
        meaning,
        is_fixed: false,
    }
}

/// A setting whose new value needs a restart.
const fn fixed(path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        is_fixed: true,
        ..key(path, default, meaning)
    }
}

/// All settings, in the order of the shipped file.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    fixed("server.port", "8011", "port to listen on; 0 takes any free one"),
    fixed("server.host", "0.0.0.0", "address to listen on; 0.0.0.0 is every IPv4 address, \"::\" every address"),
    fixed("server.allowDefaultKey", "0", "1: listen beyond this machine even while secretKey is the published default or has fewer than 8 characters"),
    key("server.maxMessageBytes", "16777216", "largest message that is accepted, in bytes"),
    key("server.sendWaitSeconds", "10", "seconds an HTTP send waits for a place in the queue"),
    key("server.drainSeconds", "10", "seconds that open connections have to end when the server stops"),
    key("server.loginAttempts", "5", "wrong secret keys a WebSocket client may send before it is closed"),
    key("server.loginSeconds", "60", "seconds a WebSocket client has to log in"),
    key("server.pingSeconds", "25", "seconds between two pings to a WebSocket client; one that is cut off is noticed half a minute after the next ping; 0: no pings"),
    key("server.requestSeconds", "8", "seconds to send the head of a request, TLS included; a body gets one more second for each 64 KiB"),
    key("server.maxConnections", "0", "connections at the same time; 0: the limit of open files, less 128"),
    key("server.maxConnectionsPerAddress", "0", "connections from one address, or from one /64 of IPv6; 0: half of maxConnections, and all of them for this machine, where a proxy may run"),
    key("server.trustedProxies", "", "addresses and networks of proxies, as in 10.0.0.7,fd00::/8, whose X-Forwarded-For is believed"),
    key("server.inboundMiB", "64", "memory for all messages over 64 KiB that are being received; further ones wait, over HTTP at most server.requestSeconds"),
    fixed("server.tlsCert", "", "file of the certificate and its chain, PEM; with it the port speaks https and wss only; a new file is used without a restart"),
    fixed("server.tlsKey", "", "file of the private key of tlsCert, PEM"),
    fixed("server.keysFile", "keys.yaml", "file of named keys, which dpmq key writes; a relative path begins at the folder of the configuration file; read again when it changes, and need not exist"),
    key("server.origins", "*", "origins of the web pages that may use the server, as in https://a.example,https://b.example; *: any page, but only those of this machine while the key is the published one"),
    key("server.metrics", "1", "who may read /metrics: 0 nobody, 1 clients with a key that has the right console-read, 2 everybody"),
    key("server.metricsTopics", "", "topics that /metrics lists one by one, as in orders,eu-*; *: all; at most 1000; empty: none"),
    key("mq.secretKey", SecretKey::PUBLISHED_DEFAULT, "the key with all rights; every client must present it, or a named key"),
    fixed("mq.messageChanBuffer", "1000000", "messages that may wait to be pushed; when there are more, producers wait"),
    key("mq.pushMessagesSpeed", "0", "seconds between two batches, of all topics together; fractions allowed, 0: no pause"),
    key("mq.sendCount", "100", "messages per batch, where pushMessagesSpeed sets a pause"),
    key("mq.sendRetryCount", "1", "immediate retries when the outbox of a consumer is full and that of another one is not; then the full one's session is closed"),
    fixed("mq.persistentFile", "data", "snapshot file"),
    fixed("mq.isPersistent", "1", "1: messages are kept on disk; 0: memory only, nothing survives a restart"),
    fixed("mq.recoveryStrategy", "1", "1: restore at the start; 0: delete store and snapshot at every start"),
    key("mq.persistentTime", "5", "seconds between two snapshots"),
    key("mq.isRePush", "1", "1: messages that no consumer got are pushed again"),
    key("mq.isClean", "1", "1: expired messages are deleted"),
    key("mq.checkSpeed", "5", "seconds between two checks (re-push, expiry)"),
    key("mq.checkCount", "0", "has no effect; kept for old files"),
    key("mq.cleanTime", "259200", "age in seconds at which a message expires"),
    key("mq.queueMemoryMiB", "64", "memory for the data of messages that wait to be pushed; the rest is read back from disk"),
    key("mq.outboxMessages", "65536", "messages that may wait for one slow consumer"),
    key("mq.outboxMiB", "16", "memory for the messages that wait for one slow consumer"),
    key("mq.writeSeconds", "600", "seconds that a client with a full outbox may read nothing at all before its session is closed"),
    fixed("mq.segmentMiB", "128", "size at which the log begins a new file; smaller files free space sooner"),
    key("log.level", "info", "error, warn, info, debug, trace, off, or filter directives"),
    fixed("log.format", "text", "text: lines for people; json: a JSON object on each line"),
    fixed("log.file", "1", "1: also write log/dpmq-YYYY-MM.log"),
    fixed("log.auditFile", "", "file to which changes and refused keys are also written; empty: none"),
];
