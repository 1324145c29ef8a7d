//! Signatures and tokens that stand in a field of a form, and signatures of fields.

use super::*;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

fn unreadable_field(name: &str) -> Checked {
    Err(Rejection::Unreadable(format!("field `{name}` of the form")))
}

#[test]
fn a_token_in_a_field_is_read_of_a_form_alone() {
    let checks = verification(json!({"scheme": "token", "secrets": "the secret", "form": "token"}));
    let missing = Err(Rejection::Missing("field `token` of the form".to_owned()));
    for (body, expected) in [
        ("token=the+secret&text=hello", GOOD),
        ("a=b&t%6Fken=the%20secret", GOOD),
        ("token=another", Err(Rejection::Mismatch)),
        ("token=the+secret&token=another", missing.clone()),
        ("a=b", missing.clone()),
        ("", missing.clone()),
    ] {
        assert_eq!(check(&checks, &request(&[FORM], body.as_bytes()), 0), expected, "{body}");
    }
    for content_type in ["application/json", "multipart/form-data", ""] {
        let sent = [("content-type", content_type)];
        assert_eq!(check(&checks, &request(&sent, b"token=the+secret"), 0), missing, "{content_type}");
    }
}

#[test]
fn what_mailgun_s_routes_send_is_signed_in_three_fields() {
    let checks = verification(json!({
        "scheme": "hmac", "secrets": "key", "form": "signature", "signed": "${timestamp}${request.form.token}",
        "timestamp": {"form": "timestamp"},
    }));
    let signature = hex::encode(mac(b"key", &[b"1700000000", b"tok"]));
    let checked = |body: String| check(&checks, &request(&[FORM], body.as_bytes()), 1_700_000_000);
    assert_eq!(checked(format!("subject=a&timestamp=1700000000&token=tok&signature={signature}")), GOOD);
    let twice = format!("timestamp=1700000000&token=tok&signature={signature}&token=other");
    assert_eq!(checked(twice), unreadable_field("token"));
    let twice = format!("timestamp=1700000000&token=tok&signature={signature}&timestamp=1");
    assert_eq!(checked(twice), unreadable_field("timestamp"));
    let other = format!("timestamp=1700000000&token=other&signature={signature}");
    assert_eq!(checked(other), Err(Rejection::Mismatch));
}

#[test]
fn braintree_signs_one_field_in_another_by_a_key_made_of_its_own() {
    // Its key is the SHA-1 of the private one, and its list has a signature for each public one.
    let key = "06b7e5d5a0c2fb5f3bc9a1f3b2a4f4e8c7d6b5a4";
    let checks = verification(json!({
        "scheme": "hmac", "secrets": key, "key_encoding": "hex", "algorithm": "sha1", "form": "bt_signature",
        "separator": "&", "prefix": "my_public_key|", "signed": "${request.form.bt_payload}",
    }));
    let key = Key::read(key, KeyEncoding::Plain(Encoding::Hex)).unwrap();
    let signature = hex::encode(Algorithm::Sha1.mac(&key, &[b"PG5vdGlmaWNhdGlvbj4=\n"]));
    let form = |payload: &str| {
        let list = format!("another|{}&my_public_key|{signature}", "0".repeat(40));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("bt_signature", &list).append_pair("bt_payload", payload).finish()
    };
    let checked = |body: String| check(&checks, &request(&[FORM], body.as_bytes()), 0);
    assert_eq!(checked(form("PG5vdGlmaWNhdGlvbj4=\n")), GOOD);
    assert_eq!(checked(form("PG5vdGlmaWNhdGlvbj4=")), Err(Rejection::Mismatch));
    assert_eq!(checked(form("PG5vdGlmaWNhdGlvbj4=\n") + "&bt_payload=a"), unreadable_field("bt_payload"));
}
