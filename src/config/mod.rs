//! The configuration: one JSON object, checked whole before anything starts.
//!
//! A bad configuration never half-works. Every fault is reported at once, with its place
//! (`routes[1].matcher`), what is wrong, and what would be right. Settings belong to the code that
//! obeys them; this reads into them, and owns only those that belong to nobody.

use std::rc::Rc;
use std::time::Duration;

use crate::aws::credentials::settings::Settings as CredentialSettings;
use crate::aws::retry::Retry;
use crate::aws::target::Target;
use crate::capture::Captures;
use crate::exchange::matcher::Matcher;
use crate::exchange::redact::Redact;
use crate::json::{self, JsonPath};
use crate::publish::dead_letter::DeadLetterSettings;
use crate::publish::outbox::settings::{Batch, Bounds};
use crate::publish::route::{Route, Routes};

mod attributes;
mod body;
mod capture;
mod challenge;
mod credentials;
mod delivery;
mod fault;
mod other_syntax;
mod paths;
mod reach;
mod reader;
mod redact;
mod role;
mod route;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod shape;
mod signature;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod verify;
mod webhook;
mod when;

use fault::{borrowed, Checked, Faultbook};
pub use fault::{Fault, Faults};
use reach::Taker;
use reader::{item, member, Field, Reading, Section};
use role::Part;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway that the filter runs in.
    pub(crate) host: HostChoice,
    /// Targets of events, each once, and the queue that dead letters go to.
    pub(crate) targets: Vec<Target>,
    /// Routes: which exchanges become events.
    pub routes: Routes,
    /// Source of credentials.
    pub credentials: CredentialSettings,
    /// Names of confidential values, beside the built-in list.
    pub(crate) redact: Redact,
    /// Packing of events into calls.
    pub(crate) batch: Batch,
    /// Bounds of the queue of each target.
    pub(crate) queue: Bounds,
    /// Choice of a journal of what is queued, in the host's shared data.
    pub(crate) journal: JournalChoice,
    /// Delays before a call that failed is made again.
    pub(crate) retry: Retry,
    /// True if no client can send the header in which Envoy's router keeps a path that it rewrites.
    pub(crate) trusts_original_path: bool,
    /// Fate of events that are given up.
    pub(crate) dead_letter: DeadLetterSettings,
    /// Longest time that one callout may take.
    pub timeout: Duration,
    /// Number of callouts at once, per worker.
    pub(crate) max_in_flight: usize,
    /// Bytes of the longest path that matches anything.
    pub(crate) max_path_bytes: usize,
    /// Captures: which requests are stored before they are answered.
    pub(crate) captures: Rc<Captures>,
    /// Number of webhooks that may be in the middle of being stored, per worker.
    pub(crate) max_captures: usize,
    /// Bytes of webhooks that may be under way, per worker.
    pub(crate) max_capture_bytes: usize,
    /// Bytes of bodies of exchanges that are not over, per worker.
    pub(crate) max_kept_body_bytes: usize,
    /// Warnings: no faults, but probably not meant so.
    pub(crate) warnings: Vec<Fault>,
}

/// The gateway that the filter takes its host for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostChoice {
    /// The gateway that it recognises.
    Auto,
    /// Envoy.
    Envoy,
    /// Kong Gateway, or nginx with Kong's module.
    Kong,
}

/// Choice of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalChoice {
    /// A journal where the host always has shared data.
    Auto,
    /// A journal.
    On,
    /// No journal.
    Off,
}

impl Config {
    /// Reads the JSON text of a configuration that takes nothing from the environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Config, Faults> {
        Config::from_json_in(text, &|_| None)
    }

    /// Reads the JSON text of a configuration, whose secrets may be variables of `environment`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json_in(text: &[u8], environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Faults> {
        let reading = Reading { faults: Faultbook::default(), environment };
        let value = parse(text, &reading.faults);
        let config = borrowed(&value).and_then(|value| {
            let mut root = Field::root(value, &reading).section()?;
            let config = read(&mut root);
            root.finish();
            config
        });
        let (config, warnings) = reading.faults.conclude(config)?;
        Ok(Config { warnings, ..config })
    }
}

/// Parses a text. Two values under one key are a fault wherever they stand: of
/// `"verify": {…}, "verify": null` a parser would keep the last.
fn parse(text: &[u8], faults: &Faultbook) -> Checked<serde_json::Value> {
    let remedy = "give one JSON object: `routes` with `topic_arn` or another target, or `capture`";
    if text.trim_ascii().is_empty() {
        return Err(faults.report("", "the configuration is empty", remedy));
    }
    let report_repeated = |path: JsonPath<'_>| {
        faults.report(&shown(path), "is given twice", "give it once, because nothing says which of the two counts");
    };
    json::tree_of_single_keys(text, &report_repeated).map_err(|error| {
        let remedy = remedy_for_other_forms(text).unwrap_or(remedy);
        faults.report("", &format!("not valid JSON: {error}"), remedy)
    })
}

