//! The shell: the only code that talks to the host. It reads exchanges, hands them to the core, and makes the callouts that the
//! core asks for. It decides nothing.

mod host;
mod http;
mod observe;
mod root;
mod worker;

pub use root::Root;
