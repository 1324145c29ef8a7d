//! Capture: an inbound webhook is stored in a queue before it is answered, and the gateway itself answers it.
//!
//! A sender gets a 2xx only where SQS has said that it has the message; in every other case a status at which it tries again, or
//! one that says why it need not. No I/O: what came and the time go in, calls and answers come out.

mod answers;
mod attempts;
mod counts;
mod delivery_id;
mod envelope;
mod intake;
mod room;
mod schedule;
mod shares;
mod storing;
#[cfg(test)]
mod tests;
mod trouble;
pub mod verify;

use http::{HeaderMap, StatusCode};

use crate::aws::target::Target;
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::template::{Template, Variable};
pub(crate) use intake::IntakeSettings;
pub use intake::{CaptureId, Intake, Progress};
pub use room::Size;
use verify::Verification;

/// Which requests are stored, where, and how they are answered.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    /// On the request method.
    pub(crate) methods: Methods,
    /// On the request path.
    pub(crate) matcher: Matcher,
    /// The queue that they are stored in.
    pub(crate) target: Target,
    /// The group whose order a FIFO queue keeps.
    pub(crate) message_group_id: Option<Template>,
    /// A larger body is refused.
    pub(crate) max_body_bytes: usize,
    /// What the sender gets when it is stored.
    pub(crate) response: Response,
    /// How the signature is checked, if it is.
    pub(crate) verify: Option<Verification>,
}

/// The configured answer to what is stored.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// A 2xx.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; may be empty.
    pub(crate) body: Template,
}

/// The gateway's answer, in place of any upstream's.
pub type Answer = http::Response<String>;

/// The captures in the order of the configuration. The first that matches a request takes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captures(pub(crate) Vec<Capture>);

impl Captures {
    /// Whether some capture has this method: the first question, answered without the path.
    pub(crate) fn want_method(&self, method: &[u8]) -> bool {
        self.0.iter().any(|capture| capture.methods.contain(method))
    }

    /// Which capture takes a request of this method and target.
    pub(crate) fn position(&self, method: &[u8], target: &[u8]) -> Option<usize> {
        self.0.iter().position(|capture| capture.methods.contain(method) && capture.matcher.is_match(target))
    }

    /// Returns the headers that signatures and ids are in, for a host that cannot give them all.
    pub(crate) fn needed_headers(&self) -> impl Iterator<Item = String> + '_ {
        let of_signatures = self.0.iter().filter_map(|capture| capture.verify.as_ref()).flat_map(Verification::headers);
        let of_ids = delivery_id::headers().map(|(name, _)| name);
        of_signatures.chain(of_ids.filter(|_| !self.0.is_empty())).map(str::to_owned)
    }

    /// Every placeholder in what is stored and answered.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let templates =
            self.0.iter().flat_map(|capture| capture.message_group_id.iter().chain([&capture.response.body]));
        templates.flat_map(Template::variables)
    }
}
