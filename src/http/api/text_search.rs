//! Finds a text in other texts, ignoring case.

use memchr::memmem::Finder;
use unicase::UniCase;

/// A text to search for. Both sides are folded letter by letter (Unicode, full case folding),
/// without regard to neighbours. So a text is found in itself and in every text that contains it.
pub(in crate::http::api) struct TextSearch {
    finder: Finder<'static>,
    /// The folded text that is searched, if it is ASCII. It is kept so that a search allocates
    /// once.
    folded: Vec<u8>,
}

impl TextSearch {
    pub(in crate::http::api) fn new(text: &str) -> TextSearch {
        let folded = UniCase::unicode(text).to_folded_case();
        TextSearch {
            finder: Finder::new(folded.as_bytes()).into_owned(),
            folded: vec![],
        }
    }

    /// Whether `text` contains it.
    pub(in crate::http::api) fn matches(&mut self, text: &str) -> bool {
        if !text.is_ascii() {
            let folded = UniCase::unicode(text).to_folded_case();
            return self.finder.find(folded.as_bytes()).is_some();
        }
        self.folded.clear();
        self.folded.extend_from_slice(text.as_bytes());
        self.folded.make_ascii_lowercase();
        self.finder.find(&self.folded).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter() {
        for (wanted, text, found) in [
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
            ("kelvin", "\u{212a}elvin", true),
            ("ΟΔΟΣ", "η οδός", false),
            ("ΟΔΌΣ", "η οδός", true),
            ("οδός", "ΟΔΌΣ", true),
            ("σας", "ΣΑΣ ", true),
            ("STRASSE", "Straße", true),
            ("straße", "STRASSE", true),
            ("ſ", "S", true),
            ("ﬃ", "office", true),
            ("\u{130}", "i\u{307}", true),
            ("aab", "aaaaab", true),
            ("x", "", false),
        ] {
            assert_eq!(
                TextSearch::new(wanted).matches(text),
                found,
                "{wanted:?} in {text:?}"
            );
        }
    }

    #[test]
    fn every_text_is_found_in_itself_and_beside_any_other() {
        let beside = ["", "α", "Σ", "ς", "I", "\u{307}", "ß", "\u{345}", "א", "9"];
        let has_cases = |c: &char| {
            let folded = UniCase::unicode(c.to_string()).to_folded_case();
            folded.chars().ne([*c]) || c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c])
        };
        for c in ('\0'..='\u{1ffff}').filter(has_cases) {
            for beside in beside {
                let (text, other) = (format!("{c}{beside}"), c.to_string());
                assert!(TextSearch::new(&other).matches(&text), "{c:?} in {text:?}");
                assert!(
                    TextSearch::new(&text).matches(&format!("{beside}{text}")),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn a_needle_is_used_again() {
        let mut search = TextSearch::new("b");
        assert!(
            [("abc", true), ("", false), ("B", true)]
                .iter()
                .all(|(text, found)| search.matches(text) == *found)
        );
    }
}
