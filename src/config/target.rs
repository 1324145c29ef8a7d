//! Targets of events, dead letters and webhooks: `topic_arn`, `queue_url` or `event_bus`, with
//! `region`, `endpoint` and `upstream` beside it, in whichever section they stand; and for events
//! `webhook_url`.

use std::rc::Rc;

use super::fault::{borrowed, Checked};
use super::reader::{Field, Section};
use super::webhook;
use crate::aws::endpoint::Endpoint;
use crate::aws::names::is_region;
use crate::aws::protocol::{Parsed, Protocol, TargetKind};
use crate::aws::sign::SigningScope;
use crate::aws::target::Target;
use crate::aws::{self, sns, sqs};
use crate::exchange::template::Template;

/// The key of the group that events or webhooks belong to.
pub(super) const GROUP_KEY: &str = "message_group_id";

pub(super) const MAX_MESSAGE_KEY: &str = "max_message_bytes";

/// Bytes to which every event can be cut: texts of 64 bytes each, and attributes with their names.
pub(super) const LEAST_MESSAGE_BYTES: usize = 65_536;

/// An older name of `endpoint`, where a topic may stand.
const ALIAS: &str = "sns_endpoint";

/// The remedy for what a module was built without.
pub(super) const WHOLE_MODULE: &str = "take the module with all features, or build it with this one";

/// Every kind of target that events may go to.
const KINDS: [&TargetKind; 4] = {
    let [sns, sqs, eventbridge] = aws::target::KINDS;
    [sns, sqs, eventbridge, &crate::webhook::KIND]
};

/// Where a target of events is missed, and the remedy.
pub(super) fn missing() -> (&'static str, String) {
    missing_first(&sns::KIND, &KINDS)
}

/// Returns the key of the target that is most often meant, and the remedy if none of `kinds` is
/// there.
fn missing_first(first: &TargetKind, kinds: &[&TargetKind]) -> (&'static str, String) {
    let others = kinds.iter().filter(|kind| kind.key != first.key);
    let others: Vec<String> = others.map(|kind| format!("`{}`", kind.key)).collect();
    (first.key, format!("{}, or else {}", first.remedy, others.join(" or ")))
}

/// Reports a group that does not go with a target, or the lack of one. `them` are what has groups,
/// and `elsewhere` is what to do with a text that is of no use as a group.
pub(super) fn check_group(
    section: &Section<'_>,
    protocol: &dyn Protocol,
    group_id: &Checked<Option<Template>>,
    them: &str,
    elsewhere: &str,
) {
    match group_id {
        Ok(None) if protocol.keeps_order() => {
            let remedy = format!("say which {them} keep their order among each other, such as `${{request.path}}`");
            section.fault_at(GROUP_KEY, "is missing, and a FIFO topic or queue needs one", remedy);
        }
        Ok(Some(_)) if !protocol.takes_group_id() => {
            let problem = format!("is given, and {} keeps no order", protocol.kind().target);
            section.fault_at(GROUP_KEY, problem, elsewhere);
        }
        _ => {}
    }
}

/// Returns true if a route names a target of its own.
pub(super) fn is_named_in(route: &Field<'_>) -> bool {
    KINDS.iter().any(|kind| route.value().get(kind.key).is_some_and(|value| !value.is_null()))
}

/// Reads the target that `section` names, if it names one. `region` is where it is unless it says
/// otherwise.
pub(super) fn read(section: &mut Section<'_>, region: Option<&str>) -> Checked<Option<Target>> {
    let target = read_one_of(&KINDS, Some(ALIAS), &missing().1, section, region);
    let Some(size) = section.optional(MAX_MESSAGE_KEY) else { return target };
    let Some(target) = target? else {
        return Err(size.fault("is given without the target that it belongs to", missing().1));
    };
    let most = target.protocol.most_bytes();
    match size.whole_number().map(|bytes| bytes as usize) {
        Some(max_message_bytes) if (LEAST_MESSAGE_BYTES..=most).contains(&max_message_bytes) => {
            Ok(Some(Target { max_message_bytes, ..target }))
        }
        _ => {
            let problem = format!("{} is not an integer from {LEAST_MESSAGE_BYTES} to {most}", size.shown());
            let default = target.protocol.max_bytes();
            Err(size.fault(problem, format!("give what the target takes, or leave it out: the default is {default}")))
        }
    }
}

/// Reads the queue that `section` names, if it names one.
pub(super) fn read_queue(section: &mut Section<'_>) -> Checked<Option<Target>> {
    read_one_of(&[&sqs::KIND], None, "give its `queue_url`", section, None)
}

