use super::*;
use crate::aws::sns;
use crate::aws::sns::topic_arn::TopicArn;
use crate::exchange::body::{Body, BodyExtent, BodySlot, Omission};
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::{ClientRequest, ClientResponse, Entity, Headers, Latencies, Tls};
use crate::json::walk::Pointer;
use crate::publish::attribute::{TypedAttribute, ValueTemplate};
use crate::publish::condition::Conditions;
use crate::publish::dead_letter::{self, Address, DropReason};
use crate::publish::message_template::{MessageTemplate, MessageValue};
use crate::publish::needs::Needs;
use crate::publish::route::{DeliveryMode, Format, Statuses};
use crate::publish::sample::Sample;
use proptest::prelude::*;
use serde_json::{json, Value};

mod bodies;

const ID: &str = "018f3c5e-0000-7000-8000-000000000000";
const NOW: Timestamp = Timestamp(1_726_783_839_711);

fn text(name: &str, template: &str) -> TypedAttribute {
    TypedAttribute { name: name.into(), value: ValueTemplate::Text(template.parse().unwrap()) }
}

fn route() -> Route {
    Route {
        methods: Methods::Any,
        matcher: Matcher::new("/profile/(?<id>[0-9]+)").unwrap(),
        statuses: Statuses::success(),
        grpc_statuses: Statuses::grpc_success(),
        complete_only: false,
        when: Conditions::new(vec![]),
        sample: Sample::ALL,
        continues: false,
        event_type: Some("profile.updated".into()),
        format: Format::Kong,
        message: None,
        needs: Needs::Record,
        body_values: Vec::new(),
        request_body: None,
        response_body: None,
        attributes: vec![
            text("auth", "${request.headers.authorization}"),
            text("nothing", "${request.headers.nothing}"),
            text("profile_id", "${path.id}"),
        ],
        subject: Some("profile ${path.id}".parse().unwrap()),
        message_group_id: Some("${path.id}".parse().unwrap()),
        delivery: DeliveryMode::AfterResponse,
        target: 0,
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> Headers<'static> {
    Headers(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

fn exchange() -> Exchange<'static> {
    Exchange {
        request: ClientRequest {
            id: Some("2f69".into()),
            method: "PUT".into(),
            target: "/mockbin/profile/42?a=1&a=2&flag&b=x%20y&empty=".into(),
            scheme: Some("https".into()),
            host: Some("shop.example".into()),
            port: None,
            headers: headers(&[
                ("host", "shop.example"),
                ("authorization", "Bearer s3cret"),
                ("accept", "a"),
                ("accept", "b"),
            ]),
            size: Some(139),
            tls: Some(Tls { version: Some("TLSv1.3".into()), client_verify: Some("NONE".into()), ..Tls::default() }),
            body: BodySlot::default(),
        },
        response: ClientResponse {
            status: 200,
            headers: headers(&[("content-type", "application/json")]),
            size: Some(9_982),
            ..ClientResponse::default()
        },
        latencies: Latencies { request: Some(173), upstream: Some(171), receive: None },
        started_at: Some(Timestamp(1_726_783_839_538)),
        client_ip: Some("192.168.65.1".into()),
        upstream_uri: Some("/profile/42".into()),
        upstream_status: Some("200".into()),
        source: Some("upstream".into()),
        route: Some(Entity { name: Some("example_route".into()), json: None }),
        service: Some(Entity { name: Some("example_service".into()), json: None }),
        ..Exchange::default()
    }
}

fn event_for(exchange: Exchange<'_>, route: &Route, fifo: bool) -> Event {
    let topic = topic(fifo);
    Recorder::new(Redact::default()).event(exchange, route, &topic, topic.max_bytes(), ID.to_owned(), NOW).0
}

fn topic(fifo: bool) -> TopicArn {
    TopicArn { text: "arn:aws:sns:us-east-1:123456789012:t".into(), region: "us-east-1".into(), fifo }
}

fn event(exchange: Exchange<'_>) -> Event {
    event_for(exchange, &route(), false)
}

fn message(event: &Event) -> Value {
    serde_json::from_str(&event.message).unwrap()
}

#[test]
fn the_message_has_the_shape_of_kong_s_file_log() {
    assert_eq!(
        message(&event(exchange())),
        json!({
            "event_id": ID,
            "event_type": "profile.updated",
            "request": {
                "id": "2f69",
                "method": "PUT",
                "uri": "/mockbin/profile/42?a=1&a=2&flag&b=x%20y&empty=",
                "url": "https://shop.example:443/mockbin/profile/42?a=1&a=2&flag&b=x%20y&empty=",
                "size": 139,
                "querystring": {"a": ["1", "2"], "flag": true, "b": "x y", "empty": ""},
                "headers": {"host": "shop.example", "authorization": "REDACTED", "accept": ["a", "b"]},
                "tls": {"version": "TLSv1.3", "client_verify": "NONE"},
            },
            "response": {"status": 200, "size": 9982, "headers": {"content-type": "application/json"}},
            "latencies": {"kong": 2, "proxy": 171, "request": 173},
            "route": {"name": "example_route"},
            "service": {"name": "example_service"},
            "client_ip": "192.168.65.1",
            "started_at": 1_726_783_839_538u64,
            "upstream_uri": "/profile/42",
            "upstream_status": "200",
            "source": "upstream",
        })
    );
}

#[test]
fn what_is_unknown_is_absent() {
    let bare = Exchange {
        request: ClientRequest { method: "GET".into(), target: "/".into(), ..ClientRequest::default() },
        response: ClientResponse { status: 204, ..ClientResponse::default() },
        ..Exchange::default()
    };
    assert_eq!(
        message(&event(bare)),
        json!({
            "event_id": ID,
            "event_type": "profile.updated",
            "request": {"method": "GET", "uri": "/", "querystring": {}, "headers": {}},
            "response": {"status": 204, "headers": {}},
            "latencies": {"proxy": -1},
        })
    );
}

#[test]
fn attributes_are_for_filter_policies() {
    let event = event(exchange());
    let attributes: Vec<_> = event
        .attributes
        .iter()
        .map(|attribute| (&*attribute.name, attribute.data_type.as_str(), attribute.value.as_str()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("event_id", "String", ID),
            ("event_type", "String", "profile.updated"),
            ("auth", "String", "REDACTED"),
            ("profile_id", "String", "42"),
            ("method", "String", "PUT"),
            ("status", "Number", "200"),
            ("route", "String", "example_route"),
        ]
    );
    assert_eq!(event.subject.as_deref(), Some("profile 42"));
    assert_eq!(event.group_id.as_deref(), Some("42"));
}

#[test]
fn a_cloud_event_has_the_record_as_its_data_and_its_attributes_beside_it() {
    let route = Route { format: Format::CloudEvents, attributes: vec![text("profile_id", "${path.id}")], ..route() };
    let redact = Redact { path: vec!["id".into()], ..Redact::default() };
    let topic = topic(false);
    let mut recorder = Recorder::new(redact);
    let event = recorder.event(exchange(), &route, &topic, topic.max_bytes(), ID.to_owned(), NOW).0;
    let message = message(&event);
    assert_eq!(message["subject"], "/mockbin/profile/REDACTED");
    assert_eq!((&message["id"], &message["data"]["event_id"]), (&json!(ID), &json!(ID)));
    assert_eq!(message["data"]["request"]["method"], "PUT");
    let names: Vec<_> = event.attributes.iter().map(|attribute| &*attribute.name).collect();
    let expected = [
        "event_id",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "profile_id",
        "ce-subject",
        "ce-time",
        "event_type",
        "method",
    ];
    assert_eq!(names, expected);
    let value = |name: &str| event.attributes.iter().find(|each| each.name == name).unwrap().value.as_str();
    for (attribute, field) in [("ce-specversion", "specversion"), ("ce-id", "id"), ("ce-source", "source")] {
        assert_eq!(value(attribute), message[field]);
    }
    assert_eq!([value("ce-type"), value("ce-subject")], ["profile.updated", "/mockbin/profile/REDACTED"]);
    assert_eq!(value("ce-time"), message["time"]);
}

#[test]
fn a_cloud_event_that_is_too_large_is_cut_and_says_so_in_its_data() {
    let mut large = exchange();
    large.request.headers.0.push(("x-large".into(), "é".repeat(500_000).into()));
    large.request.target = format!("/{}", "\u{1}".repeat(50_000)).into();
    let event = event_for(large, &Route { format: Format::CloudEvents, ..route() }, false);
    assert!(sns::size(&event) <= sns::MAX_MESSAGE_BYTES);
    assert_eq!(message(&event)["data"]["truncated"], json!(["request.headers", "request.uri"]));
}

#[test]
fn no_more_attributes_than_a_message_may_have() {
    let attributes = (0..8).map(|n| text(&format!("own{n}"), "x")).collect();
    let route = Route { attributes, ..route() };
    let event = event_for(exchange(), &route, false);
    assert_eq!(event.attributes.len(), MAX_ATTRIBUTES);
    assert_eq!(event.attributes[0].name, "event_id");
    assert_eq!(event.attributes[9].name, "own7");
}

#[test]
fn an_event_without_a_group_is_a_group_of_its_own_in_a_fifo_topic() {
    let route = Route { message_group_id: Some("${request.headers.nothing}".parse().unwrap()), ..route() };
    let group = |fifo| event_for(exchange(), &route, fifo).group_id;
    assert_eq!(group(true).as_deref(), Some(ID));
    assert_eq!(group(false), None);
}

#[test]
fn the_port_is_the_host_s_or_the_scheme_s() {
    let url = |scheme: &'static str, host: &'static str| {
        let mut exchange = exchange();
        exchange.request = ClientRequest {
            target: "/".into(),
            scheme: Some(scheme.into()),
            host: Some(host.into()),
            ..ClientRequest::default()
        };
        message(&event(exchange))["request"]["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(url("http", "a.example"), "http://a.example:80/");
    assert_eq!(url("https", "a.example:8443"), "https://a.example:8443/");
    assert_eq!(url("http", "[::1]"), "http://[::1]:80/");
    assert_eq!(url("http", "[::1]:8000"), "http://[::1]:8000/");
}

#[test]
fn what_is_too_large_is_cut_and_says_so() {
    let mut large = exchange();
    large.request.headers.0.push(("x-large".into(), "é".repeat(500_000).into()));
    let event = event(large);
    assert!(sns::size(&event) <= sns::MAX_MESSAGE_BYTES);
    let message = message(&event);
    assert_eq!(message["truncated"], json!(["request.headers"]));
    assert_eq!(message["request"]["headers"]["accept"], json!(["a", "b"]), "what is not large stays");
    assert!(message["request"]["headers"]["x-large"].as_str().unwrap().len() > 1_000);
}

#[test]
fn a_flood_of_query_parameters_is_cut_in_the_object_and_whole_in_the_uri() {
    let mut large = exchange();
    large.request.target = format!("/profile?{}", vec!["a"; 20_000].join("&")).into();
    let message = message(&event(large));
    assert_eq!(message["truncated"], json!(["request.querystring"]));
    assert_eq!(message["request"]["querystring"]["a"].as_array().unwrap().len(), 1_000);
    assert_eq!(message["request"]["uri"].as_str().unwrap().len(), "/profile?".len() + 39_999);
}

#[test]
fn even_a_flood_of_small_headers_fits() {
    let mut large = exchange();
    let flood = (0..20_000).map(|n| (format!("x-{n}").into(), "\u{1}".repeat(20).into()));
    large.response.headers.0.extend(flood);
    let event = event(large);
    assert!(sns::size(&event) <= sns::MAX_MESSAGE_BYTES);
    assert_eq!(message(&event)["truncated"], json!(["request.headers", "response.headers", "request.querystring"]));
}

#[test]
fn a_group_of_the_path_is_hidden_wherever_the_path_is_shown() {
    let redact = Redact { path: vec!["id".into()], ..Redact::default() };
    let route = Route { attributes: vec![text("path", "${request.path}")], ..route() };
    let mut exchange = exchange();
    let texts = [
        ("referer", "https://shop.example/mockbin/profile/42?a=1"),
        ("x-forwarded-uri", "%2Fprofile%2F42%2Fedit"),
        ("x-number", "420 and 42"),
    ];
    exchange.request.headers = headers(&texts);
    exchange.response.headers = headers(&[("location", "/v2/profile/42")]);
    let topic = topic(false);
    let (event, _) = Recorder::new(redact).event(exchange, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW);
    let message = message(&event);
    let uri = "/mockbin/profile/REDACTED?a=1&a=2&flag&b=x%20y&empty=";
    assert_eq!(message["request"]["uri"], uri);
    assert_eq!(message["request"]["url"], format!("https://shop.example:443{uri}"));
    assert_eq!(message["upstream_uri"], "/profile/REDACTED");
    assert_eq!(
        message["request"]["headers"],
        json!({
            "referer": "https://shop.example/mockbin/profile/REDACTED?a=1",
            "x-forwarded-uri": "%2Fprofile%2FREDACTED%2Fedit",
            "x-number": "420 and 42",
        })
    );
    assert_eq!(message["response"]["headers"]["location"], "/v2/profile/REDACTED");
    assert_eq!(event.subject.as_deref(), Some("profile REDACTED"));
    assert_eq!(event.group_id.as_deref(), Some("REDACTED"));
    let path = event.attributes.iter().find(|attribute| attribute.name == "path").unwrap();
    assert_eq!(path.value, "/mockbin/profile/REDACTED");
}

#[test]
fn a_group_that_is_longer_than_what_is_searched_is_hidden_to_its_end() {
    let secret = "s3cret".repeat(2_000);
    let mut exchange = exchange();
    exchange.request.target = format!("/profile/{secret}/edit?a=1").into();
    exchange.request.headers = Headers(vec![("referer".into(), format!("https://h/profile/{secret}").into())]);
    let route = Route { matcher: Matcher::new("/profile/(?<id>[^/]+)").unwrap(), ..route() };
    let redact = Redact { path: vec!["id".into()], ..Redact::default() };
    let topic = topic(false);
    let (event, _) = Recorder::new(redact).event(exchange, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW);
    assert!(!format!("{event:?}").contains("s3cret"), "{event:?}");
}

#[test]
fn a_group_shows_what_is_not_hidden_of_the_path_as_it_was_asked_for() {
    let route = Route {
        matcher: Matcher::new("/profile/(?<id>[^/?]+)/(?<rest>.*)").unwrap(),
        subject: Some("${path.id} ${path.rest}".parse().unwrap()),
        ..route()
    };
    let redact = Redact { query: vec!["token".into()], ..Redact::default() };
    let mut exchange = exchange();
    exchange.request.target = "/profile/42;token=s3cret/a?token=s3cret".into();
    let topic = topic(false);
    let (event, _) = Recorder::new(redact).event(exchange, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW);
    // Where the value ends is not known, so that more is hidden.
    assert_eq!(event.subject.as_deref(), Some("42;token=REDACTED REDACTED"));
    assert_eq!(message(&event)["request"]["uri"], "/profile/42;token=REDACTED?token=REDACTED");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a secret stands that is named, no form of it is in the event or its letter.
    #[test]
    fn a_secret_that_is_named_is_nowhere(
        secret in "[a-zA-Z0-9.~_-]{8,20}",
        key in prop::sample::select(vec!["token", "Token", "%74oken", "token[]", "token%5Bx%5D", "TOKEN.y"]),
        before in prop::sample::select(vec!["?", "?a=1&", "?a=1;", "#", "?next=https%3A%2F%2Fh%2F%3Fb%3D1%26"]),
    ) {
        let pair = format!("{before}{key}={secret}&b=1");
        let nested = format!("https://h/login?next={}", form_urlencoded::byte_serialize(pair.as_bytes()).collect::<String>());
        let twice = format!("/login?next={}", form_urlencoded::byte_serialize(nested.as_bytes()).collect::<String>());
        let links = format!("<https://h/?a=1>; rel=a, <https://h/{pair}>; rel=b");
        let path = format!("/mockbin/profile/{secret}/edit");
        let mut exchange = exchange();
        exchange.request.id = Some(pair.clone().into());
        exchange.request.target = format!("{path}{pair}&of={secret}").into();
        let named: [(&'static str, String); 7] = [
            ("authorization", secret.clone()),
            ("x-internal", secret.clone()),
            ("referer", format!("https://shop.example{path}")),
            ("link", links),
            ("x-url", nested.clone()),
            ("x-original-url", twice.clone()),
            ("x-note", format!("what? see {pair}")),
        ];
        exchange.request.headers.0.extend(named.map(|(name, value)| (name.into(), value.into())));
        exchange.response.headers.0.extend([("location".into(), twice.into()), ("link".into(), nested.into())]);
        exchange.upstream_uri = Some(format!("/{secret}/edit{pair}").into());
        let names = ["authorization", "x-internal", "referer", "link", "x-url", "x-original-url", "x-note"];
        let header = |name: &str| text(name, &format!("${{request.headers.{name}}}"));
        let route = Route {
            matcher: Matcher::new("/profile/(?<id>[^/]+)").unwrap(),
            attributes: names.into_iter().map(header).collect(),
            subject: Some("${path.id} ${request.path} ${request.query.token} ${request.query.next}".parse().unwrap()),
            message_group_id: Some("${request.id}${response.headers.location}".parse().unwrap()),
            ..route()
        };
        let names = |name: &str| vec![name.to_owned()];
        let redact = Redact { headers: names("x-internal"), query: names("token"), path: names("id"), ..Redact::default() };
        let topic = topic(true);
        let (event, _) = Recorder::new(redact).event(exchange, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW);
        let address = Address { key: "topic_arn", name: "t", region: "us-east-1" };
        let letter = dead_letter::json(&event, DropReason::QueueFull, None, address);
        let everything = format!("{event:?}{letter}");
        let mut decoded = everything.clone();
        for _ in 0..4 {
            prop_assert!(!decoded.contains(&secret), "{}", everything);
            decoded = form_urlencoded::parse(decoded.as_bytes()).map(|(key, value)| format!("{key}={value}&")).collect();
        }
        prop_assert_eq!(&message(&event)["request"]["headers"]["accept"], &json!(["a", "b"]));
    }

    /// Whatever clients send, the event is JSON, fits, and shows no secret.
    #[test]
    fn every_exchange_gives_an_event_that_fits(
        method in ".{0,20}",
        target in ".{0,300}",
        host in ".{0,50}",
        names in prop::collection::vec("[a-z-]{0,10}", 0..20),
        value in ".{0,100}",
        repeat in 1usize..400,
    ) {
        let mut exchange = exchange();
        exchange.request.method = method.into();
        exchange.request.target = target.into();
        exchange.request.host = Some(host.into());
        exchange.request.headers.0.extend(names.into_iter().map(|name| (name.into(), value.repeat(repeat).into())));
        let least = shrink::least_size(&exchange, None);
        let event = event(exchange);
        prop_assert!(sns::size(&event) <= sns::MAX_MESSAGE_BYTES);
        prop_assert!(least <= event.message.len() || event.message.contains("\"truncated\""));
        prop_assert!(serde_json::from_str::<Value>(&event.message).is_ok());
        prop_assert!(!event.message.contains("s3cret"));
        prop_assert!(event.attributes.len() <= MAX_ATTRIBUTES);
    }
}
