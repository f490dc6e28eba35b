//! A scrape as text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::http::metrics::accept::MetricsFormat;
use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;

/// The text of a scrape.
pub(super) fn encode(scrape: Scrape, format: MetricsFormat) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    let encoded = match format {
        MetricsFormat::OpenMetrics => text::encode(&mut text, &registry),
        MetricsFormat::Prometheus => prometheus_text::encode(&mut text, &registry),
    };
    encoded.expect("a string takes everything");
    text
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Families(encoder);
        self.messages(&mut to)?;
        self.waiting(&mut to)?;
        self.topics(&mut to)?;
        self.store(&mut to)?;
        self.clients(&mut to)?;
        self.process(&mut to)
    }
}
