//! What the commands write: findings and errors, in colours where a terminal shows them. Decides
//! nothing.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;

use anstyle::{AnsiColor, Style};

/// The exit code of a command that could not do its work.
pub(crate) const NOT_DONE: u8 = 2;

/// A reason why a command could not do its work, which is no fault of a configuration.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// Makes a failure of a text.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The filter does not start.
    Error,
    /// It starts, and does perhaps not what was meant.
    Warning,
}

impl Severity {
    /// Returns the word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }

    fn style(self) -> Style {
        let color = match self {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
        };
        color.on_default().bold()
    }
}

/// Writes a line about a place to standard error.
pub(crate) fn finding(place: &str, severity: Severity, text: &str) {
    let (style, word) = (severity.style(), severity.word());
    let (place, text) = (visible(place), visible(text));
    let _ = writeln!(anstream::stderr(), "{place}: {style}{word}{style:#}: {text}");
}

/// Writes why a command could not do its work.
pub(crate) fn error(text: &str) {
    finding("retrohook", Severity::Error, text);
}

/// Writes a line to standard error that belongs to no place.
pub(crate) fn hint(text: &str) {
    let _ = writeln!(io::stderr(), "{}", visible(text));
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl Display) {
    written(writeln!(io::stdout(), "{}", visible(&text.to_string())));
}

/// Writes a text to standard output as it is.
pub(crate) fn text(text: &str) {
    written(io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()));
}

/// Writes a line to standard output that begins with words in bold.
pub(crate) fn titled(title: &str, text: impl Display) {
    let style = Style::new().bold();
    written(writeln!(anstream::stdout(), "{style}{title}{style:#} {}", visible(&text.to_string())));
}

/// Returns a text without characters that a terminal obeys: what is shown was written by others.
fn visible(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_obeyed(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Ends the program where standard output takes nothing, such as a full disk: no exit code may say
/// that all is good. A reader that has left, such as `head`, has what it wanted.
fn written(done: io::Result<()>) {
    if let Some(fault) = done.err().filter(|fault| fault.kind() != io::ErrorKind::BrokenPipe) {
        error(&format!("standard output: {fault}"));
        process::exit(i32::from(NOT_DONE));
    }
}
