//! Defines the filter's metrics in the gateway and brings their changes there. Knows nothing of
//! what they count.

use proxy_wasm::types::MetricType;

use crate::filter::hostcalls;
use crate::metrics::{Definition, MetricKind, Update, DEFINITIONS};

/// How a gateway keeps the gauges of its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GaugeMode {
    /// One number for all workers, to which each adds its changes. What a worker has added stays
    /// when the worker is gone.
    Summed,
    /// One value, which each worker sets; adding to it is a trap. The value stays when the worker
    /// that set it is gone.
    Set,
}

impl GaugeMode {
    /// Returns true if what a worker has added must be taken back when it is gone.
    pub(crate) fn are_sums(self) -> bool {
        match self {
            GaugeMode::Summed => true,
            GaugeMode::Set => false,
        }
    }

    /// Defines every metric and returns their ids in the order of [`DEFINITIONS`]; `None` stands
    /// for one that the host refuses.
    pub(crate) fn define(self) -> Vec<Option<u32>> {
        DEFINITIONS.iter().map(|definition| self.define_one(definition)).collect()
    }

    fn define_one(self, definition: &Definition) -> Option<u32> {
        let kind = match definition.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        let id = hostcalls::define_metric(kind, definition.name)?;
        if definition.kind == MetricKind::Gauge && !self.are_sums() {
            // An earlier worker may have left a value.
            hostcalls::record_metric(id, 0);
        }
        Some(id)
    }

    /// Brings one change to the host's metric `id`.
    pub(crate) fn report(self, id: u32, update: Update) {
        match update {
            Update::Add(_, count) => hostcalls::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX)),
            Update::Record(_, value) => hostcalls::record_metric(id, value),
            Update::Level { value, change, .. } => match self {
                GaugeMode::Summed => hostcalls::increment_metric(id, change),
                GaugeMode::Set => hostcalls::record_metric(id, value),
            },
        }
    }
}
