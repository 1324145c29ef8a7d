//! The configuration: one JSON object, checked whole before anything starts.
//!
//! A bad configuration never half-works. Every fault is reported at once, with its place (`routes[1].matcher`), what is
//! wrong, and what would be right.

use std::rc::Rc;
use std::time::Duration;

use crate::aws::credentials::settings::Settings as CredentialSettings;
use crate::aws::protocol::MAX_EVENTS;
use crate::aws::retry::Retry;
use crate::aws::target::Target;
use crate::capture::Captures;
use crate::exchange::redact::Redact;
use crate::publish::dead_letter::DeadLetterSettings;
use crate::publish::outbox::settings::{Batch, Bounds, WhenFull};
use crate::publish::route::Routes;

mod attributes;
mod capture;
mod credentials;
mod fault;
mod reader;
mod redact;
mod route;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod verify;

use fault::{borrowed, Checked, Faultbook};
pub use fault::{Fault, Faults};
use reader::{Field, Section};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway that the filter runs in.
    pub host: HostChoice,
    /// Where events go: every target that a route has, once, and the queue that dead letters go to.
    pub targets: Vec<Target>,
    /// Which exchanges become events.
    pub routes: Routes,
    /// Where credentials come from.
    pub credentials: CredentialSettings,
    /// What must not leave the gateway, beside the built-in list.
    pub redact: Redact,
    /// How events are packed into calls.
    pub(crate) batch: Batch,
    /// The bounds of the queue.
    pub(crate) queue: Bounds,
    /// Whether what is queued is also kept in the host's shared data.
    pub journal: JournalChoice,
    /// When what failed is tried again.
    pub retry: Retry,
    /// What is done with events that will not be delivered.
    pub(crate) dead_letter: DeadLetterSettings,
    /// How long one callout may take.
    pub timeout: Duration,
    /// Callouts at once per worker.
    pub max_in_flight: usize,
    /// Which requests are stored before they are answered.
    pub captures: Rc<Captures>,
    /// How many of them may be in the middle of being stored, per worker.
    pub max_captures: usize,
}

/// Which gateway the filter is to take its host for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostChoice {
    /// The one that it recognises.
    Auto,
    /// Envoy.
    Envoy,
    /// Kong Gateway, or nginx with Kong's module.
    Kong,
}

/// Whether there is a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalChoice {
    /// Where shared data is always there.
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}

impl Config {
    /// Reads the JSON text of a configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Config, Faults> {
        let faults = Faultbook::default();
        let value = parse(text, &faults);
        let config = borrowed(&value).and_then(|value| {
            let mut root = Field::root(value, &faults).section()?;
            let config = read(&mut root);
            root.finish();
            config
        });
        faults.conclude(config)
    }
}

fn parse(text: &[u8], faults: &Faultbook) -> Checked<serde_json::Value> {
    let remedy = "give one JSON object with at least `topic_arn` (or `queue_url`, or `event_bus`) and `routes`";
    if text.trim_ascii().is_empty() {
        return Err(faults.report("", "the configuration is empty", remedy));
    }
    serde_json::from_slice(text).map_err(|error| faults.report("", format!("not valid JSON: {error}"), remedy))
}

