//! What a command shares with the terminal: results, the bar of what takes long, Ctrl-C.

pub(super) mod bar;
pub(super) mod interrupt;
pub(super) mod output;
