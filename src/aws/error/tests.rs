use super::*;
use FailureClass::*;

fn classify(status: u16, code: &str, message: &str) -> FailureClass {
    super::classify(StatusCode::from_u16(status).unwrap(), code, message)
}

/// The codes of AWS by class, as the wire has them: of the documentation, not of the table.
const AS_ON_THE_WIRE: &[(FailureClass, &str)] = &[
    (Transient, "InternalError InternalFailure ServiceUnavailable RequestTimeout RequestTimeoutException"),
    (Throttled, "Throttled Throttling ThrottlingException ThrottledException RequestThrottled TooManyRequests"),
    (Throttled, "TooManyRequestsException RequestLimitExceeded SlowDown KMSThrottling KMS.ThrottlingException"),
    (Throttled, "PriorRequestNotComplete KMSThrottlingException KmsThrottled"),
    (Credentials, "ExpiredToken ExpiredTokenException InvalidClientTokenId UnrecognizedClientException"),
    (Clock, "RequestExpired RequestTimeTooSkewed"),
    (BatchTooLarge, "BatchRequestTooLong TooManyEntriesInBatchRequest TooManyEntriesInBatchRequestException"),
    (BatchTooLarge, "AWS.SimpleQueueService.BatchRequestTooLong TooManyEntries"),
    (Denied, "AuthorizationError AuthorizationErrorException AccessDenied AccessDeniedException InvalidSecurity"),
    (Denied, "NotFound NotFoundException AWS.SimpleQueueService.NonExistentQueue QueueDoesNotExist InvalidAddress"),
    (Denied, "ResourceNotFoundException InvalidAccountIdException OptInRequired SignatureDoesNotMatch"),
    (Denied, "InvalidSignatureException IncompleteSignature MissingAuthenticationToken UnsupportedOperation"),
    (Denied, "KMSAccessDenied KMSDisabled KMSInvalidState KMSNotFound KMSOptInRequired KMSDisabledException"),
    (Denied, "KmsAccessDenied KmsDisabled KmsInvalidKeyUsage KmsInvalidState KmsNotFound KmsOptInRequired"),
    (Denied, "KMS.AccessDeniedException KMS.DisabledException KMS.NotFoundException KMS.InvalidStateException"),
    (Unclear, "NotAuthorizedForDetailTypeException NotAuthorizedForSourceException"),
    (Permanent, "InvalidParameter InvalidParameterException InvalidParameterValue InvalidMessageContents"),
    (Permanent, "ValidationException ValidationError MalformedDetail InvalidArgument RedactionFailure"),
];

#[test]
fn codes_have_their_class_whatever_the_status() {
    for (class, codes) in AS_ON_THE_WIRE {
        for code in codes.split(' ') {
            for status in [200, 400, 403, 503] {
                assert_eq!(classify(status, code, ""), *class, "{status} {code}");
            }
        }
    }
}

#[test]
fn namespaces_and_suffixes_do_not_hide_a_code() {
    assert_eq!(classify(400, "com.amazonaws.sqs#RequestThrottled", ""), Throttled);
    assert_eq!(classify(400, "com.amazon.coral.service#ExpiredTokenException", ""), Credentials);
    assert_eq!(classify(500, "NotFoundException:http://internal.amazon.com/coral/", ""), Denied);
    assert_eq!(classify(400, "com.amazonaws.sqs#KmsDisabled", ""), Denied);
}

