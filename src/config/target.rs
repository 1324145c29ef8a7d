//! Targets of events, dead letters and webhooks: `topic_arn`, `queue_url` or `event_bus`, with
//! `region`, `endpoint` and `upstream` beside it, in whichever section they stand.

use std::rc::Rc;

use super::fault::{borrowed, Checked};
use super::reader::{Field, Section};
use crate::aws::endpoint::Endpoint;
use crate::aws::names::is_region;
use crate::aws::protocol::{Protocol, TargetKind};
use crate::aws::sqs;
use crate::aws::target::{Target, KINDS};

/// An older name of `endpoint`, where a topic may stand.
const ALIAS: &str = "sns_endpoint";

/// Where a target is missed, and the remedy.
pub(super) fn missing() -> (&'static str, String) {
    let [first, others @ ..] = &KINDS;
    let others: Vec<String> = others.iter().map(|kind| format!("`{}`", kind.key)).collect();
    (first.key, format!("{}, or else {}", first.remedy, others.join(" or ")))
}

/// Returns true if a route names a target of its own.
pub(super) fn is_named_in(route: &Field<'_>) -> bool {
    KINDS.iter().any(|kind| route.value().get(kind.key).is_some_and(|value| !value.is_null()))
}

/// Reads the target that `section` names, if it names one. `region` is where it is unless it says
/// otherwise.
pub(super) fn read(section: &mut Section<'_>, region: Option<&str>) -> Checked<Option<Target>> {
    read_one_of(&KINDS, Some(ALIAS), &missing().1, section, region)
}

/// Reads the queue that `section` names, if it names one.
pub(super) fn read_queue(section: &mut Section<'_>) -> Checked<Option<Target>> {
    read_one_of(&[&sqs::KIND], None, "give its `queue_url`", section, None)
}

/// Reads the queue that `section` has to name.
pub(super) fn read_required_queue(section: &mut Section<'_>) -> Checked<Target> {
    read_queue(section)?.ok_or_else(|| section.fault_at(sqs::KIND.key, "is missing", sqs::KIND.remedy))
}

fn read_one_of(
    kinds: &[&TargetKind],
    alias: Option<&'static str>,
    remedy: &str,
    section: &mut Section<'_>,
    region: Option<&str>,
) -> Checked<Option<Target>> {
    let named: Vec<_> = kinds.iter().map(|kind| (*kind, section.optional(kind.key))).collect();
    let own_region = section.optional("region");
    let endpoint = section.optional("endpoint");
    let alias = alias.and_then(|key| section.optional(key));
    let upstream = section.optional("upstream");

    let mut given = named.into_iter().filter_map(|(kind, field)| Some((kind, field?)));
    let Some((kind, field)) = given.next() else {
        let others = [own_region, endpoint, alias, upstream];
        return match others.into_iter().flatten().next() {
            Some(field) => Err(field.fault("is given, but no target that it is of", remedy)),
            None => Ok(None),
        };
    };
    if let Some((_, second)) = given.next() {
        let remedy = "give one of the two; a route may have a target of its own";
        return Err(second.fault(format!("is a second target beside `{}`", kind.key), remedy));
    }
    let protocol = read_name(kind, &field);
    let region = read_region(section, own_region, borrowed(&protocol), region);
    let endpoint = match (endpoint, alias) {
        (Some(_), Some(alias)) => {
            Err(alias.fault("is another name of `endpoint`, which is given too", "give one of the two"))
        }
        (Some(field), None) | (None, Some(field)) => read_endpoint(&field),
        (None, None) => default_endpoint(section, borrowed(&protocol), borrowed(&region)),
    };
    let upstream = match upstream {
        Some(field) => read_upstream(&field),
        None => borrowed(&endpoint).map(Endpoint::host_port),
    };
    Ok(Some(Target { protocol: protocol?, region: region?, endpoint: endpoint?, upstream: upstream? }))
}

fn read_name(kind: &TargetKind, field: &Field<'_>) -> Checked<Rc<dyn Protocol>> {
    (kind.parse)(field.text()?).map_err(|error| field.fault(format!("is not {}: {error}", kind.name), kind.remedy))
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

fn read_upstream(field: &Field<'_>) -> Checked<String> {
    let text = field.text()?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(field.fault(
            "is empty or has a control character",
            "give the host's name for the endpoint (Envoy: a cluster), or leave it out: the default is its host and port",
        ));
    }
    Ok(text.to_owned())
}
