//! The shell: the only code that talks to the host. It reads exchanges, hands them to the core, and makes the callouts that the
//! core asks for. It decides nothing.

mod capture;
mod gateway;
mod header_pairs;
mod hostcalls;
mod http;
mod reply;
mod root;
#[cfg(feature = "trap")]
mod trap;
mod worker;

pub use root::Root;
