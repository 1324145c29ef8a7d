//! Requests: the whole sequence of callbacks of an exchange, in each host's order.

use super::Host;
use crate::callback::Callback;
use crate::callout::Response;
use crate::contexts::{Context, Phase, Stream};
use crate::error::{Error, Trap, TrapKind};
use crate::exchange::Exchange;
use crate::headers::Headers;
use crate::profile::Profile;
use crate::spec::{Ending, ExchangeSpec};

/// How far an exchange came, and what the client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// Its context.
    pub stream: u32,
    /// The callback that said Pause and was not continued; `None`: it is over.
    pub paused_at: Option<Callback>,
    /// The status that the client got, or will get.
    pub status: u16,
    /// The headers of the response.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
    /// The module answered by itself.
    pub local: bool,
}

impl Host {
    /// Runs an exchange through the HTTP filter, to its end or to where the module pauses it.
    pub fn exchange(&mut self, spec: &ExchangeSpec) -> Result<Exchanged, Error> {
        let root = self.plugin.ok_or_else(|| Error::Misused("no plugin was started".into()))?;
        let vm = self.vm_mut();
        let id = vm.next_context;
        vm.next_context += 1;
        let exchange = Exchange::new(&vm.rules, spec, vm.now, vm.exchanges);
        vm.exchanges += 1;
        vm.contexts.insert(id, Context::Stream(Box::new(Stream::new(id, root, exchange))));
        self.call(Callback::ContextCreate, id, &[id, root])?;
        let outcome = self.go_on(id)?;
        self.settle()?;
        Ok(self.finished.remove(&id).unwrap_or(outcome))
    }

    /// Runs an exchange past the plugin as Envoy's Wasm access logger: `on_log` of the root.
    pub fn access_log(&mut self, spec: &ExchangeSpec) -> Result<(), Error> {
        let id = self.plugin.ok_or_else(|| Error::Misused("no plugin was started".into()))?;
        let vm = self.vm_mut();
        if vm.rules.is_kong() {
            return Err(Error::Misused("Kong has no access loggers".into()));
        }
        let mut exchange = Exchange::new(&vm.rules, spec, vm.now, vm.exchanges);
        vm.exchanges += 1;
        exchange.rewrite_path(&vm.rules);
        if let Some(root) = vm.root_mut(id) {
            root.logging = Some(exchange);
        }
        let outcome = self.call(Callback::Log, id, &[id]);
        if let Some(root) = self.vm_mut().root_mut(id) {
            root.logging = None;
        }
        outcome?;
        self.settle()
    }

    /// The next exchange is the last one once more, as another filter of the chain sees it.
    pub fn see_again(&mut self) {
        let vm = self.vm_mut();
        vm.exchanges = vm.exchanges.saturating_sub(1);
    }

    /// Sends new exchanges to a plugin that was started before.
    pub fn choose_plugin(&mut self, root: u32) {
        self.plugin = Some(root);
    }

    /// Ends an exchange that was left open.
    pub fn finish_exchange(&mut self, stream: u32) -> Result<Exchanged, Error> {
        self.stream(stream)?.exchange.spec.left_open = false;
        let outcome = self.go_on(stream)?;
        self.settle()?;
        Ok(outcome)
    }

    /// The client leaves while its exchange is paused. Kong does not look at the connection of a
    /// request that waits for a call: there nothing happens before that one is answered.
    pub fn abandon_exchange(&mut self, stream: u32) -> Result<(), Error> {
        if self.vm().rules.is_kong() && self.waits_for_a_call(stream) {
            return Ok(());
        }
        self.stream(stream)?.exchange.spec.left_open = false;
        self.end(stream)?;
        self.settle()
    }

    /// Returns true if a callout of this context is not answered.
    pub(super) fn waits_for_a_call(&self, context: u32) -> bool {
        self.vm().pending.iter().any(|pending| pending.callout.context == context && !pending.answered)
    }

    /// Runs a paused exchange to its end, whatever the module says, as no host should.
    pub fn let_go(&mut self, stream: u32) -> Result<(), Error> {
        loop {
            self.stream(stream)?.continued = true;
            if self.go_on(stream)?.paused_at.is_none() {
                return self.settle();
            }
        }
    }

    /// An exchange that was paused, once it is over.
    pub fn take_finished(&mut self, stream: u32) -> Option<Exchanged> {
        self.finished.remove(&stream)
    }

