//! What the filter costs a request, counted: instructions that the module executes, and calls into
//! the host. Counts are exact, so they gate where times cannot.

use proxy_wasm_test_host::{artifacts, ExchangeSpec, Host, Module, Profile, SharedData, Usage};

const CONFIG: &str = r#"{
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
    "routes": [{"method": "PUT", "matcher": "/profile"}],
    "credentials": {"source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}
}"#;

const ROUTE: &str = r#"{"id":"r-1","name":"profiles","paths":["/mockbin"],"ws_id":"w-1"}"#;

/// What [`CONFIG`] says of where events go.
const TOPIC: &str = r#""topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events""#;

const PROFILES: [Profile; 2] = [Profile::Envoy, Profile::Kong];

fn cost(profile: Profile, module: &Module, spec: &ExchangeSpec) -> Usage {
    let mut host = Host::builder(profile).cluster("sns.us-east-1.amazonaws.com:443").load(module).unwrap();
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
    let cases = [
        ("another method", ExchangeSpec::new("GET", "/mockbin/profile"), 1, 1.28),
        ("another path", ExchangeSpec::new("PUT", "/mockbin/account/42"), 2, 1.58),
    ];
    for (profile, (what, spec, host_calls, most)) in PROFILES.into_iter().flat_map(|p| cases.clone().map(|c| (p, c))) {
        let (ours, bare) = (cost(profile, &filter, &spec), cost(profile, &empty, &spec));
        let ratio = total(&ours) as f64 / total(&bare) as f64;
        println!(
            "{profile:?}, {what}: {} instructions and {} host calls; an empty filter {} and {}: ratio {ratio:.2}",
            ours.instructions,
            ours.total_host_calls(),
            bare.instructions,
            bare.total_host_calls(),
        );
        assert_eq!(ours.total_host_calls(), host_calls, "{profile:?}, {what}");
        assert!(ratio <= most, "{profile:?}, {what}: {ratio:.2}");
    }
}

#[test]
fn a_request_that_matches_asks_for_each_value_once() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let spec = ExchangeSpec::new("PUT", "/mockbin/profile");
    // On Envoy the queue is in shared data: a position is reserved there, and the event written to
    // it.
    let cases = [(Profile::Envoy, "profiles", 11, 2, 2, 1, 2, 47_500), (Profile::Kong, ROUTE, 11, 1, 2, 0, 0, 53_000)];
    for (profile, route, properties, headers, maps, read, written, most) in cases {
        let spec = spec.clone().route(route);
        let usage = cost(profile, &filter, &spec);
        println!("{profile:?}, a match: {} instructions, host calls {:?}", usage.instructions, usage.host_calls);
        assert!(usage.instructions < most, "{profile:?}: {}", usage.instructions);
        assert_eq!(usage.calls_of("proxy_get_property"), properties, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_header_map_value"), headers, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_header_map_pairs"), maps, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_current_time_nanoseconds"), 1, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_shared_data"), read, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_set_shared_data"), written, "{profile:?}");
        let expected = properties + headers + maps + read + written + 1;
        assert_eq!(usage.total_host_calls(), expected, "{profile:?} {:?}", usage.host_calls);
    }
}

#[test]
fn what_matches_but_is_not_answered_as_wanted_costs_little_more() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let spec = ExchangeSpec::new("PUT", "/mockbin/profile").route(ROUTE).status(404);
    for (profile, host_calls) in [(Profile::Envoy, 3), (Profile::Kong, 5)] {
        let usage = cost(profile, &filter, &spec);
        assert_eq!(usage.total_host_calls(), host_calls, "{profile:?} {:?}", usage.host_calls);
    }
}

/// A path of 2,048 bytes that begins and ends so.
fn longest_path(begin: &str, filler: &str, end: &str) -> String {
    let mut path = begin.to_owned();
    while path.len() + filler.len() + end.len() <= 2_048 {
        path.push_str(filler);
    }
    path + end
}

