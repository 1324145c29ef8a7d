//! Only in a build for tests (the feature `trap`, which the shipped module does not have): a request can kill the VM that it is
//! in.

use proxy_wasm::types::MapType;

use super::hostcalls;

/// Traps if the request that is over has this header.
pub fn if_asked() {
    if hostcalls::header(MapType::HttpRequestHeaders, "x-retrohook-trap").is_some() {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
    }
}
