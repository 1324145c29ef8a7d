//! Credentials that the filter gets for itself, on both gateways: asked at the start, ahead of
//! their end and when AWS refuses them, while events wait; and the one call at a time that Kong
//! allows.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, FailureKind, Host, LogLevel, Profile, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{config, count, load, logged, numbers, run_numbered, Way, GATEWAYS, TICK, UPSTREAM};

const IMDS: &str = "169.254.169.254:80";
const STS: &str = "sts.us-east-1.amazonaws.com:443";
const SECRET: &str = "hunter2";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

fn start(way: Way, credentials: Value) -> Host {
    let mut host = load(way.builder().cluster(IMDS).cluster(STS));
    host.start_plugin(config(json!({"credentials": credentials})).to_string()).unwrap();
    host
}

/// A date of 2026-01-01, `seconds` after noon.
fn date(seconds: u64) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", 12 + seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A metadata service and an SNS, which takes a call only if it is signed with the newest keys.
struct World {
    /// Serves keys of this number, which live until so many seconds after noon.
    keys: (u32, u64),
    /// What SNS accepts.
    accepted: u32,
    refusal: &'static str,
    delivered: Vec<usize>,
    signed_with: Vec<u32>,
    asked_for_keys: usize,
}

impl World {
    fn new() -> World {
        World {
            keys: (1, 3_600),
            accepted: 1,
            refusal: "ExpiredToken",
            delivered: vec![],
            signed_with: vec![],
            asked_for_keys: 0,
        }
    }

    fn answer(&mut self, callout: &Callout) -> Response {
        let (method, path) = (callout.header(":method").unwrap(), callout.header(":path").unwrap());
        match (callout.upstream.as_str(), method.as_str(), path.as_str()) {
            (IMDS, "PUT", "/latest/api/token") => Response::new(200).body("imds-token"),
            (IMDS, "GET", ROLES) => Response::new(200).body("gateway"),
            (IMDS, "GET", _) => {
                assert_eq!(callout.header("x-aws-ec2-metadata-token").as_deref(), Some("imds-token"));
                self.asked_for_keys += 1;
                let (number, end) = self.keys;
                Response::new(200).body(format!(
                    r#"{{"Code":"Success","AccessKeyId":"ASIA{number}","SecretAccessKey":"{SECRET}","Token":"{SECRET}",
                    "Expiration":"{}"}}"#,
                    date(end)
                ))
            }
            _ => {
                let authorization = callout.header("authorization").unwrap();
                let id = authorization.split("Credential=ASIA").nth(1).unwrap().split('/').next().unwrap();
                self.signed_with.push(id.parse().unwrap());
                if id != self.accepted.to_string() {
                    let refusal = self.refusal;
                    let body = format!(
                        "<ErrorResponse><Error><Code>{refusal}</Code><Message>m</Message></Error></ErrorResponse>"
                    );
                    return Response::new(403).body(body);
                }
                self.delivered.extend(numbers(&sns::entries(callout)));
                sns::accept(callout)
            }
        }
    }

    /// Lets time pass, in which everything is answered at once.
    fn run(&mut self, host: &mut Host, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = TICK.min(left);
            host.advance(step).unwrap();
            left -= step;
            for callout in host.take_callouts() {
                let response = self.answer(&callout);
                host.respond(callout.token, response).unwrap();
            }
        }
        assert_eq!(host.violations(), []);
        let lines: Vec<String> = host.logs().iter().map(|line| line.text.clone()).collect();
        assert!(!lines.concat().contains(SECRET) && !lines.concat().contains("imds-token"), "{lines:?}");
    }
}

#[test]
fn events_wait_for_the_first_credentials() {
    for way in GATEWAYS {
        let mut host = start(way, json!({"source": "instance"}));
        run_numbered(&mut host, 3);
        host.advance(Duration::from_secs(1)).unwrap();
        let asked = host.take_callouts();
        assert_eq!(asked.iter().map(|callout| callout.upstream.as_str()).collect::<Vec<_>>(), [IMDS], "{way:?}");
        assert_eq!(asked[0].header(":authority").as_deref(), Some("169.254.169.254"));
        let mut world = World::new();
        let token = world.answer(&asked[0]);
        host.respond(asked[0].token, token).unwrap();
        world.run(&mut host, Duration::from_secs(1));
        world.delivered.sort_unstable();
        assert_eq!(world.delivered, [0, 1, 2], "{way:?}");
        let lines = logged(&mut host, LogLevel::Info);
        assert!(lines.iter().any(|line| line.starts_with("credentials: there are some, good for 35")), "{lines:?}");
    }
}

#[test]
fn credentials_are_refreshed_ahead_and_nothing_is_refused() {
    for way in GATEWAYS {
        let (mut host, mut world) = (start(way, json!({"source": "instance"})), World::new());
        world.keys = (1, 60);
        for round in 0..12 {
            run_numbered(&mut host, 5);
            world.run(&mut host, Duration::from_secs(20));
            // The service has new keys twenty seconds after the old: those are still good for a
            // while.
            world.keys = (round + 2, u64::from(round) * 20 + 80);
            world.accepted = *world.signed_with.last().unwrap();
        }
        world.accepted = world.keys.0;
        world.run(&mut host, Duration::from_secs(60));
        assert_eq!(world.delivered.len(), 60, "{way:?}");
        assert_eq!(count(&host, Metric::EventsPublished), 60);
        assert!(world.signed_with.windows(2).all(|pair| pair[0] <= pair[1]), "{way:?} {:?}", world.signed_with);
        assert!(world.asked_for_keys >= 4, "{way:?} {}", world.asked_for_keys);
    }
}

