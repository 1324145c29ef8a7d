//! What the host keeps for one VM: its contexts, the callback that is running, and everything that
//! the module left behind (logs, callouts, metrics). It is the data of the engine's store, so every
//! host function reaches it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use wasmtime::Memory;

use crate::callback::Callback;
use crate::callout::{Pending, Reply};
use crate::contexts::{Context, Root, Stream};
use crate::error::Violation;
use crate::functions::Item;
use crate::hot_spots::HotSpots;
use crate::metrics::Metrics;
use crate::profile::Rules;
use crate::shared::SharedData;
use crate::usage::Usage;

/// The levels of `proxy_log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5; the SDK logs a panic at it.
    Critical,
}

impl LogLevel {
    pub(crate) fn from_number(number: u32) -> Option<LogLevel> {
        use LogLevel::*;
        [Trace, Debug, Info, Warn, Error, Critical].get(number as usize).copied()
    }
}

/// One line of the module's log. What it writes to stdout is at info, to stderr at error, as both
/// hosts do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How bad it is.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.level, self.text)
    }
}

/// The callback that is running, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    pub callback: Callback,
    /// The context that the host called.
    pub called: u32,
    /// Envoy: the one that the module switched to.
    pub effective: u32,
}

#[derive(Default)]
pub(crate) struct Vm {
    /// The memory of its instance, once there is one.
    pub memory: Option<Memory>,
    pub rules: Rules,
    pub environment: Vec<(String, String)>,
    /// Nanoseconds since the epoch.
    pub now: u64,
    pub random: u64,
    pub contexts: BTreeMap<u32, Context>,
    pub next_context: u32,
    /// How many exchanges there were.
    pub exchanges: u32,
    pub next_token: u32,
    pub active: Option<Active>,
    pub reply: Option<Reply>,
    pub pending: Vec<Pending>,
    pub logs: Vec<LogLine>,
    /// Written to stdout and stderr, up to the next line end.
    pub unfinished_lines: [Vec<u8>; 2],
    pub shared: SharedData,
    pub metrics: Metrics,
    /// Envoy: the expressions of each root.
    pub expressions: BTreeMap<u32, Vec<Vec<Item>>>,
    pub usage: Usage,
    pub hot_spots: HotSpots,
    pub violations: Vec<Violation>,
    /// Contexts whose `proxy_done` came in this callback.
    pub done: Vec<u32>,
    /// Kong: the process ends, and gives no ticks.
    pub exiting: bool,
    /// A request called out in this callback, which Kong must see answered by Pause.
    pub dispatched: bool,
}

impl Vm {
    pub(crate) fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        let mut text = text.into();
        let most = self.rules.max_logged_bytes();
        if text.len() > most {
            let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
        }
        self.logs.push(LogLine { level, text });
    }

    pub(crate) fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.now)
    }

    pub(crate) fn callback(&self) -> Callback {
        self.active.map_or(Callback::Initialize, |active| active.callback)
    }

    /// The context that a host function speaks for. Kong knows no other than the one that it
    /// called.
    pub(crate) fn context_id(&self) -> u32 {
        let Some(active) = self.active else { return 0 };
        if self.contexts.contains_key(&active.effective) && !self.rules.is_kong() {
            active.effective
        } else {
            active.called
        }
    }

    pub(crate) fn context(&self) -> Option<&Context> {
        self.contexts.get(&self.context_id())
    }

    pub(crate) fn stream(&self) -> Option<&Stream> {
        match self.context() {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn stream_mut(&mut self, id: u32) -> Option<&mut Stream> {
        match self.contexts.get_mut(&id) {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn root_mut(&mut self, id: u32) -> Option<&mut Root> {
        match self.contexts.get_mut(&id) {
            Some(Context::Root(root)) => Some(root),
            _ => None,
        }
    }

    /// The root of the context that is running.
    pub(crate) fn root_id(&self) -> u32 {
        self.context().map_or(0, Context::root_id)
    }

    pub(crate) fn in_root(&self) -> bool {
        !matches!(self.context(), Some(Context::Stream(_)))
    }

    pub(crate) fn random_byte(&mut self) -> u8 {
        // xorshift64: the same bytes in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u8
    }
}
