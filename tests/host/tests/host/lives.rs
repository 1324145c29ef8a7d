//! The lives of VMs and roots: starting, ticking, draining, dying, and what outlives them.

use proxy_wasm_test_host::{Callback, Error, Host, Module, Profile, SharedData, TrapKind};

use crate::{load, put, said, told, trapped, TICK};

#[test]
fn a_plugin_that_refuses_to_start_is_an_error_with_its_log() {
    let mut host = load(Host::builder(Profile::Envoy), "misuse");
    let error = host.start_plugin("refuse").unwrap_err();
    assert!(error.cause.is_none() && error.to_string().contains("I will not"), "{error}");
    assert!(host.roots().is_empty());
}

#[test]
fn a_panic_is_an_error_that_names_it_and_the_vm_is_dead_until_revived() {
    let mut host = told(Profile::Envoy, "panic");
    let (callback, kind, message) = trapped(host.exchange(&put()));
    assert_eq!((callback, kind), (Callback::Log, TrapKind::Module));
    assert!(message.contains("on purpose"), "{message}");
    assert!(matches!(host.advance(TICK), Err(Error::Dead(_))));
    host.revive().unwrap();
    host.advance(TICK).unwrap();
}

#[test]
fn an_endless_loop_is_a_trap() {
    let mut host = told(Profile::Envoy, "loop");
    let (callback, _, message) = trapped(host.advance(TICK));
    assert_eq!(callback, Callback::Tick);
    assert!(message.contains("fuel"), "{message}");
}

#[test]
fn ticks_follow_the_clock_and_kong_ticks_twice_after_a_trap() {
    for (profile, after_a_trap) in [(Profile::Envoy, 10), (Profile::Kong, 20)] {
        let mut host = told(profile, "count ticks");
        host.advance(TICK * 10 + TICK / 2).unwrap();
        assert_eq!(said(&mut host).len(), 10);
        host.revive().unwrap();
        host.advance(TICK * 10).unwrap();
        assert_eq!(said(&mut host).len(), after_a_trap, "{profile:?}");
    }
}

#[test]
fn the_configuration_is_gone_after_configure_on_envoy() {
    for (profile, seen) in [(Profile::Envoy, "configuration None"), (Profile::Kong, "configuration Some(")] {
        let mut host = told(profile, "read the configuration late");
        host.advance(TICK).unwrap();
        assert!(said(&mut host)[0].starts_with(seen), "{profile:?}");
    }
}

#[test]
fn an_old_root_drains_until_it_says_that_it_is_done() {
    let mut host = told(Profile::Envoy, "drain");
    let old = host.roots()[0];
    let new = host.replace_plugin("count ticks").unwrap();
    assert_eq!((host.roots(), said(&mut host)), (vec![old, new], vec!["root done".to_owned()]));
    host.advance(TICK * 3).unwrap();
    assert!(said(&mut host).contains(&"finished Ok(())".to_owned()));
    assert_eq!(host.roots(), [new]);
    let mut kong = told(Profile::Kong, "count ticks");
    kong.replace_plugin("count ticks").unwrap();
    kong.advance(TICK).unwrap();
    assert_eq!(said(&mut kong), ["tick", "tick"]);
}

#[test]
fn on_kong_what_was_replaced_takes_the_instance_along_when_lua_collects_it() {
    let mut kong = told(Profile::Kong, "count ticks");
    let new = kong.replace_plugin("count ticks").unwrap();
    kong.collect_replaced_plugins().unwrap();
    assert_eq!(kong.roots(), [new]);
    kong.advance(TICK).unwrap();
    assert_eq!(said(&mut kong), ["tick", "tick"], "of the timer that it had and a new one");
}

#[test]
fn stopping_tells_the_roots_on_envoy_only() {
    for (profile, told_so) in [(Profile::Envoy, 1), (Profile::Kong, 0)] {
        let mut host = told(profile, "nothing");
        host.stop().unwrap();
        assert_eq!(said(&mut host).len(), told_so);
        assert!(host.roots().is_empty());
    }
}

#[test]
fn a_worker_of_kong_that_begins_to_end_is_woken_no_more_and_gives_no_ticks() {
    let mut host = told(Profile::Kong, "count ticks");
    host.advance(TICK).unwrap();
    assert_eq!(said(&mut host), ["tick"]);
    let error = host.begin_to_end("count ticks").unwrap_err();
    assert!(error.to_string().contains("process exiting"), "{error}");
}

#[test]
fn a_long_line_is_cut_on_kong() {
    for (profile, most) in [(Profile::Envoy, 10_000), (Profile::Kong, 4_096)] {
        let mut host = told(profile, "log a long line");
        host.advance(TICK).unwrap();
        let longest = host.take_logs().into_iter().map(|line| line.text.len()).max().unwrap();
        assert!((most - 200..=most).contains(&longest), "{profile:?} {longest}");
    }
}

#[test]
fn shared_data_outlives_the_host_and_is_not_a_given_on_kong() {
    let shared = SharedData::new();
    for found in ["shared Ok((None, None)) Ok(())", "shared Ok((Some([118, "] {
        let mut host = load(Host::builder(Profile::Envoy).shared_data(shared.clone()), "misuse");
        host.start_plugin("share").unwrap();
        assert!(said(&mut host)[0].starts_with(found));
    }
    assert_eq!(shared.get("key").unwrap(), b"value");
    let error = load(Host::builder(Profile::Kong), "misuse").start_plugin("share").unwrap_err();
    assert!(error.to_string().contains("could not resolve namespace"), "{error}");
    // There a write without the current compare-and-swap number is refused.
    let mut host = load(Host::builder(Profile::Kong).shared_data(shared), "misuse");
    host.start_plugin("share").unwrap();
    assert!(said(&mut host)[0].ends_with("Err(CasMismatch)"));
}

#[test]
fn the_tick_is_set_once_on_kong() {
    let error = load(Host::builder(Profile::Kong), "misuse").start_plugin("set the tick twice").unwrap_err();
    assert!(error.to_string().contains("tick_period already set"), "{error}");
    told(Profile::Envoy, "set the tick twice");
}

#[test]
fn an_import_that_no_host_has_is_named() {
    let wasm: &[u8] = &[
        0, 97, 115, 109, 1, 0, 0, 0, // magic and version
        1, 4, 1, 96, 0, 0, // a function type without parameters and results
        2, 13, 1, 3, b'e', b'n', b'v', 5, b'o', b't', b'h', b'e', b'r', 0, 0, // import env.other
    ];
    let module = Module::compile(wasm).unwrap();
    assert_eq!(module.unknown_imports().unwrap()[0].to_string(), "env::other");
    let error = Host::builder(Profile::Kong).load(&module).err().unwrap();
    assert!(error.to_string().contains("env::other"), "{error}");
}
