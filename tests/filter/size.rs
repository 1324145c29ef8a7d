//! The size of the built module: every worker of a gateway compiles it when it starts, and keeps
//! what it has compiled.

use proxy_wasm_test_host::artifacts;

/// The 1,046 KB that the module has, and 1 % of room for another compiler. Of these the queue of
/// the process costs 33 KB, the signatures and challenges of 42 senders 57, shapes, conditions and
/// traces of events 40, bodies in events and their redaction 39, Ed25519 19, webhooks as targets 18
/// and shared calls to SQS 14. Users load all of it at each start, whatever they use of it.
const MAX_BYTES: usize = 1_056_000;

#[test]
fn the_module_is_no_larger_than_it_is_known_to_be() {
    let bytes = artifacts::filter().unwrap().len();
    println!("{bytes} bytes");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes; was wasm-opt there when it was built?");
}
