//! Finds a text in other texts, without regard to case.

use memchr::memmem::Finder;

/// A text that is looked for. Letters of ASCII are compared without case byte by byte; with
/// others in the text, all are compared by their Unicode lower-case form.
pub(super) struct Needle {
    finder: Finder<'static>,
    ascii: bool,
    /// The lower-case form of what is looked at; kept, so that a search allocates once.
    lower: Vec<u8>,
}

impl Needle {
    pub(super) fn new(text: &str) -> Needle {
        let lower = text.to_lowercase();
        Needle {
            finder: Finder::new(lower.as_bytes()).into_owned(),
            ascii: lower.is_ascii(),
            lower: vec![],
        }
    }

    /// Whether `text` has it somewhere.
    pub(super) fn is_in(&mut self, text: &str) -> bool {
        self.lower.clear();
        if self.ascii {
            self.lower.extend_from_slice(text.as_bytes());
            self.lower.make_ascii_lowercase();
        } else if text.is_ascii() {
            return false;
        } else {
            let mut utf8 = [0; 4];
            for c in text.chars().flat_map(char::to_lowercase) {
                self.lower
                    .extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
            }
        }
        self.finder.find(&self.lower).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        for (needle, text, found) in [
            ("Order", "the ORDER 7", true),
            ("order", "the ordre", false),
            ("É", "caf\u{e9}", true),
            ("é", "CAFÉ", true),
            ("é", "cafe", false),
            ("дом", "У ДОМА", true),
            ("主题", "一个主题", true),
            ("order", "ÄÖ Order ß", true),
            ("a\nB", "xA\nb", true),
            ("\u{212a}", "kelvin", true),
            ("aab", "aaaaab", true),
            ("x", "", false),
        ] {
            assert_eq!(
                Needle::new(needle).is_in(text),
                found,
                "{needle:?} in {text:?}"
            );
        }
    }

    #[test]
    fn a_needle_is_used_again() {
        let mut needle = Needle::new("b");
        assert!(
            [("abc", true), ("", false), ("B", true)]
                .iter()
                .all(|(text, found)| needle.is_in(text) == *found)
        );
    }
}
