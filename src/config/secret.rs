//! The secret key: never shown, compared in constant time.

use std::fmt;
use std::hint::black_box;

use sha1::{Digest, Sha1};

/// The key that clients present. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// The key of the published example configuration, which everybody knows.
    pub const PUBLISHED_DEFAULT: &'static str = "dpmq";

    /// A secret key with this text.
    pub fn new(key: impl Into<String>) -> SecretKey {
        SecretKey(key.into())
    }

    /// Whether `candidate` is the key. The time this takes says nothing about where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let (ours, theirs) = (Sha1::digest(&self.0), Sha1::digest(candidate));
        let differing_bits = ours
            .iter()
            .zip(theirs)
            .fold(0, |bits, (a, b)| black_box(bits | (a ^ b)));
        differing_bits == 0
    }

    /// Whether this is [`SecretKey::PUBLISHED_DEFAULT`].
    pub fn is_default(&self) -> bool {
        self.matches(SecretKey::PUBLISHED_DEFAULT)
    }

    /// The key itself, for a client that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &SecretKey) -> bool {
        self.matches(&other.0)
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
    fn debug_hides_the_key() {
        assert_eq!(
            format!("{:?}", SecretKey::new("hunter2")),
            "SecretKey(hidden)"
        );
    }
}
