//! What a captured webhook costs, counted from its head to its answer: instructions and calls into
//! the host. Counts are exact, so they gate where times cannot; `bench/capture.py` has the times.

use md5::{Digest, Md5};
use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, Response, Usage};
use serde_json::json;

use crate::support::webhooks::{answer, capturing, fields, gateway, held, start, webhook};
use crate::support::{Way, GATEWAYS};

const LARGE: usize = 256 * 1024;

/// A matcher whose group takes all of a path.
const GROUPED: &str = "^/webhook(?<rest>.*)$";

/// The reply of a real queue, which gives the sum of the body that it has stored.
fn stored(callout: &Callout) -> Response {
    let sum = hex::encode(Md5::digest(fields(callout)["MessageBody"].as_str().unwrap()));
    Response::new(200).body(json!({"MessageId": "m-1", "MD5OfMessageBody": sum}).to_string())
}

/// Stores a webhook and answers it. Returns what that costs, and the bytes of the call.
fn store(host: &mut Host, spec: &ExchangeSpec) -> (Usage, usize) {
    let ((exchange, callout), before) = host.measure(|host| held(host, spec));
    let reply = stored(&callout);
    let (_, mut usage) = host.measure(|host| host.respond(callout.token, reply).unwrap());
    assert_eq!(answer(host, &exchange).status, 200);
    usage.instructions += before.instructions;
    before.host_calls.into_iter().for_each(|(name, calls)| *usage.host_calls.entry(name).or_default() += calls);
    (usage, callout.body.len())
}

/// A gateway that has stored a webhook before: the first one costs more.
fn used_gateway(way: Way) -> Host {
    let mut host = gateway(way);
    store(&mut host, &webhook("{}"));
    host
}

/// Objects, numbers and texts as payment providers send them, in so many bytes.
pub(crate) fn like_a_provider(size: usize) -> String {
    let items = (0..).map(|at| {
        json!({
            "id": format!("il_{:016x}", at * 0x9e37_79b9u64), "object": "line_item", "amount": at * 37 % 100_000,
            "currency": "usd", "description": "1 × Größe L (at $20.00 / month)", "livemode": true, "plan": null,
            "period": {"start": 1_700_000_000 + at, "end": 1_702_592_000}, "quantity": at % 9,
        })
        .to_string()
    });
    let mut body = r#"{"id":"evt_1","type":"invoice.paid","data":[null"#.to_owned();
    for item in items {
        if body.len() + item.len() + 3 > size {
            break;
        }
        body += &format!(",{item}");
    }
    body += "]}";
    let spaces = size - body.len();
    body + &" ".repeat(spaces)
}

#[test]
fn a_small_webhook_costs_what_its_signature_costs() {
    // Kong is asked for the length of the body, which Envoy gives among the other headers.
    for (way, most) in GATEWAYS.into_iter().zip([14, 15]) {
        let (usage, bytes) = store(&mut used_gateway(way), &webhook(&like_a_provider(1_024)));
        let (instructions, calls) = (usage.instructions, usage.total_host_calls());
        println!("{way:?}, 1 KB of JSON, a call of {bytes} bytes: {instructions} instructions, {calls} host calls");
        assert!(instructions < 490_000 && calls <= most, "{way:?}: {instructions} {:?}", usage.host_calls);
    }
}

#[test]
fn a_large_webhook_costs_a_few_hundred_instructions_for_each_byte() {
    let mut host = used_gateway(Way::HttpFilter);
    for (what, body, most) in [
        ("JSON", like_a_provider(LARGE), 250.0),
        ("JSON of empty texts", format!("[\"\"{}]", ",\"\"".repeat((LARGE - 4) / 3)), 348.0),
        ("JSON of backslashes", format!("[\"{}\"]", "\\".repeat(LARGE - 4)), 376.0),
        ("quotes", "\"".repeat(LARGE), 232.0),
        ("control characters", "\u{1}".repeat(LARGE), 232.0),
        ("quotes that are just a string still", "\"ab".repeat(LARGE / 3), 352.0),
        ("text", "All is well. ".repeat(LARGE / 13), 203.0),
        ("text that is not ASCII", "\u{ff5e}".repeat(LARGE / 3), 248.0),
    ] {
        let (usage, bytes) = store(&mut host, &webhook(&body));
        let each = usage.instructions as f64 / body.len() as f64;
        println!("256 KB of {what}, a call of {bytes} bytes: {} instructions, {each:.0} a byte", usage.instructions);
        assert!(each < most, "256 KB of {what}: {each:.1} a byte");
    }
}

