//! Several filters that see one exchange: the HTTP filter and the access logger of one Envoy, or
//! two filters of one chain. One event for each exchange.

use proxy_wasm_test_host::{ExchangeSpec, Host, LogLevel};
use serde_json::json;

use crate::support::{config, deliver, load, logged, numbered, numbers, put, Way, GATEWAYS, MAX_DELAY, TICK};

const LINE: &str = "an exchange came to two filters";

fn lines(host: &mut Host, beginning: &str) -> usize {
    logged(host, LogLevel::Warn).iter().filter(|line| line.starts_with(beginning)).count()
}

/// Runs an exchange through the HTTP filter and the access logger, in this order or the other.
fn both(host: &mut Host, spec: &ExchangeSpec, logger_first: bool) {
    let ways = [Way::HttpFilter, Way::AccessLogger];
    let order = if logger_first { [ways[1], ways[0]] } else { ways };
    order[0].run(host, spec);
    host.see_again();
    order[1].run(host, spec);
}

#[test]
fn what_the_http_filter_and_the_access_logger_see_is_one_event_and_one_line() {
    for logger_first in [false, true] {
        let mut host = Way::HttpFilter.start(&config(json!({"trust_original_path": true})));
        (0..20).for_each(|number| both(&mut host, &numbered(number).rewritten_to("/internal"), logger_first));
        assert_eq!(numbers(&deliver(&mut host, MAX_DELAY)), (0..20).collect::<Vec<_>>(), "{logger_first}");
        assert_eq!(lines(&mut host, LINE), 1, "{logger_first}");
    }
}

#[test]
fn two_filters_of_one_chain_make_one_event_whatever_their_configurations() {
    let other = config(json!({"routes": [{"method": "*", "matcher": "^/mockbin", "subject": "another"}]}));
    for way in GATEWAYS {
        for second in [config(json!({})), other.clone()] {
            let mut host = way.start(&config(json!({})));
            let roots = [host.roots()[0], host.start_plugin(second.to_string()).unwrap()];
            for number in 0..5 {
                for root in roots {
                    host.choose_plugin(root);
                    way.run(&mut host, &numbered(number));
                    host.see_again();
                }
                way.run(&mut host, &ExchangeSpec::new("GET", "/other"));
            }
            let mut found = numbers(&deliver(&mut host, MAX_DELAY));
            found.sort_unstable();
            assert_eq!(found, (0..5).collect::<Vec<_>>(), "{way:?}");
            assert_eq!(lines(&mut host, LINE), 1, "{way:?}");
        }
    }
}

#[test]
fn what_is_meant_to_be_two_events_is_two_and_needs_no_line() {
    let typed = |event_type: &str| {
        config(json!({"routes": [{"method": "PUT", "matcher": "/profile", "event_type": event_type}]}))
    };
    let elsewhere = config(json!({"topic_arn": "arn:aws:sns:us-east-1:123456789012:audit"}));
    for way in GATEWAYS {
        for second in [typed("profile.audited"), elsewhere.clone()] {
            let mut host = way.start(&typed("profile.updated"));
            let roots = [host.roots()[0], host.start_plugin(second.to_string()).unwrap()];
            for root in roots {
                host.choose_plugin(root);
                way.run(&mut host, &put());
                host.see_again();
            }
            assert_eq!(deliver(&mut host, MAX_DELAY).len(), 2, "{way:?}");
            assert_eq!(lines(&mut host, LINE), 0, "{way:?}");
        }
    }
}

#[test]
fn equal_requests_are_not_one_exchange() {
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({})));
        let spec = put();
        (0..50).for_each(|_| way.run(&mut host, &spec));
        assert_eq!(deliver(&mut host, MAX_DELAY * 2).len(), 50, "{way:?}");
    }
}

#[test]
fn an_event_that_was_made_before_the_end_is_not_made_once_more_at_the_end() {
    let routes = json!([
        {"method": "PUT", "matcher": "/profile", "delivery": "before_response"},
        {"method": "PUT", "matcher": "/account"},
    ]);
    let mut host = Way::HttpFilter.start(&config(json!({"routes": routes})));
    let held = host.exchange(&numbered(0)).unwrap();
    assert!(held.paused_at.is_some());
    // Another one comes and goes meanwhile; this one is logged while its own stream is still there.
    Way::HttpFilter.run(&mut host, &ExchangeSpec::new("PUT", "/account/1"));
    (0..2).for_each(|_| host.see_again());
    host.access_log(&numbered(0)).unwrap();
    assert_eq!(numbers(&deliver(&mut host, MAX_DELAY + TICK)), [0, 1]);
}

#[test]
fn a_response_that_an_http_filter_has_held_is_none_that_did_not_wait() {
    let held = json!([{"method": "PUT", "matcher": "/profile", "delivery": "before_response"}]);
    let mut host = Way::HttpFilter.start(&config(json!({"routes": held})));
    assert!(host.exchange(&numbered(0)).unwrap().paused_at.is_some());
    host.see_again();
    host.access_log(&numbered(0)).unwrap();
    assert_eq!(numbers(&deliver(&mut host, MAX_DELAY + TICK)), [0]);
    assert_eq!(lines(&mut host, "`delivery: before_response` is not kept"), 0);
}

#[test]
fn where_the_vms_differ_the_log_says_that_events_are_made_twice() {
    // What a filter of another VM leaves on the exchange, which begins with that VM's name.
    let mut filter = Way::HttpFilter.start(&config(json!({})));
    let open = filter.exchange(&put().left_open()).unwrap();
    let mark = filter.property(open.stream, "retrohook").unwrap();
    for (changes, expected) in [(json!({}), 1), (json!({"topic_arn": "arn:aws:sns:us-east-1:123456789012:other"}), 0)] {
        let mut logger = load(Way::AccessLogger.builder().seed(77));
        logger.start_plugin(config(changes).to_string()).unwrap();
        // Exchanges that began after the marked one may end before it.
        (0..10).for_each(|_| logger.access_log(&put()).unwrap());
        for _ in 0..3 {
            logger.access_log(&put().property("retrohook", &mark)).unwrap();
        }
        assert_eq!(deliver(&mut logger, MAX_DELAY * 2).len(), 13);
        assert_eq!(lines(&mut logger, "the event of this exchange is published TWICE"), expected);
    }
}
