//! A compiled module. Compiling takes seconds in an unoptimised build, so it is done once for all
//! tests: within a process by keeping the result, across processes by a file beside the test
//! binaries.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use wasmtime::{Config, Engine, Linker, OperatorCost, OptLevel, Store, VariableOperatorCost};

use crate::error::Error;
use crate::exports::Exports;
use crate::functions;
use crate::hot_spots;
use crate::vm::Vm;

/// A function that a module imports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// `env` or `wasi_snapshot_preview1`.
    pub module: String,
    /// The function's name.
    pub name: String,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.module, self.name)
    }
}

/// A compiled module; cheap to clone and to share between hosts.
#[derive(Clone)]
pub struct Module(wasmtime::Module);

impl Module {
    /// Compiles the bytes of a `.wasm`, or finds them compiled.
    pub fn compile(wasm: &[u8]) -> Result<Module, Error> {
        let engine = engine().map_err(failed)?;
        let mut hasher = DefaultHasher::new();
        wasm.hash(&mut hasher);
        let key = hasher.finish();
        // Held while compiling: a second test that wants the same module waits for it and does not
        // compile it too.
        let mut compiled = cache();
        if let Some(module) = compiled.get(&key) {
            return Ok(Module(module.clone()));
        }
        let file = cache_file(key);
        let module = match file.as_deref().and_then(|file| kept(engine, file)) {
            Some(module) => module,
            None => {
                let module = wasmtime::Module::new(engine, wasm).map_err(failed)?;
                if let Some(file) = file {
                    keep(&module, &file);
                }
                module
            }
        };
        compiled.insert(key, module.clone());
        Ok(Module(module))
    }

    /// Compiles a module so that a host counts the instructions of each of its functions, which
    /// makes it several times slower. See [`crate::Host::functions`].
    pub fn compile_for_profile(wasm: &[u8]) -> Result<Module, Error> {
        let engine = Engine::new(config().epoch_interruption(true)).map_err(failed)?;
        wasmtime::Module::new(&engine, wasm).map(Module).map_err(failed)
    }

    /// Every function that the module imports.
    pub fn imports(&self) -> Vec<Import> {
        self.0.imports().map(|import| Import { module: import.module().into(), name: import.name().into() }).collect()
    }

    /// Those that no host has: not among the SDK's functions, and not in Kong's part of WASI.
    pub fn unknown_imports(&self) -> Result<Vec<Import>, Error> {
        let linker = linker(self.0.engine()).map_err(failed)?;
        let mut store = Store::new(self.0.engine(), Vm::default());
        let unknown = self.0.imports().filter(|import| linker.get_by_import(&mut store, import).is_none());
        Ok(unknown.map(|import| Import { module: import.module().into(), name: import.name().into() }).collect())
    }

    pub(crate) fn instantiate(&self, vm: Vm) -> Result<(Store<Vm>, Exports), Error> {
        let unknown: Vec<String> = self.unknown_imports()?.iter().map(Import::to_string).collect();
        if !unknown.is_empty() {
            return Err(Error::Load(format!("it imports what the host lacks: {}", unknown.join(", "))));
        }
        let linker = linker(self.0.engine()).map_err(failed)?;
        let mut store = Store::new(self.0.engine(), Vm { memory: None, ..vm });
        store.set_fuel(u64::MAX).map_err(failed)?;
        hot_spots::watch(&mut store);
        let instance = linker.instantiate(&mut store, &self.0).map_err(failed)?;
        let exports = Exports::of(instance, &mut store);
        store.data_mut().memory = exports.memory;
        Ok((store, exports))
    }
}

fn failed(error: wasmtime::Error) -> Error {
    Error::Load(format!("{error:#}"))
}

fn engine() -> wasmtime::Result<&'static Engine> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let engine = Engine::new(&config())?;
    Ok(ENGINE.get_or_init(|| engine))
}

fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true).cranelift_opt_level(OptLevel::None).operator_cost(instruction_costs());
    config
}

/// One for each instruction: the engine would also charge for each byte that a bulk instruction
/// moves.
fn instruction_costs() -> OperatorCost {
    let mut costs = OperatorCost::new();
    costs.variable = VariableOperatorCost {
        memory_copy_per_byte: 0,
        memory_fill_per_byte: 0,
        memory_init_per_byte: 0,
        table_copy_per_element: 0,
        table_fill_per_element: 0,
        table_init_per_element: 0,
        table_grow_per_element: 0,
        ..VariableOperatorCost::new()
    };
    costs
}

/// The host's functions; those for the engine that all tests share are linked once.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Vm>> {
    static LINKER: OnceLock<Linker<Vm>> = OnceLock::new();
    if let Some(linker) = LINKER.get().filter(|linker| Engine::same(linker.engine(), engine)) {
        return Ok(linker.clone());
    }
    let mut linker = Linker::new(engine);
    functions::link_all(&mut linker)?;
    if Engine::same(self::engine()?, engine) {
        return Ok(LINKER.get_or_init(|| linker).clone());
    }
    Ok(linker)
}

fn cache() -> MutexGuard<'static, HashMap<u64, wasmtime::Module>> {
    static CACHE: OnceLock<Mutex<HashMap<u64, wasmtime::Module>>> = OnceLock::new();
    CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the build's own directory, so that `cargo clean` takes it away.
fn cache_file(key: u64) -> Option<PathBuf> {
    let directory = std::env::current_exe().ok()?.parent()?.join("compiled-wasm");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join(format!("{key:016x}.cwasm")))
}

fn kept(engine: &Engine, file: &std::path::Path) -> Option<wasmtime::Module> {
    if !file.exists() {
        return None;
    }
    // SAFETY: the file was written by `keep`, into a directory that only builds write to; the
    // engine checks that the same version with the same settings made it.
    unsafe { wasmtime::Module::deserialize_file(engine, file) }.ok()
}

/// Written aside and moved into place, for another process may be reading. A failure only costs
/// time.
fn keep(module: &wasmtime::Module, file: &std::path::Path) {
    let aside = file.with_extension(std::process::id().to_string());
    if let Ok(bytes) = module.serialize() {
        if std::fs::write(&aside, bytes).is_ok() {
            let _ = std::fs::rename(&aside, file);
        }
    }
}