fn read(root: &mut Section<'_>) -> Checked<Config> {
    let target = target::read(root, None);
    let attributes = attributes::read_shared(root);
    let captures = capture::read(root);
    let may_be_without = !matches!(&captures, Ok(captures) if captures.0.is_empty());
    let routes = route::read(root, &attributes, target, may_be_without);
    let credentials = credentials::read(root, region(borrowed(&routes), borrowed(&captures)));
    let redact = redact::read(root);
    let batch = read_batch(root);
    let queue = read_queue(root);
    let retry = read_retry(root);
    let dead_letter = read_dead_letter(root);
    let timeout = milliseconds(root.integer("timeout_ms", 100..=60_000, 5_000));
    let max_in_flight = root.integer("max_in_flight", 1..=64, 4) as usize;
    let max_captures = root.integer("max_captures", 1..=10_000, 100) as usize;
    let host = root.choice("host", &["auto", "envoy", "kong"]);
    let (routes, mut targets) = routes?;
    let (queue, journal) = queue?;
    let (log, letters) = dead_letter?;
    let target = letters.is_some().then_some(targets.len());
    targets.extend(letters);
    Ok(Config {
        host: match host? {
            "envoy" => HostChoice::Envoy,
            "kong" => HostChoice::Kong,
            _ => HostChoice::Auto,
        },
        targets,
        routes,
        credentials: credentials?,
        redact: redact?,
        batch,
        queue,
        journal,
        retry: retry?,
        dead_letter: DeadLetterSettings { log, target },
        timeout,
        max_in_flight,
        captures: Rc::new(captures?),
        max_captures,
    })
}

/// The region of what is called first: without a fault, there is a target or a capture.
fn region<'a>(routes: Checked<&'a (Routes, Vec<Target>)>, captures: Checked<&'a Captures>) -> Checked<&'a str> {
    if let Some(target) = routes?.1.first() {
        return Ok(&target.region);
    }
    Ok(captures?.0.first().map_or("", |capture| &capture.target.region))
}

fn read_batch(root: &mut Section<'_>) -> Batch {
    let mut section = root.section("batch");
    let batch = Batch {
        max_entries: section.integer("max_entries", 1..=MAX_EVENTS, MAX_EVENTS) as usize,
        max_delay: milliseconds(section.integer("max_delay_ms", 0..=60_000, 100)),
    };
    section.finish();
    batch
}

fn read_queue(root: &mut Section<'_>) -> Checked<(Bounds, JournalChoice)> {
    const DROP_OLDEST: &str = "drop_oldest";
    let mut section = root.section("queue");
    let max_entries = section.integer("max_entries", 1..=1_000_000, 10_000) as usize;
    // A queue has room for one event of the largest size that SNS takes.
    let max_bytes = section.integer("max_bytes", 262_144..=268_435_456, 16_777_216) as usize;
    let max_age = Duration::from_secs(section.integer("max_age_seconds", 1..=4 * 86_400, 3_600).into());
    let when_full = section.choice("when_full", &[DROP_OLDEST, "drop_newest"]);
    let journal = section.choice("journal", &["auto", "on", "off"]);
    section.finish();
    let when_full = if when_full? == DROP_OLDEST { WhenFull::DropOldest } else { WhenFull::DropNewest };
    let journal = match journal? {
        "on" => JournalChoice::On,
        "off" => JournalChoice::Off,
        _ => JournalChoice::Auto,
    };
    Ok((Bounds { max_entries, max_bytes, max_age, when_full }, journal))
}

fn read_retry(root: &mut Section<'_>) -> Checked<Retry> {
    let mut section = root.section("retry");
    let initial_delay = section.integer("initial_delay_ms", 1..=60_000, 50);
    let max_delay = section.integer("max_delay_ms", 100..=300_000, 20_000);
    let checked = if initial_delay > max_delay {
        Err(section.fault_at(
            "initial_delay_ms",
            format!("{initial_delay} is more than max_delay_ms, which is {max_delay}"),
            "give a smaller one, or a larger max_delay_ms",
        ))
    } else {
        Ok(Retry { initial_delay: milliseconds(initial_delay), max_delay: milliseconds(max_delay) })
    };
    section.finish();
    checked
}

/// Whether dead letters are written to the log, and the queue that they go to.
fn read_dead_letter(root: &mut Section<'_>) -> Checked<(bool, Option<Target>)> {
    let mut section = root.section("dead_letter");
    let (log, queue) = (section.flag("log", true), target::read_queue(&mut section));
    section.finish();
    Ok((log, queue?))
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}
