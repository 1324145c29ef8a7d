//! The only code that calls the host.
//!
//! Reads exchanges and webhooks, hands them to the core, and makes the callouts that the core asks
//! for. Never decides what is published, stored or answered.

mod bodies;
mod callouts;
mod capture;
#[cfg(not(target_arch = "wasm32"))]
pub mod check;
mod context_table;
mod contexts;
mod events;
mod gateway;
mod header_pairs;
mod held;
mod hostcalls;
mod http;
mod once;
mod reply;
mod root;
#[cfg(feature = "trap")]
mod trap;
mod worker;
