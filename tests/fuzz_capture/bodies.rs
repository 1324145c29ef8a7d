//! Bodies: JSON of all shapes, what is nearly JSON, text, bytes, and much of it.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

/// One of these.
pub(crate) fn one_of(texts: &[&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(texts.to_vec()).prop_map(str::to_owned).boxed()
}

/// White space, now and then such that JSON does not have it.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![60 => one_of(&["", "", "", " ", "\t", "\r\n", " \n  "]), 1 => one_of(&["\u{b}", "\u{a0}", "\u{feff}", "\0"])]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => one_of(&["0", "-0", "-0.0", "1E+9", "1e400", "-1e-400", "1.10", "9007199254740993", "18446744073709551616"]),
        20 => "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?",
        1 => (4_000usize..6_000).prop_map(|digits| "7".repeat(digits)),
        1 => one_of(&["00", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-"]),
    ]
}

/// A string of JSON, or nearly one: raw characters and escapes of all kinds, and what looks like
/// the end of a body.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        30 => any::<char>().prop_filter("raw", |c| !['"', '\\'].contains(c) && *c >= ' ').prop_map(String::from),
        20 => one_of(&["a", ", ", "{", "}", "[", "]", ":", "é", "😀", "\u{7f}", "\u{2028}", "\u{feff}", "\u{10ffff}"]),
        20 => one_of(&["\\\"", "\\\\", "\\/", "\\n", "\\u0000", "\\ud83d\\ude00", "\\ud800", "\\uDFFF", "\\uffff"]),
        5 => one_of(&["\\\",\\\"body\\\":", "\\\",\\\"headers\\\":"]),
        2 => one_of(&["\u{fffe}", "\u{ffff}"]),
        1 => one_of(&["\0", "\n", "\\x", "\\u12", "\\", "\"", "\",\"body\":"]),
    ];
    vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn key() -> impl Strategy<Value = String> {
    let ours = ["id", "body", "encoding", "headers", "verified", "received_at"]
        .map(|name| Just(format!("\"{name}\"")).boxed());
    prop_oneof![3 => string().boxed(), 2 => proptest::strategy::Union::new(ours).boxed()]
}

fn json_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![20 => one_of(&["null", "true", "false"]), 1 => one_of(&["True", ""])];
    let leaf = (space(), prop_oneof![2 => number().boxed(), 4 => string().boxed(), 1 => word.boxed()], space());
    let leaf = leaf.prop_map(|(before, leaf, after)| format!("{before}{leaf}{after}"));
    leaf.prop_recursive(6, 64, 6, |inner| {
        let list = vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(",")));
        let pairs = vec((key(), space(), inner), 0..6).prop_map(|pairs| {
            let pairs: Vec<_> =
                pairs.into_iter().map(|(key, space, value)| format!("{space}{key}{space}:{value}")).collect();
            // The first one again: the same key twice.
            let again = pairs.first().filter(|_| pairs.len() > 3).cloned();
            format!("{{{}}}", pairs.into_iter().chain(again).collect::<Vec<_>>().join(","))
        });
        (space(), prop_oneof![list, pairs], space())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
    })
}

/// Around the depth that is embedded, and far beyond it.
fn deep() -> impl Strategy<Value = String> {
    let around =
        proptest::sample::select(vec![("[", "]"), ("{\"a\":", "}"), ("[{\"\\\"[\":", "}]"), ("[\"]\\\\\",", "]")]);
    let depth = prop_oneof![20 => 49usize..52, 20 => 97usize..104, 20 => 126usize..130, 1 => 10_000usize..100_000];
    let missing = prop_oneof![4 => Just(0usize), 1 => Just(1)];
    (around, depth, missing).prop_map(|((open, close), depth, missing)| {
        // The deepest is not the last.
        format!("[{}0{},[]]", open.repeat(depth), close.repeat(depth - missing))
    })
}

fn huge() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop_oneof![Just("x"), Just("\""), Just("\\"), Just("é"), Just("\u{0}"), Just("1,"), Just("{\"a\":[]},")];
    (piece, 1_000usize..1_048_576, any::<bool>(), any::<bool>()).prop_map(|(piece, bytes, list, binary)| {
        let text = piece.repeat(bytes / piece.len());
        let mut body = if list { format!("[{text}0]") } else { text }.into_bytes();
        body.extend(binary.then_some(0xff));
        body
    })
}

fn event_of_stripe() -> impl Strategy<Value = String> {
    let id = prop_oneof![Just("evt_1".to_owned()), "evt_[!-~]{0,120}", any::<String>()];
    (id, json_text()).prop_map(|(id, rest)| format!("{{\"id\":{},\"data\":{rest}}}", json!(id)))
}

pub(crate) fn body() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        12 => json_text().prop_map(String::into_bytes),
        3 => event_of_stripe().prop_map(String::into_bytes),
        2 => string().prop_map(String::into_bytes),
        2 => any::<String>().prop_map(String::into_bytes),
        2 => "[A-Za-z0-9+/]{0,40}={0,3}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..200),
        2 => deep().prop_map(String::into_bytes),
    ];
    let harmed = (whole, any::<proptest::sample::Index>(), prop_oneof![6 => Just(0u8), 1 => 1u8..4], any::<u8>());
    let harmed = harmed.prop_map(|(mut body, at, harm, byte)| {
        let at = at.index(body.len() + 1);
        match harm {
            1 => body.insert(at, byte),
            2 => body.truncate(at),
            3 => body.splice(at..at, *b"\xf0\x9f\x98").for_each(drop),
            _ => {}
        }
        body
    });
    prop_oneof![300 => harmed.boxed(), 1 => huge().boxed()]
}
