//! Previews of what a worker would make of one exchange or of one webhook: for those who try a
//! configuration out. Queues, sends and stores nothing.

use crate::capture::preview::{verdict, WebhookVerdict};
use crate::capture::verify::signing::{SigningError, UnsignedWebhook};
use crate::capture::IntakeSettings;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::redact::Redaction;
use crate::exchange::{ClientRequest, Exchange};
use crate::publish::preview::{EventRules, RouteVerdict};

/// Returns the verdict of each route on an exchange whose bodies are whole. `seed` makes the ids of
/// its events.
pub fn events(config: &Config, exchange: &Exchange<'_>, now: Timestamp, seed: u64) -> Vec<RouteVerdict> {
    let rules = EventRules {
        routes: &config.routes,
        targets: &config.targets,
        redact: &config.redact,
        max_bytes: config.queue.max_bytes,
        max_kept_body_bytes: config.max_kept_body_bytes,
    };
    rules.verdicts(exchange, now, seed)
}

/// Returns what the captures make of a request that is whole at `now`.
pub fn webhook(config: &Config, request: &ClientRequest<'_>, now: Timestamp, seed: u64) -> WebhookVerdict {
    let settings = IntakeSettings {
        at_once: config.max_captures,
        max_bytes: config.max_capture_bytes,
        again: true,
        silent_sender: "",
        retry: config.retry,
    };
    let redaction = Redaction::new(config.redact.clone());
    verdict(&config.captures, redaction, settings, request, now, seed)
}

/// Returns how many captures there are.
pub fn captures(config: &Config) -> usize {
    config.captures.all.len()
}

/// Signs a webhook as the sender of the capture at this position would at `now`, with the first of
/// its secrets. A part that is signed and missing becomes `id`.
///
/// # Errors
/// The reason why that sender alone can sign it, or why nobody can.
pub fn sign(
    config: &Config,
    capture: usize,
    webhook: &mut UnsignedWebhook,
    id: &str,
    now: Timestamp,
) -> Result<(), SigningError> {
    let capture = config.captures.all.get(capture).ok_or(SigningError::NoCapture)?;
    let verify = capture.verify.as_ref().ok_or(SigningError::Unsigned)?;
    verify.sign(webhook, id, now)
}
