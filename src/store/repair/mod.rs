//! What is damaged: found by reading what nobody asks for, and taken back from the snapshot.
//!
//! It imports `snapshot`, `index` and `log`.

pub(super) mod coverage;
pub(super) mod heal;
mod kin;
pub(super) mod scrub;
