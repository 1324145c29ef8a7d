//! `retrohook check`: the faults that the filter would find at its start, each with its line.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use retrohook::config::Config;
use retrohook::filter::check::GatewayName;
use serde_json::{json, Value};

use crate::document::SyntaxFault;
use crate::environment::{Checked, Environment};
use crate::loaded::{self, Loaded};
use crate::report::{self, Failure, Severity};
use crate::source;

/// Check a configuration: print the faults and warnings that the filter would log at its start.
///
/// FILE is a configuration in JSON or YAML; or a file of Envoy, a WasmPlugin, an
/// EnvoyExtensionPolicy, a KongPlugin, a kong.yml, or a ConfigMap that has some inside. The exit
/// code is 0 if the filter would start with each of them, 1 if not, and 2 if a FILE cannot be read.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Files; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The gateway to check for [default: the one that the file is for, or both].
    #[arg(long, value_enum)]
    host: Option<Host>,
    /// A file of lines NAME=VALUE, for ${env.NAME}.
    #[arg(long, value_name = "FILE")]
    env_file: Option<String>,
    /// Write a list of the files and their findings to standard output, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Host {
    Envoy,
    Kong,
}

/// Something to say of a place of the file.
struct Finding {
    line: usize,
    severity: Severity,
    /// The place in the configuration, or the empty text.
    path: String,
    text: String,
    /// The gateways that say so; empty if it is not theirs.
    gateways: Vec<GatewayName>,
}

/// Findings in a file.
struct FileReport<'a> {
    name: &'a str,
    /// The number of configurations in it.
    count: usize,
    findings: Vec<Finding>,
    /// True if some configuration of it may be for either gateway.
    is_for_both: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let environment = Environment::with_file(arguments.env_file.as_deref())?;
    let chosen: Option<&'static [GatewayName]> = arguments.host.map(|host| match host {
        Host::Envoy => &[GatewayName::Envoy][..],
        Host::Kong => &[GatewayName::Kong][..],
    });
    let mut worst = 0;
    let mut reports = Vec::new();
    for file in &arguments.files {
        match source::text(file) {
            Ok(text) => {
                let report = check_file(source::shown(file), &text, &environment, chosen);
                worst = worst.max(u8::from(!report.is_good()));
                if arguments.json {
                    reports.push(report.to_json());
                } else {
                    report.tell(chosen.is_none());
                }
            }
            Err(Failure(problem)) => {
                report::error(&problem);
                worst = report::NOT_DONE;
            }
        }
    }
    if arguments.json {
        report::line(format!("{:#}", Value::from(reports)));
    }
    Ok(ExitCode::from(worst))
}

fn check_file<'a>(
    name: &'a str,
    text: &str,
    environment: &Environment,
    chosen: Option<&'static [GatewayName]>,
) -> FileReport<'a> {
    let loaded = match loaded::all(text, environment) {
        Ok(loaded) if !loaded.is_empty() => loaded,
        none => {
            let fault = none.err().unwrap_or(SyntaxFault { line: 1, problem: loaded::NONE.to_owned() });
            return FileReport { name, count: 0, findings: vec![syntax(&fault)], is_for_both: false };
        }
    };
    FileReport {
        name,
        count: loaded.len(),
        findings: loaded.iter().flat_map(|loaded| check(loaded, chosen)).collect(),
        is_for_both: loaded.iter().any(|loaded| loaded.gateways.len() > 1),
    }
}

impl FileReport<'_> {
    fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    fn tell(&self, may_choose: bool) {
        let name = self.name;
        self.findings.iter().for_each(|finding| tell(name, finding));
        let is_of_one = |finding: &Finding| finding.gateways.len() == 1 && finding.severity == Severity::Error;
        if may_choose && self.is_for_both && self.findings.iter().any(is_of_one) {
            report::hint(&format!(
                "Nothing in {name} says which gateway it is for: `--host envoy` or `--host kong` checks for that one alone."
            ));
        }
        if self.is_good() {
            let noun = if self.count == 1 { "configuration" } else { "configurations" };
            report::line(format!("{name}: {} {noun}, no faults", self.count));
        }
    }

    fn to_json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "line": finding.line,
                "severity": finding.severity.word(),
                "path": finding.path,
                "message": finding.text,
                "gateways": names(&finding.gateways),
            })
        };
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        json!({"file": self.name, "configurations": self.count, "findings": findings})
    }
}

fn syntax(fault: &SyntaxFault) -> Finding {
    let (line, text) = (fault.line, fault.problem.clone());
    Finding { line, severity: Severity::Error, path: String::new(), text, gateways: Vec::new() }
}

fn check(loaded: &Loaded, chosen: Option<&'static [GatewayName]>) -> Vec<Finding> {
    let at = |severity, path: &str, text: String| Finding {
        line: loaded.lines.of(path),
        severity,
        path: path.to_owned(),
        text,
        gateways: Vec::new(),
    };
    let Checked { config, faults, unset } = &loaded.checked;
    let mut findings: Vec<Finding> = Vec::new();
    for (severity, faults) in [(Severity::Error, faults), (Severity::Warning, unset)] {
        for fault in faults {
            findings.push(at(severity, &fault.path, format!("{}; {}", fault.problem, fault.remedy)));
        }
    }
    if let Some(config) = config {
        for gateway in chosen.unwrap_or_else(|| both(loaded.gateways, config)) {
            let verdict = gateway.verdict(config);
            let lines = verdict.objection.iter().map(|line| (Severity::Error, line));
            for (severity, line) in lines.chain(verdict.warnings.iter().map(|line| (Severity::Warning, line))) {
                let (path, text) = split(line);
                match findings.iter_mut().find(|other| other.path == path && other.text == text) {
                    Some(other) => other.gateways.push(*gateway),
                    None => findings.push(Finding { gateways: vec![*gateway], ..at(severity, path, text.to_owned()) }),
                }
            }
        }
        // What all say is of the configuration, and of none of them.
        findings.iter_mut().filter(|finding| finding.gateways.len() > 1).for_each(|finding| finding.gateways.clear());
    }
    findings.sort_by_key(|finding| (finding.severity == Severity::Warning, finding.line));
    findings
}

/// Returns the gateways that both the file and the configuration are for.
fn both(of_file: &'static [GatewayName], config: &Config) -> &'static [GatewayName] {
    let own = GatewayName::of(config);
    if of_file.len() < own.len() {
        of_file
    } else {
        own
    }
}

/// Splits a line of the log into the place, where it begins with one, and the rest.
fn split(line: &str) -> (&str, &str) {
    match line.split_once(": ") {
        Some((path, text)) if !path.contains(' ') => (path, text),
        _ => ("$", line),
    }
}

fn names(gateways: &[GatewayName]) -> Vec<&'static str> {
    let name = |gateway: &GatewayName| match gateway {
        GatewayName::Envoy => "envoy",
        GatewayName::Kong => "kong",
    };
    gateways.iter().map(name).collect()
}

fn tell(file: &str, finding: &Finding) {
    let place = format!("{file}:{}", finding.line);
    let mut text = finding.text.clone();
    if !finding.path.is_empty() {
        text = format!("{}: {text}", finding.path);
    }
    if let [gateway] = names(&finding.gateways).as_slice() {
        text = format!("on {gateway}: {text}");
    }
    report::finding(&place, finding.severity, &text);
}
