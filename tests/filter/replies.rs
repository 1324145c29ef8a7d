//! What SNS answers, or does not: each event is settled on its own, and nothing that a peer sends
//! stops the filter.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, FailureKind, Host, LogLevel, Profile, Response};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::sns::{self, Entry, Fate};
use crate::support::{
    config, count, deliver, load, logged, numbered, numbers, put, run_numbered, start, Way, GATEWAYS, LONG, MAX_DELAY,
    TICK, UPSTREAM,
};

const EVENTS: usize = 3;

/// What a peer does with a request.
enum Answer {
    Reply(fn(&Callout) -> Response),
    Failure(FailureKind),
}

/// What is to come of the events of a request that gets such an answer.
struct Case {
    name: &'static str,
    answer: Answer,
    /// Those that are sent again.
    again: &'static [usize],
    /// Those that are lost, because SNS will never take them.
    refused: u64,
    counted: Metric,
}

const ALL: &[usize] = &[0, 1, 2];

fn reply(name: &'static str, again: &'static [usize], refused: u64, reply: fn(&Callout) -> Response) -> Case {
    Case { name, answer: Answer::Reply(reply), again, refused, counted: Metric::CalloutsOk }
}

fn error(name: &'static str, reply: fn(&Callout) -> Response) -> Case {
    Case { name, answer: Answer::Reply(reply), again: ALL, refused: 0, counted: Metric::CalloutsError }
}

fn failure(name: &'static str, kind: FailureKind, counted: Metric) -> Case {
    Case { name, answer: Answer::Failure(kind), again: ALL, refused: 0, counted }
}

fn ok(body: impl AsRef<[u8]>) -> Response {
    Response::new(200).body(body)
}