    /// A paused request that may go on.
    pub(super) fn continued(&self) -> Option<u32> {
        self.vm().contexts.values().find_map(|context| match context {
            Context::Stream(stream) if stream.continued && stream.paused_at.is_some() => Some(stream.id),
            _ => None,
        })
    }

    /// Makes callbacks until the exchange is over or paused.
    pub(super) fn go_on(&mut self, id: u32) -> Result<Exchanged, Error> {
        let kong = self.vm().rules.is_kong();
        let was_paused = self.stream(id)?.paused_at.is_some();
        loop {
            let stream = self.stream(id)?;
            if stream.paused_at.is_some() && !std::mem::take(&mut stream.continued) {
                return Ok(exchanged(stream));
            }
            stream.paused_at = None;
            stream.continued = false;
            if let Some(local) = stream.local_response.take() {
                answer_locally(stream, if kong { local } else { as_grpc(&stream.exchange, local) });
            }
            match stream.phase {
                Phase::RequestHeaders => self.request_headers(id)?,
                Phase::RequestBody(chunk) => self.request_body(id, chunk)?,
                Phase::ResponseHeaders => self.response_headers(id)?,
                Phase::ResponseBody(chunk) => self.response_body(id, chunk)?,
                Phase::End if stream.exchange.spec.left_open => return Ok(exchanged(stream)),
                Phase::End => {
                    let outcome = exchanged(stream);
                    self.end(id)?;
                    if was_paused {
                        self.finished.insert(id, outcome.clone());
                    }
                    return Ok(outcome);
                }
                Phase::Over => return Ok(exchanged(stream)),
            }
        }
    }

    fn stream(&mut self, id: u32) -> Result<&mut Stream, Error> {
        self.vm_mut().stream_mut(id).ok_or_else(|| Error::Misused(format!("there is no stream {id}")))
    }

    fn request_headers(&mut self, id: u32) -> Result<(), Error> {
        let rules = self.vm().rules.clone();
        let stream = self.stream(id)?;
        stream.request_headers_held = true;
        let announced = stream.exchange.announced(&rules, &stream.exchange.request);
        let pieces = &stream.exchange.spec.request_body;
        // nginx calls nobody for an empty body.
        let has_body = if rules.is_kong() { !pieces.concat().is_empty() } else { !pieces.is_empty() };
        stream.phase = if has_body { Phase::RequestBody(0) } else { Phase::ResponseHeaders };
        let end = u32::from(!rules.is_kong() && !has_body);
        let gives_body = rules.bodies_of_held && has_body;
        if !self.step(Callback::RequestHeaders, id, &[id, announced, end], !gives_body)? {
            self.stream(id)?.request_headers_held = false;
        }
        Ok(())
    }

    /// Kong hands the body over whole; Envoy piece by piece, and a Pause keeps the pieces together.
    fn request_body(&mut self, id: u32, chunk: usize) -> Result<(), Error> {
        let kong = self.vm().rules.is_kong();
        let stream = self.stream(id)?;
        let chunks = &stream.exchange.spec.request_body;
        let (new, last) = match kong {
            true => (chunks.concat(), true),
            false => (chunks.get(chunk).cloned().unwrap_or_default(), chunk + 1 >= chunks.len()),
        };
        stream.body_in_view.extend(new);
        stream.phase = if last { Phase::ResponseHeaders } else { Phase::RequestBody(chunk + 1) };
        let len = stream.body_in_view.len() as u32;
        if !self.step(Callback::RequestBody, id, &[id, len, u32::from(last)], last)? || last {
            self.stream(id)?.body_in_view.clear();
        }
        Ok(())
    }

    fn response_headers(&mut self, id: u32) -> Result<(), Error> {
        let rules = self.vm().rules.clone();
        let stream = self.stream(id)?;
        stream.exchange.rewrite_path(&rules);
        stream.body_in_view.clear();
        if stream.exchange.spec.ending == Ending::NoResponse && !stream.answered_locally {
            stream.phase = Phase::End;
            return Ok(());
        }
        stream.response_headers_held = true;
        let announced = stream.exchange.announced(&rules, &stream.exchange.response);
        // nginx sends an empty last buffer through the body filter, Envoy ends the stream with the
        // headers.
        let has_body = rules.is_kong() || !stream.exchange.spec.response_body.is_empty();
        stream.phase = if has_body { Phase::ResponseBody(0) } else { Phase::End };
        let gives_body = rules.bodies_of_held && has_body;
        if !self.step(Callback::ResponseHeaders, id, &[id, announced, u32::from(!has_body)], !gives_body)? {
            self.stream(id)?.response_headers_held = false;
        }
        Ok(())
    }

