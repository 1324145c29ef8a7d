//! A small Proxy-Wasm host for tests: it loads a built `.wasm` and drives it the way Envoy or Kong
//! does, in this process, with a clock that the test moves.
//!
//! It knows what the two hosts were seen to do, the unpleasant parts included: what each can be
//! asked in which callback, how it writes a number, where it traps and where its worker would
//! crash. A filter that works here may still fail in a real gateway; one that fails here will.
//!
//! ```no_run
//! use proxy_wasm_test_host::{artifacts, ExchangeSpec, Host, Module, Profile, Response};
//! use std::time::Duration;
//!
//! let module = Module::compile(&artifacts::filter().unwrap()).unwrap();
//! let mut host = Host::builder(Profile::Envoy).cluster("sns.us-east-1.amazonaws.com:443").load(&module).unwrap();
//! host.start_plugin(r#"{"topic_arn": "…"}"#).unwrap();
//! host.exchange(&ExchangeSpec::new("PUT", "/profile").status(204)).unwrap();
//! host.advance(Duration::from_millis(100)).unwrap();
//! for callout in host.take_callouts() {
//!     host.respond(callout.token, Response::new(200)).unwrap();
//! }
//! ```
//!
//! What it does not do: gRPC, shared queues, stream (TCP) contexts, and foreign functions other
//! than Envoy's for expressions; they trap. Nothing here opens a socket, and nothing sleeps.

pub mod artifacts;
mod callback;
mod callout;
mod contexts;
mod error;
mod exchange;
mod exports;
mod functions;
mod guest;
mod headers;
mod host;
mod hot_spots;
mod metrics;
mod module;
mod profile;
mod properties;
mod shared;
mod spec;
mod usage;
mod vm;

pub use callback::Callback;
pub use callout::{Callout, FailureKind, Response, Wire};
pub use error::{Error, StartError, Trap, TrapKind, Violation};
pub use headers::Headers;
pub use host::{Builder, Exchanged, Host};
pub use hot_spots::FunctionCost;
pub use metrics::MetricKind;
pub use module::{Import, Module};
pub use profile::Profile;
pub use shared::SharedData;
pub use spec::{ExchangeSpec, Tls};
pub use usage::Usage;
pub use vm::{LogLevel, LogLine};
