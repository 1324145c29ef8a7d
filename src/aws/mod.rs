//! AWS as the filter needs it: names, endpoints, credentials, signatures, and the protocols of SNS, SQS and EventBridge. Builds
//! requests and reads replies; sends nothing.

pub mod clock_offset;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod eventbridge;
pub mod form;
pub mod names;
pub mod protocol;
pub mod reply;
pub mod retry;
pub mod retry_after;
pub mod sign;
pub mod signer;
pub mod sns;
pub mod sqs;
pub mod target;
pub mod text;
