//! Defines the filter's metrics in the gateway and brings their changes there. Knows nothing of
//! what they count.

use std::rc::Rc;

use proxy_wasm::types::MetricType;

use crate::filter::hostcalls;
use crate::metrics::{Definition, MetricChange, MetricKind, Series, Update, DEFINITIONS, VERSION};

/// Stands between a metric's name and its target. Envoy's `stats_tags` and Kong's `label_patterns`
/// make a label of the target.
const TARGET: &str = ".target.";

/// Stands between a metric's name and the version of the filter, of which they make another.
const OF_VERSION: &str = ".version.";

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

    /// Defines a metric, of a target or of none; `None` if the host refuses it.
    fn define(self, definition: &Definition, target: Option<&str>) -> Option<u32> {
        let kind = match definition.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        let (separator, label) = match (definition.series, target) {
            (Series::Version, _) => (OF_VERSION, VERSION),
            (Series::One | Series::Targets, Some(target)) => (TARGET, target),
            (Series::One | Series::Targets, None) => ("", ""),
        };
        let id = hostcalls::define_metric(kind, &[definition.name, separator, label].concat())?;
        if definition.series == Series::Version {
            hostcalls::record_metric(id, 1);
        } else if definition.kind == MetricKind::Gauge && !self.are_sums() {
            // An earlier worker may have left a value.
            hostcalls::record_metric(id, 0);
        }
        Some(id)
    }

    /// Brings one change to the host's metric `id`.
    fn report(self, id: u32, update: Update) {
        match update {
            Update::Add(_, count) => hostcalls::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX)),
            Update::Record(_, value) => hostcalls::record_metric(id, value),
            Update::Level { value, change, .. } => match self {
                GaugeMode::Summed if change == 0 => {}
                GaugeMode::Summed => hostcalls::increment_metric(id, change),
                GaugeMode::Set => hostcalls::record_metric(id, value),
            },
        }
    }
}

/// The metrics of one target, or of none: their ids in the order of [`DEFINITIONS`], once they are
/// defined.
struct MetricIds {
    target: Option<Rc<str>>,
    ids: Vec<Option<Option<u32>>>,
}

/// The metrics as the gateway knows them.
pub(crate) struct GatewayMetrics {
    mode: GaugeMode,
    ids: Vec<MetricIds>,
}

impl GatewayMetrics {
    /// Defines what one worker reports, so that every series begins at zero.
    pub(crate) fn new(mode: GaugeMode, targets: impl Iterator<Item = Rc<str>>) -> GatewayMetrics {
        let mut metrics = GatewayMetrics { mode, ids: Vec::new() };
        for target in std::iter::once(None).chain(targets.map(Some)) {
            let is_of_target = target.is_some();
            for definition in DEFINITIONS.iter().filter(|each| (each.series == Series::Targets) == is_of_target) {
                metrics.id(target.as_ref(), definition);
            }
        }
        metrics
    }

    /// Returns the id of a metric, which is defined if it is new.
    fn id(&mut self, target: Option<&Rc<str>>, definition: &Definition) -> Option<u32> {
        let known = self.ids.iter().position(|ids| ids.target.as_ref() == target);
        let position = known.unwrap_or(self.ids.len());
        if known.is_none() {
            self.ids.push(MetricIds { target: target.cloned(), ids: vec![None; DEFINITIONS.len()] });
        }
        let id = self.ids.get_mut(position)?.ids.get_mut(definition.metric as usize)?;
        *id.get_or_insert_with(|| self.mode.define(definition, target.map(AsRef::as_ref)))
    }

    /// Brings changes to the host.
    pub(crate) fn report(&mut self, changes: Vec<MetricChange>) {
        for MetricChange { target, update } in changes {
            let definition = DEFINITIONS.get(update.metric() as usize);
            if let Some(id) = definition.and_then(|definition| self.id(target.as_ref(), definition)) {
                self.mode.report(id, update);
            }
        }
    }
}
