//! Why a configuration cannot be used.

/// Why a configuration cannot be used: one line that names the place, the key and the value.
/// The value of a secret is never in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not the YAML that is expected.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// Line, column and what is wrong there.
        reason: String,
    },
    /// There is no such section or key.
    #[error("{origin}: {key} is not a setting{hint}")]
    Unknown {
        /// The file, variable or argument.
        origin: String,
        /// What was named.
        key: String,
        /// The setting that may have been meant.
        hint: String,
    },
    /// The file that a running server has settings from is gone, or has none any more.
    #[error("{file}: {problem}, and {key} is from it; a restart takes the defaults")]
    Vanished {
        /// The file.
        file: String,
        /// What is the matter.
        problem: &'static str,
        /// One of the settings that it has set.
        key: &'static str,
    },
    /// The secret key is not set any more.
    #[error(
        "mq.secretKey: it is not set any more, and does not become the published default by that"
    )]
    KeyVanished,
    /// A key that can be guessed, on a server that listens beyond this machine.
    #[error(
        "mq.secretKey: while others reach this server it cannot become the published default, or \
         one of fewer than 8 characters"
    )]
    KeyTooOpen,
    /// The value cannot be used.
    #[error("{origin}: {key}: {problem}")]
    Impossible {
        /// The file, variable or argument.
        origin: String,
        /// The setting.
        key: String,
        /// The value, unless secret, and what it should be.
        problem: String,
    },
}
