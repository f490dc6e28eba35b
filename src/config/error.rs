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
    /// The published default key, on a server that listens beyond this machine.
    #[error("mq.secretKey: it cannot become the published default while others reach this server")]
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
