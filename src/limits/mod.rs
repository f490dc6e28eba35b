//! What keeps clients from taking too much of the server from each other: memory, and turns.

pub mod fairness;
pub mod memory_budget;