/// Returns what to do with a text that was never meant to be JSON, as far as its bytes tell.
fn remedy_for_other_forms(text: &[u8]) -> Option<&'static str> {
    /// The byte with which a `Struct` with members begins, also a line break to JSON. The length
    /// behind it may be that of an opening brace.
    const STRUCT: u8 = 0x0a;
    let is_binary = text.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    if is_binary && (text.first() == Some(&STRUCT) || !text.trim_ascii_start().starts_with(b"{")) {
        return Some(
            "it is binary, as Envoy hands on a `Struct`: give `configuration` the `@type` \
             `type.googleapis.com/google.protobuf.StringValue`, and as its `value: |` the text of one JSON object",
        );
    }
    let is_braced = text.trim_ascii_start().starts_with(b"{");
    (!is_braced).then_some("give one JSON object, `{…}`, and no YAML")
}

fn shown(path: JsonPath<'_>) -> String {
    match path {
        JsonPath::Top => String::new(),
        JsonPath::Item(list, index) => item(&shown(*list), index),
        JsonPath::Member(object, key) => member(&shown(*object), key),
    }
}

fn read(root: &mut Section<'_>) -> Checked<Config> {
    let target = target::read(root, None);
    let shape = shape::read_shared(root);
    let sample = when::read_sample(root);
    let attributes = attributes::read_shared(root);
    // The gateways take no path of more than 8 KB unless they are told to.
    let max_path_bytes = root.integer("max_path_bytes", 256..=8_192, 2_048) as usize;
    let timeout = milliseconds(root.integer("timeout_ms", 100..=60_000, 5_000));
    let captures = capture::read(root, max_path_bytes, timeout);
    let role = role::read(root);
    let routes = match role {
        Ok(Part::Sender) => role::read_target(root, target),
        _ => {
            let may_be_without = !matches!(&captures, Ok(captures) if captures.all.is_empty());
            let shared = route::Shared { attributes: &attributes, shape: borrowed(&shape), sample };
            route::read(root, &shared, target, may_be_without)
        }
    };
    let dead_letter = delivery::read_dead_letter(root);
    let calls_aws = !matches!((&routes, &captures, &dead_letter), (Ok((_, targets)), Ok(captures), Ok((_, None, _)))
        if captures.all.is_empty() && targets.iter().all(|target| target.scope.is_none()));
    let credentials = match calls_aws {
        true => credentials::read(root, region(borrowed(&routes), borrowed(&captures))),
        false => credentials::read_unneeded(root),
    };
    let matchers = borrowed(&routes).and_then(|(routes, _)| Ok(matchers(routes, borrowed(&captures)?)));
    let mut redact = redact::read(root, matchers.as_deref().ok());
    if let (Ok(redact), Ok(captures)) = (&mut redact, &captures) {
        redact.query.extend(captures.tokens());
    }
    let batch = delivery::read_batch(root);
    let queue = delivery::read_queue(root, role);
    let retry = delivery::read_retry(root);
    let max_in_flight = root.integer("max_in_flight", 1..=64, 4) as usize;
    let max_captures = root.integer("max_captures", 1..=10_000, 100) as usize;
    // From a message of the largest size that SQS takes, and as much beside it, to a quarter of
    // what 32 bits address.
    // One body of the largest size fits.
    let max_kept_body_bytes = root.integer("max_kept_body_bytes", 1_048_576..=1_073_741_824, 33_554_432) as usize;
    let max_capture_bytes = root.integer("max_capture_bytes", 2_097_152..=1_073_741_824, 33_554_432) as usize;
    let trusts_original_path = root.flag("trust_original_path", false);
    let hosts = [("auto", HostChoice::Auto), ("envoy", HostChoice::Envoy), ("kong", HostChoice::Kong)];
    let host = root.choice("host", &hosts);
    // Editors look there for the schema.
    root.know(&["$schema"]);
    let (routes, mut targets) = routes?;
    let (routes, captures) = (Routes::new(routes, max_path_bytes), captures?);
    reach::check(root, "routes", &|position| routes.all.get(position).map(Taker::of_route));
    reach::check(root, capture::KEY, &|position| captures.all.get(position).map(Taker::of_capture));
    paths::check(root, "routes", &[routes.paths()]);
    paths::check(root, capture::KEY, &captures.paths());
    let (queue, journal) = queue?;
    let (log, letters, mark) = dead_letter?;
    let target = letters.is_some().then_some(targets.len());
    targets.extend(letters);
    Ok(Config {
        host: host?,
        targets,
        routes,
        credentials: credentials?,
        redact: redact?,
        batch,
        queue,
        journal,
        retry: retry?,
        trusts_original_path,
        dead_letter: DeadLetterSettings { log, target, mark },
        timeout,
        max_in_flight,
        captures: Rc::new(captures),
        max_path_bytes,
        max_captures,
        max_capture_bytes,
        max_kept_body_bytes,
        warnings: Vec::new(),
    })
}

/// Returns the region of the first target that has one, or of the first capture.
fn region<'a>(routes: Checked<&'a (Vec<Route>, Vec<Target>)>, captures: Checked<&'a Captures>) -> Checked<&'a str> {
    let (of_routes, of_captures) = (routes?.1.iter(), captures?.all.iter().map(|capture| &capture.target));
    Ok(of_routes.chain(of_captures).map(Target::region).find(|region| !region.is_empty()).unwrap_or_default())
}

fn matchers<'a>(routes: &'a [Route], captures: &'a Captures) -> Vec<&'a Matcher> {
    let of_captures = captures.all.iter().map(|capture| &capture.matcher);
    routes.iter().map(|route| &route.matcher).chain(of_captures).collect()
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}
