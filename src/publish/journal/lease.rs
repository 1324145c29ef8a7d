//! Leases of segments: which journal holds a segment, and how it changes hands. Never reads or
//! writes a slot.
//!
//! The holder of a segment renews its lease every second, and each renewal has a new version. A
//! change names the version that it replaces, so that one of several that try at once succeeds.

use std::rc::Rc;

use crate::clock::Timestamp;

use super::encoding::{Decoder, Encoder};
use super::keys::{Keys, MAX_SEGMENTS, MAX_SLOTS};
use super::store::Store;

/// Slots of a segment at first; then their number doubles.
const FIRST_SLOTS: u32 = 64;

/// The lease of a segment, as it stands in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The journal that holds the segment; zero if it is free.
    pub(crate) owner: u64,
    /// Number of slots: events are below it.
    pub(crate) slots: u32,
    /// When it was renewed last, by the segment's own time.
    pub(crate) renewed_at: Timestamp,
    /// Share of the host's gauges that the owner has reported for its queue.
    pub(crate) reported: GaugeShare,
}

/// Share of one queue in gauges that are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GaugeShare {
    /// Events.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Lease {
    /// Returns the lease with more slots; `None` if it has as many as there may be.
    pub(crate) fn grown(self) -> Option<Lease> {
        let slots = (self.slots * 2).clamp(FIRST_SLOTS, MAX_SLOTS);
        (slots > self.slots).then_some(Lease { slots, ..self })
    }

    fn encode(self, key: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(key, 40);
        encoder.number(self.owner).number(self.slots.into()).number(self.renewed_at.0);
        encoder.number(self.reported.entries).number(self.reported.bytes);
        encoder.finish()
    }

    /// Reads the lease under `key`; `None` if the value is another key's.
    fn decode(key: &[u8], value: &[u8]) -> Option<Lease> {
        let mut decoder = Decoder::new(key, value)?;
        let (owner, slots) = (decoder.number()?, u32::try_from(decoder.number()?).ok()?);
        let renewed_at = Timestamp(decoder.number()?);
        let reported = GaugeShare { entries: decoder.number()?, bytes: decoder.number()? };
        Some(Lease { owner, slots: slots.min(MAX_SLOTS), renewed_at, reported })
    }
}

/// The leases of one target, as one owner reads and writes them.
pub(crate) struct Leases {
    store: Rc<dyn Store>,
    keys: Rc<Keys>,
    owner: u64,
}

impl Leases {
    /// Creates the view of `owner`, which is not zero.
    pub(crate) fn new(store: Rc<dyn Store>, keys: Rc<Keys>, owner: u64) -> Leases {
        Leases { store, keys, owner }
    }

    /// Iterates over the leases of all segments with an owner, each with its segment and its
    /// version.
    pub(crate) fn held(&self) -> impl Iterator<Item = (u32, Lease, u32)> + '_ {
        let values = (0..MAX_SEGMENTS).map_while(|segment| {
            let key = self.keys.lease(segment);
            let (value, version) = self.store.get(&key)?;
            Some(Lease::decode(&key, &value).map(|lease| (segment, lease, version)))
        });
        values.flatten().filter(|(_, lease, _)| lease.owner != 0)
    }

    /// Acquires a free segment, whose own time begins at `now`; `None` if the store takes no lease.
    pub(crate) fn acquire(&self, now: Timestamp) -> Option<(u32, Lease)> {
        for segment in 0..MAX_SEGMENTS {
            let key = self.keys.lease(segment);
            let lease = Lease { owner: self.owner, renewed_at: now, ..Lease::default() };
            let acquired = match self.store.get(&key) {
                None => {
                    let created = self.store.create(&key, &lease.encode(&key));
                    if !created && self.store.get(&key).is_none() {
                        // Nobody was faster: the store takes nothing.
                        return None;
                    }
                    created
                }
                Some((value, version)) => match Lease::decode(&key, &value) {
                    Some(Lease { owner: 0, .. }) => self.store.replace(&key, &lease.encode(&key), version),
                    _ => false,
                },
            };
            if acquired {
                return Some((segment, lease));
            }
        }
        None
    }

    /// Takes over a lease that [`Leases::held`] gave with `version`; `None` if it has changed
    /// since.
    pub(crate) fn take_over(&self, segment: u32, lease: Lease, version: u32) -> Option<Lease> {
        let key = self.keys.lease(segment);
        let lease = Lease { owner: self.owner, ..lease };
        self.store.replace(&key, &lease.encode(&key), version).then_some(lease)
    }

    /// Writes the lease of a segment that this owner holds; returns `false` if another one holds it
    /// by now.
    pub(crate) fn renew(&self, segment: u32, lease: Lease) -> bool {
        let key = self.keys.lease(segment);
        match self.store.get(&key) {
            // A full store may have evicted it.
            None => self.store.create(&key, &lease.encode(&key)),
            Some((value, version)) => {
                Lease::decode(&key, &value).is_some_and(|current| current.owner == self.owner)
                    && self.store.replace(&key, &lease.encode(&key), version)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written_and_only_under_its_key() {
        let lease =
            Lease { owner: 7, slots: 64, renewed_at: Timestamp(9), reported: GaugeShare { entries: 3, bytes: 300 } };
        let value = lease.encode(b"key");
        assert_eq!(Lease::decode(b"key", &value), Some(lease));
        assert_eq!((Lease::decode(b"other", &value), Lease::decode(b"key", b"")), (None, None));
    }

    #[test]
    fn a_segment_grows_to_its_bound_and_no_further() {
        let sizes = std::iter::successors(Some(Lease::default()), |lease| lease.grown()).map(|lease| lease.slots);
        let sizes: Vec<_> = sizes.collect();
        assert_eq!((&sizes[..3], sizes.last()), (&[0, 64, 128][..], Some(&MAX_SLOTS)));
    }
}
