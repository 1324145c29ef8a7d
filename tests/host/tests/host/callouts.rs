//! Callouts: who may make one and when, and how each host tells what came of it.

use std::time::Duration;

use proxy_wasm_test_host::{Builder, Callback, Error, FailureKind, Host, Profile, Response, TrapKind, Violation};

use crate::{load, put, said, take_token, told, trapped, TICK};

fn failed(builder: Builder, kind: FailureKind) -> (Vec<String>, Option<Error>) {
    let mut host = load(builder.cluster("peer:80"), "misuse");
    host.start_plugin("read reply").unwrap();
    host.advance(TICK).unwrap();
    host.take_logs();
    let token = take_token(&mut host);
    let outcome = host.fail(token, kind);
    (said(&mut host), outcome.err())
}

#[test]
fn kong_traps_where_envoy_lets_pass() {
    let at_kong = |deed: &str| trapped(told(Profile::Kong, deed).exchange(&put()));
    for (deed, at) in [("call from log", Callback::Log), ("call from response headers", Callback::ResponseHeaders)] {
        let (callback, kind, message) = at_kong(deed);
        assert_eq!((callback, kind), (at, TrapKind::Host));
        assert!(message.contains("can only send HTTP dispatch during"), "{message}");
    }
    let (_, kind, message) = at_kong("call without pause");
    assert_eq!(kind, TrapKind::WorkerCrash, "{message}");
    let (_, kind, message) = at_kong("late entities");
    assert!(kind == TrapKind::Host && message.contains("kong.router.route"), "{message}");
    for deed in ["call from log", "call from response headers", "call without pause"] {
        told(Profile::Envoy, deed).exchange(&put()).unwrap();
    }
}

#[test]
fn a_call_from_configure_fails_on_both() {
    let mut host = told(Profile::Envoy, "call from configure");
    assert_eq!(said(&mut host), ["dispatch Err(BadArgument)"]);
    let mut host = load(Host::builder(Profile::Kong), "misuse");
    let error = host.start_plugin("call from configure").unwrap_err();
    assert!(matches!(error.cause, Some(Error::Trap(trap)) if trap.kind == TrapKind::Host));
}

#[test]
fn envoy_wants_a_known_cluster_and_an_authority() {
    let mut host = told(Profile::Envoy, "call without authority");
    host.advance(TICK).unwrap();
    assert_eq!(said(&mut host), ["dispatch Err(BadArgument)"]);
    let mut host = load(Host::builder(Profile::Envoy).cluster("other"), "misuse");
    host.start_plugin("call").unwrap();
    host.advance(TICK).unwrap();
    assert_eq!(said(&mut host), ["dispatch Err(BadArgument)"]);
}

#[test]
fn two_calls_in_flight_are_a_violation_on_kong() {
    let mut host = told(Profile::Kong, "two calls");
    host.advance(TICK).unwrap();
    assert_eq!(host.violations(), [Violation::CalloutsOverlap { first: 0, second: 1 }]);
    let mut host = told(Profile::Envoy, "two calls");
    host.advance(TICK).unwrap();
    assert!(host.violations().is_empty());
    assert_eq!(host.in_flight(), 2);
}

#[test]
fn a_reply_that_calls_out_again_kills_kongs_worker() {
    let call_back = |profile| {
        let mut host = told(profile, "call from reply");
        host.advance(TICK).unwrap();
        let token = host.take_callouts()[0].token;
        host.respond(token, Response::new(200))
    };
    call_back(Profile::Envoy).unwrap();
    assert_eq!(trapped(call_back(Profile::Kong)).1, TrapKind::WorkerCrash);
}

#[test]
fn a_callout_is_seen_as_its_peer_sees_it() {
    let mut host = told(Profile::Kong, "call");
    host.advance(TICK).unwrap();
    let callout = host.take_callouts().remove(0);
    assert_eq!((callout.upstream.as_str(), callout.body_text().as_str()), ("peer:80", "body"));
    assert_eq!((callout.wire.host.as_str(), callout.wire.tls), ("peer", Some(false)));
    assert_eq!(callout.header("connection").as_deref(), Some("x"));
    assert_eq!(callout.wire.headers.text("connection").as_deref(), Some("close"));
    assert!(host.take_callouts().is_empty());
}

