//! The meaning of AWS's errors for the event that met one: one table, for every service that the
//! filter speaks to.
//!
//! Decides the class of a failure and nothing more: the outbox decides whether and when to try
//! again. Never guesses from a message, with one exception: a signature error is about the clock
//! only if its message says so.

use http::StatusCode;

/// Characters that are kept of a code or a message: a reply of a megabyte must not become a log
/// line of a megabyte.
pub(crate) const MAX_KEPT_CHARS: usize = 300;

/// A class of failures, by what to do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// Likely gone in a moment: try again soon.
    Transient,
    /// Too many requests: try again more slowly.
    Throttled,
    /// The credentials have expired or are unknown: another try needs new ones.
    Credentials,
    /// The signature's time is off: another try needs the right time.
    Clock,
    /// The batch is too large: try again in smaller parts.
    BatchTooLarge,
    /// The message is larger than the service or the queue takes: no try of it will succeed.
    EntryTooLarge,
    /// Another try would fail the same way.
    Permanent,
}

/// The reason why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its class.
    pub(crate) class: FailureClass,
    /// The error code of AWS, or a word of our own for what happened instead of a reply.
    pub(crate) code: String,
    /// The message of AWS or the host, for the log.
    pub(crate) message: String,
}

impl Failure {
    /// Makes a failure whose texts are fit for one log line: without line breaks or control
    /// characters, and of at most [`MAX_KEPT_CHARS`] characters each.
    pub(crate) fn new(class: FailureClass, code: &str, message: &str) -> Failure {
        Failure { class, code: excerpt(code), message: excerpt(message) }
    }
}

/// The outcome of one entry of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The service has it.
    Delivered,
    /// The service does not have it, or nobody knows.
    Failed(Failure),
}