#[test]
fn a_refusal_forces_a_refresh_and_nothing_is_signed_with_the_refused_ones_again() {
    for way in GATEWAYS {
        for refusal in ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"] {
            let (mut host, mut world) = (start(way, json!({"source": "instance"})), World::new());
            world.refusal = refusal;
            run_numbered(&mut host, 3);
            world.run(&mut host, Duration::from_secs(1));
            (world.keys, world.accepted) = ((2, 7_200), 2);
            run_numbered(&mut host, 7);
            world.run(&mut host, Duration::from_secs(10));
            assert_eq!(world.delivered.len(), 10, "{way:?} {refusal}");
            assert_eq!(world.signed_with, [1, 1, 2], "{way:?} {refusal}");
            assert_eq!(world.asked_for_keys, 2, "{way:?} {refusal}");
        }
    }
}

#[test]
fn what_is_refused_for_good_waits_for_others_and_is_not_lost() {
    for way in GATEWAYS {
        let (mut host, mut world) = (start(way, json!({"source": "instance"})), World::new());
        world.accepted = 2;
        run_numbered(&mut host, 7);
        world.run(&mut host, Duration::from_secs(120));
        assert_eq!((&world.signed_with[..], world.delivered.len()), (&[1][..], 0), "{way:?}");
        let lines = logged(&mut host, LogLevel::Error);
        assert!(
            lines[0].contains("there are none, 7 event(s) wait") && lines[0].contains("called expired"),
            "{lines:?}"
        );
        assert!((4..=20).contains(&world.asked_for_keys), "{way:?} {}", world.asked_for_keys);
        world.keys = (2, 7_200);
        world.run(&mut host, Duration::from_secs(60));
        assert_eq!(world.delivered.len(), 7, "{way:?}");
    }
}

#[test]
fn a_service_that_is_down_is_asked_again_and_the_log_says_what_to_check() {
    for way in GATEWAYS {
        let mut host = start(way, json!({"source": "instance"}));
        run_numbered(&mut host, 2);
        for _ in 0..400 {
            host.advance(TICK).unwrap();
            for callout in host.take_callouts() {
                host.fail(callout.token, FailureKind::Refused).unwrap();
            }
        }
        let lines = logged(&mut host, LogLevel::Error);
        assert!(
            lines.len() == 1 && lines[0].contains("hop limit of 2") && lines[0].contains(IMDS),
            "{way:?} {lines:?}"
        );
        let mut world = World::new();
        world.run(&mut host, Duration::from_secs(20));
        assert_eq!(world.delivered.len(), 2, "{way:?}");
    }
}

#[test]
fn a_role_is_assumed_with_one_call_at_a_time() {
    for way in GATEWAYS {
        let source = json!({"source": "static", "access_key_id": "AKID", "secret_access_key": SECRET,
            "assume_role": {"role_arn": "arn:aws:iam::123456789012:role/publisher"}});
        let mut host = start(way, source);
        run_numbered(&mut host, 25);
        host.advance(TICK).unwrap();
        let asked = host.take_callouts();
        assert_eq!(asked.len(), 1, "{way:?}");
        assert_eq!(
            (asked[0].upstream.as_str(), asked[0].header(":authority").unwrap().as_str()),
            (STS, "sts.us-east-1.amazonaws.com")
        );
        assert!(asked[0].header("authorization").unwrap().contains("/us-east-1/sts/aws4_request"));
        let keys = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>{SECRET}\
             </SecretAccessKey><SessionToken>t</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>",
            date(3_600)
        );
        host.respond(asked[0].token, Response::new(200).body(keys)).unwrap();
        let mut world = World::new();
        world.run(&mut host, Duration::from_secs(2));
        assert_eq!(world.delivered.len(), 25, "{way:?}");
    }
}

#[test]
fn where_the_host_signs_the_filter_does_not() {
    let mut host = start(Way::HttpFilter, json!({"source": "host"}));
    run_numbered(&mut host, 1);
    host.advance(Duration::from_secs(1)).unwrap();
    let callout = host.take_callouts().remove(0);
    assert_eq!(callout.upstream, UPSTREAM);
    for name in ["authorization", "x-amz-date", "x-amz-security-token"] {
        assert_eq!(callout.header(name), None, "{name}");
    }
    let mut kong = load(Host::builder(Profile::Kong));
    let refused = kong.start_plugin(config(json!({"credentials": {"source": "host"}})).to_string()).unwrap_err();
    assert!(refused.to_string().contains("Kong signs nothing"), "{refused}");
    let role = json!({"role_arn": "arn:aws:iam::123456789012:role/publisher", "endpoint": "https://10.0.0.7"});
    let refused = kong.start_plugin(config(json!({"credentials": {"assume_role": role}})).to_string()).unwrap_err();
    assert!(refused.to_string().contains("assume_role.endpoint: 10.0.0.7 is an address"), "{refused}");
}
