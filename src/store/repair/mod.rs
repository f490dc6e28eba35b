//! Finds damage by reading what nobody asks for, and heals it from the snapshot.
//!
//! It imports `snapshot`, `index` and `log`.

pub(super) mod coverage;
pub(super) mod heal;
mod kin;
pub(super) mod scrub;
