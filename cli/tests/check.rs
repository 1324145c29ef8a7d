//! `retrohook check`, from the outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail so")]

mod support;

use std::fs;

use support::{project, Desk};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:profile-events";

/// Returns the lines, severities and places that a run has shown, `LINE severity PLACE`.
fn told(err: &str) -> Vec<String> {
    err.lines()
        .map(|line| {
            let mut parts = line.splitn(5, ':');
            let [line, severity, path] = [1, 0, 0].map(|skip| parts.nth(skip).unwrap().trim().to_owned());
            format!("{line} {severity} {path}")
        })
        .collect()
}

#[test]
fn every_configuration_of_the_filter_s_own_tests_is_good_for_envoy() {
    let desk = Desk::new("valid");
    for file in fs::read_dir(project().join("tests/configs/valid")).unwrap() {
        let path = file.unwrap().path();
        let done = desk.run(&["check", "--host", "envoy", path.to_str().unwrap()]);
        assert_eq!(done.code, 0, "{path:?}: {}", done.err);
    }
}

#[test]
fn every_fault_is_told_with_the_place_that_the_filter_names() {
    let faults = fs::read_to_string(project().join("tests/configs/faults.json")).unwrap();
    let faults: Vec<serde_json::Value> = serde_json::from_str(&faults).unwrap();
    let desk = Desk::new("faults");
    for fault in &faults {
        let config = format!("{:#}", fault["config"]);
        let done = desk.run_on(&config, &["check", "-", "--host", "envoy", "--json"]);
        let findings: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        let findings = findings[0]["findings"].as_array().unwrap();
        for expected in fault["faults"].as_array().unwrap() {
            let is_told = findings.iter().any(|finding| {
                let says = finding["message"].as_str().unwrap();
                finding["path"] == expected["path"] && says.contains(expected["says"].as_str().unwrap())
            });
            assert!(is_told, "{}: {expected} is not in {findings:?}", fault["name"]);
        }
        let is_of_environment = findings.iter().all(|finding| finding["severity"] == "warning");
        assert_eq!(done.code, i32::from(!is_of_environment), "{}", fault["name"]);
    }
}

#[test]
fn examples_of_the_project_have_no_faults() {
    let desk = Desk::new("examples");
    for (folder, ending) in [("envoy", "yaml"), ("kong", "yml")] {
        for file in fs::read_dir(project().join(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.to_str().unwrap();
            if path.extension().is_some_and(|found| found == ending) {
                let done = desk.run(&["check", name]);
                assert_eq!((done.code, done.out), (0, format!("{name}: 1 configuration, no faults\n")), "{}", done.err);
            }
        }
    }
}

#[test]
fn faults_have_the_line_of_their_place_in_every_kind_of_file() {
    let desk = Desk::new("lines");
    let envoy = format!(
        "static_resources:
  listeners:
  - typed_config:
      config:
        name: retrohook
        vm_config: {{runtime: envoy.wasm.runtime.v8}}
        configuration:
          \"@type\": type.googleapis.com/google.protobuf.StringValue
          value: |
            {{
              \"topic_arn\": \"{TOPIC}\",
              \"routes\": [
                {{\"method\": \"PUT\", \"matcher\": \"/a\"}},
                {{
                  \"method\": \"PUT\",
                  \"matcher\": \"(\"
                }}
              ]
            }}
"
    );
    let istio = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: a}}\n---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: events}}\nspec:\n  pluginConfig:\n    topic_arn: {TOPIC}\n    routes:\n    - method: PUT\n      matcher: /a\n      status: 99\n"
    );
    let kong = format!(
        "_format_version: '3.0'\nfilter_chains:\n- filters:\n  - name: retrohook\n    config:\n      topic_arn: {TOPIC}\n      queue: {{journal: on}}\n      routes: [{{method: PUT, matcher: /a}}]\n"
    );
    let inside = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let config_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: gateway}}\ndata:\n  envoy.yaml: |\n{}  kong.yml: |\n{}",
        inside(&envoy),
        inside(&kong)
    );
    let higress = format!(
        "apiVersion: extensions.higress.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: events}}\nspec:\n  defaultConfig:\n    topic_arn: {TOPIC}\n    routes:\n    - method: PUT\n      matcher: /a\n      status: 99\n  matchRules:\n  - domain: [a.example.com]\n    config: {{}}\n"
    );
    let plain = format!("topic_arn: {TOPIC}\nroutes:\n- method: PUT\n  matcher: /a\n  zzz: 1\n");
    for (name, text, expected) in [
        ("envoy.yaml", envoy.as_str(), "16 error routes[1].matcher"),
        ("istio.yaml", &istio, "14 error routes[0].status"),
        ("kong.yml", &kong, "7 error queue.journal"),
        ("map.yaml", &config_map, "21 error routes[1].matcher, 32 error queue.journal"),
        ("higress.yaml", &higress, "10 error routes[0].status, 11 error WasmPlugin `events`; matchRules"),
        ("plain.yaml", &plain, "5 error routes[0].zzz"),
        ("broken.yaml", "a: [1,\nb: {\n", "2 error not valid YAML"),
        ("broken.json", "{\"topic_arn\": 1,\n \"routes\": [}\n", "2 error not valid JSON"),
        ("struct.yaml", &envoy.replace("StringValue", "Struct"), "7 error Wasm plugin `retrohook`"),
    ] {
        desk.write(name, text);
        let done = desk.run(&["check", name]);
        let expected: Vec<&str> = expected.split(", ").collect();
        assert_eq!((done.code, told(&done.err)), (1, expected.iter().map(|it| (*it).to_owned()).collect()), "{name}");
        assert!(done.err.starts_with(&format!("{name}:")) && done.out.is_empty());
    }
}

