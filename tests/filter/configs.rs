//! The configuration as an operator meets it: what is faulty is refused with its place and its
//! remedy, what is valid starts, and nothing secret is ever shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proxy_wasm_test_host::{Builder, ExchangeSpec, Host, LogLevel, Profile, SharedData};
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{config, load, logged, put, Way, ACCESS_KEY_ID, LONG, SECRET_ACCESS_KEY, TICK, UPSTREAM};

const SESSION_TOKEN: &str = "AQoDYXdzEJr//////////wEaoAK1wvxJY12r2IrDFT2IvAzTCn3zHoZ7YNtpiQLF0MqZye/qwjzP2iEXAMPLE";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn with_keys(builder: Builder) -> Builder {
    builder.environment([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)])
}

/// What the filter logs when it refuses a configuration. It stays fit for the next one.
fn refusal(host: &mut Host, configuration: impl AsRef<[u8]>) -> Vec<String> {
    let error = host.start_plugin(configuration).unwrap_err();
    assert!(error.cause.is_none(), "refused, and not trapped: {error}");
    logged(host, LogLevel::Error)
}

#[test]
fn every_faulty_configuration_is_refused_with_the_place_of_each_fault() {
    let cases: Value = serde_json::from_str(&read(folder().join("faults.json"))).unwrap();
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(with_keys(Host::builder(profile)));
        for case in cases.as_array().unwrap() {
            let lines = refusal(&mut host, case["config"].to_string());
            let faults = case["faults"].as_array().unwrap();
            assert_eq!(lines.len(), faults.len(), "{} {lines:#?}", case["name"]);
            for fault in faults {
                let (path, says) = (fault["path"].as_str().unwrap(), fault["says"].as_str().unwrap());
                let found = lines.iter().any(|line| line.starts_with(&format!("{path}: ")) && line.contains(says));
                assert!(found, "{} {path} {lines:#?}", case["name"]);
            }
        }
        host.start_plugin(config(json!({})).to_string()).unwrap();
    }
}

#[test]
fn matchers_that_cost_more_than_others_draw_a_warning_at_the_start() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(with_keys(Host::builder(profile)));
        let gaps = (0..40).map(|n| json!({"method": "PUT", "matcher": format!("/a{n}/.*/b")}));
        let alone = json!({"method": "PUT", "matcher": r"\bprofile\b"});
        let routes: Vec<Value> = gaps.chain([alone]).collect();
        host.start_plugin(config(json!({"routes": routes})).to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        let says = |place: &str, words: &str| {
            warnings.iter().any(|line| line.starts_with(&format!("{place}: ")) && line.contains(words))
        };
        assert!(says("routes", "cannot be searched at once"), "{warnings:#?}");
        assert!(says("routes[40].matcher", "cannot be searched together with others"), "{warnings:#?}");
        assert_eq!(warnings.len(), 2, "{warnings:#?}");
    }
}

#[test]
fn a_matcher_in_another_syntax_draws_a_warning_at_the_start() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(with_keys(Host::builder(profile)));
        host.start_plugin(config(json!({"routes": [{"method": "PUT", "matcher": "~/profile"}]})).to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        assert!(
            matches!(&warnings[..], [line] if line.starts_with("routes[0].matcher: begins with `~`")),
            "{warnings:#?}"
        );
    }
    let mut host = load(with_keys(Host::builder(Profile::Envoy)));
    host.start_plugin(config(json!({})).to_string()).unwrap();
    assert_eq!(logged(&mut host, LogLevel::Warn), [""; 0]);
}

