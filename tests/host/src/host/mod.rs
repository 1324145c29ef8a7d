//! The host itself: one worker with one VM, driven step by step by a test.

mod call;
mod lifecycle;
mod streams;
mod time;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use wasmtime::Store;

use crate::callout::Callout;
use crate::error::{Error, Trap, Violation};
use crate::exchange::nanos;
use crate::exports::Exports;
use crate::hot_spots::FunctionCost;
use crate::metrics::{Metric, MetricKind};
use crate::module::Module;
use crate::profile::{Profile, Rules};
use crate::shared::SharedData;
use crate::usage::Usage;
use crate::vm::{LogLine, Vm};

pub use streams::Exchanged;

/// 1 January 2026, noon UTC.
const DEFAULT_NOW: Duration = Duration::from_secs(1_767_268_800);

/// Sets a host up; see [`Host::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    rules: Rules,
    environment: BTreeMap<String, String>,
    now: Duration,
    seed: u64,
    shared: SharedData,
}

impl Builder {
    /// Sets an environment variable that the module can see.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets several.
    pub fn environment<'a>(self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        variables.into_iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Envoy: a cluster that exists. A callout to any other is refused. Kong takes any
    /// `host[:port]`.
    pub fn cluster(mut self, name: &str) -> Self {
        self.rules.clusters.push(name.into());
        self
    }

    /// What the clock says at first; noon of 1 January 2026 (UTC) by default.
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self
    }

    /// Other random bytes than by default; the same seed gives the same ones.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives the host a store of shared data, perhaps the one of a host before it. On Kong there is
    /// none without this (`nginx_wasm_shm_kv`), and asking for it traps.
    pub fn shared_data(mut self, shared: SharedData) -> Self {
        self.shared = shared;
        self.rules.shared_data = true;
        self
    }

    /// Kong 3.8 and older: a callout that fails is never answered.
    pub fn silent_failures(mut self) -> Self {
        self.rules.silent_failures = true;
        self
    }

    /// Envoy: `allow_on_headers_stop_iteration` is set, so that a request whose head is held gives
    /// its body all the same.
    pub fn bodies_of_held_requests(mut self) -> Self {
        self.rules.bodies_of_held = true;
        self
    }

    /// Loads the module and runs its `_initialize`.
    pub fn load(self, module: &Module) -> Result<Host, Error> {
        let vm = Vm {
            next_context: 1,
            next_token: self.rules.first_token(),
            rules: self.rules,
            environment: self.environment.into_iter().collect(),
            now: nanos(self.now),
            random: self.seed | 1,
            shared: self.shared,
            ..Vm::default()
        };
        let (store, exports) = module.instantiate(vm)?;
        let module = module.clone();
        let finished = BTreeMap::new();
        let mut host = Host { module, store, exports, dead: None, plugin: None, finished, memory_mark: 0 };
        host.initialize()?;
        host.reset_usage();
        Ok(host)
    }
}

/// A gateway's worker with one VM in it.
pub struct Host {
    module: Module,
    store: Store<Vm>,
    exports: Exports,
    dead: Option<Trap>,
    /// The root that new exchanges go to.
    plugin: Option<u32>,
    /// Exchanges that were paused and are over by now.
    finished: BTreeMap<u32, Exchanged>,
    memory_mark: usize,
}

impl Host {
    /// Begins to set a host up.
    pub fn builder(profile: Profile) -> Builder {
        Builder {
            rules: Rules::new(profile),
            environment: BTreeMap::new(),
            now: DEFAULT_NOW,
            seed: 0x9e37_79b9_7f4a_7c15,
            shared: SharedData::new(),
        }
    }

    fn vm(&self) -> &Vm {
        self.store.data()
    }

    fn vm_mut(&mut self) -> &mut Vm {
        self.store.data_mut()
    }

    /// Envoy: a cluster appears, as a configuration server may send one at any time.
    pub fn add_cluster(&mut self, name: &str) {
        self.vm_mut().rules.clusters.push(name.into());
    }

