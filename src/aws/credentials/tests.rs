//! The sources, one conversation each, and the keeper with a clock made of numbers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::callout::Scheme;
use crate::config::Config;
use crate::notice::{Level, Notice};

const NOON: Timestamp = Timestamp(1_767_268_800_000);
const SECRETS: [&str; 3] = ["hunter2", "imds-token", "task-token"];
const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"hunter2","Token":"hunter2t",
    "Expiration":"2026-01-01T13:00:00Z"}"#;
const STS_KEYS: &str = "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult>\
    <Credentials><AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
    <SessionToken>hunter2&#43;t</SessionToken><Expiration>2026-01-01T13:00:00Z</Expiration></Credentials>\
    </AssumeRoleResult></AssumeRoleResponse>";
const STS_DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: \
    arn:aws:iam::123456789012:user/gateway is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

fn configured(credentials: serde_json::Value) -> CredentialConfigured {
    let config = serde_json::json!({
        "topic_arn": "arn:aws:sns:eu-west-1:123456789012:t",
        "routes": [{"method": "PUT", "matcher": "/"}],
        "credentials": credentials,
    });
    Config::from_json(config.to_string().as_bytes()).unwrap().credentials
}

type CredentialConfigured = crate::config::CredentialConfig;

/// A keeper for this configuration and this environment.
fn start(credentials: serde_json::Value, environment: &[(&str, &str)]) -> Result<Option<Keeper>, StartError> {
    let environment =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let (timeout, deadline) = (Duration::from_secs(5), Duration::from_secs(6));
    keeper(&configured(credentials), &environment, timeout, deadline, 7)
}

fn response(status: u16, body: &str) -> Reply {
    Reply::Response { status, body: body.into() }
}

/// Answers one call after the other; what was asked, as method, upstream and path, with the credentials' headers.
fn converse(keeper: &mut Keeper, replies: &[Reply]) -> Vec<Callout> {
    let mut asked = Vec::new();
    for reply in replies {
        let (call, callout) = keeper.poll(NOON).unwrap();
        asked.push(callout);
        assert_eq!(keeper.poll(NOON), None, "one at a time");
        keeper.handle_reply(call, reply, NOON);
    }
    assert_eq!(keeper.poll(NOON), None, "nothing more is asked");
    asked
}

fn lines(callouts: &[Callout]) -> Vec<String> {
    callouts.iter().map(|callout| format!("{} {} {}", callout.method, callout.upstream, callout.path)).collect()
}

fn header<'a>(callout: &'a Callout, name: &str) -> Option<&'a str> {
    callout.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The one line of the log, which has no secret.
fn told(keeper: &mut Keeper, now: Timestamp) -> Notice {
    let notices = keeper.take_notices(now, 3);
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
    assert_eq!(keeper.poll(NOON), None);
    assert_eq!(keeper.current(NOON).unwrap().1.access_key_id, "AKID");
    assert_eq!(keeper.take_notices(NOON, 0), []);
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
    assert!(asked.iter().all(|callout| callout.authority == "169.254.169.254" && callout.scheme == Scheme::Http));
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
    assert_eq!(asked.iter().filter(|callout| callout.method == "PUT").count(), 2);
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
        (container(), vec![response(200, "hunter2")], ["container endpoint", "not its JSON", "something else"]),
        (
            role(),
            vec![response(403, STS_DENIED)],
            ["role/publisher", "user/gateway is not authorized", "trust policy must name"],
        ),
        (role(), vec![response(502, "hunter2")], ["sts.eu-west-1.amazonaws.com:443", "HTTP 502", "asked again"]),
        (role(), vec![response(200, "hunter2")], ["STS at", "without a usable AccessKeyId", "something else"]),
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
        assert_eq!(keeper.take_notices(NOON, 3), [], "once");
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
        assert_eq!((lines(std::slice::from_ref(&callout))[0].as_str(), callout.authority.as_str()), (line, authority));
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
    assert_eq!(sts.authority, "sts.eu-west-1.amazonaws.com");
    assert_eq!(
        String::from_utf8_lossy(&sts.body),
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa%2Fpublisher&\
         RoleSessionName=retrohook&DurationSeconds=900&ExternalId=x%3A1"
    );
    assert!(header(sts, "authorization").unwrap().contains("Credential=ASIA1/20260101/eu-west-1/sts/aws4_request"));
    assert_eq!(header(sts, "x-amz-security-token"), Some("hunter2t"));
    let (_, credentials) = keeper.current(NOON).unwrap();
    assert_eq!(credentials.access_key_id, "ASIA2");
    assert_eq!(credentials.session_token.as_ref().unwrap().reveal(), "hunter2+t");
}

