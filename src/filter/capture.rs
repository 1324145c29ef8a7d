//! One request that is to be stored: holds it until it is whole, hands it to the core, and answers
//! it. Never decides the answer.
//!
//! Every gateway allows a call while it holds a request. Where the body comes in pieces, the
//! request is held from its head on; where it comes as a whole, from the body on.

use std::rc::Rc;

use proxy_wasm::types::{Action, BufferType, MapType};

use super::gateway::{BodyArrival, Head, Webhook};
use super::hostcalls::{self, text};
use super::worker::Worker;
use crate::capture::{Answer, CaptureId, Intake, Size};

/// A request that a capture takes.
pub(crate) struct CapturedRequest {
    worker: Rc<Worker>,
    id: CaptureId,
    webhook: Box<dyn Webhook>,
    /// The length of the body, where the sender gives it.
    announced: Option<u64>,
    /// Bytes of the body that have come.
    bytes: usize,
}

/// Outcome for a request whose method a capture wants.
pub(crate) enum Begun {
    /// A capture has taken it, and the host has to do this with it.
    Held(Box<CapturedRequest>, Action),
    /// It is answered: it is a challenge, or an application behind the gateway could take it for
    /// one of a capture.
    Answered,
    /// No capture wants it.
    NotWanted,
}

impl CapturedRequest {
    /// Takes the request that has just begun, if a capture wants it; one wants its method.
    #[inline(never)]
    pub(crate) fn begin(worker: &Rc<Worker>, context: u32, method: &[u8], header_count: usize, ended: bool) -> Begun {
        let Some(own) = worker.rules.target.read() else { return Begun::NotWanted };
        let find = |target: &[u8]| worker.captures.position(method, target);
        let by_own = find(&own).map(|position| (position, own.clone()));
        let found = by_own.or_else(|| {
            let normalised = worker.rules.normalised(&own)?;
            Some((find(&normalised)?, normalised))
        });
        let Some((position, target)) = found else {
            if let Some(answer) = challenged(worker, method, &own, header_count) {
                worker.wake();
                worker.answer(&answer);
                return Begun::Answered;
            }
            if !worker.captures.know_by_another_spelling(method, &own) {
                return Begun::NotWanted;
            }
            worker.wake();
            worker.answer(&worker.with_intake(Intake::misspelled));
            return Begun::Answered;
        };
        let head_bytes = method.len() + target.len();
        let head = Head { method: text(method.to_vec()), target: text(target), header_count, ended };
        let webhook = worker.reader.webhook(head);
        let request = Box::new(CapturedRequest {
            worker: Rc::clone(worker),
            id: CaptureId(context),
            announced: webhook.announced(),
            webhook,
            bytes: 0,
        });
        let action = request.admit(position, head_bytes);
        Begun::Held(request, action)
    }

    fn admit(&self, position: usize, head_bytes: usize) -> Action {
        self.worker.wake();
        let (id, announced, now) = (self.id, self.announced, hostcalls::now());
        let size = Size { head: head_bytes, body: announced };
        let refused = self.worker.with_intake(|intake| intake.admit(id, position, size, now));
        if refused.is_some() {
            return self.answer(refused);
        }
        match self.webhook.body(announced) {
            BodyArrival::Absent => self.complete(Vec::new()),
            BodyArrival::InPieces => Action::Pause,
            BodyArrival::Whole => Action::Continue,
        }
    }

    /// Handles a piece of the body: `bytes` are there by now, the last of them if `ended`.
    pub(crate) fn see_body(&mut self, bytes: usize, ended: bool) -> Action {
        if !cfg!(feature = "capture") {
            return Action::Continue;
        }
        self.bytes = bytes;
        if ended {
            return self.read_body();
        }
        let (id, now) = (self.id, hostcalls::now());
        self.answer(self.worker.with_intake(|intake| intake.receive(id, bytes, now)))
    }

    /// Reads the body, all of which has come.
    pub(crate) fn read_body(&self) -> Action {
        if !cfg!(feature = "capture") {
            return Action::Continue;
        }
        let (id, bytes) = (self.id, self.bytes);
        if !self.worker.with_intake(|intake| intake.is_under_way(id)) {
            return Action::Pause;
        }
        let body = match bytes {
            0 => Vec::new(),
            _ => hostcalls::buffer(BufferType::HttpRequestBody, bytes).unwrap_or_default(),
        };
        if body.len() == bytes && self.announced.is_none_or(|announced| announced == bytes as u64) {
            return self.complete(body);
        }
        let why = self.worker.rules.unreadable_body;
        self.answer(Some(self.worker.with_intake(|intake| intake.cannot_read(id, bytes, why))))
    }

    /// Has the request stored, all of which has come.
    fn complete(&self, body: Vec<u8>) -> Action {
        let (id, now) = (self.id, hostcalls::now());
        let request = self.webhook.request();
        let refused = self.worker.with_intake(|intake| intake.complete(id, request, &body, now));
        drop(body);
        self.answer(refused.or_else(|| self.worker.drive(id, now)))
    }

    /// Answers, if there is an answer. The request is held in any case.
    fn answer(&self, answer: Option<Answer>) -> Action {
        if let Some(answer) = answer {
            self.worker.answer(&answer);
        }
        Action::Pause
    }

    /// Looks at a response on its way to the sender. While the capture is under way, the response
    /// is not the filter's: something let the request pass, and nothing was stored. So whatever the
    /// response says, it must not be a success.
    pub(crate) fn see_response(&self) {
        let id = self.id;
        if !cfg!(feature = "capture") || !self.worker.with_intake(|intake| intake.is_under_way(id)) {
            return;
        }
        let status = self.worker.rules.response_status.text().and_then(|status| status.parse().ok());
        let failed = status.is_some_and(|status: u16| status >= 400);
        if !failed {
            hostcalls::set_header(MapType::HttpResponseHeaders, ":status", "503");
        }
    }
}

/// Returns the answer to a request that only challenges have the method of, if it is one. Its body,
/// if it has any, is not looked at.
fn challenged(worker: &Worker, method: &[u8], target: &[u8], header_count: usize) -> Option<Answer> {
    let position = worker.captures.asked(method, target)?;
    let head = Head { method: text(method.to_vec()), target: text(target.to_vec()), header_count, ended: true };
    let webhook = worker.reader.webhook(head);
    let now = hostcalls::now();
    worker.with_intake(|intake| intake.challenged(position, &webhook.request(), now))
}

impl Drop for CapturedRequest {
    /// Ends the capture if the request is gone before it was answered.
    fn drop(&mut self) {
        if cfg!(feature = "capture") {
            let id = self.id;
            self.worker.with_intake(|intake| intake.abandon(id));
        }
    }
}
