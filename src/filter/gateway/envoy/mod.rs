//! Envoy: its rules, and what it gives of a request at its head.

mod candidate;
mod ending;
mod local_reply;
mod properties;

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::types::MapType;

use super::metrics::GaugeMode;
use super::rules::Place;
use super::shared_data::WriteNumbers;
use super::{is_envoy, length, BodyArrival, Candidate, EndWhileHeld, GatewayReader, Head, Rules, Webhook};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::{ClientRequest, Headers};
use crate::filter::header_pairs::{count, pairs};
use crate::filter::hostcalls::{self, text_of};
use crate::publish::route::{Matched, Routes};
use candidate::{asks_for_all, headers_of, EnvoyCandidate};
use properties::{NamedHeader, Question, QuestionExtent};

/// The rules of Envoy.
pub(super) static RULES: Rules = Rules {
    // Envoy normalises it before any filter sees it, if it is told to.
    target: Place::RequestHeader(":path"),
    normalised_target: None,
    response_status: Place::ResponseHeader(":status"),
    abandoned_status: 0,
    mark: Some("retrohook"),
    answer_details: local_reply::details,
    objection: |_| None,
    unstarted_root: None,
    // Envoy has no bound of its own, so that there is a call for each target.
    callouts_at_once: |config| config.max_in_flight.max(config.targets.len()),
    deadline: |timeout| timeout.saturating_add(Duration::from_secs(1)),
    longest_tick: Duration::from_millis(25),
    longest_idle_tick: None,
    // Each tick of an idle worker is a wake-up of 50 to 100 µs. Ten of these make a second, after
    // which the lease of a queue is looked at.
    quiet_tick: Some(Duration::from_millis(100)),
    calls_from_replies: true,
    answers_at_ticks: true,
    tells_absence_of_bodies: true,
    max_line_bytes: usize::MAX,
    gauges: GaugeMode::Summed,
    always_shares_data: true,
    order_of_one_worker:
        "the order of a FIFO target is kept within each worker only, because each has a queue of its own; \
                          for one order of all workers leave `queue.journal` out",
    // Every write takes the next of four billion numbers, which a key that was never written does
    // not have; the last one is never reached. Zero writes over whatever is there.
    write_numbers: WriteNumbers { create: u32::MAX, of_each_key: false },
    unreadable_body: "a webhook's body could not be read, and was answered 503",
    silent_sender:
        "a webhook was answered 408, because the rest of it did not come for `timeout_ms`. Where that happens to \
                    every webhook with a body, Envoy keeps bodies from the filter: set \
                    `allow_on_headers_stop_iteration: true` in its plugin configuration",
};

/// Headers that Envoy adds for its own use to those of the client.
const INTERNAL_HEADERS: [&str; 3] =
    ["x-envoy-original-path", "x-envoy-expected-rq-timeout-ms", "x-envoy-decorator-operation"];

/// Makes the reader of one worker.
pub(super) fn reader(config: &Config) -> Box<dyn GatewayReader> {
    Box::new(EnvoyReader {
        trusts_original_path: config.trusts_original_path,
        disbelieved: Cell::new(false),
        questions: Questions::compile(&config.routes),
    })
}

/// The questions of one worker.
struct Questions {
    /// Asks of exchanges that a route wants the whole record of, or whose end it has to know.
    of_records: Option<Rc<Question>>,
    /// Asks of all others, for each route in the order of the configuration.
    of_others: Vec<Option<Rc<Question>>>,
}

impl Questions {
    /// Has Envoy compile them. Where the configuration only says that this is Envoy, nothing is
    /// asked, because Kong may trap.
    fn compile(routes: &Routes) -> Questions {
        let mut questions = Questions { of_records: None, of_others: Vec::new() };
        if !is_envoy() {
            return questions;
        }
        questions.of_records = Question::compile(QuestionExtent::Record, Vec::new()).map(Rc::new);
        for route in routes.all.iter() {
            let question = if asks_for_all(route) { None } else { questions.of(headers_of(route)) };
            questions.of_others.push(question);
        }
        questions
    }

    /// Returns the question for these headers: one of several routes, or another one.
    fn of(&self, headers: Vec<NamedHeader>) -> Option<Rc<Question>> {
        let known = self.of_others.iter().flatten().find(|question| question.has(&headers));
        known.cloned().or_else(|| Question::compile(QuestionExtent::Outcome, headers).map(Rc::new))
    }
}

