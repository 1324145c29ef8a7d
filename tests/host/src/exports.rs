//! Exports of a module, looked up once: in an unoptimised build the engine's own look-up takes
//! longer than most callbacks. Calls nothing.

use std::collections::HashMap;

use wasmtime::{Func, Instance, Memory, Store};

use crate::callback::Callback;
use crate::vm::Vm;

/// A function, and how many results it has.
type Export = (Func, usize);

/// The exports of one instance.
pub(crate) struct Exports {
    instance: Instance,
    functions: HashMap<Callback, Option<Export>>,
    /// Its memory, if it exports one.
    pub memory: Option<Memory>,
}

impl Exports {
    pub(crate) fn of(instance: Instance, store: &mut Store<Vm>) -> Exports {
        Exports { instance, functions: HashMap::new(), memory: instance.get_memory(store, "memory") }
    }

    /// Returns the function for a callback; `None` if the module has none.
    pub(crate) fn function(&mut self, callback: Callback, store: &mut Store<Vm>) -> Option<Export> {
        *self.functions.entry(callback).or_insert_with(|| {
            let function = self.instance.get_func(&mut *store, callback.export())?;
            Some((function, function.ty(&*store).results().len()))
        })
    }
}
