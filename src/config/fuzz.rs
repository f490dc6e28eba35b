//! Configuration files that were changed.

use bolero::{check, produce};

use super::*;
use crate::config::tests::{SHIPPED, load};
use crate::fuzz::{Edit, bounded};

/// Every setting, as it would be given on the command line.
fn settings(config: &Config) -> Vec<(&str, &str)> {
    let settings = config.settings.iter();
    settings
        .filter(|setting| setting.source != "default")
        .map(|setting| match setting.secret {
            true => (setting.key, config.mq.secret_key.expose()),
            false => (setting.key, &*setting.value),
        })
        .collect()
}

#[test]
fn a_file_that_was_changed_is_refused_in_a_line_or_means_what_its_settings_say() {
    let edits = produce::<Vec<Edit>>().with().len(1..4usize);
    let target = check!().with_generator((produce::<bool>(), edits));
    bounded(target, 300).for_each(|(bare, edits)| {
        let bare_lines = SHIPPED.lines().map(|line| match line.split_once(" #") {
            Some((setting, _)) => setting.trim_end().to_owned() + "\n",
            None => line.to_owned() + "\n",
        });
        let mut file = match bare {
            true => bare_lines.collect::<String>().into_bytes(),
            false => SHIPPED.as_bytes().to_vec(),
        };
        edits.iter().for_each(|edit| edit.apply(&mut file));
        match load(&file, &[], &[]) {
            Ok(config) => {
                let mut again = load("", &[], &settings(&config)).unwrap();
                // It is beside the file, and what is typed is not.
                again.server.keys_file.clone_from(&config.server.keys_file);
                assert_eq!(again.server, config.server);
                assert_eq!(again.mq, config.mq);
                assert_eq!(again.log, config.log);
            }
            Err(reason) => assert!(reason.contains("FILE"), "{reason}"),
        }
    });
}