/// A source that says what it is told to, with one call for each.
#[derive(Clone)]
struct Scripted(Rc<RefCell<Script>>);

struct Script {
    answer: Result<Credentials, SourceError>,
    asked: usize,
}

impl Provider for Scripted {
    fn begin(&mut self, _: Timestamp) -> Step {
        self.0.borrow_mut().asked += 1;
        Step::Call(Callout {
            upstream: "source".into(),
            scheme: Scheme::Http,
            method: "GET",
            authority: "source".into(),
            path: "/".into(),
            headers: vec![],
            body: vec![],
            timeout: Duration::from_secs(1),
        })
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        match reply {
            Reply::Response { .. } => Step::Done(self.0.borrow().answer.clone()),
            Reply::NoResponse(_) => Step::Done(Err(down())),
        }
    }
}

fn down() -> SourceError {
    SourceError::new("the source", "nothing", "whether it is there")
}

fn keys(id: u32, expires_at: Option<Timestamp>) -> Credentials {
    Credentials {
        access_key_id: format!("ASIA{id}"),
        secret_access_key: Secret::new("hunter2"),
        session_token: Some(Secret::new("hunter2")),
        expires_at,
    }
}

fn scripted(answer: Result<Credentials, SourceError>, seed: u64) -> (Keeper, Rc<RefCell<Script>>) {
    let script = Rc::new(RefCell::new(Script { answer, asked: 0 }));
    (Keeper::new(Box::new(Scripted(script.clone())), Timing::default(), seed), script)
}

/// Lets time pass up to `until`, a second at a time, in which every call is answered at once.
fn run(keeper: &mut Keeper, from: Timestamp, until: Timestamp) {
    let mut now = from;
    while now <= until {
        if let Some((call, _)) = keeper.poll(now) {
            keeper.handle_reply(call, &response(200, ""), now);
        }
        now = now + Duration::from_secs(1);
    }
}

fn at(seconds: u64) -> Timestamp {
    NOON + Duration::from_secs(seconds)
}

fn id(keeper: &Keeper, now: Timestamp) -> Option<&str> {
    keeper.current(now).map(|(_, credentials)| credentials.access_key_id.as_str())
}

#[test]
fn credentials_are_refreshed_ahead_of_their_end_and_not_in_step() {
    let mut moments = Vec::new();
    for seed in 0..20 {
        let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), seed);
        run(&mut keeper, NOON, at(3_600 - 361));
        assert_eq!(script.borrow().asked, 1, "not before a minute more than five before the end");
        script.borrow_mut().answer = Ok(keys(2, Some(at(7_200))));
        let first = (3_600 - 361..3_600).find(|seconds| {
            run(&mut keeper, at(*seconds), at(*seconds));
            id(&keeper, at(*seconds)) == Some("ASIA2")
        });
        moments.push(first.unwrap());
        assert_eq!(script.borrow().asked, 2);
    }
    assert!(moments.iter().all(|moment| (3_240..=3_301).contains(moment)), "{moments:?}");
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 5, "{moments:?}");
}

