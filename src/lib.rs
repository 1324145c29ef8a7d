//! Retrohook: a Proxy-Wasm filter that gives webhooks to HTTP services that have none, and takes
//! webhooks in without losing any.
//!
//! Every successful request that matches a configured route becomes an event for an AWS SNS topic,
//! an SQS queue or an EventBridge event bus. No response is held for it, unless the route asks for
//! that.
//!
//! The crate is a core without I/O and a thin shell around it. The core is handed events and the
//! time, and is asked which HTTP callouts to make next; only `filter` talks to the host (Envoy or
//! Kong).

pub mod agent;
#[cfg(any(target_arch = "wasm32", test))]
mod allocator;
pub mod aws;
mod bytes;
pub mod callout;
pub mod capture;
pub mod clock;
pub mod config;
mod event;
pub mod exchange;
pub mod filter;
mod json;
mod lookup;
pub mod metrics;
mod notice;
pub mod publish;
pub mod secret;
mod webhook;

/// Where the host enters: `_initialize`, as the SDK writes it.
mod entry {
    #![allow(missing_docs)]

    #[cfg(target_arch = "wasm32")]
    #[global_allocator]
    static ALLOCATOR: crate::allocator::SmallBlocks = crate::allocator::SmallBlocks::new();

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    }}
}
