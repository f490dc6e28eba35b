//! What connections and the broker take from a configuration, at the start and at each reload, and
//! what is logged of it.

use std::sync::Arc;

use crate::broker::{self, Blocking, OutboxLimits, Pace, WantedTopics};
use crate::clock::Clock;
use crate::config::{Config, ListenHost, MqConfig};
use crate::server::connections::admission::Limits;

/// The limits of connections. Logs a warning if the open files allow fewer.
pub(super) fn limits(config: &Config) -> Limits {
    let server = &config.server;
    let files = rlimit::Resource::NOFILE.get_soft().ok();
    let limits = Limits::new(
        server.max_connections,
        server.max_connections_per_address,
        files,
    );
    if server.max_connections > limits.connections {
        tracing::warn!(
            "server.maxConnections is {}, but the limit of open files is for {} connections",
            server.max_connections,
            limits.connections
        );
    }
    limits
}

/// The settings of the broker.
pub(super) fn settings(mq: &MqConfig) -> broker::Settings {
    broker::Settings {
        pace: Pace {
            batch_messages: mq.send_count,
            pause: mq.push_pause,
        },
        retries: mq.send_retry_count,
        outbox: OutboxLimits {
            messages: mq.outbox_messages,
            bytes: mq.outbox_bytes,
        },
        re_push: mq.re_push,
        clean_after_seconds: mq.clean.then_some(mq.clean_after_seconds),
        check_every: mq.check_every,
        clock: Clock::system(),
        blocking: Blocking::Threads,
    }
}

/// Logs what to do about a secret key that can be guessed.
pub(super) fn warn_of_key(config: &Config) {
    let secret = &config.mq.secret_key;
    if config.listen_host().restricted {
        tracing::warn!("{}", ListenHost::ADVICE);
    } else if secret.is_short() && !secret.is_default() {
        tracing::warn!("mq.secretKey has fewer than 16 characters, and may be guessed");
    }
}

/// Logs how fast messages leave, if a pace is set.
pub(super) fn tell_pace(mq: &MqConfig) {
    if let Some(messages) = settings(mq).pace.per_second() {
        tracing::info!(
            "a pace is set: at most {messages} messages a second leave, for all topics together \
             (mq.sendCount, mq.pushMessagesSpeed)"
        );
    }
}

/// The topics that have metrics of their own.
pub(super) fn told_topics(config: &Config) -> Option<WantedTopics> {
    let topics = config.server.metrics_topics.clone()?;
    Some(Arc::new(move |topic| topics.has(topic)))
}
