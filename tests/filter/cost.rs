//! What the filter costs a request, counted: instructions that the module executes, and calls into
//! the host. Counts are exact, so they gate where times cannot.

use proxy_wasm_test_host::{artifacts, ExchangeSpec, Host, Module, Profile, SharedData, Usage};

pub(crate) const CONFIG: &str = r#"{
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
    "routes": [{"method": "PUT", "matcher": "/profile"}],
    "credentials": {"source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}
}"#;

pub(crate) const ROUTE: &str = r#"{"id":"r-1","name":"profiles","paths":["/mockbin"],"ws_id":"w-1"}"#;

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
        ("another method", ExchangeSpec::new("GET", "/mockbin/profile"), 1, 0.57),
        ("another path", ExchangeSpec::new("PUT", "/mockbin/account/42"), 2, 0.87),
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
    // Its properties come all at once, and the time among them; on Kong all but the target and the
    // id of the route.
    let cases = [
        (Profile::Envoy, "profiles", 0, 1, 2, 2, 0, 1, 2, 27_700),
        (Profile::Kong, ROUTE, 3, 0, 1, 2, 1, 0, 0, 31_900),
    ];
    for (profile, route, properties, questions, headers, maps, clocks, read, written, most) in cases {
        let spec = spec.clone().route(route);
        let usage = cost(profile, &filter, &spec);
        println!("{profile:?}, a match: {} instructions, host calls {:?}", usage.instructions, usage.host_calls);
        assert!(usage.instructions < most, "{profile:?}: {}", usage.instructions);
        assert_eq!(usage.calls_of("proxy_get_property"), properties, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_call_foreign_function"), questions, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_header_map_value"), headers, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_header_map_pairs"), maps, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_current_time_nanoseconds"), clocks, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_get_shared_data"), read, "{profile:?}");
        assert_eq!(usage.calls_of("proxy_set_shared_data"), written, "{profile:?}");
        let expected = properties + questions + headers + maps + clocks + read + written;
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

/// A message of five fields, none of which is known already when a route has matched. On Envoy all
/// of them are in the one question that every event asks.
const FIVE_FIELDS: &str = r#"{
    "tenant": "${request.headers.x-tenant}", "cause": "${request.headers.x-cause}", "from": "${client_ip}",
    "route": "${route.name}", "service": "${service.name}"
}"#;