#[test]
fn failures_are_told_in_each_hosts_words() {
    let (said, error) = failed(Host::builder(Profile::Envoy), FailureKind::Refused);
    assert!(error.is_none());
    assert!(said[0].starts_with("reply 1 headers 3 body "), "{said:?}");
    assert_eq!(said[1], ":status Ok(Some(\"503\"))");
    let (said, error) = failed(Host::builder(Profile::Kong), FailureKind::Refused);
    assert!(error.is_none());
    let expected = ["reply 0 headers 0 body 0", ":status Ok(None)", ":dispatch_status Ok(Some(\"broken connection\"))"];
    assert_eq!(said[..3], expected);
    let (said, _) = failed(Host::builder(Profile::Kong), FailureKind::ClosedWithoutReply);
    assert_eq!(said[1..3], [":status Ok(None)", ":dispatch_status Ok(Some(\"ok\"))"]);
}

#[test]
fn a_body_cut_short_cannot_be_read_on_kong() {
    let (said, error) = failed(Host::builder(Profile::Kong), FailureKind::CutInBody { declared: 500 });
    assert_eq!(said[..2], ["reply 0 headers 1 body 500", ":status Ok(Some(\"200\"))"]);
    let trap = error.unwrap().to_string();
    assert!(trap.contains("unexpected status: 2"), "the SDK panics: {trap}");
}

#[test]
fn kong_does_not_see_a_body_of_undeclared_length() {
    for (profile, len) in [(Profile::Envoy, 4), (Profile::Kong, 0)] {
        let mut host = told(profile, "call");
        host.advance(TICK).unwrap();
        let token = take_token(&mut host);
        host.respond(token, Response::new(200).body("text").close_delimited()).unwrap();
        assert!(said(&mut host).last().unwrap().ends_with(&format!("body {len}")), "{profile:?}");
    }
}

#[test]
fn a_reset_has_no_header_map_on_envoy() {
    let (said, error) = failed(Host::builder(Profile::Envoy), FailureKind::Reset);
    assert_eq!(said[0], "reply 1 headers 0 body 0");
    let trap = error.unwrap().to_string();
    assert!(trap.contains("unexpected status: 2"), "the SDK panics: {trap}");
}

#[test]
fn the_host_gives_up_on_a_callout_by_itself_except_on_an_old_kong() {
    let told_after_timeout = |builder: Builder| {
        let mut host = load(builder.cluster("peer:80"), "misuse");
        host.start_plugin("call").unwrap();
        host.advance(Duration::from_millis(3_009)).unwrap();
        assert_eq!(host.in_flight(), 1);
        host.advance(TICK).unwrap();
        assert_eq!(host.in_flight(), 0);
        said(&mut host).iter().any(|line| line.starts_with("reply"))
    };
    assert!(told_after_timeout(Host::builder(Profile::Envoy)));
    assert!(told_after_timeout(Host::builder(Profile::Kong)));
    assert!(!told_after_timeout(Host::builder(Profile::Kong).silent_failures()));
}

#[test]
fn a_second_reply_to_the_same_token_panics_the_sdk() {
    let mut host = told(Profile::Envoy, "call");
    host.advance(TICK).unwrap();
    let token = take_token(&mut host);
    host.respond(token, Response::new(200)).unwrap();
    let (callback, _, message) = trapped(host.respond(token, Response::new(200)));
    assert_eq!(callback, Callback::CallResponse);
    assert!(message.contains("invalid token_id"), "{message}");
}

#[test]
fn a_request_waits_for_its_callout() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = told(profile, "hold");
        let held = host.exchange(&put()).unwrap();
        assert_eq!(held.paused_at, Some(Callback::RequestHeaders));
        let token = take_token(&mut host);
        host.respond(token, Response::new(200)).unwrap();
        let over = host.take_finished(held.stream).unwrap();
        assert_eq!((over.paused_at, over.status, over.local), (None, 204, false));
    }
}

#[test]
fn a_request_can_be_answered_by_the_module() {
    let mut host = told(Profile::Envoy, "answer");
    let held = host.exchange(&put()).unwrap();
    let token = take_token(&mut host);
    host.respond(token, Response::new(200)).unwrap();
    let over = host.take_finished(held.stream).unwrap();
    assert_eq!((over.status, over.body.as_slice(), over.local), (403, b"no".as_slice(), true));
    assert_eq!(over.headers.text("x-why").as_deref(), Some("because"));
}

#[test]
fn a_late_reply_after_a_trap_panics_the_sdk_on_kong() {
    let mut host = told(Profile::Kong, "call");
    host.advance(TICK).unwrap();
    let token = take_token(&mut host);
    host.revive().unwrap();
    assert!(trapped(host.respond(token, Response::new(200))).2.contains("invalid token_id"));
    let mut host = told(Profile::Envoy, "call");
    host.advance(TICK).unwrap();
    let token = take_token(&mut host);
    host.revive().unwrap();
    assert!(matches!(host.respond(token, Response::new(200)), Err(Error::Misused(_))));
}
