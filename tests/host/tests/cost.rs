//! What the filter costs a request, counted: instructions that the module executes, and calls into the host. Counts are exact,
//! so they gate where times cannot.

#![allow(clippy::unwrap_used)]

use proxy_wasm_test_host::{artifacts, ExchangeSpec, Host, Module, Profile, Usage};

const CONFIG: &str = r#"{
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
    "routes": [{"method": "PUT", "matcher": "/profile"}],
    "credentials": {"source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}
}"#;

fn cost(module: &Module, spec: &ExchangeSpec) -> Usage {
    let mut host = Host::builder(Profile::Envoy).cluster("sns.us-east-1.amazonaws.com:443").load(module).unwrap();
    host.start_plugin(CONFIG).unwrap();
    host.exchange(spec).unwrap();
    host.measure(|host| host.exchange(spec)).1
}

fn total(usage: &Usage) -> u64 {
    usage.instructions + usage.total_host_calls()
}

#[test]
fn a_request_that_matches_nothing_is_nearly_free() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let empty = Module::compile(&artifacts::fixture("empty").unwrap()).unwrap();
    for (what, spec, host_calls, most) in [
        ("another method", ExchangeSpec::new("GET", "/mockbin/profile"), 1, 1.3),
        ("another path", ExchangeSpec::new("PUT", "/mockbin/account/42"), 2, 2.2),
    ] {
        let (ours, bare) = (cost(&filter, &spec), cost(&empty, &spec));
        let ratio = total(&ours) as f64 / total(&bare) as f64;
        println!(
            "{what}: {} instructions and {} host calls; an empty filter {} and {}: ratio {ratio:.2}",
            ours.instructions,
            ours.total_host_calls(),
            bare.instructions,
            bare.total_host_calls(),
        );
        assert_eq!(ours.total_host_calls(), host_calls, "{what}");
        assert!(ratio <= most, "{what}: {ratio:.2}");
    }
}

#[test]
fn a_request_that_matches_asks_for_each_value_once() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let spec = ExchangeSpec::new("PUT", "/mockbin/profile");
    let usage = cost(&filter, &spec);
    println!("a match: {} instructions, host calls {:?}", usage.instructions, usage.host_calls);
    assert!(usage.total_host_calls() <= 18, "{:?}", usage.host_calls);
}
