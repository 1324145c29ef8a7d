//! The sources, one conversation each.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::aws::credentials::settings::Settings;
use crate::callout::testing::response;
use crate::config::Config;
use crate::notice::{Level, Notice};

pub(super) const NOON: Timestamp = Timestamp(1_767_268_800_000);
const SECRETS: [&str; 3] = ["hunter2", "imds-token", "task-token"];
const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"hunter2","Token":"hunter2t",
    "Expiration":"2026-01-01T13:00:00Z"}"#;
const STS_KEYS: &str = "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult>\
    <Credentials><AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
    <SessionToken>hunter2&#43;t</SessionToken><Expiration>2026-01-01T13:00:00Z</Expiration></Credentials>\
    </AssumeRoleResult></AssumeRoleResponse>";
const STS_DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: \
    arn:aws:iam::123456789012:user/gateway is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

fn configured(credentials: serde_json::Value) -> Settings {
    let config = serde_json::json!({
        "topic_arn": "arn:aws:sns:eu-west-1:123456789012:t",
        "routes": [{"method": "PUT", "matcher": "/"}],
        "credentials": credentials,
    });
    Config::from_json(config.to_string().as_bytes()).unwrap().credentials
}

/// A keeper for this configuration and this environment.
fn start(credentials: serde_json::Value, environment: &[(&str, &str)]) -> Result<Option<Keeper>, StartError> {
    let environment =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let (timeout, deadline) = (Duration::from_secs(5), Duration::from_secs(6));
    keeper(&configured(credentials), &environment, timeout, deadline, 7)
}

/// Answers one call after the other; what was asked, as method, upstream and path, with the
/// credentials' headers.
fn converse(keeper: &mut Keeper, replies: &[Reply]) -> Vec<Callout> {
    let mut asked = Vec::new();
    for reply in replies {
        let (call, callout) = keeper.poll(NOON).unwrap();
        asked.push(callout);
        assert!(keeper.poll(NOON).is_none(), "one at a time");
        keeper.handle_reply(call, reply, NOON);
    }
    assert!(keeper.poll(NOON).is_none(), "nothing more is asked");
    asked
}

fn lines(callouts: &[Callout]) -> Vec<String> {
    let line = |Callout { upstream, request, .. }: &Callout| {
        format!("{} {upstream} {}", request.method(), request.uri().path_and_query().unwrap())
    };
    callouts.iter().map(line).collect()
}

fn header<'a>(callout: &'a Callout, name: &str) -> Option<&'a str> {
    callout.request.headers().get(name).map(|value| value.to_str().unwrap())
}

/// The one line of the log, which has no secret.
pub(super) fn told(keeper: &mut Keeper, now: Timestamp) -> Notice {
    let notices = keeper.take_notices(now, 3, 0);
    assert_eq!(notices.len(), 1, "{notices:?}");
    for secret in SECRETS {
        assert!(!notices[0].text.contains(secret), "{notices:?}");
    }
    notices[0].clone()
}

#[test]
fn auto_takes_the_first_that_there_is() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1");
    let auto = || serde_json::json!({});
    let mut keeper = start(auto(), &[keys[0], keys[1], relative]).unwrap().unwrap();
    assert!(keeper.poll(NOON).is_none());
    assert_eq!(keeper.current(NOON).unwrap().1.access_key_id, "AKID");
    assert_eq!(keeper.take_notices(NOON, 0, 0), []);
    let first = |environment: &[(&str, &str)]| {
        lines(&[start(auto(), environment).unwrap().unwrap().poll(NOON).unwrap().1]).remove(0)
    };
    assert_eq!(first(&[relative]), "GET 169.254.170.2:80 /v2/credentials/1");
    assert_eq!(first(&[]), "PUT 169.254.169.254:80 /latest/api/token");
    assert_eq!(start(auto(), &[("AWS_EC2_METADATA_DISABLED", "TRUE")]).err(), Some(StartError::Nothing));
    let half = start(auto(), &keys[..1]).err().unwrap().to_string();
    assert!(half.contains("no AWS_SECRET_ACCESS_KEY"), "half of a key is a mistake: {half}");
    assert!(start(serde_json::json!({"source": "host"}), &keys).unwrap().is_none(), "the host signs");
}

