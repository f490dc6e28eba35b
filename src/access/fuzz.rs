//! Files of keys that were changed.

use std::path::Path;

use bolero::{check, produce};

use super::*;
use crate::fuzz::{Edit, bounded};

#[test]
fn a_file_that_was_changed_is_refused_in_a_line_or_lists_keys_that_can_be_written() {
    const FILE: &str = "# ours\n- {\"name\":\"shop\",\"rights\":[\"publish\"],\"topics\":[\"a*\"],\"expires\":\"2027-01-31T00:00:00Z\",\
        \"hash\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\n\
        - name: desk\n  rights: [consume, console-read]\n  topics:\n    - \"*\"\n\
          \x20 hash: sha256:1111111111111111111111111111111111111111111111111111111111111111\n";
    let read = |bytes: &[u8]| listed_key::parse(Path::new("FILE"), bytes);
    assert_eq!(read(FILE.as_bytes()).unwrap().len(), 2);
    let edits = produce::<Vec<Edit>>().with().len(1..4usize);
    bounded(check!().with_generator(edits), 1000).for_each(|edits| {
        let mut file = FILE.as_bytes().to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut file));
        match read(&file) {
            Ok(keys) => {
                let lines: Vec<_> = keys.iter().map(ListedKey::line).collect();
                assert_eq!(read(lines.join("\n").as_bytes()).unwrap(), keys);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.starts_with("FILE: ") && text.lines().count() == 1,
                    "{text}"
                );
            }
        }
    });
}
