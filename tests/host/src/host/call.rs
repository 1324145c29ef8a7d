//! Making a callback, and turning its end into a value.

use wasmtime::Val;

use super::Host;
use crate::callback::Callback;
use crate::error::{Error, Trap, TrapKind};
use crate::guest::Stop;
use crate::vm::{Active, LogLevel};

/// More instructions than any sane callback needs: what loops for ever becomes a trap within
/// seconds.
const FUEL: u64 = 1_000_000_000;

impl Host {
    pub(super) fn initialize(&mut self) -> Result<(), Error> {
        self.call(Callback::Initialize, 0, &[]).map(drop)
    }

    /// Calls into the module on behalf of `context`. What is not exported is answered with yes.
    pub(super) fn call(&mut self, callback: Callback, context: u32, arguments: &[u32]) -> Result<u32, Error> {
        if let Some(trap) = &self.dead {
            return Err(Error::Dead(trap.clone()));
        }
        let Some((function, results)) = self.exports.function(callback, &mut self.store) else { return Ok(1) };
        let vm = self.vm_mut();
        vm.active = Some(Active { callback, called: context, effective: context });
        vm.dispatched = false;
        vm.usage.callbacks += 1;
        vm.hot_spots.begin(FUEL);
        let logged = vm.logs.len();
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(*argument as i32)).collect();
        let mut results = vec![Val::I32(0); results];
        let outcome = self.store.set_fuel(FUEL).and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        let left = self.store.get_fuel().unwrap_or(0);
        let vm = self.vm_mut();
        vm.hot_spots.end(left);
        let spent = FUEL.saturating_sub(left);
        vm.usage.instructions += spent;
        *vm.usage.instructions_in.entry(callback).or_default() += spent;
        vm.active = None;
        match outcome {
            Ok(()) => Ok(results.first().and_then(Val::i32).map_or(0, |result| result as u32)),
            Err(error) => Err(self.die(callback, &error, logged)),
        }
    }

    fn die(&mut self, callback: Callback, error: &wasmtime::Error, logged: usize) -> Error {
        let trap = match error.downcast_ref::<Stop>() {
            Some(stop) => Trap { callback, kind: stop.kind, message: stop.message.clone() },
            None => {
                // A panic says its message in the log and then executes `unreachable`.
                let said = self.vm().logs.iter().skip(logged).filter(|line| line.level >= LogLevel::Error);
                let said: Vec<String> = said.map(|line| format!("; {}", line.text)).collect();
                let cause = error.root_cause();
                Trap { callback, kind: TrapKind::Module, message: format!("{cause}{}", said.concat()) }
            }
        };
        self.kill(trap)
    }

    pub(super) fn kill(&mut self, trap: Trap) -> Error {
        self.dead = Some(trap.clone());
        Error::Trap(trap)
    }
}
