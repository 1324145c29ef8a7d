//! Lets a request kill the VM that handles it. Only in a build for tests: the shipped module does
//! not have the feature `trap`.

use proxy_wasm::types::MapType;

use super::hostcalls;

/// Traps if the request that is over has the header `x-retrohook-trap`.
pub(crate) fn if_asked() {
    if hostcalls::header(MapType::HttpRequestHeaders, "x-retrohook-trap").is_some() {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
    }
}
