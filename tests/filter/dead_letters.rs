//! What becomes of an event that will not be delivered: a dead letter in the log, from which it can
//! be sent again.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, LogLevel, Response};
use retrohook::metrics::Metric;
use retrohook::publish::dead_letter::{END, PART, WHOLE};
use serde_json::{json, Value};

use crate::support::sns::{self, Entry};
use crate::support::sqs;
use crate::support::{
    config, count, deliver, load, numbered, put, run_numbered, Way, GATEWAYS, LONG, MAX_DELAY, TICK, TOPIC,
};

/// The letters among log lines, as a reader of the log puts them together.
pub(crate) fn letters(lines: &[String]) -> Vec<Value> {
    let mut texts: Vec<String> = Vec::new();
    for line in lines {
        let Some(line) = line.strip_suffix(END) else { continue };
        if let Some(json) = line.strip_prefix(WHOLE) {
            texts.push(json.to_owned());
        } else if let Some(part) = line.strip_prefix(PART) {
            let [_, place, piece] = part.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
            if place.starts_with("1/") {
                texts.push(String::new());
            }
            texts.last_mut().unwrap().push_str(piece);
        }
    }
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The letters since the last look at the log.
pub(crate) fn written(host: &mut Host) -> Vec<Value> {
    let lines: Vec<_> = host.take_logs().into_iter().filter(|line| line.level == LogLevel::Error).collect();
    letters(&lines.into_iter().map(|line| line.text).collect::<Vec<_>>())
}

/// Lets SNS refuse what is sent.
fn refuse(host: &mut Host) {
    host.advance(MAX_DELAY).unwrap();
    for callout in host.take_callouts() {
        host.respond(callout.token, sns::refusal(400, "InvalidParameter")).unwrap();
    }
    host.advance(MAX_DELAY).unwrap();
}

fn long(number: usize) -> ExchangeSpec {
    numbered(number).request_header("x-long", "é\u{2028}".repeat(4_000))
}

#[test]
fn what_aws_refuses_is_written_whole_however_long_a_line_may_be() {
    for way in GATEWAYS {
        for spec in [put(), long(7)] {
            let mut host = way.start(&config(json!({})));
            way.run(&mut host, &spec);
            let mut lines = Vec::new();
            host.advance(MAX_DELAY).unwrap();
            let callout = host.take_callouts().remove(0);
            let sent = sns::entries(&callout).remove(0);
            host.respond(callout.token, sns::refusal(400, "InvalidParameter")).unwrap();
            host.advance(MAX_DELAY).unwrap();
            lines.extend(host.take_logs().into_iter().map(|line| line.text));
            if way == Way::Kong {
                assert!(lines.iter().all(|line| line.len() <= 3_800), "Kong cuts longer ones");
            }
            let [letter] = &letters(&lines)[..] else { panic!("{way:?} {lines:?}") };
            assert_eq!((&letter["reason"], &letter["id"]), (&json!("refused"), &json!(sent.event_id())));
            assert_eq!(letter["target"], json!({"topic_arn": TOPIC, "region": "us-east-1"}));
            assert!(letter["error"].as_str().unwrap().starts_with("InvalidParameter"), "{letter}");
            let message: Value = serde_json::from_str(letter["message"].as_str().unwrap()).unwrap();
            assert_eq!(message, sent.message);
            for (name, (data_type, value)) in &sent.attributes {
                assert_eq!(letter["attributes"][name], json!({"type": data_type, "value": value}));
            }
        }
    }
}

#[test]
fn every_reason_has_its_letters() {
    let queue = |queue: Value| config(json!({"queue": queue}));
    for way in GATEWAYS {
        for (reason, settings, time) in [
            ("queue_full", queue(json!({"max_entries": 1})), Duration::ZERO),
            ("expired", queue(json!({"max_age_seconds": 1})), Duration::from_secs(2)),
        ] {
            let mut host = way.start(&settings);
            (0..3).for_each(|number| way.run(&mut host, &numbered(number)));
            host.advance(MAX_DELAY + time).unwrap();
            for callout in host.take_callouts() {
                host.respond(callout.token, Response::new(500)).unwrap();
            }
            host.advance(MAX_DELAY).unwrap();
            let lost = count(&host, Metric::EventsDroppedQueueFull) + count(&host, Metric::EventsDroppedExpired);
            let found = written(&mut host);
            assert!(lost > 0 && found.len() as u64 == lost, "{way:?} {reason}: {lost} lost, {} written", found.len());
            assert!(found.iter().any(|letter| letter["reason"] == reason), "{way:?} {found:?}");
        }
    }
}

#[test]
fn every_line_of_a_letter_bears_the_mark_of_the_configuration() {
    let mark = "9f3a-Mark_of-this-gateway";
    for (way, spec) in GATEWAYS.into_iter().flat_map(|way| [(way, put()), (way, long(7))]) {
        let mut host = load(way.builder().env("MARK", mark));
        host.start_plugin(config(json!({"dead_letter": {"mark": "${env.MARK}"}})).to_string()).unwrap();
        way.run(&mut host, &spec);
        refuse(&mut host);
        let logs: Vec<String> = host.take_logs().into_iter().map(|line| line.text).collect();
        let lines: Vec<&String> = logs.iter().filter(|line| line.starts_with("retrohook-dead-letter")).collect();
        let begins = |line: &str| [WHOLE, PART].iter().any(|begin| line.starts_with(&format!("{begin}{mark} ")));
        assert!(lines.iter().all(|line| begins(line)), "{way:?} {lines:?}");
        if way == Way::Kong {
            assert!(lines.iter().all(|line| line.len() <= 3_800), "{way:?}");
        }
        let plain: Vec<String> = lines.iter().map(|line| line.replacen(&format!("{mark} "), "", 1)).collect();
        assert_eq!(letters(&plain).len(), 1, "{way:?}");
        assert!(!logs.iter().any(|line| line.contains(mark) && !line.starts_with("retrohook-dead-letter")));
    }
}

#[test]
fn no_letter_is_written_where_none_is_wanted() {
    let mut host = Way::HttpFilter.start(&config(json!({"dead_letter": {"log": false}})));
    Way::HttpFilter.run(&mut host, &put());
    refuse(&mut host);
    assert_eq!(count(&host, Metric::EventsDroppedRefused), 1);
    assert_eq!(written(&mut host), Vec::<Value>::new());
}

#[test]
fn what_is_redacted_in_an_event_is_redacted_in_its_letter() {
    let mut host = Way::HttpFilter.start(&config(json!({"redact": {"query": ["token"]}})));
    let spec = ExchangeSpec::new("PUT", "/mockbin/profile?token=hunter2").request_header("authorization", "hunter2");
    Way::HttpFilter.run(&mut host, &spec);
    refuse(&mut host);
    let lines: Vec<_> = host.take_logs().into_iter().map(|line| line.text).collect();
    assert_eq!(letters(&lines).len(), 1);
    assert!(lines.iter().all(|line| !line.contains("hunter2")), "{lines:?}");
    assert_eq!(deliver(&mut host, LONG), []);
}

const DEAD_LETTERS: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters";

/// A gateway whose dead letters go to a queue.
pub(crate) fn with_dead_letter_queue(way: Way) -> Host {
    let settings = config(json!({"dead_letter": {"queue_url": DEAD_LETTERS}, "max_in_flight": 8}));
    let builder = match way {
        Way::Kong => way.builder(),
        _ => way.builder().cluster("sqs.us-east-1.amazonaws.com:443"),
    };
    let mut host = load(builder);
    host.start_plugin(settings.to_string()).unwrap();
    host
}

/// Lets SNS refuse everything for a while, and the queue answer as `queue` says. Gives the letters
/// that were sent there.
pub(crate) fn refused_by_sns(host: &mut Host, queue: fn(&Callout) -> Response) -> Vec<Entry> {
    let mut letters = Vec::new();
    for _ in 0..40 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            let reply = if callout.header("x-amz-target").is_some() {
                letters.extend(sqs::messages(&callout).1);
                queue(&callout)
            } else {
                sns::refusal(400, "InvalidParameter")
            };
            host.respond(callout.token, reply).unwrap();
        }
    }
    letters
}

