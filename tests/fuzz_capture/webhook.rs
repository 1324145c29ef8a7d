//! Webhooks with signatures, good ones and nearly good ones. Signed here, and not by the crate.

use hmac::{Hmac, KeyInit, Mac};
use proptest::collection::vec;
use proptest::prelude::*;
use retrohook::clock::Timestamp;
use retrohook::exchange::{ClientRequest, Headers};
use serde_json::{json, Value};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::bodies::{body, one_of};
use crate::reader::base64;

const NOW_SECONDS: u64 = 1_767_268_800;
const SECRET: &str = "s3cret of twenty-four bytes";
/// The same for Standard Webhooks.
const SECRET_BASE64: &str = "czNjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz";
/// How far a time may be off.
const TOLERANCE: i64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    None,
    StandardWebhooks,
    Svix,
    Stripe,
    Github,
    Sha1Hex,
    Sha512Base64,
}

/// What is done to a good signature.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    None,
    OfAnotherBody,
    Missing,
    Cut(usize),
    Inserted(usize, char),
    Replaced(usize, char),
    UpperCase,
    Between(String, String),
    Another(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub body: Vec<u8>,
    target: String,
    headers: Vec<(String, String)>,
    pub scheme: Scheme,
    harm: Harm,
    /// Which of the headers of a signature is harmed.
    harmed: usize,
    /// The time that is signed, by the gateway's clock.
    signed_after: i64,
    pub rejects: bool,
    pub fifo: bool,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => Just(Harm::None),
        1 => Just(Harm::OfAnotherBody),
        1 => Just(Harm::Missing),
        2 => any::<usize>().prop_map(Harm::Cut),
        2 => (any::<usize>(), any::<char>()).prop_map(|(at, c)| Harm::Inserted(at, c)),
        2 => (any::<usize>(), "[ -~]").prop_map(|(at, c)| Harm::Replaced(at, c.chars().next().unwrap())),
        1 => Just(Harm::UpperCase),
        2 => ("[ -~]{0,12}", "[ -~]{0,12}").prop_map(|(before, after)| Harm::Between(before, after)),
        1 => any::<String>().prop_map(Harm::Another),
        1 => "(t=[0-9+-]{0,25},?)?(v1[,=]|sha256=)?[ -~]{0,90}".prop_map(Harm::Another),
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    let name = one_of(&[
        "content-type",
        "webhook-id",
        "x-github-delivery",
        "x-shopify-webhook-id",
        "idempotency-key",
        "stripe-signature",
        "svix-signature",
        "x-forwarded-for",
        "referer",
        "cookie",
        "",
    ]);
    let value = prop_oneof![
        3 => one_of(&["application/json", "text/plain", "application/a+JSON; charset=utf-8", ""]),
        3 => "[!-~]{1,110}",
        2 => any::<String>(),
    ];
    (prop_oneof![9 => name, 1 => any::<String>().boxed()], value)
}

pub(crate) fn webhook() -> impl Strategy<Value = Webhook> {
    let scheme = prop_oneof![
        Just(Scheme::None),
        Just(Scheme::StandardWebhooks),
        Just(Scheme::Svix),
        Just(Scheme::Stripe),
        Just(Scheme::Github),
        Just(Scheme::Sha1Hex),
        Just(Scheme::Sha512Base64),
    ];
    let target = prop_oneof![Just("/webhook".to_owned()), "/webhook\\?[ -~]{0,30}", any::<String>()];
    let signed_after =
        prop_oneof![4 => -TOLERANCE..=TOLERANCE, 1 => -700i64..700, 1 => -1_767_268_800i64..1_000_000_000_000];
    let signature = (scheme, harm(), any::<usize>(), signed_after);
    (body(), target, vec(header(), 0..6), signature, any::<bool>(), any::<bool>()).prop_map(
        |(body, target, headers, (scheme, harm, harmed, signed_after), rejects, fifo)| Webhook {
            body,
            target,
            headers,
            scheme,
            harm,
            harmed,
            signed_after,
            rejects,
            fifo,
        },
    )
}

