//! Capture: an inbound webhook is stored in a queue, a topic or an event bus before it is answered,
//! and the gateway itself answers it.
//!
//! A sender gets a 2xx only where AWS has said that it has the message; in every other case a
//! status at which it tries again, or one that says why it need not. No I/O: what came and the time
//! go in, calls and answers come out.

mod answers;
mod attempts;
mod call_table;
pub(crate) mod challenge;
mod counts;
mod delivery_id;
mod distrust;
mod envelope;
mod intake;
mod lines;
#[cfg(not(target_arch = "wasm32"))]
pub mod preview;
mod room;
mod schedule;
mod sender_id;
mod shares;
mod storing;
#[cfg(test)]
mod tests;
mod trouble;
pub mod verify;

use std::cell::Cell;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::aws::retry::Retry;
use crate::aws::target::Target;
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::path_of;
use crate::exchange::search::PathSearch;
use crate::exchange::spelling::{is_plain, plain, without_format};
use crate::exchange::template::{Template, Variable};
use crate::exchange::ClientRequest;
use crate::secret::Key;
use challenge::Challenge;
pub use intake::Intake;
pub use room::Size;
use verify::Verification;

/// Names a capture: the host's id of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureId(pub u32);

/// Names a call that stores webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureCall(pub u64);