#[test]
fn letters_go_to_a_queue_where_there_is_one() {
    for way in GATEWAYS {
        let mut host = with_dead_letter_queue(way);
        (0..3).for_each(|number| way.run(&mut host, &numbered(number)));
        let sent = refused_by_sns(&mut host, sqs::accept);
        assert_eq!(sent.len(), 3, "{way:?}");
        for letter in &sent {
            assert_eq!(letter.message["reason"], "refused");
            assert_eq!(letter.attribute("event_id").unwrap().1, letter.message["id"].as_str().unwrap());
            assert_eq!(letter.attribute("reason"), Some(("String", "refused")));
        }
        assert_eq!(written(&mut host), Vec::<Value>::new(), "the queue has them");
        let counted = [Metric::EventsDroppedRefused, Metric::DeadLettersStored, Metric::EventsPublished];
        assert_eq!(counted.map(|metric| count(&host, metric)), [3, 3, 0]);
        assert_eq!(count(&host, Metric::QueuedEntries), 0);
    }
}

#[test]
fn letters_that_their_queue_refuses_for_good_are_written_to_the_log() {
    for way in GATEWAYS {
        let mut host = with_dead_letter_queue(way);
        (0..3).for_each(|number| way.run(&mut host, &numbered(number)));
        refused_by_sns(&mut host, |_| Response::new(400).body(r#"{"__type":"InvalidMessageContents","message":"no"}"#));
        let letters = written(&mut host);
        assert_eq!(letters.len(), 3, "{way:?}");
        for letter in &letters {
            assert_eq!(letter["target"], json!({"topic_arn": TOPIC, "region": "us-east-1"}), "it is the event's");
        }
        let counted = [Metric::EventsDroppedRefused, Metric::DeadLettersStored, Metric::QueuedEntries];
        assert_eq!(counted.map(|metric| count(&host, metric)), [3, 0, 0]);
    }
}

#[test]
fn letters_are_held_while_their_queue_refuses_its_caller() {
    for way in GATEWAYS {
        let mut host = with_dead_letter_queue(way);
        (0..3).for_each(|number| way.run(&mut host, &numbered(number)));
        refused_by_sns(&mut host, |_| Response::new(403).body(r#"{"__type":"AccessDenied","message":"no"}"#));
        let lines: Vec<_> = host.take_logs().into_iter().filter(|line| line.level == LogLevel::Error).collect();
        let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(letters(&lines).len(), 0, "{way:?}");
        let says = |line: &&String| {
            line.contains(&format!("calls to {DEAD_LETTERS} are refused")) && line.contains("AccessDenied")
        };
        assert_eq!(lines.iter().filter(says).count(), 1, "{way:?} {lines:?}");
        let counted =
            [Metric::EventsDroppedRefused, Metric::DeadLettersStored, Metric::QueuedEntries, Metric::TargetsRefused];
        assert_eq!(counted.map(|metric| count(&host, metric)), [3, 0, 3, 1]);
        // Mended.
        let sent: usize = (0..32).map(|_| refused_by_sns(&mut host, sqs::accept).len()).sum();
        assert_eq!(sent, 3, "{way:?}");
        assert_eq!(counted.map(|metric| count(&host, metric)), [3, 3, 0, 0], "{way:?}");
    }
}

#[test]
fn letters_on_their_way_to_a_queue_are_written_when_the_process_ends() {
    let mut host = with_dead_letter_queue(Way::HttpFilter);
    run_numbered(&mut host, 3);
    refused_by_sns(&mut host, |_| Response::new(503));
    assert_eq!(count(&host, Metric::QueuedEntries), 3);
    host.stop().unwrap();
    let reasons: Vec<_> = written(&mut host).iter().map(|letter| letter["reason"].clone()).collect();
    assert_eq!(reasons, ["refused", "refused", "refused"], "why the events are lost, not why the letters are here");
}

#[test]
fn overload_is_no_flood_of_lines_and_what_the_log_lacks_is_counted_and_told() {
    for way in GATEWAYS {
        let queue = json!({"max_entries": 10});
        let mut host = way.start(&config(json!({"queue": queue})));
        // 400 events of 16 KB within a second, of which none is sent.
        let spec = put().request_header("x-long", "x".repeat(16_000));
        for _ in 0..10 {
            (0..40).for_each(|_| way.run(&mut host, &spec));
            host.advance(MAX_DELAY).unwrap();
        }
        host.advance(TICK).unwrap();
        let lines: Vec<_> = host.logs().iter().map(|line| line.text.clone()).collect();
        let bytes: usize = lines.iter().map(String::len).sum();
        // A megabyte, a quarter for each second, and what the parts of letters say beside them.
        assert!((1 << 20..(1 << 20) + (1 << 19)).contains(&bytes), "{way:?} {bytes}");
        let dropped = count(&host, Metric::EventsDroppedQueueFull);
        let left_out = count(&host, Metric::DeadLettersLeftOut);
        assert!(dropped > 380, "{way:?} {dropped}");
        assert_eq!(letters(&lines).len() as u64 + left_out, dropped, "{way:?}: each is in the log, or counted");
        assert!(lines.iter().any(|line| line.contains("are not in the log, which takes 256 KiB")), "{way:?}");
        assert!(lines.iter().any(|line| line.contains("`dead_letter.queue_url`")), "{way:?}");
    }
}
