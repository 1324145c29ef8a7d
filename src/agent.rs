//! All that one worker does, without I/O: exchanges, webhooks and replies go in; callouts, answers,
//! metrics, notices and dead letters come out. The agent shares out the callouts that the host
//! allows between credentials and events. The calls of webhooks are beside those, because their
//! senders wait for them.

#[cfg(not(target_arch = "wasm32"))]
pub mod preview;

use std::rc::Rc;

use crate::aws::credentials::{CredentialsCall, Keeper};
use crate::aws::signer::Signer;
use crate::callout::{Callout, Limits, Reply};
use crate::capture::{Answer, CaptureCall, CaptureId, Intake, IntakeSettings};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::long_paths::LongPaths;
use crate::exchange::redact::Redaction;
use crate::metrics::{MetricChange, Updates};
use crate::notice::Notice;
use crate::publish::queue::Store;
use crate::publish::{PublishCall, Publisher, PublisherSettings};

/// Names a callout, so that its reply finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Delivers events.
    Batch(PublishCall),
    /// Asks for credentials.
    Credentials(CredentialsCall),
    /// Stores webhooks.
    Capture(CaptureCall),
}

/// The work of one worker. Routes are not in here, because nothing that happens changes them.
///
/// The agent never calls anybody: its driver passes on what happens and asks what follows.
/// There are four kinds of methods, on the agent itself and on its two handles,
/// [`Agent::publishing`] and [`Agent::capturing`]:
///
/// 1. Inputs say what has happened, and when: [`Publisher::accept`], [`Intake::admit`],
///    [`Intake::complete`], [`Agent::handle_reply`], and so on. None of them returns a callout.
/// 2. Polls give out what is due: [`Agent::poll`], [`Agent::poll_capture`] and, after that,
///    [`Agent::poll_capture_call`]. Call [`Agent::poll`] after any input, until it gives nothing.
///    Each callout owes a reply to [`Agent::handle_reply`], also when it could not be started.
/// 3. Queries change nothing: [`Agent::awaits`], [`Agent::is_idle`].
/// 4. Visits take what has gathered: [`Agent::take_metric_updates`], [`Agent::take_notices`], and
///    the dead letters and the released responses of the publisher.
///
/// A tick does these in order: it tends the queues, so that what they give is sent with the rest;
/// polls; releases the responses whose events are settled; takes the dead letters, then metrics and
/// notices, which tell of all that; and polls the captures that are due ([`Agent::due_captures`]),
/// whose answers come last.
///
/// ```
/// use std::time::Duration;
///
/// use retrohook::agent::Agent;
/// use retrohook::aws::credentials::keeper;
/// use retrohook::callout::{Limits, Reply};
/// use retrohook::clock::Timestamp;
/// use retrohook::config::Config;
/// use retrohook::exchange::{ClientRequest, ClientResponse, Exchange};
///
/// let config = Config::from_json(br#"{
///     "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
///     "routes": [{"method": "PUT", "matcher": "/profile"}],
///     "credentials": {
///         "source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"
///     }
/// }"#)?;
/// let limits = Limits {
///     at_once: 4,
///     deadline: Duration::from_secs(6),
///     retries_captures: true,
///     silent_sender: "the rest of a webhook did not come",
/// };
/// let keeper = keeper(&config.credentials, &|_| None, config.timeout, limits.deadline, 7)?;
/// let mut agent = Agent::new(&config, keeper, limits, None, 7);
///
/// // A client has changed its profile, and the route wants to tell of it.
/// let now = Timestamp(1_767_268_800_000);
/// let (method, target) = ("PUT".into(), "/profile/42".into());
/// let request = ClientRequest { method, target, ..ClientRequest::default() };
/// let response = ClientResponse { status: 200, ..ClientResponse::default() };
/// let route = config.routes.find("PUT", "/profile/42", 200).expect("a route wants it");
/// agent.publishing().accept(Exchange { request, response, ..Exchange::default() }, route, now);
///
/// // The event waits 100 ms for others, and goes out signed.
/// assert!(agent.poll(now).is_none());
/// let (call, callout) = agent.poll(now + Duration::from_millis(100)).expect("it is due");
/// assert_eq!(callout.upstream, "sns.us-east-1.amazonaws.com:443");
///
/// // SNS has it: nothing is left to do.
/// let message_id = "<PublishResult><MessageId>m-1</MessageId></PublishResult>";
/// let body = format!("<PublishResponse>{message_id}</PublishResponse>").into();
/// agent.handle_reply(call, &Reply::Response(http::Response::new(body)), now);
/// assert!(agent.is_idle());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Agent {
    signer: Signer,
    publisher: Publisher,
    intake: Intake,
    long_paths: LongPaths,
    at_once: usize,
}

impl Agent {
    /// Creates an agent with nothing to do, which keeps to the host's `limits`. It signs with what
    /// `keeper` has; without one nothing is signed. Where there is a `store`, its queue outlives it
    /// there. `seed` makes the ids of its events and its retries differ from those of other
    /// workers.
    pub fn new(
        config: &Config,
        keeper: Option<Keeper>,
        limits: Limits,
        store: Option<&Rc<dyn Store>>,
        seed: u64,
    ) -> Agent {
        let publisher = PublisherSettings {
            targets: config.targets.clone(),
            dead_letter: config.dead_letter.clone(),
            redact: config.redact.clone(),
            max_kept_body_bytes: config.max_kept_body_bytes,
            batch: config.batch,
            bounds: config.queue,
            retry: config.retry,
            timeout: config.timeout,
            limits,
        };
        let intake = IntakeSettings {
            at_once: config.max_captures,
            max_bytes: config.max_capture_bytes,
            again: limits.retries_captures,
            silent_sender: limits.silent_sender,
            retry: config.retry,
        };
        let redaction = Redaction::new(config.redact.clone());
        Agent {
            signer: Signer::new(keeper),
            publisher: Publisher::new(publisher, store, seed),
            intake: Intake::new(config.captures.clone(), redaction, intake, seed),
            long_paths: LongPaths::new(config.max_path_bytes),
            at_once: limits.at_once,
        }
    }

