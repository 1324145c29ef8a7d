//! `retrohook event`: the events that a configuration would make of a request and its response.

use std::process::ExitCode;

use clap::Args;
use retrohook::agent::preview;
use retrohook::publish::preview::{EventPreview, RouteVerdict};
use serde_json::{json, Value};

use crate::document::of_json;
use crate::loaded::{self, Loaded};
use crate::report::{self, Failure};
use crate::request::{time, Recorded};

/// Show the events that a request becomes: which routes take it, why the others do not, and each
/// event as it would be sent.
///
/// The exit code is 0 if the request becomes an event, 1 if it becomes none or FILE has a fault,
/// and 2 if a file cannot be read.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: loaded::ConfigurationFile,
    /// The request and its response (docs/cli.md has the form).
    #[arg(long, value_name = "FILE")]
    request: String,
    /// Write the verdicts as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(all) = arguments.configuration.good()? else { return Ok(ExitCode::FAILURE) };
    let recorded = Recorded::read(&arguments.request)?;
    let now = time(None)?;
    let verdicts = |loaded: &Loaded| -> Vec<RouteVerdict> {
        let config = loaded.checked.config.as_ref();
        config.map(|config| preview::events(config, &recorded.exchange(now), now, now.0)).unwrap_or_default()
    };
    let verdicts: Vec<(&Loaded, Vec<RouteVerdict>)> = all.iter().map(|loaded| (loaded, verdicts(loaded))).collect();
    let verdicts: Vec<_> = verdicts.into_iter().filter(|(_, verdicts)| !verdicts.is_empty()).collect();
    if arguments.json {
        let of_one = |(loaded, verdicts): &(&Loaded, Vec<RouteVerdict>)| {
            let line = loaded.line();
            let all = verdicts.iter().enumerate().map(|(position, verdict)| as_json(line, position, verdict));
            all.collect::<Vec<Value>>()
        };
        let routes: Vec<Value> = verdicts.iter().flat_map(of_one).collect();
        report::line(format!("{:#}", json!({"request": recorded.title(), "routes": routes})));
    } else {
        report::line(format!("{}: {}, answered {}", recorded.file(), recorded.title(), recorded.status()));
        for (loaded, of_one) in &verdicts {
            if verdicts.len() > 1 {
                report::line(format!("configuration of {}:", loaded.place()));
            }
            of_one.iter().enumerate().for_each(|(position, verdict)| tell(position, verdict));
        }
        if verdicts.is_empty() {
            report::line("there are no routes");
        }
    }
    let mut each = verdicts.iter().flat_map(|(_, of_one)| of_one);
    let is_event = each.any(|verdict| matches!(verdict, RouteVerdict::Takes(_)));
    Ok(ExitCode::from(u8::from(!is_event)))
}

fn tell(position: usize, verdict: &RouteVerdict) {
    let name = format!("routes[{position}]");
    let event = match verdict {
        RouteVerdict::Takes(event) => event,
        RouteVerdict::Leaves(why) => return report::line(format!("{name} does not take it: {why}")),
    };
    let EventPreview { target_key, target, bytes, max_bytes, .. } = &**event;
    report::titled(
        &format!("{name} takes it:"),
        format!("{bytes} bytes of at most {max_bytes} to {target_key} {target}"),
    );
    if event.is_sampled {
        report::line("  of such exchanges only the part that `sample` says becomes events");
    }
    if event.holds_response {
        report::line("  the response waits for it");
    }
    if event.left_out > 0 {
        report::line(format!("  attributes that its target would not take, and that are left out: {}", event.left_out));
    }
    for (key, text) in
        [("subject", &event.subject), ("message_group_id", &event.group_id), ("trace", &event.trace_header)]
    {
        if let Some(text) = text {
            report::line(format!("  {key}: {text}"));
        }
    }
    tell_message(&event.attributes, &event.message);
}

/// Writes a message, and the attributes beside it.
pub(crate) fn tell_message(attributes: &[(String, &'static str, String)], message: &str) {
    if !attributes.is_empty() {
        report::line("attributes:");
    }
    for (name, kind, value) in attributes {
        report::line(format!("  {name} ({kind}): {value}"));
    }
    report::line("message:");
    report::line(pretty(message));
}

/// Returns a message with a line for each value, if it is JSON.
fn pretty(message: &str) -> String {
    of_json(message).map_or_else(|_| message.to_owned(), |value| value.to_lines())
}

fn as_json(line: usize, position: usize, verdict: &RouteVerdict) -> Value {
    let event = match verdict {
        RouteVerdict::Takes(event) => event,
        RouteVerdict::Leaves(why) => return json!({"line": line, "route": position, "takes": false, "reason": why}),
    };
    json!({
        "line": line,
        "route": position,
        "takes": true,
        "target": {event.target_key: event.target},
        "bytes": event.bytes,
        "max_bytes": event.max_bytes,
        "sampled": event.is_sampled,
        "response_waits": event.holds_response,
        "id": event.id,
        "subject": event.subject,
        "message_group_id": event.group_id,
        "trace": event.trace_header,
        "attributes": attributes(&event.attributes),
        "attributes_left_out": event.left_out,
        "message": event.message,
    })
}

/// Returns attributes as an object.
pub(crate) fn attributes(attributes: &[(String, &'static str, String)]) -> Value {
    let attribute =
        |(name, kind, value): &(String, &'static str, String)| (name.clone(), json!({"type": kind, "value": value}));
    attributes.iter().map(attribute).collect::<serde_json::Map<_, _>>().into()
}
