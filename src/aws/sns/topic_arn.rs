//! Amazon resource names of SNS topics.

use std::str::FromStr;

use crate::aws::names::{is_account, is_lower_case_name, is_partition, is_region};

/// The ARN of an SNS topic: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicArn {
    /// The whole ARN.
    pub(crate) text: String,
    /// The region of the topic.
    pub(crate) region: String,
    /// True if the topic is FIFO: its name ends in `.fifo`.
    pub(crate) fifo: bool,
}

/// The reason why a text is not the ARN of an SNS topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicArnError {
    /// Not an ARN at all.
    #[error("an ARN has six parts, `arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME`")]
    Form,
    /// A partition that AWS does not have.
    #[error("its partition is not one of AWS (`aws`, `aws-cn`, `aws-us-gov`, …)")]
    Partition,
    /// An ARN of something else.
    #[error("it names a resource of `{0}`, and a topic of `sns` is needed")]
    Service(String),
    /// The ARN of a topic with the id of a subscription behind it.
    #[error("it names a subscription, and the topic is needed: the ARN without its last part")]
    Subscription,
    /// The fourth part is not a region.
    #[error("its region does not look like `us-east-1`")]
    Region,
    /// The fifth part is not an account.
    #[error("its account is not 12 digits")]
    Account,
    /// The last part is not the name of a topic.
    #[error("its name is not 1 to 256 of `A-Z a-z 0-9 _ -` (and `.fifo` at the end for a FIFO topic)")]
    Name,
}

impl FromStr for TopicArn {
    type Err = TopicArnError;

    fn from_str(text: &str) -> Result<TopicArn, TopicArnError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (&["arn", partition, service, region, account, name]
        | &["arn", partition, service, region, account, name, _]) = parts.as_slice()
        else {
            return Err(TopicArnError::Form);
        };
        if !is_lower_case_name(service) {
            return Err(TopicArnError::Form);
        }
        // First: what is wrong with an SQS queue's ARN is not that its partition or its name is
        // odd.
        if service != "sns" {
            return Err(TopicArnError::Service(service.to_owned()));
        }
        if parts.len() == 7 {
            return Err(TopicArnError::Subscription);
        }
        if !is_partition(partition) {
            return Err(TopicArnError::Partition);
        }
        if !is_region(region) {
            return Err(TopicArnError::Region);
        }
        if !is_account(account) {
            return Err(TopicArnError::Account);
        }
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let of_the_alphabet = stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if stem.is_empty() || name.len() > 256 || !of_the_alphabet {
            return Err(TopicArnError::Name);
        }
        Ok(TopicArn { text: text.to_owned(), region: region.to_owned(), fifo: stem.len() < name.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> TopicArnError {
        text.parse::<TopicArn>().unwrap_err()
    }

    #[test]
    fn topics_of_every_partition() {
        for (text, region, fifo) in [
            ("arn:aws:sns:us-east-1:123456789012:profile-events", "us-east-1", false),
            ("arn:aws:sns:us-east-1:123456789012:Profile_Events.fifo", "us-east-1", true),
            ("arn:aws-cn:sns:cn-northwest-1:123456789012:t", "cn-northwest-1", false),
            ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", "us-gov-west-1", false),
            ("arn:aws-iso-b:sns:us-isob-east-1:123456789012:t", "us-isob-east-1", false),
        ] {
            let topic: TopicArn = text.parse().unwrap();
            assert_eq!(topic, TopicArn { text: text.into(), region: region.into(), fifo }, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_topic_is_named() {
        for text in
            ["", "profile-events", "arn:aws:sns:us-east-1:123456789012", "arn:aws:s ns:us-east-1:123456789012:t"]
        {
            assert_eq!(error(text), TopicArnError::Form, "{text}");
        }
        assert_eq!(error("ARN:aws:sns:us-east-1:123456789012:t"), TopicArnError::Form);
        assert_eq!(error("arn:gcp:sns:us-east-1:123456789012:t"), TopicArnError::Partition);
        assert_eq!(error("arn:aws-:sns:us-east-1:123456789012:t"), TopicArnError::Partition);
        assert_eq!(error("arn:aws:sqs:us-east-1:123456789012:t"), TopicArnError::Service("sqs".into()));
        assert_eq!(error("arn:aws:lambda:us-east-1:123456789012:function:t"), TopicArnError::Service("lambda".into()));
        assert_eq!(error("arn:aws:sns:us-east-1:123456789012:t:0e1b"), TopicArnError::Subscription);
        assert_eq!(error("arn:aws:sns::123456789012:t"), TopicArnError::Region);
        assert_eq!(error("arn:aws:sns:us-east-1:1234:t"), TopicArnError::Account);
        assert_eq!(error("arn:aws:sns:us-east-1:12345678901x:t"), TopicArnError::Account);
        for name in ["", ".fifo", "a.b", "a b", &"n".repeat(257), &format!("{}.fifo", "n".repeat(252))] {
            assert_eq!(error(&format!("arn:aws:sns:us-east-1:123456789012:{name}")), TopicArnError::Name, "{name}");
        }
    }
}
