//! HTTP calls that the module makes: what it asked for, what goes over the wire, and how each host
//! tells what came of them.

use std::time::{Duration, SystemTime};

use crate::headers::Headers;
use crate::profile::{Profile, Rules};

/// A callout that the module dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// The host's number for it.
    pub token: u32,
    /// The context that was running when it was dispatched.
    pub context: u32,
    /// The host's name for where it goes.
    pub upstream: String,
    /// As the module gave them, pseudo headers included.
    pub headers: Headers,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// How long the host waits.
    pub timeout: Duration,
    /// When it was dispatched.
    pub sent_at: SystemTime,
    /// What the peer gets to see.
    pub wire: Wire,
}

impl Callout {
    /// A header as the module gave it, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.text(name)
    }

    /// The body as text.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A callout as its peer receives it: what a signature has to cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The method.
    pub method: String,
    /// The path with the query string.
    pub path: String,
    /// The `Host` header (or `:authority`).
    pub host: String,
    /// Whether it goes over TLS; on Envoy the cluster decides, so it is not known.
    pub tls: Option<bool>,
    /// All other headers, those that the host adds included.
    pub headers: Headers,
}

impl Wire {
    pub(crate) fn new(profile: Profile, upstream: &str, asked: &Headers, body: &[u8]) -> Wire {
        let text = |name: &str| asked.text(name).unwrap_or_default();
        let plain = asked.0.iter().filter(|(name, _)| !name.starts_with(b":"));
        let mut headers = match profile {
            Profile::Envoy => Headers(plain.cloned().collect()).lower_case(),
            Profile::Kong => Headers(
                plain
                    .filter(|(name, _)| {
                        !name.eq_ignore_ascii_case(b"host") && !name.eq_ignore_ascii_case(b"connection")
                    })
                    .cloned()
                    .collect(),
            ),
        };
        if !body.is_empty() || profile == Profile::Kong {
            headers.replace(b"content-length", body.len().to_string().as_bytes());
        }
        if profile == Profile::Kong {
            headers.add("Connection", "close");
        }
        let authority = text(":authority");
        let host = if authority.is_empty() { upstream.to_owned() } else { authority };
        let tls = (profile == Profile::Kong).then(|| text(":scheme") == "https");
        Wire { method: text(":method"), path: text(":path"), host, tls, headers }
    }
}

/// A reply for [`crate::Host::respond`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, without pseudo headers.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The body ends with the connection: neither `content-length` nor chunked. Kong then sees
    /// none.
    pub close_delimited: bool,
}

impl Response {
    /// A reply without headers and without a body.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Headers::default(), body: Vec::new(), close_delimited: false }
    }

    /// Its body has no declared length.
    pub fn close_delimited(mut self) -> Response {
        self.close_delimited = true;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Response {
        self.headers.add(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Response {
        self.body = body.as_ref().to_vec();
        self
    }
}

/// What became of a callout that got no proper reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody listens.
    Refused,
    /// The host's own timeout, which [`crate::Host::advance`] applies by itself.
    Timeout,
    /// The name could not be resolved.
    Resolver,
    /// The certificate was not accepted, or the peer speaks no TLS.
    TlsHandshake,
    /// The peer took the request and closed the connection.
    ClosedWithoutReply,
    /// The peer sent a 200 and a part of the body that it had declared to be this long.
    CutInBody {
        /// The length that it had declared.
        declared: usize,
    },
    /// The reply was not HTTP.
    NotHttp,
    /// The connection was reset after the request was sent.
    Reset,
}

/// What the module sees of a reply while it is in `on_http_call_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Header map, pseudo headers first.
    pub headers: Headers,
    /// As told to the callback; on Kong pseudo headers are not counted.
    pub announced_headers: usize,
    pub announced_body: usize,
    /// `None`: reading it is an error.
    pub body: Option<Vec<u8>>,
    /// Envoy has no header map at all for a reset.
    pub has_map: bool,
}

impl Reply {
    pub(crate) fn proper(profile: Profile, response: Response) -> Reply {
        let mut headers: Headers = [(":status", response.status.to_string())].into_iter().collect();
        let rest = match profile {
            Profile::Envoy => response.headers.lower_case(),
            Profile::Kong => {
                headers.add(":dispatch_status", "ok");
                response.headers
            }
        };
        let announced_headers = match profile {
            Profile::Envoy => rest.len() + 1,
            Profile::Kong => rest.len(),
        };
        headers.0.extend(rest.0);
        let lost = profile == Profile::Kong && response.close_delimited;
        let body = if lost { Vec::new() } else { response.body };
        Reply { headers, announced_headers, announced_body: body.len(), body: Some(body), has_map: true }
    }

    /// `None`: this host does not tell at all.
    pub(crate) fn failed(rules: &Rules, kind: FailureKind) -> Option<Reply> {
        match rules.profile {
            Profile::Envoy => Some(Reply::failed_on_envoy(kind)),
            Profile::Kong => (!rules.silent_failures).then(|| Reply::failed_on_kong(kind)),
        }
    }

    fn failed_on_envoy(kind: FailureKind) -> Reply {
        const CONNECT: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
        let (status, body) = match kind {
            FailureKind::Refused => (503, format!("{CONNECT}remote connection failure")),
            FailureKind::TlsHandshake => {
                (503, format!("{CONNECT}remote connection failure, transport failure reason: TLS_error"))
            }
            FailureKind::ClosedWithoutReply => (503, format!("{CONNECT}connection termination")),
            FailureKind::NotHttp => (502, format!("{CONNECT}protocol error")),
            FailureKind::Resolver => (503, "no healthy upstream".to_owned()),
            FailureKind::Timeout => (504, "upstream request timeout".to_owned()),
            FailureKind::CutInBody { .. } | FailureKind::Reset => {
                return Reply {
                    headers: Headers::default(),
                    announced_headers: 0,
                    announced_body: 0,
                    body: None,
                    has_map: false,
                }
            }
        };
        let length = body.len().to_string();
        let local =
            Response::new(status).header("content-length", length).header("content-type", "text/plain").body(body);
        Reply::proper(Profile::Envoy, local)
    }

    fn failed_on_kong(kind: FailureKind) -> Reply {
        let status = match kind {
            FailureKind::Refused | FailureKind::Reset => "broken connection",
            FailureKind::Timeout => "timeout",
            FailureKind::Resolver => "resolver failure",
            FailureKind::TlsHandshake => "tls handshake failure",
            FailureKind::NotHttp => "reader failure",
            FailureKind::ClosedWithoutReply | FailureKind::CutInBody { .. } => "ok",
        };
        let mut headers = Headers::default();
        let cut = match kind {
            FailureKind::CutInBody { declared } => Some(declared),
            _ => None,
        };
        if cut.is_some() {
            headers.add(":status", "200");
        }
        headers.add(":dispatch_status", status);
        let announced_headers = match cut {
            Some(declared) => {
                headers.add("Content-Length", declared.to_string());
                1
            }
            None => 0,
        };
        let body = if cut.is_some() { None } else { Some(Vec::new()) };
        Reply { headers, announced_headers, announced_body: cut.unwrap_or(0), body, has_map: true }
    }
}

/// A callout that the host still has to answer, or has answered.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub callout: Callout,
    /// The root that owns it.
    pub root: u32,
    /// Nanoseconds of the clock at which the host gives up.
    pub deadline: Option<u64>,
    pub answered: bool,
    /// Handed to the test.
    pub taken: bool,
}
