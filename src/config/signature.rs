//! The keys that describe a form of signatures: an operator's, or those of a known sender's row.
//! Which of them a scheme takes is not known here.

use super::fault::{Checked, Reported};
use super::reader::{each, Field, Section};
use super::template::{known_of_webhooks, refused};
use crate::capture::verify::{Content, Kind, Proof, SignatureForm, TimePlace, TimeUnit, VARIABLES};
use crate::exchange::is_token;
use crate::exchange::template::Variable;
use crate::json::pointer;
use crate::secret::{Algorithm, Encoding, KeyEncoding};

const PLACE_REMEDY: &str =
    "give one of `header`, such as `x-signature`, `query`, `form`, and `body`, such as `/signature`";
const TIME_REMEDY: &str = "give one of `header`, `query`, `body`, `form`, and `key`, such as `t` of a list `t=…,v1=…`";

/// The kinds by the names that rows have for them.
#[cfg(feature = "ed25519")]
pub(super) const KINDS: [(&str, Kind); 4] =
    [("hmac", Kind::Hmac), ("token", Kind::Token), ("basic", Kind::Basic), ("ed25519", Kind::Ed25519)];
/// The kinds by the names that rows have for them.
#[cfg(not(feature = "ed25519"))]
pub(super) const KINDS: [(&str, Kind); 3] = [("hmac", Kind::Hmac), ("token", Kind::Token), ("basic", Kind::Basic)];

/// Returns how `secrets` are written. Where they are public keys of Standard Webhooks, the
/// signatures are those that go with them.
#[cfg(feature = "ed25519")]
pub(super) fn of_public_keys<'s>(
    encoding: KeyEncoding,
    forms: Option<&mut [SignatureForm]>,
    mut secrets: impl Iterator<Item = &'s str>,
) -> KeyEncoding {
    if encoding != KeyEncoding::Whsec || !secrets.all(|secret| secret.starts_with("whpk_")) {
        return encoding;
    }
    for form in forms.into_iter().flatten() {
        form.proof = Proof::Ed25519;
        form.prefix = "v1a,".to_owned();
    }
    KeyEncoding::Public(Encoding::Base64)
}

/// Returns how `secrets` are written.
#[cfg(not(feature = "ed25519"))]
pub(super) fn of_public_keys<'s>(
    encoding: KeyEncoding,
    _: Option<&mut [SignatureForm]>,
    _: impl Iterator<Item = &'s str>,
) -> KeyEncoding {
    encoding
}

/// Reads a form of signatures of this kind, and how its secrets are written.
pub(super) fn read(section: &mut Section<'_>, kind: Kind) -> Checked<(SignatureForm, KeyEncoding)> {
    let body = Content::body();
    if kind == Kind::Basic {
        let form = SignatureForm {
            proof: Proof::Token,
            places: vec![Variable::RequestHeader("authorization".to_owned())],
            separator: None,
            prefix: "Basic ".to_owned(),
            encoding: Encoding::Base64,
            signed: body,
            time: None,
            id: None,
        };
        return Ok((form, KeyEncoding::NameAndPassword));
    }
    let places = read_places(section);
    let prefix = section.optional("prefix").map(|field| field.text().map(str::to_owned)).transpose();
    if kind == Kind::Token {
        let (places, prefix) = (places?, prefix?.unwrap_or_default());
        let (proof, encoding) = (Proof::Token, Encoding::Text);
        let form =
            SignatureForm { proof, places, separator: None, prefix, encoding, signed: body, time: None, id: None };
        return Ok((form, KeyEncoding::Plain(Encoding::Text)));
    }
    let separator = read_word(section, "separator");
    let key = read_word(section, "key");
    let prefix = match (prefix?, key?) {
        (Some(_), Some(_)) => {
            return Err(section.fault_at(
                "key",
                "is given beside `prefix`",
                "give one: the key `v1` is the prefix `v1=`",
            ));
        }
        (None, Some(key)) => format!("{key}="),
        (prefix, None) => prefix.unwrap_or_default(),
    };
    let encoding = section.choice("encoding", &[("hex", Encoding::Hex), ("base64", Encoding::Base64)]);
    let algorithms = [("sha256", Algorithm::Sha256), ("sha1", Algorithm::Sha1), ("sha512", Algorithm::Sha512)];
    let algorithm = section.choice("algorithm", &algorithms);
    let (proof, key_encoding) = read_proof(section, kind, algorithm);
    let signed = match section.optional("signed") {
        Some(field) => read_signed(&field),
        None => Ok(body),
    };
    let time = read_time(section, separator.as_ref().is_ok_and(Option::is_some));
    let (signed, time) = (signed?, time?);
    match &time {
        Some((place, _)) => check_time(section, place, &signed)?,
        None if signed.has_timestamp() => {
            let problem = "is missing, and `signed` has `${timestamp}`";
            return Err(section.fault_at("timestamp", problem, TIME_REMEDY));
        }
        None => {}
    }
    let form = SignatureForm {
        proof: proof?,
        places: places?,
        separator: separator?,
        prefix,
        encoding: encoding?,
        signed,
        time,
        id: None,
    };
    Ok((form, key_encoding?))
}

