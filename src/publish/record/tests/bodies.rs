//! Bodies in events, and what placeholders take out of them.

use super::*;

/// A body of JSON.
fn json_body(json: &str) -> Body<'_> {
    Body { content_type: Some("application/json"), ..Body::from(json.as_bytes()) }
}

#[test]
fn bodies_stand_in_the_message_and_say_what_they_are() {
    let mut with_bodies = exchange();
    with_bodies.request.body = Body { is_unended: true, ..json_body(r#"{"price":1.50,"price":1e400}"#) }.into();
    with_bodies.response.body =
        Body { compression: Some("gzip"), extent: BodyExtent::BrokeOff, ..Body::from(b"\x1f\x8b".as_slice()) }.into();
    let text = event(with_bodies).message;
    assert!(text.contains(r#""body":{"price":1.50,"price":1e400}"#), "{text}");
    assert!(text.contains(r#""body":"H4s=","body_encoding":"base64","body_compression":"gzip""#), "{text}");
    assert!(text.contains(r#""truncated":["response.body"]"#) && text.contains(r#""complete":false"#), "{text}");
    let mut left_out = exchange();
    left_out.request.body = Body::left_out(Omission::Streamed).into();
    let message = message(&event(left_out));
    assert_eq!((&message["request"]["body_left_out"], &message["request"]["body"]), (&json!("streamed"), &Value::Null));
    assert_eq!(message["truncated"], json!(["request.body"]));
}

#[test]
fn what_pointers_lead_to_is_in_no_part_of_an_event_nor_of_its_letter() {
    let route = Route {
        attributes: vec![text("a", "${request.body./password}"), text("b", "${request.body}")],
        subject: Some("${response.body./password}".parse().unwrap()),
        ..route()
    };
    let pointers = vec![Pointer::with_wildcards("/password"), Pointer::with_wildcards("/*/password")];
    let mut recorder = Recorder::new(Redact { body: pointers, ..Redact::default() });
    let mut secret = exchange();
    secret.request.body =
        json_body(r#"{"password":"t0ps3cret","a":1.0,"list":{"p\u0061ssword":["t0ps3cret"]}}"#).into();
    secret.response.body = Body { extent: BodyExtent::Cut, ..json_body(r#"{"password":"t0ps3cret"#) }.into();
    let topic = topic(false);
    let event = recorder.event(secret, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW).0;
    let address = Address { key: "topic_arn", name: "t", region: "us-east-1" };
    let letter = dead_letter::json(&event, DropReason::QueueFull, None, address);
    for part in [&format!("{event:?}"), &letter] {
        assert!(!part.contains("t0ps3cret"), "{part}");
    }
    let message = message(&event);
    assert_eq!(message["request"]["body"], json!({"password": "REDACTED", "a": 1.0, "list": {"password": "REDACTED"}}));
    assert_eq!(message["response"]["body_left_out"], "unredacted");
    assert_eq!(event.attributes.iter().find(|attribute| attribute.name == "a").unwrap().value, "REDACTED");
}

#[test]
fn of_an_event_that_is_too_large_the_bodies_are_cut_first() {
    let large = |body: usize, header: usize| {
        let json = format!("\"{}\"", "é".repeat(body / 2));
        let mut large = exchange();
        large.request.headers.0.push(("x-large".into(), "h".repeat(header).into()));
        let bytes = json.into_bytes().into();
        large.request.body = Body { content_type: Some("application/json"), bytes, ..Body::default() }.into();
        large.response.body = json_body(r#"{"a":1}"#).into();
        message(&event(large))
    };
    let cut = large(300_000, 100_000);
    assert_eq!(cut["truncated"], json!(["request.body"]));
    assert_eq!(cut["request"]["headers"]["x-large"].as_str().unwrap().len(), 100_000);
    assert_eq!((cut["request"]["body"].as_str().unwrap().len(), &cut["response"]["body"]["a"]), (16_383, &json!(1)));
    let gone = large(300_000, 400_000);
    assert_eq!(gone["request"]["body_left_out"], "too_large");
    let mut truncated: Vec<_> =
        gone["truncated"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    truncated.sort_unstable();
    assert_eq!(truncated, ["request.body", "request.headers", "response.body"]);
}

#[test]
fn a_message_of_ones_own_has_values_of_bodies_as_they_are_written() {
    let template = |pairs: &[(&str, &str)]| {
        let value = |text: &str| MessageValue::Value(text.parse().unwrap());
        Some(MessageTemplate(pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()))
    };
    let pairs = [
        ("price", "request.body./price"),
        ("list", "request.body./list"),
        ("name", "request.body./name"),
        ("none", "request.body./none"),
        ("all", "response.body"),
    ];
    let route = Route { message: template(&pairs), ..route() };
    let mut with_bodies = exchange();
    with_bodies.request.body = json_body(r#"{"price":1.50,"list":[1, {"a":null}],"name":"\u00e9"}"#).into();
    with_bodies.response.body = Body::from(b"\xff".as_slice()).into();
    let text = event_for(with_bodies, &route, false).message;
    assert_eq!(text, r#"{"price":1.50,"list":[1, {"a":null}],"name":"\u00e9","none":null,"all":"/w=="}"#);
}

/// A route that takes these pointers into the body of the request wherever it can.
fn pointing_route(message: Option<MessageTemplate>) -> Route {
    let values = ["request.body./id", "request.body./price", "request.body./kind"];
    Route {
        attributes: vec![text("kind", "${request.body./kind}")],
        subject: Some("about ${request.body./id}".parse().unwrap()),
        message_group_id: Some("${request.body./id}".parse().unwrap()),
        body_values: values.map(|value| value.parse().unwrap()).into(),
        message,
        ..route()
    }
}

#[test]
fn an_event_that_is_too_large_has_what_pointers_lead_to_all_the_same() {
    let value = |text: &str| MessageValue::Value(text.parse().unwrap());
    let whole =
        |name: &str| MessageTemplate(vec![("id".into(), value("request.body./id")), ("all".into(), value(name))]);
    let json = format!(r#"{{"id":"g-1","pad":"{}","kind":"order","price":7}}"#, "y".repeat(300_000));
    for message in [None, Some(whole("request.body"))] {
        for redact in [Redact::default(), Redact { body: vec![Pointer::with_wildcards("/price")], ..Redact::default() }]
        {
            let mut large = exchange();
            large.request.body = json_body(&json).into();
            let (route, topic) = (pointing_route(message.clone()), topic(true));
            let event = Recorder::new(redact).event(large, &route, &topic, topic.max_bytes(), ID.to_owned(), NOW).0;
            let kind = event.attributes.iter().find(|attribute| attribute.name == "kind");
            assert_eq!(kind.map(|kind| kind.value.as_str()), Some("order"));
            assert_eq!((event.group_id.as_deref(), event.subject.as_deref()), (Some("g-1"), Some("about g-1")));
            let said = super::message(&event);
            assert_eq!(said["truncated"], json!(["request.body"]));
            assert!(message.is_none() || said["id"] == "g-1");
        }
    }
}

#[test]
fn a_message_that_names_little_of_a_large_body_is_whole() {
    let value = |text: &str| MessageValue::Value(text.parse().unwrap());
    let named = vec![("id".to_owned(), value("request.body./id")), ("price".to_owned(), value("request.body./price"))];
    let json = format!(r#"{{"id":"g-1","pad":"{}","price":7}}"#, "y".repeat(300_000));
    let mut large = exchange();
    large.request.body = json_body(&json).into();
    let event = event_for(large, &pointing_route(Some(MessageTemplate(named.clone()))), false);
    assert_eq!(event.message, r#"{"id":"g-1","price":7}"#);

    let json = format!(r#"{{"id":"{}","price":7}}"#, "y".repeat(300_000));
    let mut large = exchange();
    large.request.body = json_body(&json).into();
    let event = event_for(large, &pointing_route(Some(MessageTemplate(named))), false);
    let said = message(&event);
    assert_eq!((&said["price"], &said["truncated"]), (&json!(7), &json!(["message"])));
    assert_eq!(said["id"], "y".repeat(16_384));
}