#[test]
fn a_source_that_has_nothing_newer_is_asked_a_few_times_more() {
    let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), 7);
    run(&mut keeper, NOON, at(3_599));
    assert!((5..=14).contains(&script.borrow().asked), "{}", script.borrow().asked);
    assert_eq!(id(&keeper, at(3_599)), Some("ASIA1"));
}

#[test]
fn the_old_ones_are_kept_for_a_grace_time_while_the_source_is_down() {
    let (mut keeper, script) = scripted(Ok(keys(1, Some(at(3_600)))), 7);
    run(&mut keeper, NOON, at(10));
    assert_eq!(told(&mut keeper, at(10)).level, Level::Info);
    script.borrow_mut().answer = Err(down());
    run(&mut keeper, at(11), at(3_599));
    assert_eq!(told(&mut keeper, at(3_599)).level, Level::Warn);
    run(&mut keeper, at(3_600), at(4_199));
    assert_eq!(id(&keeper, at(4_199)), Some("ASIA1"), "ten minutes at least");
    run(&mut keeper, at(4_200), at(4_501));
    assert_eq!(id(&keeper, at(4_501)), None, "fifteen at most");
    assert_eq!(told(&mut keeper, at(4_501)).level, Level::Error);
    let asked = script.borrow().asked;
    run(&mut keeper, at(4_502), at(4_502 + 600));
    assert!((20..=45).contains(&(script.borrow().asked - asked)), "every 15 to 30 seconds");
    script.borrow_mut().answer = Ok(keys(2, Some(at(9_000))));
    run(&mut keeper, at(5_103), at(5_140));
    assert_eq!(id(&keeper, at(5_140)), Some("ASIA2"));
    assert_eq!(told(&mut keeper, at(5_140)).level, Level::Info);
}

#[test]
fn while_the_source_is_asked_what_has_ended_is_not_used() {
    let (mut keeper, _) = scripted(Ok(keys(1, Some(at(10)))), 7);
    run(&mut keeper, NOON, NOON);
    let (call, _) = keeper.poll(at(9)).unwrap();
    assert_eq!((id(&keeper, at(9)), id(&keeper, at(10))), (Some("ASIA1"), None));
    keeper.handle_reply(call, &Reply::NoResponse("timeout".into()), at(11));
    assert_eq!(id(&keeper, at(11)), Some("ASIA1"), "the source is down");
}

#[test]
fn what_has_expired_by_aws_s_word_is_never_used_again() {
    let (mut keeper, script) = scripted(Ok(keys(1, None)), 7);
    run(&mut keeper, NOON, NOON);
    let generation = keeper.current(NOON).unwrap().0;
    keeper.refused(generation, true, at(60));
    assert_eq!(id(&keeper, at(60)), None);
    run(&mut keeper, at(60), at(600));
    assert_eq!(id(&keeper, at(600)), None);
    assert!(told(&mut keeper, at(600)).text.contains("the same ones again that AWS has called expired"));
    script.borrow_mut().answer = Ok(keys(2, None));
    run(&mut keeper, at(601), at(640));
    assert_eq!(id(&keeper, at(640)), Some("ASIA2"));
    keeper.refused(generation, true, at(641));
    assert_eq!(id(&keeper, at(641)), Some("ASIA2"), "a late refusal of the old ones says nothing of the new");
}

#[test]
fn what_aws_does_not_know_may_be_new_and_is_tried_again_after_a_pause() {
    let (mut keeper, _) = scripted(Ok(keys(1, None)), 7);
    run(&mut keeper, NOON, NOON);
    for (round, most) in [(0, 2), (1, 3), (2, 5), (3, 9)] {
        let now = at(100 * round + 60);
        let generation = keeper.current(now).unwrap().0;
        keeper.refused(generation, false, now);
        assert_eq!(id(&keeper, now), None);
        run(&mut keeper, now, now + Duration::from_secs(most));
        assert_eq!(id(&keeper, now + Duration::from_secs(most)), Some("ASIA1"), "{round}");
    }
}

