//! The metrics that a module defines and counts.

use crate::profile::Profile;

/// The three kinds of Proxy-Wasm metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Collects observations.
    Histogram,
}

#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub name: String,
    pub kind: MetricKind,
    /// The value of a counter or a gauge.
    pub value: u64,
    /// The observations of a histogram.
    pub observed: Vec<u64>,
}

/// What came of a call, before each host puts it in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Done,
    NoSuchMetric,
    WrongKind,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Vec<Metric>);

impl Metrics {
    pub(crate) fn define(&mut self, kind: MetricKind, name: &str) -> u32 {
        let known = self.0.iter().position(|metric| metric.name == name && metric.kind == kind);
        let index = known.unwrap_or_else(|| {
            self.0.push(Metric { name: name.into(), kind, value: 0, observed: Vec::new() });
            self.0.len() - 1
        });
        index as u32 + 1
    }

    pub(crate) fn increment(&mut self, profile: Profile, id: u32, offset: i64) -> Counted {
        let Some(metric) = self.by_id(id) else { return Counted::NoSuchMetric };
        let allowed = match (profile, metric.kind) {
            (_, MetricKind::Histogram) | (Profile::Kong, MetricKind::Gauge) => false,
            (Profile::Envoy, MetricKind::Counter) => offset > 0,
            (Profile::Envoy, MetricKind::Gauge) | (Profile::Kong, MetricKind::Counter) => true,
        };
        if !allowed {
            return Counted::WrongKind;
        }
        metric.value = metric.value.wrapping_add_signed(offset);
        Counted::Done
    }

    pub(crate) fn record(&mut self, profile: Profile, id: u32, value: u64) -> Counted {
        let Some(metric) = self.by_id(id) else { return Counted::NoSuchMetric };
        match (profile, metric.kind) {
            (_, MetricKind::Gauge) => metric.value = value,
            (_, MetricKind::Histogram) => metric.observed.push(value),
            (Profile::Envoy, MetricKind::Counter) => metric.value = metric.value.wrapping_add(value),
            (Profile::Kong, MetricKind::Counter) => return Counted::WrongKind,
        }
        Counted::Done
    }

    pub(crate) fn value(&mut self, id: u32) -> Result<u64, Counted> {
        match self.by_id(id) {
            None => Err(Counted::NoSuchMetric),
            Some(metric) if metric.kind == MetricKind::Histogram => Err(Counted::WrongKind),
            Some(metric) => Ok(metric.value),
        }
    }

    fn by_id(&mut self, id: u32) -> Option<&mut Metric> {
        self.0.get_mut((id as usize).checked_sub(1)?)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Metric> {
        self.0.iter().find(|metric| metric.name == name)
    }

    pub(crate) fn all(&self) -> &[Metric] {
        &self.0
    }
}
