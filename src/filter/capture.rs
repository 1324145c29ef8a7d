//! One request that is to be stored: holds it until it is whole, hands it over, and answers it.
//!
//! Both hosts allow a call while they hold a request. Envoy gives the body piece by piece, while the request is held since its
//! head; Kong reads it whole before it asks any upstream, and so is only held where there is none or it is there.

use std::rc::Rc;

use proxy_wasm::types::{Action, BufferType, MapType};

use super::gateway::kong::HeaderMap;
use super::gateway::Host;
use super::gateway::{envoy, kong};
use super::hostcalls::{self as host, text};
use super::worker::Worker;
use crate::capture::{Answer, CaptureId};

/// A request that a capture takes.
pub struct CapturedRequest {
    worker: Rc<Worker>,
    id: CaptureId,
    method: String,
    target: String,
    head: Head,
    /// The length of the body, where the sender says it.
    announced: Option<u64>,
    /// How much of it has come.
    bytes: usize,
}

/// The headers as they were read.
enum Head {
    Envoy(Vec<u8>),
    Kong(HeaderMap),
}

impl CapturedRequest {
    /// The request that just began, with `count` headers, if a capture takes it: some want its method. `ended` is whether the
    /// host says that it has no body. With it comes what the host is to do.
    #[inline(never)]
    pub fn of_request(
        worker: &Rc<Worker>,
        context: u32,
        method: &[u8],
        count: usize,
        ended: bool,
    ) -> Option<(Box<CapturedRequest>, Action)> {
        let target = match worker.host {
            Host::Envoy => envoy::target(),
            Host::Kong => kong::target(),
        }?;
        let position = worker.captures.position(method, &target)?;
        let request = Box::new(CapturedRequest {
            worker: Rc::clone(worker),
            id: CaptureId(context),
            method: text(method.to_vec()),
            target: text(target),
            head: match worker.host {
                Host::Envoy => Head::Envoy(host::header_map(MapType::HttpRequestHeaders)),
                Host::Kong => Head::Kong(HeaderMap::of_request(count, &worker.wanted_headers)),
            },
            announced: header("content-length").and_then(|length| length.trim().parse().ok()),
            bytes: 0,
        });
        let action = request.begin(position, ended);
        Some((request, action))
    }

    fn begin(&self, position: usize, ended: bool) -> Action {
        let (id, announced, now) = (self.id, self.announced, host::now());
        let refused = self.worker.with_intake(|intake| intake.admit(id, position, announced, now));
        match self.worker.host {
            _ if refused.is_some() => self.answer(refused),
            Host::Envoy if ended => self.complete(Vec::new()),
            Host::Kong if !self.may_have_body() => self.complete(Vec::new()),
            Host::Envoy => Action::Pause,
            Host::Kong => Action::Continue,
        }
    }

    /// Kong does not tell in the head whether there is a body, and calls nobody for an empty one.
    fn may_have_body(&self) -> bool {
        match self.announced {
            Some(length) => length > 0,
            None if header("transfer-encoding").is_some() => true,
            // HTTP/2 needs neither header.
            None => {
                self.method != "GET" && host::property("ngx.server_protocol").is_some_and(|name| name == b"HTTP/2.0")
            }
        }
    }

    /// A piece of the body has come: `bytes` are there by now, the last of them if `ended`.
    pub fn see_body(&mut self, bytes: usize, ended: bool) -> Action {
        self.bytes = bytes;
        if ended {
            return self.read_body();
        }
        let (id, now) = (self.id, host::now());
        self.answer(self.worker.with_intake(|intake| intake.receive(id, bytes, now)))
    }

    /// All of the body has come.
    pub fn read_body(&self) -> Action {
        let (id, bytes) = (self.id, self.bytes);
        if !self.worker.with_intake(|intake| intake.is_under_way(id)) {
            return Action::Pause;
        }
        let body = match bytes {
            0 => Vec::new(),
            _ => host::buffer(BufferType::HttpRequestBody, bytes).unwrap_or_default(),
        };
        if body.len() == bytes && self.announced.is_none_or(|announced| announced == bytes as u64) {
            return self.complete(body);
        }
        let why = match self.worker.host {
            Host::Kong => {
                "a webhook's body is not in nginx' memory, and was answered 503: it is larger than `client_body_buffer_size` \
                 (`nginx_http_client_body_buffer_size` in kong.conf), which should be at least `max_body_bytes`"
            }
            Host::Envoy => "a webhook's body could not be read, and was answered 503",
        };
        self.answer(Some(self.worker.with_intake(|intake| intake.cannot_read(id, why))))
    }

    /// All of the request has come.
    fn complete(&self, body: Vec<u8>) -> Action {
        let (id, now) = (self.id, host::now());
        let request = match &self.head {
            Head::Envoy(map) => envoy::received(&self.method, &self.target, map),
            Head::Kong(map) => kong::received(&self.method, &self.target, map),
        };
        let refused = self.worker.with_intake(|intake| intake.complete(id, request, &body, now));
        drop(body);
        self.answer(refused.or_else(|| self.worker.drive(id, now)))
    }

    /// Answers, if there is an answer; the request is held in any case.
    fn answer(&self, answer: Option<Answer>) -> Action {
        if let Some(answer) = answer {
            host::answer(&answer);
        }
        Action::Pause
    }

    /// A response is on its way to the sender. Where it is not ours, nothing was stored: something let the request pass, and
    /// whatever it says, it is no success.
    pub fn see_response(&self) {
        let id = self.id;
        if !self.worker.with_intake(|intake| intake.is_under_way(id)) {
            return;
        }
        let status = match self.worker.host {
            Host::Envoy => host::header(MapType::HttpResponseHeaders, ":status"),
            Host::Kong => host::property("response.code"),
        };
        let failed = status.map(text).and_then(|status| status.parse::<u16>().ok()).is_some_and(|status| status >= 400);
        if !failed {
            host::set_header(MapType::HttpResponseHeaders, ":status", "503");
        }
    }
}

fn header(name: &str) -> Option<String> {
    host::header(MapType::HttpRequestHeaders, name).map(text)
}

impl Drop for CapturedRequest {
    /// The request is gone, answered or not.
    fn drop(&mut self) {
        let id = self.id;
        self.worker.with_intake(|intake| intake.abandon(id));
    }
}