#[test]
fn several_files_have_the_exit_code_of_the_worst_and_each_line_names_its_file() {
    let desk = Desk::new("several");
    let good = format!("{{\"topic_arn\": \"{TOPIC}\", \"routes\": [{{\"method\": \"PUT\", \"matcher\": \"/a\"}}]}}");
    desk.write("good.json", &good);
    desk.write("bad.json", &good.replace("/a", "("));
    desk.write("both.yaml", &format!("{good}\n---\n{}\n", good.replace("PUT", "")));
    for (files, code, told) in [
        (&["good.json", "good.json"][..], 0, vec![]),
        (&["bad.json", "good.json", "both.yaml"], 1, vec!["bad.json:1: error", "both.yaml:3: error"]),
        (&["bad.json", "none.json", "good.json"], 2, vec!["bad.json:1: error", "retrohook: error: none.json: No such"]),
        (&["good.json", "."], 2, vec!["retrohook: error: .: Is a directory"]),
    ] {
        let done = desk.run(&[&["check"][..], files].concat());
        let lines: Vec<&str> = done.err.lines().collect();
        assert_eq!((done.code, lines.len()), (code, told.len()), "{files:?}: {done:?}");
        assert!(lines.iter().zip(told).all(|(line, start)| line.starts_with(start)), "{files:?}: {done:?}");
        let are_good = files.iter().filter(|file| **file == "good.json").count();
        assert_eq!(done.out, "good.json: 1 configuration, no faults\n".repeat(are_good));
        let json = desk.run(&[&["check", "--json"][..], files].concat());
        let read = files.iter().filter(|file| file.contains('.') && !["none.json", "."].contains(*file)).count();
        let reports: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.code, reports.as_array().unwrap().len()), (code, read), "{files:?}: {json:?}");
    }
    let done = desk.run_on(&good, &["check", "bad.json", "-"]);
    assert_eq!((done.code, done.out.as_str()), (1, "<stdin>: 1 configuration, no faults\n"));
}

#[test]
fn json_is_json_whatever_yaml_would_make_of_it() {
    let desk = Desk::new("json");
    let good = format!("{{\"topic_arn\": \"{TOPIC}\",\n\"routes\": [{{\"method\": \"PUT\", \"matcher\": \"/a\"}}]}}");
    for (text, line) in [
        (good.replace("}]", "},]"), 2),
        (good.replace(",\n", ", // the topic\n"), 1),
        (format!("// of the demo\n{good}"), 1),
        (good.replace("}]", "}"), 2),
    ] {
        desk.write("config.json", &text);
        let done = desk.run(&["check", "config.json"]);
        assert_eq!((done.code, told(&done.err)), (1, vec![format!("{line} error not valid JSON")]), "{text}: {done:?}");
    }
    // A mark of the byte order, which Windows writes, and YAML in braces.
    for text in [format!("\u{feff}{good}"), good.replace("\": ", ": ").replace('"', ""), good.replace('\n', "\r\n")] {
        desk.write("config", &text);
        assert_eq!(desk.run(&["check", "config"]).code, 0, "{text}");
    }
}

#[test]
fn a_large_file_takes_no_longer_than_its_length() {
    let desk = Desk::new("large");
    let keys: String = (0..50_000).map(|number| format!("k{number}: 1, ")).collect();
    desk.write("merge.yaml", &format!("a: &a {{{keys}}}\nb: {{<<: *a, c: 1}}\n"));
    desk.write("documents.yaml", &(0..20_000).map(|number| format!("---\na{number}: 1\n")).collect::<String>());
    let begun = std::time::Instant::now();
    assert_eq!(desk.run(&["check", "merge.yaml", "documents.yaml"]).code, 1);
    // What grows with the square of it would take minutes.
    assert!(begun.elapsed().as_secs() < 30);
}

