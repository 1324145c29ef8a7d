//! What can go wrong, as values: a module that traps must never take the test with it.

use std::fmt;

use crate::callback::Callback;
use crate::vm::LogLine;

/// What kind of end a callback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// The module did it: a panic, an endless loop, a memory access out of bounds.
    Module,
    /// The host stopped the module because of what it asked for.
    Host,
    /// The real host's worker process would have died here (a memory error in the host itself).
    WorkerCrash,
}

/// A callback that did not return. The VM is dead after it; see [`crate::Host::revive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The callback that was running.
    pub callback: Callback,
    /// Who ended it.
    pub kind: TrapKind,
    /// Why, with the panic message if the module left one in its log.
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TrapKind::Module => "trap",
            TrapKind::Host => "trap by the host",
            TrapKind::WorkerCrash => "crash of the worker",
        };
        write!(f, "{kind} in {}: {}", self.callback, self.message)
    }
}

/// Why a call to the host failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no module, or the module needs what no host has.
    #[error("cannot load the module: {0}")]
    Load(String),
    /// A callback trapped now.
    #[error("{0}")]
    Trap(Trap),
    /// A callback trapped earlier, and nothing runs in a dead VM.
    #[error("the VM is dead since an earlier {0}")]
    Dead(Trap),
    /// The test asked for what this host does not have: no plugin, no such token.
    #[error("{0}")]
    Misused(String),
}

/// As it is displayed, so that an `unwrap` in a test reads well.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A plugin that did not start.
#[derive(Clone, thiserror::Error)]
pub struct StartError {
    /// The trap; none if the plugin declined by returning false.
    pub cause: Option<Error>,
    /// What it logged while it was starting.
    pub logs: Vec<LogLine>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "the plugin did not start: {cause}")?,
            None => write!(f, "the plugin refused to start")?,
        }
        self.logs.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// As it is displayed, so that an `unwrap` in a test reads well.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a host lets pass although it does harm later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Kong: a root sent a callout while another of its own was in flight. Each such pair leaks a
    /// connection.
    CalloutsOverlap {
        /// The callout that was in flight.
        first: u32,
        /// The one that was sent on top of it.
        second: u32,
    },
    /// Kong: a request was answered with a body in the reply to a callout that had none. nginx
    /// writes it twice, which ends the connection before the client has anything.
    AnsweredTwice {
        /// The context of the request.
        stream: u32,
    },
    /// Kong: a whole header map was read that has more than Kong asks memory for. It writes the
    /// rest over whatever the module has there.
    HeaderMapOverrun {
        /// The headers in it, those left out that Kong adds itself.
        headers: usize,
    },
}