/// Everything that an intake obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeSettings {
    /// Webhooks in the middle of being stored, at most.
    pub(crate) at_once: usize,
    /// Bytes of the webhooks under way, at most.
    pub(crate) max_bytes: usize,
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
    /// The topic, queue or event bus that they are stored in.
    pub(crate) target: Target,
    /// The target of those whose signature is not good, if they have one of their own.
    pub(crate) unverified: Option<Target>,
    /// The group whose order a FIFO target keeps.
    pub(crate) message_group_id: Option<Template>,
    /// A larger body is refused.
    pub(crate) max_body_bytes: usize,
    /// What the sender gets when it is stored.
    pub(crate) response: AnswerTemplate,
    /// How long a sender waits at most, once it has sent all, and how long it may keep the gateway
    /// waiting before.
    pub(crate) patience: Duration,
    /// How the signature is checked, if it is.
    pub(crate) verify: Option<Verification>,
    /// Requests that are answered and not stored.
    pub(crate) challenges: Vec<Challenge>,
    /// Methods of challenges that webhooks do not have.
    pub(crate) asked_by: Methods,
    /// Headers that are stored although they are confidential, in lower case.
    pub(crate) kept_headers: Vec<String>,
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
    /// Returns the target of a webhook, which is not known to be its sender's if it is
    /// `unverified`.
    pub(crate) fn target(&self, unverified: bool) -> &Target {
        self.unverified.as_ref().filter(|_| unverified).unwrap_or(&self.target)
    }

    /// Returns the challenge that a request is, if it is one.
    pub(crate) fn challenge(&self, request: &ClientRequest<'_>) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.is(request))
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
pub(crate) struct Captures {
    /// The captures.
    pub(crate) all: Vec<Capture>,
    paths: PathSearch,
    paths_in_any_case: PathSearch,
    /// Paths that were too long to be looked at, since the last visit.
    too_long: Cell<u64>,
}

impl Captures {
    /// Prepares to look for these captures in paths of at most `max_path_bytes`.
    pub(crate) fn new(mut all: Vec<Capture>, max_path_bytes: usize) -> Captures {
        let asks = |capture: &&Capture| capture.challenges.iter().any(Challenge::signs_nonces);
        let keys = all.iter().filter(asks).filter_map(|capture| capture.verify.as_ref()).flat_map(|each| &each.keys);
        let keys: Vec<Key> = keys.cloned().collect();
        for verify in all.iter_mut().filter_map(|capture| capture.verify.as_mut()) {
            verify.refuses_nonces = verify.makes_hmacs() && verify.keys.iter().any(|key| keys.contains(key));
        }
        let matchers: Vec<&Matcher> = all.iter().map(|capture| &capture.matcher).collect();
        let paths = PathSearch::new(&matchers, max_path_bytes, false);
        // A plain spelling may have a slash more at its start, and one at its end.
        let paths_in_any_case = PathSearch::new(&matchers, max_path_bytes + 2, true);
        Captures { all, paths, paths_in_any_case, too_long: Cell::default() }
    }

    /// Returns true if some capture has this method, in whatever case: the first question, answered
    /// without the path.
    pub(crate) fn want_method(&self, method: &[u8]) -> bool {
        self.all.iter().any(|capture| capture.methods.contain_in_any_case(method) || capture.asked_by.contain(method))
    }

    /// Returns the position of the capture that takes a request of this method and target.
    pub(crate) fn position(&self, method: &[u8], target: &[u8]) -> Option<usize> {
        let is_wanted = |position: &usize| self.all.get(*position).is_some_and(|each| each.methods.contain(method));
        self.paths.find(target)?.positions().find(is_wanted)
    }

    /// Returns the position of the capture whose challenges may have this method, which its
    /// webhooks have not, and this target.
    pub(crate) fn asked(&self, method: &[u8], target: &[u8]) -> Option<usize> {
        // Most captures have no such methods, and a path is long.
        if !self.all.iter().any(|capture| capture.asked_by.contain(method)) {
            return None;
        }
        let is_asked = |position: &usize| self.all.get(*position).is_some_and(|each| each.asked_by.contain(method));
        self.paths.find(target)?.positions().find(is_asked)
    }

    /// Returns true if a capture would take a request of this method and target if they were
    /// spelled in another way. No capture takes them as they are; an application behind the gateway
    /// may. True also of a path that is too long to tell.
    pub(crate) fn know_by_another_spelling(&self, method: &[u8], target: &[u8]) -> bool {
        if !self.all.iter().any(|capture| capture.methods.contain_in_any_case(method)) {
            return false;
        }
        let Some(path) = self.paths.bounded(target).map(path_of) else {
            self.too_long.set(self.too_long.get() + 1);
            return true;
        };
        let mut captures = self.all.iter().filter(|capture| capture.methods.contain_in_any_case(method));
        if is_plain(path) && captures.all(|each| each.methods.contain(method) && each.matcher.expects_plain()) {
            return false;
        }
        let plain = plain(path);
        let with_slash = [&plain[..], b"/"].concat();
        let has_method =
            |position: usize| self.all.get(position).is_some_and(|capture| capture.methods.contain_in_any_case(method));
        let is_known = |spelling: &[u8]| {
            self.paths_in_any_case.find(spelling).is_none_or(|found| found.positions().any(has_method))
        };
        let spellings = [&plain, &with_slash, without_format(&plain)];
        spellings.iter().any(|spelling| is_known(spelling))
    }

    /// Returns how many paths were too long to be looked at, since the last visit.
    pub(crate) fn take_too_long(&self) -> u64 {
        self.too_long.take()
    }

    /// Returns the searches, for those who ask what they cost.
    pub(crate) fn paths(&self) -> [&PathSearch; 2] {
        [&self.paths, &self.paths_in_any_case]
    }

    /// Returns every target, as often as it is named.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.all.iter().flat_map(|capture| [&capture.target].into_iter().chain(&capture.unverified))
    }

    /// Returns the headers that signatures and ids are in, for a host that cannot give them all.
    pub(crate) fn needed_headers(&self) -> impl Iterator<Item = String> + '_ {
        let of_signatures =
            self.all.iter().filter_map(|capture| capture.verify.as_ref()).flat_map(Verification::headers);
        let of_ids = sender_id::headers().filter(|_| !self.all.is_empty());
        of_signatures.map(str::to_owned).chain(of_ids.map(str::to_owned))
    }

    /// Returns the query parameters that hold secrets, in lower case.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().filter_map(|capture| capture.verify.as_ref()).flat_map(Verification::tokens)
    }

    /// Every placeholder in what is stored and answered, signatures left out.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let challenges = self.all.iter().flat_map(|capture| &capture.challenges).flat_map(Challenge::variables);
        let templates = self.all.iter().flat_map(|capture| {
            let id = match &capture.id {
                IdRule::Template(template) => Some(template),
                IdRule::Sender | IdRule::BodyHash => None,
            };
            id.into_iter().chain(&capture.message_group_id).chain([&capture.response.body])
        });
        templates.flat_map(Template::variables).chain(challenges)
    }
}