#[test]
fn a_status_that_another_gateway_has_for_a_client_that_left_draws_a_warning() {
    for (profile, foreign, own) in [(Profile::Envoy, 499, 0), (Profile::Kong, 0, 499)] {
        let route = |path: &str, status: serde_json::Value| json!({"method": "PUT", "matcher": path, "status": status});
        let routes = [
            route("/both", json!([0, 499])),
            route("/foreign", json!(["2xx", foreign])),
            route("/own", json!(own)),
            route("/all", json!("4xx")),
        ];
        let mut host = load(with_keys(Host::builder(profile)));
        host.start_plugin(config(json!({"routes": routes})).to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        let [line] = &warnings[..] else { panic!("{warnings:#?}") };
        assert!(line.starts_with(&format!("routes[1].status: {foreign} is not")), "{line}");
        assert!(line.ends_with(&format!("give `{own}` for that")), "{line}");
    }
}

#[test]
fn what_no_request_reaches_draws_a_warning_at_the_start() {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let capture = json!({"method": "POST", "matcher": "^/webhook$", "queue_url": queue});
    let routes = ["/profile", "/profile/settings"].map(|path| json!({"method": "PUT", "matcher": path}));
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(with_keys(Host::builder(profile)));
        host.start_plugin(config(json!({"routes": routes, "capture": [capture, capture]})).to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        assert_eq!(
            warnings.iter().map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>(),
            [
                "routes[1]: is never reached: `routes[0]` takes all that it would match",
                "capture[1]: is never reached: `capture[0]` takes all that it would match",
            ]
        );
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let mut host = load(with_keys(Host::builder(Profile::Envoy)));
    for (text, says) in [
        (b"".as_slice(), "$: the configuration is empty"),
        (b"  \n", "$: the configuration is empty"),
        (b"{\"topic_arn\": ", "$: not valid JSON"),
        (b"topic_arn: x", "$: not valid JSON"),
        (b"\xff\xfe", "$: not valid JSON"),
        (&b"[".repeat(100_000), "$: not valid JSON"),
    ] {
        let lines = refusal(&mut host, text);
        assert!(lines.len() == 1 && lines[0].starts_with(says), "{lines:?}");
    }
}

/// Makes names of Envoy's clusters what Kong can call.
fn give_ports(config: &mut Value) {
    match config {
        Value::Object(entries) => entries.iter_mut().for_each(|(key, value)| match value {
            Value::String(name) if ["upstream", "instance", "container", "sts"].contains(&&**key) => {
                if !name.contains(':') {
                    name.push_str(":443");
                }
            }
            value => give_ports(value),
        }),
        Value::Array(items) => items.iter_mut().for_each(give_ports),
        _ => {}
    }
}

#[test]
fn every_valid_configuration_starts() {
    for entry in std::fs::read_dir(folder().join("valid")).unwrap() {
        let file = entry.unwrap().path();
        // Kong signs nothing, and holds no responses.
        let on_envoy_only = ["host_signs.json", "before_response.json"].iter().any(|name| file.ends_with(name));
        let kong = (!on_envoy_only).then_some(Profile::Kong);
        for profile in [Some(Profile::Envoy), kong].into_iter().flatten() {
            let mut host = load(with_keys(Host::builder(profile)).shared_data(SharedData::new()));
            let mut config: Value = serde_json::from_str(&read(file.clone())).unwrap();
            if profile == Profile::Kong {
                give_ports(&mut config);
            }
            host.start_plugin(config.to_string()).unwrap_or_else(|error| panic!("{} {error}", file.display()));
            assert_eq!(logged(&mut host, LogLevel::Error), [""; 0]);
        }
    }
}

#[test]
fn without_credentials_the_filter_refuses_to_start_and_says_how_to_give_them() {
    let from_environment = config(json!({"credentials": {"source": "environment"}})).to_string();
    let (id, secret) = (("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY));
    for (given, missing) in [
        (vec![], vec!["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        (vec![id], vec!["AWS_SECRET_ACCESS_KEY"]),
        (vec![secret, ("AWS_ACCESS_KEY_ID", "")], vec!["AWS_ACCESS_KEY_ID"]),
    ] {
        let mut host = load(Host::builder(Profile::Envoy).environment(given));
        let lines = refusal(&mut host, &from_environment);
        let expected = format!("credentials: the filter's environment has no {}: ", missing.join(" and no "));
        assert!(lines.len() == 1 && lines[0].starts_with(&expected), "{lines:?}");
        for advice in ["host_env_keys", "nginx_main_env"] {
            assert!(lines[0].contains(advice), "{lines:?}");
        }
    }
    load(with_keys(Host::builder(Profile::Envoy))).start_plugin(&from_environment).unwrap();
}

#[test]
fn a_role_that_only_a_file_has_draws_a_warning_where_the_filter_signs_and_has_no_keys() {
    let file = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token");
    let (id, secret) = (("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY));
    let container = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x");
    for (source, given, is_told) in [
        ("auto", vec![file], true),
        ("auto", vec![file, id, secret], false),
        ("auto", vec![file, container], false),
        ("auto", vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "")], false),
        ("instance", vec![file], false),
        ("host", vec![file], false),
    ] {
        let mut host = load(Host::builder(Profile::Envoy).environment(given));
        host.start_plugin(config(json!({"credentials": {"source": source}})).to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        let is_warning =
            |line: &String| line.contains("AWS_WEB_IDENTITY_TOKEN_FILE (IRSA)") && line.contains(r#""source": "host""#);
        assert_eq!(
            warnings.iter().filter(|line| is_warning(line)).count(),
            usize::from(is_told),
            "{source} {warnings:?}"
        );
    }
}

/// Where secrets could come to light: everything but the headers of the requests to AWS, which are
/// made for them.
fn shown(host: &mut Host) -> String {
    let mut text: Vec<String> = host.logs().iter().map(|line| line.text.clone()).collect();
    text.extend(host.metrics().into_iter().map(|(name, _)| name));
    for callout in host.take_callouts() {
        text.extend(sns::fields(&callout).into_values());
        let token_header = "x-amz-security-token";
        let others = callout.headers.0.iter().filter(|(name, _)| name.as_slice() != token_header.as_bytes());
        text.extend(others.map(|(_, value)| String::from_utf8_lossy(value).into_owned()));
        text.push(callout.upstream);
    }
    text.join("\n")
}

#[test]
fn no_secret_comes_to_light() {
    let redact = json!({"headers": ["X-Internal-Token"], "query": ["token"]});
    let environment = config(json!({"credentials": {"source": "environment"}, "redact": redact}));
    let mut fixed = config(json!({"redact": redact}));
    fixed["credentials"]["session_token"] = json!(SESSION_TOKEN);
    for config in [environment, fixed] {
        let builder =
            with_keys(Host::builder(Profile::Envoy).cluster(UPSTREAM)).env("AWS_SESSION_TOKEN", SESSION_TOKEN);
        let mut host = load(builder);
        host.start_plugin(config.to_string()).unwrap();
        let headers = ["authorization", "Proxy-Authorization", "cookie", "x-api-key", "apikey", "x-amz-security-token"];
        let spec = ExchangeSpec::new("PUT", "/profile?token=hunter2&a=1&%74oken=hunter2")
            .request_header("x-internal-token", "hunter2")
            .request_header("referer", "https://app/?token=hunter2")
            .response_header("set-cookie", "session=hunter2")
            .response_header("location", "/profile?token=hunter2");
        let spec = headers.iter().fold(spec, |spec, name| spec.request_header(name, "hunter2"));
        Way::HttpFilter.run(&mut host, &spec);
        Way::AccessLogger.run(&mut host, &spec);
        Way::HttpFilter.run(&mut host, &put());
        host.advance(TICK * 4).unwrap();
        let mut text = shown(&mut host);
        host.advance(LONG).unwrap();
        host.stop().unwrap();
        text += &shown(&mut host);
        assert!(text.contains("REDACTED") && text.contains("retrohook-dead-letter {"), "{text}");
        for secret in ["hunter2", SECRET_ACCESS_KEY, SESSION_TOKEN] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_secret_in_a_wrong_place_is_not_shown_either() {
    let secrets = [SECRET_ACCESS_KEY, SESSION_TOKEN];
    let mut host = load(Host::builder(Profile::Envoy));
    let keys: BTreeSet<&str> =
        ["topic_arn", "region", "endpoint", "upstream", "credentials", "redact", "timeout_ms"].into();
    for (key, secret) in keys.iter().flat_map(|key| secrets.map(|secret| (key, secret))) {
        let lines = refusal(&mut host, config(json!({*key: secret, "zzz": 1})).to_string());
        assert!(!lines.join("\n").contains(secret), "{lines:?}");
    }
}
