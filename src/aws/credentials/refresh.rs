//! Keeps credentials fresh: asks their source ahead of their end, with one call at a time, and
//! never stops trying.
//!
//! Never hands out credentials that AWS has called expired, and credentials whose own time is over
//! only within the grace below.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Credentials, Provider, SourceError, Step};
use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// The times by which a keeper acts.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The time after which a call counts as lost.
    pub deadline: Duration,
    /// The time before their end at which credentials are refreshed, but never before half of their
    /// time is over. (The instance metadata service has new ones at least five minutes before the
    /// end of the old: EC2 User Guide, "Retrieve security credentials".)
    pub ahead: Duration,
    /// The time, and up to half of it more, for which credentials are used beyond their end while
    /// their source is down. The AWS SDK for Rust uses them for ten to fifteen minutes, too: AWS
    /// may honour them, and if it does not, it refuses them once.
    pub grace: Duration,
    /// The pause after the first failed try; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            deadline: Duration::from_secs(6),
            ahead: Duration::from_secs(300),
            grace: Duration::from_secs(600),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// The name of a call for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialsCall(u64);

/// The name of credentials. Newer ones have a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// Credentials that are held.
struct HeldCredentials {
    credentials: Credentials,
    generation: Generation,
    /// The end of their use, as long as their source works.
    end: Option<Timestamp>,
    /// The end of their use while their source is down.
    end_of_grace: Option<Timestamp>,
}

/// Expired credentials that are remembered. A source that gives older ones is out of order anyway.
const EXPIRED_KEPT: usize = 8;

/// Credentials that AWS does not know, or not yet.
struct Unknown {
    credentials: Credentials,
    /// The time before which they are not used again, even if their source still gives them.
    until: Timestamp,
}

/// The progress of a call for credentials.
enum State {
    /// Nothing is asked until then, or ever if nothing can change.
    Waiting(Option<Timestamp>),
    /// The provider wants a call.
    Ready(Box<Callout>),
    /// The call is under way.
    Asking { call: CredentialsCall, deadline: Timestamp },
}

/// The content of the last notice.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Fine,
    Failing(String),
    None(String),
}

/// Holds credentials and drives their source.
pub struct Keeper {
    provider: Box<dyn Provider>,
    timing: Timing,
    state: State,
    held: Option<HeldCredentials>,
    /// Credentials that AWS has called expired.
    expired: VecDeque<Credentials>,
    unknown: Option<Unknown>,
    /// Refusals in a row of one set of credentials.
    refusals: u32,
    /// Failed tries in a row.
    failures: u32,
    last_error: Option<SourceError>,
    asked_at: Timestamp,
    /// The host's time at the last look.
    last: Timestamp,
    next_call: u64,
    next_generation: u64,
    told: Told,
    rng: fastrand::Rng,
}