/// Reads the target of webhooks that `section` has to name. Only AWS stores them: it is believed
/// what it says of each.
pub(super) fn read_required(section: &mut Section<'_>) -> Checked<Target> {
    let kinds = &aws::target::KINDS;
    let (key, remedy) = missing_first(&sqs::KIND, kinds);
    read_one_of(kinds, None, &remedy, section, None)?.ok_or_else(|| section.fault_at(key, "is missing", remedy))
}

fn read_one_of(
    kinds: &[&TargetKind],
    alias: Option<&'static str>,
    remedy: &str,
    section: &mut Section<'_>,
    region: Option<&str>,
) -> Checked<Option<Target>> {
    let mut find = |kind: &TargetKind| match kind.parse {
        Some(_) => section.optional(kind.key),
        // It may have a secret in it.
        None => section.confidential_optional(kind.key),
    };
    let named: Vec<_> = kinds.iter().map(|kind| (*kind, find(kind))).collect();
    let own_region = section.optional("region");
    let endpoint = section.optional("endpoint");
    let alias = alias.and_then(|key| section.optional(key));
    let upstream = section.optional("upstream");
    let takes_webhooks = kinds.iter().any(|kind| kind.parse.is_none());
    let webhook = takes_webhooks.then(|| section.confidential_optional(webhook::SETTINGS_KEY)).flatten();

    let mut given = named.into_iter().filter_map(|(kind, field)| Some((kind, field?)));
    let Some((kind, field)) = given.next() else {
        let others = [own_region, endpoint, alias, upstream, webhook];
        return match others.into_iter().flatten().next() {
            Some(field) => Err(field.fault("is given without the target that it belongs to", remedy)),
            None => Ok(None),
        };
    };
    if let Some((_, second)) = given.next() {
        let remedy = "give one of the two; a route may have a target of its own";
        return Err(second.fault(format!("is a second target beside `{}`", kind.key), remedy));
    }
    let Some(parse) = kind.parse else {
        if !cfg!(feature = "targets") {
            return Err(field.fault("is given, and this module was built without the feature `targets`", WHOLE_MODULE));
        }
        let of_aws = [own_region, endpoint, alias];
        return webhook::read(&field, webhook.as_ref(), of_aws, upstream.as_ref()).map(Some);
    };
    let stray = webhook.map_or(Ok(()), |field| {
        let problem = format!("is given, and means nothing beside `{}`", kind.key);
        Err(field.fault(problem, "remove it, or give a `webhook_url`"))
    });
    let protocol = read_name(kind, parse, &field);
    let region = read_region(section, own_region, borrowed(&protocol), region);
    let says_endpoint = endpoint.as_ref().or(alias.as_ref()).unwrap_or(&field).clone();
    let endpoint = match (endpoint, alias) {
        (Some(_), Some(alias)) => {
            Err(alias.fault("is another name of `endpoint`, which is given too", "give one of the two"))
        }
        (Some(field), None) | (None, Some(field)) => read_endpoint(&field),
        (None, None) => default_endpoint(section, borrowed(&protocol), borrowed(&region)),
    };
    if endpoint.as_ref().is_ok_and(|endpoint| endpoint.is_plain() && endpoint.is_of_aws()) {
        let problem = "is AWS without TLS, so that everybody on the way can read what is sent";
        says_endpoint.warn(problem, "begin it with `https://`");
    }
    let way = way_to(endpoint, upstream.as_ref());
    let (protocol, region, (endpoint, upstream)) = (protocol?, region?, way?);
    stray?;
    let scope = Some(SigningScope { region, service: protocol.service() });
    let max_message_bytes = protocol.max_bytes();
    let ordered = protocol.keeps_order();
    Ok(Some(Target { protocol, scope, endpoint, upstream, max_message_bytes, ordered }))
}

fn read_name(kind: &TargetKind, parse: fn(&str) -> Parsed, field: &Field<'_>) -> Checked<Rc<dyn Protocol>> {
    parse(field.text()?).map_err(|error| field.fault(format!("is not {}: {error}", kind.name), kind.remedy))
}

