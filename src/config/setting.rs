//! One setting, as the console and the API show it.

/// One setting as the operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Section and key: `mq.sendCount`.
    pub key: &'static str,
    /// The effective value as it was written; masked if it is secret.
    pub value: String,
    /// The built-in default.
    pub default: &'static str,
    /// Where the value comes from: `default`, a file, a variable's name, or `command line`.
    pub source: String,
    /// Whether a reload applies a new value. If not, a restart does.
    pub reloads: bool,
    /// What the setting does, with its unit.
    pub meaning: &'static str,
    /// Whether the value must not be shown.
    pub secret: bool,
}

impl Setting {
    /// Whether its value names topics.
    pub fn names_topics(&self) -> bool {
        self.key == "server.metricsTopics"
    }
}