#[test]
fn the_instance_is_asked_by_version_2_only() {
    let mut keeper =
        start(serde_json::json!({"source": "instance", "upstreams": {"instance": "imds"}}), &[]).unwrap().unwrap();
    let replies = [response(200, "imds-token"), response(200, "the-role\n"), response(200, KEYS)];
    let asked = converse(&mut keeper, &replies);
    let roles = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(
        lines(&asked),
        ["PUT imds /latest/api/token".into(), format!("GET imds {roles}"), format!("GET imds {roles}the-role")]
    );
    assert!(header(&asked[0], "x-aws-ec2-metadata-token-ttl-seconds").is_some());
    assert_eq!(header(&asked[2], "x-aws-ec2-metadata-token"), Some("imds-token"));
    let uri = |callout: &Callout| callout.request.uri().to_string();
    assert!(asked.iter().all(|callout| uri(callout).starts_with("http://169.254.169.254/")));
    let (_, credentials) = keeper.current(NOON).unwrap();
    assert_eq!(credentials.access_key_id, "ASIA1");
    assert_eq!(credentials.session_token.as_ref().unwrap().reveal(), "hunter2t");
    assert_eq!(credentials.expires_at, Some(Timestamp(NOON.0 + 3_600_000)));
    assert_eq!(told(&mut keeper, NOON).level, Level::Info);
}

#[test]
fn a_stale_token_of_the_instance_is_renewed_once() {
    let mut keeper = start(serde_json::json!({"source": "instance"}), &[]).unwrap().unwrap();
    let (token, stale, role) = (response(200, "imds-token"), response(401, ""), response(200, "r"));
    let asked =
        converse(&mut keeper, &[token.clone(), role.clone(), stale.clone(), token.clone(), role.clone(), stale]);
    assert_eq!(asked.iter().filter(|callout| callout.request.method() == "PUT").count(), 2);
    assert!(told(&mut keeper, NOON).text.contains("HTTP 401"));
}

#[test]
fn every_failure_says_who_was_asked_what_it_answered_and_what_to_check() {
    let instance = || serde_json::json!({"source": "instance"});
    let container = || serde_json::json!({"source": "container"});
    let role = || {
        serde_json::json!({"source": "static", "access_key_id": "A", "secret_access_key": "hunter2",
        "assume_role": {"role_arn": "arn:aws:iam::123456789012:role/publisher"}})
    };
    let lost = || Reply::NoResponse("timeout".into());
    let (token, name) = (response(200, "imds-token"), response(200, "the-role"));
    let cases: Vec<(serde_json::Value, Vec<Reply>, [&str; 3])> = vec![
        (instance(), vec![lost()], ["169.254.169.254:80", "timeout", "--http-put-response-hop-limit 2"]),
        (instance(), vec![response(503, "hunter2")], ["a session token", "HTTP 503", "hop limit"]),
        (instance(), vec![response(403, "hunter2")], ["metadata service", "HTTP 403", "HttpEndpoint"]),
        (
            instance(),
            vec![token.clone(), response(404, "hunter2")],
            ["name of its role", "HTTP 404", "attach an IAM role"],
        ),
        (
            instance(),
            vec![token.clone(), response(200, "a role\r\n")],
            ["name of its role", "no role", "attach an IAM role"],
        ),
        (
            instance(),
            vec![
                token.clone(),
                name.clone(),
                response(200, r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"hunter2"}"#),
            ],
            ["the role `the-role`", "AssumeRoleUnauthorizedAccess", "trust policy"],
        ),
        (instance(), vec![token, name, response(500, "hunter2")], ["the-role", "HTTP 500", "asked again"]),
        (
            container(),
            vec![response(401, "hunter2")],
            ["169.254.170.2:80", "HTTP 401", "AWS_CONTAINER_AUTHORIZATION_TOKEN"],
        ),
        (container(), vec![response(404, "hunter2")], ["container endpoint", "HTTP 404", "task role"]),
        (container(), vec![response(200, "hunter2")], ["container endpoint", "not its JSON", "something other than"]),
        (
            role(),
            vec![response(403, STS_DENIED)],
            ["role/publisher", "user/gateway is not authorized", "trust policy must name"],
        ),
        (role(), vec![response(502, "hunter2")], ["sts.eu-west-1.amazonaws.com:443", "HTTP 502", "asked again"]),
        (role(), vec![response(200, "hunter2")], ["STS at", "without a usable AccessKeyId", "something other than"]),
        (role(), vec![lost()], ["STS at", "timeout", "cluster of that name"]),
    ];
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "task-token"),
    ];
    for (credentials, replies, says) in cases {
        let mut keeper = start(credentials, &environment).unwrap().unwrap();
        converse(&mut keeper, &replies);
        assert_eq!(keeper.current(NOON), None);
        let notice = told(&mut keeper, NOON);
        assert_eq!(notice.level, Level::Error);
        assert!(notice.text.contains("3 event(s) wait"), "{notice:?}");
        assert!(says.iter().all(|part| notice.text.contains(part)), "{says:?} in {notice:?}");
        assert_eq!(keeper.take_notices(NOON, 3, 0), [], "once");
        assert!(keeper.poll(NOON + Duration::from_secs(1)).is_some(), "it tries again");
    }
}

