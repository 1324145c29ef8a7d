//! The configuration as a whole: files of faulty and valid ones (`tests/configs`, also read by the
//! check of the schema), defaults, and whatever a reader of them was once wrong about.

mod any;
mod secrets;

use std::fs;
use std::path::PathBuf;

use serde_json::{json, Map, Value};

use super::*;
use crate::aws::credentials::settings::{Source, StaticKeys};
use crate::exchange::matcher::Methods;
use crate::json::walk::Pointer;
use crate::publish::attribute::ValueTemplate;
use crate::publish::outbox::settings::WhenFull;
use crate::publish::route::{DeliveryMode, OnFailure};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(name)
}

fn faulty() -> Vec<Value> {
    serde_json::from_slice(&fs::read(data("faults.json")).unwrap()).unwrap()
}

fn valid(name: &str) -> Config {
    Config::from_json(&fs::read(data("valid").join(name)).unwrap()).unwrap_or_else(|faults| panic!("{name}:\n{faults}"))
}

fn faults_of(text: &[u8]) -> Vec<Fault> {
    Config::from_json(text).unwrap_err().iter().cloned().collect()
}

fn attributes_of(route: &crate::publish::route::Route) -> Vec<&str> {
    route.attributes.iter().map(|attribute| attribute.name.as_str()).collect()
}

fn only_target(config: &Config) -> &Target {
    let [target] = config.targets.as_slice() else { panic!("{:?}", config.targets) };
    target
}

#[test]
fn every_faulty_configuration_is_refused_with_its_faults() {
    for case in faulty() {
        let mut found = faults_of(case["config"].to_string().as_bytes());
        found.sort_by(|one, other| one.path.cmp(&other.path));
        let mut expected: Vec<_> = case["faults"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| (fault["path"].as_str().unwrap(), fault["says"].as_str().unwrap()))
            .collect();
        expected.sort_by_key(|(path, _)| *path);
        let paths: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
        let expected_paths: Vec<_> = expected.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, expected_paths, "{}\n{found:#?}", case["name"]);
        for (fault, (_, says)) in found.iter().zip(expected) {
            let line = fault.to_string();
            assert!(line.contains(says), "{}\n{line}", case["name"]);
            assert!(!line.contains('\n') && !fault.problem.is_empty() && !fault.remedy.is_empty(), "{line}");
        }
    }
}

#[test]
fn every_valid_configuration_is_accepted() {
    for entry in fs::read_dir(data("valid")).unwrap() {
        let config = valid(entry.unwrap().file_name().to_str().unwrap());
        assert_eq!(config.warnings, []);
    }
}

#[test]
fn every_example_of_the_documentation_is_accepted() {
    let pages = [
        ("README.md", 2),
        ("docs/configuration.md", 8),
        ("docs/events.md", 1),
        ("docs/webhooks-out.md", 1),
        ("docs/capture.md", 1),
        ("docs/guides/cache-invalidation.md", 1),
        ("docs/guides/webhooks-in.md", 1),
        ("docs/guides/fifo.md", 1),
        ("docs/guides/before-the-response.md", 1),
        ("docs/guides/several-targets.md", 2),
        ("deploy/README.md", 2),
    ];
    for (page, examples) in pages {
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let blocks: Vec<&str> = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(blocks.len(), examples, "{page}");
        for block in blocks {
            let config = Config::from_json(block.as_bytes());
            let config = config.unwrap_or_else(|faults| panic!("{page}:\n{block}{faults}"));
            assert_eq!(config.warnings, [], "{page}");
        }
    }
}

#[test]
fn a_matcher_in_another_syntax_is_accepted_with_a_warning() {
    let mut config: Value = serde_json::from_slice(&fs::read(data("valid/capture_full.json")).unwrap()).unwrap();
    config["routes"] = json!([
        {"method": "PUT", "matcher": "~/profile$"},
        {"method": "PUT", "matcher": "/profile"},
        {"method": "PUT", "matcher": "/users/:id"},
    ]);
    config["capture"][0]["matcher"] = json!("^/(?<provider>stripe)/*");
    let config = Config::from_json(config.to_string().as_bytes()).unwrap();
    assert_eq!(config.routes.all.len(), 3);
    let mut paths: Vec<&str> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["capture[0].matcher", "routes[0].matcher", "routes[2].matcher"]);
}

#[test]
fn a_sender_has_a_target_and_a_journal_and_for_a_fifo_one_it_is_told_that_it_adds_nothing() {
    let read = |topic: &str| {
        let config = json!({"role": "sender", "topic_arn": format!("arn:aws:sns:us-east-1:123456789012:{topic}")});
        Config::from_json(config.to_string().as_bytes()).unwrap()
    };
    let sender = read("t");
    assert_eq!((sender.targets.len(), sender.routes.all.len(), sender.journal), (1, 0, JournalChoice::On));
    assert_eq!(sender.warnings, []);
    assert!(read("t.fifo").warnings[0].to_string().contains("role: adds nothing"));
}

