//! Tests of what goes first: events that responses wait for, before a backlog that nobody waits
//! for, and that the backlog goes all the same.

use std::time::Duration;

use super::tests::{failure, outbox, settings, SECOND};
use super::*;
use crate::aws::error::{FailureClass, Outcome};
use crate::clock::testing::ticks;
use crate::event::Event;
use crate::publish::route::OnFailure;

const BACKLOG: usize = 10_000;

/// An outbox with a backlog, and numbers for its events and tickets.
struct Bench {
    outbox: Outbox,
    now: Timestamp,
    next: u32,
}

impl Bench {
    fn new(ordered: bool) -> Bench {
        let bounds = Bounds { max_entries: 20_000, max_bytes: 20_000_000, ..settings().bounds };
        let outbox = outbox(OutboxSettings { bounds, ordered, ..settings() }, 7);
        Bench { outbox, now: Timestamp(1_000_000), next: 0 }
    }

    fn event(&mut self, group: usize) -> Event {
        let id = self.next.to_string();
        self.next += 1;
        Event {
            id,
            message: String::new(),
            attributes: vec![],
            subject: None,
            group_id: Some(group.to_string()),
            trace_header: None,
            at: self.now,
        }
    }

    fn push(&mut self, group: usize) -> u32 {
        let event = self.event(group);
        self.outbox.push(event, 50, self.now);
        self.next - 1
    }

    fn push_all(&mut self, groups: impl IntoIterator<Item = usize>) {
        for group in groups {
            self.push(group);
        }
    }

    fn push_awaited(&mut self, group: usize, on_failure: OnFailure) -> u32 {
        let event = self.event(group);
        let number = self.next - 1;
        self.outbox.push_awaited(event, 50, Wait { ticket: Ticket(number), on_failure }, self.now);
        number
    }

    fn poll(&mut self) -> Option<(BatchId, Vec<u32>)> {
        let (batch, events) = self.outbox.poll(self.now)?;
        Some((batch, events.iter().map(|event| event.id.parse().unwrap()).collect()))
    }

    /// Sends the next batch, and has it acknowledged.
    fn deliver(&mut self) -> Vec<u32> {
        let Some((batch, numbers)) = self.poll() else { return vec![] };
        self.outbox.settle(batch, vec![Outcome::Delivered; numbers.len()], None, self.now);
        numbers
    }
}

#[test]
fn what_waits_is_in_the_next_call_whatever_is_queued() {
    for ordered in [false, true] {
        let mut bench = Bench::new(ordered);
        bench.push_all(0..BACKLOG);
        let awaited = bench.push_awaited(BACKLOG, OnFailure::Fail);
        assert_eq!(bench.deliver(), [0, 1, awaited], "and the oldest go along");
        assert_eq!(bench.outbox.take_release(Ticket(awaited)), Some(Release::Pass));
        assert_eq!(bench.deliver(), [2, 3, 4]);
    }
}

#[test]
fn in_order_it_is_right_behind_its_own_group() {
    let mut bench = Bench::new(true);
    bench.push_all((0..BACKLOG).map(|number| number % 5_000));
    let before = [4_999, 9_999];
    let awaited = bench.push_awaited(4_999, OnFailure::Fail);
    let behind = bench.push(4_999);
    let sent: Vec<_> = (0..3).map(|_| bench.deliver()).collect();
    let of_group: Vec<_> = sent.iter().map(|batch| *batch.last().unwrap()).collect();
    assert_eq!(of_group, [before[0], before[1], awaited], "{sent:?}");
    assert!(!bench.deliver().contains(&behind), "those behind it go by age");
}

#[test]
fn it_is_the_probe_of_a_service_that_was_down() {
    let mut bench = Bench::new(false);
    bench.push_all(0..BACKLOG);
    while !bench.outbox.circuit.is_open() {
        let (batch, numbers) = bench.poll().unwrap();
        bench.outbox.settle(batch, vec![failure(FailureClass::Transient); numbers.len()], None, bench.now);
    }
    bench.now = bench.now + SECOND;
    let awaited = bench.push_awaited(0, OnFailure::Fail);
    assert!(bench.deliver().contains(&awaited));
    assert_eq!(bench.outbox.take_release(Ticket(awaited)), Some(Release::Pass));
}

#[test]
fn nothing_waits_for_ever_behind_what_goes_first() {
    for ordered in [false, true] {
        let mut bench = Bench::new(ordered);
        let oldest = bench.push(0);
        bench.now = bench.now + SECOND;
        // More of them than the calls can take, at all times.
        for call in 1.. {
            for _ in 0..4 {
                bench.push_awaited(bench.next as usize, OnFailure::Pass);
            }
            if bench.deliver().contains(&oldest) {
                assert_eq!(call, 10, "of ten batches one goes by age");
                break;
            }
            bench.outbox.take_dead_letters();
        }
    }
}

#[test]
fn what_is_not_waited_for_any_more_goes_by_age() {
    let mut bench = Bench::new(false);
    bench.push_all(0..5);
    let left = bench.push_awaited(0, OnFailure::Pass);
    bench.outbox.forget_response(Ticket(left));
    assert_eq!(bench.deliver(), [0, 1, 2], "its client has left");
    let late = bench.push_awaited(0, OnFailure::Pass);
    let (busy, _) = bench.poll().unwrap();
    bench.outbox.settle(busy, vec![failure(FailureClass::Transient); 3], None, bench.now);
    for now in ticks(bench.now, bench.now + settings().longest_wait) {
        bench.now = now;
        bench.outbox.tend(now);
    }
    assert_eq!(bench.outbox.take_release(Ticket(late)), Some(Release::Pass));
    bench.push(0);
    let awaited = bench.push_awaited(0, OnFailure::Pass);
    assert_eq!(bench.deliver(), [3, 4, awaited], "and not the one that nobody waits for");
}

#[test]
fn a_waiting_response_has_its_answer_in_time_through_a_whole_backlog() {
    let mut bench = Bench::new(false);
    bench.push_all(0..BACKLOG);
    for _ in 0..100 {
        // A call takes 100 ms, and a response comes with each.
        let awaited = bench.push_awaited(0, OnFailure::Fail);
        let (batch, numbers) = bench.poll().unwrap();
        bench.now = bench.now + Duration::from_millis(100);
        bench.outbox.settle(batch, vec![Outcome::Delivered; numbers.len()], None, bench.now);
        let release = bench.outbox.take_release(Ticket(awaited));
        if release.is_none() {
            assert!(bench.deliver().contains(&awaited), "one call later at most");
        }
    }
    assert_eq!(bench.outbox.take_counts().undelivered_responses, 0);
}
