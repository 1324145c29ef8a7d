//! An HTTP exchange as a test describes it: what the client sent and what came back. The host
//! derives from it what the module can read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::headers::Headers;

/// The TLS session with the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`.
    pub version: String,
    /// The server name that the client asked for.
    pub server_name: String,
    /// Whether it showed a certificate that was accepted.
    pub client_verified: bool,
}

/// How an exchange ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Whole,
    /// In the middle of the response, for this reason in Envoy's words.
    CutOff(String),
    /// Before the response began: the client left.
    NoResponse,
}

/// One exchange. Everything has a sensible default; bytes may be anything, valid UTF-8 or not.
#[derive(Clone, Debug)]
pub struct ExchangeSpec {
    pub(crate) method: Vec<u8>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) protocol: String,
    pub(crate) request_headers: Headers,
    pub(crate) request_body: Vec<Vec<u8>>,
    pub(crate) spilled: bool,
    pub(crate) status: u16,
    pub(crate) response_headers: Headers,
    pub(crate) response_body: Vec<Vec<u8>>,
    pub(crate) request_id: Option<String>,
    pub(crate) has_default_id: bool,
    pub(crate) client: (String, u16),
    pub(crate) tls: Option<Tls>,
    pub(crate) upstream: Option<String>,
    pub(crate) rewritten_path: Option<Vec<u8>>,
    pub(crate) left_open: bool,
    pub(crate) ending: Ending,
    pub(crate) response_trailers: Headers,
    pub(crate) duration: Duration,
    pub(crate) upstream_latency: Duration,
    pub(crate) route: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) properties: BTreeMap<String, Option<Vec<u8>>>,
}

impl ExchangeSpec {
    /// A request for `path` (with its query string, as the client sent it), answered 200 by an
    /// upstream.
    pub fn new(method: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> ExchangeSpec {
        ExchangeSpec {
            method: method.as_ref().to_vec(),
            path: Some(path.as_ref().to_vec()),
            authority: Some(b"api.example.com".to_vec()),
            protocol: "HTTP/1.1".into(),
            request_headers: Headers::default(),
            request_body: Vec::new(),
            spilled: false,
            status: 200,
            response_headers: Headers::default(),
            response_body: Vec::new(),
            has_default_id: true,
            request_id: Some("6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1".into()),
            client: ("192.0.2.7".into(), 52_114),
            tls: None,
            upstream: Some("10.0.0.5:8080".into()),
            rewritten_path: None,
            left_open: false,
            ending: Ending::Whole,
            response_trailers: Headers::default(),
            duration: Duration::from_millis(12),
            upstream_latency: Duration::from_millis(9),
            route: None,
            service: None,
            properties: BTreeMap::new(),
        }
    }

    /// A request that has no path (Envoy: `CONNECT`).
    pub fn without_path(mut self) -> Self {
        self.path = None;
        self
    }

    /// The `Host` header or `:authority`; `None` for a request that has none.
    pub fn authority(mut self, authority: Option<&str>) -> Self {
        self.authority = authority.map(|text| text.as_bytes().to_vec());
        self
    }

    /// `HTTP/1.1` by default.
    pub fn protocol(mut self, protocol: &str) -> Self {
        self.protocol = protocol.into();
        self
    }

    /// Adds a request header.
    pub fn request_header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.request_headers.add(name, value);
        self
    }

    /// The request's body, in one piece.
    pub fn request_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.request_body = vec![body.as_ref().to_vec()];
        self
    }

    /// The request's body in the pieces in which it arrives. Kong hands it over whole all the same.
    pub fn request_chunks<C: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.request_body = chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        self
    }

    /// Kong: nginx has written the request's body to a file, where no module can read it.
    pub fn spilled_to_disk(mut self) -> Self {
        self.spilled = true;
        self
    }

    /// The response's status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a response header.
    pub fn response_header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.response_headers.add(name, value);
        self
    }

    /// The response's body, in one piece.
    pub fn response_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.response_body = vec![body.as_ref().to_vec()];
        self
    }

    /// The response's body in the pieces in which it arrives.
    pub fn response_chunks<C: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.response_body = chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        self
    }

    /// The host's id of the request: `request.id` on Envoy (which also sends `x-request-id`
    /// upstream), `ngx.kong_request_id` on Kong. By default each exchange has its own.
    pub fn request_id(mut self, id: Option<&str>) -> Self {
        self.request_id = id.map(str::to_owned);
        self.has_default_id = false;
        self
    }

    /// The client's address and port.
    pub fn client(mut self, address: &str, port: u16) -> Self {
        self.client = (address.into(), port);
        self
    }

    /// The client came over TLS.
    pub fn tls(mut self, version: &str, server_name: &str, client_verified: bool) -> Self {
        self.tls = Some(Tls { version: version.into(), server_name: server_name.into(), client_verified });
        self
    }

    /// The upstream's address; `None` if the gateway answered by itself.
    pub fn upstream(mut self, address: Option<&str>) -> Self {
        self.upstream = address.map(str::to_owned);
        self
    }

    /// The router asks the upstream for another path (with its query string) than the client asked
    /// for. Envoy then shows that as `:path` to all but the request's own callbacks, and keeps the
    /// client's in `x-envoy-original-path`.
    pub fn rewritten_to(mut self, path: impl AsRef<[u8]>) -> Self {
        self.rewritten_path = Some(path.as_ref().to_vec());
        self
    }

    /// The end of the response does not come before [`crate::Host::finish_exchange`].
    pub fn left_open(mut self) -> Self {
        self.left_open = true;
        self
    }

    /// The response breaks off after its head and what there is of its body; `details` is what
    /// Envoy says of that. Kong says nothing, and never shows a last part.
    pub fn cut_off(mut self, details: &str) -> Self {
        self.ending = Ending::CutOff(details.into());
        self
    }

    /// The client leaves before the response begins.
    pub fn left_by_client(mut self) -> Self {
        self.ending = Ending::NoResponse;
        self
    }

    /// Adds a trailer of the response.
    pub fn response_trailer(mut self, name: &str, value: &str) -> Self {
        self.response_trailers.add(name, value);
        self
    }

    /// How long the exchange took. It ended now, and so began this long ago.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// How long the upstream took.
    pub fn upstream_latency(mut self, latency: Duration) -> Self {
        self.upstream_latency = latency;
        self
    }

    /// The gateway's route. Envoy: its name. Kong: the whole entity as JSON.
    pub fn route(mut self, route: &str) -> Self {
        self.route = Some(route.into());
        self
    }

    /// The gateway's service. Envoy: the cluster's name. Kong: the whole entity as JSON.
    pub fn service(mut self, service: &str) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Sets a property (dots between its parts) to these bytes, whatever the host would have said.
    pub fn property(mut self, path: &str, value: impl AsRef<[u8]>) -> Self {
        self.properties.insert(path.into(), Some(value.as_ref().to_vec()));
        self
    }

    /// Takes a property away.
    pub fn without_property(mut self, path: &str) -> Self {
        self.properties.insert(path.into(), None);
        self
    }
}
