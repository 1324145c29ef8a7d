//! The room of an intake: how many webhooks may be under way, and how many bytes, in all and for
//! each queue. What there is no room for is refused at its head. Keeps no webhook.

use super::answers::Refusal;
use super::shares::Shares;
use super::{Capture, Captures, IntakeSettings};
use crate::aws::target::Target;

/// Requests that are not whole yet, at most. Ticks end 1,280 a second (32, every 25 ms), so that
/// this many that fall silent together are gone within five seconds, which is how long a sender may
/// be silent by default.
const RECEIVING_AT_ONCE: usize = 6_000;

/// Bytes that a request takes in the filter beside its path and its body: its entries in the tables
/// here, and its context.
const REQUEST_BYTES: usize = 1_024;

/// Announced or actual size of a request.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of the head that are kept until the request is whole.
    pub head: usize,
    /// Bytes of the body, where the sender says how many there will be.
    pub body: Option<u64>,
}

/// The room of one webhook. It is to be given back.
#[derive(Debug)]
pub(super) struct Reservation {
    queue: usize,
    bytes: usize,
    head: usize,
    place: HeldPlace,
}

/// The place that a webhook takes beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldPlace {
    /// One of those that are not whole yet.
    Receiving,
    /// One of those that are being stored.
    Storing,
    /// None: its sender is gone, and only a call has it still.
    None,
}

impl Reservation {
    /// Returns the number of the queue in whose room it is.
    pub(super) fn queue(&self) -> usize {
        self.queue
    }
}

/// The room that there is.
#[derive(Debug)]
pub(super) struct Room {
    /// The numbers of the queues of each capture, in the order of the configuration: of what is
    /// verified, and of what is not.
    numbers: Vec<[usize; 2]>,
    /// The queues, in the order of their numbers.
    targets: Vec<Target>,
    receiving: Shares,
    storing: Shares,
    bytes: Shares,
}

impl Room {
    /// Creates the room for what goes to the queues of these captures.
    pub(super) fn new(captures: &Captures, settings: &IntakeSettings) -> Room {
        let mut targets: Vec<&Target> = Vec::new();
        for target in captures.targets() {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let number = |target: &Target| targets.iter().position(|known| *known == target).unwrap_or(usize::MAX);
        let numbers = |capture: &Capture| [false, true].map(|unverified| number(capture.target(unverified)));
        Room {
            receiving: Shares::new(RECEIVING_AT_ONCE, targets.len()),
            storing: Shares::new(settings.at_once, targets.len()),
            bytes: Shares::new(settings.max_bytes, targets.len()),
            numbers: captures.all.iter().map(numbers).collect(),
            targets: targets.into_iter().cloned().collect(),
        }
    }

    /// Returns the queues in the order of their numbers.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Returns the queue of this number.
    pub(super) fn target(&self, queue: usize) -> Option<&Target> {
        self.targets.get(queue)
    }

    /// Returns the number of the queue of a webhook of the capture at `position`.
    #[inline(never)]
    pub(super) fn queue(&self, position: usize, unverified: bool) -> usize {
        let number = self.numbers.get(position).map(|[usual, other]| if unverified { *other } else { *usual });
        number.unwrap_or(usize::MAX)
    }

    /// Takes the room of a request for the capture at `position`, whose head has come. A request is
    /// refused here already if it could not be stored now.
    pub(super) fn admit(&mut self, position: usize, size: Size) -> Result<Reservation, Refusal> {
        let queue = self.queue(position, false);
        let head = size.head.saturating_add(REQUEST_BYTES);
        let body = size.body.map_or(0, |body| usize::try_from(body).unwrap_or(usize::MAX));
        let bytes = head.saturating_add(body);
        if !self.storing.has(queue, 1) {
            return Err(Refusal::Busy);
        }
        if !self.bytes.has(queue, bytes) {
            return Err(Refusal::NoMemory);
        }
        if !self.receiving.take(queue, 1) {
            return Err(Refusal::Crowded);
        }
        self.bytes.take(queue, bytes);
        Ok(Reservation { queue, bytes, head, place: HeldPlace::Receiving })
    }

    /// Takes more room for a request of whose body so much has come.
    pub(super) fn receive(&mut self, held: &mut Reservation, body: usize) -> Result<(), Refusal> {
        let bytes = held.head.saturating_add(body).max(held.bytes);
        self.resize(held, bytes)
    }

    /// Returns true if a request that is whole can be stored now.
    pub(super) fn has_place(&self, held: &Reservation) -> bool {
        self.storing.has(held.queue, 1)
    }

    /// Moves a request that is whole to those that are stored, in the room of the queue that it
    /// turns out to go to. Its message takes so much.
    pub(super) fn store(&mut self, held: &mut Reservation, queue: usize, message: usize) -> Result<(), Refusal> {
        if held.place != HeldPlace::Receiving || !self.storing.has(queue, 1) {
            return Err(Refusal::Busy);
        }
        let bytes = message.saturating_add(REQUEST_BYTES);
        if queue == held.queue {
            self.resize(held, bytes)?;
        } else {
            if !self.bytes.take(queue, bytes) {
                return Err(Refusal::NoMemory);
            }
            self.bytes.give_back(held.queue, held.bytes);
            held.bytes = bytes;
        }
        self.receiving.give_back(held.queue, 1);
        self.storing.take(queue, 1);
        held.queue = queue;
        held.place = HeldPlace::Storing;
        Ok(())
    }

    #[inline(never)]
    fn resize(&mut self, held: &mut Reservation, bytes: usize) -> Result<(), Refusal> {
        if !self.bytes.take(held.queue, bytes.saturating_sub(held.bytes)) {
            return Err(Refusal::NoMemory);
        }
        self.bytes.give_back(held.queue, held.bytes.saturating_sub(bytes));
        held.bytes = bytes;
        Ok(())
    }

    /// Takes back the place of a webhook that is being stored and whose sender is gone. Its bytes
    /// stay until its call is over, because the host holds them as long.
    pub(super) fn leave(&mut self, held: &mut Reservation) {
        self.storing.give_back(held.queue, 1);
        held.place = HeldPlace::None;
    }

    /// Takes back the room of a webhook that is over.
    #[inline(never)]
    pub(super) fn give_back(&mut self, held: &Reservation) {
        match held.place {
            HeldPlace::Receiving => self.receiving.give_back(held.queue, 1),
            HeldPlace::Storing => self.storing.give_back(held.queue, 1),
            HeldPlace::None => {}
        }
        self.bytes.give_back(held.queue, held.bytes);
    }

    /// Returns what is used: places of requests that are not whole, of those that are stored, and
    /// bytes.
    #[cfg(test)]
    pub(super) fn used(&self) -> (usize, usize, usize) {
        (self.receiving.used(), self.storing.used(), self.bytes.used())
    }
}

#[cfg(test)]
impl Reservation {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