/// Returns the instructions that a request takes with this configuration, in its first callback,
/// and those that the start takes.
fn instructions(filter: &Module, config: &str, spec: &ExchangeSpec) -> (u64, u64) {
    let mut host = Host::builder(Profile::Envoy).cluster("sns.us-east-1.amazonaws.com:443").load(filter).unwrap();
    let (_, start) = host.measure(|host| host.start_plugin(config).unwrap());
    host.exchange(spec).unwrap();
    let (_, usage) = host.measure(|host| host.exchange(spec).unwrap());
    (usage.instructions, start.instructions)
}

fn with_matchers(matchers: &[String]) -> String {
    let route = |matcher: &String| format!(r#"{{"method": "PUT", "matcher": {}}}"#, serde_json::json!(matcher));
    let routes: Vec<String> = matchers.iter().map(route).collect();
    CONFIG.replace(r#"{"method": "PUT", "matcher": "/profile"}"#, &routes.join(","))
}

fn hundred(matcher: &dyn Fn(usize) -> String) -> Vec<String> {
    (0..100).map(matcher).collect()
}

#[test]
fn a_hostile_path_costs_a_bounded_time_however_many_routes_there_are() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let orders = hundred(&|n| format!("^/api/v[0-9]+/users/([^/]+)/orders{n}/(?<id>[^/]+)$"));
    for (what, matchers, path, most) in [
        ("another path", orders.clone(), "/mockbin/account/42".to_owned(), 2_200),
        ("a path whose end is wrong", orders.clone(), longest_path("/api/v1/users/", "x", "/orders/7"), 100_000),
        ("a path that is wrong early", orders, longest_path("/api/v1/users/a/orders1", "1", "/"), 100_000),
        ("one long segment", hundred(&|n| format!("^/[^/]+/x{n}$")), longest_path("/", "a", "/y"), 100_000),
        ("plain texts", hundred(&|n| format!("/profile{n}/a")), longest_path("/", "profile1/", ""), 100_000),
        ("ambiguous", hundred(&|n| format!("(a|b|ab)*c{n}$")), longest_path("/", "ab", ""), 100_000),
        ("a match at every byte", hundred(&|_| "x".to_owned()), longest_path("/", "x", ""), 200_000),
        ("segments between", hundred(&|n| format!("/a{n}/[^/]+/b{n}$")), longest_path("/", "a1/x/", "b2"), 2_000_000),
        ("anything between", hundred(&|n| format!("/a{n}/.*/b{n}$")), longest_path("/", "a1/x/", "b2"), 8_000_000),
        ("one plain text", vec!["/profile/profile".to_owned()], longest_path("/", "rofile/profile/", ""), 100_000),
        ("beyond ASCII", hundred(&|n| format!("^/[^/]+/x{n}$")), longest_path("/", "\u{e9}", "/y"), 200_000),
        ("too long", hundred(&|n| format!("^/[^/]+/x{n}$")), "/a".repeat(30_000), 100_000),
    ] {
        let spec = ExchangeSpec::new("PUT", &path).status(500);
        let (request, start) = instructions(&filter, &with_matchers(&matchers), &spec);
        println!("{what}: {request} instructions, and {start} at the start");
        assert!(request <= most, "{what}: {request}");
        assert!(start < 600_000_000, "{what}: {start}");
    }
}

#[test]
fn the_groups_of_a_path_cost_a_bounded_time() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let cost = |path: &str, attribute: &str| {
        let matcher = r#""matcher": "^/api/v[0-9]+/users/(?<user>[^/]+)/orders/(?<order>[^/]+)$""#;
        let config = CONFIG.replace(r#""matcher": "/profile""#, matcher);
        let config = config.replace(r#"$"}]"#, &format!(r#"$", "attributes": {{"a": "{attribute}"}}}}]"#));
        instructions(&filter, &config, &ExchangeSpec::new("PUT", path)).0
    };
    let path = longest_path("/api/v1/users/", "x", "/orders/7");
    let (with, without) = (cost(&path, "${path.order}"), cost(&path, "a"));
    println!("groups of the longest path: {} instructions, of {with}", with - without);
    assert!(with - without < 5_000_000);
}

/// A capture of `matcher`, and paths that an application may take for its path.
#[test]
fn a_hostile_spelling_costs_a_bounded_time() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let captures =
        hundred(&|n| format!(r#"{{"method": "POST", "matcher": "^/hooks/[^/]+/x{n}$", "queue_url": "{queue}"}}"#));
    let config = CONFIG.replacen('{', &format!(r#"{{"capture": [{}],"#, captures.join(",")), 1);
    for (what, path) in [
        ("plain", longest_path("/", "a", "/y")),
        ("upper case", longest_path("/hooks/", "A", "/y")),
        ("encoded twice", longest_path("/hooks/", "%2561", "/y")),
        ("segments", longest_path("/hooks", "/a/..", "/y")),
        ("parameters", longest_path("/hooks", "/;", "/y")),
        ("dots", longest_path("/hooks/", "a.", "/y")),
        ("too long", "/a".repeat(30_000)),
    ] {
        let (request, _) = instructions(&filter, &config, &ExchangeSpec::new("POST", &path));
        println!("{what}: {request} instructions");
        assert!(request < 650_000, "{what}: {request}");
    }
}

/// A request whose event has about 2 KB.
fn request_of_2_kb() -> ExchangeSpec {
    let names = (0..12).map(|number| format!("x-header-{number}"));
    names.fold(ExchangeSpec::new("PUT", "/mockbin/profile/42?tenant=acme"), |spec, name| {
        spec.request_header(&name, "v".repeat(60)).response_header(&name, "v".repeat(60))
    })
}

#[test]
fn a_batch_costs_a_few_instructions_for_each_byte() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    for (service, most, target) in [
        ("sns", 97.0, r#""topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events""#),
        ("sqs", 101.0, r#""queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/profile-events""#),
        ("events", 112.0, r#""event_bus": "profile-events", "region": "us-east-1""#),
    ] {
        let cluster = format!("{service}.us-east-1.amazonaws.com:443");
        let mut host = Host::builder(Profile::Envoy).cluster(&cluster).load(&filter).unwrap();
        host.start_plugin(CONFIG.replace(TOPIC, target)).unwrap();
        let mut batch = || {
            (0..10).for_each(|_| drop(host.exchange(&request_of_2_kb()).unwrap()));
            let (_, usage) = host.measure(|host| host.advance(std::time::Duration::from_millis(25)).unwrap());
            // The events of the call before may be due again.
            let callouts = host.take_callouts();
            for callout in &callouts {
                host.respond(callout.token, proxy_wasm_test_host::Response::new(500)).unwrap();
            }
            (usage.instructions, callouts.iter().map(|callout| callout.body.len()).sum::<usize>())
        };
        batch();
        let (instructions, bytes) = batch();
        let each = instructions as f64 / bytes as f64;
        println!("calls to {service}, {bytes} bytes: {instructions} instructions, {each:.1} a byte");
        assert!(each < most, "{service}: {each:.1}: most of it is SHA-256");
    }
}

#[test]
fn a_queue_that_workers_share_costs_a_match_one_read_and_two_writes() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let cost = |profile, journal: &str| {
        let config = CONFIG.replacen('{', &format!(r#"{{"queue": {{"journal": "{journal}"}},"#), 1);
        let builder = Host::builder(profile).cluster("sns.us-east-1.amazonaws.com:443");
        let mut host = builder.shared_data(SharedData::new()).load(&filter).unwrap();
        host.start_plugin(config).unwrap();
        host.exchange(&request_of_2_kb()).unwrap();
        let (_, accepted) = host.measure(|host| host.exchange(&request_of_2_kb()).unwrap());
        (0..8).for_each(|_| drop(host.exchange(&request_of_2_kb()).unwrap()));
        host.advance(std::time::Duration::from_millis(25)).unwrap();
        let callout = host.take_callouts().remove(0);
        let accept = (1..=10).map(|at| format!("<member><Id>{}</Id><MessageId>m</MessageId></member>", at - 1));
        let result = format!("<Successful>{}</Successful><Failed/>", accept.collect::<String>());
        let body =
            format!("<PublishBatchResponse><PublishBatchResult>{result}</PublishBatchResult></PublishBatchResponse>");
        let reply = proxy_wasm_test_host::Response::new(200).body(body);
        let (_, settled) = host.measure(|host| host.respond(callout.token, reply).unwrap());
        host.advance(std::time::Duration::from_millis(25)).unwrap();
        assert_eq!(host.metric("retrohook_events_published_total.target.profile-events"), Some(10), "{profile:?}");
        (accepted, settled)
    };
    for profile in PROFILES {
        let ((with, end_with), (without, end_without)) = (cost(profile, "on"), cost(profile, "off"));
        let more = |with: &Usage, without: &Usage| with.instructions as i64 - without.instructions as i64;
        let (accepted, at_the_end) = (more(&with, &without), more(&end_with, &end_without) / 10);
        println!(
            "{profile:?}: {} instructions when an event is accepted, {accepted} more than in memory and three calls; \
             {at_the_end} and one when it is settled, and three for all of a call",
            with.instructions
        );
        assert_eq!(with.total_host_calls(), without.total_host_calls() + 3);
        // On Envoy the reply lets the next call begin, for which the sender looks at the queue.
        let of_call = if profile == Profile::Envoy { 3 } else { 2 };
        assert_eq!(end_with.total_host_calls(), end_without.total_host_calls() + 10 + of_call);
        assert!(accepted < 5_000 && at_the_end < 2_000, "{accepted} {at_the_end}");
    }
}

/// Whatever a client sends, what is redacted takes a time in proportion to it.
#[test]
fn redaction_costs_so_much_for_each_byte_whatever_it_is() {
    const BYTES: usize = 32_768;
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let instructions = |redact: &str, value: &str| {
        let config = CONFIG.replacen('{', &format!(r#"{{"redact": {redact},"#), 1);
        let config = config.replace(r#""/profile""#, r#""/profile/(?<id>.*)""#);
        let mut host = Host::builder(Profile::Envoy).cluster("sns.us-east-1.amazonaws.com:443").load(&filter).unwrap();
        host.start_plugin(config).unwrap();
        let spec = ExchangeSpec::new("PUT", "/mockbin/profile/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")
            .request_header("x-hostile", value);
        host.exchange(&spec).unwrap();
        host.measure(|host| host.exchange(&spec)).1.instructions
    };
    for unit in ["x", "token=;", "token[;", "%25", "aaaaaaaaaa", "token=\"\\"] {
        let value = unit.repeat(BYTES / unit.len());
        let without = instructions("{}", &value);
        let with = instructions(r#"{"query": ["token", "key", "secret"], "path": ["id"]}"#, &value);
        let each = with.saturating_sub(without) as f64 / BYTES as f64;
        println!("{unit:?}: {each:.1} instructions a byte");
        assert!(each < 220.0, "{unit:?}: {each:.1}");
    }
}

/// However many other matchers with a redacted group a client's path suits.
#[test]
fn redaction_costs_a_bounded_time_however_many_matchers_find_something() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let segments = |count: usize| (0..count).map(|n| format!("/a{n}/{n}bcdefgh")).collect::<String>();
    let cost = |matchers: &[String], path: &str| {
        let config = with_matchers(matchers).replacen('{', r#"{"redact": {"path": ["id"]},"#, 1);
        let spec = ExchangeSpec::new("PUT", path).request_header("x-hostile", "abcd/bcdefghi".repeat(2_500));
        instructions(&filter, &config, &spec).0
    };
    for (what, matchers, path) in [
        ("a group each", hundred(&|n| format!("/a{n}/(?<id>[^/]+)")), segments(100)),
        ("a group each of a short path", hundred(&|n| format!("/a{n}/(?<id>[^/]+)")), segments(20)),
        ("one group", hundred(&|n| format!("^/a/(?<id>[^/]+)/(?<x{n}>.*)")), longest_path("/a/", "b", "/")),
        ("long groups", hundred(&|n| format!("/a{n}/(?<id>.*)$")), segments(100)),
        ("one pattern", vec!["/a/(?<id>[^/]+)".to_owned(); 100], longest_path("/a/", "b", "/")),
    ] {
        let cost = cost(&matchers, &path);
        println!("{what}: {cost} instructions");
        assert!(cost < 45_000_000, "{what}: {cost}");
    }
}
