//! Secrets in every place of a configuration: none is in a fault, and some are in the environment.

use std::fs;

use serde_json::{json, Value};

use super::{data, walk};
use crate::aws::credentials::settings::Source;
use crate::config::Config;

/// Puts secrets at every place of whole configurations, one after the other, as a value, in a list,
/// as a key and in a placeholder.
#[test]
fn no_fault_shows_a_secret_wherever_it_stands() {
    const KEYS: [&str; 3] =
        ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "AKIAIOSFODNN7EXAMPLE"];
    for file in ["valid/full.json", "valid/capture_full.json"] {
        let full: Value = serde_json::from_slice(&fs::read(data(file)).unwrap()).unwrap();
        let mut pointers = Vec::new();
        walk(&full, "", &mut pointers);
        for pointer in pointers {
            let as_keys = KEYS.map(|secret| (secret, json!({secret: secret})));
            let in_placeholders = KEYS.map(|secret| (secret, json!(format!("${{{secret}}} "))));
            // What only its owner knows for a secret is one as a value.
            let values = [KEYS[0], KEYS[1], KEYS[2], "hunter2", "open sesame\n"];
            let as_values = values.iter().flat_map(|secret| [(*secret, json!(secret)), (secret, json!([secret]))]);
            for (secret, replacement) in as_values.chain(as_keys).chain(in_placeholders) {
                let mut config = full.clone();
                *config.pointer_mut(&pointer).unwrap() = replacement;
                if let Err(faults) = Config::from_json(config.to_string().as_bytes()) {
                    assert!(!faults.to_string().contains(secret.trim_end()), "{pointer}: {faults}");
                    assert!(!format!("{faults:?}").contains(secret.trim_end()), "{pointer}");
                }
            }
        }
    }
}

#[test]
fn secrets_may_be_of_the_environment() {
    let variables = |name: &str| match name {
        "KEY" => Some("hunter2".to_owned()),
        "WHSEC" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        "PADDED" => Some(" hunter2\n".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let read = |text: &str, scheme: &str, secret: &str| {
        let capture = json!([{
            "method": "POST", "matcher": "/", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
            "verify": {"scheme": scheme, "secrets": [secret]},
        }]);
        let credentials = json!({
            "source": "static", "access_key_id": "AKIDEXAMPLE", "secret_access_key": text, "session_token": text,
        });
        let config = json!({"capture": capture, "credentials": credentials});
        Config::from_json_in(config.to_string().as_bytes(), &variables)
    };
    let config = read("${env.KEY}", "standard-webhooks", "${env.WHSEC}").unwrap();
    let Source::Static(keys) = &config.credentials.source else { panic!("{:?}", config.credentials) };
    assert_eq!(
        (keys.secret_access_key.reveal(), keys.session_token.as_ref().unwrap().reveal()),
        ("hunter2", "hunter2")
    );
    let plain = read("hunter2", "standard-webhooks", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let keys = |config: &Config| config.captures.all[0].verify.as_ref().unwrap().keys.clone();
    assert_eq!(keys(&config), keys(&plain));
    assert!(!format!("{config:?}").contains("hunter2"));
    for (text, secret, says) in [
        ("${env.NONE}", "s", "no NONE, or it is empty"),
        ("s", "${env.EMPTY}", "no EMPTY, or it is empty"),
        ("${env.PADDED}", "s", "a space, a line break"),
        ("s", "${env.PADDED}", "white space around it"),
        ("s", "a ${env.KEY", "not of the environment"),
    ] {
        let faults = read(text, "github", secret).unwrap_err().to_string();
        assert!(faults.contains(says) && !faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn no_fault_shows_what_stands_under_credentials_nor_a_password() {
    for config in [
        json!({"credentials": "hunter2"}),
        json!({"credentials": ["hunter2"]}),
        json!({"credentials": {"source": "hunter2"}}),
        json!({"credentials": {"source": "static", "access_key_id": "hunter2 ", "secret_access_key": "hunter2\n"}}),
        json!({"credentials": {"secret": "hunter2", "session_token": {"hunter": "hunter2"}}}),
        json!({"secret_access_key": "hunter2", "password": {"a": "hunter2"}}),
        json!({"endpoint": "https://user:hunter2@localhost"}),
        json!({"endpoint": "https://localhost/?token=hunter2"}),
    ] {
        let faults = Config::from_json(config.to_string().as_bytes()).unwrap_err();
        assert!(!faults.to_string().contains("hunter2"), "{config}: {faults}");
    }
}
