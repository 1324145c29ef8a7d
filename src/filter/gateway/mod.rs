//! The rules of a gateway, and its names for things.
//!
//! A gateway is one [`Rules`] value and one [`GatewayReader`]. It reads and returns; the contexts
//! decide what follows from it. It never makes a callout, and no code outside this folder asks
//! which gateway it runs in.

mod envoy;
mod kong;
pub(crate) mod metrics;
pub(crate) mod pulse;
mod rules;
pub(crate) mod shared_data;
pub(crate) mod tempo;
mod tick_gate;

pub(crate) use rules::Rules;

use crate::clock::Timestamp;
use crate::config::{Config, HostChoice};
use crate::exchange::{ClientRequest, Exchange};
use crate::filter::hostcalls;
use crate::publish::needs::Needs;
use crate::publish::route::{Matched, Routes};

/// A gateway that the filter can run in.
pub(crate) struct Gateway {
    /// Its rules.
    pub(crate) rules: &'static Rules,
    /// Makes the reader of one worker.
    pub(crate) reader: fn(&Config) -> Box<dyn GatewayReader>,
}

const ENVOY: Gateway = Gateway { rules: &envoy::RULES, reader: envoy::reader };
const KONG: Gateway = Gateway { rules: &kong::RULES, reader: kong::reader };

impl Gateway {
    /// Returns the gateway that the configuration names, or the one that is detected.
    pub(crate) fn of(choice: HostChoice) -> Gateway {
        match choice {
            HostChoice::Envoy => ENVOY,
            HostChoice::Kong => KONG,
            HostChoice::Auto => Gateway::detect(),
        }
    }

    /// Tells the gateways apart without changing anything.
    ///
    /// Kong kills the worker that asks for a property outside of a request, so properties cannot
    /// tell. But asked to speak for a context that does not exist, Envoy refuses, and Kong, where
    /// that call does nothing, agrees.
    fn detect() -> Gateway {
        if is_envoy() {
            ENVOY
        } else {
            KONG
        }
    }
}

/// Returns true if a content type is one of gRPC, in any case of letters.
fn is_grpc(content_type: &[u8]) -> bool {
    const BEGIN: &[u8] = b"application/grpc";
    content_type.get(..BEGIN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN))
}

/// Returns true if the host refuses what Kong agrees to.
fn is_envoy() -> bool {
    !hostcalls::speak_for(u32::MAX)
}

/// The rules of Envoy and of Kong, for those who ask without a gateway.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const BOTH_RULES: [&Rules; 2] = [&envoy::RULES, &kong::RULES];

/// Reads requests and exchanges, each value in the way that the gateway gives it.
pub(crate) trait GatewayReader {
    /// Reads what an event needs of the request that has just begun and that routes have `matched`,
    /// as far as it cannot be read later. If `may_wait`, the response may have to wait for the
    /// event.
    fn candidate(&self, head: Head, routes: &Routes, matched: Matched, may_wait: bool) -> Box<dyn Candidate>;

    /// Reads the head of a request that a capture takes.
    fn webhook(&self, head: Head) -> Box<dyn Webhook>;

    /// Reads what an access logger is shown: an exchange that is over and was not seen before.
    /// Returns `None` if no route wants its method.
    fn logged(&self, routes: &Routes) -> Option<Box<dyn Candidate>>;

    /// Returns what the log should say of the exchanges that were read, once.
    fn warning(&self) -> Option<&'static str>;

    /// Returns the status of a refusal that the gateway has put behind a status of success, if the
    /// response whose headers have come is one.
    fn hidden_status(&self) -> Option<u16>;

    /// Returns how an exchange ended whose response was held to the last.
    fn end_while_held(&self) -> EndWhileHeld;

    /// Forgets what may be out of date. Called at each tick.
    fn refresh(&self, now: Timestamp);
}

/// The head of a request that has just begun.
pub(crate) struct Head {
    /// The method.
    pub(crate) method: String,
    /// The client's own path, with the query string.
    pub(crate) target: String,
    /// How many headers there are.
    pub(crate) header_count: usize,
    /// True if the host says that there is no body.
    pub(crate) ended: bool,
}

/// A request that may become an event, and what was read of it while it was under way.
pub(crate) trait Candidate {
    /// Looks at the headers of the response, of which there are `count`.
    fn see_response(&mut self, routes: &Routes, count: usize) -> Outlook;

    /// Looks at the trailers of a response that did not wait for its event.
    fn see_trailers(&mut self, _: &Routes) -> Outlook {
        Outlook::Wanted
    }

    /// Notes that a part of the response's body has come, and whether it is the last.
    fn see_body(&mut self, ended: bool);

    /// Notes that the response goes on, whether or not it has waited: its end may be another than
    /// it seems now.
    fn go_on(&mut self) {}

    /// Returns the position of the first route, `from` this one on, that wants the exchange as far
    /// as it has come, whatever else it must have. Asked in order, from zero on.
    fn position(&mut self, routes: &Routes, from: usize) -> Option<usize>;

    /// Returns the time at which the exchange ended, if it is over and the gateway has told that
    /// already: then nobody has to ask for the time.
    fn ended_at(&self) -> Option<Timestamp> {
        None
    }

    /// Reads what is needed of the exchange as far as it has come, once a route wants it.
    fn exchange(&mut self, now: Timestamp, needs: &Needs) -> Exchange<'_>;
}

/// Verdict of the headers of a response on the event of its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// No route wants the exchange.
    Unwanted,
    /// A route wants the exchange, or that shows only at its end.
    Wanted,
    /// A route may let the response wait until its event is acknowledged: that is decided now.
    MayWait,
}

/// End of an exchange whose response the filter held to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndWhileHeld {
    /// The client left, or the gateway answered in place of the response.
    Unanswered,
    /// The gateway answered because it could not keep so much of the response.
    Overflowed,
    /// The client got the response all the same.
    Passed,
}

/// The head of a request that a capture takes.
pub(crate) trait Webhook {
    /// Returns the length of the body, where the sender gives it.
    fn announced(&self) -> Option<u64>;

    /// Tells how the body comes; `announced` is its length, where the sender gives it.
    fn body(&self, announced: Option<u64>) -> BodyArrival;

    /// Returns the request as far as the head tells.
    fn request(&self) -> ClientRequest<'_>;
}

/// Reads the length of a body from its header.
fn length(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// How the body of a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyArrival {
    /// There is none.
    Absent,
    /// Piece by piece, while the request is held.
    InPieces,
    /// As a whole, if the request is let go on to where the gateway reads it.
    Whole,
}