#[test]
fn the_container_endpoint_is_asked_as_the_environment_says() {
    let ask = |environment: &[(&str, &str)]| start(serde_json::json!({"source": "container"}), environment);
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "task-token");
    for (url, line, authority) in [
        ("http://169.254.170.23/v1/credentials", "GET 169.254.170.23:80 /v1/credentials", "169.254.170.23"),
        ("http://127.0.0.1:8080/get?a=b", "GET 127.0.0.1:8080 /get?a=b", "127.0.0.1:8080"),
        ("https://keys.example.com", "GET keys.example.com:443 /", "keys.example.com"),
    ] {
        let mut keeper = ask(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url), token]).unwrap().unwrap();
        let (call, callout) = keeper.poll(NOON).unwrap();
        assert_eq!(lines(std::slice::from_ref(&callout)), [line]);
        assert_eq!(callout.request.uri().authority().unwrap(), authority);
        assert!(!format!("{callout:?}").contains("task-token"));
        assert_eq!(header(&callout, "authorization"), Some("task-token"));
        keeper.handle_reply(call, &response(200, KEYS), NOON);
        assert_eq!(keeper.current(NOON).unwrap().1.access_key_id, "ASIA1");
    }
    for (environment, says) in [
        (vec![], "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        (vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/keys")], "plain http"),
        (vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "keys")], "is not a URL"),
        (vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "v2 x")], "is not a path"),
        (
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/token"),
            ],
            "source: host",
        ),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2\n")],
            "control character",
        ),
    ] {
        let error = ask(&environment).err().unwrap().to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_role_is_assumed_on_top_of_another_source() {
    let credentials = serde_json::json!({"source": "instance", "upstreams": {"sts": "the-sts"}, "assume_role": {
        "role_arn": "arn:aws:iam::123456789012:role/a/publisher", "external_id": "x:1", "duration_seconds": 900}});
    let mut keeper = start(credentials, &[]).unwrap().unwrap();
    let replies = [response(200, "t"), response(200, "r"), response(200, KEYS), response(200, STS_KEYS)];
    let asked = converse(&mut keeper, &replies);
    let sts = &asked[3];
    assert_eq!(lines(std::slice::from_ref(sts)), ["POST the-sts /"]);
    assert_eq!(sts.request.uri().authority().unwrap(), "sts.eu-west-1.amazonaws.com");
    assert_eq!(
        String::from_utf8_lossy(sts.request.body()),
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa%2Fpublisher&\
         RoleSessionName=retrohook&DurationSeconds=900&ExternalId=x%3A1"
    );
    assert!(header(sts, "authorization").unwrap().contains("Credential=ASIA1/20260101/eu-west-1/sts/aws4_request"));
    assert_eq!(header(sts, "x-amz-security-token"), Some("hunter2t"));
    let (_, credentials) = keeper.current(NOON).unwrap();
    assert_eq!(credentials.access_key_id, "ASIA2");
    assert_eq!(credentials.session_token.as_ref().unwrap().reveal(), "hunter2+t");
}

proptest! {
    #[test]
    fn no_reply_makes_a_source_panic(replies in proptest::collection::vec((100u16..1_000, any::<Vec<u8>>()), 0..20), which in 0usize..3) {
        let credentials = [
            serde_json::json!({"source": "instance"}),
            serde_json::json!({"source": "container"}),
            serde_json::json!({"source": "static", "access_key_id": "A", "secret_access_key": "s",
                "assume_role": {"role_arn": "arn:aws:iam::123456789012:role/publisher"}}),
        ][which].clone();
        let environment = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a")];
        let mut keeper = start(credentials, &environment).unwrap().unwrap();
        let mut now = NOON;
        for (status, body) in replies {
            now = now + Duration::from_secs(30);
            if let Some((call, _)) = keeper.poll(now) {
                keeper.handle_reply(call, &response(if status % 2 == 0 { 200 } else { status }, body), now);
            }
        }
    }
}

#[test]
fn the_line_about_missing_credentials_says_what_waits_for_them() {
    for (events, webhooks, says) in [
        (0, 0, "credentials: there are none, and it will be tried again: "),
        (3, 0, "credentials: there are none, 3 event(s) wait, and it will be tried again: "),
        (0, 2, "credentials: there are none, 2 webhook(s) wait, and it will be tried again: "),
        (3, 2, "credentials: there are none, 3 event(s) and 2 webhook(s) wait, and it will be tried again: "),
    ] {
        let mut keeper = start(serde_json::json!({"source": "instance"}), &[]).unwrap().unwrap();
        converse(&mut keeper, &[Reply::NoResponse("timeout".into())]);
        let notice = keeper.take_notices(NOON, events, webhooks).remove(0);
        assert!(notice.text.starts_with(says), "{notice:?}");
    }
}
