//! The senders whose signatures are known: a row each of the general form, written as an operator
//! would write it for a sender without a row. Never reads a webhook.

use std::borrow::Cow;

use crate::exchange::Headers;
use crate::json::texts;
use crate::lookup;

/// A scheme of signatures.
#[derive(Debug)]
pub(crate) struct Scheme {
    /// The name in the configuration, and of the sender in messages.
    pub(crate) name: &'static str,
    /// The form of its signatures.
    pub(crate) form: FormSource,
    /// The place in which its senders put the id of a delivery.
    pub(crate) id: IdSource,
}

/// The place that tells the form of a scheme's signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormSource {
    /// This text, in JSON: the form, or a list of forms of which a sender uses one; and what its
    /// capture does unless it is told otherwise (`timeout_ms`, `challenges`, `verify.on_failure`,
    /// `verify.tolerance_seconds`).
    Row(&'static str),
    /// The configuration, for signatures of this kind.
    Keys(Kind),
}

/// A kind of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An HMAC.
    Hmac,
    /// The secret itself.
    Token,
    /// Name and password of HTTP's basic authentication.
    Basic,
    /// A signature of Ed25519.
    #[cfg(feature = "ed25519")]
    Ed25519,
}

impl Scheme {
    /// Returns true if `verify` may have this key, which only some schemes take.
    pub(crate) fn takes(&self, key: &str) -> bool {
        let keys: &[&str] = match self.form {
            FormSource::Row(row) => return Scheme::row_takes(row, key),
            FormSource::Keys(Kind::Hmac) => &GENERAL_KEYS,
            FormSource::Keys(Kind::Token) => &["header", "query", "body", "form", "prefix"],
            FormSource::Keys(Kind::Basic) => &[],
            #[cfg(feature = "ed25519")]
            FormSource::Keys(Kind::Ed25519) => return key != "algorithm" && GENERAL_KEYS.contains(&key),
        };
        keys.contains(&key)
    }

    fn row_takes(row: &str, key: &str) -> bool {
        match key {
            "tolerance_seconds" => lookup::contains(row, "\"timestamp\""),
            "url" => lookup::contains(row, "request.url"),
            VERIFY_TOKEN => lookup::contains(row, VERIFY_TOKEN),
            _ => false,
        }
    }
}

/// The key of the token that a sender repeats in its challenge.
pub(crate) const VERIFY_TOKEN: &str = "verify_token";

/// The keys that describe a signature in general.
pub(crate) const GENERAL_KEYS: [&str; 14] = [
    "header",
    "query",
    "body",
    "form",
    "prefix",
    "separator",
    "key",
    "encoding",
    "algorithm",
    "key_encoding",
    "signed",
    "timestamp",
    "tolerance_seconds",
    "url",
];

/// The place in which senders put the id of a delivery.
#[derive(Debug)]
pub(crate) enum IdSource {
    /// Wherever some sender is known to put it.
    Unknown,
    /// The first of these, in lower case, that are there.
    Headers(&'static [IdHeaders]),
    /// The body, which this function reads where this header is there.
    Body(&'static str, fn(&[u8]) -> Option<Cow<'_, str>>),
}

/// The headers that name a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdHeaders {
    /// Headers without any of which there is no id. The first is the id itself.
    pub(crate) needed: &'static [&'static str],
    /// Headers that tell apart the hooks that share an id, where they are there.
    pub(crate) also: &'static [&'static str],
}

impl Scheme {
    /// Returns true if one of `headers` is one that only this scheme's senders send, where their
    /// ids are in bodies.
    pub(crate) fn is_named_in(&self, headers: &Headers<'_>) -> bool {
        matches!(self.id, IdSource::Body(name, _) if headers.get(name).is_some())
    }
}

/// Returns the id of an event of Stripe.
fn stripe_event(body: &[u8]) -> Option<Cow<'_, str>> {
    let [id] = texts(body, ["id"])?;
    id.filter(|id| id.starts_with("evt_")).map(Cow::Owned)
}

const fn row(name: &'static str, form: &'static str) -> Scheme {
    Scheme { name, form: FormSource::Row(form), id: IdSource::Unknown }
}

const fn with_id(name: &'static str, form: &'static str, id: &'static [IdHeaders]) -> Scheme {
    Scheme { name, form: FormSource::Row(form), id: IdSource::Headers(id) }
}

const fn keys(name: &'static str, kind: Kind) -> Scheme {
    Scheme { name, form: FormSource::Keys(kind), id: IdSource::Unknown }
}

macro_rules! ids {
    ($($needed:literal $(+ $also:literal)*),*) => { &[$(IdHeaders { needed: &[$needed], also: &[$($also),*] }),*] };
}

