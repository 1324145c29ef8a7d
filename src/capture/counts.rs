//! Counts of the intake between two visits, and the metrics that they become. Decides nothing.

use super::answers::Refusal;
use crate::callout::Reply;
use crate::metrics::{CalloutCounts, Metric, Updates};

/// Counts since the last visit.
#[derive(Debug, Default)]
pub(super) struct IntakeCounts {
    /// Webhooks that the queue has.
    stored: u64,
    /// Milliseconds from the end of a webhook to the answer that it is stored, for each.
    stored_millis: Vec<u64>,
    /// Webhooks that go to the queue although their signature is not good.
    unverified: u64,
    /// Challenges, which are answered and not stored.
    challenged: u64,
    /// Attempts that failed and are made again.
    retried: u64,
    /// Webhooks whose sender hung up before the answer.
    abandoned: u64,
    refused: Refused,
    callouts: CalloutCounts,
}

/// Webhooks that were refused, by reason.
#[derive(Debug, Default)]
struct Refused {
    busy: u64,
    crowded: u64,
    no_memory: u64,
    too_large: u64,
    silent: u64,
    slow: u64,
    unreadable: u64,
    unverified: u64,
    unstored: u64,
    misspelled: u64,
}

impl IntakeCounts {
    /// Counts a webhook that is stored, and was whole `millis` ago.
    pub(super) fn stored(&mut self, millis: u64) {
        self.stored += 1;
        self.stored_millis.push(millis);
    }

    /// Counts a webhook that goes to the queue although its signature is not good.
    pub(super) fn unverified(&mut self) {
        self.unverified += 1;
    }

    /// Counts a challenge.
    pub(super) fn challenged(&mut self) {
        self.challenged += 1;
    }

    /// Counts an attempt that is made again.
    pub(super) fn retried(&mut self) {
        self.retried += 1;
    }

    /// Counts a webhook whose sender hung up before the answer.
    pub(super) fn abandoned(&mut self) {
        self.abandoned += 1;
    }

    /// Counts a webhook that is refused.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        let Refused { busy, crowded, no_memory, too_large, silent, slow, unreadable, unverified, unstored, misspelled } =
            &mut self.refused;
        let count = match refusal {
            Refusal::Busy => busy,
            Refusal::Crowded => crowded,
            Refusal::NoMemory => no_memory,
            Refusal::TooLarge => too_large,
            Refusal::Silent => silent,
            Refusal::Slow => slow,
            Refusal::Unreadable => unreadable,
            Refusal::Unverified => unverified,
            Refusal::Unstored => unstored,
            Refusal::Misspelled => misspelled,
        };
        *count += 1;
    }

    /// Counts a call by its reply.
    pub(super) fn replied(&mut self, reply: &Reply) {
        self.callouts.count(reply);
    }

    /// Reports what was counted since the last visit.
    pub(super) fn visit(&mut self, updates: &mut Updates) {
        let IntakeCounts { stored, stored_millis, unverified, challenged, retried, abandoned, refused, mut callouts } =
            std::mem::take(self);
        callouts.visit(updates);
        updates.add(Metric::CapturesStored, stored);
        updates.add(Metric::CapturesUnverified, unverified);
        updates.add(Metric::CapturesChallenged, challenged);
        updates.add(Metric::CapturesRetried, retried);
        updates.add(Metric::CapturesRefusedUnstored, refused.unstored);
        updates.add(Metric::CapturesRefusedBusy, refused.busy);
        updates.add(Metric::CapturesRefusedCrowded, refused.crowded);
        updates.add(Metric::CapturesRefusedNoMemory, refused.no_memory);
        updates.add(Metric::CapturesRefusedTooLarge, refused.too_large);
        updates.add(Metric::CapturesRefusedUnverified, refused.unverified);
        updates.add(Metric::CapturesRefusedUnreadable, refused.unreadable);
        updates.add(Metric::CapturesRefusedSilent, refused.silent);
        updates.add(Metric::CapturesRefusedSlow, refused.slow);
        updates.add(Metric::CapturesRefusedMisspelled, refused.misspelled);
        updates.add(Metric::CapturesAbandoned, abandoned);
        updates.observe(Metric::Capture, stored_millis);
    }
}
