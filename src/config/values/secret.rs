//! The secret key: never shown, compared in constant time.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The key that clients present. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct SecretKey {
    key: String,
    /// Digests are compared: they have one length, which does not depend on that of the key.
    digest: [u8; 32],
}

impl SecretKey {
    /// The key of the published example configuration.
    pub const PUBLISHED_DEFAULT: &'static str = "dpmq";

    /// A secret key with this text.
    pub fn new(key: impl Into<String>) -> SecretKey {
        let key = key.into();
        let digest = Sha256::digest(&key).into();
        SecretKey { key, digest }
    }

    /// Whether `candidate` is the key. The time that this takes does not depend on where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let theirs: [u8; 32] = Sha256::digest(candidate).into();
        self.digest.ct_eq(&theirs).into()
    }

    /// Whether this is [`SecretKey::PUBLISHED_DEFAULT`].
    pub fn is_default(&self) -> bool {
        self.key == SecretKey::PUBLISHED_DEFAULT
    }

    /// Whether it is the published key, or has fewer than 8 characters.
    pub fn is_guessable(&self) -> bool {
        const CHARACTERS_MIN: usize = 8;
        self.is_default() || self.key.chars().count() < CHARACTERS_MIN
    }

    /// Whether it has fewer than 16 characters, and may be guessed.
    pub fn is_short(&self) -> bool {
        const CHARACTERS_ENOUGH: usize = 16;
        self.key.chars().count() < CHARACTERS_ENOUGH
    }

    /// The key itself, for a client that has to send it.
    pub fn expose(&self) -> &str {
        &self.key
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &SecretKey) -> bool {
        self.matches(&other.key)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_matches() {
        let key = SecretKey::new("qüq");
        assert!(key.matches("qüq"));
        for wrong in ["", "q", "qüq ", "QÜQ", "dpmq"] {
            assert!(!key.matches(wrong), "{wrong:?}");
        }
        assert!(!key.is_default() && SecretKey::new("dpmq").is_default());
    }

    #[test]
    fn what_can_be_guessed_is_known() {
        for (key, guessable, short) in [
            ("a", true, true),
            ("dpmq", true, true),
            ("sevenÄÖ", true, true),
            ("eightÄÖÜ", false, true),
            ("fifteen letters", false, true),
            ("sixteen letters!", false, false),
        ] {
            let secret = SecretKey::new(key);
            let found = (secret.is_guessable(), secret.is_short());
            assert_eq!(found, (guessable, short), "{key}");
        }
    }

    #[test]
    fn debug_hides_the_key() {
        assert_eq!(
            format!("{:?}", SecretKey::new("hunter2")),
            "SecretKey(hidden)"
        );
    }
}
