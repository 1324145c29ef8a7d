//! The clock, and what comes with time: ticks, replies, and the host's own patience running out.

use std::time::Duration;

use super::Host;
use crate::callback::Callback;
use crate::callout::{FailureKind, Reply, Response};
use crate::contexts::Context;
use crate::error::Error;
use crate::exchange::nanos;

enum Event {
    /// A timer of this root.
    Tick(u32),
    /// The host gives up on this callout.
    TimedOut(u32),
}

impl Host {
    /// Moves the clock, and on the way fires every tick and every timeout of a callout that falls
    /// due, in order.
    pub fn advance(&mut self, by: Duration) -> Result<(), Error> {
        self.pass(by, true)
    }

    /// Lets time pass with its ticks, in which the host forgets that calls have timeouts.
    pub fn advance_without_timeouts(&mut self, by: Duration) -> Result<(), Error> {
        self.pass(by, false)
    }

    fn pass(&mut self, by: Duration, with_timeouts: bool) -> Result<(), Error> {
        let until = self.vm().now.saturating_add(nanos(by));
        while let Some((at, event)) = self.next_event(with_timeouts).filter(|(at, _)| *at <= until) {
            let vm = self.vm_mut();
            vm.now = vm.now.max(at);
            match event {
                Event::Tick(root) => self.tick(root, at)?,
                Event::TimedOut(token) => self.fail(token, FailureKind::Timeout)?,
            }
        }
        self.vm_mut().now = until;
        Ok(())
    }

    /// Moves the clock without any timer firing: the process was stopped.
    pub fn skip(&mut self, by: Duration) {
        let vm = self.vm_mut();
        vm.now = vm.now.saturating_add(nanos(by));
    }

    /// Sets the clock forward, or back. Timers do not go by it, as on both hosts.
    pub fn set_clock(&mut self, by_millis: i64) {
        let set = |time: &mut u64| *time = time.saturating_add_signed(by_millis.saturating_mul(1_000_000));
        let vm = self.vm_mut();
        set(&mut vm.now);
        for context in vm.contexts.values_mut() {
            if let Context::Root(root) = context {
                root.timers.iter_mut().for_each(set);
            }
        }
        vm.pending.iter_mut().filter_map(|pending| pending.deadline.as_mut()).for_each(set);
    }

    fn next_event(&self, with_timeouts: bool) -> Option<(u64, Event)> {
        let roots = self.vm().contexts.values().filter_map(Context::as_root);
        let ticks = roots.flat_map(|root| root.timers.iter().map(|at| (*at, Event::Tick(root.id))));
        let open = self.vm().pending.iter().filter(|pending| with_timeouts && !pending.answered);
        let timeouts = open.filter_map(|pending| Some((pending.deadline?, Event::TimedOut(pending.callout.token))));
        // Between two at the same time the earlier in this list: a timeout before a tick.
        timeouts.chain(ticks).min_by_key(|(at, _)| *at)
    }

    fn tick(&mut self, id: u32, at: u64) -> Result<(), Error> {
        let kong = self.vm().rules.is_kong();
        let Some(root) = self.vm_mut().root_mut(id) else { return Ok(()) };
        // The next one is counted from now, as both hosts do, and not from when this one was due.
        if let Some(position) = root.timers.iter().position(|timer| *timer == at) {
            root.timers.remove(position);
        }
        if !kong {
            root.timers.push(at.saturating_add(root.tick.max(1)));
        }
        let outcome = self.call(Callback::Tick, id, &[id]);
        // nginx sets a timer again when its tick is over, by the period that the root has then, if
        // it has one.
        if let Some(root) = self.vm_mut().root_mut(id).filter(|root| kong && root.tick != 0) {
            root.timers.push(at.saturating_add(root.tick));
        }
        outcome?;
        self.settle()
    }

    /// Answers a callout. A second answer to the same one is delivered too: a test may want to see
    /// what comes of it.
    pub fn respond(&mut self, token: u32, response: Response) -> Result<(), Error> {
        let reply = Reply::proper(self.vm().rules.profile, response);
        self.deliver(token, Some(reply))
    }

    /// Tells that a callout came to nothing, in this host's words; Kong 3.8 tells nothing.
    pub fn fail(&mut self, token: u32, kind: FailureKind) -> Result<(), Error> {
        let reply = Reply::failed(&self.vm().rules, kind);
        self.deliver(token, reply)
    }

    fn deliver(&mut self, token: u32, reply: Option<Reply>) -> Result<(), Error> {
        let vm = self.vm_mut();
        let unknown = || Error::Misused(format!("there is no callout {token}; its root may be gone"));
        let pending = vm.pending.iter_mut().find(|pending| pending.callout.token == token).ok_or_else(unknown)?;
        pending.answered = true;
        if pending.taken {
            // Thousands of them would be kept for nothing but their tokens.
            pending.callout.body = Vec::new();
        }
        let (context, root) = (pending.callout.context, pending.root);
        let Some(reply) = reply else { return Ok(()) };
        // On Envoy every callout is the root's. Kong makes the callback in the context that called
        // out, but names its root.
        let called = if vm.rules.is_kong() && vm.contexts.contains_key(&context) { context } else { root };
        let (headers, body) = (reply.announced_headers as u32, reply.announced_body as u32);
        vm.reply = Some(reply);
        let outcome = self.call(Callback::CallResponse, called, &[root, token, headers, body, 0]);
        self.vm_mut().reply = None;
        outcome?;
        self.resume_after(context);
        self.settle()
    }

    /// Kong lets a request go on by itself once its last callout is answered.
    fn resume_after(&mut self, context: u32) {
        if self.vm().rules.is_kong() && !self.waits_for_a_call(context) {
            if let Some(stream) = self.vm_mut().stream_mut(context) {
                stream.continued = true;
            }
        }
    }
}