    fn response_body(&mut self, id: u32, chunk: usize) -> Result<(), Error> {
        let stream = self.stream(id)?;
        let chunks = &stream.exchange.spec.response_body;
        let last = chunk + 1 >= chunks.len();
        let new = chunks.get(chunk).cloned().unwrap_or_default();
        stream.body_in_view.extend(new);
        stream.phase = if last { Phase::End } else { Phase::ResponseBody(chunk + 1) };
        let len = stream.body_in_view.len() as u32;
        let ends = last && stream.exchange.spec.ending == Ending::Whole;
        if !self.step(Callback::ResponseBody, id, &[id, len, u32::from(ends)], last)? || last {
            self.stream(id)?.body_in_view.clear();
        }
        Ok(())
    }

    /// One callback that may pause; tells whether it did. A Pause on a piece of body that is not
    /// the last one only keeps it.
    fn step(&mut self, callback: Callback, id: u32, arguments: &[u32], can_stop: bool) -> Result<bool, Error> {
        let pause = self.call(callback, id, arguments)? == 1;
        let vm = self.vm_mut();
        if vm.rules.is_kong() && vm.dispatched && !pause {
            let message = "a request's callout without Pause".to_owned();
            return Err(self.kill(Trap { callback, kind: TrapKind::WorkerCrash, message }));
        }
        if pause && can_stop {
            self.stream(id)?.paused_at = Some(callback);
        }
        Ok(pause)
    }

    fn end(&mut self, id: u32) -> Result<(), Error> {
        self.stream(id)?.phase = Phase::Over;
        let finished = match self.vm().rules.profile {
            Profile::Envoy => {
                self.call(Callback::Log, id, &[id])?;
                self.call(Callback::Done, id, &[id])? != 0
            }
            Profile::Kong => {
                self.call(Callback::Done, id, &[id])?;
                self.call(Callback::Log, id, &[id])?;
                true
            }
        };
        if finished {
            return self.delete(id);
        }
        self.stream(id)?.draining = true;
        Ok(())
    }
}

/// The form that Envoy gives a local reply to a request whose content type is gRPC's: a 200 without
/// a body.
fn as_grpc(exchange: &Exchange, local: Response) -> Response {
    let content_type = exchange.request.text("content-type").unwrap_or_default();
    match content_type.strip_prefix("application/grpc") {
        Some(rest) if rest.is_empty() || rest.starts_with('+') => {}
        _ => return local,
    }
    let grpc_status = match local.status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    };
    let mut headers = local.headers;
    headers.replace(b"content-type", b"application/grpc");
    headers.add("grpc-status", grpc_status);
    if !local.body.is_empty() {
        headers.add("grpc-message", &local.body);
    }
    Response { status: 200, headers, body: Vec::new(), ..local }
}

fn answer_locally(stream: &mut Stream, local: Response) {
    let spec = &mut stream.exchange.spec;
    spec.status = local.status;
    spec.response_body = if local.body.is_empty() { Vec::new() } else { vec![local.body] };
    spec.upstream = None;
    let mut headers: Headers = [(":status", local.status.to_string())].into_iter().collect();
    headers.0.extend(local.headers.0);
    stream.exchange.response = headers;
    stream.answered_locally = true;
    stream.phase = Phase::ResponseHeaders;
}

/// The module may have changed it.
fn response_status(stream: &Stream) -> u16 {
    let status = stream.exchange.response.text(":status").and_then(|status| status.parse().ok());
    status.unwrap_or(stream.exchange.spec.status)
}

fn exchanged(stream: &Stream) -> Exchanged {
    let response = stream.exchange.response.0.iter().filter(|(name, _)| !name.starts_with(b":"));
    Exchanged {
        stream: stream.id,
        paused_at: stream.paused_at,
        status: response_status(stream),
        headers: Headers(response.cloned().collect()),
        body: stream.exchange.spec.response_body.concat(),
        local: stream.answered_locally,
    }
}
