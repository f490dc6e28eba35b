//! Writes families of metrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::broker::ToldTopic;
use crate::measure::Spread;

/// Writes one family after another.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); N],
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (case, value) in values {
            let labels = [(label, case)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn cpu(&mut self, seconds: f64) -> fmt::Result {
        let (to, unit) = (&mut self.0, Some(&Unit::Seconds));
        let help = "Time of all processors together that the process has had.";
        let mut family = to.encode_descriptor("process_cpu", help, unit, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&seconds, None)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: [(&str, impl EncodeGaugeValue); N],
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (case, value) in values {
            let labels = [(label, case)];
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        spread: &Spread,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        let (sum, count) = (spread.sum, spread.count());
        family.encode_histogram::<NoLabelSet>(sum, count, &spread.buckets, None)
    }

    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&labels)
    }

    pub(super) fn gauge_of_each<N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        topics: &[ToldTopic],
        value: impl Fn(&ToldTopic) -> N,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for topic in topics {
            let labels = [("topic", topic.topic.as_str())];
            family.encode_family(&labels)?.encode_gauge(&value(topic))?;
        }
        Ok(())
    }

    pub(super) fn counter_of_each(
        &mut self,
        name: &str,
        help: &str,
        topics: &[ToldTopic],
        value: impl Fn(&ToldTopic) -> u64,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for topic in topics {
            let labels = [("topic", topic.topic.as_str())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value(topic), None)?;
        }
        Ok(())
    }
}