/// Codes as AWS writes them, without namespace and without `Exception`, by class.
///
/// From the API references of SNS, SQS and EventBridge ("Errors" of each action), their "Common
/// Errors" pages, the key errors that SNS passes on from KMS, and the retry rules of the AWS SDKs
/// ("standard" mode in the SDKs and Tools Reference Guide).
const CODES: &[(FailureClass, &[&str])] = &[
    (
        FailureClass::Transient,
        &["InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "RequestTimeout"],
    ),
    (
        FailureClass::Throttled,
        &[
            "Throttled",
            "Throttling",
            "RequestThrottled",
            "TooManyRequests",
            "RequestLimitExceeded",
            "SlowDown",
            "KMSThrottling",
            "KmsThrottled",
            "PriorRequestNotComplete",
        ],
    ),
    (FailureClass::Credentials, &["ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient"]),
    (FailureClass::Clock, &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"]),
    (FailureClass::BatchTooLarge, &["BatchRequestTooLong", "TooManyEntriesInBatchRequest", "TooManyEntries"]),
    (
        FailureClass::Permanent,
        &[
            "AuthorizationError",
            "AccessDenied",
            "InvalidSecurity",
            "NotFound",
            "NonExistentQueue",
            "QueueDoesNotExist",
            "InvalidParameter",
            "InvalidParameterValue",
            "ParameterValueInvalid",
            "MissingParameter",
            "Validation",
            "ValidationError",
            "EndpointDisabled",
            "PlatformApplicationDisabled",
            "OptInRequired",
            "KMSAccessDenied",
            "KMSDisabled",
            "KMSInvalidState",
            "KMSNotFound",
            "KMSOptInRequired",
            "BatchEntryIdsNotDistinct",
            "EmptyBatchRequest",
            "InvalidBatchEntryId",
            "InvalidAccountId",
            "InvalidArgument",
            "MalformedDetail",
            "NotAuthorizedForDetailType",
            "NotAuthorizedForSource",
            "RedactionFailure",
            "ResourceNotFound",
        ],
    ),
];

/// Codes of a wrong signature. Most mean wrong keys, which stay wrong; some mean a wrong time,
/// which can be corrected.
const SIGNATURE_CODES: &[&str] = &["SignatureDoesNotMatch", "InvalidSignature"];

/// Words with which AWS says that the time of a signature is off, in lower case.
const CLOCK_WORDS: &[&str] =
    &["signature expired", "not yet current", "is now earlier than", "is now later than", "request has expired"];

/// Codes of a parameter that is not valid. A message above the limit of its queue is one.
const PARAMETER_CODES: &[&str] = &["InvalidParameter", "InvalidParameterValue"];

/// Words with which SQS says that a message is above the limit of its queue, `MaximumMessageSize`,
/// in lower case.
const SIZE_WORDS: &str = "message must be shorter than";

/// Returns the class of an error reply.
///
/// `code` may have a namespace (`com.amazonaws.sns#NotFoundException`,
/// `AWS.SimpleQueueService.NonExistentQueue`), a suffix (`…:http://…`) and `Exception`. If the
/// table does not know it, `status` decides: 429 is throttling, 413 a batch that is too large, and
/// every other 4xx except 408 is permanent. All else may be gone in a moment, because a proxy, a
/// redirect or half a reply is not AWS's verdict on the event.
pub(crate) fn classify(status: StatusCode, code: &str, message: &str) -> FailureClass {
    let name = bare(code);
    if SIGNATURE_CODES.contains(&name) {
        let message = message.to_ascii_lowercase();
        let clock = CLOCK_WORDS.iter().any(|words| message.contains(words));
        return if clock { FailureClass::Clock } else { FailureClass::Permanent };
    }
    if PARAMETER_CODES.contains(&name) && message.to_ascii_lowercase().contains(SIZE_WORDS) {
        return FailureClass::EntryTooLarge;
    }
    if let Some((class, _)) = CODES.iter().find(|(_, names)| names.contains(&name)) {
        return *class;
    }
    match status {
        StatusCode::REQUEST_TIMEOUT => FailureClass::Transient,
        StatusCode::PAYLOAD_TOO_LARGE => FailureClass::BatchTooLarge,
        StatusCode::TOO_MANY_REQUESTS => FailureClass::Throttled,
        status if status.is_client_error() => FailureClass::Permanent,
        _ => FailureClass::Transient,
    }
}

/// Returns the code without the parts that differ between protocols.
fn bare(code: &str) -> &str {
    let code = without_namespace(code);
    let name = code.rsplit_once('.').map_or(code, |(_, name)| name);
    name.strip_suffix("Exception").unwrap_or(name)
}

/// Returns `NotFoundException` for `com.amazonaws.sns#NotFoundException:http://…`, as JSON replies
/// name an error.
pub(super) fn without_namespace(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(name, _)| name);
    code.rsplit_once('#').map_or(code, |(_, name)| name).trim()
}

fn excerpt(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MAX_KEPT_CHARS));
    let mut chars = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = chars > 0;
            continue;
        }
        if chars + usize::from(gap) >= MAX_KEPT_CHARS {
            break;
        }
        if gap {
            kept.push(' ');
            chars += 1;
            gap = false;
        }
        kept.push(c);
        chars += 1;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::*;

    fn classify(status: u16, code: &str, message: &str) -> FailureClass {
        super::classify(StatusCode::from_u16(status).unwrap(), code, message)
    }

    #[test]
    fn codes_have_their_class_whatever_the_status() {
        for (class, codes) in [
            (Transient, "InternalError InternalFailure ServiceUnavailable RequestTimeout"),
            (Throttled, "Throttled Throttling ThrottlingException ThrottledException RequestThrottled TooManyRequests"),
            (Throttled, "TooManyRequestsException RequestLimitExceeded SlowDown KMSThrottling KMS.ThrottlingException"),
            (Throttled, "PriorRequestNotComplete KMSThrottlingException"),
            (Credentials, "ExpiredToken ExpiredTokenException InvalidClientTokenId UnrecognizedClientException"),
            (Clock, "RequestExpired RequestTimeTooSkewed"),
            (BatchTooLarge, "BatchRequestTooLong TooManyEntriesInBatchRequest TooManyEntriesInBatchRequestException"),
            (BatchTooLarge, "AWS.SimpleQueueService.BatchRequestTooLong TooManyEntries"),
            (Permanent, "AuthorizationError AuthorizationErrorException AccessDenied AccessDeniedException"),
            (Permanent, "InvalidSecurity NotFound NotFoundException AWS.SimpleQueueService.NonExistentQueue"),
            (Permanent, "InvalidParameter InvalidParameterException KMSAccessDenied ValidationException"),
        ] {
            for code in codes.split(' ') {
                for status in [200, 400, 403, 503] {
                    assert_eq!(classify(status, code, ""), class, "{status} {code}");
                }
            }
        }
    }

    #[test]
    fn namespaces_and_suffixes_do_not_hide_a_code() {
        assert_eq!(classify(400, "com.amazonaws.sqs#RequestThrottled", ""), Throttled);
        assert_eq!(classify(400, "com.amazon.coral.service#ExpiredTokenException", ""), Credentials);
        assert_eq!(classify(500, "NotFoundException:http://internal.amazon.com/coral/", ""), Permanent);
    }

    #[test]
    fn unknown_codes_go_by_the_status() {
        for (status, class) in [
            (100, Transient),
            (302, Transient),
            (400, Permanent),
            (404, Permanent),
            (408, Transient),
            (413, BatchTooLarge),
            (429, Throttled),
            (500, Transient),
            (502, Transient),
            (503, Transient),
            (504, Transient),
        ] {
            assert_eq!(classify(status, "SomethingNew", ""), class, "{status}");
            assert_eq!(classify(status, "", ""), class, "{status}");
        }
    }

    #[test]
    fn a_wrong_signature_is_the_clock_s_fault_only_when_it_says_so() {
        for message in [
            "Signature expired: 20240830T123600Z is now earlier than 20240830T124000Z (20240830T125500Z - 15 min.)",
            "Signature not yet current: 20240830T130000Z is still later than 20240830T124000Z",
        ] {
            assert_eq!(classify(403, "SignatureDoesNotMatch", message), Clock, "{message}");
            assert_eq!(classify(403, "InvalidSignatureException", message), Clock, "{message}");
        }
        let keys = "The request signature we calculated does not match the signature you provided.";
        assert_eq!(classify(403, "SignatureDoesNotMatch", keys), Permanent);
        assert_eq!(classify(503, "SignatureDoesNotMatch", ""), Permanent);
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<_> = CODES.iter().flat_map(|(_, names)| *names).chain(SIGNATURE_CODES).collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
        assert!(codes.iter().all(|code| bare(code) == **code));
    }

    #[test]
    fn texts_fit_one_log_line() {
        let failure = Failure::new(Transient, " a\r\n b\0 ", &"é ".repeat(400));
        assert_eq!(failure.code, "a b");
        assert!(failure.message.chars().count() <= MAX_KEPT_CHARS);
        assert!(failure.message.starts_with("é é") && failure.message.ends_with('é'));
        assert_eq!(Failure::new(Transient, "", &"x".repeat(301)).message.len(), MAX_KEPT_CHARS);
    }
}
