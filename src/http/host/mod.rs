//! What the operating system tells: about the disk, and about this process.

pub(in crate::http) mod disk;
pub(in crate::http) mod process;
