//! Which host this is, and the rules that differ from one to the other. What each host calls things is in [`super::envoy`] and
//! [`super::kong`]; no code outside this folder asks where it runs.

pub mod envoy;
pub mod kong;
pub mod shared_data;
pub mod tick_gate;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::aws::credentials::settings::Source;
use crate::callout::{Limits, Scheme};
use crate::config::{Config, HostChoice, JournalChoice};
use crate::filter::hostcalls;
use crate::metrics::{Definition, Kind, Update, DEFINITIONS};
use crate::publish::route::Delivery;

/// The gateways that the filter is at home in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Envoy.
    Envoy,
    /// Kong Gateway, or nginx with Kong's module.
    Kong,
}

impl Host {
    /// The one that is chosen, or else the one that this is.
    ///
    /// Kong kills the worker that asks for a property outside of a request, so it has to be told apart in another way: asked to
    /// speak for a context that does not exist, Envoy refuses, and Kong, where that call does nothing, agrees. Both leave
    /// everything as it is.
    pub fn of(choice: HostChoice) -> Host {
        match choice {
            HostChoice::Envoy => Host::Envoy,
            HostChoice::Kong => Host::Kong,
            HostChoice::Auto if hostcalls::knows_context(u32::MAX) => Host::Kong,
            HostChoice::Auto => Host::Envoy,
        }
    }

    /// What there is to say against a configuration that is good elsewhere.
    pub fn objection(self, config: &Config) -> Option<String> {
        if self != Host::Kong {
            return None;
        }
        if config.credentials.source == Source::Host {
            return Some(
                "credentials.source: is `host`, and Kong signs nothing; give another one, such as `auto`".to_owned(),
            );
        }
        let held = config.routes.0.iter().position(|route| route.delivery != Delivery::AfterResponse);
        if let Some(route) = held {
            return Some(format!(
                "routes[{route}].delivery: is `before_response`, and Kong lets no filter call out while it has a response in \
                 its hands; give `after_response`, or leave it out"
            ));
        }
        let role = config.credentials.assume_role.as_ref();
        let sts = role.map(|role| ("credentials.assume_role.endpoint", "upstreams.sts", &role.endpoint));
        let captures =
            config.captures.0.iter().map(|capture| ("capture[].endpoint", "upstream", &capture.target.endpoint));
        let targets = config.targets.iter().map(|target| ("endpoint", "upstream", &target.endpoint));
        let mut endpoints = targets.chain(captures).chain(sts);
        endpoints.find(|(_, _, endpoint)| endpoint.scheme == Scheme::Https && is_address(&endpoint.host)).map(
            |(path, upstream, endpoint)| {
                format!(
                    "{path}: {} is an address, and Kong speaks TLS to names only; give the name that is in the certificate, and \
                     the address as `{upstream}`",
                    endpoint.host
                )
            },
        )
    }

    /// What there is to say of a root that is configured and was or was not started before.
    ///
    /// Kong starts roots when it begins; a root in a new instance of the module that it makes in the middle of a request is
    /// configured only.
    pub fn complaint(self, is_started: bool) -> Option<&'static str> {
        (self == Host::Kong && !is_started).then_some(
            "a request got a new instance of this filter. If a filter has trapped before, what this worker had queued without a \
             journal is lost; if this line comes with every request, so is every event: nginx_http_proxy_wasm_isolation must be \
             `none`",
        )
    }

    /// What this host allows of callouts.
    ///
    /// Of several calls of one root that are under way at once, Kong leaks a connection each. It also applies the timeout to
    /// connecting, to sending and to each read, and not to DNS: if the filter gave up before Kong does, its next call would be
    /// the second one. Envoy has no bound of its own, so that there is a call for each target.
    pub fn limits(self, config: &Config) -> Limits {
        match self {
            Host::Envoy => Limits {
                at_once: config.max_in_flight.max(config.targets.len()),
                deadline: config.timeout + Duration::from_secs(1),
                retries_captures: true,
            },
            Host::Kong => {
                Limits { at_once: 1, deadline: config.timeout * 3 + Duration::from_secs(10), retries_captures: false }
            }
        }
    }

    /// How often the filter is to be woken. A batch that waits for company goes out at a tick, so this bounds what a tick adds
    /// to `max_delay`. On Kong every call starts at a tick, one at a time, so this also bounds how many there are in a second.
    pub fn tick(self, max_delay: Duration) -> Duration {
        let longest = match self {
            Host::Envoy => Duration::from_millis(25),
            Host::Kong => Duration::from_millis(5),
        };
        (max_delay / 4).clamp(Duration::from_millis(1), longest)
    }

    /// Whether a call may start while the reply to another is handled. On Kong that crashes the worker.
    pub fn calls_from_replies(self) -> bool {
        self == Host::Envoy
    }

    /// Whether a request that is held may be answered at any time. Kong lets it go on as soon as its last call is answered.
    pub fn answers_at_ticks(self) -> bool {
        self == Host::Envoy
    }

    /// How long a line of the log may be. Envoy writes it whole, whatever its length.
    pub fn max_line_bytes(self) -> usize {
        match self {
            Host::Envoy => usize::MAX,
            Host::Kong => hostcalls::MAX_LINE_BYTES,
        }
    }

    /// Brings a metric to where it begins: Kong keeps the value of a gauge when the worker that set it is gone.
    pub fn begin(self, id: u32, definition: &Definition) {
        if self == Host::Kong && definition.kind == Kind::Gauge {
            hostcalls::record_metric(id, 0);
        }
    }

    /// Whether gauges are sums that workers add to: what a worker has added stays when it is gone.
    pub fn sums_gauges(self) -> bool {
        self == Host::Envoy
    }

    /// Whether there is a journal. Kong has shared data only where it was given memory, and traps where it was not.
    pub fn has_journal(self, choice: JournalChoice) -> bool {
        match choice {
            JournalChoice::Auto => self == Host::Envoy,
            JournalChoice::On => true,
            JournalChoice::Off => false,
        }
    }

    /// Tells the host of a change. On Envoy the gauges of all workers are one number, which changes add up to; on Kong a gauge
    /// can only be set, and to add to one is a trap.
    pub fn report(self, id: u32, update: Update) {
        match (update, self) {
            (Update::Add(_, count), _) => hostcalls::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX)),
            (Update::Level { change, .. }, Host::Envoy) => hostcalls::increment_metric(id, change),
            (Update::Level { value, .. }, Host::Kong) | (Update::Record(_, value), _) => {
                hostcalls::record_metric(id, value)
            }
        }
    }
}

fn is_address(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

/// The metrics of this host, defined: their ids in the order of [`DEFINITIONS`].
pub fn define_metrics(host: Host) -> Vec<Option<u32>> {
    use proxy_wasm::types::MetricType;
    let define = |definition: &Definition| {
        let kind = match definition.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let id = hostcalls::define_metric(kind, definition.name)?;
        host.begin(id, definition);
        Some(id)
    };
    DEFINITIONS.iter().map(define).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_quarter_of_the_delay_within_the_host_s_bounds() {
        let millis = |host: Host, delay| host.tick(Duration::from_millis(delay)).as_millis();
        assert_eq!([0, 10, 60, 10_000].map(|delay| millis(Host::Envoy, delay)), [1, 2, 15, 25]);
        assert_eq!([0, 10, 60, 10_000].map(|delay| millis(Host::Kong, delay)), [1, 2, 5, 5]);
    }
}
