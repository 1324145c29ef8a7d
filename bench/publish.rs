//! Time that a matching request takes in the core, natively: each step beside the cheapest thing
//! that could be done with the same data, measured in turn in one run. Run by `make bench`; the
//! ratios count, the times are this machine's.

#![allow(clippy::panic, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use retrohook::agent::Agent;
use retrohook::aws::credentials::keeper;
use retrohook::callout::{Limits, Reply};
use retrohook::clock::Timestamp;
use retrohook::config::Config;
use retrohook::exchange::{ClientRequest, ClientResponse, Exchange, Headers};
use retrohook::publish::route::Routes;

const ROUNDS: u32 = 30;
const EVENTS_PER_ROUND: u32 = 1_000;
const LIMITS: Limits =
    Limits { at_once: 4, deadline: Duration::from_secs(6), retries_captures: true, silent_sender: "silent" };
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn config(matcher: &str) -> Config {
    let text = format!(
        r#"{{
            "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
            "routes": [{{"method": "PUT", "matcher": "{matcher}", "event_type": "profile.updated"}}],
            "credentials": {{"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}}
        }}"#
    );
    Config::from_json(text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn agent() -> (Agent, Routes) {
    let config = config("/profile");
    let keeper = keeper(&config.credentials, &|_| None, config.timeout, LIMITS.deadline, 7)
        .unwrap_or_else(|error| panic!("{error}"));
    (Agent::new(&config, keeper, LIMITS, None, 7), config.routes)
}

/// Twelve headers in each direction: about 2 KB of JSON.
fn exchange(texts: &[(String, String)]) -> Exchange<'_> {
    let headers = || Headers(texts.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect());
    Exchange {
        request: ClientRequest {
            method: "PUT".into(),
            target: "/mockbin/profile/42?tenant=acme".into(),
            headers: headers(),
            ..ClientRequest::default()
        },
        response: ClientResponse { status: 200, headers: headers(), size: Some(1_234), ..ClientResponse::default() },
        ..Exchange::default()
    }
}

/// The shortest of all rounds, for one of `count` things done in each.
fn shortest(count: u32, mut round: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default() / count
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn report(what: &str, time: Duration, beside: &str, other: Duration) {
    let ratio = time.as_secs_f64() / other.as_secs_f64();
    println!("{what:<44} {:>9.2} µs   {ratio:>6.1} x {beside}", time.as_secs_f64() * 1e6);
}

fn accept_and_publish() {
    let texts: Vec<_> = (0..12).map(|n| (format!("x-header-{n}"), format!("{n}").repeat(60))).collect();
    let (mut sample, routes) = agent();
    sample.publishing().accept(exchange(&texts), &routes.all[0], NOW);
    let later = NOW + Duration::from_secs(1);
    let size = sample.poll(later).map_or(0, |(_, callout)| callout.request.body().len());
    println!("One event: {size} bytes in a Publish call.\n");

    let copy = shortest(EVENTS_PER_ROUND, || {
        timed(|| (0..EVENTS_PER_ROUND).for_each(|_| drop(black_box(exchange(&texts).clone()))))
    });
    let accept = shortest(EVENTS_PER_ROUND, || {
        let (mut agent, routes) = agent();
        timed(|| (0..EVENTS_PER_ROUND).for_each(|_| agent.publishing().accept(exchange(&texts), &routes.all[0], NOW)))
    });
    let (mut poll, mut settle) = (Duration::MAX, Duration::MAX);
    let members: String = (0..10).map(|id| format!("<member><Id>{id}</Id><MessageId>m</MessageId></member>")).collect();
    let body = format!("<PublishBatchResponse><PublishBatchResult><Successful>{members}</Successful></PublishBatchResult></PublishBatchResponse>");
    let reply = Reply::Response(http::Response::new(body.into_bytes()));
    for _ in 0..ROUNDS {
        let (mut agent, routes) = agent();
        (0..EVENTS_PER_ROUND).for_each(|_| agent.publishing().accept(exchange(&texts), &routes.all[0], NOW));
        let (mut polls, mut settles) = (Duration::ZERO, Duration::ZERO);
        while !agent.is_idle() {
            let mut due = None;
            polls += timed(|| due = agent.poll(later));
            let Some((batch, _)) = due else { break };
            settles += timed(|| agent.handle_reply(batch, &reply, later));
        }
        poll = poll.min(polls / (EVENTS_PER_ROUND / 10));
        settle = settle.min(settles / (EVENTS_PER_ROUND / 10));
    }
    report("accept: record and queue one event", accept, "copying the exchange", copy);
    report("poll: encode and sign a call of 10 events", poll, "accepting one", accept);
    report("handle_reply: settle a call of 10 events", settle, "accepting one", accept);
}

fn matching() {
    let paths: [&[u8]; 2] = [b"/mockbin/account/42", b"/mockbin/profile/42"];
    let look = |matcher: &str, method: &'static [u8]| {
        let routes = config(matcher).routes;
        shortest(EVENTS_PER_ROUND, || {
            timed(|| {
                for n in 0..EVENTS_PER_ROUND as usize {
                    black_box(routes.matched(black_box(method), black_box(paths[n % 2])));
                }
            })
        })
    };
    let method = look("/profile", b"GET");
    report("match: another method", method, "itself", method);
    report("match: the method, and plain text", look("/profile", b"PUT"), "another method", method);
    report("match: the method, and an expression", look("/profile/[0-9]+", b"PUT"), "another method", method);
}

fn main() {
    accept_and_publish();
    matching();
}
