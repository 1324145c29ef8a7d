//! One event for an exchange that several filters see: the HTTP filter and the access logger of one
//! Envoy, or two filters with one configuration in a chain. The first one makes the event.
//!
//! Filters of one VM share what they have published, which costs no call to the host. Those of
//! different VMs share nothing; an exchange now and then carries a mark, by which the log says that
//! its events are made twice. Never decides which exchange becomes an event.

use std::cell::{Cell, RefCell};

use super::hostcalls;
use crate::clock::Timestamp;
use crate::notice::Level;

/// How often an exchange is marked for the filters of other VMs, and looked for: often enough to be
/// seen soon, and so seldom that it costs nothing.
const MARK_PERIOD_MILLIS: u64 = 10_000;

/// Exchanges of a period that are looked at until one has a mark. The first to begin has it, and
/// need not be the first to end.
const MOST_LOOKS: u32 = 32;

thread_local! {
    /// What the filters of this VM have published.
    static PUBLISHED: RefCell<Published> = const { RefCell::new(Published::new()) };
}

/// Returns a hash of all that tells one thing from another: FNV-1a of 64 bits. A client
/// that makes two of its own collide, out of its address and the moment, has one event of both.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Exchanges that became events, by the hash that tells one from another, and the events that they
/// became.
///
/// All filters log an exchange in one call of the host, so the last one is enough; except for those
/// whose events are made before they are over.
struct Published {
    /// A random name of this VM.
    vm: Option<u64>,
    last: u64,
    events: Vec<u64>,
    /// Exchanges that are not over, each with the event that it became; in order.
    open: Vec<(u64, u64)>,
}

impl Published {
    const fn new() -> Published {
        Published { vm: None, last: 0, events: Vec::new(), open: Vec::new() }
    }

    /// Notes that `exchange` becomes `event`. Returns false if it did already.
    fn add(&mut self, exchange: u64, event: u64) -> bool {
        if self.last != exchange {
            self.last = exchange;
            self.events.clear();
        }
        let is_first = !self.events.contains(&event) && self.open.binary_search(&(exchange, event)).is_err();
        if is_first {
            self.events.push(event);
        }
        is_first
    }
}

/// An exchange whose event was made before it is over. It is remembered as long as this lives.
pub(crate) struct OpenExchange(u64, u64);

impl OpenExchange {
    /// Remembers that `exchange` has become `event`, unless another filter does already.
    pub(crate) fn of(exchange: u64, event: u64) -> Option<OpenExchange> {
        PUBLISHED.with_borrow_mut(|published| {
            let place = published.open.binary_search(&(exchange, event)).err()?;
            published.open.insert(place, (exchange, event));
            Some(OpenExchange(exchange, event))
        })
    }
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        PUBLISHED.with_borrow_mut(|published| {
            if let Ok(place) = published.open.binary_search(&(self.0, self.1)) {
                published.open.remove(place);
            }
        });
    }
}

/// Returns a random name of this VM.
pub(crate) fn name_of_vm() -> u64 {
    PUBLISHED.with_borrow_mut(|published| {
        *published.vm.get_or_insert_with(|| getrandom::u64().unwrap_or_else(|_| hostcalls::now().0))
    })
}

/// One filter among those that may see the same exchanges.
pub(crate) struct Once {
    /// The property of an exchange that filters of other VMs see, if the gateway has such.
    property: Option<&'static str>,
    /// The value of that property: the name of this VM, and hashes of the events that are made here.
    mark: Vec<u8>,
    /// The time as a number of periods.
    period: Cell<u64>,
    marks_next: Cell<bool>,
    looks_left: Cell<u32>,
    has_warned: Cell<bool>,
}

impl Once {
    /// Creates a filter that makes events of these hashes, in the VM of this name.
    pub(crate) fn new(property: Option<&'static str>, events: impl Iterator<Item = u64>, vm: u64) -> Once {
        Once {
            property,
            mark: std::iter::once(vm).chain(events).flat_map(u64::to_le_bytes).collect(),
            period: Cell::new(0),
            marks_next: Cell::new(true),
            looks_left: Cell::new(MOST_LOOKS),
            has_warned: Cell::new(false),
        }
    }

