//! Capture: an inbound webhook is stored in a queue before it is answered, and the gateway itself
//! answers it.
//!
//! A sender gets a 2xx only where SQS has said that it has the message; in every other case a
//! status at which it tries again, or one that says why it need not. No I/O: what came and the time
//! go in, calls and answers come out.

mod answers;
mod attempts;
mod body;
mod counts;
mod delivery_id;
mod envelope;
mod intake;
mod room;
mod schedule;
mod sender_id;
mod shares;
mod storing;
#[cfg(test)]
mod tests;
mod trouble;
pub mod verify;

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::aws::retry::Retry;
use crate::aws::target::Target;
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::path_of;
use crate::exchange::spelling::{is_plain, plain, without_format};
use crate::exchange::template::{Template, Variable};
pub use intake::{Intake, Progress};
pub use room::Size;
use verify::Verification;

/// Names a capture: the host's id of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureId(pub u32);

/// Everything that an intake obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeSettings {
    /// Webhooks in the middle of being stored, at most.
    pub(crate) at_once: usize,
    /// Bytes of the webhooks under way, at most.
    pub(crate) max_bytes: usize,
    /// How long a sender waits at most, once it has sent all, and how long it may keep the gateway
    /// waiting before.
    pub(crate) patience: Duration,
    /// True if the host lets something happen to a request while it waits.
    pub(crate) again: bool,
    /// The line for the log where the rest of a request does not come.
    pub(crate) silent_sender: &'static str,
    /// When an attempt that failed is made again.
    pub(crate) retry: Retry,
}

/// Which requests are stored, where, and how they are answered.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    /// The scope of the ids of its webhooks.
    pub(crate) name: String,
    /// The rule by which two requests are one delivery.
    pub(crate) id: IdRule,
    /// On the request method.
    pub(crate) methods: Methods,
    /// On the request path.
    pub(crate) matcher: Matcher,
    /// The queue that they are stored in.
    pub(crate) target: Target,
    /// The queue of those whose signature is not good, if they have one of their own.
    pub(crate) unverified: Option<Target>,
    /// The group whose order a FIFO queue keeps.
    pub(crate) message_group_id: Option<Template>,
    /// A larger body is refused.
    pub(crate) max_body_bytes: usize,
    /// What the sender gets when it is stored.
    pub(crate) response: AnswerTemplate,
    /// How the signature is checked, if it is.
    pub(crate) verify: Option<Verification>,
}

/// The rule by which two requests are one delivery.
#[derive(Clone, Debug)]
pub(crate) enum IdRule {
    /// An id of the sender's, where the sender is known.
    Sender,
    /// The values of these placeholders, where none is empty.
    Template(Template),
    /// The body.
    BodyHash,
}

impl Capture {
    /// Returns the queue of a webhook, which is not known to be its sender's if it is `unverified`.
    pub(crate) fn queue(&self, unverified: bool) -> &Target {
        self.unverified.as_ref().filter(|_| unverified).unwrap_or(&self.target)
    }
}

/// The configured answer to what is stored.
#[derive(Clone, Debug)]
pub(crate) struct AnswerTemplate {
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
    /// Returns true if some capture has this method, in whatever case: the first question, answered
    /// without the path.
    pub(crate) fn want_method(&self, method: &[u8]) -> bool {
        self.0.iter().any(|capture| capture.methods.contain_in_any_case(method))
    }

    /// Which capture takes a request of this method and target.
    pub(crate) fn position(&self, method: &[u8], target: &[u8]) -> Option<usize> {
        self.0.iter().position(|capture| capture.methods.contain(method) && capture.matcher.is_match(target))
    }

    /// Returns true if a capture would take a request of this method and target if they were
    /// spelled in another way. No capture takes them as they are; an application behind the gateway
    /// may. True also of a path that is too long to tell.
    pub(crate) fn know_by_another_spelling(&self, method: &[u8], target: &[u8]) -> bool {
        let captures = || self.0.iter().filter(|capture| capture.methods.contain_in_any_case(method));
        let path = path_of(target);
        if is_plain(path) && captures().all(|each| each.methods.contain(method) && each.matcher.expects_plain()) {
            return false;
        }
        let Some(plain) = plain(path) else { return true };
        let with_slash = [&plain[..], b"/"].concat();
        let spellings = [&plain, &with_slash, without_format(&plain)];
        captures().any(|capture| spellings.iter().any(|spelling| capture.matcher.is_match_in_any_case(spelling)))
    }

    /// Returns every queue, as often as it is named.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Target> {
        self.0.iter().flat_map(|capture| [&capture.target].into_iter().chain(&capture.unverified))
    }

    /// Returns the headers that signatures and ids are in, for a host that cannot give them all.
    pub(crate) fn needed_headers(&self) -> impl Iterator<Item = String> + '_ {
        let of_signatures = self.0.iter().filter_map(|capture| capture.verify.as_ref()).flat_map(Verification::headers);
        let of_ids = sender_id::headers().filter(|_| !self.0.is_empty());
        of_signatures.map(str::to_owned).chain(of_ids.map(str::to_owned))
    }

    /// Every placeholder in what is stored and answered.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let templates = self.0.iter().flat_map(|capture| {
            let id = match &capture.id {
                IdRule::Template(template) => Some(template),
                IdRule::Sender | IdRule::BodyHash => None,
            };
            id.into_iter().chain(&capture.message_group_id).chain([&capture.response.body])
        });
        templates.flat_map(Template::variables)
    }
}
