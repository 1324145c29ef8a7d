//! The only code that calls the host.
//!
//! Reads exchanges and webhooks, hands them to the core, and makes the callouts that the core asks
//! for. Never decides what is published, stored or answered.

mod callouts;
mod capture;
mod gateway;
mod header_pairs;
mod held;
mod hostcalls;
mod http;
mod late_replies;
mod once;
mod reply;
mod root;
#[cfg(feature = "trap")]
mod trap;
mod worker;

pub(crate) use root::Root;
