//! What each client may take of the server, so that enough is left for the others: memory
//! (`memory_budget.rs`), time to send (`pace.rs`), and turns before the login (`fairness.rs`).

pub mod fairness;
pub mod memory_budget;
pub mod pace;
