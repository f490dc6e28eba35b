//! What a server takes of memory.

use std::fmt;
use std::fs;

use crate::common::TestServer;

/// What no server takes more of, however much waits.
pub(crate) const BUDGET: Memory = Memory(256 << 20);

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Memory(pub(crate) u64);

impl Memory {
    /// What the server takes now.
    pub(crate) fn now(server: &TestServer) -> Memory {
        Memory::read(server, "VmRSS:")
    }

    /// The most that it has taken since it started.
    pub(crate) fn peak(server: &TestServer) -> Memory {
        Memory::read(server, "VmHWM:")
    }

    fn read(server: &TestServer, name: &str) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        Memory(kib.parse::<u64>().unwrap() << 10)
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
