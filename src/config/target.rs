//! Where events go: `topic_arn`, `region`, `endpoint` and `upstream`.

use super::fault::Checked;
use super::reader::Section;
use crate::aws::arn::{is_region, TopicArn};
use crate::aws::endpoint::Endpoint;

pub(super) fn topic(root: &mut Section<'_>) -> Checked<TopicArn> {
    let remedy = "give the ARN of an SNS topic, such as `arn:aws:sns:us-east-1:123456789012:profile-events`";
    let field = root.required("topic_arn", remedy)?;
    let parsed = field.text()?.parse();
    parsed.map_err(|error| field.fault(format!("{} is not the ARN of a topic: {error}", field.shown()), remedy))
}

pub(super) fn region(root: &mut Section<'_>, topic: Checked<&TopicArn>) -> Checked<String> {
    let Some(field) = root.optional("region") else { return topic.map(|topic| topic.region.clone()) };
    let text = field.text()?;
    if !is_region(text) {
        return Err(field.fault(
            format!("{} does not look like a region", field.shown()),
            "give one such as `us-east-1`, or leave it out: the topic's ARN has it",
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn endpoint(root: &mut Section<'_>, topic: Checked<&TopicArn>, region: Checked<&str>) -> Checked<Endpoint> {
    const ALIAS: &str = "sns_endpoint";
    let field = match (root.optional("endpoint"), root.optional(ALIAS)) {
        (Some(_), Some(alias)) => {
            return Err(alias.fault("is another name of `endpoint`, which is given too", "give one of the two"));
        }
        (Some(field), None) | (None, Some(field)) => field,
        (None, None) => return Ok(Endpoint::of_service("sns", region?, &topic?.partition)),
    };
    field.text()?.parse().map_err(|error| {
        field.fault(
            format!("is not an endpoint: {error}"),
            "give scheme, host and, where it is not the usual one, port, such as `https://sns.us-east-1.amazonaws.com`",
        )
    })
}

pub(super) fn upstream(root: &mut Section<'_>, endpoint: Checked<&Endpoint>) -> Checked<String> {
    let Some(field) = root.optional("upstream") else { return endpoint.map(Endpoint::host_port) };
    let text = field.text()?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(field.fault(
            "is empty or has a control character",
            "give the host's name for the endpoint (Envoy: a cluster), or leave it out: the default is its host and port",
        ));
    }
    Ok(text.to_owned())
}
