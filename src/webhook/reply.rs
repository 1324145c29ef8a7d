//! Statuses with which a receiver answers, and what each means for the event.
//!
//! The rules are those of [`crate::aws::error`]: what concerns the caller or the target holds every
//! event, and only what can concern nothing but this one event buries it. A receiver answers 400 to
//! a signature that it does not take as often as to an event, so that a 400 is unclear: the event
//! is set aside and tried again slowly, beside others.
//!
//! Never reads the body of an answer, which may repeat what was sent, secrets among it.

use http::StatusCode;

use crate::aws::error::FailureClass::{Denied, EntryTooLarge, Permanent, Throttled, Transient, Unclear};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::callout::Reply;

/// The text of a failure that a receiver has answered. Its code has the status.
const ANSWERED: &str = "the answer of the webhook's receiver";

/// Returns the outcome of a request.
pub(super) fn outcome(reply: &Reply) -> Outcome {
    let status = match reply {
        Reply::Response(response) => response.status(),
        Reply::NoResponse(reason) => return Outcome::Failed(Failure::new(Transient, "NoReply", reason)),
    };
    let Some((class, mend)) = meaning(status) else { return Outcome::Delivered };
    let code = format!("Status {}", status.as_u16());
    Outcome::Failed(Failure { mend, ..Failure::new(class, &code, ANSWERED) })
}

/// Returns the class of a status that is no success, and what an operator can do about it.
fn meaning(status: StatusCode) -> Option<(FailureClass, Option<&'static str>)> {
    let refused = |mend| (Denied, Some(mend));
    Some(match status.as_u16() {
        200..=299 => return None,
        300..=399 => refused("redirects are not followed: give the URL that it leads to as `webhook_url`"),
        400 => (Unclear, Some("it takes the event or its signature for wrong: compare `webhook.secrets` with its own")),
        401 | 403 | 407 => refused("it does not take the caller: correct `webhook.secrets` and `webhook.headers`"),
        404 | 405 => refused("it takes no POST there: correct `webhook_url`"),
        408 | 425 => (Transient, None),
        410 => refused("it wants no more events: remove the routes to it, or give them another `webhook_url`"),
        413 => (EntryTooLarge, None),
        422 => (Permanent, None),
        429 => (Throttled, None),
        401..=499 => refused("ask who runs the receiver, and look at the proxies on the way"),
        _ => (Transient, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::testing::response;

    fn failure(status: u16) -> Option<Failure> {
        match outcome(&response(status, "Bearer secret")) {
            Outcome::Delivered => None,
            Outcome::Failed(failure) => Some(failure),
        }
    }

    #[test]
    fn every_status_has_its_class() {
        for status in 100..1_000 {
            let expected = match status {
                200..=299 => None,
                400 => Some(Unclear),
                408 | 425 => Some(Transient),
                413 => Some(EntryTooLarge),
                422 => Some(Permanent),
                429 => Some(Throttled),
                300..=499 => Some(Denied),
                _ => Some(Transient),
            };
            assert_eq!(failure(status).map(|failure| failure.class), expected, "{status}");
        }
    }

    #[test]
    fn what_is_held_says_how_to_mend_it_and_nothing_of_what_was_answered() {
        for status in 100..1_000 {
            let Some(failure) = failure(status) else { continue };
            let said = failure.explained();
            assert!(said.starts_with(&format!("Status {status}: the answer of")) && !said.contains("Bearer"), "{said}");
            assert_eq!(failure.class.is_held(), said.contains("; "), "{said}");
            assert!(!failure.is_unworded());
        }
        assert!(failure(410)
            .unwrap()
            .explained()
            .ends_with("it wants no more events: remove the routes to it, or give them another `webhook_url`"));
    }

    #[test]
    fn no_answer_is_worth_another_try() {
        let Outcome::Failed(failure) = outcome(&Reply::NoResponse("reset".into())) else { panic!() };
        assert_eq!((failure.class, failure.code.as_str(), failure.message.as_str()), (Transient, "NoReply", "reset"));
    }
}
