//! Entries that other workers have claimed, as the sender sees them: it looks at each once a
//! second. One that was given back is sent like any other, and one that its worker has had for
//! longer than a call and a response take is taken from it. Claims none.

use std::time::Duration;

use super::row::Queued;
use super::Outbox;
use crate::clock::Timestamp;
use crate::publish::queue::Holding;

/// Time between two looks at one entry: what a worker gives back after a call that failed is late
/// by no more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Entries that one callback looks at: each is a value that the host copies. At a tick of 25 ms
/// that is more in a second than what other workers have in flight.
const LOOKS_AT_ONCE: usize = 64;

impl Outbox {
    /// Leaves an entry to the worker that has claimed it, at this version of its slot.
    #[inline(never)]
    pub(super) fn leave_to_another(&mut self, mut row: Queued, version: u32, now: Timestamp) {
        (row.version, row.elsewhere, row.not_before) = (version, true, now + self.patience());
        self.index.leave_to_another(row);
    }

    /// Looks at entries that other workers have. Call it at each tick.
    #[inline(never)]
    pub(super) fn look_elsewhere(&mut self, now: Timestamp) {
        let patience = self.patience();
        for sequence in self.index.due_elsewhere(LOOKS_AT_ONCE, LOOK_INTERVAL, now) {
            let Some(row) = self.index.find(sequence) else { continue };
            match self.queue.holding(row.place) {
                Holding::Elsewhere(version) if version != row.version => {
                    // It was given back and claimed by yet another one, or by the same worker.
                    (row.version, row.not_before) = (version, now + patience);
                }
                Holding::Elsewhere(_) if now < row.not_before => {}
                Holding::Elsewhere(_) => self.index.bring_back(sequence),
                Holding::Free => {
                    row.elsewhere = false;
                    self.index.bring_back(sequence);
                }
                Holding::Gone => {
                    if let Some(row) = self.index.take(sequence) {
                        self.gone(row);
                    }
                }
            }
        }
    }

