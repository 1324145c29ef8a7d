//! The row of an entry: what an outbox knows of it while it sends it. Never has its event.

use crate::clock::Timestamp;
use crate::publish::queue::EntryPlace;

use super::waits::Ticket;

/// The origin of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowSource {
    /// The queue of the target, as its sender.
    Queue,
    /// The queue of the target, where this worker has claimed it for itself.
    Own,
    /// This worker's memory, because the store did not take it.
    Spare,
}

/// Row of an entry.
#[derive(Debug)]
pub(super) struct Row {
    /// The time when it was queued.
    pub(super) queued_at: Timestamp,
    /// The time from which on it may be sent; of one that another worker has, when that one counts
    /// as gone.
    pub(super) not_before: Timestamp,
    /// Its number in the order.
    pub(super) sequence: u64,
    /// The place of the entry.
    pub(super) place: EntryPlace,
    /// Hash of its group; zero where order does not matter.
    pub(super) group: u64,
    /// Where it was refused for what somebody has to mend, the calls that the target had taken
    /// before that. It then waits for its own time, whatever becomes of others.
    pub(super) aside: Option<u32>,
    /// The response that waits for it.
    pub(super) ticket: Option<Ticket>,
    /// Its bytes.
    pub(super) size: u32,
    /// The version of its slot, once it is claimed.
    pub(super) version: u32,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// The origin of the entry.
    pub(super) source: RowSource,
    /// True if it is sent in a batch of its own.
    pub(super) alone: bool,
    /// True if its client got a 503 instead of its response: it is not tried again.
    pub(super) withdrawn: bool,
    /// True if some worker watches for its end.
    pub(super) watched: bool,
    /// True if another worker had claimed it, at its version.
    pub(super) elsewhere: bool,
    /// True if a response waits for it in another worker.
    pub(super) urgent: bool,
    /// True if later entries of its group wait for it.
    pub(super) holds_group: bool,
}

/// A row in a box, so that a move between lines and batches is the move of a pointer.
pub(super) type Queued = Box<Row>;

impl Row {
    /// Makes the row of an entry that may be sent at once.
    #[inline(never)]
    pub(super) fn new(place: EntryPlace, source: RowSource, group: u64, size: usize, queued_at: Timestamp) -> Queued {
        Box::new(Row {
            queued_at,
            not_before: queued_at,
            sequence: sequence(place.order, source),
            place,
            group,
            aside: None,
            ticket: None,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            version: 0,
            attempts: 0,
            source,
            alone: false,
            withdrawn: false,
            watched: false,
            elsewhere: false,
            urgent: false,
            holds_group: false,
        })
    }

    /// Returns its bytes.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

/// Returns the place in the order of an index: what the store did not take is behind all else.
pub(super) fn sequence(order: u64, source: RowSource) -> u64 {
    match source {
        RowSource::Queue | RowSource::Own => order,
        RowSource::Spare => order | 1 << 63,
    }
}