    /// Marks the next exchange, and looks for such a mark, if the time for that has come. Called at
    /// each tick. Filters that see the same exchanges have the same periods.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let period = now.0 / MARK_PERIOD_MILLIS;
        if self.period.replace(period) != period {
            self.marks_next.set(true);
            self.looks_left.set(MOST_LOOKS);
        }
    }

    /// Marks the exchange that has just begun, once in a period.
    pub(crate) fn mark(&self) {
        if let (Some(property), true) = (self.property, self.marks_next.take()) {
            hostcalls::set_property(property, &self.mark);
        }
    }

    /// Returns true if no other filter of this VM has made `event` of `exchange`. Says so in the log
    /// the first time that one has, or that one of another VM does.
    pub(crate) fn admits(&self, exchange: Option<u64>, began: Option<Timestamp>, event: u64) -> bool {
        self.look_for_mark(began, event);
        let is_first =
            exchange.is_none_or(|exchange| PUBLISHED.with_borrow_mut(|published| published.add(exchange, event)));
        if !is_first {
            self.warn("an exchange came to two filters, and is one event, of the first: leave the other one out");
        }
        is_first
    }

    /// Looks for the mark of a filter in another VM on an exchange that `began` in this period; an
    /// earlier one has none of this period.
    fn look_for_mark(&self, began: Option<Timestamp>, event: u64) {
        let (Some(property), left @ 1..) = (self.property, self.looks_left.get()) else { return };
        if began.is_some_and(|began| began.0 / MARK_PERIOD_MILLIS < self.period.get()) {
            return;
        }
        let mark = hostcalls::property(property);
        self.looks_left.set(if mark.is_some() { 0 } else { left - 1 });
        if mark.is_some_and(|mark| self.makes_twice(&mark, event)) {
            self.warn(
                "the event of this exchange is published TWICE, by two filters in two VMs: leave one out, or give both one \
                 `vm_id` and one `vm_config`",
            );
        }
    }

    /// Returns true if `mark` is that of another VM in which `event` is made, too.
    fn makes_twice(&self, mark: &[u8], event: u64) -> bool {
        let mut mark = mark.chunks_exact(8);
        mark.next() != self.mark.get(..8) && mark.any(|made| made == event.to_le_bytes())
    }

    fn warn(&self, text: &str) {
        if !self.has_warned.replace(true) {
            hostcalls::log(Level::Warn, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_becomes_an_event_once_and_another_event_as_well() {
        let mut published = Published::new();
        assert!(published.add(1, 7) && !published.add(1, 7) && published.add(1, 8) && !published.add(1, 8));
        assert!(published.add(2, 7) && !published.add(2, 7));
    }

    #[test]
    fn an_exchange_whose_event_was_early_is_remembered_to_its_end() {
        let add = |exchange, event| PUBLISHED.with_borrow_mut(|published| published.add(exchange, event));
        assert!(add(1, 7));
        let open = OpenExchange::of(1, 7).unwrap();
        assert!(OpenExchange::of(1, 7).is_none(), "another filter has it");
        for other in 2..100 {
            assert!(add(other, 7));
        }
        assert!(!add(1, 7) && add(1, 8));
        drop(open);
        assert!(add(2, 7) && add(1, 7));
    }

    #[test]
    fn a_mark_is_another_vm_s_if_its_name_differs_and_then_its_events_count() {
        let filter = Once::new(None, [7, 8].into_iter(), 1);
        let own = filter.mark.clone();
        let mut other = own.clone();
        other[0] ^= 1;
        assert!(!filter.makes_twice(&own, 7));
        assert!(filter.makes_twice(&other, 7) && filter.makes_twice(&other, 8) && !filter.makes_twice(&other, 9));
        assert!(!filter.makes_twice(b"", 7) && !filter.makes_twice(b"odd", 7));
    }
}
