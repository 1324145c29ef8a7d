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

use std::borrow::Cow;
use std::rc::Rc;

use proxy_wasm::types::MapType;

use super::{BodyArrival, Candidate, EndWhileHeld, GatewayReader, Head, Webhook};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::ClientRequest;
use crate::filter::hostcalls;
use crate::publish::route::{Matched, Routes};
use candidate::{request_id, KongCandidate};
use destination::Destinations;
use header_map::{HeaderNames, KongHeaders};
pub(super) use rules::RULES;

/// Makes the reader of one worker.
pub(super) fn reader(config: &Config) -> Box<dyn GatewayReader> {
    let names = Rc::new(HeaderNames::needed_by(&config.routes, &config.captures));
    Box::new(KongReader { names, destinations: Destinations::default() })
}

/// Reads from Kong, and remembers the destinations that Kong has told.
struct KongReader {
    names: Rc<HeaderNames>,
    destinations: Destinations,
}

impl GatewayReader for KongReader {
    fn candidate(&self, head: Head, matched: Matched, _: bool) -> Box<dyn Candidate> {
        Box::new(KongCandidate::of_request(head, matched, &self.names, self.destinations.of_request()))
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

/// The head of a webhook.
struct KongWebhook {
    head: Head,
    headers: KongHeaders,
}

impl Webhook for KongWebhook {
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
