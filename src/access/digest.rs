//! Tokens, and the digests that are kept of them.
//!
//! A token is 256 random bits, so one round of SHA-256 is as hard to invert as the token is to
//! guess. A password would need a slow hash. That is why keys are made here and never chosen, and
//! why only what has the form of a token is compared with a digest.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The prefix of every token, by which people and secret scanners recognise one.
const START: &str = "dpmq_";
const BYTES: usize = 32;
/// The prefix of every digest in a file.
const KIND: &str = "sha256:";

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct TokenError(getrandom::Error);

/// A named key, as its owner presents it. Its `Debug` form does not show it.
pub struct Token(String);

impl Token {
    /// A token that nobody can guess.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Token, TokenError> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(TokenError)?;
        Ok(Token(format!("{START}{}", const_hex::encode(bytes))))
    }

    /// The token, for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digest, which is all that is kept of it.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digest([u8; BYTES]);

impl Digest {
    /// The digest of what a client presents; `None` if it does not have the form of a token.
    pub(super) fn of(presented: &str) -> Option<Digest> {
        from_hex(presented.strip_prefix(START)?)?;
        Some(Digest(Sha256::digest(presented).into()))
    }

    /// Whether both are the same, compared in constant time.
    pub(super) fn is(&self, other: &Digest) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", const_hex::encode(self.0))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Digest, String> {
        let digits = text.strip_prefix(KIND);
        digits.and_then(from_hex).map(Digest).ok_or_else(|| {
            format!("its hash is not {KIND} and 64 hex digits, as dpmq key new makes it")
        })
    }
}

/// The bytes of 64 lower-case digits.
fn from_hex(text: &str) -> Option<[u8; BYTES]> {
    if text.len() != 2 * BYTES || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    const_hex::decode_to_array(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_digest_and_no_other_has() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.expose().len(), 5 + 64);
        assert!(bool::from(
            Digest::of(one.expose()).unwrap().is(&one.digest())
        ));
        assert!(!bool::from(other.digest().is(&one.digest())));
        assert_eq!(format!("{one:?}"), "Token(hidden)");
        let text = one.digest().to_string();
        assert_eq!(text.parse(), Ok(one.digest()));
        assert!(!text.contains(&one.expose()[5..]));
    }

    #[test]
    fn a_digest_is_the_sha256_of_the_whole_token() {
        let token = Token(format!("{START}{}", "0".repeat(64)));
        assert_eq!(
            token.digest().to_string(),
            "sha256:535368aca824aede75cdd4b6483b58a94e410094bb631742bd68ddc6230d0617"
        );
    }

    #[test]
    fn what_is_no_token_has_no_digest() {
        let digits = "0".repeat(63);
        for wrong in [
            String::new(),
            "dpmq".into(),
            format!("dpmq_{digits}"),
            format!("dpmq_{digits}G"),
            format!("dpmq_{digits}A"),
            format!("DPMQ_{digits}0"),
            format!("dpmq_{digits}00"),
            format!("dpmq_0x{digits}0"),
            format!("dpmq_0x{}", &digits[1..]),
            format!("dpmq_{digits}é"),
        ] {
            assert_eq!(Digest::of(&wrong), None, "{wrong}");
        }
        for wrong in ["", "sha256:", "secret", "sha1:00", "sha256:00"] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
