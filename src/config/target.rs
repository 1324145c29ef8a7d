//! Targets of events, dead letters and webhooks: `topic_arn`, `queue_url` or `event_bus`, with
//! `region`, `endpoint` and `upstream` beside it, in whichever section they stand.

use std::rc::Rc;

use super::fault::{borrowed, Checked};
use super::reader::{Field, Section};
use crate::aws::endpoint::Endpoint;
use crate::aws::eventbridge::event_bus::EventBus;
use crate::aws::names::is_region;
use crate::aws::protocol::Protocol;
use crate::aws::sns::topic_arn::TopicArn;
use crate::aws::sqs::queue_url::QueueUrl;
use crate::aws::target::Target;

pub(super) const TOPIC: &str = "topic_arn";
pub(super) const QUEUE: &str = "queue_url";
pub(super) const BUS: &str = "event_bus";
const ALIAS: &str = "sns_endpoint";

pub(super) const REMEDY: &str =
    "give the ARN of an SNS topic, such as `arn:aws:sns:us-east-1:123456789012:profile-events`, or \
                                 else `queue_url` or `event_bus`";

const QUEUE_REMEDY: &str =
    "give the URL of an SQS queue, such as `https://sqs.us-east-1.amazonaws.com/123456789012/profile-events`";

/// What names a target, and what its name tells of where it is.
struct Named {
    protocol: Rc<dyn Protocol>,
    region: Option<String>,
    endpoint: Option<Endpoint>,
}

/// Whether a route names a target of its own.
pub(super) fn is_named_in(route: &Field<'_>) -> bool {
    [TOPIC, QUEUE, BUS].iter().any(|key| route.value().get(key).is_some_and(|value| !value.is_null()))
}

/// The target that `section` names, if it names one. `region` is where it is unless it says otherwise.
pub(super) fn read(section: &mut Section<'_>, region: Option<&str>) -> Checked<Option<Target>> {
    read_one_of(&[TOPIC, QUEUE, BUS], REMEDY, section, region)
}

/// The same where only a queue can be the target.
pub(super) fn read_queue(section: &mut Section<'_>) -> Checked<Option<Target>> {
    read_one_of(&[QUEUE], "give its `queue_url`", section, None)
}

/// The same where there has to be one.
pub(super) fn read_required_queue(section: &mut Section<'_>) -> Checked<Target> {
    read_queue(section)?.ok_or_else(|| section.fault_at(QUEUE, "is missing", QUEUE_REMEDY))
}

fn read_one_of(
    keys: &[&'static str],
    remedy: &str,
    section: &mut Section<'_>,
    region: Option<&str>,
) -> Checked<Option<Target>> {
    let named: Vec<_> = keys.iter().map(|key| (*key, section.optional(key))).collect();
    let own_region = section.optional("region");
    let endpoint = section.optional("endpoint");
    let alias = if keys.contains(&TOPIC) { section.optional(ALIAS) } else { None };
    let upstream = section.optional("upstream");

    let mut given = named.into_iter().filter_map(|(key, field)| Some((key, field?)));
    let Some((key, field)) = given.next() else {
        let others = [own_region, endpoint, alias, upstream];
        return match others.into_iter().flatten().next() {
            Some(field) => Err(field.fault("is given, but no target that it is of", remedy)),
            None => Ok(None),
        };
    };
    if let Some((_, second)) = given.next() {
        let remedy = "give one of the two; a route may have a target of its own";
        return Err(second.fault(format!("is a second target beside `{key}`"), remedy));
    }
    let named = read_name(key, &field);
    let region = read_region(section, own_region, borrowed(&named), region);
    let endpoint = match (endpoint, alias) {
        (Some(_), Some(alias)) => {
            Err(alias.fault("is another name of `endpoint`, which is given too", "give one of the two"))
        }
        (Some(field), None) | (None, Some(field)) => read_endpoint(&field),
        (None, None) => default_endpoint(borrowed(&named), borrowed(&region)),
    };
    let upstream = match upstream {
        Some(field) => read_upstream(&field),
        None => borrowed(&endpoint).map(Endpoint::host_port),
    };
    Ok(Some(Target { protocol: named?.protocol, region: region?, endpoint: endpoint?, upstream: upstream? }))
}

fn read_name(key: &str, field: &Field<'_>) -> Checked<Named> {
    let text = field.text()?;
    match key {
        QUEUE => {
            let queue: QueueUrl = text
                .parse()
                .map_err(|error| field.fault(format!("is not the URL of a queue: {error}"), QUEUE_REMEDY))?;
            let (region, endpoint) = (queue.region.clone(), Some(queue.endpoint.clone()));
            Ok(Named { protocol: Rc::new(queue), region, endpoint })
        }
        BUS => {
            let bus: EventBus = text.parse().map_err(|error| {
                let remedy = "give its name, such as `default`, or its ARN";
                field.fault(format!("{} is not an event bus: {error}", field.shown()), remedy)
            })?;
            let region = bus.region.clone();
            Ok(Named { protocol: Rc::new(bus), region, endpoint: None })
        }
        _ => {
            let topic: TopicArn = text.parse().map_err(|error| {
                field.fault(format!("{} is not the ARN of a topic: {error}", field.shown()), REMEDY)
            })?;
            let region = Some(topic.region.clone());
            Ok(Named { protocol: Rc::new(topic), region, endpoint: None })
        }
    }
}

fn read_region(
    section: &Section<'_>,
    own: Option<Field<'_>>,
    named: Checked<&Named>,
    default: Option<&str>,
) -> Checked<String> {
    let Some(field) = own else {
        let named = named?;
        return named.region.clone().or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            let problem = format!("is missing, and `{}` does not name one", named.protocol.key());
            section.fault_at("region", problem, "give the region that requests are signed for, such as `us-east-1`")
        });
    };
    let text = field.text()?;
    if !is_region(text) {
        return Err(field.fault(
            format!("{} does not look like a region", field.shown()),
            "give one such as `us-east-1`, or leave it out where the target names it",
        ));
    }
    Ok(text.to_owned())
}

fn default_endpoint(named: Checked<&Named>, region: Checked<&String>) -> Checked<Endpoint> {
    let named = named?;
    match &named.endpoint {
        Some(endpoint) => Ok(endpoint.clone()),
        None => Ok(Endpoint::of_service(named.protocol.service(), region?)),
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
