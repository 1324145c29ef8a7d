//! A Proxy-Wasm host for tests.
