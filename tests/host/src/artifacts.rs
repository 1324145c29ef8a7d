//! Where the built modules are: what `make wasm` leaves in `dist/` at the top of the repository.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The filter: the file that `RETROHOOK_WASM` names, or `dist/retrohook.wasm`.
pub fn filter() -> Result<Vec<u8>, Error> {
    match std::env::var_os("RETROHOOK_WASM") {
        Some(file) => read(top().join(file)),
        None => read(top().join("dist/retrohook.wasm")),
    }
}

/// The filter that publishes to topics of SNS and does nothing else.
pub fn lean() -> Result<Vec<u8>, Error> {
    read(top().join("dist/retrohook-lean.wasm"))
}

/// A fixture of `tests/fixtures`, by name.
pub fn fixture(name: &str) -> Result<Vec<u8>, Error> {
    read(top().join("dist/fixtures").join(name).with_extension("wasm"))
}

/// The top of the repository: a test's own working directory is that of its package.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(&file).map_err(|error| Error::Load(format!("{}: {error}; run `make wasm` first", file.display())))
}
