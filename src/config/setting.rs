//! One setting as it is shown.

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
    /// Whether another value of the file counts when the configuration is read again. Else it
    /// counts from the next start on.
    pub reloads: bool,
    /// What the setting does, with its unit.
    pub meaning: &'static str,
    /// Whether the value must not be shown.
    pub secret: bool,
}

impl Setting {
    /// Whether its value has names of topics.
    pub fn names_topics(&self) -> bool {
        self.key == "server.metricsTopics"
    }
}
