//! The built filter loads in Kong only if it imports nothing that Kong lacks; and it should import
//! no more than the SDK declares.

use proxy_wasm_test_host::{artifacts, Module};

#[test]
fn the_filter_imports_nothing_that_a_host_lacks() {
    let module = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let unknown: Vec<String> = module.unknown_imports().unwrap().iter().map(ToString::to_string).collect();
    assert!(unknown.is_empty(), "Kong would not load it: {}", unknown.join(", "));
}
