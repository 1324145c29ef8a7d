//! What all tests of the filter begin with: a gateway with a configured filter, the ways in which
//! gateways take it, and time that passes.

pub(crate) mod event_bus;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod webhook_receiver;
pub(crate) mod webhooks;

use std::time::Duration;

use proxy_wasm_test_host::{artifacts, Builder, ExchangeSpec, Host, LogLevel, Module, Profile, Response, SharedData};
use retrohook::metrics::{Metric, DEFINITIONS};
use serde_json::{json, Value};

use sns::Entry;

pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:profile-events";
pub(crate) const UPSTREAM: &str = "sns.us-east-1.amazonaws.com:443";
pub(crate) const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What the clock of a new gateway says, in milliseconds since the epoch.
pub(crate) const NOON: u64 = 1_767_268_800_000;

/// How often the filter asks to be woken while `batch.max_delay_ms` is its default.
pub(crate) const TICK: Duration = Duration::from_millis(25);

/// The longest time between two ticks of any gateway, while nothing is queued.
pub(crate) const IDLE_TICK: Duration = Duration::from_millis(50);

/// How long an event waits for others while `batch.max_delay_ms` is its default.
pub(crate) const MAX_DELAY: Duration = Duration::from_millis(100);

/// Longer than any retry waits.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How an exchange comes to the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On Envoy.
    HttpFilter,
    /// On Envoy, too.
    AccessLogger,
    Kong,
}

pub(crate) const WAYS: [Way; 3] = [Way::HttpFilter, Way::AccessLogger, Way::Kong];

/// Those on Envoy.
pub(crate) const ENVOY_WAYS: [Way; 2] = [Way::HttpFilter, Way::AccessLogger];

/// One way of each gateway.
pub(crate) const GATEWAYS: [Way; 2] = [Way::HttpFilter, Way::Kong];

impl Way {
    /// A gateway that reaches SNS and runs the filter in this way.
    pub(crate) fn start(self, config: &Value) -> Host {
        let mut host = load(self.builder());
        host.start_plugin(config.to_string()).unwrap();
        host
    }

    /// The same with a journal in this store.
    pub(crate) fn journaled(self, changes: &Value, shared: SharedData) -> Host {
        self.journaled_as(changes, shared, 1)
    }

    /// Starts it like [`Self::journaled`], with a seed, which each worker of the store has for
    /// itself.
    pub(crate) fn journaled_as(self, changes: &Value, shared: SharedData, seed: u64) -> Host {
        let mut config = config(changes.clone());
        config["queue"]["journal"] = json!("on");
        let mut host = load(self.builder().shared_data(shared).seed(seed * 0x9e37_79b9));
        host.start_plugin(config.to_string()).unwrap();
        host
    }

    pub(crate) fn builder(self) -> Builder {
        match self {
            Way::Kong => Host::builder(Profile::Kong),
            _ => Host::builder(Profile::Envoy).cluster(UPSTREAM),
        }
    }

    pub(crate) fn run(self, host: &mut Host, spec: &ExchangeSpec) {
        match self {
            Way::HttpFilter | Way::Kong => drop(host.exchange(spec).unwrap()),
            Way::AccessLogger => host.access_log(spec).unwrap(),
        }
    }
}

/// A configuration with one route, for every `PUT` to a profile, and with `changes` to its top
/// level, where a null takes a key away.
pub(crate) fn config(changes: Value) -> Value {
    let mut config = json!({
        "topic_arn": TOPIC,
        "routes": [{"method": "PUT", "matcher": "/profile"}],
        "credentials": {
            "source": "static", "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY,
        },
    });
    let own = config.as_object_mut().unwrap();
    own.extend(changes.as_object().unwrap().clone());
    own.retain(|_, value| !value.is_null());
    config
}

/// A gateway that has the filter loaded and nothing configured.
pub(crate) fn load(builder: Builder) -> Host {
    builder.load(&Module::compile(&artifacts::filter().unwrap()).unwrap()).unwrap()
}

/// An Envoy that reaches SNS and runs the filter.
pub(crate) fn start(config: &Value) -> Host {
    Way::HttpFilter.start(config)
}

/// A request that the configuration of [`config`] publishes.
pub(crate) fn put() -> ExchangeSpec {
    ExchangeSpec::new("PUT", "/mockbin/profile")
}

/// The same with a number, by which [`numbers`] finds it again.
pub(crate) fn numbered(number: usize) -> ExchangeSpec {
    ExchangeSpec::new("PUT", format!("/mockbin/profile/{number}"))
}

/// Runs `count` numbered exchanges, as an HTTP filter: nothing is sent before time passes.
pub(crate) fn run_numbered(host: &mut Host, count: usize) {
    (0..count).for_each(|number| Way::HttpFilter.run(host, &numbered(number)));
}

/// The numbers of the exchanges that these events are of.
pub(crate) fn numbers<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<usize> {
    let number = |entry: &Entry| entry.message["request"]["uri"].as_str()?.rsplit('/').next()?.parse().ok();
    entries.into_iter().map(|entry| number(entry).unwrap_or(usize::MAX)).collect()
}

/// Lets time pass in which SNS takes everything that is sent, and gives what it took.
pub(crate) fn deliver(host: &mut Host, time: Duration) -> Vec<Entry> {
    let mut delivered = Vec::new();
    let mut left = time;
    loop {
        for callout in host.take_callouts() {
            host.respond(callout.token, sns::accept(&callout)).unwrap();
            delivered.extend(sns::entries(&callout));
        }
        if left.is_zero() {
            assert_eq!(host.violations(), []);
            return delivered;
        }
        let step = TICK.min(left);
        host.advance(step).unwrap();
        left -= step;
    }
}

/// The word by which the plugin in Lua says that a worker of Kong ends.
pub(crate) fn worker_ends() -> &'static str {
    let plugin = include_str!("../../../kong/lua/kong/plugins/retrohook-plans/handler.lua");
    let (_, rest) = plugin.split_once("local WORKER_ENDS = \"").unwrap();
    rest.split_once('"').unwrap().0
}

/// The one event that an exchange becomes.
pub(crate) fn published(way: Way, host: &mut Host, spec: &ExchangeSpec) -> Entry {
    way.run(host, spec);
    let mut entries = deliver(host, MAX_DELAY + TICK);
    assert_eq!(entries.len(), 1, "{way:?} {entries:?}");
    entries.remove(0)
}

/// The value of a counter or a gauge.
pub(crate) fn count(host: &Host, metric: Metric) -> u64 {
    let names = host.metrics().into_iter().map(|(name, _)| name);
    let of_metric = names.filter(|name| name.split(".target.").next() == Some(DEFINITIONS[metric as usize].name));
    of_metric.map(|name| host.metric(&name).unwrap()).sum()
}

/// Answers every call with `reply`, until no sender of a webhook waits any more.
pub(crate) fn answer_every_try(host: &mut Host, reply: &Response) {
    for _ in 0..250 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            host.respond(callout.token, reply.clone()).unwrap();
        }
    }
}

/// The name of a metric of one target.
pub(crate) fn of_target(metric: Metric, target: &str) -> String {
    format!("{}.target.{target}", DEFINITIONS[metric as usize].name)
}

/// The lines that the filter has logged at a level since the last look at any, except dead letters.
pub(crate) fn logged(host: &mut Host, level: LogLevel) -> Vec<String> {
    let lines = host.take_logs().into_iter().filter(|line| line.level == level).map(|line| line.text);
    lines.filter(|line| !line.starts_with("retrohook-dead-letter")).collect()
}