fn mac<M: Mac + KeyInit>(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

impl Webhook {
    /// What verifies it in the configuration.
    pub(crate) fn verify(&self) -> Option<Value> {
        let hmac = |algorithm, encoding, prefix| {
            let form = json!({"algorithm": algorithm, "encoding": encoding, "prefix": prefix});
            let mut verify = json!({"scheme": "hmac", "secrets": [SECRET], "header": "x-signature"});
            verify.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
            verify
        };
        let mut verify = match self.scheme {
            Scheme::None => return None,
            Scheme::StandardWebhooks | Scheme::Svix => {
                json!({"scheme": "standard-webhooks", "secrets": [SECRET_BASE64]})
            }
            Scheme::Stripe => json!({"scheme": "stripe", "secrets": ["another", SECRET]}),
            Scheme::Github => json!({"scheme": "github", "secrets": [SECRET]}),
            Scheme::Sha1Hex => hmac("sha1", "hex", "h="),
            Scheme::Sha512Base64 => hmac("sha512", "base64", ""),
        };
        verify["on_failure"] = json!(if self.rejects { "reject" } else { "mark" });
        Some(verify)
    }

    fn signed_at(&self) -> u64 {
        NOW_SECONDS.checked_add_signed(self.signed_after).unwrap()
    }

    /// The headers of a good signature of `body`, and the part of them that nobody without the
    /// secret can make.
    fn signature(&self, body: &[u8]) -> (Vec<(&'static str, String)>, String) {
        let at = self.signed_at().to_string();
        let at_bytes = at.as_bytes();
        match self.scheme {
            Scheme::None => (vec![], String::new()),
            Scheme::StandardWebhooks | Scheme::Svix => {
                let text = base64(&mac::<Hmac<Sha256>>(&[b"msg_1.", at_bytes, b".", body]));
                let svix = self.scheme == Scheme::Svix;
                let [id, time, signature] = if svix {
                    ["svix-id", "svix-timestamp", "svix-signature"]
                } else {
                    ["webhook-id", "webhook-timestamp", "webhook-signature"]
                };
                (vec![(signature, format!("v1,{text}")), (time, at), (id, "msg_1".to_owned())], text)
            }
            Scheme::Stripe => {
                let text = hex::encode(mac::<Hmac<Sha256>>(&[at_bytes, b".", body]));
                (vec![("stripe-signature", format!("t={at},v1={text}"))], text)
            }
            Scheme::Github => {
                let text = hex::encode(mac::<Hmac<Sha256>>(&[body]));
                (vec![("x-hub-signature-256", format!("sha256={text}"))], text)
            }
            Scheme::Sha1Hex => {
                let text = hex::encode(mac::<Hmac<Sha1>>(&[body]));
                (vec![("x-signature", format!("h={text}"))], text)
            }
            Scheme::Sha512Base64 => {
                let text = base64(&mac::<Hmac<Sha512>>(&[body]));
                (vec![("x-signature", text.clone())], text)
            }
        }
    }

    /// All headers, those of the signature first: of several that have a name the first counts.
    pub(crate) fn sent_headers(&self) -> Vec<(String, String)> {
        let signed_body =
            if matches!(self.harm, Harm::OfAnotherBody) { [&self.body, &b"x"[..]].concat() } else { self.body.clone() };
        let mut signature = self.signature(&signed_body).0;
        if !signature.is_empty() {
            let at = self.harmed % signature.len();
            let value = &mut signature[at].1;
            let mut characters: Vec<char> = value.chars().collect();
            match &self.harm {
                Harm::None | Harm::OfAnotherBody => {}
                Harm::Missing => {
                    signature.remove(at);
                }
                Harm::Cut(length) => *value = characters[..length % characters.len()].iter().collect(),
                Harm::Inserted(position, c) => {
                    characters.insert(position % characters.len(), *c);
                    *value = characters.iter().collect();
                }
                Harm::Replaced(position, c) => {
                    let position = position % characters.len();
                    characters[position] = *c;
                    *value = characters.iter().collect();
                }
                Harm::UpperCase => *value = value.to_ascii_uppercase(),
                Harm::Between(before, after) => *value = format!("{before}{value}{after}"),
                Harm::Another(other) => value.clone_from(other),
            }
        }
        let signature = signature.into_iter().map(|(name, value)| (name.to_owned(), value));
        signature.chain(self.headers.clone()).collect()
    }

    /// True if the host could not give its target as text.
    pub(crate) fn is_garbled(&self) -> bool {
        self.target.contains(char::REPLACEMENT_CHARACTER)
    }

    pub(crate) fn is_in_time(&self) -> bool {
        matches!(self.scheme, Scheme::Github | Scheme::Sha1Hex | Scheme::Sha512Base64)
            || self.signed_after.abs() <= TOLERANCE
    }

    /// Whether it has to be taken for signed.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.harm, Harm::None) && self.is_in_time() && self.scheme != Scheme::None && !self.has_two_ids()
    }

    /// True if there is a second line of the id that is signed, which a reader might take for it.
    fn has_two_ids(&self) -> bool {
        self.scheme == Scheme::StandardWebhooks && self.headers.iter().any(|(name, _)| name == "webhook-id")
    }

    /// True if the sender of these headers knew the secret.
    pub(crate) fn is_signed_by(&self, headers: &[(String, String)]) -> bool {
        let (_, text) = self.signature(&self.body);
        let is_hex = matches!(self.scheme, Scheme::Stripe | Scheme::Github | Scheme::Sha1Hex);
        // Hex is read in either case, and base64 in either alphabet, whose last digit before the
        // padding has bits that say nothing.
        let plain = |text: &str| {
            if is_hex {
                text.to_ascii_lowercase()
            } else {
                text.replace('-', "+").replace('_', "/")
            }
        };
        let text = plain(text.trim_end_matches('='));
        let said = if is_hex { text.as_str() } else { text.split_at(text.len() - 1).0 };
        headers.iter().any(|(_, value)| plain(value).contains(said))
    }

    pub(crate) fn request<'a>(&'a self, headers: &'a [(String, String)]) -> ClientRequest<'a> {
        ClientRequest {
            method: "POST".into(),
            target: self.target.as_str().into(),
            headers: Headers(
                headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
            ),
            ..ClientRequest::default()
        }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp(NOW_SECONDS * 1_000)
}
