//! Amazon resource names of SNS topics.

/// The ARN of an SNS topic: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicArn {
    /// The whole ARN.
    pub text: String,
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// The region of the topic.
    pub region: String,
    /// Whether the topic is FIFO (its name ends in `.fifo`).
    pub fifo: bool,
}
