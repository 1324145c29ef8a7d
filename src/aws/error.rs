//! The meaning of AWS's errors for the event that met one: one table, for every service that the
//! filter speaks to.
//!
//! Decides the class of a failure and names the mend of one that an operator has to mend, and
//! nothing more: the outbox decides whether and when to try again. Never guesses from a message,
//! with three exceptions: a signature error is about the clock only if its message says so, and a
//! parameter that is not valid is the message's size, or the name of the target, if AWS says so.

use http::StatusCode;

use crate::lookup::{self, contains_any, is_one_of};

/// Characters that are kept of a code or a message: a reply of a megabyte must not become a log
/// line of a megabyte.
pub(crate) const MAX_KEPT_CHARS: usize = 300;

/// Words behind which a refused signature is explained by what was signed, the session token among
/// it. The text of AWS has the first of them ("The Canonical String for this request should have
/// been"), and a proxy or an emulator may quote the header alone.
const BEFORE_SECRETS: &[&str] = &["the canonical string", "canonicalrequest", "x-amz-security-token"];

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
    /// Something in this one message is not valid: no try of it will succeed.
    Permanent,
    /// The caller or the target is refused, whatever the message: a try succeeds once somebody has
    /// mended that.
    Denied,
    /// A refusal that may be about the caller, about the target, or about this one message.
    Unclear,
}

impl FailureClass {
    /// Returns true if a message that failed so is kept for as long as it may be, because what is
    /// refused may not be the message.
    pub(crate) fn is_held(self) -> bool {
        match self {
            FailureClass::Denied | FailureClass::Unclear => true,
            FailureClass::Transient
            | FailureClass::Throttled
            | FailureClass::Credentials
            | FailureClass::Clock
            | FailureClass::BatchTooLarge
            | FailureClass::EntryTooLarge
            | FailureClass::Permanent => false,
        }
    }

    /// Returns true if one message of a call may have failed so for the sake of another one, or of
    /// all together.
    pub(crate) fn may_be_another_s(self) -> bool {
        match self {
            FailureClass::BatchTooLarge
            | FailureClass::EntryTooLarge
            | FailureClass::Permanent
            | FailureClass::Unclear => true,
            FailureClass::Transient
            | FailureClass::Throttled
            | FailureClass::Credentials
            | FailureClass::Clock
            | FailureClass::Denied => false,
        }
    }

    /// Returns true if there were too many bytes, in one message or in all together.
    pub(crate) fn is_too_large(self) -> bool {
        matches!(self, FailureClass::BatchTooLarge | FailureClass::EntryTooLarge)
    }
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
    /// Its mend, where that is no matter of the code.
    pub(crate) mend: Option<&'static str>,
}

impl Failure {
    /// Makes a failure whose texts are fit for one log line: without line breaks, control
    /// characters or what was signed, and of at most [`MAX_KEPT_CHARS`] characters each.
    pub(crate) fn new(class: FailureClass, code: &str, message: &str) -> Failure {
        Failure { class, code: excerpt(code), message: excerpt(message), mend: None }
    }

    /// Returns true if AWS has not worded it, but a proxy on the way, or a host in the place of
    /// AWS.
    pub(crate) fn is_unworded(&self) -> bool {
        self.code.starts_with(UNWORDED)
    }

    /// Returns true if Envoy has said so itself, because it could not reach AWS.
    fn is_of_envoy(&self) -> bool {
        self.is_unworded() && UNREACHED_WORDS.iter().any(|words| self.message.starts_with(words))
    }

