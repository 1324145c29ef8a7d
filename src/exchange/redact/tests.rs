use super::*;
use crate::exchange::matcher::Matcher;
use crate::exchange::{ClientRequest, Consumer};
use proptest::prelude::*;

fn redaction(query: &[&str], path: &[&str]) -> Redaction {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let headers = vec!["x-internal-token".into(), "x_service_key".into(), "x-odd_".into()];
    Redaction::new(Redact { headers, query: names(query), path: names(path), ..Redact::default() })
}

/// Returns `text` as a header shows it where `token` is listed.
fn shown(text: &str) -> String {
    let (redaction, matcher) = (redaction(&["token"], &[]), Matcher::new("").unwrap());
    let mut text = Cow::Borrowed(text);
    redaction.within(matcher.groups("/")).redact_text(&mut text);
    text.into_owned()
}

#[test]
fn headers_lose_their_values_not_their_names() {
    let spellings = ["x-internal-token", "x_internal_token", "x_api_key", "x_service_key", "x-service-key", "x-odd_"];
    let names = HEADERS.into_iter().chain(spellings);
    let mut exchange = Exchange {
        request: ClientRequest {
            headers: Headers(names.map(|name| (name.into(), "s3cret".into())).collect()),
            ..ClientRequest::default()
        },
        ..Exchange::default()
    };
    exchange.response.headers = Headers(vec![("set-cookie".into(), "s3cret".into()), ("etag".into(), "7".into())]);
    let (redaction, matcher) = (redaction(&[], &[]), Matcher::new("").unwrap());
    redaction.within(matcher.groups("/")).redact(&mut exchange);
    assert!(exchange.request.headers.0.iter().all(|(_, value)| value == REDACTED));
    assert_eq!(exchange.request.headers.0.len(), 13);
    assert_eq!(exchange.response.headers.get("set-cookie"), Some(REDACTED));
    assert_eq!(exchange.response.headers.get("etag"), Some("7"));
}

#[test]
fn a_space_in_the_name_of_a_parameter_is_found_in_each_spelling() {
    let (redaction, matcher) = (redaction(&["api key"], &[]), Matcher::new("").unwrap());
    for (text, expected) in [
        ("/?api+key=s3cret&b=c", "/?api+key=REDACTED&b=c"),
        ("/?a=b&API%20Key=s3cret", "/?a=b&API%20Key=REDACTED"),
        ("/?api%2Bkey=7", "/?api%2Bkey=REDACTED"),
        ("/?api-key=7&apikey=8", "/?api-key=7&apikey=8"),
    ] {
        let mut text = Cow::Borrowed(text);
        redaction.within(matcher.groups("/")).redact_text(&mut text);
        assert_eq!(text, expected);
    }
}

#[test]
fn what_the_host_has_of_a_header_is_hidden_with_it() {
    let headers = ["host", "x-request-id", "x-consumer-username", "x-credential-identifier"];
    let headers = headers.map(str::to_owned).into();
    let redaction = Redaction::new(Redact { headers, query: vec!["token".into()], ..Redact::default() });
    let mut exchange = Exchange {
        request: ClientRequest { id: Some("1".into()), host: Some("h".into()), ..ClientRequest::default() },
        consumer: Some(Consumer {
            id: Some("?token=s3cret".into()),
            username: Some("ada".into()),
            custom_id: Some("7".into()),
        }),
        credential_id: Some("c".into()),
        ..Exchange::default()
    };
    let matcher = Matcher::new("").unwrap();
    redaction.within(matcher.groups("/")).redact(&mut exchange);
    let consumer = exchange.consumer.unwrap();
    let hidden = [exchange.request.id, exchange.request.host, consumer.username, exchange.credential_id];
    assert_eq!(hidden, [const { Some(Cow::Borrowed(REDACTED)) }; 4]);
    assert_eq!((consumer.id, consumer.custom_id), (Some("?token=REDACTED".into()), Some("7".into())));
}

