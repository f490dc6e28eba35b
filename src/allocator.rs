//! What the system's allocator does with large memory.
//!
//! The allocator of glibc hands out large pieces as mappings of their own, which go back to the
//! system when they are freed. But each one freed raises the size from which it does so, up to
//! 32 MiB (mallopt(3), "dynamic mmap threshold"); from then on large messages are in the heaps
//! of the threads that took them, and each of those keeps what it has had: 30 lists of 16 MiB
//! messages, with room for four of them, took 160 to 256 MiB, and take 80 with a fixed size.
//! Other allocators are left as they are.

/// From this size on memory goes back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 1 << 20;
/// So much unused memory a heap may keep at its end.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const UNUSED_BYTES: libc::c_int = 4 << 20;

/// Fixes the sizes above for the whole process. To be called before there are threads.
pub fn fix_sizes() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (option, bytes) in [
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
        (libc::M_TRIM_THRESHOLD, UNUSED_BYTES),
    ] {
        // SAFETY: it takes two numbers, and changes nothing but how the allocator goes on.
        #[expect(unsafe_code, reason = "nothing else sets it; the figures are above")]
        let taken = unsafe { libc::mallopt(option, bytes) };
        debug_assert_eq!(taken, 1, "the allocator knows {option}");
    }
}