fn read_region(
    section: &Section<'_>,
    own: Option<Field<'_>>,
    protocol: Checked<&Rc<dyn Protocol>>,
    default: Option<&str>,
) -> Checked<String> {
    let Some(field) = own else {
        let protocol = protocol?;
        return protocol.region().or(default).map(str::to_owned).ok_or_else(|| {
            let problem = format!("is missing, and `{}` does not name one", protocol.kind().key);
            section.fault_at("region", problem, "give the region that requests are signed for, such as `us-east-1`")
        });
    };
    let text = field.text()?;
    if !is_region(text) {
        return Err(field.fault(
            "does not look like a region",
            "give one such as `us-east-1`, or leave it out where the target names it",
        ));
    }
    if protocol.is_ok_and(|protocol| protocol.region().is_some_and(|named| named != text)) {
        return Err(field.fault(
            "is not the one that the target names",
            "leave it out: AWS refuses what is signed for another region",
        ));
    }
    Ok(text.to_owned())
}

fn default_endpoint(
    section: &Section<'_>,
    protocol: Checked<&Rc<dyn Protocol>>,
    region: Checked<&String>,
) -> Checked<Endpoint> {
    let protocol = protocol?;
    match protocol.endpoint() {
        Some(endpoint) => Ok(endpoint.clone()),
        None => Endpoint::of_service(protocol.service(), region?)
            .map_err(|error| section.fault_at("region", format!("makes no endpoint: {error}"), "give `endpoint`")),
    }
}

fn read_endpoint(field: &Field<'_>) -> Checked<Endpoint> {
    field.text()?.parse().map_err(|error| {
        field.fault(
            format!("is not an endpoint: {error}"),
            "give scheme, host and, where it is not the usual one, port, such as `https://sns.us-east-1.amazonaws.com`",
        )
    })
}

/// Returns how the host gets to an endpoint, whose `upstream` may be given: the endpoint as the
/// first hop speaks to it, and the host's name for that hop.
pub(super) fn way_to(endpoint: Checked<Endpoint>, upstream: Option<&Field<'_>>) -> Checked<(Endpoint, String)> {
    let Some(field) = upstream else { return endpoint.map(|endpoint| (endpoint.clone(), endpoint.host_port())) };
    let text = read_upstream(field)?;
    endpoint?.through(&text).map_err(|error| {
        let remedy = "give a name without a scheme, or scheme, host and port, such as `http://127.0.0.1:8099`";
        field.fault(format!("is no upstream: {error}"), remedy)
    })
}

/// Reads the host's name for something.
pub(super) fn read_upstream(field: &Field<'_>) -> Checked<String> {
    let text = field.text()?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(field.fault(
            "is empty or has a control character",
            "give the host's name for it (Envoy: a cluster), or leave it out: the default is its host and port",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use crate::config::Config;

    #[test]
    fn aws_without_tls_draws_a_warning_where_it_is_named() {
        let topic = "arn:aws:sns:us-east-1:123456789012:t";
        let queue = |scheme: &str, host: &str| format!("{scheme}://{host}/123456789012/q");
        let captured = |target: Value| {
            let mut capture = json!({"method": "POST", "matcher": "/"});
            capture.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
            json!({"capture": [capture]})
        };
        let published = |endpoint: &str| json!({"topic_arn": topic, "endpoint": endpoint, "routes": [{"method": "PUT", "matcher": "/"}]});
        let sqs = "sqs.us-east-1.amazonaws.com";
        for (config, warned) in [
            (published("http://sns.us-east-1.amazonaws.com"), Some("endpoint")),
            (published("http://vpce-1.sns.us-east-1.vpce.amazonaws.com:8080"), Some("endpoint")),
            (published("https://sns.us-east-1.amazonaws.com"), None),
            (published("http://localhost:4566"), None),
            (published("http://sns.us-east-1.amazonaws.com.example.com"), None),
            (published("http://notamazonaws.com"), None),
            (captured(json!({"queue_url": queue("http", sqs)})), Some("capture[0].queue_url")),
            (
                captured(json!({"queue_url": queue("http", "sqs.cn-north-1.amazonaws.com.cn")})),
                Some("capture[0].queue_url"),
            ),
            (captured(json!({"queue_url": queue("https", sqs)})), None),
            (captured(json!({"queue_url": queue("https", sqs), "upstream": "http://127.0.0.1:8099"})), None),
            (
                captured(json!({"topic_arn": topic, "endpoint": "http://sns.us-east-1.api.aws"})),
                Some("capture[0].endpoint"),
            ),
        ] {
            let read = Config::from_json(config.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
            let paths: Vec<&str> = read.warnings.iter().map(|warning| warning.path.as_str()).collect();
            assert_eq!(paths, Vec::from_iter(warned), "{config}");
        }
    }
}
