//! The target `webhook_url`, and the section `webhook` beside it. No secret and no value of a
//! header that stands in it is ever quoted in a fault.

use std::rc::Rc;

use http::header::{
    HeaderMap, HeaderName, HeaderValue, CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::fault::{Checked, Reported};
use super::reader::{each, Field};
use super::target::way_to;
use crate::aws::protocol::Protocol;
use crate::aws::target::Target;
use crate::secret::{Key, KeyEncoding};
use crate::webhook::{is_of_signature, WebhookTarget, WebhookUrl, KIND};

/// The section beside the URL.
pub(super) const SETTINGS_KEY: &str = "webhook";

/// Secrets, at most: two while one is being changed, and some room. Each costs a sum of the whole
/// body.
pub(super) const MAX_SECRETS: usize = 4;

/// Bytes of a secret, at most (Standard Webhooks, "Signature scheme").
const MAX_SECRET_BYTES: usize = 64;

/// Headers, at most: hosts stop at 100 of a request, and each is a copy for each event.
pub(super) const MAX_HEADERS: usize = 20;

/// Headers that are of the connection, or that the host writes.
const OF_THE_HOST: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

const SECRETS_REMEDY: &str =
    "give `whsec_` and base64 of 24 to 64 bytes, such as `echo whsec_$(openssl rand -base64 32)` \
                              makes one, or `${env.NAME}`";

/// Reads the webhook at `url`, with the section `settings` and the host's name for it beside it.
/// `of_aws` are keys that only targets in AWS have.
pub(super) fn read(
    url: &Field<'_>,
    settings: Option<&Field<'_>>,
    of_aws: [Option<Field<'_>>; 3],
    upstream: Option<&Field<'_>>,
) -> Checked<Target> {
    let mut stray = Ok(());
    for field in of_aws.into_iter().flatten() {
        let problem = format!("is given, and means nothing beside `{}`", KIND.key);
        stray = Err(field.fault(problem, "remove it: the URL has the whole address"));
    }
    let settings = read_settings(url, settings);
    let url = read_url(url);
    let way = way_to(url.as_ref().map(|url| url.endpoint.clone()).map_err(|reported| *reported), upstream);
    let ((secrets, headers), url, (endpoint, upstream)) = (settings?, url?, way?);
    stray?;
    let protocol = Rc::new(WebhookTarget { url, secrets, headers });
    let max_message_bytes = protocol.max_bytes();
    Ok(Target { protocol, scope: None, endpoint, upstream, max_message_bytes, ordered: false })
}

fn read_url(field: &Field<'_>) -> Checked<WebhookUrl> {
    let url = field.secret()?;
    WebhookUrl::read(field.template()?, &url)
        .map_err(|error| field.fault(format!("is not {}: {error}", KIND.name), KIND.remedy))
}

fn read_settings(url: &Field<'_>, field: Option<&Field<'_>>) -> Checked<(Vec<Key>, HeaderMap)> {
    let mut section = field.map(Field::section).transpose()?;
    let secrets = match section.as_mut().and_then(|section| section.optional("secrets")) {
        Some(field) => read_secrets(&field),
        None => {
            url.warn(
                "has no `webhook.secrets`, so that its events are not signed, and anybody can make one up",
                "give a secret that the receiver checks signatures with, or `secrets: []` if it knows the caller otherwise",
            );
            Ok(Vec::new())
        }
    };
    let headers = match section.as_mut().and_then(|section| section.optional("headers")) {
        Some(field) => read_headers(&field),
        None => Ok(HeaderMap::new()),
    };
    if let Some(section) = section {
        section.finish();
    }
    Ok((secrets?, headers?))
}

fn read_secrets(field: &Field<'_>) -> Checked<Vec<Key>> {
    let secrets = if field.value().is_string() { vec![field.clone()] } else { field.items()? };
    if secrets.len() > MAX_SECRETS {
        let problem = format!("has {} secrets, of at most {MAX_SECRETS}", secrets.len());
        return Err(field.fault(problem, "remove those that the receiver no longer knows"));
    }
    each(secrets, |field| {
        let text = field.secret()?;
        if ["whsk_", "whpk_"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(field.fault("is a key of Ed25519, and events are signed with HMAC-SHA256", SECRETS_REMEDY));
        }
        let key = Key::read(&text, KeyEncoding::Whsec)
            .map_err(|error| field.fault(format!("is no secret of Standard Webhooks: {error}"), SECRETS_REMEDY))?;
        match key.reveal().len() {
            bytes if bytes > MAX_SECRET_BYTES => {
                let problem = format!("has {bytes} bytes, and one of Standard Webhooks at most {MAX_SECRET_BYTES}");
                Err(field.fault(problem, SECRETS_REMEDY))
            }
            _ => Ok(key),
        }
    })
}

fn read_headers(field: &Field<'_>) -> Checked<HeaderMap> {
    let entries = field.section()?.entries();
    if entries.len() > MAX_HEADERS {
        let problem = format!("has {} headers, of at most {MAX_HEADERS}", entries.len());
        return Err(field.fault(problem, "keep those that the receiver needs"));
    }
    let entries =
        each(entries, |(name, field)| Ok((read_header_name(name, &field)?, read_header_value(&field)?, field)))?;
    let mut headers = HeaderMap::new();
    for (name, value, field) in entries {
        if headers.insert(name, value).is_some() {
            return Err(field.fault("is given twice: case does not matter in names of headers", "give it once"));
        }
    }
    Ok(headers)
}

fn read_header_name(name: &str, field: &Field<'_>) -> Checked<HeaderName> {
    let refused = |problem: &str, remedy: &str| -> Result<HeaderName, Reported> { Err(field.fault(problem, remedy)) };
    match name.parse::<HeaderName>() {
        Err(_) => refused("is not the name of a header", "give the name alone, such as `authorization`"),
        Ok(name) if OF_THE_HOST.contains(&name) => {
            refused("is a header of the connection, or the gateway's own", "remove it")
        }
        Ok(name) if is_of_signature(&name) => {
            refused("is a header of Standard Webhooks, which the filter writes", "remove it")
        }
        Ok(name) => Ok(name),
    }
}

fn read_header_value(field: &Field<'_>) -> Checked<HeaderValue> {
    let text = field.secret()?;
    let is_plain = !text.is_empty() && text.is_ascii() && text.trim() == text;
    let value = HeaderValue::from_str(&text).ok().filter(|_| is_plain);
    let mut value = value.ok_or_else(|| {
        let problem = "is empty, has white space around it, or has a character that a header does not carry";
        field.fault(problem, "give visible ASCII, with `${env.NAME}` for a secret")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use crate::aws::credentials::settings::Source;
    use crate::config::Config;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const URL: &str = "https://hooks.example.com/in";

    fn read(changes: Value) -> Config {
        let mut config = json!({
            "webhook_url": URL, "webhook": {"secrets": SECRET}, "routes": [{"method": "PUT", "matcher": "/profile"}],
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
        Config::from_json_in(config.to_string().as_bytes(), &environment).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn warnings(config: &Config) -> Vec<&str> {
        config.warnings.iter().map(|warning| warning.path.as_str()).collect()
    }

    #[test]
    fn credentials_are_of_use_only_where_something_goes_to_aws() {
        let alone = read(json!({}));
        assert_eq!((alone.credentials.source, alone.targets[0].region()), (Source::Unneeded, ""));
        let given = read(json!({"credentials": {"source": "instance"}}));
        assert_eq!((&given.credentials.source, warnings(&given)), (&Source::Unneeded, vec!["credentials"]));
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/q";
        let route = json!({"method": "POST", "matcher": "/orders", "queue_url": queue});
        for beside in [
            json!({"routes": [{"method": "PUT", "matcher": "/profile"}, route]}),
            json!({"dead_letter": {"queue_url": queue}}),
            json!({"capture": [route]}),
        ] {
            assert_eq!(read(beside.clone()).credentials.source, Source::Auto, "{beside}");
        }
    }

    #[test]
    fn order_is_kept_where_one_of_its_routes_gives_groups() {
        let route = |path: &str| json!({"method": "PUT", "matcher": path});
        assert!(!read(json!({"routes": [route("/a"), route("/b")]})).targets[0].ordered);
        let mut grouped = route("/c");
        grouped["message_group_id"] = json!("${request.path}");
        let config = read(json!({"routes": [route("/a"), grouped]}));
        assert!(config.targets.len() == 1 && config.targets[0].ordered);
    }

    #[test]
    fn the_target_is_where_the_url_says_unless_upstream_does() {
        let config = read(json!({"webhook_url": "https://hooks.example.com/in?secret=${env.SECRET}"}));
        let target = &config.targets[0];
        assert_eq!((target.protocol.name(), target.upstream.as_str()), (URL, "hooks.example.com:443"));
        assert_eq!(target.endpoint.uri().to_string(), format!("{URL}?secret={SECRET}"));
        let config = read(json!({"upstream": "http://127.0.0.1:8099"}));
        let target = &config.targets[0];
        assert_eq!((target.upstream.as_str(), target.endpoint.is_plain()), ("127.0.0.1:8099", true));
        assert_eq!(target.endpoint.uri(), "http://hooks.example.com/in");
    }

    #[test]
    fn what_is_not_signed_draws_a_warning_unless_it_is_meant_so() {
        assert_eq!(warnings(&read(json!({}))), [""; 0]);
        assert_eq!(warnings(&read(json!({"webhook": {"secrets": []}}))), [""; 0]);
        for webhook in [Value::Null, json!({}), json!({"headers": {"authorization": "Bearer a"}})] {
            assert_eq!(warnings(&read(json!({"webhook": webhook}))), ["webhook_url"]);
        }
    }
}
