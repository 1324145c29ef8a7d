//! AWS as the filter needs it: names, endpoints, credentials, signatures, and the protocols of SNS,
//! SQS and EventBridge. Builds requests and reads replies; sends nothing.

mod clock_offset;
pub mod credentials;
pub(crate) mod decimal;
pub(crate) mod endpoint;
pub(crate) mod error;
mod eventbridge;
mod form;
pub(crate) mod names;
pub(crate) mod protocol;
mod reply;
pub(crate) mod retry;
pub(crate) mod retry_after;
pub mod sign;
pub(crate) mod signer;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod uri;
