//! A store without room for what it has, which forgets more than entries: the words that say where
//! a queue ends and who sends. No event is lost by that while the worker lives that appended it.

use std::rc::Rc;
use std::time::Duration;

use super::tests::{worker, Bench};
use crate::aws::error::Outcome;
use crate::publish::queue::fake::{Fake, Gateway};

/// Lets workers tick for a minute, and a target take all that they send. Returns what it took.
fn sent(workers: &mut [&mut Bench]) -> Vec<String> {
    let mut sent = vec![];
    for _ in 0..600 {
        for worker in workers.iter_mut() {
            worker.outbox.tend_queue(worker.now);
            while let Some((batch, ids)) = worker.poll() {
                worker.settle(batch, vec![Outcome::Delivered; ids.len()]);
                sent.extend(ids);
            }
            worker.wait(Duration::from_millis(100));
        }
    }
    sent.sort();
    sent
}

#[test]
fn what_the_sender_has_not_found_is_sent_where_the_store_forgets_everything_and_nobody_appends() {
    for knows in [true, false] {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let [mut sender, mut other] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        sender.outbox.tend_queue(sender.now);
        if knows {
            sender.push(&["0"]);
        }
        other.push(&["1", "2"]);
        store.forget_words();
        let expected: &[&str] = if knows { &["0", "1", "2"] } else { &["1", "2"] };
        assert_eq!(sent(&mut [&mut sender, &mut other]), expected);
        assert_eq!((store.events(), other.outbox.is_done(), sender.outbox.is_done()), (0, true, true));
    }
}

#[test]
fn a_queue_that_a_new_worker_has_begun_once_more_loses_nothing_of_the_one_before() {
    let store = Rc::new(Fake::new(Gateway::Kong));
    let [mut sender, mut other, mut new] = [1_000, 2_000, 3_000].map(|owner| worker(&store, 1_000, owner));
    (0..30).for_each(|number| sender.push(&[&format!("{number}")]));
    assert_eq!(sent(&mut [&mut sender, &mut other]).len(), 30);
    other.push(&["a", "b"]);
    store.forget_words();
    new.now = other.now;
    new.push(&["c"]);
    assert_eq!(sent(&mut [&mut sender, &mut other, &mut new]), ["a", "b", "c"]);
    new.push(&["d"]);
    assert_eq!(sent(&mut [&mut sender, &mut other, &mut new]), ["d"]);
    assert_eq!((store.events(), sender.outbox.queue.last_seen()), (0, 0));
}

/// The new worker knows nothing of the queue, and begins with the positions that it began with.
#[test]
fn what_takes_the_place_of_a_forgotten_entry_is_not_taken_for_it() {
    for takes_first in [true, false] {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let [mut other, mut new] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        other.push(&["a", "b", "c"]);
        store.forget_all();
        new.push(&["d", "e"]);
        let mut workers = [&mut other, &mut new];
        if takes_first {
            workers.reverse();
        }
        assert_eq!(sent(&mut workers), ["a", "b", "c", "d", "e"]);
        assert_eq!((store.events(), other.outbox.is_done(), new.outbox.is_done()), (0, true, true));
    }
}