#[test]
fn signatures_that_anybody_can_send_cost_no_more_than_a_few() {
    // Of RFC 8032, 7.1, test 3, and of another text than this.
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let keys = [
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ];
    let verify = json!({"scheme": "ed25519", "secrets": keys, "header": "x-s", "separator": ","});
    let mut host = start(Way::HttpFilter, &capturing(json!({"verify": verify}), json!({})));
    store(&mut host, &webhook("{}"));
    let cases = [
        (1_024, 1, 6_400_000),
        (1_024, 2, 12_400_000),
        (1_024, 100, 18_500_000),
        (LARGE, 1, 103_000_000),
        (LARGE, 100, 150_000_000),
    ];
    for (bytes, count, most) in cases {
        let signatures = vec![signature; count].join(",");
        let spec = webhook(&like_a_provider(bytes)).request_header("x-s", signatures);
        let (usage, _) = store(&mut host, &spec);
        println!("{bytes} bytes, {count} signatures, 2 keys: {} instructions", usage.instructions);
        assert!(usage.instructions < most, "{bytes} bytes, {count} signatures: {}", usage.instructions);
    }
}

#[test]
fn a_head_costs_no_more_than_a_body() {
    let long = |text: &str, size: usize| text.repeat(size / text.len());
    let of = |names: usize| {
        let name = |at: usize| format!("x-{}", at % names);
        (0..100).fold(webhook("{}"), |spec, at| spec.request_header(name(at), "v".repeat(76)))
    };
    let post = |path: String| ExchangeSpec::new("POST", path).request_header("Content-Length", "2").request_body("{}");
    // Envoy takes heads of 60 KiB and 100 headers. A path of more than 2 KiB is refused unseen.
    for (matcher, what, spec, most) in [
        ("^/webhook$", "100 headers of 8 KB", of(100), 2_230_000),
        ("^/webhook$", "100 headers of one name", of(1), 1_310_000),
        ("^/webhook", "a captured path of 2 KB", post("/webhook".to_owned() + &long("/a", 2_040)), 770_000),
        ("^/webhook", "a captured query of 54 KB", post("/webhook?".to_owned() + &long("a=b&", 54_000)), 11_200_000),
        ("webhooks?$", "a captured path of 2 KB, searched to its end", post(long("/webhook", 2_048)), 840_000),
        ("^/webhook$", "another path of 2 KB", post(long("/Webhoo", 2_048)), 400_000),
        ("^/webhook$", "another path of 54 KB", post(long("/Webhoo", 54_000)), 210_000),
        ("webhooks?$", "another path of 2 KB, searched to its end", post(long("/Webhoo", 2_048)), 700_000),
        ("webhooks?$", "escapes of 2 KB, searched to their end", post(long("/%77", 2_048)), 780_000),
        (GROUPED, "groups in a path of 2 KB", post("/webhook".to_owned() + &long("/a", 2_040)), 4_400_000),
    ] {
        for way in GATEWAYS {
            let mut capture = json!({"matcher": matcher});
            if matcher == GROUPED {
                capture["message_group_id"] = json!("${path.rest}");
            }
            let mut host = start(way, &capturing(capture, json!({})));
            let (_, usage) = host.measure(|host| host.exchange(&spec).unwrap());
            println!("{way:?}, {matcher} and {what}: {} instructions", usage.instructions);
            assert!(usage.instructions < most, "{way:?}, {matcher} and {what}: {}", usage.instructions);
        }
    }
}
