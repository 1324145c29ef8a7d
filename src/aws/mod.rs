//! AWS as the filter needs it: names, endpoints, credentials, signatures, and the protocols of SNS, SQS and EventBridge. Builds
//! requests and reads replies; sends nothing.

pub mod arn;
pub mod clock_offset;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod event_bus;
pub mod eventbridge;
pub mod protocol;
pub mod queue_url;
pub mod reply;
pub mod retry_after;
pub mod sign;
pub mod sns;
pub mod sqs;
pub mod text;