#[test]
fn a_call_without_an_answer_is_given_up_at_its_deadline() {
    let (mut keeper, script) = scripted(Ok(keys(1, None)), 7);
    let (lost, _) = keeper.poll(NOON).unwrap();
    assert_eq!(keeper.poll(at(5)), None);
    assert_eq!(keeper.poll(at(6)), None, "given up, and a pause");
    let (call, _) = keeper.poll(at(7)).unwrap();
    keeper.handle_reply(lost, &response(200, ""), at(7));
    assert_eq!((id(&keeper, at(7)), script.borrow().asked), (None, 2), "a late reply counts for nothing");
    keeper.handle_reply(call, &response(200, ""), at(7));
    assert_eq!(id(&keeper, at(7)), Some("ASIA1"));
}

#[derive(Clone, Debug)]
enum Happens {
    Pass(u64),
    Answer(Option<u32>, Option<u32>),
    Lost,
    Refuse(bool),
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        4 => (1u64..400_000).prop_map(Happens::Pass),
        4 => (proptest::option::of(0u32..4), proptest::option::of(0u32..4_000)).prop_map(|(id, life)| Happens::Answer(id, life)),
        1 => Just(Happens::Lost),
        2 => any::<bool>().prop_map(Happens::Refuse),
    ];
    proptest::collection::vec(one, 1..120)
}

proptest! {
    #[test]
    fn nothing_expired_or_refused_is_handed_out_and_it_never_stops_trying(happenings in happenings(), seed: u64) {
        let (mut keeper, script) = scripted(Err(down()), seed);
        let (mut now, mut expired) = (NOON, Vec::new());
        let mut under_way: Option<CredentialsCall> = None;
        for happens in happenings {
            match happens {
                Happens::Pass(millis) => now = now + Duration::from_millis(millis),
                Happens::Answer(id, life) => {
                    let life = life.map(|seconds| now + Duration::from_secs(seconds.into()));
                    script.borrow_mut().answer = id.map(|id| keys(id, life)).ok_or_else(down);
                    if let Some(call) = under_way.take() {
                        keeper.handle_reply(call, &response(200, ""), now);
                    }
                }
                Happens::Lost => under_way = None,
                Happens::Refuse(for_good) => {
                    if let Some((generation, credentials)) = keeper.current(now) {
                        if for_good {
                            expired.push(credentials.clone());
                        }
                        keeper.refused(generation, for_good, now);
                        prop_assert_eq!(keeper.current(now), None);
                    }
                }
            }
            if let Some((call, _)) = keeper.poll(now) {
                prop_assert!(under_way.is_none_or(|call| !keeper.awaits(call)), "one at a time");
                under_way = Some(call);
            }
            if let Some((_, credentials)) = keeper.current(now) {
                prop_assert!(expired.last() != Some(credentials));
                let grace = Duration::from_secs(900);
                prop_assert!(credentials.expires_at.is_none_or(|end| now < end + grace));
            }
            // Unless what it has lasts for ever, there is a next call within an hour.
            if keeper.current(now).is_none_or(|(_, credentials)| credentials.expires_at.is_some()) {
                let later = now + Duration::from_secs(4_000);
                prop_assert!(keeper.is_busy(later), "it has stopped");
            }
        }
        // And as soon as the source has something, so has the keeper.
        script.borrow_mut().answer = Ok(keys(9, None));
        run(&mut keeper, now + Duration::from_secs(7), now + Duration::from_secs(4_100));
        let got = keeper.current(now + Duration::from_secs(4_100)).map(|(_, credentials)| credentials.expires_at);
        prop_assert_eq!(got, Some(None));
    }

    #[test]
    fn no_reply_makes_a_source_panic(replies: Vec<(u16, Vec<u8>)>, which in 0usize..3) {
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
                let status = if status % 2 == 0 { 200 } else { status };
                keeper.handle_reply(call, &Reply::Response { status, body }, now);
            }
        }
    }
}