fn cases() -> Vec<Case> {
    use Fate::{Delivered, Failed, Unmentioned};
    const TAKEN: &str = "<member><Id>0</Id><MessageId>m</MessageId></member>";
    vec![
        reply("all delivered", &[], 0, sns::accept),
        reply("one failed", &[1], 0, |callout| {
            sns::reply(callout, &[Delivered, Failed("InternalError", false), Delivered])
        }),
        reply("one throttled, one refused for good", &[0], 1, |callout| {
            sns::reply(callout, &[Failed("Throttled", true), Failed("InvalidParameter", true), Delivered])
        }),
        reply("all failed, each for its own reason", &[0, 2], 1, |callout| {
            let bad = Failed("InvalidParameter", true);
            sns::reply(callout, &[Failed("InternalError", false), bad, Failed("New", false)])
        }),
        reply("one failed for its target's key", &[1], 0, |callout| {
            sns::reply(callout, &[Delivered, Failed("KMSDisabled", true), Delivered])
        }),
        reply("one failed for an unknown fault of its sender", &[1], 0, |callout| {
            sns::reply(callout, &[Delivered, Failed("New", true), Delivered])
        }),
        reply("all failed for their target", ALL, 0, |callout| {
            let denied = Failed("AccessDenied", true);
            sns::reply(callout, &[denied, Failed("KMSNotFound", true), denied])
        }),
        reply("one not mentioned", &[2], 0, |callout| sns::reply(callout, &[Delivered, Delivered, Unmentioned])),
        reply("none mentioned", ALL, 0, |_| ok(sns::batch_reply_of("", ""))),
        reply("unknown ids", &[1, 2], 0, |_| {
            let ids = ["7", "-1", "+1", "01", "", "x", "4294967297"];
            let strange: String = ids.iter().map(|id| sns::member(id, Delivered)).collect();
            ok(sns::batch_reply_of(&(strange + TAKEN), ""))
        }),
        reply("an id twice", &[0], 0, |_| {
            let failed = sns::member("0", Failed("InternalError", false));
            let successful: String = ["0", "1", "2"].map(|id| sns::member(id, Delivered)).concat();
            ok(sns::batch_reply_of(&successful, &failed))
        }),
        reply("a reply to another action", ALL, 0, |_| {
            ok("<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>")
        }),
        reply("no body", ALL, 0, |_| Response::new(200)),
        reply("5 MB of nothing", ALL, 0, |_| ok(vec![b' '; 5 << 20])),
        reply("5 MB of tags", ALL, 0, |_| ok("<a>".repeat(5 << 18))),
        reply("a whole reply behind 5 MB of comment", ALL, 0, |_| {
            ok(format!("<!--{}-->{}", "x".repeat(5 << 20), sns::batch_reply(&[Delivered; EVENTS])))
        }),
        reply("a whole reply with 5 MB after it", &[], 0, |_| {
            ok(sns::batch_reply(&[Delivered; EVENTS]) + &"x".repeat(5 << 20))
        }),
        reply("no XML", ALL, 0, |_| ok("<html><body>Please log in<br></body>")),
        reply("JSON", ALL, 0, |_| ok("{\"Successful\": [{\"Id\": \"0\"}]}")),
        reply("no UTF-8", ALL, 0, |_| ok([0xff, 0xfe, 0x00, 0x80].repeat(1_000))),
        reply("cut behind the first of the successful", &[1, 2], 0, |_| {
            let whole = sns::batch_reply(&[Delivered; EVENTS]);
            ok(whole.split("<member><Id>1").next().unwrap())
        }),
        reply("cut within the first of the successful", ALL, 0, |_| {
            let whole = sns::batch_reply(&[Delivered; EVENTS]);
            ok(whole.split("</member>").next().unwrap())
        }),
        error("500 without a body", |_| Response::new(500)),
        error("503", |_| sns::refusal(503, "ServiceUnavailable")),
        error("throttling", |_| sns::refusal(400, "Throttling")),
        error("429", |_| Response::new(429).body("slow down")),
        error("throttling with 403", |_| sns::refusal(403, "RequestThrottled")),
        error("429 that names a time", |_| Response::new(429).header("retry-after", "3").body("slow down")),
        error("503 that names a time", |_| sns::refusal(503, "SlowDown").header("x-amz-retry-after", "700")),
        error("429 that names nonsense", |_| Response::new(429).header("retry-after", "soon, \u{1f980}")),
        error("expired token", |_| sns::refusal(403, "ExpiredToken")),
        error("a redirect to somewhere", |_| Response::new(302).header("location", "http://login/")),
        error("502 with 5 MB of HTML", |_| Response::new(502).body("<p>".repeat(5 << 18))),
        error("a status of one digit", |_| Response::new(7)),
        error("denied as a batch", |_| sns::refusal(403, "AuthorizationError")),
        error("a secret that is wrong", |_| sns::refusal(403, "SignatureDoesNotMatch")),
        error("no such topic", |_| sns::refusal(404, "NotFound")),
        error("no such key", |_| sns::refusal(400, "KMS.NotFoundException")),
        error("403 of a proxy", |_| Response::new(403).body("<html>blocked by policy</html>")),
        error("407 without a body", |_| Response::new(407)),
        error("400 with JSON of somebody else", |_| Response::new(400).body(r#"{"error": {"code": 400}}"#)),
        // Refused as one, for what may be the fault of one of them: each is tried once more, alone.
        error("a code that nobody knows", |_| sns::refusal(400, "BrandNew")),
        error("bad as a batch", |_| sns::refusal(400, "InvalidParameter")),
        error("a batch too long", |_| sns::refusal(400, "BatchRequestTooLong")),
        failure("refused", FailureKind::Refused, Metric::CalloutsError),
        failure("timeout of the host", FailureKind::Timeout, Metric::CalloutsError),
        failure("no address", FailureKind::Resolver, Metric::CalloutsError),
        failure("no TLS", FailureKind::TlsHandshake, Metric::CalloutsError),
        failure("closed", FailureKind::ClosedWithoutReply, Metric::CalloutsError),
        failure("no HTTP", FailureKind::NotHttp, Metric::CalloutsError),
        failure("reset", FailureKind::Reset, Metric::CalloutsNoReply),
        failure("cut in the body", FailureKind::CutInBody { declared: 999 }, Metric::CalloutsNoReply),
    ]
}

/// A gateway with one batch under way.
fn under_way(way: Way) -> (Host, Callout, Vec<Entry>) {
    let mut host = way.start(&config(json!({})));
    run_numbered(&mut host, EVENTS);
    host.advance(MAX_DELAY).unwrap();
    let callout = host.take_callouts().remove(0);
    let entries = sns::entries(&callout);
    assert_eq!(numbers(&entries), ALL);
    (host, callout, entries)
}

fn event_ids(entries: &[Entry]) -> Vec<String> {
    let mut ids: Vec<_> = entries.iter().map(|entry| entry.event_id().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn whatever_the_answer_each_event_is_settled_on_its_own() {
    for (way, case) in GATEWAYS.into_iter().flat_map(|way| cases().into_iter().map(move |case| (way, case))) {
        let Case { name, answer, again, refused, counted } = case;
        let (mut host, callout, sent) = under_way(way);
        match answer {
            Answer::Reply(reply) => host.respond(callout.token, reply(&callout)).unwrap(),
            Answer::Failure(kind) => host.fail(callout.token, kind).unwrap(),
        }
        // Envoy answers in the place of a peer that does not, and Kong says that there is no
        // answer.
        let failed = matches!(answer, Answer::Failure(_));
        let counted = if way == Way::Kong && failed { Metric::CalloutsNoReply } else { counted };
        let resent = deliver(&mut host, LONG);
        let expected: Vec<_> = again.iter().map(|number| sent[*number].clone()).collect();
        let mut found = numbers(&resent);
        found.sort_unstable();
        assert_eq!(found, again, "{way:?} {name}");
        assert_eq!(event_ids(&resent), event_ids(&expected), "{way:?} {name}: an event keeps its id");
        let counts =
            [Metric::EventsPublished, Metric::EventsDroppedRefused, Metric::EventsRetried, Metric::QueuedEntries]
                .map(|metric| count(&host, metric));
        assert_eq!(counts, [EVENTS as u64 - refused, refused, again.len() as u64, 0], "{way:?} {name}");
        assert!(count(&host, counted) >= 1, "{way:?} {name}");
        let errors = logged(&mut host, LogLevel::Error);
        let losses = errors.iter().filter(|line| line.contains("event(s) lost")).count();
        assert_eq!(losses as u64, refused, "{way:?} {name}: {errors:?}");
        assert!(errors.len() - losses <= 1, "{way:?} {name}: {errors:?}");
        assert_eq!(count(&host, Metric::TargetsRefused), 0, "{way:?} {name}");
    }
}

#[test]
fn an_event_that_is_refused_alone_and_for_good_is_lost_with_a_line_that_says_why() {
    for (status, code) in [(400, "InvalidParameter"), (400, "ValidationError"), (400, "InvalidParameterValue")] {
        let mut host = start(&config(json!({})));
        Way::HttpFilter.run(&mut host, &put());
        host.advance(MAX_DELAY).unwrap();
        let callout = host.take_callouts().remove(0);
        let event_id = sns::entries(&callout)[0].event_id().to_owned();
        host.respond(callout.token, sns::refusal(status, code)).unwrap();
        assert_eq!(deliver(&mut host, LONG), [], "{code}");
        assert_eq!((count(&host, Metric::EventsDroppedRefused), count(&host, Metric::QueuedEntries)), (1, 0));
        let lines = logged(&mut host, LogLevel::Error);
        assert_eq!(lines, [format!("1 event(s) lost, refused for good: event {event_id}: {code}: because of {code}")]);
    }
}

#[test]
fn a_reply_that_never_comes_is_not_waited_for_and_one_that_comes_too_late_is_ignored() {
    let (mut host, callout, sent) = under_way(Way::HttpFilter);
    Way::HttpFilter.run(&mut host, &numbered(3));
    host.advance(MAX_DELAY).unwrap();
    let other = host.take_callouts().remove(0);
    // The host forgets its own timeout: the filter's is a second longer.
    host.advance_without_timeouts(Duration::from_millis(5_950)).unwrap();
    host.respond(other.token, sns::accept(&other)).unwrap();
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    let resent = deliver(&mut host, LONG);
    assert_eq!(event_ids(&resent), event_ids(&sent));
    assert_eq!(count(&host, Metric::EventsRetried), 3);
    assert_eq!(count(&host, Metric::EventsPublished), 4, "the late reply counts for nothing");
}

#[test]
fn an_upstream_that_the_host_does_not_know_is_tried_until_it_does() {
    let mut host = load(Host::builder(Profile::Envoy));
    host.start_plugin(config(json!({})).to_string()).unwrap();
    run_numbered(&mut host, 100);
    let mut attempts = |work: fn(&mut Host)| host.measure(work).1.calls_of("proxy_http_call");
    assert_eq!(attempts(|host| host.advance(TICK).unwrap()), 1, "for ten full batches");
    assert_eq!(attempts(|host| Way::AccessLogger.run(host, &numbered(100))), 0, "not before the next tick");
    assert!((10..=200).contains(&attempts(|host| host.advance(TICK * 200).unwrap())));
    assert_eq!(host.take_callouts(), []);
    assert!(count(&host, Metric::CalloutsNoReply) >= 3);
    assert_eq!((count(&host, Metric::QueuedEntries), count(&host, Metric::EventsPublished)), (101, 0));
    let lines = host.take_logs();
    let of =
        |level: LogLevel| lines.iter().filter(|line| line.level == level).map(|line| &*line.text).collect::<Vec<_>>();
    let (warnings, errors) = (of(LogLevel::Warn), of(LogLevel::Error));
    let unknown = format!("the host cannot call `{UPSTREAM}`: BadArgument");
    assert!(warnings.len() == 1 && warnings[0].contains(&unknown), "{warnings:?}");
    assert!(
        errors.len() == 1 && errors[0].starts_with(&unknown) && errors[0].contains("name an existing one"),
        "{errors:?}"
    );
    host.add_cluster(UPSTREAM);
    let mut delivered = numbers(&deliver(&mut host, LONG));
    delivered.sort_unstable();
    assert_eq!(delivered, (0..101).collect::<Vec<_>>());
    let recovered = logged(&mut host, LogLevel::Info);
    assert!(recovered.len() == 2 && recovered[0].contains("delivery succeeds again"), "{recovered:?}");
    assert!(recovered[1].contains("the queue has drained"), "{recovered:?}");
}

#[test]
fn an_outage_is_one_line_in_the_log_and_after_it_every_event_is_delivered_once() {
    let mut host = start(&config(json!({})));
    for number in 0..40 {
        Way::HttpFilter.run(&mut host, &numbered(number));
        host.advance(TICK * 20).unwrap();
        for callout in host.take_callouts() {
            host.respond(callout.token, Response::new(503)).unwrap();
        }
    }
    assert_eq!(logged(&mut host, LogLevel::Warn).len(), 1);
    let mut delivered = numbers(&deliver(&mut host, LONG));
    delivered.sort_unstable();
    assert_eq!(delivered, (0..40).collect::<Vec<_>>());
    assert_eq!(logged(&mut host, LogLevel::Warn).len(), 0);
}
