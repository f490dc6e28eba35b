//! Patterns of topics, as keys and settings have them.

use crate::message::Topic;

/// Patterns of topics: `orders` is that topic, `orders*` every one that begins so, `*` all.
///
/// The star has its meaning at the end only; a topic that has one elsewhere is meant as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Vec<String>);

impl Topics {
    /// Every topic.
    pub fn all() -> Topics {
        Topics(vec!["*".to_owned()])
    }

    /// Topics that fit one of `patterns`.
    ///
    /// # Errors
    /// What is wrong, in words: there is no pattern, or one that no topic fits.
    pub fn new(patterns: Vec<String>) -> Result<Topics, String> {
        if patterns.is_empty() {
            return Err("it is for no topics; \"*\" is all".to_owned());
        }
        for pattern in &patterns {
            let text = pattern.strip_suffix('*').unwrap_or(pattern);
            let fits_some = pattern == "*" || text.parse::<Topic>().is_ok();
            if !fits_some {
                return Err(format!("no topic fits {pattern:?}"));
            }
        }
        Ok(Topics(patterns))
    }

    /// Topics that fit one of the patterns of a list, as in `orders,eu-*`; `None` if it is empty.
    ///
    /// # Errors
    /// As [`Topics::new`].
    pub fn list(text: &str) -> Result<Option<Topics>, String> {
        let patterns = text.split(',').map(|pattern| pattern.trim().to_owned());
        match text.trim() {
            "" => Ok(None),
            _ => Topics::new(patterns.collect()).map(Some),
        }
    }

    /// Whether `topic` is among them.
    pub fn has(&self, topic: &Topic) -> bool {
        let topic = topic.as_str();
        let mut patterns = self.0.iter();
        patterns.any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => topic.starts_with(start),
            None => topic == pattern,
        })
    }

    /// Whether every topic is among them.
    pub fn are_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    /// The patterns as they were written.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(patterns: &[&str]) -> Topics {
        let patterns = patterns.iter().map(|text| (*text).to_owned());
        Topics::new(patterns.collect()).unwrap()
    }

    #[test]
    fn a_pattern_is_a_topic_a_beginning_or_everything() {
        for (patterns, topic, fits) in [
            (&["orders"][..], "orders", true),
            (&["orders"], "orders-eu", false),
            (&["orders"], "Orders", false),
            (&["orders*"], "orders", true),
            (&["orders*"], "orders-eu", true),
            (&["orders*"], "order", false),
            (&["orders*"], "my-orders", false),
            (&["a", "b*"], "bc", true),
            (&["a", "b*"], "c", false),
            (&["a*b"], "a*b", true),
            (&["a*b"], "axb", false),
            (&["a**"], "a*", true),
            (&["a**"], "ab", false),
            (&["*"], "anything", true),
            (&["短*"], "短信", true),
        ] {
            let topic = topic.parse().unwrap();
            assert_eq!(topics(patterns).has(&topic), fits, "{patterns:?} {topic}");
        }
    }

    #[test]
    fn a_list_has_commas_and_may_be_empty() {
        assert_eq!(Topics::list(" "), Ok(None));
        assert_eq!(Topics::list("a, b*"), Ok(Some(topics(&["a", "b*"]))));
        for wrong in ["a,,b", ",", "a|b", "a,"] {
            assert!(Topics::list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_star_alone_is_all() {
        assert!(topics(&["a", "*"]).are_all() && Topics::all().are_all());
        assert!(!topics(&["a*"]).are_all());
    }

    #[test]
    fn a_pattern_that_no_topic_fits_is_refused() {
        for wrong in [vec![], vec![""], vec!["a|b"], vec!["a|*"], vec!["a", ""]] {
            let patterns = wrong.iter().map(|text| (*text).to_owned()).collect();
            assert!(Topics::new(patterns).is_err(), "{wrong:?}");
        }
    }
}
