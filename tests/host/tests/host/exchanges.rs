//! Exchanges: the order of the callbacks, what can be read in them, and what they cost.

use proxy_wasm_test_host::{Callback, Error, ExchangeSpec, Host, Profile, TrapKind, Violation};

use crate::{load, put, said, told, trapped, TICK};

#[test]
fn the_callbacks_come_in_envoys_order_with_envoys_values() {
    let mut host = told(Profile::Envoy, "observe");
    let spec = put().request_header("X-A", "1").request_body("abc").response_body("wxyz");
    host.exchange(&spec).unwrap();
    let said = said(&mut host).join("\n");
    let order = "request headers 6 end false\npath Ok(Some(\"/a//b?x=1\"))\npairs Ok(6)\nrequest body 3 end true\n\
                 response headers 1 end false\nresponse body 4 end true\nlog\n";
    assert!(said.starts_with(order), "{said}");
    assert!(said.ends_with("done"), "{said}");
    for value in ["response.code Ok(Some([204, 0, 0, 0, 0, 0, 0, 0]))", "connection.mtls Ok(Some([0]))"] {
        assert!(said.contains(value), "{said}");
    }
    assert!(said.contains("request.duration Ok(Some([0, 27, 183, 0, 0, 0, 0, 0]))"), "12 ms in nanoseconds: {said}");
    assert!(said.contains("ngx.request_uri Ok(None)"), "{said}");
    assert!(host.streams().is_empty());
}

#[test]
fn the_callbacks_come_in_kongs_order_with_kongs_values() {
    let mut host = told(Profile::Kong, "observe");
    host.exchange(&put().client("192.0.2.7", 5)).unwrap();
    let said = said(&mut host).join("\n");
    let order = "request headers 1 end false\npath Ok(Some(\"/a/b?x=1\"))\npairs Ok(5)\n\
                 response headers 0 end false\nresponse body 0 end true\ndone\nlog\n";
    assert!(said.starts_with(order), "{said}");
    assert!(said.contains("response.code Ok(Some([50, 48, 52]))"), "{said}");
    assert!(said.contains("source.address Ok(Some([49, 57, 50, "), "{said}");
    assert!(said.contains("ngx.request_uri Ok(Some([47, 97, 47, 47, 98, "), "{said}");
}

#[test]
fn a_header_map_stops_at_a_hundred_pairs_on_kong() {
    let many = (0..200).fold(put(), |spec, n| spec.request_header(format!("x-{n}"), "v"));
    for (profile, pairs) in [(Profile::Envoy, 205), (Profile::Kong, 100)] {
        let mut host = told(profile, "observe");
        host.exchange(&many).unwrap();
        assert!(said(&mut host).contains(&format!("pairs Ok({pairs})")));
        let overrun = Violation::HeaderMapOverrun { headers: 201 };
        assert_eq!(host.violations(), if profile == Profile::Kong { vec![overrun] } else { vec![] });
    }
    let as_many_as_fit = (0..96).fold(put(), |spec, n| spec.request_header(format!("x-{n}"), "v"));
    let mut host = told(Profile::Kong, "observe");
    host.exchange(&as_many_as_fit).unwrap();
    assert!(host.violations().is_empty());
}

#[test]
fn bytes_that_are_no_text_and_a_missing_path_get_through() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = told(profile, "observe");
        host.exchange(&ExchangeSpec::new("GET", b"/\xff\xfe").request_header("x", b"\x80")).unwrap();
        host.exchange(&ExchangeSpec::new("CONNECT", "").without_path()).unwrap();
        assert!(said(&mut host).contains(&"path Ok(None)".to_owned()));
    }
}

#[test]
fn kong_entities_are_readable_late_only_if_they_were_read_early() {
    let mut host = told(Profile::Kong, "keep entities");
    host.exchange(&put().route(r#"{"name":"r"}"#)).unwrap();
    let found = said(&mut host);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|line| line.starts_with("kong.router.route Ok(Some(")), "{found:?}");
    let mut host = told(Profile::Kong, "late names");
    host.exchange(&put().route(r#"{"name":"r"}"#)).unwrap();
    assert_eq!(said(&mut host), ["kong.route_name Ok(None)"]);
}

#[test]
fn a_root_reads_no_properties_on_kong() {
    let (_, kind, _) = trapped(told(Profile::Kong, "property in tick").advance(TICK));
    assert_eq!(kind, TrapKind::WorkerCrash);
    told(Profile::Envoy, "property in tick").advance(TICK).unwrap();
}

#[test]
fn a_paused_body_is_gathered_on_envoy() {
    let mut host = told(Profile::Envoy, "gather");
    host.exchange(&put().request_chunks(["ab", "cd"])).unwrap();
    let seen = said(&mut host);
    assert_eq!(seen, [r#"gathered Ok(Some("ab"))"#, r#"gathered Ok(Some("abcd"))"#]);
}

#[test]
fn envoy_takes_the_request_headers_back_until_the_log() {
    told(Profile::Kong, "look back").exchange(&put()).unwrap();
    let (callback, _, message) = trapped(told(Profile::Envoy, "look back").exchange(&put()));
    assert!(callback == Callback::ResponseHeaders && message.contains("unexpected status: 2"), "{message}");
}

#[test]
fn the_access_logger_sees_the_exchange_on_the_root_and_only_then() {
    let mut host = told(Profile::Envoy, "log access");
    host.access_log(&put()).unwrap();
    let seen = said(&mut host);
    assert_eq!(seen[0], "response.code Ok(Some([204, 0, 0, 0, 0, 0, 0, 0]))");
    assert_eq!(seen[2], "method Some([80, 85, 84])");
    let mut host = told(Profile::Kong, "log access");
    assert!(matches!(host.access_log(&put()), Err(Error::Misused(_))));
    let mut host = told(Profile::Envoy, "call");
    host.access_log(&put()).unwrap();
    assert_eq!(host.take_callouts().len(), 1);
}

#[test]
fn what_an_exchange_costs_is_counted_and_the_same_every_time() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(Host::builder(profile), "empty");
        host.start_plugin("").unwrap();
        host.exchange(&put()).unwrap();
        let spec = put();
        let (outcome, first) = host.measure(|host| host.exchange(&spec));
        outcome.unwrap();
        let (_, second) = host.measure(|host| host.exchange(&spec));
        assert_eq!(first, second, "{profile:?}");
        assert!(first.instructions > 100 && first.instructions < 10_000, "{first:?}");
        assert_eq!((first.total_host_calls(), first.memory_grown_bytes), (0, 0));
        println!("{profile:?}: {} instructions, {} callbacks", first.instructions, first.callbacks);
    }
    let mut host = told(Profile::Envoy, "observe");
    let (_, usage) = host.measure(|host| host.exchange(&put()).unwrap());
    assert_eq!(usage.calls_of("proxy_get_property"), 6);
    assert_eq!(usage.host_allocations, 7, "one for each value handed over");
}
