//! Notices: lines that an operator should read in the host's log. The core collects them; the
//! filter writes them.

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A change for the better, or a fact worth having.
    Info,
    /// Something is wrong, and nothing is lost yet.
    Warn,
    /// Something was lost, or will be unless someone acts.
    Error,
}

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// The line, without a line break.
    pub text: String,
}
