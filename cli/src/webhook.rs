//! `retrohook webhook`: what a configuration would do with an inbound webhook.

use std::process::ExitCode;

use clap::Args;
use http::Response;
use retrohook::agent::preview;
use retrohook::capture::preview::{SignatureVerdict, TakenWebhook, WebhookMessage, WebhookVerdict};
use retrohook::config::Fault;
use serde_json::{json, Value};

use crate::event::{self, attributes};
use crate::loaded::{self, Loaded};
use crate::report::{self, Failure};
use crate::request::{time, Recorded};

/// Show what a configuration would do with a webhook: which capture takes it, its id, whether its
/// signature is good, the message that is stored, and the sender's answer.
///
/// The exit code is 0 if the sender gets a 2xx, 1 if it gets another answer, no capture takes the
/// request or FILE has a fault, and 2 if a file cannot be read.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: loaded::ConfigurationFile,
    /// The request (docs/cli.md has the form).
    #[arg(long, value_name = "FILE")]
    request: String,
    /// The time at which it comes, in RFC 3339 or seconds since 1970 [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Write the verdict as JSON.
    #[arg(long)]
    json: bool,
}

/// The check of a signature whose secret is not set on this machine.
const NOT_KNOWN: SignatureVerdict = SignatureVerdict::Bad(String::new(), "");

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(all) = arguments.configuration.good()? else { return Ok(ExitCode::FAILURE) };
    let recorded = Recorded::read(&arguments.request)?;
    let now = time(arguments.at.as_deref())?;
    let verdict = |loaded: &Loaded| {
        let config = loaded.checked.config.as_ref().filter(|config| preview::captures(config) > 0)?;
        let mut verdict = preview::webhook(config, &recorded.request(), now, now.0);
        let lacks_secret = |fault: &Fault| fault.path.contains(".verify.");
        if let (WebhookVerdict::Taken(_, taken), true) = (&mut verdict, loaded.checked.unset.iter().any(lacks_secret)) {
            taken.checked = taken.checked.take().map(|_| NOT_KNOWN);
        }
        Some(verdict)
    };
    let verdicts = all.iter().filter_map(|loaded| Some((loaded, verdict(loaded)?)));
    let mut verdicts: Vec<(&Loaded, WebhookVerdict)> = verdicts.collect();
    // The first filter that answers is the last that sees it.
    let answers = |(_, verdict): &(&Loaded, WebhookVerdict)| !matches!(verdict, WebhookVerdict::NotTaken(_));
    if let Some(answering) = verdicts.iter().position(answers) {
        verdicts.truncate(answering + 1);
    }
    if arguments.json {
        let verdicts: Vec<Value> = verdicts.iter().map(|(loaded, verdict)| as_json(loaded.line(), verdict)).collect();
        report::line(format!("{:#}", json!({"request": recorded.title(), "configurations": verdicts})));
    } else {
        report::line(format!("{}: {}", recorded.file(), recorded.title()));
        for (loaded, verdict) in &verdicts {
            if verdicts.len() > 1 {
                report::line(format!("configuration of {}:", loaded.place()));
            }
            tell(verdict);
        }
        if verdicts.is_empty() {
            report::line("there are no captures");
        }
    }
    let is_good = verdicts.last().is_some_and(
        |(_, verdict)| matches!(verdict, WebhookVerdict::Taken(_, taken) if taken.answer.status().is_success()),
    );
    Ok(ExitCode::from(u8::from(!is_good)))
}

fn tell(verdict: &WebhookVerdict) {
    let (position, taken) = match verdict {
        WebhookVerdict::NotTaken(reasons) => {
            for (position, why) in reasons.iter().enumerate() {
                report::line(format!("capture[{position}] does not take it: {why}"));
            }
            return;
        }
        WebhookVerdict::Misspelled(answer) => {
            report::line("no capture takes it, but one takes another spelling of its path");
            return tell_answer(answer);
        }
        WebhookVerdict::Taken(position, taken) => (position, taken),
    };
    let TakenWebhook { capture, checked, message, answer } = &**taken;
    report::titled(&format!("capture[{position}] takes it:"), format!("its name is {capture}"));
    match checked {
        None => {}
        Some(checked) if *checked == NOT_KNOWN => report::line("verified: not known, because a secret is not set here"),
        Some(SignatureVerdict::Good) => report::line("verified: yes"),
        Some(SignatureVerdict::Bad(why, remedy)) => report::line(format!("verified: no, {why}; {remedy}")),
    }
    match message {
        Some(message) => tell_message(message),
        None => report::line("stored: no"),
    }
    tell_answer(answer);
}

fn tell_message(message: &WebhookMessage) {
    let WebhookMessage { id, target_key, target, bytes, max_bytes, .. } = message;
    report::line(format!("id: {id}"));
    report::line(format!("stored: {bytes} bytes of at most {max_bytes} in {target_key} {target}"));
    if let Some(group) = &message.group_id {
        report::line(format!("  message_group_id: {group}"));
    }
    event::tell_message(&message.attributes, &message.message);
}

fn tell_answer(answer: &Response<String>) {
    report::line(format!("answer: {}", answer.status()));
    for (name, value) in answer.headers() {
        report::line(format!("  {name}: {}", value.to_str().unwrap_or_default()));
    }
    if !answer.body().is_empty() {
        report::line(format!("  {}", answer.body()));
    }
}

fn as_json(line: usize, verdict: &WebhookVerdict) -> Value {
    match verdict {
        WebhookVerdict::NotTaken(reasons) => json!({"line": line, "taken": false, "reasons": reasons}),
        WebhookVerdict::Misspelled(answer) => json!({"line": line, "taken": false, "answer": answer_json(answer)}),
        WebhookVerdict::Taken(position, taken) => {
            let (verified, reason) = match &taken.checked {
                None => (Value::Null, Value::Null),
                Some(checked) if *checked == NOT_KNOWN => (Value::Null, Value::from("a secret is not set here")),
                Some(SignatureVerdict::Good) => (Value::Bool(true), Value::Null),
                Some(SignatureVerdict::Bad(why, _)) => (Value::Bool(false), Value::from(why.as_str())),
            };
            let message = taken.message.as_ref().map(|message| {
                json!({
                    "id": message.id,
                    "target": {message.target_key: message.target},
                    "bytes": message.bytes,
                    "max_bytes": message.max_bytes,
                    "message_group_id": message.group_id,
                    "attributes": attributes(&message.attributes),
                    "message": message.message,
                })
            });
            json!({
                "line": line,
                "taken": true,
                "capture": position,
                "name": taken.capture,
                "verified": verified,
                "verify_error": reason,
                "stored": message,
                "answer": answer_json(&taken.answer),
            })
        }
    }
}

fn answer_json(answer: &Response<String>) -> Value {
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap_or_default())));
    let headers: serde_json::Map<String, Value> = headers.collect();
    json!({"status": answer.status().as_u16(), "headers": headers, "body": answer.body()})
}
