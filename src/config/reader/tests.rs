use super::*;
use serde_json::json;

/// Returns what `read` made of `value`, and the lines of the faults.
fn read<T>(value: &Value, read: impl FnOnce(&mut Section<'_>) -> T) -> (T, Vec<String>) {
    let environment = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let reading = Reading { faults: Faultbook::default(), environment: &environment };
    let mut section = Field::root(value, &reading).section().unwrap();
    let made = read(&mut section);
    section.finish();
    let lines = match reading.faults.conclude(Ok(())) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    };
    (made, lines)
}

#[test]
fn an_integer_has_bounds_and_a_default() {
    for (value, expected) in [(json!(1), 1), (json!(10), 10), (json!(7.0), 7), (json!(null), 5)] {
        assert_eq!(read(&json!({"n": value}), |section| section.integer("n", 1..=10, 5)), (expected, vec![]));
    }
    for value in [json!(0), json!(11), json!(-1), json!(1.5), json!("7"), json!(true), json!([7]), json!(1e300)] {
        let (_, faults) = read(&json!({"n": value}), |section| section.integer("n", 1..=10, 5));
        assert_eq!(faults.len(), 1, "{value}");
        assert!(faults[0].starts_with("n: ") && faults[0].contains("is not an integer from 1 to 10"), "{faults:?}");
    }
}

#[test]
fn a_choice_gives_the_value_of_a_name_and_the_first_is_the_default() {
    let choices = [("a", 'A'), ("b", 'B')];
    for (value, expected) in [(json!("a"), 'A'), (json!("b"), 'B'), (json!(null), 'A')] {
        let (chosen, faults) = read(&json!({"c": value}), |section| section.choice("c", &choices).ok());
        assert_eq!((chosen, faults), (Some(expected), vec![]));
    }
    for (value, says) in [
        (json!("A"), "c: is not known here; give one of `a`, `b`"),
        (json!(true), "c: true is not a string; give one of `a`, `b`, in quotes"),
    ] {
        let (chosen, faults) = read(&json!({"c": value}), |section| section.choice("c", &choices).ok());
        assert_eq!((chosen, faults), (None, vec![says.to_owned()]));
    }
}

#[test]
fn an_empty_list_is_an_empty_object_and_the_reverse() {
    let (count, faults) = read(&json!([]), |section| section.list("items").unwrap().len());
    assert_eq!((count, faults.len()), (0, 0));
    let value = json!({"items": {}, "object": []});
    let (_, faults) = read(&value, |section| {
        assert!(section.list("items").unwrap().is_empty());
        section.section("object").finish();
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn keys_that_nothing_asked_for_are_reported() {
    let value = json!({"timeout": 1, "zzz": 2, "a\nb": 3, "gone": null, "n": {"x.y": 1}});
    let (_, faults) = read(&value, |section| {
        section.optional("timeout_ms");
        section.section("n").finish();
    });
    assert_eq!(
        faults,
        [
            "n[\"x.y\"]: unknown key; known here are ",
            "[\"a\\nb\"]: unknown key; known here are `timeout_ms`, `n`",
            "timeout: unknown key; did you mean `timeout_ms`?",
            "zzz: unknown key; known here are `timeout_ms`, `n`",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_home() {
    let value = json!({"verify": 1, "capture": [{"timeout_ms": 1, "zzz": 1}, {}]});
    let (_, faults) = read(&value, |section| {
        for field in section.list("capture").unwrap() {
            let mut capture = field.section().unwrap();
            capture.optional("verify");
            capture.finish();
        }
        section.optional("timeout_ms");
    });
    assert_eq!(
        faults,
        [
            "capture[0].timeout_ms: unknown key; it is a key of the top level: move it there",
            "capture[0].zzz: unknown key; known here are `verify`",
            "verify: unknown key; it is a key of `capture[0]`: move it there",
        ]
    );
}

#[test]
fn a_secret_may_be_of_the_environment_and_no_other_text_has_placeholders() {
    let secret = |text: &str| read(&json!({"s": text}), |section| section.optional("s").unwrap().secret().ok());
    for (text, expected) in
        [("plain $5 }", "plain $5 }"), ("${env.SECRET}", "hunter2"), ("a ${env.SECRET}b", "a hunter2b")]
    {
        assert_eq!(secret(text), (Some(expected.to_owned()), vec![]), "{text}");
    }
    for text in ["${env.NONE}", "${env.}", "${env.1}", "${env.SECRET", "${request.path}", "${env.SECRET}${}"] {
        let (made, faults) = secret(text);
        assert!(made.is_none() && faults.len() == 1 && !faults[0].contains("hunter2"), "{text}: {faults:?}");
    }
    let (made, faults) = read(&json!({"s": "${env.SECRET}"}), |section| section.optional("s").unwrap().text().is_ok());
    assert_eq!(
        (made, faults),
        (false, vec!["s: has a placeholder, and none is filled in here; give the text itself".into()])
    );
}

#[test]
fn confidential_values_are_not_shown() {
    let value = json!({"a": {"b": "hunter2", "c": {"d": "hunter2"}}, "e": "hunter2"});
    let (_, faults) = read(&value, |section| {
        let mut a = section.confidential_section("a");
        assert_eq!(a.choice("b", &[("x", 1), ("y", 2)]).ok(), None);
        a.integer("c", 1..=2, 1);
        section.confidential_section("e").finish();
    });
    assert_eq!(faults.len(), 3);
    assert!(!faults.concat().contains("hunter2"), "{faults:?}");
}
