//! The process: its version, its age and its resources.

use std::fmt;

use prometheus_client::registry::Unit;

use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;

impl Scrape {
    pub(super) fn process(&self, to: &mut Families<'_>) -> fmt::Result {
        to.info(
            "dpmq_build",
            "The version that runs.",
            &[("version", env!("CARGO_PKG_VERSION"))],
        )?;
        to.gauge(
            "dpmq_uptime",
            "Time since the store was opened.",
            Some(Unit::Seconds),
            self.uptime.as_secs_f64(),
        )?;
        to.gauge(
            "process_start_time",
            "When the store was opened, in Unix seconds.",
            Some(Unit::Seconds),
            self.started_at,
        )?;
        to.cpu(self.cpu_seconds)?;
        if let Some(bytes) = self.resident_bytes {
            to.gauge(
                "process_resident_memory",
                "Memory that the process has.",
                Some(Unit::Bytes),
                bytes,
            )?;
        }
        if let Some((open, most)) = self.files {
            let help = "Files and sockets that are open.";
            to.gauge("process_open_fds", help, None, open)?;
            let help = "Files and sockets that may be open.";
            to.gauge("process_max_fds", help, None, most)?;
        }
        Ok(())
    }
}
