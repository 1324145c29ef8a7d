//! Kong Gateway: its rules, and what it gives of a request at its head.
//!
//! Header maps are read only in the callbacks that tell how many headers there are: of a long map
//! Kong writes more than it has asked memory for. The entities (`kong.*`) trap at the end of a
//! request unless they were read at its beginning. A property of nginx that does not exist is
//! absent, whenever it is asked for.

mod candidate;
mod destination;
mod header_map;
mod rules;
mod values;
mod variables;

use std::borrow::Cow;
use std::rc::Rc;

use proxy_wasm::types::MapType;

use super::{length, BodyArrival, Candidate, EndWhileHeld, GatewayReader, Head, Webhook};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::template::Variable;
use crate::exchange::ClientRequest;
use crate::filter::hostcalls::{self, MOST_BY_NAME};
use crate::publish::route::{Matched, Routes};
use candidate::{request_id, KongCandidate};
use destination::Destinations;
use header_map::{HeaderNames, KongHeaders};
pub(super) use rules::RULES;
use variables::Together;

/// Makes the reader of one worker.
pub(super) fn reader(config: &Config) -> Box<dyn GatewayReader> {
    let names = Rc::new(HeaderNames::needed_by(&config.routes, &config.captures));
    Box::new(KongReader { names, together: Rc::default(), destinations: Destinations::default() })
}

/// Reads from Kong, and remembers the destinations that Kong has told.
struct KongReader {
    names: Rc<HeaderNames>,
    together: Rc<Together>,
    destinations: Destinations,
}

impl GatewayReader for KongReader {
    fn candidate(&self, head: Head, routes: &Routes, matched: Matched, _: bool) -> Box<dyn Candidate> {
        let needs = |variable: &Variable| {
            routes.of(matched).any(|route| route.needs.has(variable) || route.when.needs().has(variable))
        };
        let for_record = routes.of(matched).any(|route| route.needs.is_record());
        let named = if for_record { None } else { needed_headers(routes, matched) };
        let headers = match named.filter(|names| names.len() <= MOST_BY_NAME) {
            Some(names) => KongHeaders::named(&names),
            None => KongHeaders::of_request(head.header_count, &self.names),
        };
        let is_destined = for_record || needs(&Variable::RouteName) || needs(&Variable::ServiceName);
        let destination = if is_destined { self.destinations.of_request() } else { Rc::default() };
        Box::new(KongCandidate::of_request(head, headers, matched, &self.names, &self.together, destination))
    }

    fn webhook(&self, head: Head) -> Box<dyn Webhook> {
        Box::new(KongWebhook { headers: KongHeaders::of_request(head.header_count, &self.names), head })
    }

    /// Returns `None`: Kong has no access loggers.
    fn logged(&self, _: &Routes) -> Option<Box<dyn Candidate>> {
        None
    }

    /// Returns `None`: there is nothing to warn of.
    fn warning(&self) -> Option<&'static str> {
        None
    }

    /// Returns `None`: Kong sends the status that an answer has.
    fn hidden_status(&self) -> Option<u16> {
        None
    }

    /// Returns `Unanswered`: Kong holds no response.
    fn end_while_held(&self) -> EndWhileHeld {
        EndWhileHeld::Unanswered
    }

    fn refresh(&self, now: Timestamp) {
        self.destinations.refresh(now);
    }
}

/// Returns the names of the headers of the request that the routes which `matched` need; `None` if
/// one of them needs all.
fn needed_headers(routes: &Routes, matched: Matched) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for route in routes.of(matched) {
        if route.needs.is_record() {
            return None;
        }
        let parts = || route.needs.parts().iter().chain(route.when.needs().parts());
        // The headers in which plugins tell the consumer.
        let of_consumer = parts().flat_map(|variable| match variable {
            Variable::ConsumerId => &["x-consumer-id"][..],
            Variable::ConsumerUsername => &["x-consumer-id", "x-consumer-username"],
            _ => &[],
        });
        let of_conditions = route.when.needs().request_headers();
        for name in route.needs.request_headers().chain(of_conditions).chain(of_consumer.copied()) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    Some(names)
}

/// The head of a webhook.
struct KongWebhook {
    head: Head,
    headers: KongHeaders,
}

impl Webhook for KongWebhook {
    fn announced(&self) -> Option<u64> {
        hostcalls::header(MapType::HttpRequestHeaders, "content-length").as_deref().and_then(length)
    }

    /// Guesses whether there is a body, which Kong does not tell in the head: it calls no filter
    /// for an empty one, so a wrong guess must not wait for it.
    fn body(&self, announced: Option<u64>) -> BodyArrival {
        let is_there = match announced {
            Some(length) => length > 0,
            None if hostcalls::header(MapType::HttpRequestHeaders, "transfer-encoding").is_some() => true,
            // HTTP/2 needs neither header.
            None => {
                let protocol = || hostcalls::property("ngx.server_protocol");
                self.head.method != "GET" && protocol().is_some_and(|name| name == b"HTTP/2.0")
            }
        };
        if is_there {
            BodyArrival::Whole
        } else {
            BodyArrival::Absent
        }
    }

    fn request(&self) -> ClientRequest<'_> {
        ClientRequest {
            id: request_id(),
            method: Cow::Borrowed(&self.head.method),
            target: Cow::Borrowed(&self.head.target),
            headers: self.headers.headers(),
            ..ClientRequest::default()
        }
    }
}
