//! The SNS query protocol.