#[test]
fn by_status_goes_what_the_tables_do_not_know_and_no_refusal_of_it_is_about_the_message() {
    for (status, worded, unworded) in [
        (100, Transient, Transient),
        (302, Transient, Transient),
        (400, Unclear, Denied),
        (403, Unclear, Denied),
        (404, Unclear, Denied),
        (407, Unclear, Denied),
        (408, Transient, Transient),
        (413, BatchTooLarge, BatchTooLarge),
        (429, Throttled, Throttled),
        (500, Transient, Transient),
        (502, Transient, Transient),
        (503, Transient, Transient),
        (504, Transient, Transient),
    ] {
        assert_eq!(classify(status, "SomethingNew", ""), worded, "{status}");
        let (code, class) = super::unworded(StatusCode::from_u16(status).unwrap());
        assert_eq!((code, class), (format!("HTTP {status}"), unworded));
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
    assert_eq!(classify(403, "SignatureDoesNotMatch", keys), Denied);
    assert_eq!(classify(503, "SignatureDoesNotMatch", ""), Denied);
}

#[test]
fn a_parameter_is_the_message_s_unless_aws_begins_with_the_target() {
    for (message, class) in [
        ("Invalid parameter: Message too long", Permanent),
        ("One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.", EntryTooLarge),
        ("Invalid parameter: TopicArn", Denied),
        ("Invalid parameter: TargetArn Reason: no such region", Denied),
        ("Invalid parameter: Subject Reason: `Invalid parameter: TopicArn` is none", Permanent),
    ] {
        assert_eq!(classify(400, "InvalidParameter", message), class, "{message}");
    }
}

#[test]
fn no_code_is_listed_twice() {
    let codes = CODES.iter().map(|(_, names)| names).chain(DENIED.iter().map(|(names, _)| names));
    let mut codes: Vec<_> = codes.flat_map(|names| *names).collect();
    // These are the credentials' fault until there are no others.
    let both = ["ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient"];
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1] || both.contains(pair[0])), "{codes:?}");
    assert!(codes.iter().all(|code| bare(code) == **code));
}

#[test]
fn whatever_is_held_has_a_mend() {
    for (code, words) in [
        ("com.amazonaws.sns#AuthorizationErrorException", "sns:Publish"),
        ("AWS.SimpleQueueService.NonExistentQueue", "correct its name"),
        ("KMS.NotFoundException", "kms:GenerateDataKey"),
        ("KmsDisabled", "kms:GenerateDataKey"),
        ("SignatureDoesNotMatch", "secret access key"),
        ("InvalidClientTokenId", "access keys"),
        ("ExpiredTokenException", "have not expired"),
        ("HTTP 403", "proxies"),
        (UNSIGNED, "credentials"),
        ("SomethingNew", "API reference"),
    ] {
        assert!(mend(code).contains(words), "{code}: {}", mend(code));
    }
    let denied = AS_ON_THE_WIRE.iter().filter(|(class, _)| *class == Denied).flat_map(|(_, codes)| codes.split(' '));
    for code in denied {
        assert!(!mend(code).contains("API reference"), "{code}");
    }
}

#[test]
fn what_envoy_says_in_the_place_of_aws_has_a_mend() {
    for words in ["no healthy upstream", "upstream connect error or disconnect/reset before headers"] {
        let (code, class) = unworded(StatusCode::SERVICE_UNAVAILABLE);
        assert!(Failure::new(class, &code, words).explained().contains("Envoy itself"), "{words}");
        assert!(!Failure::new(class, "InternalError", words).explained().contains("Envoy itself"), "{words}");
    }
}

#[test]
fn texts_fit_one_log_line() {
    let failure = Failure::new(Transient, " a\r\n b\0 ", &"é ".repeat(400));
    assert_eq!(failure.code, "a b");
    assert!(failure.message.chars().count() <= MAX_KEPT_CHARS);
    assert!(failure.message.starts_with("é é") && failure.message.ends_with('é'));
    assert_eq!(Failure::new(Transient, "", &"x".repeat(301)).message.len(), MAX_KEPT_CHARS);
}

#[test]
fn no_text_shows_what_was_signed() {
    let signed = "'POST\n/\n\nhost:sns.us-east-1.amazonaws.com\nx-amz-security-token:FwoGtoken\n'";
    for (text, kept) in [
        (
            format!("It does not match.\n\nThe Canonical String for this request should have been\n{signed}"),
            "It does not match. ",
        ),
        (format!("It does not match: {signed}"), "It does not match: 'POST / host:sns.us-east-1.amazonaws.com "),
        (format!("<CanonicalRequest>{signed}"), "<"),
        ("403 for X-Amz-Security-Token=FwoGtoken&Action=Publish".to_owned(), "403 for "),
        ("The\nCanonical\tString for this request: FwoGtoken".to_owned(), ""),
    ] {
        assert_eq!(Failure::new(Transient, "", &text).message, kept);
        assert!(!Failure::new(Transient, &text, "").code.contains("FwoGtoken"));
    }
}
