//! The rules that differ from gateway to gateway, as plain values. Each gateway writes them down
//! once; nothing here knows one.

use std::time::Duration;

use proxy_wasm::types::MapType;

use super::metrics::GaugeMode;
use super::shared_data::WriteNumbers;
use crate::callout::Limits;
use crate::config::{Config, JournalChoice};
use crate::exchange::spelling::may_be_normalised;
use crate::filter::hostcalls;
use crate::publish::route::Route;

/// Statuses of an exchange whose client left before the response began: of Envoy, and of Kong.
const ABANDONED_STATUSES: [u16; 2] = [0, 499];

/// Rules of one gateway: what it allows, and at which moments.
pub(crate) struct Rules {
    /// Where the client's own path is, at the head of a request.
    pub(crate) target: Place,
    /// Where the path is that the gateway has made of it and goes by, if that is another place.
    pub(crate) normalised_target: Option<Place>,
    /// Where the status of a response is, once its headers have come.
    pub(crate) response_status: Place,
    /// The status of an exchange whose client left before the response began.
    pub(crate) abandoned_status: u16,
    /// The property of a request by which filters of different VMs know of each other.
    pub(crate) mark: Option<&'static str>,
    /// Returns what the gateway notes beside an answer of the filter with this status.
    pub(crate) answer_details: fn(u16) -> String,
    /// Returns why the gateway cannot keep to a configuration that is good elsewhere.
    pub(crate) objection: fn(&Config) -> Option<String>,
    /// The line for the log about a root that is configured and was never started, where that is a
    /// fault.
    pub(crate) unstarted_root: Option<&'static str>,
    /// Returns how many callouts of one root may be under way at once.
    pub(crate) callouts_at_once: fn(&Config) -> usize,
    /// Returns how long the host may take over a callout of this timeout.
    pub(crate) deadline: fn(Duration) -> Duration,
    /// The longest time between ticks.
    pub(crate) longest_tick: Duration,
    /// The longest time between ticks while nothing is queued, where a gateway that takes a period
    /// only while it has none lets that be changed.
    pub(crate) longest_idle_tick: Option<Duration>,
    /// The time between ticks of a worker of which nothing waits and that sends for nobody, where a
    /// gateway takes another period at any time.
    pub(crate) quiet_tick: Option<Duration>,
    /// True if a callout may start while the reply to another is handled.
    pub(crate) calls_from_replies: bool,
    /// True if a request that is held may be answered at any time.
    pub(crate) answers_at_ticks: bool,
    /// True if a head always says so when no body follows.
    pub(crate) tells_absence_of_bodies: bool,
    /// The longest line of the log that is written whole.
    pub(crate) max_line_bytes: usize,
    /// How the gateway keeps gauges.
    pub(crate) gauges: GaugeMode,
    /// True if there always is shared data, also where nobody has configured it.
    pub(crate) always_shares_data: bool,
    /// The line for the log where a target is ordered and each worker has a queue of its own.
    pub(crate) order_of_one_worker: &'static str,
    /// The meaning of numbers to a write of shared data.
    pub(crate) write_numbers: WriteNumbers,
    /// The line for the log where the host does not give a body that has come.
    pub(crate) unreadable_body: &'static str,
    /// The line for the log where the rest of a request does not come.
    pub(crate) silent_sender: &'static str,
}