    /// What the clock says.
    pub fn now(&self) -> SystemTime {
        self.vm().time()
    }

    /// The trap that killed the VM, if one did.
    pub fn dead(&self) -> Option<&Trap> {
        self.dead.as_ref()
    }

    /// Everything that the module logged.
    pub fn logs(&self) -> &[LogLine] {
        &self.vm().logs
    }

    /// Returns the lines like [`Self::logs`], and forgets them.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.vm_mut().logs)
    }

    /// The value of a counter or a gauge; `None` if the module never defined it.
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.vm().metrics.find(name).map(|metric| metric.value)
    }

    /// What a histogram observed, in order.
    pub fn observations(&self, name: &str) -> Vec<u64> {
        self.vm().metrics.find(name).map(|metric| metric.observed.clone()).unwrap_or_default()
    }

    /// Every metric that the module defined.
    pub fn metrics(&self) -> Vec<(String, MetricKind)> {
        self.vm().metrics.all().iter().map(|Metric { name, kind, .. }| (name.clone(), *kind)).collect()
    }

    /// The store of shared data; give it to the next host to play a restart.
    pub fn shared_data(&self) -> SharedData {
        self.vm().shared.clone()
    }

    /// What the module did that a real host would have let pass, and suffered from.
    pub fn violations(&self) -> &[Violation] {
        &self.vm().violations
    }

    /// The callouts that were dispatched since the last call of this. They stay open until they are
    /// answered.
    pub fn take_callouts(&mut self) -> Vec<Callout> {
        let new = self.vm_mut().pending.iter_mut().filter(|pending| !pending.taken);
        new.map(|pending| {
            pending.taken = true;
            pending.callout.clone()
        })
        .collect()
    }

    /// Callouts that the host has not answered yet.
    pub fn in_flight(&self) -> usize {
        self.vm().pending.iter().filter(|pending| !pending.answered).count()
    }

    /// The roots that live, the current one last.
    pub fn roots(&self) -> Vec<u32> {
        self.vm().contexts.values().filter_map(|context| Some(context.as_root()?.id)).collect()
    }

    /// A property that the module has set on a request that is open.
    pub fn property(&self, stream: u32, path: &str) -> Option<Vec<u8>> {
        let exchange = self.vm().contexts.get(&stream)?.exchange()?;
        exchange.spec.properties.get(path)?.clone()
    }

    /// The requests that are open.
    pub fn streams(&self) -> Vec<u32> {
        self.vm().contexts.iter().filter(|(_, context)| context.as_root().is_none()).map(|(id, _)| *id).collect()
    }

    /// The costs since the last [`Host::reset_usage`].
    pub fn usage(&mut self) -> Usage {
        let memory_bytes = self.memory_bytes();
        let memory_grown_bytes = memory_bytes.saturating_sub(self.memory_mark);
        Usage { memory_bytes, memory_grown_bytes, ..self.vm().usage.clone() }
    }

    /// Begins a new window.
    pub fn reset_usage(&mut self) {
        self.memory_mark = self.memory_bytes();
        self.vm_mut().usage = Usage::default();
        self.vm_mut().hot_spots.functions.clear();
    }

    /// The instructions of each function since the last [`Host::reset_usage`], the most costly
    /// first; nothing unless the module came from [`Module::compile_for_profile`].
    pub fn functions(&self) -> Vec<(String, FunctionCost)> {
        let functions = &self.vm().hot_spots.functions;
        let mut functions: Vec<_> = functions.iter().map(|(name, cost)| (name.clone(), *cost)).collect();
        functions.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.with_called));
        functions
    }

    /// What `work` costs.
    pub fn measure<T>(&mut self, work: impl FnOnce(&mut Host) -> T) -> (T, Usage) {
        self.reset_usage();
        let result = work(self);
        (result, self.usage())
    }

    /// The size of the module's memory.
    pub fn memory_bytes(&mut self) -> usize {
        self.exports.memory.map_or(0, |memory| memory.data_size(&self.store))
    }
}