fn read_proof(
    section: &mut Section<'_>,
    kind: Kind,
    algorithm: Checked<Algorithm>,
) -> (Checked<Proof>, Checked<KeyEncoding>) {
    let [text, hex, base64] = [Encoding::Text, Encoding::Hex, Encoding::Base64].map(KeyEncoding::Plain);
    match kind {
        Kind::Hmac | Kind::Token | Kind::Basic => {
            let encodings = [("text", text), ("base64", base64), ("hex", hex), ("whsec", KeyEncoding::Whsec)];
            (algorithm.map(Proof::Hmac), section.choice("key_encoding", &encodings))
        }
        #[cfg(feature = "ed25519")]
        Kind::Ed25519 => {
            let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
            let encodings = encodings.map(|(name, encoding)| (name, KeyEncoding::Public(encoding)));
            (Ok(Proof::Ed25519), section.choice("key_encoding", &encodings))
        }
    }
}

fn read_word(section: &mut Section<'_>, key: &'static str) -> Checked<Option<String>> {
    let read = |field: Field<'_>| match field.text()? {
        "" => Err(field.fault("is empty", "give a text, or leave it out")),
        text => Ok(text.to_owned()),
    };
    section.optional(key).map(read).transpose()
}

/// Reads the places of signatures, of which several headers may be given.
fn read_places(section: &mut Section<'_>) -> Checked<Vec<Variable>> {
    let headers = section.optional("header").map(|field| each(field.one_or_more(PLACE_REMEDY)?, |name| header(&name)));
    let other = read_other_place(section);
    match (headers, other) {
        (Some(headers), None) => headers,
        (None, Some(place)) => Ok(vec![place?]),
        (None, None) => Err(section.fault_at("header", "is missing", PLACE_REMEDY)),
        (Some(_), Some(_)) => {
            Err(section.fault_at("header", "is given beside `query`, `body` or `form`", PLACE_REMEDY))
        }
    }
}

fn header(field: &Field<'_>) -> Checked<Variable> {
    let name = field.text()?;
    if !is_token(name) {
        return Err(field.fault("is not the name of a header", "give the name alone, such as `x-signature`"));
    }
    Ok(Variable::RequestHeader(name.to_ascii_lowercase()))
}

fn read_other_place(section: &mut Section<'_>) -> Option<Checked<Variable>> {
    let query = read_word(section, "query");
    let form = read_word(section, "form");
    let body = section.optional("body").map(|field| match field.text()? {
        at if pointer::is_pointer(at) => Ok(Variable::RequestBodyValue(at.to_owned())),
        _ => Err(field.fault("is not a JSON pointer of at most 8 steps", "give one, such as `/signature`")),
    });
    let query = query.map(|name| name.map(Variable::RequestQuery)).transpose();
    let form = form.map(|name| name.map(Variable::RequestFormField)).transpose();
    match (query, body, form) {
        (Some(place), None, None) | (None, Some(place), None) | (None, None, Some(place)) => Some(place),
        (None, None, None) => None,
        (_, _, Some(_)) => Some(Err(section.fault_at("form", "is given beside `query` or `body`", "give one of them"))),
        (_, _, None) => Some(Err(section.fault_at("body", "is given beside `query`", "give one of them"))),
    }
}