#[test]
fn a_gateway_has_rules_of_its_own() {
    let desk = Desk::new("gateways");
    let text = format!(
        "{{\n\"topic_arn\": \"{TOPIC}\",\n\"upstream\": \"sns\",\n\"routes\": [{{\"method\": \"PUT\", \"matcher\": \"/a\"}}]}}"
    );
    desk.write("config.json", &text);
    let done = desk.run(&["check", "config.json"]);
    assert_eq!(done.code, 1);
    assert!(done.err.starts_with("config.json:3: error: on kong: upstream: `sns` has no port"), "{}", done.err);
    assert!(done.err.contains("`--host envoy` or `--host kong`"), "{}", done.err);
    let done = desk.run(&["check", "config.json", "--host", "kong"]);
    assert!(done.code == 1 && !done.err.contains("--host"), "{}", done.err);
    assert_eq!(desk.run(&["check", "config.json", "--host", "envoy"]).code, 0);
    assert_eq!(desk.run_on(&text.replacen('{', "{\"host\": \"envoy\",", 1), &["check", "-"]).code, 0);
}

#[test]
fn a_variable_that_is_not_set_here_is_a_warning_and_its_value_is_never_shown() {
    let desk = Desk::new("environment");
    desk.write(
        "config.json",
        r#"{"capture": [{"method": "POST", "matcher": "^/hook$",
            "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/hooks",
            "verify": {"scheme": "standard-webhooks", "secrets": ["${env.HOOK_SECRET}"]}}]}"#,
    );
    let check = ["check", "config.json"];
    let done = desk.run(&check);
    assert_eq!((done.code, told(&done.err)), (0, vec!["3 warning capture[0].verify.secrets[0]".to_owned()]));
    let good = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    assert_eq!(desk.run_with(&[("HOOK_SECRET", good)], &check).err, "");
    desk.write("secrets.env", &format!("# of the demo\nHOOK_SECRET=\"{good}\"\n"));
    assert_eq!(desk.run(&["check", "config.json", "--env-file", "secrets.env"]).err, "");
    let done = desk.run_with(&[("HOOK_SECRET", "hunter2")], &check);
    assert!(done.code == 1 && !done.err.contains("hunter2"), "{}", done.err);
}

#[test]
fn what_cannot_be_checked_is_no_success() {
    let desk = Desk::new("usage");
    for (arguments, code) in
        [(&["check"][..], 2), (&["check", "nothing.json"], 2), (&["chek", "a"], 2), (&["--version"], 0)]
    {
        assert_eq!(desk.run(arguments).code, code, "{arguments:?}");
    }
    let done = desk.run_on("apiVersion: v1\nkind: Service\n", &["check", "-"]);
    assert!(done.code == 1 && done.err.contains("<stdin>:1: error: no configuration"), "{}", done.err);
    for file in ["deploy/publish.yaml", "deploy/kubernetes/kong/values.yaml", "deploy/observability/alerts-envoy.yaml"]
    {
        let done = desk.run(&["check", project().join(file).to_str().unwrap()]);
        assert!(done.code == 1 && done.err.lines().count() == 1, "{}", done.err);
        assert!(done.err.contains("no configuration of Retrohook"), "{}", done.err);
    }
    let done = desk.run_on("topic_arn: x\nroute: []\n", &["check", "-"]);
    assert!(done.code == 1 && done.err.contains("did you mean `routes`?"), "{}", done.err);
    for line in ["export NAME=value", "=value", "NAME"] {
        desk.write("wrong.env", &format!("GOOD=value\n{line}\n"));
        let done = desk.run(&["check", "-", "--env-file", "wrong.env"]);
        assert_eq!((done.code, done.err.as_str()), (2, "retrohook: error: wrong.env:2: is not NAME=VALUE\n"), "{line}");
    }
    let done = desk.run_on("{}", &["check", "-"]);
    assert!(done.code == 1 && !done.err.contains('\u{1b}'), "{}", done.err);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_no_success_and_a_reader_that_has_left_is_no_failure() {
    let desk = Desk::new("full");
    for arguments in [&["schema"][..], &["sign", "--scheme", "github", "--secret-env", "SECRET"]] {
        let run = |out: std::process::Stdio| {
            let mut command = desk.command(arguments);
            support::done(
                &command.env("SECRET", "shared").stdout(out).stderr(std::process::Stdio::piped()).output().unwrap(),
            )
        };
        let done = run(fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
        assert!(done.code == 2 && done.err.contains("error: standard output: No space left"), "{done:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()).code, 0, "{arguments:?}");
    }
}
