//! What the operating system tells about this process.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// The resident memory in bytes; `None` if the system does not tell.
pub(in crate::http) async fn resident_bytes() -> Option<u64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The processor time used, in seconds, of all processors together.
pub(in crate::http) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number of open files and sockets, and its limit. Reads a folder that lists all of them.
pub(in crate::http) fn files() -> Option<(u64, u64)> {
    let open = Path::new("/proc/self/fd").read_dir().ok()?.count();
    let (most, _) = rlimit::Resource::NOFILE.get().ok()?;
    // Reading the folder opened one more.
    Some((open as u64 - 1, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_this_process() {
        let before = cpu_seconds();
        while cpu_seconds() == before {
            std::hint::spin_loop();
        }
        let known = Path::new("/proc/self").exists();
        let memory = resident_bytes().await;
        assert_eq!(memory.is_some_and(|bytes| bytes > 1 << 20), known);
        let files = files();
        let plausible = files.is_some_and(|(open, most)| open >= 3 && most >= open);
        assert_eq!(plausible, known, "{files:?}");
    }
}