fn read_signed(field: &Field<'_>) -> Checked<Content> {
    let content: Content = field.template()?.parse().map_err(|error| {
        let known: Vec<&str> =
            known_of_webhooks().into_iter().filter(|name| *name != "path.NAME").chain(VARIABLES).collect();
        refused(field, &error, &known)
    })?;
    of_request_alone(field, content.variables())?;
    if content.is_constant() {
        return Err(
            field.fault("has no placeholder, so that one signature would be good for everything", SIGNED_REMEDY)
        );
    }
    if !content.has_body() {
        field.warn("lacks the body, so that a good signature says nothing of it", SIGNED_REMEDY);
    }
    if content.runs_together() {
        let problem =
            "has two placeholders with nothing between them, so that the end of the one could be sent as the \
                       beginning of the other";
        field.warn(problem, SIGNED_REMEDY);
    }
    Ok(content)
}

const SIGNED_REMEDY: &str = "give what the sender signs, such as `${timestamp}.${request.body}`";

/// Reports a placeholder of something that a request alone does not have.
pub(super) fn of_request_alone<'v>(
    field: &Field<'_>,
    mut variables: impl Iterator<Item = &'v Variable>,
) -> Checked<()> {
    if variables.all(|variable| variable.is_of_request() && !matches!(variable, Variable::PathGroup(_))) {
        return Ok(());
    }
    let problem =
        "has a placeholder of the path's groups, the response, the route or the service, which is not filled in here";
    Err(field.fault(problem, "take what the request has: `request.…`"))
}

fn read_time(section: &mut Section<'_>, is_list: bool) -> Checked<Option<(TimePlace, TimeUnit)>> {
    let Some(field) = section.optional("timestamp") else { return Ok(None) };
    let mut time = field.section()?;
    let header = time.optional("header").map(|field| header(&field));
    let other = read_other_place(&mut time);
    // Without a name it is the first item.
    let key = time.optional("key").map(|field| field.text().map(str::to_owned)).transpose();
    let units = [("s", TimeUnit::Seconds), ("ms", TimeUnit::Milliseconds), ("rfc3339", TimeUnit::Rfc3339)];
    let unit = time.choice("unit", &units);
    let key = key?;
    let place = match (header, other, key) {
        (Some(place), None, None) | (None, Some(place), None) => place.map(TimePlace::Request),
        (None, None, Some(key)) if is_list && key.is_empty() => Ok(TimePlace::List(key)),
        (None, None, Some(key)) if is_list => Ok(TimePlace::List(format!("{key}="))),
        (None, None, Some(_)) => {
            Err(time.fault_at("key", "belongs to a list, and there is none", "give `separator`, too"))
        }
        _ => Err(field.fault("has no place, or several", TIME_REMEDY)),
    };
    time.finish();
    Ok(Some((place?, unit?)))
}

/// Reports a time that anybody could change: one that is not signed.
fn check_time(section: &Section<'_>, place: &TimePlace, signed: &Content) -> Result<(), Reported> {
    let is_signed = signed.has_timestamp()
        || match place {
            TimePlace::List(_) => false,
            TimePlace::Request(place) => {
                signed.variables().any(|variable| variable == place)
                    || matches!(place, Variable::RequestBodyValue(_) | Variable::RequestFormField(_))
                        && signed.has_body()
                    || matches!(place, Variable::RequestQuery(_)) && signed.has_url()
            }
        };
    if is_signed {
        return Ok(());
    }
    let remedy = "put `${timestamp}` into `signed` where the sender has it, or leave it out";
    Err(section.fault_at("timestamp", "is not signed, so that anybody could change it", remedy))
}
