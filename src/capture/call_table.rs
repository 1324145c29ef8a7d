//! The calls of an intake that are under way: what is in each, and what it holds. Makes none, and
//! reads no reply.

use super::room::Reservation;
use super::{CaptureCall, CaptureId};
use crate::aws::signer::Signature;

/// A call that is under way.
pub(super) struct CallUnderWay {
    pub(super) call: CaptureCall,
    /// The number of its queue.
    pub(super) queue: usize,
    /// Its webhooks, in the order of its entries.
    pub(super) webhooks: Vec<CaptureId>,
    /// Bytes of their messages.
    pub(super) bytes: usize,
    pub(super) signature: Option<Signature>,
    /// Bytes of webhooks whose senders have hung up. The host goes on with the call, and holds what
    /// is in it.
    pub(super) left: Vec<Reservation>,
}

/// All calls that are under way.
#[derive(Default)]
pub(super) struct CallTable {
    /// In the order of their numbers.
    calls: Vec<CallUnderWay>,
    /// Calls that there have been.
    count: u64,
}

impl CallTable {
    /// Returns the number of the next call.
    pub(super) fn next(&mut self) -> CaptureCall {
        self.count += 1;
        CaptureCall(self.count)
    }

    /// Adds the call whose number was the last.
    pub(super) fn add(&mut self, call: CallUnderWay) {
        self.calls.push(call);
    }

    /// Returns a call.
    pub(super) fn get(&self, call: CaptureCall) -> Option<&CallUnderWay> {
        self.calls.get(self.find(call)?)
    }

    /// Returns a call that is to change.
    pub(super) fn get_mut(&mut self, call: CaptureCall) -> Option<&mut CallUnderWay> {
        let position = self.find(call)?;
        self.calls.get_mut(position)
    }

    /// Takes a call out that is over.
    pub(super) fn take(&mut self, call: CaptureCall) -> Option<CallUnderWay> {
        let position = self.find(call)?;
        Some(self.calls.remove(position))
    }

    #[inline(never)]
    fn find(&self, call: CaptureCall) -> Option<usize> {
        self.calls.binary_search_by_key(&call, |under_way| under_way.call).ok()
    }

    /// Returns all calls.
    #[cfg(test)]
    pub(super) fn all(&self) -> &[CallUnderWay] {
        &self.calls
    }
}