    /// Returns how long another worker may have an entry before it counts as gone.
    fn patience(&self) -> Duration {
        self.settings.longest_wait + self.settings.deadline
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::tests::{failure, worker, Bench, SECOND};
    use super::*;
    use crate::aws::error::{FailureClass, Outcome};
    use crate::publish::queue::fake::{Fake, Gateway};
    use crate::publish::queue::{Claim, FOUND_BY};

    const TICK: Duration = Duration::from_millis(25);

    /// Time after which a worker that has an entry counts as gone.
    const PATIENCE: Duration = Duration::from_secs(11);

    /// A sender with a backlog of 100, of which a helping worker has a call under way.
    struct Pair {
        store: Rc<Fake>,
        sender: Bench,
        helper: Bench,
        /// The helper's call, and the events in it.
        call: (super::super::BatchId, Vec<String>),
        /// Events that the sender has sent, and how long after the start.
        sent: Vec<(String, Duration)>,
        start: Timestamp,
    }

    impl Pair {
        fn new(max_entries: usize) -> Pair {
            let store = Rc::new(Fake::new(Gateway::Envoy));
            let [mut sender, mut helper] = [1_000, 2_000].map(|owner| worker(&store, max_entries, owner));
            sender.outbox.tend_queue(sender.now);
            (0..100).for_each(|number| helper.push(&[&number.to_string()]));
            [&mut sender, &mut helper].into_iter().for_each(|worker| worker.wait(FOUND_BY));
            helper.outbox.tend_queue(helper.now);
            let call = helper.poll().unwrap();
            let start = sender.now;
            Pair { store, sender, helper, call, sent: vec![], start }
        }

        /// Lets the sender have its calls taken, each at the next tick, until so long after the
        /// start.
        fn run_until(&mut self, end: Duration) {
            while self.sender.now.since(self.start) < end {
                self.sender.outbox.tend_queue(self.sender.now);
                while let Some((batch, ids)) = self.sender.poll() {
                    let after = self.sender.now.since(self.start);
                    self.sent.extend(ids.iter().map(|id| (id.clone(), after)));
                    self.sender.settle(batch, vec![Outcome::Delivered; ids.len()]);
                }
                self.sender.wait(TICK);
            }
            self.helper.wait(self.sender.now.since(self.helper.now));
        }

        /// Returns when the sender has sent what the helper had.
        fn times(&self) -> Vec<Duration> {
            let (_, ids) = &self.call;
            self.sent.iter().filter(|(id, _)| ids.contains(id)).map(|(_, after)| *after).collect()
        }
    }

    #[test]
    fn what_is_given_back_is_sent_within_a_second() {
        let mut pair = Pair::new(1_000);
        pair.run_until(Duration::from_millis(300));
        assert_eq!((pair.sent.len(), pair.times()), (97, vec![]), "all but what the helper has");
        pair.helper.settle(pair.call.0, vec![failure(FailureClass::Transient); pair.call.1.len()]);
        pair.run_until(30 * SECOND);
        let times = pair.times();
        assert_eq!((pair.sent.len(), times.len()), (100, 3), "once");
        let latest = Duration::from_millis(300) + LOOK_INTERVAL + 2 * TICK;
        assert!(times.iter().all(|after| (Duration::from_millis(300)..latest).contains(after)), "{times:?}");
    }

    /// It has claimed some more when its call fails, and may not send them for a while.
    #[test]
    fn what_a_worker_may_not_send_is_given_back_before_it_is_overdue() {
        let mut pair = Pair::new(1_000);
        pair.helper.outbox.tend_queue(pair.helper.now);
        let claimed = pair.helper.outbox.index.take_those(&|_| true);
        assert_eq!(claimed.len(), 3);
        claimed.into_iter().for_each(|row| pair.helper.outbox.index.push(row));
        pair.helper.settle(pair.call.0, vec![failure(FailureClass::Denied); pair.call.1.len()]);
        assert!(pair.helper.poll().is_none() && pair.helper.outbox.circuit.is_open());
        pair.run_until(3 * SECOND);
        assert_eq!((pair.sent.len(), pair.helper.poll()), (100, None));
    }

    #[test]
    fn what_a_worker_keeps_is_taken_from_it_once_and_not_before_it_may_be_gone() {
        let mut pair = Pair::new(1_000);
        pair.run_until(60 * SECOND);
        let times = pair.times();
        assert_eq!((pair.sent.len(), times.len()), (100, 3));
        let latest = PATIENCE + LOOK_INTERVAL + 2 * TICK;
        assert!(times.iter().all(|after| (PATIENCE..latest).contains(after)), "{times:?}");
    }

    /// The sender has seen one claim for almost as long as it waits, and has not seen that another
    /// one has taken its place.
    #[test]
    fn a_worker_that_claims_an_entry_once_more_has_its_own_time() {
        let mut pair = Pair::new(1_000);
        let places: Vec<_> = super::super::rows(&pair.helper.outbox.flights).map(|row| row.place).collect();
        pair.run_until(PATIENCE - 2 * TICK);
        let mut other = worker(&pair.store, 1_000, 3_000);
        other.outbox.tend_queue(pair.sender.now);
        pair.helper.settle(pair.call.0, vec![failure(FailureClass::Transient); pair.call.1.len()]);
        for place in &places {
            assert!(matches!(other.outbox.queue.claim(*place, None), Claim::Own(_)));
        }
        pair.run_until(60 * SECOND);
        let times = pair.times();
        let latest = 2 * PATIENCE + 2 * LOOK_INTERVAL + 2 * TICK;
        assert!(times.iter().all(|after| (2 * PATIENCE - 2 * TICK..latest).contains(after)), "{times:?}");
        assert_eq!((pair.sent.len(), times.len()), (100, 3));
    }

    /// Its entries were taken from it and sent, and their slots have others since.
    #[test]
    fn a_worker_that_stood_still_ends_nothing_but_its_own_and_takes_nothing_off_the_books() {
        for outcome in [Outcome::Delivered, failure(FailureClass::Permanent), failure(FailureClass::Transient)] {
            let mut pair = Pair::new(1_000);
            pair.run_until(PATIENCE + 2 * SECOND);
            assert_eq!(pair.sent.len(), 100);
            (0..400).for_each(|number| pair.sender.push(&[&format!("later-{number}")]));
            pair.run_until(PATIENCE + 30 * SECOND);
            let sent = pair.sent.len();
            (0..256).for_each(|number| pair.sender.push(&[&format!("last-{number}")]));
            pair.helper.settle(pair.call.0, vec![outcome; pair.call.1.len()]);
            assert_eq!(pair.helper.outbox.take_dead_letters().len(), 0);
            pair.helper.outbox.tend(pair.helper.now);
            assert_eq!(pair.helper.outbox.take_counts().journal_failures, 0);
            pair.sender.outbox.queue.look_if_down();
            assert_eq!((pair.store.events(), pair.sender.outbox.queue.last_seen()), (256, 256));
            pair.run_until(PATIENCE + 60 * SECOND);
            assert_eq!((pair.sent.len() - sent, pair.sender.outbox.queue.last_seen()), (256, 0));
        }
    }

    #[test]
    fn one_tick_looks_at_few_entries_and_at_each_once_a_second() {
        let store = Rc::new(Fake::new(Gateway::Envoy));
        let [mut sender, mut other] = [1_000, 2_000].map(|owner| worker(&store, 10_000, owner));
        sender.outbox.tend_queue(sender.now);
        (0..2_000).for_each(|number| other.push(&[&number.to_string()]));
        other.outbox.tend_queue(other.now);
        other.wait(FOUND_BY);
        let claim_some = |start| other.outbox.queue.claim_some(1_000, 0, start, other.now).len();
        let claimed: usize = [0, 300, 600].into_iter().map(claim_some).sum();
        assert_eq!(claimed, 192);
        while sender.poll().is_some() {}
        let mut counts = vec![];
        while counts.len() < 160 {
            store.calls.set(0);
            sender.outbox.tend_queue(sender.now);
            counts.push(store.calls.get() as usize);
            sender.wait(TICK);
        }
        assert!(counts.iter().all(|calls| *calls <= LOOKS_AT_ONCE + 8), "{counts:?}");
        let calls: usize = counts.iter().sum();
        assert!((3 * claimed..4 * claimed).contains(&calls), "{counts:?}");
    }

    /// Each new event makes another one give way, which is what the sender looks for.
    #[test]
    fn a_full_queue_does_not_prolong_the_time_of_a_worker_that_is_gone() {
        let mut pair = Pair::new(100);
        let mut number = 1_000;
        // Nothing is delivered: the sender's calls are under way until their deadline.
        while pair.sender.now.since(pair.start) < PATIENCE + 2 * SECOND {
            pair.sender.outbox.tend_queue(pair.sender.now);
            while let Some((_, ids)) = pair.sender.poll() {
                let after = pair.sender.now.since(pair.start);
                pair.sent.extend(ids.into_iter().map(|id| (id, after)));
            }
            number += 1;
            pair.sender.push(&[&number.to_string()]);
            pair.sender.wait(TICK);
        }
        let dropped = pair.sender.outbox.take_dead_letters();
        let (_, ids) = &pair.call;
        let freed = dropped.iter().filter(|letter| ids.contains(&letter.event.id)).count() + pair.times().len();
        assert_eq!(freed, ids.len(), "they give way like others, or are sent");
    }

    #[test]
    fn what_another_worker_has_keeps_no_other_entry_from_its_end() {
        let mut pair = Pair::new(1_000);
        let ids = pair.call.1.clone();
        let first: usize = ids[0].parse().unwrap();
        let mut dropped = vec![];
        while pair.sender.now.since(pair.start) < 61 * SECOND {
            // The other worker lives: its entries change hands before they are overdue.
            let places: Vec<_> = super::super::rows(&pair.helper.outbox.flights).map(|row| row.place).collect();
            for place in places {
                pair.helper.outbox.queue.give_back(place);
                assert!(matches!(pair.helper.outbox.queue.claim(place, None), Claim::Own(_)));
            }
            pair.sender.outbox.tend_queue(pair.sender.now);
            pair.sender.outbox.tend(pair.sender.now);
            dropped.extend(pair.sender.outbox.take_dead_letters().into_iter().map(|letter| letter.event.id));
            pair.sender.wait(TICK);
        }
        assert!((first + 3..100).all(|number| dropped.contains(&number.to_string())), "{first} {dropped:?}");
        assert!(!ids.iter().any(|id| dropped.contains(id)));
    }

    /// On Kong a sender leaves a verdict in each slot of another worker, which looks for it ten
    /// times a second; an empty ring begins again in its first slots meanwhile.
    #[test]
    fn no_verdict_is_gone_before_its_worker_looks_for_it() {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let [mut sender, mut other] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        sender.outbox.tend_queue(sender.now);
        let (mut sent, mut spare) = (0, 0);
        for millis in 0..3_000 {
            (0..3).for_each(|number| other.push(&[&format!("{millis}-{number}")]));
            while let Some((batch, ids)) = sender.poll() {
                sent += ids.len();
                sender.settle(batch, vec![Outcome::Delivered; ids.len()]);
            }
            if millis % 10 == 0 {
                other.outbox.tend_queue(other.now);
                spare += other.poll().map_or(0, |(_, ids)| ids.len());
            }
            [&mut sender, &mut other].into_iter().for_each(|worker| worker.now = worker.now + Duration::from_millis(1));
        }
        assert_eq!((sent, spare, other.outbox.take_counts().journal_failures), (9_000, 0, 0));
    }

    /// An entry that a helping worker takes before the sender has found it leaves a position that
    /// the sender looks at again and again.
    #[test]
    fn a_helping_worker_takes_what_the_sender_has_found() {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let [mut sender, mut helper] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        sender.outbox.tend_queue(sender.now);
        (0..100).for_each(|number| helper.push(&[&number.to_string()]));
        helper.outbox.tend_queue(helper.now);
        assert!(helper.poll().is_none(), "all are young");
        helper.wait(FOUND_BY);
        helper.outbox.tend_queue(helper.now);
        assert_eq!(helper.poll_ids().len(), 3);
    }

    #[test]
    fn empty_positions_are_looked_at_again_once_in_a_while() {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let [mut sender, mut helper] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        sender.outbox.tend_queue(sender.now);
        (0..100).for_each(|number| helper.push(&[&number.to_string()]));
        helper.wait(FOUND_BY);
        helper.outbox.tend_queue(helper.now);
        let (batch, ids) = helper.poll().unwrap();
        helper.settle(batch, vec![Outcome::Delivered; ids.len()]);
        while sender.poll().is_some() {}
        let mut calls = vec![];
        for _ in 0..40 {
            sender.wait(Duration::from_millis(5));
            store.calls.set(0);
            sender.outbox.tend(sender.now);
            calls.push(store.calls.get());
        }
        let least = calls.iter().min().unwrap();
        assert_eq!(calls.iter().filter(|calls| *calls == &(least + 3)).count(), 4, "{calls:?}");
    }
}
