//! AWS as the filter needs it: names, endpoints, credentials, signatures, and the SNS protocol. Builds requests and reads
//! replies; sends nothing.

pub mod arn;
pub mod clock_offset;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod retry_after;
pub mod sign;
pub mod sns;
