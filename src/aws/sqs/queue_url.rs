//! The URLs of SQS queues, which tell where the API is and, except with emulators, in which region.

use std::str::FromStr;

use crate::aws::endpoint::{Endpoint, EndpointError};
use crate::aws::names::{is_account, is_region};

/// The URL of a queue: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueUrl {
    /// The whole URL.
    pub(crate) text: String,
    /// Scheme, host and port of it.
    pub(crate) endpoint: Endpoint,
    /// The region that the host names.
    pub(crate) region: Option<String>,
    /// True if the queue is FIFO: its name ends in `.fifo`.
    pub(crate) fifo: bool,
}

/// The reason why a text is not the URL of a queue. The text itself is left out: it may hold a
/// password or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueUrlError {
    /// An ARN instead of a URL.
    #[error("it is an ARN; the URL begins with `https://`")]
    Arn,
    /// No endpoint at its beginning.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// Nothing behind the host, or on AWS something else than account and name.
    #[error("its path is not `/ACCOUNT/NAME`, the account with 12 digits")]
    Path,
    /// The last part is not the name of a queue.
    #[error("its name is not 1 to 80 of `A-Z a-z 0-9 _ -` (and `.fifo` at the end for a FIFO queue)")]
    Name,
}

/// The domains under which only AWS answers. Emulators have paths of their own.
const AWS_DOMAINS: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu"];

/// The oldest endpoint, which names no region; it is in `us-east-1`.
const OLDEST_HOST: &str = "queue.amazonaws.com";

impl FromStr for QueueUrl {
    type Err = QueueUrlError;

    fn from_str(text: &str) -> Result<QueueUrl, QueueUrlError> {
        if text.starts_with("arn:") {
            return Err(QueueUrlError::Arn);
        }
        let (endpoint, path) = Endpoint::split(text)?;
        let path = match path.strip_prefix('/') {
            Some(path) => path,
            None if path.is_empty() => return Err(QueueUrlError::Path),
            None => return Err(EndpointError::Path.into()),
        };
        let (parents, name) = match path.rsplit_once('/') {
            Some((parents, name)) => (Some(parents), name),
            None => (None, path),
        };
        let on_aws = AWS_DOMAINS.iter().any(|domain| endpoint.host().ends_with(domain));
        if on_aws && !parents.is_some_and(is_account) {
            return Err(QueueUrlError::Path);
        }
        let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_of_a_name);
        if !on_aws && !parents.is_none_or(|parents| parents.split('/').all(is_segment)) {
            return Err(QueueUrlError::Path);
        }
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        if stem.is_empty() || name.len() > 80 || !stem.bytes().all(is_of_a_name) {
            return Err(QueueUrlError::Name);
        }
        let (region, fifo) = (region_of(endpoint.host()), stem.len() < name.len());
        Ok(QueueUrl { text: text.to_owned(), endpoint, region, fifo })
    }
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Returns the region that stands behind the service, also in the names of VPC endpoints, or before
/// it in the older form.
fn region_of(host: &str) -> Option<String> {
    if host == OLDEST_HOST {
        return Some("us-east-1".to_owned());
    }
    let labels: Vec<&str> = host.split('.').collect();
    let region = labels.windows(2).find_map(|pair| match pair {
        ["sqs" | "sqs-fips", region] | [region, "queue"] => Some(*region).filter(|region| is_region(region)),
        _ => None,
    });
    region.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_aws_name_their_region() {
        for (host, region) in [
            ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("sqs-fips.us-east-1.amazonaws.com", "us-east-1"),
            ("sqs.us-west-2.api.aws", "us-west-2"),
            ("sqs-fips.us-west-2.api.aws", "us-west-2"),
            ("us-west-2.queue.amazonaws.com", "us-west-2"),
            ("queue.amazonaws.com", "us-east-1"),
            ("vpce-0a1b-2c3d.sqs.us-east-2.vpce.amazonaws.com", "us-east-2"),
            ("vpce-0a1b-2c3d-us-east-2a.sqs.us-east-2.vpce.amazonaws.com", "us-east-2"),
        ] {
            let text = format!("https://{host}/123456789012/Web_hooks-1");
            let queue: QueueUrl = text.parse().unwrap();
            assert_eq!((queue.region.as_deref(), queue.fifo), (Some(region), false), "{host}");
            assert_eq!((queue.endpoint.host_port(), &queue.text), (format!("{host}:443"), &text));
        }
        assert!("https://sqs.us-east-1.amazonaws.com/123456789012/a.fifo".parse::<QueueUrl>().unwrap().fifo);
    }

    #[test]
    fn emulators_have_paths_of_their_own_and_seldom_a_region() {
        for (text, region, host_port) in [
            ("http://127.0.0.1:5000/123456789012/name", None, "127.0.0.1:5000"),
            ("http://localhost:9324/queue/name.fifo", None, "localhost:9324"),
            ("http://[::1]/name", None, "[::1]:80"),
            ("http://localhost:4566/queue/us-east-1/000000000000/name", None, "localhost:4566"),
            (
                "http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/name",
                Some("eu-west-1"),
                "sqs.eu-west-1.localhost.localstack.cloud:4566",
            ),
        ] {
            let queue: QueueUrl = text.parse().unwrap();
            assert_eq!((queue.region.as_deref(), queue.endpoint.host_port().as_str()), (region, host_port), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_queue_is_named() {
        let long = format!("https://a/{}", "n".repeat(81));
        for (text, error) in [
            ("", QueueUrlError::Endpoint(EndpointError::Scheme)),
            ("arn:aws:sqs:us-east-1:123456789012:webhooks", QueueUrlError::Arn),
            ("sqs.us-east-1.amazonaws.com/123456789012/a", QueueUrlError::Endpoint(EndpointError::Scheme)),
            ("https://user:secret@a/b", QueueUrlError::Endpoint(EndpointError::UserInfo)),
            ("https:///123456789012/a", QueueUrlError::Endpoint(EndpointError::Host)),
            ("https://a?/b", QueueUrlError::Endpoint(EndpointError::Path)),
            ("https://a:0/b", QueueUrlError::Endpoint(EndpointError::Port)),
            ("https://sqs.us-east-1.amazonaws.com", QueueUrlError::Path),
            ("https://sqs.us-east-1.amazonaws.com/webhooks", QueueUrlError::Path),
            ("https://sqs.us-east-1.amazonaws.com/12345678901/webhooks", QueueUrlError::Path),
            ("https://sqs.us-east-1.amazonaws.com/123456789012/a/b", QueueUrlError::Path),
            ("http://localhost//name", QueueUrlError::Path),
            ("http://localhost/a?b/name", QueueUrlError::Path),
            ("http://localhost/", QueueUrlError::Name),
            ("http://localhost/.fifo", QueueUrlError::Name),
            ("http://localhost/a.b", QueueUrlError::Name),
            ("http://localhost/1/a?b=c", QueueUrlError::Name),
            ("http://localhost/1/a#b", QueueUrlError::Name),
            (&long, QueueUrlError::Name),
        ] {
            assert_eq!(text.parse::<QueueUrl>(), Err(error), "{text}");
        }
    }
}