#[test]
fn a_parameter_is_found_in_every_spelling() {
    for (text, expected) in [
        ("/a?b=1&token=x&c=&token=y", "/a?b=1&token=REDACTED&c=&token=REDACTED"),
        ("/a?Token=x", "/a?Token=REDACTED"),
        ("/a?t%6Fken=x#token=y&b=1", "/a?t%6Fken=REDACTED#token=REDACTED&b=1"),
        ("/a?%2574oken=x", "/a?%2574oken=REDACTED"),
        ("/a?a=1;token=x", "/a?a=1;token=REDACTED"),
        ("/a?a=1;token=x;b=2", "/a?a=1;token=REDACTED;b=2"),
        ("/a?token=x;y&b=2", "/a?token=REDACTED&b=2"),
        ("/a?token[]=x&token%5B%5D=y", "/a?token[]=REDACTED&token%5B%5D=REDACTED"),
        ("/a?token[a?b=c]=x&d=1", "/a?token[a?b=REDACTED&d=1"),
        ("/a?token[a/b;c]=x&token.x=y", "/a?token[a/b;c]=REDACTED&token.x=REDACTED"),
        ("/a?user[token]=x&user.token=y", "/a?user[token]=REDACTED&user.token=REDACTED"),
        ("/a?+token=x&%20token%20=y", "/a?+token=REDACTED&%20token%20=REDACTED"),
        ("/a;token=x/b?c=1", "/a;token=REDACTED?c=1"),
        ("/a/token=x", "/a/token=REDACTED"),
        ("/a?token%3Dx&b=1", "/a?token%3DREDACTED&b=1"),
        ("/a?token=a,b?c%26d&e", "/a?token=REDACTED&e"),
        ("https://h/p#token=x", "https://h/p#token=REDACTED"),
        ("ok? then https://h/?token=x and", "ok? then https://h/?token=REDACTED and"),
        (
            "<https://h/?a=1>; rel=a, <https://h/?token=x>; rel=b",
            "<https://h/?a=1>; rel=a, <https://h/?token=REDACTED>; rel=b",
        ),
        ("token = x; b=1", "token = REDACTED; b=1"),
        (r#"a=1, token="x \" y, b=2", c=3"#, "a=1, token=REDACTED, c=3"),
        ("a=1, token='x y, b=2', c=3", "a=1, token=REDACTED, c=3"),
        ("next=%2F%3Ftoken%3Dx%3By%3Dz", "next=%2F%3Ftoken%3DREDACTED"),
        ("?next=https%3A%2F%2Fx%2F%3Ftoken%3Dx%26b%3D1&c=2", "?next=https%3A%2F%2Fx%2F%3Ftoken%3DREDACTED%26b%3D1&c=2"),
        (
            "?next=https%253A%252F%252Fx%253Ftoken%253Dx%2526y&c",
            "?next=https%253A%252F%252Fx%253Ftoken%253DREDACTED%2526y&c",
        ),
        ("?next=https://x/?token=x%26y", "?next=https://x/?token=REDACTED"),
        ("?next=%2F%3Ftoken%3Dx%2526y%26z", "?next=%2F%3Ftoken%3DREDACTED%26z"),
        ("?to%25256ben=1&to%25256Ben=x", "?to%25256ben=REDACTED&to%25256Ben=REDACTED"),
        ("?a=token=x", "?a=token=REDACTED"),
        ("é?é&tokén=1&token=é&é", "é?é&tokén=1&token=REDACTED&é"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_php_reads_as_an_underscore_is_one() {
    let (redaction, matcher) = (redaction(&["api_key"], &[]), Matcher::new("").unwrap());
    for name in ["api_key", "API.key", "api+key", "api%20key", "api%5Bkey", "api[key"] {
        let mut text = Cow::Owned(format!("/a?{name}=x&b=1"));
        redaction.within(matcher.groups("/")).redact_text(&mut text);
        assert_eq!(text, format!("/a?{name}=REDACTED&b=1"));
    }
    let mut other = Cow::Borrowed("/a?apikey=x&api-key=y");
    redaction.within(matcher.groups("/")).redact_text(&mut other);
    assert_eq!(other, "/a?apikey=x&api-key=y");
}

/// Returns `target` as an event shows it where `token` is listed.
fn shown_target(target: &str) -> String {
    let (redaction, matcher) = (redaction(&["token"], &[]), Matcher::new("").unwrap());
    let mut target = Cow::Borrowed(target);
    redaction.within(matcher.groups("/")).redact_target(&mut target);
    target.into_owned()
}

#[test]
fn a_value_in_a_target_ends_where_a_service_ends_it() {
    for (text, expected) in [
        ("/a?token=x\"y&b=1", "/a?token=REDACTED&b=1"),
        ("/a?token=\"x\"y&b=1", "/a?token=REDACTED&b=1"),
        ("/a?token=<x>y z&b=1", "/a?token=REDACTED&b=1"),
        ("/a?b=\"1&token=x;c=y,d=z", "/a?b=\"1&token=REDACTED"),
        ("/a?b=1;token=x;c=2", "/a?b=1;token=REDACTED;c=2"),
        ("/a?b=1;c&token=x;c=2&d", "/a?b=1;c&token=REDACTED&d"),
        ("/a?n=/b?token=x\"y?c=1&d", "/a?n=/b?token=REDACTED&d"),
    ] {
        assert_eq!(shown_target(text), expected, "{text}");
    }
    for (text, expected) in [
        ("see </a?token=x;b=y> and token=z;c=1", "see </a?token=REDACTED> and token=REDACTED;c=1"),
        ("/a?token=x,b=y", "/a?token=REDACTED"),
        ("https://h/a?token=x\"y<z", "https://h/a?token=REDACTED"),
        ("://h/a?token=x\"y", "://h/a?token=REDACTED\"y"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_listed_parameter_is_unchanged() {
    for text in [
        "https://h/p?tokens=1&token",
        "/a?atoken=1&my-token=2&my_token=3&token-a=4&token_a=5&tokené=6",
        "/a?q=token&b=1&token&c=2",
        "/token/a?b=1",
        "a token; q=0.7, token, q=1",
        r#"say "token" and <token> = 1"#,
        "?q=%3D%26token%26c%3D1",
        "/a?token=&token",
        "%%%zz%2=&=token&é=token",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn groups_of_every_matcher_are_hidden_whichever_route_the_request_takes() {
    let patterns = ["^/reset/(?<key>[^/]+)", "/(?<other>v[0-9]+)/(?<key>[a-z]+)$", "/never/(?<key>.+)"];
    let matchers = patterns.map(|pattern| Matcher::new(pattern).unwrap()).into();
    let matchers = Rc::new(SecretPaths::new(matchers));
    let redaction = Redaction::new(Redact { path: vec!["key".into()], matchers, ..Redact::default() });
    let shown = |taken: &Matcher, target: &str, header: &str| {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let redaction = redaction.within(taken.groups(path));
        let (mut target, mut header) = (Cow::Borrowed(target), Cow::Borrowed(header));
        redaction.redact_target(&mut target);
        redaction.redact_text(&mut header);
        (target.into_owned(), header.into_owned(), redaction.group("all").map(Cow::into_owned))
    };
    let any = Matcher::new("(?<all>.*)").unwrap();
    assert_eq!(
        shown(&any, "/reset/s3cr3t?a=1", "https://h/reset/s3cr3t"),
        ("/reset/REDACTED?a=1".into(), "https://h/reset/REDACTED".into(), Some("/reset/REDACTED".into()))
    );
    assert_eq!(shown(&any, "/reset/a/v1/b", "").0, "/reset/REDACTED/v1/REDACTED");
    let taken = Matcher::new(patterns[1]).unwrap();
    assert_eq!(shown(&taken, "/reset/a/v1/b", "").0, "/reset/REDACTED/v1/REDACTED");
    assert_eq!(shown(&any, "/other/s3cr3t", "").0, "/other/s3cr3t");
}

#[test]
fn where_more_matchers_find_something_than_can_be_looked_at_nothing_is_shown() {
    let patterns = (0..100).map(|number| Matcher::new(&format!("/a{number}/(?<id>[^/]+)")).unwrap());
    let matchers = Rc::new(SecretPaths::new(patterns.collect()));
    let redaction = Redaction::new(Redact { path: vec!["id".into()], matchers, ..Redact::default() });
    let any = Matcher::new("(?<all>.*)").unwrap();
    let path = |count: usize| (0..count).map(|number| format!("/a{number}/s3cr3t{number}")).collect::<String>();
    for (path, is_withheld) in [
        (path(MAX_OTHER_GROUPS), false),
        (path(MAX_OTHER_GROUPS + 1), true),
        (path(100), true),
        (format!("{}/{}", path(MAX_OTHER_GROUPS), "b".repeat(MAX_SEARCHED_BYTES / 4)), true),
    ] {
        let redaction = redaction.within(any.groups(&path));
        let mut shown = [path.clone() + "?a=1", "/b/s3cr3t0".to_owned(), "harmless".to_owned()].map(Cow::Owned);
        let [target, header, other] = &mut shown;
        redaction.redact_target(target);
        redaction.redact_text(header);
        redaction.redact_text(other);
        assert!(!shown.iter().any(|text| text.contains("s3cr3t")), "{shown:?}");
        assert_eq!(shown[2] == REDACTED, is_withheld, "{path}");
        assert_eq!(redaction.group("all").unwrap() == REDACTED, is_withheld, "{path}");
    }
}

#[test]
fn a_pattern_that_many_routes_have_is_one_search() {
    let matchers = || (0..100).map(|_| Matcher::new("/(?<id>[^/]+)$").unwrap());
    assert_eq!(SecretPaths::new(matchers().collect()).all.len(), 1);
}

/// Returns a text whose encoding is undone, however often it was encoded.
fn plain(text: &str) -> String {
    let bytes: Vec<u8> = decode(text).iter().map(|unit| unit.byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Encodes a text `times` times, as `encodeURIComponent` does.
fn encoded(text: &str, times: usize) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    (0..times).fold(text.to_owned(), |text, _| text.bytes().map(byte).collect())
}

/// A name as somebody may spell it: in any case, each letter encoded any number of times.
fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let letters = prop::collection::vec((any::<bool>(), 0usize..4), name.len());
    let letter = |(letter, (upper, times)): (u8, (bool, usize))| {
        let letter = if upper { letter.to_ascii_uppercase() } else { letter };
        match times {
            0 => char::from(letter).to_string(),
            times => format!("%{}{letter:02x}", "25".repeat(times - 1)),
        }
    };
    letters.prop_map(move |letters| name.bytes().zip(letters).map(letter).collect())
}

/// The text before a name, and the text between the name and the end, with `*` for the value.
fn places() -> impl Strategy<Value = (String, String, usize)> {
    const BEFORE: [&str; 8] =
        ["", "?", "/p?a=1&", "/p?a=b?c&", "#", "/p?a=1;", "https://h/?", "ok? <https://h/?x=1>; rel=a, <https://h/?"];
    const SUFFIX: [&str; 8] = ["", "[]", "[x]", ".x", "%5B%5D", "%5bx%5D", "[x][y&z]", " "];
    const BEHIND: [&str; 5] = ["", "&b=1", "#c", "&d;e", ";b=1"];
    const AROUND: [(&str, &str); 4] =
        [("", ""), ("/login?next=", "&z=1"), ("<https://h/?u=", ">; rel=next"), ("?token=&a=", "")];
    let select = prop::sample::select::<&str>;
    let parts = (select(&BEFORE[..]), select(&SUFFIX[..]), select(&BEHIND[..]), prop::sample::select(&AROUND[..]));
    (parts, 0usize..4).prop_map(|((before, suffix, behind, (first, last)), times)| {
        let suffix = suffix.replace('&', "%26");
        let name_to_value = encoded(&format!("{suffix}="), times);
        let (before, behind) = (encoded(before, times), encoded(behind, times));
        (format!("{first}{before}"), format!("{name_to_value}*{behind}{last}"), times)
    })
}

proptest! {
    #[test]
    fn no_spelling_in_no_place_shows_a_listed_value(
        name in spelled("token"),
        other in spelled("tocen"),
        secret in "s3cr3t[a-z&=;, /?#\"é]{0,12}s3cr3t",
        (before, behind, times) in places(),
    ) {
        let value = encoded(&secret, times + 1);
        let text = |name: &str| format!("{before}{name}{}", behind.replace('*', &value));
        let hidden = shown(&text(&name));
        prop_assert!(!plain(&hidden).contains("s3cr3t"), "{} shows {}", text(&name), hidden);
        prop_assert!(hidden.starts_with(&before), "{}", hidden);
        prop_assert_eq!(shown(&text(&other)), text(&other));
    }

    #[test]
    fn no_text_is_too_odd(text in "(token|=|%|3|d|25|&|[?#;,\\[\\]\"<> é\\\\]|s3){0,60}") {
        let hidden = shown(&text);
        prop_assert!(hidden == text || hidden.contains(REDACTED));
    }
}
