//! The `mq` section as the console API shows it.

use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::config::mq::{Durability, MqConfig, Recovery};

/// What `/Console/GetConfig` replies: the original's keys in its order, without the secret one,
/// as numbers and strings (protocol, "HTTP").
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are the settings of the same names")]
pub struct LegacyView<'a> {
    pub message_chan_buffer: usize,
    pub push_messages_speed: Seconds,
    pub send_count: usize,
    pub send_retry_count: u32,
    #[serde(serialize_with = "lossy")]
    pub persistent_file: &'a Path,
    pub is_persistent: u8,
    pub recovery_strategy: u8,
    pub persistent_time: Seconds,
    pub is_re_push: u8,
    pub is_clean: u8,
    pub check_speed: Seconds,
    pub check_count: i64,
    pub clean_time: u64,
}

/// A time that is shown as a number: `5`, or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub Duration);

impl<'a> LegacyView<'a> {
    pub(super) fn new(mq: &'a MqConfig) -> LegacyView<'a> {
        LegacyView {
            message_chan_buffer: mq.message_chan_buffer,
            push_messages_speed: Seconds(mq.push_pause),
            send_count: mq.send_count,
            send_retry_count: mq.send_retry_count,
            persistent_file: &mq.persistent_file,
            is_persistent: u8::from(mq.durability == Durability::Disk),
            recovery_strategy: u8::from(mq.recovery == Recovery::Restore),
            persistent_time: Seconds(mq.persistent_every),
            is_re_push: u8::from(mq.re_push),
            is_clean: u8::from(mq.clean),
            check_speed: Seconds(mq.check_every),
            check_count: mq.check_count,
            clean_time: mq.clean_after_seconds,
        }
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
