//! Tests of entries that one worker drops, or hands over, while another one's response waits for
//! them: each gets one letter, and none is left behind.

use std::rc::Rc;
use std::time::Duration;

use super::tests::{event, failure, settings, worker, Bench, SECOND};
use super::*;
use crate::aws::error::{FailureClass, Outcome};
use crate::publish::dead_letter::DropReason;
use crate::publish::queue::fake::{Fake, Gateway};
use crate::publish::route::OnFailure;

const TICK: Duration = Duration::from_millis(100);

/// Creates the outboxes of two workers that share a queue, in which order matters. The first one
/// sends.
fn workers(store: &Rc<Fake>, max_entries: usize) -> [Bench; 2] {
    let bounds = Bounds { max_entries, ..settings().bounds };
    let settings = OutboxSettings { ordered: true, bounds, ..settings() };
    let [mut sender, other] = [1_000, 2_000].map(|owner| {
        let queue = TargetQueue::new(store.clone(), ["topic_arn", "sns", "r", "t"], settings.amount(), true, owner);
        Bench { outbox: Outbox::new(settings, queue, 7), now: Timestamp(1_000_000) }
    });
    sender.outbox.tend_queue(sender.now);
    [sender, other]
}

fn push_awaited(worker: &mut Bench, number: u32) {
    let event = event(&number.to_string(), Some("g"), worker.now);
    let wait = Wait { ticket: Ticket(number), on_failure: OnFailure::Fail };
    worker.outbox.push_awaited(event, 50, wait, worker.now);
}

/// The events that workers have sent, and the letters that they have written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    sent: Vec<String>,
    letters: Vec<(String, DropReason)>,
}

/// Lets workers tick for as long, and the target take all that they send.
fn run(workers: &mut [&mut Bench], duration: Duration) -> Ends {
    let mut ends = Ends::default();
    for _ in 0..duration.as_millis() / TICK.as_millis() {
        for worker in workers.iter_mut() {
            worker.outbox.tend_queue(worker.now);
            while let Some((batch, ids)) = worker.poll() {
                worker.settle(batch, vec![Outcome::Delivered; ids.len()]);
                ends.sent.extend(ids);
            }
            let letters = worker.outbox.take_dead_letters().into_iter();
            ends.letters.extend(letters.map(|letter| (letter.event.id, letter.reason)));
            worker.wait(TICK);
        }
    }
    ends
}

fn releases(worker: &mut Bench) -> Vec<(Ticket, Release)> {
    worker.outbox.take_releases(10).collect()
}

#[test]
fn what_another_worker_was_to_drop_when_it_ended_has_a_letter_once_its_response_has_failed() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let [mut sender, mut other] = workers(&store, 2);
    push_awaited(&mut sender, 0);
    let (batch, _) = sender.poll().unwrap();
    push_awaited(&mut sender, 1);
    other.push_sized("2", Some("g"), 50);
    drop(other);
    // The first of the group is under way for longer than a response waits.
    assert_eq!(run(&mut [&mut sender], settings().longest_wait + TICK), Ends::default());
    assert_eq!(releases(&mut sender), [(Ticket(0), Release::Refuse), (Ticket(1), Release::Refuse)]);
    sender.settle(batch, vec![Outcome::Delivered]);
    let ends = run(&mut [&mut sender], 30 * SECOND);
    assert_eq!(ends, Ends { sent: vec!["2".into()], letters: vec![("1".into(), DropReason::Withdrawn)] });
    assert_eq!((store.events(), sender.outbox.is_done()), (0, true));
}

#[test]
fn a_worker_that_makes_room_with_what_its_own_response_waits_for_writes_one_letter() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let [mut sender, mut other] = workers(&store, 1);
    push_awaited(&mut other, 0);
    other.push_sized("1", Some("g"), 50);
    assert_eq!(releases(&mut other), [(Ticket(0), Release::Refuse)], "at once");
    let ends = run(&mut [&mut other, &mut sender], 30 * SECOND);
    assert_eq!(ends, Ends { sent: vec!["1".into()], letters: vec![("0".into(), DropReason::QueueFull)] });
    assert_eq!((store.events(), releases(&mut other)), (0, vec![]));
}

#[test]
fn a_sender_hands_over_when_its_letters_are_taken() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let [mut sender, mut other] = workers(&store, 10);
    sender.push_sized("0", Some("g"), 50);
    sender.wait(TICK);
    let (batch, _) = sender.poll().unwrap();
    for _ in 0..8 {
        other.outbox.tend_queue(other.now);
        sender.outbox.tend_queue(sender.now);
        [&mut sender, &mut other].into_iter().for_each(|worker| worker.wait(SECOND));
    }
    assert!(sender.outbox.queue.is_handing_over());
    sender.settle(batch, vec![failure(FailureClass::Permanent)]);
    sender.outbox.tend_queue(sender.now);
    assert!(sender.outbox.queue.is_sender(), "to the other one the entry would be free");
    assert_eq!(sender.outbox.take_dead_letters().len(), 1);
    sender.outbox.tend_queue(sender.now);
    assert!(!sender.outbox.queue.is_sender());
    assert_eq!(run(&mut [&mut sender, &mut other], 30 * SECOND), Ends::default());
    assert_eq!(store.events(), 0);
}

/// The sender has taken it from a worker that stood still, and whose call says that the event is at
/// fault; the sender's call fails, and the store forgets the entry.
#[test]
fn what_was_taken_from_a_worker_that_stood_still_is_kept_by_it_where_the_store_does_not() {
    let store = Rc::new(Fake::new(Gateway::Kong));
    let [mut sender, mut other] = [1_000, 2_000].map(|owner| worker(&store, 10, owner));
    sender.outbox.tend_queue(sender.now);
    push_awaited(&mut other, 0);
    let (batch, _) = other.poll().unwrap();
    let taken = loop {
        sender.outbox.tend_queue(sender.now);
        if let Some((batch, ids)) = sender.poll() {
            assert_eq!(ids, ["0"]);
            break batch;
        }
        sender.wait(TICK);
    };
    other.wait(sender.now.since(other.now));
    other.settle(batch, vec![failure(FailureClass::Permanent)]);
    store.evict(0);
    sender.settle(taken, vec![failure(FailureClass::Transient)]);
    let ends = run(&mut [&mut sender, &mut other], 30 * SECOND);
    assert_eq!(ends.sent.len() + ends.letters.len(), 1, "{ends:?}");
    assert_eq!((store.events(), sender.outbox.is_done(), other.outbox.is_done()), (0, true, true));
}

/// Another worker has become the sender meanwhile, and the store has forgotten that as well.
#[test]
fn a_sender_that_stood_still_does_not_take_a_forgotten_lease_for_its_own() {
    let store = Rc::new(Fake::new(Gateway::Kong));
    let [mut sender, mut other] = workers(&store, 10);
    sender.push_sized("0", Some("g"), 50);
    sender.wait(TICK);
    let (batch, _) = sender.poll().unwrap();
    other.wait(TICK);
    while !other.outbox.queue.is_sender() {
        other.outbox.tend_queue(other.now);
        other.wait(TICK);
    }
    let (other_batch, _) = other.poll().unwrap();
    store.forget_words();
    sender.wait(other.now.since(sender.now));
    sender.settle(batch, vec![Outcome::Delivered]);
    assert!(!sender.outbox.queue.is_sender());
    other.settle(other_batch, vec![Outcome::Delivered]);
    assert_eq!(run(&mut [&mut sender, &mut other], 30 * SECOND), Ends::default());
    assert_eq!(store.events(), 0, "nothing is left that would be sent when its slot comes again");
}
