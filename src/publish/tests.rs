use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{json, Value};

use super::*;
use crate::agent::{Agent, Call};
use crate::aws::credentials::keeper;
use crate::callout::testing::response;
use crate::config::Config;
use crate::exchange::{ClientRequest, ClientResponse};
use crate::metrics::Update;
use crate::publish::queue::fake::{Fake, Gateway};

const SECOND: Duration = Duration::from_secs(1);

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:t";
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/q";
const BUS: &str = "arn:aws:events:us-east-1:123456789012:event-bus/b";

/// A worker that publishes what `/topic` is answered to the topic, and so on, one event in a call.
struct Bench {
    agent: Agent,
    config: Config,
    now: Timestamp,
}

/// Which service a call is for.
fn service(callout: &Callout) -> &str {
    callout.upstream.split('.').next().unwrap()
}

impl Bench {
    fn new(at_once: usize) -> Bench {
        Bench::with(at_once, json!({}), None)
    }

    /// Adds `more` to the configuration, and keeps events in `store`, too.
    fn with(at_once: usize, more: Value, store: Option<&Rc<dyn Store>>) -> Bench {
        let route = |path: &str, key: &str, name: &str| json!({"method": "PUT", "matcher": path, key: name});
        let mut config = json!({
            "routes": [route("/topic", "topic_arn", TOPIC), route("/queue", "queue_url", QUEUE), route("/bus", "event_bus", BUS)],
            "credentials": {"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"},
            "batch": {"max_entries": 1},
            "queue": {"max_age_seconds": 100},
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let limits = Limits { at_once, deadline: 6 * SECOND, retries_captures: true, silent_sender: "silent" };
        let keeper = keeper(&config.credentials, &|_| None, config.timeout, limits.deadline, 7).unwrap();
        let now = Timestamp(1_767_268_800_000);
        let mut agent = Agent::new(&config, keeper, limits, store, 7);
        agent.publishing().tend_queues(now);
        Bench { agent, config, now }
    }

    fn push(&mut self, path: &'static str, count: usize) {
        for _ in 0..count {
            let route = self.config.routes.find("PUT", path, 200).unwrap();
            let exchange = Exchange {
                request: ClientRequest { method: "PUT".into(), target: path.into(), ..ClientRequest::default() },
                response: ClientResponse { status: 200, ..ClientResponse::default() },
                ..Exchange::default()
            };
            self.agent.publishing().accept(exchange, route, self.now);
        }
    }

    fn push_to_each(&mut self, count: usize) {
        for path in ["/topic", "/queue", "/bus"] {
            self.push(path, count);
        }
    }

    fn poll(&mut self) -> Vec<(Call, Callout)> {
        std::iter::from_fn(|| self.agent.poll(self.now)).collect()
    }

    fn take(&mut self, (call, callout): &(Call, Callout)) {
        let body = match service(callout) {
            "sns" => "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>",
            "sqs" => r#"{"MessageId":"m"}"#,
            _ => r#"{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}"#,
        };
        let reply = response(200, body);
        self.agent.handle_reply(*call, &reply, self.now);
    }

    /// Refuses the event of a call for good.
    fn refuse(&mut self, (call, callout): &(Call, Callout)) {
        let body = match service(callout) {
            "sns" => "<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>",
            _ => r#"{"__type":"InvalidParameterValue"}"#,
        };
        let reply = response(400, body);
        self.agent.handle_reply(*call, &reply, self.now);
    }

    /// Counters since the last visit.
    fn counts(&mut self) -> BTreeMap<Metric, u64> {
        let mut counts = BTreeMap::new();
        for change in self.agent.take_metric_updates(true, self.now) {
            if let Update::Add(metric, count) = change.update {
                *counts.entry(metric).or_default() += count;
            }
        }
        counts
    }
}

fn services(calls: &[(Call, Callout)]) -> Vec<&str> {
    calls.iter().map(|(_, callout)| service(callout)).collect()
}

#[test]
fn each_target_is_called_in_its_own_way() {
    let mut bench = Bench::new(8);
    bench.push_to_each(1);
    let calls = bench.poll();
    for ((_, callout), (host, action, scope)) in calls.iter().zip([
        ("sns.us-east-1.amazonaws.com", None, "us-east-1/sns/aws4_request"),
        ("sqs.us-east-1.amazonaws.com", Some("AmazonSQS.SendMessage"), "us-east-1/sqs/aws4_request"),
        ("events.us-east-1.amazonaws.com", Some("AWSEvents.PutEvents"), "us-east-1/events/aws4_request"),
    ]) {
        let header = |name: &str| callout.request.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(callout.request.uri().authority().unwrap(), host);
        assert_eq!(header("x-amz-target"), action);
        let authorization = header("authorization").unwrap();
        assert!(
            authorization.contains(scope) && action.is_some() == authorization.contains("x-amz-target"),
            "{authorization}"
        );
    }
    calls.iter().for_each(|call| bench.take(call));
    assert!(bench.agent.is_idle());
    assert_eq!(bench.counts()[&Metric::EventsPublished], 3);
}

#[test]
fn targets_take_turns_where_there_are_fewer_calls_than_events() {
    let mut bench = Bench::new(1);
    bench.push_to_each(3);
    let mut seen = Vec::new();
    while let [call] = bench.poll().as_slice() {
        seen.push(service(&call.1).to_owned());
        bench.take(call);
    }
    assert_eq!(seen, ["sns", "sqs", "events"].repeat(3));
}

#[test]
fn a_target_that_never_answers_leaves_a_call_for_each_other() {
    let mut bench = Bench::new(4);
    bench.push("/topic", 100);
    assert_eq!(services(&bench.poll()), ["sns", "sns"], "of four, one each is left to the two others");
    bench.push("/queue", 20);
    bench.push("/bus", 20);
    for _ in 0..20 {
        let calls = bench.poll();
        assert_eq!(services(&calls), ["sqs", "events"]);
        calls.iter().for_each(|call| bench.take(call));
    }
    assert_eq!(bench.agent.publishing().queued(), 100, "all but what the topic would not take");
}

/// One call at a time, and a topic whose calls end after five seconds with nothing.
#[test]
fn with_one_call_at_a_time_a_target_that_never_answers_takes_half_of_the_time() {
    let mut bench = Bench::new(1);
    let begin = bench.now;
    bench.push("/topic", 1_000);
    let (mut sent, mut hanging, mut answered) = (0, None, 0);
    while bench.now.since(begin) < 80 * SECOND {
        bench.push("/queue", 1);
        sent += 1;
        if let Some((call, until)) = hanging.take() {
            match bench.now >= until {
                true => bench.agent.handle_reply(call, &Reply::NoResponse("timeout".into()), bench.now),
                false => hanging = Some((call, until)),
            }
        }
        for (call, callout) in bench.poll() {
            match service(&callout) {
                "sns" => hanging = Some((call, bench.now + 5 * SECOND)),
                _ => {
                    answered += 1;
                    bench.take(&(call, callout));
                }
            }
        }
        bench.now = bench.now + Duration::from_millis(20);
    }
    // While the topic's calls hang nothing else goes; then everything that has gathered, in the
    // pause after each.
    assert!(answered > sent * 4 / 10, "{answered} of {sent}");
    let longest = bench.agent.take_metric_updates(true, bench.now);
    assert!(longest.iter().all(|change| change.update.metric() != Metric::EventsDroppedExpired));
}

#[test]
fn dead_letters_and_notices_name_their_target() {
    let mut bench = Bench::new(8);
    bench.push_to_each(1);
    bench.poll().iter().for_each(|call| bench.refuse(call));
    let letters: Vec<Value> = bench
        .agent
        .publishing()
        .take_dead_letter_lines(usize::MAX, bench.now)
        .iter()
        .map(|line| line.strip_prefix("retrohook-dead-letter ").unwrap().strip_suffix(" retrohook-end").unwrap())
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let targets: Vec<&Value> = letters.iter().map(|letter| &letter["target"]).collect();
    assert_eq!(
        targets,
        [
            &json!({"topic_arn": TOPIC, "region": "us-east-1"}),
            &json!({"queue_url": QUEUE, "region": "us-east-1"}),
            &json!({"event_bus": BUS, "region": "us-east-1"}),
        ]
    );
    let notices = bench.agent.take_notices(bench.now);
    assert_eq!(notices.len(), 3);
    for (notice, name) in notices.iter().zip([TOPIC, QUEUE, BUS]) {
        assert!(notice.text.starts_with(&format!("{name}: 1 event(s) lost, refused for good")), "{}", notice.text);
    }
}

#[test]
fn an_event_stays_in_the_journal_until_it_is_delivered_or_its_letter_is_handed_out() {
    let counting = Rc::new(Fake::new(Gateway::Envoy));
    let store: Rc<dyn Store> = counting.clone();
    let mut bench = Bench::with(8, json!({}), Some(&store));
    bench.push("/topic", 2);
    assert_eq!(counting.events(), 2);
    let calls = bench.poll();
    bench.take(&calls[0]);
    assert_eq!(counting.events(), 1, "what is delivered is not kept");
    bench.refuse(&calls[1]);
    assert_eq!(counting.events(), 1, "its letter is in memory only");
    let lines = bench.agent.publishing().take_dead_letter_lines(usize::MAX, bench.now);
    assert_eq!((lines.len(), counting.events()), (1, 0));
}

#[test]
fn letters_on_their_way_to_a_queue_are_counted_as_letters() {
    let letters = "https://sqs.us-east-1.amazonaws.com/123456789012/letters";
    let counting = Rc::new(Fake::new(Gateway::Envoy));
    let store: Rc<dyn Store> = counting.clone();
    let mut bench = Bench::with(8, json!({"dead_letter": {"queue_url": letters, "log": false}}), Some(&store));
    bench.push("/topic", 1);
    bench.poll().iter().for_each(|call| bench.refuse(call));
    let counts = bench.counts();
    assert_eq!((counts[&Metric::EventsDroppedRefused], counts[&Metric::CalloutsError]), (1, 1));
    let lines = bench.agent.publishing().take_dead_letter_lines(usize::MAX, bench.now);
    assert_eq!((lines.len(), counting.events()), (0, 1), "it goes on as a letter, and is kept as one");
    let calls = bench.poll();
    assert_eq!(services(&calls), ["sqs"]);
    bench.take(&calls[0]);
    assert_eq!(counting.events(), 0);
    let counts: Vec<_> = bench.counts().into_iter().collect();
    assert_eq!(counts, [(Metric::DeadLettersStored, 1), (Metric::CalloutsOk, 1)], "and not as an event");
}
