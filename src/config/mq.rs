//! The `mq` section: queue, batches, storage, checks.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::values::secret::SecretKey;
use crate::config::values::{self, Values};

/// The largest number of messages or seconds: a million millions.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// The largest amount of memory: a TiB.
const MEBIBYTES_MAX: u64 = 1024 * 1024;

/// The largest size of a file of the log: its offsets have 32 bits.
const SEGMENT_MEBIBYTES_MAX: u64 = 1024;

/// Queue, batches, storage, checks.
#[derive(Clone, Debug, PartialEq)]
pub struct MqConfig {
    /// The key that every client must present.
    pub secret_key: SecretKey,
    /// Queue capacity in messages; while it is full, producers wait.
    pub message_chan_buffer: usize,
    /// The pause after each full batch; zero for no pause.
    pub push_pause: Duration,
    /// Messages per batch.
    pub send_count: usize,
    /// Immediate retries after a failed push.
    pub send_retry_count: u32,
    /// The snapshot file.
    pub persistent_file: PathBuf,
    /// Where messages are kept.
    pub durability: Durability,
    /// What a start does with the messages on disk.
    pub recovery: Recovery,
    /// The time between two snapshots.
    pub persistent_every: Duration,
    /// Whether messages that were not consumed are pushed again.
    pub re_push: bool,
    /// Whether expired messages are deleted.
    pub clean: bool,
    /// The time between two checks (re-push, expiry).
    pub check_every: Duration,
    /// Has no effect; kept for old files and shown to old clients.
    pub check_count: i64,
    /// The age in seconds at which a message is expired.
    pub clean_after_seconds: u64,
    /// Memory for the data of queued messages; beyond it, data is read back from disk.
    pub queue_memory_bytes: usize,
    /// Messages that may wait for one slow consumer.
    pub outbox_messages: usize,
    /// Bytes that may wait for one slow consumer.
    pub outbox_bytes: usize,
    /// How long a consumer's socket may accept nothing.
    pub write_timeout: Duration,
    /// The size at which the log begins a new file.
    pub segment_bytes: u64,
}

/// Where messages are kept (`isPersistent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk, and synced before an answer.
    Disk,
    /// In memory only.
    Memory,
}

/// What a start does with the messages on disk (`recoveryStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Deletes them, and starts empty.
    Empty,
    /// Restores them.
    Restore,
}

impl MqConfig {
    pub(super) fn from_values(values: &Values<'_>) -> Result<MqConfig, ConfigError> {
        use values::{flag, mebibytes, seconds, seconds_above_zero, whole};
        let durability = |text: &str| match flag(text)? {
            true => Ok(Durability::Disk),
            false => Ok(Durability::Memory),
        };
        let recovery = |text: &str| match flag(text)? {
            true => Ok(Recovery::Restore),
            false => Ok(Recovery::Empty),
        };
        Ok(MqConfig {
            secret_key: values.read("mq.secretKey", values::secret_key)?,
            message_chan_buffer: values.read("mq.messageChanBuffer", whole(1..=COUNT_MAX))?,
            push_pause: values.read("mq.pushMessagesSpeed", seconds)?,
            send_count: values.read("mq.sendCount", whole(1..=COUNT_MAX))?,
            send_retry_count: values.read("mq.sendRetryCount", whole(0..=1000))?,
            persistent_file: values.read("mq.persistentFile", values::path)?,
            durability: values.read("mq.isPersistent", durability)?,
            recovery: values.read("mq.recoveryStrategy", recovery)?,
            persistent_every: values.read("mq.persistentTime", seconds_above_zero)?,
            re_push: values.read("mq.isRePush", flag)?,
            clean: values.read("mq.isClean", flag)?,
            check_every: values.read("mq.checkSpeed", seconds_above_zero)?,
            check_count: values.read("mq.checkCount", values::integer)?,
            clean_after_seconds: values.read("mq.cleanTime", whole(1..=COUNT_MAX))?,
            queue_memory_bytes: values.read("mq.queueMemoryMiB", mebibytes(1..=MEBIBYTES_MAX))?,
            outbox_messages: values.read("mq.outboxMessages", whole(1..=COUNT_MAX))?,
            outbox_bytes: values.read("mq.outboxMiB", mebibytes(1..=MEBIBYTES_MAX))?,
            write_timeout: values.read("mq.writeSeconds", seconds_above_zero)?,
            segment_bytes: values.read("mq.segmentMiB", mebibytes(1..=SEGMENT_MEBIBYTES_MAX))?,
        })
    }
}
