//! One configured filter: reads the configuration, makes its worker, and hands it the exchanges
//! that an access logger sees. Never starts on a configuration that has a fault.

use std::rc::Rc;

use proxy_wasm::types::BufferType;

use super::events;
use super::gateway::pulse::Pulse;
use super::gateway::shared_data::SharedData;
use super::gateway::Gateway;
use super::hostcalls;
use super::worker::{self, Worker};
use crate::agent::Agent;
use crate::aws::credentials;
use crate::config::Config;
use crate::metrics::VERSION;
use crate::notice::Level;
use crate::publish::queue::Store;

/// The configuration of the last root of a worker that Kong ends, by which the plugin
/// `retrohook-plans` says so: no callback does.
const WORKER_ENDS: &[u8] = b"retrohook: the worker ends";

/// The root context. Has a worker once its configuration is accepted.
pub(super) struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    /// True if the gateway has started this root; one that a request makes is configured only.
    is_started: bool,
}

impl Root {
    /// Makes the root that the host calls `id`.
    pub(super) fn new(id: u32) -> Root {
        Root { id, worker: None, is_started: false }
    }

    /// Returns its worker, if its configuration is accepted.
    pub(super) fn worker(&self) -> Option<Rc<Worker>> {
        self.worker.clone()
    }

    /// Notes that the gateway has started it.
    pub(super) fn on_start(&mut self) {
        self.is_started = true;
    }

    /// Reads the configuration, which has so many bytes, and starts. Returns false if it has a
    /// fault.
    pub(super) fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::buffer(BufferType::PluginConfiguration, size).unwrap_or_default();
        if text == WORKER_ENDS {
            worker::end_all();
            return true;
        }
        hostcalls::log(Level::Info, &["Retrohook ", VERSION, " starts"].concat());
        let worker = match start(self.id, &text, self.is_started) {
            Ok(worker) => worker,
            Err(faults) => {
                for line in faults.lines() {
                    hostcalls::log(Level::Error, line);
                }
                return false;
            }
        };
        if let Some(fault) = worker.rules.unstarted_root.filter(|_| !self.is_started) {
            hostcalls::log(Level::Error, fault);
        }
        let worker = Rc::new(worker);
        worker.register();
        let ticking = worker.start_ticks();
        self.worker = Some(worker);
        if !ticking {
            hostcalls::log(Level::Error, "the host gives no ticks, without which nothing can be sent");
        }
        ticking
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // A request that began with this root may end after it.
        if let Some(worker) = &self.worker {
            worker.lose_root();
        }
    }
}

/// Publishes the events of an exchange that an access logger sees.
pub(super) fn log(worker: &Worker) {
    #[cfg(feature = "trap")]
    super::trap::if_asked();
    if worker.keeps_bodies {
        worker.warn_of_unseen_bodies();
    }
    if let Some(mut candidate) = worker.reader.logged(&worker.routes) {
        events::publish_logged(worker, candidate.as_mut());
    }
}

/// Makes the worker of a configuration.
///
/// # Errors
/// The faults of the configuration, one a line.
fn start(root: u32, text: &[u8], is_started: bool) -> Result<Worker, String> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = Config::from_json_in(text, &environment).map_err(|faults| faults.to_string())?;
    let Gateway { rules, reader } = Gateway::of(config.host);
    if let Some(objection) = (rules.objection)(&config) {
        return Err(objection);
    }
    for warning in rules.warnings(&config) {
        hostcalls::log(Level::Warn, &warning);
    }
    let max_delay = config.batch.max_delay;
    // A root that follows on a trap may have timers of the one before, which go by periods of their
    // own.
    let idle_tick = rules.idle_tick(max_delay).filter(|_| is_started);
    let (pulse, limits) = (Pulse::new(rules.tick(max_delay), idle_tick), rules.limits(&config));
    let seed = getrandom::u64().unwrap_or(hostcalls::now().0);
    if let Some(warning) = credentials::warning(&config.credentials, &environment) {
        hostcalls::log(Level::Warn, warning);
    }
    let keeper = credentials::keeper(&config.credentials, &environment, config.timeout, limits.deadline, seed)
        .map_err(|error| format!("credentials: {error}"))?;
    let store =
        rules.has_journal(config.journal).then(|| Rc::new(SharedData::open(rules.write_numbers)) as Rc<dyn Store>);
    let agent = Agent::new(&config, keeper, limits, store.as_ref(), seed);
    Ok(Worker::new(root, rules, reader(&config), config.routes, config.captures, agent, pulse))
}