/// Every scheme, in the order in which ids of deliveries are looked for. What a row leaves out is
/// as the configuration has it: an HMAC with SHA-256 of the body, in hex.
pub(crate) static SCHEMES: &[Scheme] = &[
    with_id(
        "standard-webhooks",
        r#"[{"header":"webhook-signature","separator":" ","prefix":"v1,","encoding":"base64","key_encoding":"whsec","signed":"${request.headers.webhook-id}.${timestamp}.${request.body}","timestamp":{"header":"webhook-timestamp"},"id":"webhook-id"},{"header":"svix-signature","separator":" ","prefix":"v1,","encoding":"base64","key_encoding":"whsec","signed":"${request.headers.svix-id}.${timestamp}.${request.body}","timestamp":{"header":"svix-timestamp"},"id":"svix-id"}]"#,
        ids!["webhook-id", "svix-id"],
    ),
    Scheme {
        name: "stripe",
        form: FormSource::Row(
            r#"{"header":"stripe-signature","separator":",","key":"v1","signed":"${timestamp}.${request.body}","timestamp":{"key":"t"}}"#,
        ),
        id: IdSource::Body("stripe-signature", stripe_event),
    },
    // All hooks that get an event give it the same id.
    with_id(
        "github",
        r#"{"header":"x-hub-signature-256","prefix":"sha256="}"#,
        ids!["x-github-delivery" + "x-github-hook-id"],
    ),
    with_id(
        "gitlab",
        r#"{"kind":"token","header":"x-gitlab-token"}"#,
        // Tries of a webhook have one key, and each try a UUID of its own.
        &[
            IdHeaders { needed: &["idempotency-key", "x-gitlab-event"], also: &[] },
            IdHeaders { needed: &["x-gitlab-event-uuid"], also: &["x-gitlab-webhook-uuid"] },
        ],
    ),
    with_id(
        "shopify",
        r#"{"header":["x-shopify-hmac-sha256","shopify-hmac-sha256"],"encoding":"base64","timeout_ms":4500}"#,
        ids!["x-shopify-webhook-id", "shopify-webhook-id"],
    ),
    // The service decides whether a port is signed, and the kind of the secret decides the hash.
    with_id(
        "twilio",
        r#"[{"header":"x-twilio-signature","algorithm":"sha1","encoding":"base64","signed":"${request.url}${request.form}"},{"header":"x-twilio-signature","algorithm":"sha1","encoding":"base64","signed":"${request.url_other_port}${request.form}"},{"header":"x-twilio-signature","encoding":"base64","signed":"${request.url}${request.form}"},{"header":"x-twilio-signature","encoding":"base64","signed":"${request.url_other_port}${request.form}"}]"#,
        ids!["i-twilio-idempotency-token"],
    ),
    row(
        "slack",
        r#"{"header":"x-slack-signature","prefix":"v0=","signed":"v0:${timestamp}:${request.body}","timestamp":{"header":"x-slack-request-timestamp"},"timeout_ms":2500,"challenges":[{"when":{"request.body./type":"url_verification"},"response":{"body":"${request.body./challenge}"}}]}"#,
    ),
    row(
        "zoom",
        r#"{"header":"x-zm-signature","prefix":"v0=","signed":"v0:${timestamp}:${request.body}","timestamp":{"header":"x-zm-request-timestamp"},"timeout_ms":2500,"challenges":[{"when":{"request.body./event":"endpoint.url_validation"},"response":{"content_type":"application/json","body":"{\"plainToken\":\"${request.body./payload/plainToken}\",\"encryptedToken\":\"${hmac.request.body./payload/plainToken}\"}"}}]}"#,
    ),
    row(
        "meta",
        r#"{"header":"x-hub-signature-256","prefix":"sha256=","challenges":[{"verified":false,"when":{"request.method":"GET","request.query.hub.mode":"subscribe","request.query.hub.verify_token":{"key":"verify_token"}},"response":{"body":"${request.query.hub.challenge}"}}]}"#,
    ),
    row(
        "paddle",
        r#"{"header":"paddle-signature","separator":";","key":"h1","signed":"${timestamp}:${request.body}","timestamp":{"key":"ts"},"timeout_ms":4500}"#,
    ),
    row(
        "square",
        r#"{"header":"x-square-hmacsha256-signature","encoding":"base64","signed":"${request.url}${request.body}"}"#,
    ),
    row(
        "hubspot",
        r#"{"header":"x-hubspot-signature-v3","encoding":"base64","signed":"${request.method}${request.url_decoded}${request.body}${timestamp}","timestamp":{"header":"x-hubspot-request-timestamp","unit":"ms"},"timeout_ms":4500}"#,
    ),
    row("pagerduty", r#"{"header":"x-pagerduty-signature","separator":",","key":"v1","timeout_ms":4500}"#),
    #[cfg(feature = "ed25519")]
    row(
        "discord",
        r#"{"kind":"ed25519","header":"x-signature-ed25519","signed":"${timestamp}${request.body}","timestamp":{"header":"x-signature-timestamp"},"on_failure":"reject","timeout_ms":2500,"challenges":[{"when":{"request.body./type":"0"},"response":{"status":204}},{"when":{"request.body./type":"1","request.body./token":{"exists":true}},"response":{"content_type":"application/json","body":"{\"type\":1}"}}]}"#,
    ),
    row(
        "asana",
        r#"{"header":"x-hook-signature","challenges":[{"verified":false,"when":{"request.headers.x-hook-secret":{"exists":true},"request.headers.x-hook-signature":{"exists":false}},"response":{"headers":{"x-hook-secret":"${request.headers.x-hook-secret}"}}}]}"#,
    ),
    row("chargebee", r#"{"kind":"basic"}"#),
    row("postmark", r#"{"kind":"basic"}"#),
    with_id(
        "linear",
        r#"{"header":"linear-signature","timestamp":{"body":"/webhookTimestamp","unit":"ms"},"timeout_ms":4500}"#,
        ids!["linear-delivery"],
    ),
    row("typeform", r#"{"header":"typeform-signature","prefix":"sha256=","encoding":"base64"}"#),
    row("sentry", r#"{"header":"sentry-hook-signature","timeout_ms":900}"#),
    row("intercom", r#"{"header":"x-hub-signature","prefix":"sha1=","algorithm":"sha1","timeout_ms":4500}"#),
    row(
        "dropbox",
        r#"{"header":"x-dropbox-signature","challenges":[{"verified":false,"when":{"request.method":"GET","request.query.challenge":{"exists":true}},"response":{"body":"${request.query.challenge}"}}]}"#,
    ),
    row(
        "trello",
        r#"{"header":"x-trello-webhook","algorithm":"sha1","encoding":"base64","signed":"${request.body}${request.url}","challenges":[{"verified":false,"when":{"request.method":"HEAD"},"response":{}}]}"#,
    ),
    row(
        "mailgun",
        r#"{"body":"/signature/signature","signed":"${timestamp}${request.body./signature/token}","timestamp":{"body":"/signature/timestamp"}}"#,
    ),
    row(
        "calendly",
        r#"{"header":"calendly-webhook-signature","separator":",","key":"v1","signed":"${timestamp}.${request.body}","timestamp":{"key":"t"}}"#,
    ),
    with_id(
        "zendesk",
        r#"{"header":"x-zendesk-webhook-signature","encoding":"base64","signed":"${timestamp}${request.body}","timestamp":{"header":"x-zendesk-webhook-signature-timestamp","unit":"rfc3339"}}"#,
        ids!["x-zendesk-webhook-invocation-id"],
    ),
    with_id(
        "woocommerce",
        r#"{"header":"x-wc-webhook-signature","encoding":"base64"}"#,
        ids!["x-wc-webhook-delivery-id" + "x-wc-webhook-id"],
    ),
    row(
        "docusign",
        r#"{"header":["x-docusign-signature-1","x-docusign-signature-2","x-docusign-signature-3","x-docusign-signature-4"],"encoding":"base64"}"#,
    ),
    with_id(
        "box",
        r#"{"header":["box-signature-primary","box-signature-secondary"],"encoding":"base64","signed":"${request.body}${timestamp}","timestamp":{"header":"box-delivery-timestamp","unit":"rfc3339"},"tolerance_seconds":600}"#,
        ids!["box-delivery-id"],
    ),
    row("launchdarkly", r#"{"header":"x-ld-signature"}"#),
    row("circleci", r#"{"header":"circleci-signature","separator":",","key":"v1","timeout_ms":4500}"#),
    with_id("bitbucket", r#"{"header":"x-hub-signature","prefix":"sha256="}"#, ids!["x-request-uuid" + "x-hook-uuid"]),
    with_id("jira", r#"{"header":"x-hub-signature","prefix":"sha256="}"#, ids!["x-atlassian-webhook-identifier"]),
    with_id("gitea", r#"{"header":"x-gitea-signature"}"#, ids!["x-gitea-delivery"]),
    with_id(
        "twitch",
        r#"{"header":"twitch-eventsub-message-signature","prefix":"sha256=","signed":"${request.headers.twitch-eventsub-message-id}${timestamp}${request.body}","timestamp":{"header":"twitch-eventsub-message-timestamp","unit":"rfc3339"},"tolerance_seconds":600,"id":"twitch-eventsub-message-id","challenges":[{"when":{"request.headers.twitch-eventsub-message-type":"webhook_callback_verification"},"response":{"body":"${request.body./challenge}"}}]}"#,
        ids!["twitch-eventsub-message-id"],
    ),
    row("xero", r#"{"header":"x-xero-signature","encoding":"base64","on_failure":"reject","timeout_ms":4500}"#),
    row("quickbooks", r#"{"header":"intuit-signature","encoding":"base64","timeout_ms":2500}"#),
    row("paystack", r#"{"header":"x-paystack-signature","algorithm":"sha512"}"#),
    with_id("razorpay", r#"{"header":"x-razorpay-signature","timeout_ms":4500}"#, ids!["x-razorpay-event-id"]),
    row("vercel", r#"{"header":"x-vercel-signature","algorithm":"sha1"}"#),
    row("line", r#"{"header":"x-line-signature","encoding":"base64","timeout_ms":1800}"#),
    row("telegram", r#"{"kind":"token","header":"x-telegram-bot-api-secret-token"}"#),
    keys("hmac", Kind::Hmac),
    keys("token", Kind::Token),
    keys("basic", Kind::Basic),
    #[cfg(feature = "ed25519")]
    keys("ed25519", Kind::Ed25519),
];