#[test]
fn what_a_provider_will_refuse_is_accepted_with_a_warning() {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let config = |secret: &str| {
        let verify = json!({"scheme": "github", "secrets": [secret]});
        let capture = json!({"method": "POST", "matcher": "/", "queue_url": queue, "verify": verify});
        let config = Config::from_json(json!({"capture": [capture]}).to_string().as_bytes()).unwrap();
        config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(config("$ecret-9"), "");
    let warnings = config("$HOOK_SECRET");
    assert!(warnings.contains("capture[0].verify.secrets[0]: looks like a variable of a shell"), "{warnings}");
    assert!(!warnings.contains("HOOK_SECRET"), "{warnings}");
}

#[test]
fn the_documentation_has_every_key_placeholder_and_redacted_header() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let (configuration, events) = (page("configuration.md"), page("events.md"));
    let full: Value = serde_json::from_slice(&fs::read(data("valid/full.json")).unwrap()).unwrap();
    let named = ["attributes", "headers", "query", "path"];
    let targets = json!({"queue_url": null, "event_bus": null});
    let keys = [&full, &full["routes"][0], &targets].into_iter().flat_map(|keys| keys.as_object().unwrap());
    for (key, value) in keys {
        let inner = value.as_object().filter(|_| !named.contains(&key.as_str()));
        for key in inner.into_iter().flat_map(Map::keys).chain([key]) {
            assert!(
                configuration.contains(&format!("`{key}`")) || configuration.contains(&format!(".{key}`")),
                "{key}"
            );
        }
    }
    for placeholder in crate::exchange::template::VARIABLES {
        assert!(configuration.contains(&format!("`${{{placeholder}}}`")), "{placeholder}");
    }
    for header in crate::exchange::redact::HEADERS {
        assert!(events.contains(&format!("`{header}`")), "{header}");
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = valid("minimal.json");
    let target = only_target(&config);
    assert_eq!(target.region(), "us-east-1");
    assert_eq!(target.endpoint.uri().authority().unwrap(), "sns.us-east-1.amazonaws.com");
    assert_eq!(target.upstream, "sns.us-east-1.amazonaws.com:443");
    assert_eq!(config.credentials.source, Source::Auto);
    let Redact { headers, query, path, body, matchers } = config.redact;
    assert!(headers.is_empty() && query.is_empty() && path.is_empty() && body.is_empty() && matchers.all.is_empty());
    assert_eq!(config.batch, Batch { max_entries: 10, max_delay: Duration::from_millis(100) });
    assert_eq!(
        config.queue,
        Bounds {
            max_entries: 10_000,
            max_bytes: 16 * 1024 * 1024,
            max_age: Duration::from_secs(3600),
            when_full: WhenFull::DropOldest,
        }
    );
    assert_eq!(config.journal, JournalChoice::Auto);
    assert_eq!(config.retry, Retry { initial_delay: Duration::from_millis(50), max_delay: Duration::from_secs(20) });
    assert_eq!((config.timeout, config.max_in_flight), (Duration::from_secs(5), 4));
    let [route] = config.routes.all.as_slice() else { panic!("{:?}", config.routes) };
    assert_eq!(route.methods, Methods::OneOf(vec!["PUT".into()]));
    assert!(
        !config.routes.matched(b"PUT", b"/mockbin/profile").is_empty()
            && route.statuses.contain(204)
            && !route.statuses.contain(302)
    );
    assert!(route.event_type.is_none() && route.attributes.is_empty() && route.subject.is_none());
}

#[test]
fn a_response_waits_only_where_the_route_says_so() {
    let deliveries = |name| valid(name).routes.all.iter().map(|route| route.delivery).collect::<Vec<_>>();
    assert_eq!(deliveries("full.json"), [DeliveryMode::AfterResponse; 2]);
    assert_eq!(
        deliveries("before_response.json"),
        [OnFailure::Fail, OnFailure::Pass].map(DeliveryMode::BeforeResponse)
    );
}

#[test]
fn what_is_given_is_taken() {
    let config = valid("full.json");
    assert_eq!(only_target(&config).upstream, "sns");
    let Source::Static(StaticKeys { access_key_id, secret_access_key, session_token }) = &config.credentials.source
    else {
        panic!("{:?}", config.credentials);
    };
    assert_eq!(access_key_id, "AKIAIOSFODNN7EXAMPLE");
    assert_eq!(secret_access_key.reveal(), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    assert_eq!(session_token.as_ref().unwrap().reveal(), "AQoDYXdzEJr");
    let names = |name: &str| vec![name.to_owned()];
    let Redact { headers, query, path, body, matchers } = config.redact;
    assert_eq!([headers, query, path], [names("x-internal-token"), names("token"), names("id")]);
    assert_eq!(body, [Pointer::with_wildcards("/password")]);
    assert_eq!(matchers.all.len(), 1, "of the two routes one has the group");
    assert_eq!(config.batch, Batch { max_entries: 5, max_delay: Duration::ZERO });
    assert_eq!(config.queue.when_full, WhenFull::DropNewest);
    assert_eq!(config.retry, Retry { initial_delay: Duration::from_millis(10), max_delay: Duration::from_secs(5) });
    assert_eq!((config.timeout, config.max_in_flight), (Duration::from_millis(2500), 8));

    let [profile, health] = config.routes.all.as_slice() else { panic!("{:?}", config.routes) };
    assert_eq!(profile.methods, Methods::OneOf(vec!["PUT".into(), "PATCH".into()]));
    for (status, wanted) in [(200, true), (299, true), (300, false), (304, true), (404, true), (405, false)] {
        assert_eq!(profile.statuses.contain(status), wanted, "{status}");
    }
    assert_eq!(profile.event_type.as_deref(), Some("profile.updated"));
    assert_eq!(attributes_of(profile), ["beta", "gateway", "profile_id", "tenant", "version"]);
    let text = |text: &str| ValueTemplate::Text(text.parse().unwrap());
    assert_eq!(profile.attributes[3].value, text("${request.headers.x-tenant}"));
    assert_eq!(profile.attributes[4].value, text("3"));
    assert_eq!(profile.subject, Some("Profile ${path.id} was updated".parse().unwrap()));
    assert_eq!(profile.message_group_id, Some("${path.id}".parse().unwrap()));
    assert_eq!(health.methods, Methods::Any);
    assert!(health.statuses.contain(100) && health.statuses.contain(599));
    assert_eq!(attributes_of(health), ["gateway", "tenant"]);
}

#[test]
fn an_emulator_and_a_fifo_topic() {
    let emulator = valid("emulator.json");
    let target = only_target(&emulator);
    assert_eq!(target.endpoint.uri(), "http://localhost:5000/");
    assert_eq!(target.upstream, "moto");
    assert_eq!(only_target(&valid("sns_endpoint.json")).upstream, "127.0.0.1:4566");
    assert!(only_target(&valid("fifo.json")).protocol.keeps_order());
}

#[test]
fn a_proxy_on_the_way_has_a_scheme_of_its_own_and_the_endpoint_is_signed() {
    let config = valid("kong_proxy.json");
    for target in [only_target(&config), &config.captures.all[0].target] {
        let authority = target.endpoint.uri().authority().unwrap().as_str();
        assert!(target.endpoint.is_plain() && target.upstream == "127.0.0.1:8099", "{authority}");
        assert!(["sns.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"].contains(&authority));
    }
    let role = config.credentials.assume_role.unwrap();
    assert_eq!(role.endpoint.uri(), "http://sts.us-east-1.amazonaws.com/");
    assert_eq!(role.upstream, "127.0.0.1:8099");
}

/// Returns each route's target: its key, service, region, endpoint and upstream.
fn places(name: &str) -> Vec<(&'static str, &'static str, String, String, String)> {
    let config = valid(name);
    let target = |route: &crate::publish::route::Route| {
        let target = config.targets[route.target].clone();
        let (protocol, region) = (target.protocol.clone(), target.region().to_owned());
        (protocol.kind().key, protocol.service(), region, target.endpoint.host().to_owned(), target.upstream)
    };
    config.routes.all.iter().map(target).collect()
}

#[test]
fn queues_and_event_buses_are_found_in_every_partition() {
    for (name, key, service, region, host, upstream) in [
        ("queue.json", "queue_url", "sqs", "us-east-1", "sqs.us-east-1.amazonaws.com", None),
        ("queue_emulator.json", "queue_url", "sqs", "us-east-1", "127.0.0.1", Some("moto")),
        ("event_bus.json", "event_bus", "events", "cn-north-1", "events.cn-north-1.amazonaws.com.cn", None),
        ("event_bus_arn.json", "event_bus", "events", "us-gov-west-1", "events-fips.us-gov-west-1.amazonaws.com", None),
    ] {
        let upstream = upstream.map_or_else(|| format!("{host}:443"), str::to_owned);
        assert_eq!(places(name), [(key, service, region.into(), host.into(), upstream)], "{name}");
    }
    let endpoint = "vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com";
    assert_eq!(places("queue_fifo.json")[0].3, endpoint);
}

#[test]
fn fips_dual_stack_and_vpc_endpoints_are_given() {
    for (key, name, host) in [
        ("topic_arn", "arn:aws:sns:us-east-1:123456789012:t", "sns-fips.us-east-1.amazonaws.com"),
        ("topic_arn", "arn:aws:sns:us-east-1:123456789012:t", "vpce-0a1b-2c3d.sns.us-east-1.vpce.amazonaws.com"),
        ("queue_url", "https://sqs.us-east-1.amazonaws.com/123456789012/q", "sqs.us-east-1.api.aws"),
        ("event_bus", "arn:aws:events:us-east-1:123456789012:event-bus/b", "events-fips.us-east-1.amazonaws.com"),
    ] {
        let routes = json!([{"method": "PUT", "matcher": "/"}]);
        let config = json!({key: name, "endpoint": format!("https://{host}"), "routes": routes});
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let target = only_target(&config);
        assert_eq!((target.protocol.name(), target.region()), (name, "us-east-1"));
        assert_eq!(target.endpoint.uri().authority().unwrap(), host);
        assert_eq!(target.upstream, format!("{host}:443"));
    }
}

#[test]
fn a_route_may_have_its_own_target_and_one_that_others_have_too_counts_once() {
    let config = valid("targets.json");
    assert_eq!(config.routes.all.iter().map(|route| route.target).collect::<Vec<_>>(), [0, 1, 2, 2, 3]);
    let places = places("targets.json");
    let bus = &places[1];
    assert_eq!(
        (bus.0, bus.2.as_str(), bus.4.as_str()),
        ("event_bus", "us-east-1", "events"),
        "the region is the topic's"
    );
    assert_eq!(bus.3, "events.us-east-1.amazonaws.com", "the endpoint is not");
    assert_eq!(places[4].3, "sns.eu-central-1.api.aws");
    assert_eq!(valid("targets_of_routes.json").targets.len(), 2);
}

#[test]
fn texts_that_are_not_json_have_one_fault() {
    for (text, says) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("{\n  \"topic_arn\": ,\n}", "line 2 column 16"),
        ("{\"topic_arn\": \"hunter2", "line 1 column 22"),
        ("{} {}", "line 1 column 4"),
        ("topic_arn: hunter2", "line 1"),
    ] {
        let faults = faults_of(text.as_bytes());
        assert_eq!(faults.len(), 1, "{text}");
        assert_eq!(faults[0].path, "$");
        assert!(faults[0].problem.contains(says) && !faults[0].problem.contains("hunter2"), "{}", faults[0]);
    }
    assert_eq!(faults_of(b"{\"topic_arn\": \"\xff\"}")[0].path, "$");
    assert_eq!(faults_of("[".repeat(100_000).as_bytes())[0].path, "$");
}

#[test]
fn yaml_and_a_struct_of_envoy_are_named_as_such() {
    for (text, remedy) in [
        (&b"capture:\n- method: POST\n"[..], "no YAML"),
        (b"- method: POST\n", "no YAML"),
        (b"\n\x1d\n\ttopic_arn\x12\x10\x1a\x0earn:aws:sns:a:b", "StringValue"),
        // A member of 123 bytes: its length is an opening brace.
        (b"\n{\n\ttopic_arn\x12n\x1alarn:aws:sns:us-east-1:123456789012:t", "StringValue"),
        (b"{\"capture\": [],}", "give one JSON object: `routes`"),
    ] {
        let faults = faults_of(text);
        assert!(faults[0].remedy.contains(remedy), "{}", faults[0]);
    }
}

#[test]
fn what_is_given_twice_disarms_nothing() {
    let capture = |more: &str| {
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
        format!(r#"{{"capture": [{{"method": "POST", "matcher": "/", "queue_url": "{queue}"{more}}}]}}"#)
    };
    let verify = r#""verify": {"scheme": "github", "secrets": ["hunter2"], "on_failure": "reject"}"#;
    assert!(Config::from_json(capture(&format!(", {verify}")).as_bytes()).is_ok());
    for (more, path) in [
        (format!(r#", {verify}, "verify": null"#), "capture[0].verify"),
        (format!(r#", "verify": null, {verify}"#), "capture[0].verify"),
        (
            r#", "verify": {"scheme": "github", "secrets": ["hunter2"], "secrets": ["s"]}"#.into(),
            "capture[0].verify.secrets",
        ),
        (r#", "response": {"headers": {"x-a": "1", "x-a": "1"}}"#.into(), "capture[0].response.headers.x-a"),
    ] {
        let faults = faults_of(capture(&more).as_bytes());
        assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), [path]);
        assert!(faults[0].problem == "is given twice" && !faults[0].to_string().contains("hunter2"));
    }
}

/// Collects the pointers of all values.
fn walk(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    pointers.push(pointer.to_owned());
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| walk(value, &format!("{pointer}/{key}"), pointers));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{pointer}/{index}"), pointers));
        }
        _ => {}
    }
}
