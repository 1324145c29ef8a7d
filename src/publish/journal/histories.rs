//! Random histories of workers that accept, settle, die, stand still and have their clocks set.

use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;

use super::tests::{Fake, Worker, EXPIRY};
use super::{Slot, SWEEP_INTERVAL};
use crate::clock::Timestamp;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Settle(usize, usize),
    Crash(usize),
    Pause(usize),
    Pass(u32),
    Jump(usize, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let worker = 0..3usize;
    prop_oneof![
        6 => worker.clone().prop_map(Step::Push),
        6 => (worker.clone(), 0..20usize).prop_map(|(worker, which)| Step::Settle(worker, which)),
        2 => worker.clone().prop_map(Step::Crash),
        1 => worker.clone().prop_map(Step::Pause),
        4 => (1..14u32).prop_map(Step::Pass),
        1 => (worker, any::<bool>()).prop_map(|(worker, back)| Step::Jump(worker, back)),
    ]
}

/// A worker and the events that it has in memory.
struct Life {
    worker: Worker,
    queue: Vec<(String, Slot)>,
    paused: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, an accepted event is settled once somewhere or is still queued, and a
    /// settled one is adopted by nobody. The exception are events of a worker that stood still,
    /// which it shares with its successor.
    #[test]
    fn nothing_is_lost_and_no_settled_event_is_adopted(steps in prop::collection::vec(any_step(), 1..80)) {
        let store = Rc::new(Fake::default());
        let mut owner = 0;
        let mut new = || {
            owner += 1;
            Life { worker: Worker::new(&store, owner), queue: Vec::new(), paused: false }
        };
        let mut lives: Vec<_> = (0..3).map(|_| new()).collect();
        let (mut accepted, mut settled) = (BTreeSet::new(), BTreeSet::new());
        let mut shared: BTreeSet<String> = BTreeSet::new();
        let pass = |lives: &mut Vec<Life>, seconds: u32, settled: &BTreeSet<String>, shared: &mut BTreeSet<String>| {
            for _ in 0..seconds {
                for life in lives.iter_mut() {
                    life.worker.now = life.worker.now + SWEEP_INTERVAL;
                    if life.paused {
                        shared.extend(life.queue.iter().map(|(id, _)| id.clone()));
                        continue;
                    }
                    life.worker.journal.tend(life.worker.now);
                    for (id, slot) in life.worker.read() {
                        assert!(!settled.contains(&id) || shared.contains(&id), "{id} was settled and is adopted");
                        life.queue.push((id, slot));
                    }
                }
            }
        };
        for step in steps {
            match step {
                Step::Push(at) => {
                    let life = &mut lives[at];
                    let id = format!("{:05}", accepted.len());
                    life.paused = false;
                    let slot = life.worker.write(&id).expect("the store works");
                    accepted.insert(id.clone());
                    life.queue.push((id, slot));
                }
                Step::Settle(at, which) => {
                    let life = &mut lives[at];
                    if !life.queue.is_empty() && !life.paused {
                        let (id, slot) = life.queue.remove(which % life.queue.len());
                        life.worker.clear(slot);
                        settled.insert(id);
                    }
                }
                Step::Crash(at) => lives[at] = new(),
                Step::Pause(at) => lives[at].paused = true,
                Step::Pass(seconds) => pass(&mut lives, seconds, &settled, &mut shared),
                Step::Jump(at, back) => {
                    // A clock that is set back while its worker stands still hides the standstill.
                    if !lives[at].paused {
                        let worker = &mut lives[at].worker;
                        let now = worker.now.0;
                        worker.now = Timestamp(if back { now - 600_000 } else { now + 600_000 });
                        worker.journal.tend(worker.now);
                    }
                }
            }
        }
        lives.iter_mut().for_each(|life| life.paused = false);
        pass(&mut lives, 8 * EXPIRY, &settled, &mut shared);
        let there: BTreeSet<_> = lives.iter().flat_map(|life| &life.queue).map(|(id, _)| id.clone()).collect();
        prop_assert_eq!(&accepted, &settled.union(&there).cloned().collect());
        for life in &mut lives {
            for (_, slot) in std::mem::take(&mut life.queue) {
                life.worker.clear(slot);
            }
        }
        pass(&mut lives, 8 * EXPIRY, &settled, &mut shared);
        prop_assert_eq!(store.events(), 0, "settled events are still in the store");
        prop_assert!(store.leases() <= 3 * EXPIRY as usize);
    }
}
