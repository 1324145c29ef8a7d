//! Instructions by function. The engine stops the module at the beginning of each function and of
//! each round of a loop; what was executed since the last stop belongs to the function that was
//! left. After a call returns, its caller counts from the next stop on only, so that the share of a
//! function with what it calls is nearer to the truth than its own.

use std::collections::{BTreeMap, BTreeSet};

use wasmtime::{Store, UpdateDeadline, WasmBacktrace};

use crate::vm::Vm;

/// Instructions of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionCost {
    /// Its own.
    pub own: u64,
    /// Those of all that it calls, too.
    pub with_called: u64,
}

/// Instructions by function, as they are counted.
#[derive(Default)]
pub(crate) struct HotSpots {
    /// The functions that run, the called before the caller.
    stack: Vec<String>,
    fuel: u64,
    pub(crate) functions: BTreeMap<String, FunctionCost>,
}

impl HotSpots {
    /// Begins a callback with so much fuel.
    pub(crate) fn begin(&mut self, fuel: u64) {
        self.stack.clear();
        self.fuel = fuel;
    }

    fn stop(&mut self, stack: Vec<String>, fuel: u64) {
        let spent = self.fuel.saturating_sub(fuel);
        let called_from = stack.get(1..).filter(|rest| !rest.is_empty() && stack.len() > self.stack.len());
        let of = called_from.unwrap_or(&self.stack);
        if let Some(own) = of.first() {
            self.functions.entry(own.clone()).or_default().own += spent;
        }
        for function in of.iter().collect::<BTreeSet<_>>() {
            self.functions.entry(function.clone()).or_default().with_called += spent;
        }
        (self.stack, self.fuel) = (stack, fuel);
    }

    /// Ends a callback with so much fuel left.
    pub(crate) fn end(&mut self, fuel: u64) {
        self.stop(Vec::new(), fuel);
    }
}

/// Has the engine stop the module, if it was compiled for that.
pub(crate) fn watch(store: &mut Store<Vm>) {
    store.set_epoch_deadline(0);
    store.epoch_deadline_callback(|mut context| {
        let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
            Some(name) => name.to_owned(),
            None => format!("function {}", frame.func_index()),
        };
        let stack = WasmBacktrace::force_capture(&context).frames().iter().map(name).collect();
        let fuel = context.get_fuel()?;
        context.data_mut().hot_spots.stop(stack, fuel);
        Ok(UpdateDeadline::Continue(0))
    });
}
