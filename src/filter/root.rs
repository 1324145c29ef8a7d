//! One configured filter: reads the configuration, makes its worker, and hands it the host's ticks,
//! replies and, as an access logger, finished exchanges. Never starts on a configuration that has a
//! fault.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use super::gateway::pulse::Pulse;
use super::gateway::shared_data::SharedData;
use super::gateway::Gateway;
use super::hostcalls;
use super::http::HttpFilter;
use super::worker::{self, Worker};
use crate::agent::Agent;
use crate::aws::credentials;
use crate::config::Config;
use crate::notice::Level;
use crate::publish::queue::Store;
use crate::publish::route::DeliveryMode;

/// The configuration of the last root of a worker that Kong ends, by which the plugin
/// `retrohook-plans` says so: no callback does.
const WORKER_ENDS: &[u8] = b"retrohook: the worker ends";

/// The root context. Has a worker once its configuration is accepted.
pub(crate) struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    /// True if the gateway has started this root; one that a request makes is configured only.
    is_started: bool,
}

impl Root {
    /// Makes the root that the host calls `id`.
    pub(crate) fn new(id: u32) -> Root {
        Root { id, worker: None, is_started: false }
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

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        if let Some(worker) = &self.worker {
            worker.handle_reply(token, body_size);
        }
    }

    fn on_done(&mut self) -> bool {
        self.worker.as_ref().is_none_or(|worker| worker.stop())
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        self.is_started = true;
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::buffer(BufferType::PluginConfiguration, size).unwrap_or_default();
        if text == WORKER_ENDS {
            worker::end_all();
            return true;
        }
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

    fn on_tick(&mut self) {
        if let Some(worker) = &self.worker {
            worker.tick();
        }
    }

    fn on_log(&mut self) {
        #[cfg(feature = "trap")]
        super::trap::if_asked();
        let Some(worker) = &self.worker else { return };
        let Some(mut candidate) = worker.reader.logged(&worker.routes) else { return };
        let Some(route) = candidate.route(&worker.routes) else { return };
        let now = hostcalls::now();
        // Sending waits for the tick: Envoy logs before it flushes the response, so a client would
        // wait for the signature.
        worker.accept(candidate.exchange(now), route, now);
        if route.delivery != DeliveryMode::AfterResponse {
            worker.note_unheld("an access logger sees a response when it is over; run the filter as an HTTP filter");
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpFilter::new(id, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
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
    for warning in &config.warnings {
        hostcalls::log(Level::Warn, &warning.to_string());
    }
    if let Some(warning) = rules.order_warning(&config) {
        hostcalls::log(Level::Warn, warning);
    }
    for (position, route) in config.routes.all.iter().enumerate() {
        if let Some(warning) = rules.foreign_status(position, route) {
            hostcalls::log(Level::Warn, &warning);
        }
    }
    let max_delay = config.batch.max_delay;
    // A root that follows on a trap may have timers of the one before, which go by periods of their
    // own.
    let idle_tick = rules.idle_tick(max_delay).filter(|_| is_started);
    let (pulse, limits) = (Pulse::new(rules.tick(max_delay), idle_tick), rules.limits(&config));
    let seed = getrandom::u64().unwrap_or(hostcalls::now().0);
    let keeper = credentials::keeper(&config.credentials, &environment, config.timeout, limits.deadline, seed)
        .map_err(|error| format!("credentials: {error}"))?;
    let store =
        rules.has_journal(config.journal).then(|| Rc::new(SharedData::open(rules.write_numbers)) as Rc<dyn Store>);
    let agent = Agent::new(&config, keeper, limits, store.as_ref(), seed);
    Ok(Worker::new(root, rules, reader(&config), config.routes, config.captures, agent, pulse))
}
