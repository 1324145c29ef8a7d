//! Which exchanges are published, and when: only what a route names, and not before the response is
//! over.

use proxy_wasm_test_host::{ExchangeSpec, LogLevel};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::{config, count, deliver, logged, published, put, GATEWAYS, LONG, MAX_DELAY, TICK, WAYS};

#[test]
fn only_what_a_route_names_is_published() {
    let of = ExchangeSpec::new;
    let cases = [
        ("the path, searched", put(), 1),
        ("the path at its end", of("PUT", "/v1/profile"), 1),
        ("no content", put().status(204), 1),
        ("the highest success", put().status(299), 1),
        ("answered by the gateway", put().upstream(None), 1),
        ("another method", of("GET", "/mockbin/profile"), 0),
        ("the method in lower case", of("put", "/mockbin/profile"), 0),
        ("another path", of("PUT", "/mockbin/other"), 0),
        ("the path in the query string only", of("PUT", "/mockbin?next=/profile"), 0),
        ("a redirect", put().status(302), 0),
        ("not modified", put().status(304), 0),
        ("the client's fault", put().status(404), 0),
        ("the server's fault", put().status(500), 0),
        ("the gateway's fault", put().status(503).upstream(None), 0),
        ("no response", put().status(0), 0),
        ("no status at all", put().without_property("response.code"), 0),
    ];
    for way in WAYS {
        let mut host = way.start(&config(json!({})));
        for (case, spec, expected) in &cases {
            way.run(&mut host, spec);
            assert_eq!(deliver(&mut host, MAX_DELAY).len(), *expected, "{way:?}: {case}");
        }
    }
}

#[test]
fn a_route_may_name_other_methods_and_statuses_and_the_first_that_fits_takes_it() {
    let routes = json!([
        {"method": ["PUT", "PATCH"], "matcher": "^/profile$", "status": [204, "4xx"], "event_type": "first"},
        {"method": "*", "matcher": "/prof.le", "status": "*", "event_type": "second"},
    ]);
    let config = config(json!({"routes": routes}));
    for (method, path, status, expected) in [
        ("PATCH", "/profile", 204, "first"),
        ("PUT", "/profile", 404, "first"),
        ("PUT", "/profile", 200, "second"),
        ("PUT", "/profile/7", 204, "second"),
        ("PURGE", "/profile", 503, "second"),
    ] {
        for way in WAYS {
            let spec = ExchangeSpec::new(method, path).status(status);
            let entry = published(way, &mut way.start(&config), &spec);
            assert_eq!(entry.attribute("event_type"), Some(("String", expected)), "{way:?} {method} {path} {status}");
        }
    }
}

#[test]
fn a_path_that_is_too_long_matches_nothing_and_is_counted() {
    let begin = "/profile/";
    let of_length = |length: usize| format!("{begin}{}", "x".repeat(length - begin.len()));
    for matcher in ["/profile", "^/profile/(?<id>[^/]+)$"] {
        let routes = json!([{"method": "PUT", "matcher": matcher}]);
        for (limit, path, expected) in [
            (2_048, of_length(2_048), 1),
            (2_048, of_length(2_048) + "?" + begin, 1),
            (2_048, of_length(2_049), 0),
            (2_048, of_length(60_000), 0),
            (8_192, of_length(8_192), 1),
            (8_192, of_length(8_193), 0),
        ] {
            for way in WAYS {
                let mut host = way.start(&config(json!({"routes": routes, "max_path_bytes": limit})));
                way.run(&mut host, &ExchangeSpec::new("PUT", &path));
                way.run(&mut host, &ExchangeSpec::new("GET", &path));
                assert_eq!(deliver(&mut host, MAX_DELAY).len(), expected, "{way:?} {matcher} {}", path.len());
                assert_eq!(count(&host, Metric::PathsTooLong), 1 - expected as u64, "{way:?} {matcher} {}", path.len());
            }
        }
    }
}

#[test]
fn paths_that_are_too_long_have_a_line_a_minute() {
    for way in WAYS {
        let mut host = way.start(&config(json!({})));
        let mut lines = Vec::new();
        for _ in 0..70 {
            way.run(&mut host, &ExchangeSpec::new("PUT", "/profile".repeat(300)));
            host.advance(LONG / 60).unwrap();
            lines.extend(logged(&mut host, LogLevel::Warn));
        }
        assert!(
            matches!(&lines[..], [first, second] if first.starts_with("1 request(s) had a path of more than 2048 bytes") && second.starts_with("60 ")),
            "{way:?}: {lines:#?}"
        );
    }
}

#[test]
fn nothing_is_published_while_the_response_is_not_over() {
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({"batch": {"max_entries": 1}})));
        let spec = put().request_chunks(["a", "b"]).response_chunks(["c", "d"]).left_open();
        let open = host.exchange(&spec).unwrap();
        assert_eq!(open.paused_at, None, "the request is never held");
        host.advance(MAX_DELAY * 10).unwrap();
        assert_eq!(host.take_callouts(), []);
        let over = host.finish_exchange(open.stream).unwrap();
        assert_eq!((over.status, over.body.as_slice(), over.local), (200, b"cd".as_slice(), false));
        host.advance(TICK).unwrap();
        assert_eq!(host.take_callouts().len(), 1);
        assert!(host.streams().is_empty());
    }
}

#[test]
fn a_full_batch_goes_at_the_next_tick_and_not_on_a_client_s_time() {
    for way in WAYS {
        let mut host = way.start(&config(json!({"batch": {"max_entries": 2}})));
        (0..2).for_each(|_| way.run(&mut host, &put()));
        assert_eq!(host.take_callouts(), [], "{way:?}");
        host.advance(TICK).unwrap();
        assert_eq!(host.take_callouts().len(), 1, "{way:?}");
    }
}
