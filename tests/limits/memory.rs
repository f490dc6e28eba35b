//! What a server takes of memory.

use std::fmt;

use crate::common::TestServer;

/// What no server takes more of, however much waits.
pub(crate) const BUDGET: Memory = Memory(256 << 20);

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Memory(pub(crate) u64);

impl Memory {
    /// What the server takes now.
    pub(crate) fn now(server: &TestServer) -> Memory {
        Memory(server.memory())
    }

    /// The most that it has taken since it started.
    pub(crate) fn peak(server: &TestServer) -> Memory {
        Memory(server.memory_peak())
    }

    /// How much more it is than before.
    pub(crate) fn since(self, before: Memory) -> Memory {
        Memory(self.0.saturating_sub(before.0))
    }

    pub(crate) const fn mib(mib: u64) -> Memory {
        Memory(mib << 20)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10) >> 20;
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}