    /// Returns the publishing wing: exchanges go in here; released responses and dead letters come
    /// out.
    pub fn publishing(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// Returns the capturing wing: webhooks go in here.
    pub fn capturing(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// Notes requests whose paths were too long to be looked at.
    pub(crate) fn note_long_paths(&mut self, count: u64) {
        self.long_paths.add(count);
    }

    /// Returns the next callout to make for events or credentials, if one is due. Its reply is owed
    /// to [`Agent::handle_reply`], also when the host could not start it. Credentials go before all
    /// else.
    pub fn poll(&mut self, now: Timestamp) -> Option<(Call, Callout)> {
        if self.signer.is_asking() || self.publisher.in_flight() < self.at_once {
            if let Some((call, callout)) = self.signer.poll(now) {
                return Some((Call::Credentials(call), callout));
            }
        }
        let at_once = self.at_once.saturating_sub(usize::from(self.signer.is_busy(now)));
        if self.publisher.in_flight() >= at_once {
            self.publisher.tend(now);
            return None;
        }
        let (call, callout) = self.publisher.poll(&self.signer, at_once, now)?;
        Some((Call::Batch(call), callout))
    }

    /// Returns the answer to the sender of a capture, if that is over. Else it needs time, and
    /// maybe a call.
    pub fn poll_capture(&mut self, id: CaptureId, now: Timestamp) -> Option<Answer> {
        if cfg!(feature = "capture") {
            self.intake.poll(id, &self.signer, now)
        } else {
            None
        }
    }

    /// Returns the next callout to make for captures, if one is due. Its reply is owed to
    /// [`Agent::handle_reply`], also when the host could not start it.
    pub fn poll_capture_call(&mut self, now: Timestamp) -> Option<(Call, Callout)> {
        if !cfg!(feature = "capture") {
            return None;
        }
        let (call, callout) = self.intake.poll_call(&self.signer, now)?;
        Some((Call::Capture(call), callout))
    }

    /// Returns the captures that are to be polled because time has passed; few at once, and what is
    /// left out is due still.
    pub fn due_captures(&mut self, now: Timestamp) -> Vec<CaptureId> {
        if cfg!(feature = "capture") {
            self.intake.due(self.signer.is_ready(now), now)
        } else {
            Vec::new()
        }
    }

    /// Handles the reply to a callout; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(&mut self, call: Call, reply: &Reply, now: Timestamp) {
        match call {
            Call::Credentials(call) => self.signer.handle_reply(call, reply, now),
            Call::Capture(_) if !cfg!(feature = "capture") => {}
            Call::Capture(call) => self.intake.handle_reply(call, reply, &mut self.signer, now),
            Call::Batch(call) => self.publisher.handle_reply(call, reply, &mut self.signer, now),
        }
    }

    /// Returns true if the reply to `call` is still awaited.
    pub fn awaits(&self, call: Call) -> bool {
        match call {
            Call::Batch(call) => self.publisher.awaits(call),
            Call::Credentials(call) => self.signer.awaits(call),
            Call::Capture(call) => self.intake.awaits(call),
        }
    }

    /// Returns true if nothing is left that this worker has to send, and neither a response nor the
    /// sender of a webhook waits.
    pub fn is_idle(&self) -> bool {
        self.publisher.is_done() && !self.publisher.has_releases() && self.intake.is_empty()
    }

    /// Returns true if nothing of this worker waits, and it neither sends for others nor is about
    /// to: what time alone asks for has time, too.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_idle() && self.publisher.sends_for_nobody()
    }

    /// Returns true if nothing is queued or under way, so that the next tick has time. What waits
    /// for credentials is queued somewhere.
    pub(crate) fn has_nothing_to_send(&self, now: Timestamp) -> bool {
        self.publisher.has_nothing_to_send() && self.signer.is_ready(now) && !self.signer.is_busy(now)
    }

    /// Visits every part, and returns what changed in the metrics since the last visit.
    /// `sums_gauges` is true where the host's gauges are sums that workers add to.
    pub fn take_metric_updates(&mut self, sums_gauges: bool, now: Timestamp) -> Vec<MetricChange> {
        let mut updates = Updates::default();
        self.publisher.visit_metrics(sums_gauges, now, &mut updates);
        self.intake.visit_metrics(&mut updates);
        self.long_paths.visit_metrics(&mut updates);
        updates.into_vec()
    }

    /// Visits every part, and returns what the operator should read, since the last visit.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let (events, webhooks) = (self.publisher.waiting_for_credentials(), self.intake.waiting());
        let mut notices = self.signer.take_notices(now, events, webhooks);
        notices.extend(self.publisher.take_notices(now));
        notices.extend(self.intake.take_notices(now));
        notices.extend(self.long_paths.take_notice(now));
        notices
    }
}
