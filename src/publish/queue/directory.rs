//! The directory of targets in the store: the targets that have queues, so that their events are
//! found also where no worker knows their target any more. Never reads an entry.
//!
//! A worker lists a target before it appends to its queue. Workers with that target claim
//! it every few seconds: each claim gives the entry a new version. An entry that sixty sweeps find
//! unchanged is unclaimed. Sweeps are counted here, too, and times are not compared.
//!
//! Keys cannot be removed, so entries are numbered from zero, and an empty one is used again.

use std::rc::Rc;

use super::entry::{Decoder, Encoder};
use super::keys::Keys;
use super::store::Store;

/// Targets that are listed at most, far more than a configuration has: one sweep looks at all.
pub(crate) const MAX_TARGETS: u32 = 256;

/// Sweeps that find an entry unchanged before a worker claims it: whichever is first does it for
/// all.
const SWEEPS_TO_CLAIM: u32 = 10;

/// Sweeps that find an entry unchanged before it counts as unclaimed. Until then a configuration
/// that comes back finds what it has left.
pub(crate) const SWEEPS_TO_UNCLAIMED: u32 = 60;

/// Bytes that an entry has for a name. AWS has none that is longer with its service and region.
const NAME_BYTES: usize = 640;

/// An entry, as the last sweep found it.
struct EntrySighting {
    /// The name of the target; empty if the entry is free.
    name: String,
    version: u32,
    /// Sweeps that found this version again.
    unchanged: u32,
}

/// The directory, as one worker sees it.
pub(crate) struct Directory {
    store: Rc<dyn Store>,
    keys: Keys,
    /// One for each entry, in their order.
    sightings: Vec<EntrySighting>,
}

impl Directory {
    /// Opens the directory of a store.
    pub(crate) fn new(store: Rc<dyn Store>) -> Directory {
        Directory { store, keys: Keys::new(&["targets"]), sightings: Vec::new() }
    }

    /// Returns the name in an entry, and its version; no name if the value is another key's.
    #[inline(never)]
    fn read(&self, entry: u32) -> Option<(Option<String>, u32)> {
        let key = self.keys.numbered(entry);
        let (value, version) = self.store.get(&key)?;
        Some((Decoder::new(&key, &value).and_then(|mut decoder| Some(decoder.text()?.trim_end().to_owned())), version))
    }

    /// Writes an entry; `version` is that of the value before, if there was one.
    #[inline(never)]
    fn write(&self, entry: u32, name: &str, version: Option<u32>) -> bool {
        let key = self.keys.numbered(entry);
        // A name is never replaced by a longer one: all of them have the same room.
        let mut encoder = Encoder::new(&key, NAME_BYTES + 4);
        encoder.text(&format!("{name:NAME_BYTES$}"));
        let value = encoder.finish();
        match version {
            Some(version) => self.store.replace(&key, &value, version).is_some(),
            None => self.store.create(&key, &value),
        }
    }

    /// Lists a target and claims it. Without room, or where the store takes nothing, it is not
    /// listed.
    #[inline(never)]
    pub(crate) fn list(&self, name: &str) {
        for entry in 0..MAX_TARGETS {
            let version = match self.read(entry) {
                None => None,
                Some((Some(listed), version)) if listed.is_empty() || listed == name => Some(version),
                Some(_) => continue,
            };
            if self.write(entry, name, version) {
                return;
            }
            // Another worker was faster, perhaps with this target, or the store takes nothing.
            match self.read(entry) {
                Some((Some(listed), _)) if listed != name => {}
                _ => return,
            }
        }
    }

    /// Looks at every entry, and claims the targets that `claims` says yes to: at first sight, and
    /// when they have not been claimed for a while.
    pub(crate) fn sweep(&mut self, claims: impl Fn(&str) -> bool) {
        let mut before = std::mem::take(&mut self.sightings).into_iter();
        for entry in 0..MAX_TARGETS {
            let Some((name, version)) = self.read(entry) else { break };
            let name = name.unwrap_or_default();
            let known = before.next().filter(|known| known.name == name);
            let is_new = known.is_none();
            let unchanged = known.filter(|known| known.version == version).map_or(0, |known| known.unchanged + 1);
            if (is_new || unchanged >= SWEEPS_TO_CLAIM) && claims(&name) {
                self.write(entry, &name, Some(version));
            }
            self.sightings.push(EntrySighting { name, version, unchanged });
        }
    }

    /// Returns true if the last sweep found a target.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sightings.iter().any(|sighting| sighting.name == name)
    }

    /// Iterates over the targets that nobody has claimed for so long that nobody has them.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = &str> {
        let names = self.sightings.iter().filter(|sighting| sighting.unchanged >= SWEEPS_TO_UNCLAIMED);
        names.map(|sighting| sighting.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Frees the entry of an unclaimed target, unless it was claimed since the last sweep.
    pub(crate) fn strike(&mut self, name: &str) {
        for entry in 0..MAX_TARGETS {
            // One that a worker has claimed may have events again.
            let is_unclaimed =
                |sighting: &&mut EntrySighting| sighting.name == name && sighting.unchanged >= SWEEPS_TO_UNCLAIMED;
            let sighting = self.sightings.get_mut(entry as usize).filter(is_unclaimed);
            if let Some(EntrySighting { version, unchanged, .. }) = sighting {
                *unchanged = 0;
                let version = *version;
                self.write(entry, "", Some(version));
            }
        }
    }
}
