//! The succession of senders: how the queue comes to one and goes to the next, and what each says
//! of it to the host's gauges and letters. The lease decides.

use std::time::Duration;

use super::lease::{Change, Rank};
use super::ring::Amount;
use super::scan::Scan;
use super::TargetQueue;
use crate::clock::Timestamp;
use crate::metrics::Backlog;

/// Time between two looks at the lease.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Age of a renewal, by the host's clock, from which the lease is checked before something is sent
/// or settled: by then it may be another's. A clock that was set costs a check for nothing.
const STALE_MILLIS: u64 = 2_500;

/// Time without events of its own after which a worker serves no clients.
const QUIET: Duration = Duration::from_secs(60);

/// A change of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// As before.
    Same,
    /// This worker sends from now on; true if the one before did not hand over.
    Begun { of_one_that_is_gone: bool },
    /// This worker does not send any more.
    Ended,
}

impl TargetQueue {
    /// Looks at the lease, once a second or when it is about to change hands.
    #[inline(never)]
    pub(crate) fn tend(&mut self, steady: Timestamp, now: Timestamp) -> Tenure {
        if !self.is_shared() {
            return Tenure::Same;
        }
        let counts = steady >= self.next_look;
        if !counts && !self.tenancy.is_invited() {
            return Tenure::Same;
        }
        if counts {
            self.next_look = steady + SWEEP_INTERVAL;
        }
        self.look_at_lease(counts, steady, now)
    }

    /// Returns true if this worker still holds the lease, which it looks at if it stood still.
    pub(crate) fn check_lease(&mut self, steady: Timestamp, now: Timestamp) -> Tenure {
        if self.is_stale(now) {
            self.look_at_lease(true, steady, now)
        } else {
            Tenure::Same
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        self.tenancy.held().is_some() && self.stood_still(now)
    }

    /// Returns true if this worker has not looked at the lease for longer than it should.
    pub(super) fn stood_still(&self, now: Timestamp) -> bool {
        self.renewed_at != Timestamp(0) && now.0.abs_diff(self.renewed_at.0) >= STALE_MILLIS
    }

    fn rank(&self, now: Timestamp) -> Rank {
        match self.served_at {
            _ if self.is_leaving => Rank::Leaving,
            Some(served_at) if now.since(served_at) < QUIET => Rank::Serving,
            _ => Rank::Idle,
        }
    }

    #[inline(never)]
    fn look_at_lease(&mut self, counts: bool, steady: Timestamp, now: Timestamp) -> Tenure {
        let stood_still = self.is_stale(now);
        self.renewed_at = now;
        let held = self.tenancy.held().map(|lease| lease.reported);
        let mut rank = self.rank(now);
        if held.is_none() && rank == Rank::Idle && self.look_if_down() {
            // The worker that sends goes on, so that the log has one line about it.
            rank = Rank::Serving;
        }
        if self.is_leaving && held.is_none() {
            self.ring.refresh();
        }
        let change = self.tenancy.tend(rank, counts, stood_still);
        self.changed(change, held, steady)
    }

    #[inline(never)]
    fn changed(&mut self, change: Change, held: Option<Amount>, steady: Timestamp) -> Tenure {
        match change {
            Change::Taken { from, of_one_that_is_gone, reported } => {
                self.inherit(reported, 1);
                self.begin(from, steady);
                Tenure::Begun { of_one_that_is_gone }
            }
            Change::Lost => {
                self.inherit(held.unwrap_or_default(), -1);
                Tenure::Ended
            }
            Change::None => Tenure::Same,
        }
    }

    #[inline(never)]
    fn begin(&mut self, from: u64, steady: Timestamp) {
        self.predecessor = from;
        self.ring.refresh();
        self.scan = Scan::begin(self.ring.last(), steady);
        self.stamped_at = steady;
    }

    /// Hands the lease over to the worker that is invited, or to nobody. Call it when nothing is in
    /// flight.
    #[inline(never)]
    pub(crate) fn hand_over(&mut self, steady: Timestamp) {
        self.flush(steady);
        if let Some(lease) = self.tenancy.held() {
            // Of an empty queue this worker brings the gauges down itself.
            let reported = if self.amount().entries == 0 { Amount::default() } else { lease.reported };
            self.tenancy.hand_over(reported);
            self.inherit(reported, -1);
        }
    }

    /// Stays the sender, or becomes it if there is none, only for as long as there is something
    /// queued and nobody else to send it.
    #[inline(never)]
    pub(crate) fn leave(&mut self, steady: Timestamp) -> Tenure {
        self.is_leaving = true;
        self.next_look = Timestamp(0);
        if self.is_sender() {
            self.tenancy.renew(Rank::Leaving, &|_| ());
            return Tenure::Same;
        }
        // A worker that only tries a configuration has never looked, and has had nothing.
        if self.renewed_at == Timestamp(0) && self.served_at.is_none() {
            return Tenure::Same;
        }
        let change = self.tenancy.take_forsaken();
        self.ring.refresh();
        self.changed(change, None, steady)
    }

    /// Returns true if this worker, which leaves, is to wait: something is queued, and no worker
    /// that goes on was seen to send. The one that holds the lease may be gone, by a trap.
    pub(crate) fn awaits_heir(&self) -> bool {
        let is_bystander = self.is_leaving && self.is_shared() && !self.is_sender();
        is_bystander && self.last_seen() > 0 && !self.tenancy.has_heir()
    }

    /// Returns the position from which on this worker is to write letters, because the process may
    /// be ending; `None` if another one does, or has done, for all that there is.
    #[inline(never)]
    pub(crate) fn letters_from(&mut self) -> Option<u64> {
        if !self.is_shared() {
            return Some(0);
        }
        self.ring.refresh()?;
        self.tenancy.letter(self.ring.last().next)
    }

    /// Returns true if a share of the gauges was not taken yet.
    pub(crate) fn has_inherited(&self) -> bool {
        self.inherited != (0, 0)
    }

    /// Writes this queue's share of the gauges to the lease, before it is reported: a successor
    /// takes it back.
    #[inline(never)]
    pub(crate) fn note_reported(&mut self, backlog: Backlog, now: Timestamp) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let reported = Amount { entries: number(backlog.entries), bytes: number(backlog.bytes) };
        if self.tenancy.held().is_some_and(|lease| lease.reported != reported) {
            let rank = self.rank(now);
            self.tenancy.renew(rank, &|lease| lease.reported = reported);
        }
    }

    fn inherit(&mut self, reported: Amount, sign: i64) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX) * sign;
        self.inherited.0 += signed(reported.entries);
        self.inherited.1 += signed(reported.bytes);
    }

    /// Takes the share of the gauges, in entries and bytes, that was taken over or lost since the
    /// last time.
    pub(crate) fn take_inherited(&mut self) -> (i64, i64) {
        std::mem::take(&mut self.inherited)
    }
}
