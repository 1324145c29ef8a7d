//! From a file to the configurations in it, each read as the filter reads it.

use clap::Args;
use retrohook::config::Fault;
use retrohook::filter::check::GatewayName;

use crate::document::{of_either, of_json, Node, SyntaxFault, Text};
use crate::embedded;
use crate::environment::{Checked, Environment};
use crate::find::{configurations, Form, Found};
use crate::place;
use crate::report::{self, Failure, Severity};
use crate::source;

/// The error for a file without any.
pub(crate) const NONE: &str =
    "no configuration of Retrohook is in here; give one, which has `routes` or `capture`, or a file with a filter that is \
     called retrohook";

/// The file with a configuration, and where its variables are.
#[derive(Args)]
pub(crate) struct ConfigurationFile {
    /// The file with the configuration, as `retrohook check` reads it; - is standard input.
    pub(crate) file: String,
    /// A file of lines NAME=VALUE, for ${env.NAME}.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<String>,
}

impl ConfigurationFile {
    /// Reads the configurations. Without one, or with a fault in one, says so and returns none.
    pub(crate) fn good(&self) -> Result<Option<Vec<Loaded>>, Failure> {
        let environment = Environment::with_file(self.env_file.as_deref())?;
        let (text, name) = (source::text(&self.file)?, source::shown(&self.file));
        let tell = |line: usize, severity, text: &str| report::finding(&format!("{name}:{line}"), severity, text);
        let all = match all(&text, &environment) {
            Ok(all) => all,
            Err(fault) => {
                tell(fault.line, Severity::Error, &fault.problem);
                return Ok(None);
            }
        };
        for loaded in &all {
            let Checked { faults, unset, .. } = &loaded.checked;
            for (severity, faults) in [(Severity::Error, faults), (Severity::Warning, unset)] {
                for fault in faults {
                    tell(loaded.lines.of(&fault.path), severity, &fault.to_string());
                }
            }
        }
        if all.is_empty() {
            tell(1, Severity::Error, NONE);
        }
        let is_good = !all.is_empty() && all.iter().all(|loaded| loaded.checked.faults.is_empty());
        Ok(is_good.then_some(all))
    }
}

/// A configuration of a file.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The thing that has it, in words; empty for a file of its own.
    pub(crate) owner: String,
    /// The lines of its places.
    pub(crate) lines: Lines,
    /// The gateways that it is for, as far as the file tells.
    pub(crate) gateways: &'static [GatewayName],
    pub(crate) checked: Checked,
}

/// The lines of the file in which places of a configuration stand.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The configuration, if its places are known.
    root: Option<Node>,
    /// Lines of the file before those of the root.
    before: usize,
    /// The line of what is not known.
    first: usize,
}

impl Loaded {
    /// Returns the line in which it begins, and its owner.
    pub(crate) fn place(&self) -> String {
        let line = self.lines.first;
        if self.owner.is_empty() {
            format!("line {line}")
        } else {
            format!("line {line}, {}", self.owner)
        }
    }

    /// Returns the line in which it begins.
    pub(crate) fn line(&self) -> usize {
        self.lines.first
    }
}

impl Lines {
    /// Returns the line of a place.
    pub(crate) fn of(&self, place: &str) -> usize {
        self.root.as_ref().map_or(self.first, |root| self.before + place::line(root, place)).max(self.first)
    }

    fn at(line: usize) -> Lines {
        Lines { root: None, before: 0, first: line }
    }

    /// Takes a text of JSON that stands in the file, and begins in this line at the latest.
    fn of_text(text: &Text, line: usize) -> Lines {
        let Some(first) = text.first_line else { return Lines::at(line) };
        match of_json(&text.text) {
            Ok(root) => Lines { root: Some(root), before: first - 1, first },
            Err(fault) => Lines::at(first - 1 + fault.line),
        }
    }
}

/// Reads all configurations of a file, those in its ConfigMaps included.
pub(crate) fn all(text: &str, environment: &Environment) -> Result<Vec<Loaded>, SyntaxFault> {
    let mut documents = of_either(text)?;
    let inside = documents.iter().map(embedded::documents).collect::<Result<Vec<_>, _>>()?;
    documents.extend(inside.into_iter().flatten());
    Ok(documents.iter().flat_map(configurations).map(|found| load(found, environment)).collect())
}

fn load(found: Found<'_>, environment: &Environment) -> Loaded {
    let Found { owner, line, form, gateways } = found;
    let (lines, checked) = match form {
        Form::Unfit(problem, remedy) => {
            let fault = Fault { path: owner.clone(), problem: problem.to_owned(), remedy: remedy.to_owned() };
            (Lines::at(line), Checked { config: None, faults: vec![fault], unset: Vec::new() })
        }
        Form::Values(node) => {
            let lines = Lines { root: Some(node.clone()), before: 0, first: line };
            (lines, environment.read(&node.to_json()))
        }
        Form::Json(text) => (Lines::of_text(text, line), environment.read(&text.text)),
    };
    Loaded { owner, lines, gateways, checked }
}