/// Reads from Envoy, which gives everything whenever it is asked for, as long as it has it.
struct EnvoyReader {
    /// True if no client can send `x-envoy-original-path`.
    trusts_original_path: bool,
    /// True if a route wants a path of that header that was not believed.
    disbelieved: Cell<bool>,
    questions: Questions,
}

impl GatewayReader for EnvoyReader {
    fn candidate(&self, head: Head, routes: &Routes, matched: Matched, may_wait: bool) -> Box<dyn Candidate> {
        Box::new(EnvoyCandidate::of_request(head, routes, matched, may_wait, &self.questions))
    }

    fn webhook(&self, head: Head) -> Box<dyn Webhook> {
        Box::new(EnvoyWebhook { headers: hostcalls::header_map(MapType::HttpRequestHeaders), head })
    }

    fn logged(&self, routes: &Routes) -> Option<Box<dyn Candidate>> {
        let (candidate, disbelieved) = EnvoyCandidate::of_logged(routes, self.trusts_original_path, &self.questions)?;
        if disbelieved {
            self.disbelieved.set(true);
        }
        Some(Box::new(candidate))
    }

    fn warning(&self) -> Option<&'static str> {
        self.disbelieved.get().then_some(
            "a request has a path in x-envoy-original-path that a route wants, and is no event, because the header is not \
             believed: see `trust_original_path` (envoy/README.md)",
        )
    }

    fn hidden_status(&self) -> Option<u16> {
        local_reply::hidden_status()
    }

    fn end_while_held(&self) -> EndWhileHeld {
        candidate::end_while_held()
    }

    fn refresh(&self, _: Timestamp) {}
}

/// The head of a webhook, with its headers as the host serialises them.
struct EnvoyWebhook {
    head: Head,
    headers: Vec<u8>,
}

impl Webhook for EnvoyWebhook {
    /// Found among the headers that are read in any case, which spares a call into the host.
    fn announced(&self) -> Option<u64> {
        pairs(&self.headers).find(|(name, _)| *name == b"content-length").and_then(|(_, value)| length(value))
    }

    fn body(&self, _: Option<u64>) -> BodyArrival {
        if self.head.ended {
            BodyArrival::Absent
        } else {
            BodyArrival::InPieces
        }
    }

    fn request(&self) -> ClientRequest<'_> {
        let headers = headers(&self.headers);
        ClientRequest {
            id: request_id(&headers),
            method: Cow::Borrowed(&self.head.method),
            target: Cow::Borrowed(&self.head.target),
            headers,
            ..ClientRequest::default()
        }
    }
}

fn request_id<'a>(headers: &Headers<'a>) -> Option<Cow<'a, str>> {
    headers.text("x-request-id")
}

/// Returns the headers of a map, without pseudo headers and without those that Envoy adds for
/// itself; `:authority` is `host`, as in HTTP/1.
fn headers(map: &[u8]) -> Headers<'_> {
    let mut headers = Vec::with_capacity(count(map));
    for (name, value) in pairs(map) {
        let name = match name {
            b":authority" => Cow::Borrowed("host"),
            [b':', ..] => continue,
            name if INTERNAL_HEADERS.iter().any(|internal| internal.as_bytes() == name) => continue,
            name => text_of(name),
        };
        headers.push((name, text_of(value)));
    }
    Headers(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::header_pairs::serialise;

    #[test]
    fn headers_are_the_client_s_own_with_authority_as_host() {
        let map = serialise(&[
            (&b":authority"[..], &b"example.com"[..]),
            (b":path", b"/a"),
            (b"x-envoy-original-path", b"/b"),
            (b"x-request-id", b"7"),
            (b"x-not-\xff", b"\xff"),
            (b"", b""),
        ]);
        let expected = [("host", "example.com"), ("x-request-id", "7"), ("x-not-\u{fffd}", "\u{fffd}"), ("", "")];
        assert_eq!(headers(&map), Headers(expected.map(|(name, value)| (name.into(), value.into())).into()));
        assert_eq!(headers(b"\xff\xff\xff\xff"), Headers::default());
    }
}