/// A place where a gateway keeps a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// A header of the request.
    RequestHeader(&'static str),
    /// A header of the response.
    ResponseHeader(&'static str),
    /// A property.
    Property(&'static str),
}

impl Place {
    /// Reads the value.
    #[inline]
    pub(crate) fn read(self) -> Option<Vec<u8>> {
        match self {
            Place::RequestHeader(name) => hostcalls::header(MapType::HttpRequestHeaders, name),
            Place::ResponseHeader(name) => hostcalls::header(MapType::HttpResponseHeaders, name),
            Place::Property(path) => hostcalls::property(path),
        }
    }

    /// Reads the value as text.
    pub(crate) fn text(self) -> Option<String> {
        self.read().map(hostcalls::text)
    }
}

impl Rules {
    /// Returns what the gateway allows of callouts under this configuration.
    pub(crate) fn limits(&self, config: &Config) -> Limits {
        Limits {
            at_once: (self.callouts_at_once)(config),
            deadline: (self.deadline)(config.timeout),
            retries_captures: self.answers_at_ticks,
            silent_sender: self.silent_sender,
        }
    }

    /// Returns how often to wake the filter. A batch that waits for more events goes out at a tick,
    /// so this bounds what a tick adds to `max_delay`.
    pub(crate) fn tick(&self, max_delay: Duration) -> Duration {
        (max_delay / 4).clamp(Duration::from_millis(1), self.longest_tick)
    }

    /// Returns how often to wake the filter while nothing is queued, if that may be changed. An
    /// event is found so before it has waited for `max_delay`, and what sends it is awake again.
    pub(crate) fn idle_tick(&self, max_delay: Duration) -> Option<Duration> {
        let longest = self.longest_idle_tick?;
        Some((max_delay / 2).clamp(self.tick(max_delay), longest))
    }

    /// Returns what the gateway has made of a client's target, if that may be another: the gateway
    /// and the application behind it go by that one. Of most targets it is not, and the gateway is
    /// not asked.
    #[inline]
    pub(crate) fn normalised(&self, own: &[u8]) -> Option<Vec<u8>> {
        let place = self.normalised_target?;
        if may_be_normalised(own) {
            place.read()
        } else {
            None
        }
    }

    /// Returns what is no fault of a configuration, and was probably not meant so: each is a line
    /// for the log.
    pub(crate) fn warnings(&self, config: &Config) -> Vec<String> {
        let of_reading = config.warnings.iter().map(ToString::to_string);
        let of_order = self.order_warning(config).map(str::to_owned);
        let routes = config.routes.all.iter().enumerate();
        let of_routes = routes.filter_map(|(position, route)| self.foreign_status(position, route));
        of_reading.chain(of_order).chain(of_routes).collect()
    }

    /// Returns the warning of a route that asks for clients that left by the status that another
    /// gateway gives them alone.
    fn foreign_status(&self, position: usize, route: &Route) -> Option<String> {
        let (own, asked) = (self.abandoned_status, &route.statuses);
        let foreign = ABANDONED_STATUSES.into_iter().find(|status| *status != own && asked.name(*status))?;
        let line = || {
            format!("routes[{position}].status: {foreign} is not this gateway's status of a client that left; give `{own}` for that")
        };
        (!asked.contain(own)).then(line)
    }

    /// Returns the warning of a configuration whose order no worker keeps with the others.
    fn order_warning(&self, config: &Config) -> Option<&'static str> {
        let keeps_order = |route: &Route| config.targets.get(route.target).is_some_and(|target| target.ordered);
        let is_alone = !self.has_journal(config.journal);
        (is_alone && config.routes.all.iter().any(keeps_order)).then_some(self.order_of_one_worker)
    }

    /// Returns true if there is a journal.
    pub(crate) fn has_journal(&self, choice: JournalChoice) -> bool {
        match choice {
            JournalChoice::Auto => self.always_shares_data,
            JournalChoice::On => true,
            JournalChoice::Off => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::gateway::{envoy, kong};

    #[test]
    fn a_tick_is_a_quarter_of_the_delay_within_the_gateway_s_bounds() {
        let millis = |rules: &Rules, delay| rules.tick(Duration::from_millis(delay)).as_millis();
        assert_eq!([0, 10, 60, 10_000].map(|delay| millis(&envoy::RULES, delay)), [1, 2, 15, 25]);
        assert_eq!([0, 10, 60, 10_000].map(|delay| millis(&kong::RULES, delay)), [1, 2, 10, 10]);
    }

    #[test]
    fn with_nothing_queued_kong_s_ticks_are_few_and_an_event_is_found_in_time() {
        let idle = |delay| kong::RULES.idle_tick(Duration::from_millis(delay)).unwrap().as_millis();
        assert_eq!([0, 2, 10, 100, 60_000].map(idle), [1, 1, 5, 50, 50]);
        assert_eq!(envoy::RULES.idle_tick(Duration::from_millis(100)), None);
    }

    #[test]
    fn a_journal_is_where_it_is_wanted_or_costs_no_configuration() {
        let has = |choice| [&envoy::RULES, &kong::RULES].map(|rules| rules.has_journal(choice));
        assert_eq!(has(JournalChoice::Auto), [true, false]);
        assert_eq!(has(JournalChoice::On), [true, true]);
        assert_eq!(has(JournalChoice::Off), [false, false]);
    }
}
