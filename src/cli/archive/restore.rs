//! `dpmq restore`: makes a store from a backup.

use std::path::Path;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::archive::verify::print;
use crate::cli::terminal::bar::{bytes_bar, show};
use crate::cli::terminal::output::{Output, counted};
use crate::config::{Config, Durability};
use crate::store::{Options, Restored, restore};

/// Makes the store of `config` from `file`.
pub(in crate::cli) fn run(config: &Config, file: &Path, damaged: bool) -> Result<(), Failure> {
    if config.mq.durability == Durability::Memory {
        let text = "mq.isPersistent is 0: there is no store to restore to";
        return Err(anyhow!(text).into());
    }
    let options = Options::new(&config.mq.persistent_file);
    let bar = bytes_bar().with_message("checked and written");
    let restored = restore(&options, file, damaged, &mut |at| show(&bar, at));
    bar.finish_and_clear();
    match restored? {
        Restored::Damaged(report) => {
            print(&report)?;
            let text = format!(
                "{} is damaged, and nothing was restored; --damaged takes what is whole of it",
                file.display()
            );
            Err(anyhow!(text).into())
        }
        Restored::Done { report, counts } => {
            print(&report)?;
            let (file, place) = (file.display(), config.mq.persistent_file.display());
            let all = counted(counts.all(), "message");
            let line = format!("restored {all} from {file} to {place}.db");
            Output::open().line(line.as_bytes())
        }
    }
}
