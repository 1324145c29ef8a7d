//! The instructions of each function for one event, for who wants to make them fewer. Nothing is
//! asserted: `tests/filter/cost.rs` gates the sums.
//!
//! `NAMES=1 scripts/build-wasm.sh . dist/retrohook-names.wasm`, and then
//! `RETROHOOK_WASM=dist/retrohook-names.wasm cargo test -p retrohook-filter-tests hot_spots --
//! --ignored --nocapture`

use std::time::Duration;

use proxy_wasm_test_host::{artifacts, ExchangeSpec, Host, Module, Profile};

use crate::cost::{request_of_2_kb, CONFIG, ROUTE};

fn print(what: &str, host: &mut Host, work: impl FnOnce(&mut Host)) {
    let ((), usage) = host.measure(work);
    println!("\n{what}: {} instructions, {:?}", usage.instructions, usage.host_calls);
    println!("{:>9} {:>9}  function", "with all", "own");
    for (name, cost) in host.functions().iter().filter(|(_, cost)| cost.with_called > usage.instructions / 200) {
        println!("{:>9} {:>9}  {}", cost.with_called, cost.own, name.chars().take(110).collect::<String>());
    }
}

#[test]
#[ignore = "prints a profile"]
fn of_no_match() {
    let filter = Module::compile_for_profile(&artifacts::filter().unwrap()).unwrap();
    for (what, spec) in [
        ("another method", ExchangeSpec::new("GET", "/mockbin/profile")),
        ("another path", ExchangeSpec::new("PUT", "/mockbin/account/42")),
    ] {
        let mut host = Host::builder(Profile::Envoy).cluster("sns.us-east-1.amazonaws.com:443").load(&filter).unwrap();
        host.start_plugin(CONFIG).unwrap();
        host.exchange(&spec).unwrap();
        print(what, &mut host, |host| drop(host.exchange(&spec).unwrap()));
    }
}

#[test]
#[ignore = "prints a profile"]
fn of_a_match_and_of_a_call() {
    let filter = Module::compile_for_profile(&artifacts::filter().unwrap()).unwrap();
    for (profile, route) in [(Profile::Envoy, "profiles"), (Profile::Kong, ROUTE)] {
        let mut host = Host::builder(profile).cluster("sns.us-east-1.amazonaws.com:443").load(&filter).unwrap();
        host.start_plugin(CONFIG).unwrap();
        let small = ExchangeSpec::new("PUT", "/mockbin/profile").route(route);
        host.exchange(&small).unwrap();
        print(&format!("{profile:?}, a match"), &mut host, |host| drop(host.exchange(&small).unwrap()));
        host.advance(Duration::from_millis(200)).unwrap();
        host.take_callouts().iter().for_each(|call| {
            host.respond(call.token, proxy_wasm_test_host::Response::new(500)).unwrap();
        });
        (0..10).for_each(|_| drop(host.exchange(&request_of_2_kb()).unwrap()));
        print(&format!("{profile:?}, a call of ten events"), &mut host, |host| {
            host.advance(Duration::from_millis(25)).unwrap();
        });
    }
}
