//! The contexts that live in a VM: one root per configured plugin, one stream per request.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::callback::Callback;
use crate::callout::Response;
use crate::exchange::Exchange;

#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub id: u32,
    pub configuration: Rc<[u8]>,
    /// The period that the module asked for, in nanoseconds; zero is none.
    pub tick: u64,
    /// When each timer fires next. Kong adds one each time that a trap makes it start the root
    /// again.
    pub timers: Vec<u64>,
    /// Envoy's access logger: the exchange that is being logged.
    pub logging: Option<Exchange>,
    /// `on_done` said "not yet": the root goes with `proxy_done`.
    pub draining: bool,
}

/// Where a stream is in its sequence of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    RequestHeaders,
    RequestBody(usize),
    ResponseHeaders,
    ResponseBody(usize),
    End,
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub id: u32,
    pub root: u32,
    pub exchange: Exchange,
    pub phase: Phase,
    /// The callback that said Pause and waits to be continued.
    pub paused_at: Option<Callback>,
    /// The module asked to go on.
    pub continued: bool,
    /// Envoy gives back a header map once the callback that had it has said Continue.
    pub request_headers_held: bool,
    pub response_headers_held: bool,
    /// What `get_buffer` shows.
    pub body_in_view: Vec<u8>,
    /// The module answered in place of the upstream.
    pub local_response: Option<Response>,
    pub answered_locally: bool,
    /// Kong: the `kong.*` properties that were read while that was safe.
    pub kept_properties: BTreeSet<String>,
    /// `on_done` said "not yet".
    pub draining: bool,
}

impl Stream {
    pub(crate) fn new(id: u32, root: u32, exchange: Exchange) -> Stream {
        Stream {
            id,
            root,
            exchange,
            phase: Phase::RequestHeaders,
            paused_at: None,
            continued: false,
            request_headers_held: false,
            response_headers_held: false,
            body_in_view: Vec::new(),
            local_response: None,
            answered_locally: false,
            kept_properties: BTreeSet::new(),
            draining: false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Context {
    Root(Box<Root>),
    Stream(Box<Stream>),
}

impl Context {
    pub(crate) fn as_root(&self) -> Option<&Root> {
        match self {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    pub(crate) fn root_id(&self) -> u32 {
        match self {
            Context::Root(root) => root.id,
            Context::Stream(stream) => stream.root,
        }
    }

    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Context::Root(root) => root.logging.as_ref(),
            Context::Stream(stream) => Some(&stream.exchange),
        }
    }
}
