//! The test host itself: that it makes the callbacks which the real hosts make, traps where they
//! trap, and counts what it says it counts. The fixture `misuse` does on purpose what no filter
//! should do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod callouts;
mod exchanges;
mod lives;

use std::time::Duration;

use proxy_wasm_test_host::{artifacts, Builder, Callback, Error, ExchangeSpec, Host, Module, Profile, TrapKind};

/// The period at which the fixture ticks.
const TICK: Duration = Duration::from_millis(10);

fn load(builder: Builder, fixture: &str) -> Host {
    builder.load(&Module::compile(&artifacts::fixture(fixture).unwrap()).unwrap()).unwrap()
}

/// A host with the misbehaving filter, told what to do.
fn told(profile: Profile, deed: &str) -> Host {
    let mut host = load(Host::builder(profile).cluster("peer:80"), "misuse");
    host.start_plugin(deed).unwrap();
    host
}

fn said(host: &mut Host) -> Vec<String> {
    host.take_logs().into_iter().map(|line| line.text).collect()
}

fn trapped(outcome: Result<impl Sized, Error>) -> (Callback, TrapKind, String) {
    match outcome.err() {
        Some(Error::Trap(trap)) => (trap.callback, trap.kind, trap.message),
        other => panic!("no trap but {other:?}"),
    }
}

fn put() -> ExchangeSpec {
    ExchangeSpec::new("PUT", "/a//b?x=1").status(204)
}

/// The token of the oldest callout that was not taken yet.
fn take_token(host: &mut Host) -> u32 {
    host.take_callouts().remove(0).token
}
