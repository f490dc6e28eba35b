//! What the server tells about itself, and the deletion of a run's messages.

use std::fmt::{self, Display};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::cli::client::request;
use crate::cli::client::url::{ServerUrl, percent_encoded};
use crate::message::Topic;

/// What matters to a measurement; `None` for what the server does not tell.
#[derive(Debug, Default, Serialize)]
pub(super) struct Facts {
    version: Option<String>,
    /// mq.pushMessagesSpeed
    pub(super) push_pause_s: Option<f64>,
    /// mq.sendCount
    push_batch_messages: Option<u64>,
}

impl Facts {
    /// Asks the server. A server without the console API tells nothing.
    pub(super) async fn of(url: &ServerUrl, key: &str) -> Facts {
        #[derive(Deserialize)]
        struct Overview {
            version: String,
        }
        #[derive(Deserialize)]
        struct Config {
            settings: Vec<Setting>,
        }
        #[derive(Deserialize)]
        struct Setting {
            key: String,
            value: Option<String>,
        }
        let overview = request::json::<Overview>(url, key, "/api/overview").await;
        let config = request::json::<Config>(url, key, "/api/config").await;
        let settings = config.map(|config| config.settings).unwrap_or_default();
        let value = |key: &str| {
            let setting = settings.iter().find(|setting| setting.key == key)?;
            setting.value.as_deref()
        };
        Facts {
            version: overview.ok().map(|overview| overview.version),
            push_pause_s: value("mq.pushMessagesSpeed").and_then(|text| text.parse().ok()),
            push_batch_messages: value("mq.sendCount").and_then(|text| text.parse().ok()),
        }
    }

    /// The most messages that the server pushes in a second, if it pauses at all.
    pub(super) fn pace_per_s(&self) -> Option<f64> {
        let pause = self.push_pause_s.filter(|pause| *pause > 0.0)?;
        Some(self.push_batch_messages? as f64 / pause)
    }
}

impl Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "DPMQ {version}")?,
            None => f.write_str("of unknown version")?,
        }
        match (self.pace_per_s(), self.push_pause_s) {
            (Some(pace), _) => write!(f, ", which pushes {pace} messages a second at most"),
            (None, Some(_)) => f.write_str(", which pushes without a pause"),
            (None, None) => f.write_str(", which does not say how fast it pushes"),
        }
    }
}

/// The pause before a topic is checked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Deletes the messages of `topic` until there are none, and no producer could send more. So
/// messages that were on their way are deleted too.
pub(super) async fn clear(url: &ServerUrl, key: &str, topic: &Topic) -> anyhow::Result<()> {
    let route = format!("/api/topics/{}", percent_encoded(topic.as_str()));
    loop {
        purge(url, key, topic).await?;
        if !request::is_there(url, key, &route).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn purge(url: &ServerUrl, key: &str, topic: &Topic) -> anyhow::Result<()> {
    let route = format!("/api/topics/{}/purge", percent_encoded(topic.as_str()));
    let body = serde_json::json!({"confirm": topic.as_str(), "what": "all"});
    let reply = request::post(url, key, &route, body.to_string()).await;
    reply?.whole().await.context("the answer to a purge")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pause: Option<f64>, batch: Option<u64>) -> Facts {
        Facts {
            version: None,
            push_pause_s: pause,
            push_batch_messages: batch,
        }
    }

    #[test]
    fn the_pace_is_a_batch_in_each_pause() {
        assert_eq!(facts(Some(0.5), Some(100)).pace_per_s(), Some(200.0));
        assert_eq!(facts(Some(0.0), Some(100)).pace_per_s(), None);
        assert_eq!(facts(None, None).pace_per_s(), None);
    }
}
