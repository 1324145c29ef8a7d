//! One configured filter: reads the configuration, makes the worker of it, and hands it the host's ticks and replies and, as an
//! access logger, every finished request. Never starts on a configuration that has a fault.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use super::gateway::envoy;
use super::gateway::shared_data::SharedData;
use super::gateway::tick_gate::TickGate;
use super::gateway::Host;
use super::hostcalls;
use super::http::HttpFilter;
use super::worker::Worker;
use crate::agent::Agent;
use crate::aws::credentials;
use crate::config::Config;
use crate::notice::Level;
use crate::publish::journal::Store;

/// The root context. Has a worker once its configuration was accepted.
pub struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    /// The gateway started this root, and not a request on its way.
    is_started: bool,
}

impl Root {
    /// The root that the host calls `id`.
    pub fn new(id: u32) -> Root {
        Root { id, worker: None, is_started: false }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // A request that began with it may end after it.
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
        let (worker, tick) = match start(self.id, &text) {
            Ok(started) => started,
            Err(faults) => {
                for line in faults.lines() {
                    hostcalls::log(Level::Error, line);
                }
                return false;
            }
        };
        if let Some(complaint) = worker.host.complaint(self.is_started) {
            hostcalls::log(Level::Error, complaint);
        }
        let worker = Rc::new(worker);
        worker.register();
        self.worker = Some(worker);
        let ticking = hostcalls::set_tick_period(tick);
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
        if let Some(worker) = &self.worker {
            // Sending waits for the tick: Envoy logs before it flushes the response, so a client would wait for the signature.
            envoy::observe_logged(worker);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpFilter::new(id, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The worker of a configuration and how often it is to be woken, or the faults, one a line.
fn start(root: u32, text: &[u8]) -> Result<(Worker, Duration), String> {
    let config = Config::from_json(text).map_err(|faults| faults.to_string())?;
    let host = Host::of(config.host);
    if let Some(objection) = host.objection(&config) {
        return Err(objection);
    }
    let (tick, limits) = (host.tick(config.batch.max_delay), host.limits(&config));
    let seed = getrandom::u64().unwrap_or(hostcalls::now().0);
    let environment = |name: &str| std::env::var(name).ok();
    let keeper = credentials::keeper(&config.credentials, &environment, config.timeout, limits.deadline, seed)
        .map_err(|error| format!("credentials: {error}"))?;
    let store = host.has_journal(config.journal).then(|| Rc::new(SharedData::of(host)) as Rc<dyn Store>);
    let agent = Agent::new(&config, keeper, limits, store.as_ref(), seed);
    Ok((Worker::new(root, host, config.routes, config.captures, agent, TickGate::new(tick)), tick))
}
