//! The names of EventBridge event buses.

use std::str::FromStr;

use crate::aws::names::{is_account, is_partition, is_region};

/// An event bus, by name or by ARN: `arn:PARTITION:events:REGION:ACCOUNT:event-bus/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventBus {
    /// The name or the ARN.
    pub(crate) text: String,
    /// The region that the ARN names.
    pub(crate) region: Option<String>,
}

/// The reason why a text is not an event bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EventBusError {
    /// An ARN, but not of an event bus.
    #[error("an event bus has an ARN like `arn:aws:events:us-east-1:123456789012:event-bus/NAME`")]
    Arn,
    /// Not a name that a bus can have.
    #[error("its name is not 1 to 256 of `A-Z a-z 0-9 . _ - /`")]
    Name,
}

impl FromStr for EventBus {
    type Err = EventBusError;

    fn from_str(text: &str) -> Result<EventBus, EventBusError> {
        let (region, name) = match text.contains(':') {
            false => (None, text),
            true => match text.splitn(6, ':').collect::<Vec<_>>().as_slice() {
                ["arn", partition, "events", region, account, name]
                    if is_partition(partition) && is_region(region) && is_account(account) =>
                {
                    (Some((*region).to_owned()), name.strip_prefix("event-bus/").ok_or(EventBusError::Arn)?)
                }
                _ => return Err(EventBusError::Arn),
            },
        };
        let of_the_alphabet =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'));
        if name.is_empty() || name.len() > 256 || !of_the_alphabet {
            return Err(EventBusError::Name);
        }
        Ok(EventBus { text: text.to_owned(), region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_has_a_name_or_an_arn() {
        for (text, region) in [
            ("default", None),
            ("orders.v2_a-b", None),
            ("aws.partner/example.com/1234/orders", None),
            ("arn:aws:events:eu-west-1:123456789012:event-bus/orders", Some("eu-west-1")),
            ("arn:aws-cn:events:cn-north-1:123456789012:event-bus/default", Some("cn-north-1")),
            ("arn:aws-us-gov:events:us-gov-east-1:123456789012:event-bus/a/b", Some("us-gov-east-1")),
        ] {
            let bus: EventBus = text.parse().unwrap();
            assert_eq!((bus.text.as_str(), bus.region.as_deref()), (text, region));
        }
    }

    #[test]
    fn what_is_not_a_bus_is_named() {
        let long = "n".repeat(257);
        for (text, error) in [
            ("", EventBusError::Name),
            ("a b", EventBusError::Name),
            (&long, EventBusError::Name),
            ("arn:aws:events:eu-west-1:123456789012:event-bus/", EventBusError::Name),
            ("arn:aws:events:eu-west-1:123456789012:event-bus/a:b", EventBusError::Name),
            ("arn:aws:events:eu-west-1:123456789012:rule/orders", EventBusError::Arn),
            ("arn:aws:sns:eu-west-1:123456789012:orders", EventBusError::Arn),
            ("arn:aws:events::123456789012:event-bus/orders", EventBusError::Arn),
            ("arn:aws:events:eu-west-1:1:event-bus/orders", EventBusError::Arn),
            ("arn:gcp:events:eu-west-1:123456789012:event-bus/orders", EventBusError::Arn),
            ("https://events.eu-west-1.amazonaws.com", EventBusError::Arn),
        ] {
            assert_eq!(text.parse::<EventBus>(), Err(error), "{text}");
        }
    }
}
