//! The callbacks that a host makes into a module.

use std::fmt;

/// A callback into the module. What a host function may do depends on the one that it is called
/// from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callback {
    /// `_initialize` or `_start`, before anything else.
    Initialize,
    /// A root or a request begins.
    ContextCreate,
    /// Once per VM (Envoy) or per root (Kong).
    VmStart,
    /// A root gets its configuration.
    Configure,
    /// A root's timer.
    Tick,
    /// The request's headers.
    RequestHeaders,
    /// A part of the request's body, or all of it.
    RequestBody,
    /// The response's headers.
    ResponseHeaders,
    /// A part of the response's body.
    ResponseBody,
    /// A callout was answered, or will not be.
    CallResponse,
    /// The exchange is over. On the root context: Envoy's access logger.
    Log,
    /// A request or a root is about to go.
    Done,
    /// It is gone.
    Delete,
}

impl Callback {
    /// The name of the module's export.
    pub fn export(self) -> &'static str {
        match self {
            Callback::Initialize => "_initialize",
            Callback::ContextCreate => "proxy_on_context_create",
            Callback::VmStart => "proxy_on_vm_start",
            Callback::Configure => "proxy_on_configure",
            Callback::Tick => "proxy_on_tick",
            Callback::RequestHeaders => "proxy_on_request_headers",
            Callback::RequestBody => "proxy_on_request_body",
            Callback::ResponseHeaders => "proxy_on_response_headers",
            Callback::ResponseBody => "proxy_on_response_body",
            Callback::CallResponse => "proxy_on_http_call_response",
            Callback::Log => "proxy_on_log",
            Callback::Done => "proxy_on_done",
            Callback::Delete => "proxy_on_delete",
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.export())
    }
}
