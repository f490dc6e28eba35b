//! What the system says of this process. What it does not say is left out.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// The memory that the process has, in bytes.
pub(super) async fn resident_bytes() -> Option<u64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Seconds of all processors together that the process has had.
pub(super) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The files and sockets that are open, and how many may be. Reads a folder with all of them.
pub(super) fn files() -> Option<(u64, u64)> {
    let open = Path::new("/proc/self/fd").read_dir().ok()?.count();
    let (most, _) = rlimit::Resource::NOFILE.get().ok()?;
    // The folder itself was one of them.
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