impl Keeper {
    /// Makes a keeper that holds nothing yet and asks `provider` at the first [`Keeper::poll`].
    /// `seed` drives the jitter.
    pub fn new(provider: Box<dyn Provider>, timing: Timing, seed: u64) -> Keeper {
        Keeper {
            provider,
            timing,
            state: State::Waiting(Some(Timestamp(0))),
            held: None,
            expired: VecDeque::new(),
            unknown: None,
            refusals: 0,
            failures: 0,
            last_error: None,
            asked_at: Timestamp(0),
            last: Timestamp(0),
            next_call: 0,
            next_generation: 0,
            told: Told::Nothing,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns the credentials to sign with now.
    pub fn current(&self, now: Timestamp) -> Option<(Generation, &Credentials)> {
        let held = self.held.as_ref()?;
        let end = if self.failures > 0 { held.end_of_grace } else { held.end };
        end.is_none_or(|end| now < end).then_some((held.generation, &held.credentials))
    }

    /// Returns the call to make, if it is time for one. Its reply is owed to
    /// [`Keeper::handle_reply`], also if the host could not start it. Sources that need no call are
    /// asked here, too.
    pub fn poll(&mut self, now: Timestamp) -> Option<(CredentialsCall, Callout)> {
        self.follow(now);
        match self.state {
            State::Asking { call, deadline } if deadline <= now => {
                self.handle_reply(call, &Reply::NoResponse("no reply before the deadline".to_owned()), now);
            }
            State::Waiting(Some(at)) if at <= now => {
                self.asked_at = now;
                let step = self.provider.begin(now);
                self.take(step, now);
            }
            _ => {}
        }
        let call = CredentialsCall(self.next_call);
        let asking = State::Asking { call, deadline: now + self.timing.deadline };
        match std::mem::replace(&mut self.state, asking) {
            State::Ready(callout) => {
                self.next_call += 1;
                Some((call, *callout))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Follows a clock that was set back: what is due in a second is due in a second still. One that
    /// was set forward makes a call come sooner, and does no harm.
    fn follow(&mut self, now: Timestamp) {
        let back = self.last.since(now);
        self.last = now;
        if back.is_zero() {
            return;
        }
        let earlier = |time: &mut Timestamp| *time = time.before(back);
        earlier(&mut self.asked_at);
        if let Some(unknown) = &mut self.unknown {
            earlier(&mut unknown.until);
        }
        match &mut self.state {
            State::Waiting(Some(time)) | State::Asking { deadline: time, .. } => earlier(time),
            State::Waiting(None) | State::Ready(_) => {}
        }
    }

    /// Returns true if a call is due or under way.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        match self.state {
            State::Waiting(at) => at.is_some_and(|at| at <= now),
            State::Ready(_) | State::Asking { .. } => true,
        }
    }

    /// Returns true if a call is under way.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    /// Returns true if the reply to `call` is still awaited.
    pub fn awaits(&self, call: CredentialsCall) -> bool {
        matches!(self.state, State::Asking { call: awaited, .. } if awaited == call)
    }

    /// Handles the outcome of `call`; ignored after its deadline.
    pub fn handle_reply(&mut self, call: CredentialsCall, reply: &Reply, now: Timestamp) {
        if self.awaits(call) {
            let step = self.provider.handle_reply(reply, now);
            self.take(step, now);
        }
    }

    /// Takes back the credentials of `generation`, because AWS refused a request that was signed
    /// with them: it does not know them, or, `for_good`, they have expired. Their source is asked.
    ///
    /// Credentials that AWS does not know may be new and not known everywhere yet. If their source
    /// still gives them, they are used again after a pause, which grows. Expired ones are never
    /// used again.
    ///
    /// Returns true if their source may have others: not of keys without an end, nor of what it has
    /// given again after a refusal.
    pub fn refused(&mut self, generation: Generation, for_good: bool, now: Timestamp) -> bool {
        let Some(held) = self.held.take_if(|held| held.generation == generation) else { return true };
        let mut others = held.credentials.session_token.is_some();
        // Keys without a token have no end.
        if for_good && others {
            self.expired.truncate(EXPIRED_KEPT - 1);
            self.expired.push_front(held.credentials);
        } else {
            self.refusals += 1;
            let until = now + self.pause(self.refusals);
            self.unknown = Some(Unknown { credentials: held.credentials, until });
            others &= self.refusals == 1;
        }
        if let State::Waiting(_) = self.state {
            self.state = State::Waiting(Some(now.max(self.asked_at + self.timing.first_pause)));
        }
        others
    }

    fn take(&mut self, step: Step, now: Timestamp) {
        match step {
            Step::Call(callout) => self.state = State::Ready(Box::new(callout)),
            Step::Done(Ok(credentials)) => self.found(credentials, now),
            Step::Done(Err(error)) => self.failed(error, now),
        }
    }

    fn found(&mut self, credentials: Credentials, now: Timestamp) {
        if self.expired.contains(&credentials) {
            return self.failed(still_refused(), now);
        }
        match &self.unknown {
            Some(unknown) if unknown.credentials == credentials => {
                if now < unknown.until {
                    self.state = State::Waiting(Some(unknown.until));
                    return;
                }
            }
            _ => self.refusals = 0,
        }
        let end = credentials.expires_at;
        if self.held.as_ref().is_none_or(|held| held.credentials != credentials) {
            let grace = self.timing.grace + share(self.timing.grace / 2, self.rng.u32(0..=1_000));
            let generation = Generation(self.next_generation);
            self.next_generation += 1;
            self.held =
                Some(HeldCredentials { credentials, generation, end, end_of_grace: end.map(|end| end + grace) });
        }
        if end.is_some_and(|end| end <= now) {
            return self.failed(already_ended(), now);
        }
        self.failures = 0;
        self.last_error = None;
        self.state = State::Waiting(end.map(|end| self.ask_before(end, now)));
    }

    /// Returns the time to ask again for credentials that end at `end`. While the source has
    /// nothing newer, it is asked again after half of the time that is left.
    fn ask_before(&mut self, end: Timestamp, now: Timestamp) -> Timestamp {
        let left = end.since(now);
        let jitter = self.rng.u32(0..=1_000);
        let ahead = self.timing.ahead + share(self.timing.ahead / 5, jitter);
        let wait = left.saturating_sub(ahead).max(left / 2 + share(left / 10, jitter));
        now + wait.max(self.timing.first_pause)
    }

    fn failed(&mut self, error: SourceError, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(error);
        let pause = self.pause(self.failures);
        self.state = State::Waiting(Some(now + pause));
    }

    /// Returns a pause from half of a bound to all of it. The bound doubles with each of `count`.
    fn pause(&mut self, count: u32) -> Duration {
        let Timing { first_pause, longest_pause, .. } = self.timing;
        let bound = first_pause.saturating_mul(2u32.saturating_pow(count.saturating_sub(1))).min(longest_pause);
        bound / 2 + share(bound / 2, self.rng.u32(0..=1_000))
    }

    /// Returns the notices for the operator since the last time. So many events and webhooks wait.
    pub fn take_notices(&mut self, now: Timestamp, events: usize, webhooks: usize) -> Vec<Notice> {
        let current = self.current(now);
        let told = match (&self.last_error, current) {
            (None, None) => return Vec::new(),
            (None, Some(_)) => Told::Fine,
            (Some(error), Some(_)) => Told::Failing(error.to_string()),
            (Some(error), None) => Told::None(error.to_string()),
        };
        if told == self.told {
            return Vec::new();
        }
        let temporary = current.and_then(|(_, credentials)| credentials.expires_at);
        let notice = match &told {
            Told::Nothing => None,
            Told::Fine => temporary.filter(|_| self.told != Told::Nothing || self.next_call > 0).map(|end| Notice {
                level: Level::Info,
                text: format!("credentials: there are some, good for {} s", end.since(now).as_secs()),
            }),
            Told::Failing(error) => Some(Notice {
                level: Level::Warn,
                text: format!("credentials: the refresh fails and will be tried again; the old ones are used: {error}"),
            }),
            Told::None(error) => {
                let waiting = match (events, webhooks) {
                    (0, 0) => String::new(),
                    (_, 0) => format!("{events} event(s) wait, "),
                    (0, _) => format!("{webhooks} webhook(s) wait, "),
                    _ => format!("{events} event(s) and {webhooks} webhook(s) wait, "),
                };
                let text = format!("credentials: there are none, {waiting}and it will be tried again: {error}");
                Some(Notice { level: Level::Error, text })
            }
        };
        self.told = told;
        notice.into_iter().collect()
    }
}

/// Returns `jitter` thousandths of `whole`.
fn share(whole: Duration, jitter: u32) -> Duration {
    whole.saturating_mul(jitter) / 1_000
}

fn still_refused() -> SourceError {
    SourceError::new(
        "the source of the credentials",
        "the same credentials again, which AWS has called expired",
        "temporary keys in the configuration or the environment end with their session: give new ones, or a source that \
         refreshes itself",
    )
}

fn already_ended() -> SourceError {
    SourceError::new(
        "the source of the credentials",
        "credentials whose time is over",
        "the source may be out of order, or the host's clock wrong; it is asked again",
    )
}

#[cfg(test)]
mod tests;
