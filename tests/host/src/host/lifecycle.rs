//! Plugins: started, replaced, stopped, and brought back after a trap.

use std::rc::Rc;

use super::Host;
use crate::callback::Callback;
use crate::contexts::{Context, Root};
use crate::error::{Error, StartError};

impl Host {
    /// Starts a plugin with this configuration and sends new exchanges to it. Returns its root
    /// context.
    pub fn start_plugin(&mut self, configuration: impl AsRef<[u8]>) -> Result<u32, StartError> {
        let vm = self.vm_mut();
        let id = vm.next_context;
        vm.next_context += 1;
        self.start_root(id, configuration.as_ref().into(), None)?;
        self.plugin = Some(id);
        Ok(id)
    }

    /// Creates and configures a root. `timers` are those that an earlier life of it left running,
    /// if it had one: on Kong a request finds that the instance is gone and makes a new one, which
    /// is not told that it starts.
    fn start_root(&mut self, id: u32, configuration: Rc<[u8]>, timers: Option<Vec<u64>>) -> Result<(), StartError> {
        let logged = self.logs().len();
        let vm = self.vm_mut();
        let first = !vm.contexts.values().any(|context| context.as_root().is_some());
        let starts_vm = if vm.rules.is_kong() { timers.is_none() } else { first };
        let len = configuration.len() as u32;
        let timers = timers.unwrap_or_default();
        let root = Root { id, configuration, tick: 0, timers, logging: None, draining: false };
        vm.contexts.insert(id, Context::Root(Box::new(root)));
        let mut start = || -> Result<bool, Error> {
            self.call(Callback::ContextCreate, id, &[id, 0])?;
            let started = !starts_vm || self.call(Callback::VmStart, id, &[id, 0])? != 0;
            Ok(started && self.call(Callback::Configure, id, &[id, len])? != 0)
        };
        let cause = match start() {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        self.vm_mut().contexts.remove(&id);
        Err(StartError { cause, logs: self.logs().iter().skip(logged).cloned().collect() })
    }

    /// A change of configuration: a new root first, then the old one learns that it is done. Envoy
    /// keeps it until it says that it has finished; Kong never tells it, and it goes on ticking.
    pub fn replace_plugin(&mut self, configuration: impl AsRef<[u8]>) -> Result<u32, StartError> {
        let old = self.plugin;
        let new = self.start_plugin(configuration)?;
        if let Some(old) = old.filter(|_| !self.vm().rules.is_kong()) {
            self.finish_root(old).map_err(|error| StartError { cause: Some(error), logs: Vec::new() })?;
        }
        Ok(new)
    }

    /// Envoy: the plugin leaves the configuration, and nothing takes its place.
    pub fn take_plugin_away(&mut self) -> Result<(), Error> {
        self.plugin.take().map_or(Ok(()), |root| self.finish_root(root))
    }

    fn finish_root(&mut self, id: u32) -> Result<(), Error> {
        if self.call(Callback::Done, id, &[id])? != 0 {
            return self.delete(id);
        }
        if let Some(root) = self.vm_mut().root_mut(id) {
            root.draining = true;
        }
        Ok(())
    }

    /// `on_delete`, and with a root its callouts go; on Kong with a request, too.
    pub(super) fn delete(&mut self, id: u32) -> Result<(), Error> {
        self.call(Callback::Delete, id, &[id])?;
        let vm = self.vm_mut();
        vm.contexts.remove(&id);
        let kong = vm.rules.is_kong();
        vm.pending.retain(|pending| pending.root != id && !(kong && pending.callout.context == id));
        Ok(())
    }

    /// The process is told to end. Envoy calls `on_done` of every root and goes without waiting;
    /// Kong calls nothing. Callouts in flight and timers go with it; logs, metrics and shared data
    /// can still be read.
    pub fn stop(&mut self) -> Result<(), Error> {
        let roots = if self.vm().rules.is_kong() { Vec::new() } else { self.roots() };
        let outcome = roots.into_iter().try_for_each(|root| self.call(Callback::Done, root, &[root]).map(drop));
        let vm = self.vm_mut();
        vm.contexts.clear();
        vm.pending.clear();
        self.plugin = None;
        outcome
    }

    /// Kong's worker begins to end (`kong reload`, `kong quit`): no root is woken any more, while
    /// requests and callouts under way go on. Lua learns of it, and configures a last root with
    /// `word`. [`Host::stop`] is the end.
    pub fn begin_to_end(&mut self, word: &str) -> Result<u32, StartError> {
        self.vm_mut().exiting = true;
        for context in self.vm_mut().contexts.values_mut() {
            if let Context::Root(root) = context {
                root.timers.clear();
            }
        }
        let current = self.plugin;
        let last = self.start_plugin(word);
        self.plugin = current;
        last
    }

    /// Brings a dead VM back, as Envoy's `FAIL_RELOAD` and Kong do: a new instance, every root
    /// started again with its configuration, requests gone. On Envoy the callouts in flight go too.
    /// On Kong they stay (a late reply finds nobody who knows its token), and so does the old tick
    /// timer: the root ticks once more per period.
    pub fn revive(&mut self) -> Result<(), StartError> {
        let failed = |error| StartError { cause: Some(error), logs: Vec::new() };
        let mut vm = std::mem::take(self.vm_mut());
        let kong = vm.rules.is_kong();
        let roots: Vec<Root> = vm.contexts.values().filter_map(Context::as_root).cloned().collect();
        vm.contexts.clear();
        vm.done.clear();
        vm.reply = None;
        if !kong {
            vm.pending.clear();
        }
        (self.store, self.exports) = self.module.instantiate(vm).map_err(failed)?;
        self.dead = None;
        self.initialize().map_err(failed)?;
        for root in roots.into_iter().filter(|root| !root.draining) {
            let timers = if kong { root.timers } else { Vec::new() };
            self.start_root(root.id, root.configuration, Some(timers))?;
        }
        Ok(())
    }

    /// Lua's garbage collector frees the plan of what [`Host::replace_plugin`] has replaced, which
    /// on Kong takes the instance of the whole worker along: what has taken its place is started
    /// again in a new one, and nothing else. Kong makes that one when the next request comes.
    pub fn collect_replaced_plugins(&mut self) -> Result<(), StartError> {
        let kept = self.plugin;
        self.vm_mut().contexts.retain(|id, _| Some(*id) == kept);
        self.revive()
    }

    /// What callbacks left to do: contexts that said they are done, requests that may go on.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        while let Some(id) = self.vm_mut().done.pop() {
            self.delete(id)?;
        }
        while let Some(id) = self.continued() {
            self.go_on(id)?;
        }
        Ok(())
    }
}
