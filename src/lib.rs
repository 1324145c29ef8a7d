//! Retrohook: a Proxy-Wasm filter that gives webhooks to HTTP services that have none.
//!
//! Every successful request that matches a configured route becomes an event in an AWS SNS topic, after the
//! response, at no cost to the client.
//!
//! The crate is a core without I/O and a thin shell around it. The core is handed events and the time, and is
//! asked which HTTP callouts to make next; only [`filter`] talks to the host (Envoy or Kong).

pub mod aws;
pub mod callout;
pub mod clock;
pub mod config;
pub mod event;
pub mod exchange;
pub mod route;
pub mod secret;
pub mod template;