    /// Returns the failure in words for the log, with its mend where waiting may not help.
    pub(crate) fn explained(&self) -> String {
        let Failure { class, code, message, .. } = self;
        let mend = self.mend.or_else(|| if class.is_held() { Some(mend(code)) } else { listed_mend(code) });
        let mend = mend.or_else(|| self.is_of_envoy().then_some(UNREACHED_MEND));
        match mend {
            Some(mend) => format!("{code}: {message}; {mend}"),
            None => format!("{code}: {message}"),
        }
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
/// From the API references of SNS (Publish, PublishBatch), SQS (SendMessage, SendMessageBatch) and
/// EventBridge (PutEvents), "Errors" of each action; from "Common Error Types" of each service;
/// from the EventBridge User Guide, "Handling failures with PutEvents"; and from the retry rules of
/// the AWS SDKs ("standard" mode in the SDKs and Tools Reference Guide). Codes of a caller or a
/// target are in [`DENIED`].
const CODES: &[(FailureClass, &[&str])] = &[
    (
        FailureClass::Transient,
        &[
            "DependencyTimeout",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "KMSInternal",
            "KeyUnavailable",
            "RequestAborted",
            "RequestTimeout",
            "ServiceUnavailable",
        ],
    ),
    (
        FailureClass::Throttled,
        &[
            "BandwidthLimitExceeded",
            "KMSThrottling",
            "KmsThrottled",
            "LimitExceeded",
            "PriorRequestNotComplete",
            "RequestLimitExceeded",
            "RequestThrottled",
            "SlowDown",
            "Throttled",
            "Throttling",
            "TooManyRequests",
        ],
    ),
    (FailureClass::Credentials, &["ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient"]),
    (FailureClass::Clock, &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"]),
    (
        FailureClass::BatchTooLarge,
        &["BatchRequestTooLong", "RequestEntityTooLarge", "TooManyEntries", "TooManyEntriesInBatchRequest"],
    ),
    (
        FailureClass::Permanent,
        &[
            "BatchEntryIdsNotDistinct",
            "EmptyBatchRequest",
            "InvalidArgument",
            "InvalidBatchEntryId",
            "InvalidMessageContents",
            "InvalidParameter",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "MalformedDetail",
            "MissingParameter",
            "ParameterValueInvalid",
            "RedactionFailure",
            "Validation",
            "ValidationError",
        ],
    ),
    // A policy may allow some types and sources of events, and not others.
    (FailureClass::Unclear, &["NotAuthorizedForDetailType", "NotAuthorizedForSource"]),
];

/// Codes of a caller or a target that is refused, and the mend of each. From the same places as
/// [`CODES`]; the codes of keys are those that SNS and SQS pass on from KMS.
const DENIED: &[(&[&str], &str)] = &[
    (
        &["AccessDenied", "AuthorizationError", "NotAuthorized"],
        "allow the caller sns:Publish, sqs:SendMessage or events:PutEvents on it, in the policies of the caller and of \
         the target",
    ),
    (
        &[
            "InvalidAccountId",
            "InvalidAddress",
            "NonExistentQueue",
            "NotFound",
            "QueueDeletedRecently",
            "QueueDoesNotExist",
            "ResourceNotFound",
            "UnsupportedOperation",
        ],
        "this account and region have no target of this name: create it, or correct its name",
    ),
    (&["EndpointDisabled", "PlatformApplicationDisabled"], "enable it in SNS"),
    (&SIGNATURE_CODES, "correct the secret access key; nothing between here and AWS may rewrite requests"),
    (
        &["IncompleteSignature", "InvalidSecurity", "MissingAuthenticationToken"],
        "nothing between here and AWS may rewrite requests or answer in plain HTTP",
    ),
    (&["ExpiredToken"], "give keys that have not expired: those of the environment or the configuration are not renewed"),
    (&["InvalidClientTokenId", "UnrecognizedClient"], "give access keys that exist and are active"),
    (&["OptInRequired"], "subscribe the account to the service, and enable the region"),
    (&["InvalidAction", "MissingAction", "UnknownOperation"], "another service answers: correct `endpoint` or `upstream`"),
    (&[UNSIGNED], "correct the credentials"),
];

/// The mend of a code that begins with [`KMS`].
const KMS_MEND: &str = "enable the target's KMS key, and allow the caller kms:GenerateDataKey and kms:Decrypt with it";

/// The mend where AWS has not worded the refusal.
const UNWORDED_MEND: &str =
    "this answer is not from AWS: look at the proxies and firewalls on the way, and at `endpoint`";

/// Words with which Envoy begins to say that it has reached nobody.
const UNREACHED_WORDS: &[&str] = &["upstream connect error", "no healthy upstream"];

/// The mend where Envoy has reached nobody.
const UNREACHED_MEND: &str =
    "Envoy itself says so: look at the address of the cluster, at DNS and the network, and at its \
    TLS (`sni`, `trusted_ca`, the name; none for `http://`)";

/// Begins the code of every error that a service passes on from KMS, in lower case.
const KMS: &str = "kms";

/// Begins the code of an error reply that AWS has not worded; the status follows.
const UNWORDED: &str = "HTTP ";

/// The code of a call that could not be signed: the credentials' fault, and not the message's.
pub(crate) const UNSIGNED: &str = "Unsigned";

/// Codes of a wrong signature. Most mean wrong keys; some mean a wrong time, which can be
/// corrected.
const SIGNATURE_CODES: [&str; 2] = ["SignatureDoesNotMatch", "InvalidSignature"];

/// Words with which AWS says that the time of a signature is off, in lower case.
const CLOCK_WORDS: &[&str] =
    &["signature expired", "not yet current", "is now earlier than", "is now later than", "request has expired"];

/// Codes of a parameter that is not valid. A message above the limit of its queue is one, and so is
/// the name of a target.
const PARAMETER_CODES: &[&str] = &["InvalidParameter", "InvalidParameterValue"];

/// Words with which SQS says that a message is above the limit of its queue, `MaximumMessageSize`,
/// in lower case.
const SIZE_WORDS: &str = "message must be shorter than";

/// Words with which SNS begins to say that the name of the target is not valid, in lower case. It
/// may repeat a text of the event, so that what does not begin with them says nothing.
const TARGET_WORDS: &[&str] = &["invalid parameter: topicarn", "invalid parameter: targetarn"];

/// Returns the class of an error that AWS has worded.
///
/// `code` may have a namespace (`com.amazonaws.sns#NotFoundException`,
/// `AWS.SimpleQueueService.NonExistentQueue`), a suffix (`…:http://…`) and `Exception`. If the
/// tables do not know it, `status` decides: 429 is throttling, 413 a batch that is too large, and
/// every other 4xx except 408 is unclear. All else may be gone in a moment, because a redirect or
/// half a reply is not AWS's verdict.
pub(crate) fn classify(status: StatusCode, code: &str, message: &str) -> FailureClass {
    let name = bare(code);
    let message = message.to_ascii_lowercase();
    if is_one_of(name, &SIGNATURE_CODES) && contains_any(&message, CLOCK_WORDS) {
        return FailureClass::Clock;
    }
    if is_one_of(name, PARAMETER_CODES) {
        if lookup::contains(&message, SIZE_WORDS) {
            return FailureClass::EntryTooLarge;
        }
        if TARGET_WORDS.iter().any(|words| message.starts_with(words)) {
            return FailureClass::Denied;
        }
    }
    if let Some((class, _)) = CODES.iter().find(|(_, names)| is_one_of(name, names)) {
        return *class;
    }
    if is_of_kms(code) || DENIED.iter().any(|(names, _)| is_one_of(name, names)) {
        return FailureClass::Denied;
    }
    by_status(status, FailureClass::Unclear)
}

/// Returns code and class of an error that AWS has not worded: a proxy on the way, or a host in the
/// place of AWS. Its refusal of a caller or a target is never about one message.
pub(crate) fn unworded(status: StatusCode) -> (String, FailureClass) {
    (format!("{UNWORDED}{}", status.as_u16()), by_status(status, FailureClass::Denied))
}

fn by_status(status: StatusCode, refused: FailureClass) -> FailureClass {
    match status {
        StatusCode::REQUEST_TIMEOUT => FailureClass::Transient,
        StatusCode::PAYLOAD_TOO_LARGE => FailureClass::BatchTooLarge,
        StatusCode::TOO_MANY_REQUESTS => FailureClass::Throttled,
        status if status.is_client_error() => refused,
        _ => FailureClass::Transient,
    }
}

/// Returns what an operator can do about a failure for which messages are held.
fn mend(code: &str) -> &'static str {
    if code.starts_with(UNWORDED) {
        return UNWORDED_MEND;
    }
    if is_of_kms(code) {
        return KMS_MEND;
    }
    listed_mend(code).unwrap_or("look the code up in the API reference of the service")
}

/// Returns the mend of a code in [`DENIED`].
fn listed_mend(code: &str) -> Option<&'static str> {
    let name = bare(code);
    DENIED.iter().find(|(names, _)| is_one_of(name, names)).map(|(_, mend)| *mend)
}

/// Returns true for `KMSDisabledException`, `KmsDisabled` and `KMS.DisabledException`.
fn is_of_kms(code: &str) -> bool {
    without_namespace(code).get(..KMS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(KMS))
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

/// Returns the beginning of a text on one line, without what may be secret.
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
    let lower = kept.to_ascii_lowercase();
    if let Some(end) = BEFORE_SECRETS.iter().filter_map(|words| lookup::find(&lower, words)).min() {
        kept.truncate(end);
    }
    kept
}

#[cfg(test)]
mod tests;