#[test]
fn an_event_of_five_fields_costs_five_calls() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let spec =
        ExchangeSpec::new("PUT", "/mockbin/profile").request_header("x-tenant", "acme").request_header("x-cause", "7");
    for (profile, route, fields, all, most) in
        [(Profile::Envoy, "profiles", 0, 7, 26_800), (Profile::Kong, ROUTE, 4, 9, 23_700)]
    {
        let spec = spec.clone().route(route);
        let with = |message: &str| {
            let config = CONFIG.replacen('{', &format!(r#"{{"message": {message},"#), 1);
            let mut host = Host::builder(profile).cluster("sns.us-east-1.amazonaws.com:443").load(&filter).unwrap();
            host.start_plugin(config).unwrap();
            host.exchange(&spec).unwrap();
            host.measure(|host| host.exchange(&spec).unwrap()).1
        };
        let (bare, five) = (with(r#"{"a": 1}"#), with(FIVE_FIELDS));
        let record = cost(profile, &filter, &spec);
        println!(
            "{profile:?}: {} instructions and {} host calls without a field, {} and {} with five, {} and {} with the record: {:?}",
            bare.instructions,
            bare.total_host_calls(),
            five.instructions,
            five.total_host_calls(),
            record.instructions,
            record.total_host_calls(),
            five.host_calls,
        );
        // On Kong route and service are kept, so that both are one.
        assert_eq!(five.total_host_calls() - bare.total_host_calls(), fields, "{profile:?}");
        assert_eq!(five.total_host_calls(), all, "{profile:?}");
        assert!(five.instructions < most && five.instructions < record.instructions, "{profile:?}");
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
pub(crate) fn request_of_2_kb() -> ExchangeSpec {
    let names = (0..12).map(|number| format!("x-header-{number}"));
    names.fold(ExchangeSpec::new("PUT", "/mockbin/profile/42?tenant=acme"), |spec, name| {
        spec.request_header(&name, "v".repeat(60)).response_header(&name, "v".repeat(60))
    })
}

#[test]
fn a_batch_costs_a_few_instructions_for_each_byte() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    for (service, most, target) in [
        ("sns", 93.0, r#""topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events""#),
        ("sqs", 95.5, r#""queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/profile-events""#),
        ("events", 108.0, r#""event_bus": "profile-events", "region": "us-east-1""#),
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

/// A webhook takes one event a call, so that its share of a call is all of it.
#[test]
fn an_event_for_a_webhook_costs_a_match_what_one_for_a_topic_costs_and_one_call() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let webhook = r#""webhook_url": "https://hooks.example.com/in", "webhook": {"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}"#;
    for profile in PROFILES {
        let matched = |target: &str| {
            let clusters = ["sns.us-east-1.amazonaws.com:443", "hooks.example.com:443"];
            let builder = clusters.into_iter().fold(Host::builder(profile), |builder, name| builder.cluster(name));
            let mut host = builder.load(&filter).unwrap();
            host.start_plugin(CONFIG.replace(TOPIC, target)).unwrap();
            host.exchange(&request_of_2_kb()).unwrap();
            let usage = host.measure(|host| host.exchange(&request_of_2_kb()).unwrap()).1;
            (host, usage)
        };
        let ((mut host, ours), (_, topic)) = (matched(webhook), matched(TOPIC));
        assert_eq!(ours.host_calls, topic.host_calls, "{profile:?}");
        let ratio = ours.instructions as f64 / topic.instructions as f64;
        host.advance(std::time::Duration::from_millis(100)).unwrap();
        let first = host.take_callouts().remove(0);
        // The reply to one lets the next go.
        let (_, settled) =
            host.measure(|host| host.respond(first.token, proxy_wasm_test_host::Response::new(204)).unwrap());
        let (_, tick) = host.measure(|host| host.advance(std::time::Duration::from_millis(25)).unwrap());
        let each = (settled.instructions + tick.instructions) as f64 / first.body.len() as f64;
        println!(
            "{profile:?}: a match {} instructions, {ratio:.3} of a topic's; a reply of 204 {:?}; with a tick {each:.1} \
             instructions a byte of {}",
            ours.instructions,
            settled.host_calls,
            first.body.len()
        );
        assert!(ratio < 1.05, "{profile:?}: {ratio}");
        assert_eq!(settled.calls_of("proxy_get_header_map_value"), 1, "the status alone");
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

/// An exchange whose request and response have a body of 64 KB, in pieces of 16 KB, as Envoy gives
/// them.
#[test]
fn bodies_cost_some_instructions_for_each_byte_and_a_call_for_each_piece() {
    const BYTES: usize = 65_536;
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let item = r#"{"id":"evt_1","amount":12.50,"livemode":true,"name":"Größe"},"#;
    let json = format!("[{}0]", item.repeat((BYTES - 3) / item.len()));
    let text = "2026-01-01T12:00:00Z GET /a?b=c ok\r\n".repeat(BYTES / 36);
    let cost = |profile, keys: &str, redact: &str, content_type: &str, body: &str| {
        let config = CONFIG.replace(r#""/profile"}"#, &format!(r#""/profile"{keys}}}"#));
        let config = config.replacen('{', &format!(r#"{{"redact": {redact},"#), 1);
        let config = config.replacen(TOPIC, r#""queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/q""#, 1);
        let mut host = Host::builder(profile).cluster("sqs.us-east-1.amazonaws.com:443").load(&filter).unwrap();
        host.start_plugin(config).unwrap();
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(16_384).collect();
        let spec = ExchangeSpec::new("PUT", "/mockbin/profile").request_header("content-type", content_type);
        let spec = spec.response_header("content-type", content_type).request_chunks(&pieces).response_chunks(&pieces);
        host.exchange(&spec).unwrap();
        host.measure(|host| host.exchange(&spec)).1
    };
    let both = r#", "request_body": {}, "response_body": {}"#;
    let pointers = r#"{"body": ["/*/id", "/*/name", "/a/b/c"]}"#;
    let mut too_much = Vec::new();
    for profile in PROFILES {
        for (what, content_type, body, redact, most) in [
            ("JSON", "application/json", &json, "{}", 105.0),
            ("text", "text/plain", &text, "{}", 32.0),
            ("JSON with pointers", "application/json", &json, pointers, 180.0),
        ] {
            let without = cost(profile, "", redact, content_type, body);
            let with = cost(profile, both, redact, content_type, body);
            let bytes = 2 * body.len();
            let each = (with.instructions - without.instructions) as f64 / bytes as f64;
            let calls = with.total_host_calls() - without.total_host_calls();
            println!("{profile:?}, {what}: {each:.1} instructions a byte of {bytes}, and {calls} calls");
            too_much.extend((each >= most).then_some((profile, what, each)));
            // Two heads of two headers, the status, and a piece each; of a request on Kong one.
            let pieces = if profile == Profile::Kong { 1 + 4 } else { 4 + 4 };
            assert_eq!(with.calls_of("proxy_get_buffer_bytes"), pieces, "{profile:?}");
            assert_eq!(calls, 5 + pieces, "{profile:?} {:?}", with.host_calls);
        }
    }
    assert_eq!(too_much, []);
}

/// A client chooses how long a body is, and a configuration how many values of it an event has.
#[test]
fn values_of_a_body_cost_one_look_at_it_however_many_there_are() {
    let filter = Module::compile(&artifacts::filter().unwrap()).unwrap();
    let item = r#"{"id":"evt_1","amount":12.50,"livemode":true,"name":"Größe"},"#;
    let json = format!(r#"{{"list":[{}0]}}"#, item.repeat(1_000));
    let cost = |profile, values: usize| {
        let message: Vec<String> = (0..values).map(|n| format!(r#""v{n}": "${{request.body./v{n}}}""#)).collect();
        let when: Vec<String> =
            (0..values.min(16)).map(|n| format!(r#""request.body./v{n}": {{"exists": false}}"#)).collect();
        let keys = format!(
            r#"/profile", "request_body": {{}}, "when": {{{}}}, "message": {{{}}}}}"#,
            when.join(","),
            message.join(",")
        );
        let mut host = Host::builder(profile).cluster("sns.us-east-1.amazonaws.com:443").load(&filter).unwrap();
        host.start_plugin(CONFIG.replace(r#"/profile"}"#, &keys)).unwrap();
        let spec = ExchangeSpec::new("PUT", "/mockbin/profile").request_header("content-type", "application/json");
        let spec = spec.request_body(&json);
        host.exchange(&spec).unwrap();
        host.measure(|host| host.exchange(&spec)).1.instructions
    };
    for profile in PROFILES {
        let (one, most) = (cost(profile, 1), cost(profile, 100));
        println!("{profile:?}: {one} instructions for one value of {} bytes, {most} for 100", json.len());
        assert!(most < 4 * one, "{profile:?}: {one} {most}");
    }
}
