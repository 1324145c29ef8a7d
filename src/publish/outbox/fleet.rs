//! A fleet of workers before a service that takes so many calls a second and no more: it gets what
//! it can give, few calls for nothing, and every worker its share.

use std::time::Duration;

use super::settings::{Batch, Bounds, OutboxSettings};
use super::tests::{failure, outbox, settings, Bench, SECOND};
use super::*;
use crate::aws::error::FailureClass::Throttled;
use crate::aws::error::Outcome;

const TICK: Duration = Duration::from_millis(25);
/// Events that each worker always has more than.
const BACKLOG: usize = 100;

/// A service with a bucket of tokens: one for each call, and those of a second at most.
struct Service {
    per_second: f64,
    tokens: f64,
    filled_at: Timestamp,
}

impl Service {
    fn new(per_second: f64) -> Service {
        Service { per_second, tokens: per_second, filled_at: Timestamp(1_000_000) }
    }

    fn takes(&mut self, now: Timestamp) -> bool {
        let filled = now.since(self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + filled).min(self.per_second.max(1.0));
        self.filled_at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(takes));
        takes
    }
}

struct Worker {
    bench: Bench,
    /// Time from a tick of the fleet to its own, which stays the same for its life.
    phase: Duration,
    /// Calls under way: when each is answered, and whether it is taken.
    flying: Vec<(Timestamp, BatchId, usize, bool)>,
    taken: u32,
    last_taken: Timestamp,
    longest_gap: Duration,
}

/// When workers wake, in the time between two ticks.
#[derive(Clone, Copy, Debug)]
enum Phases {
    /// All at once, in any order.
    Together,
    /// Each at a moment of its own, so that the order never changes.
    OfTheirOwn,
}

struct Fleet {
    service: Service,
    settings: OutboxSettings,
    workers: Vec<Worker>,
    now: Timestamp,
    rng: fastrand::Rng,
    taken: u32,
    throttled: u32,
}

impl Fleet {
    fn new(count: usize, per_second: f64, phases: Phases) -> Fleet {
        let settings = OutboxSettings {
            batch: Batch { max_entries: 10, max_delay: Duration::from_millis(100) },
            bounds: Bounds { max_entries: 10 * BACKLOG, max_age: 100_000 * SECOND, ..settings().bounds },
            max_in_flight: 4,
            ..settings()
        };
        let mut fleet = Fleet {
            service: Service::new(per_second),
            settings,
            workers: Vec::new(),
            now: Timestamp(1_000_000),
            rng: fastrand::Rng::with_seed(7),
            taken: 0,
            throttled: 0,
        };
        fleet.grow(count, phases);
        fleet
    }

    /// Adds workers that start now.
    fn grow(&mut self, count: usize, phases: Phases) {
        let now = self.now;
        for _ in 0..count {
            let phase = match phases {
                Phases::Together => Duration::ZERO,
                Phases::OfTheirOwn => Duration::from_millis(self.rng.u64(0..TICK.as_millis() as u64)),
            };
            let bench = Bench { outbox: outbox(self.settings, self.workers.len() as u64), now };
            let worker =
                Worker { bench, phase, flying: vec![], taken: 0, last_taken: now, longest_gap: Duration::ZERO };
            self.workers.push(worker);
        }
    }

    /// Begins to count now.
    fn count_from_now(&mut self) {
        (self.taken, self.throttled) = (0, 0);
        for worker in &mut self.workers {
            (worker.taken, worker.last_taken, worker.longest_gap) = (0, self.now, Duration::ZERO);
        }
    }

    /// Lets time pass: at every tick each worker has its replies, in any order, and may call.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            let mut order: Vec<usize> = (0..self.workers.len()).collect();
            self.rng.shuffle(&mut order);
            order.sort_by_key(|position| self.workers[*position].phase);
            let tick = self.now;
            for position in order {
                self.now = tick + self.workers[position].phase;
                self.wake(position);
            }
            self.now = tick + TICK;
        }
    }

    fn wake(&mut self, position: usize) {
        let Fleet { service, workers, now, rng, taken, throttled, .. } = self;
        let worker = &mut workers[position];
        worker.bench.now = *now;
        let missing = BACKLOG.saturating_sub(worker.bench.outbox.held().entries);
        (0..missing).for_each(|_| worker.bench.push_sized("e", None, 1));
        let (answered, flying) = worker.flying.drain(..).partition(|(at, ..)| *at <= *now);
        worker.flying = flying;
        for (_, batch, count, is_taken) in answered {
            let outcome = if is_taken { Outcome::Delivered } else { failure(Throttled) };
            worker.bench.settle(batch, vec![outcome; count]);
        }
        while let Some((batch, ids)) = worker.bench.poll() {
            let is_taken = service.takes(*now);
            worker.flying.push((*now + Duration::from_millis(rng.u64(15..45)), batch, ids.len(), is_taken));
            if is_taken {
                *taken += 1;
                worker.taken += 1;
                worker.longest_gap = worker.longest_gap.max(now.since(worker.last_taken));
                worker.last_taken = *now;
            } else {
                *throttled += 1;
            }
        }
    }

    /// Returns the throttled calls for each that was taken, the share of what the service could
    /// give, Jain's index of fairness, and the longest time that a worker got nothing.
    fn verdict(&self, duration: Duration) -> (f64, f64, f64, Duration) {
        let possible = (duration.as_secs_f64() + 1.0) * self.service.per_second;
        let sum: f64 = self.workers.iter().map(|worker| f64::from(worker.taken)).sum();
        let squares: f64 = self.workers.iter().map(|worker| f64::from(worker.taken).powi(2)).sum();
        let gap = |worker: &Worker| worker.longest_gap.max(self.now.since(worker.last_taken));
        let longest = self.workers.iter().map(gap).max().unwrap();
        let verdict = (
            f64::from(self.throttled) / f64::from(self.taken),
            f64::from(self.taken) / possible,
            sum * sum / (squares * self.workers.len() as f64),
            longest,
        );
        println!(
            "{} workers, {} calls/s, {} s: {} throttled for {} taken ({:.2}), {:.1} % of what the service gives, \
             fairness {:.3}, at least {} for each, longest without {} s",
            self.workers.len(),
            self.service.per_second,
            duration.as_secs(),
            self.throttled,
            self.taken,
            verdict.0,
            100.0 * verdict.1,
            verdict.2,
            self.workers.iter().map(|worker| worker.taken).min().unwrap(),
            longest.as_secs()
        );
        verdict
    }
}

/// Workers, the most throttled calls for each that is taken, the least fairness, and the longest
/// time in seconds that a worker gets nothing.
const BOUNDS: [(usize, f64, f64, u32); 4] =
    [(1, 0.1, 1.0, 5), (8, 0.1, 0.7, 20), (64, 0.3, 0.7, 30), (400, 1.0, 0.9, 80)];

/// In as long a time backoff, a quota and a circuit alone made 10.8 throttled calls for each that
/// was taken from 400 workers, and left one of them without for 173 s.
#[test]
fn a_fleet_shares_what_a_throttling_service_gives() {
    for (count, most_throttled, least_fairness, longest_gap) in BOUNDS {
        let mut fleet = Fleet::new(count, 30.0, Phases::Together);
        let duration = 180 * SECOND;
        fleet.run(duration);
        let (throttled, share, fairness, gap) = fleet.verdict(duration);
        assert!(throttled <= most_throttled && share >= 0.9, "{count}: {throttled} {share}");
        assert!(fairness >= least_fairness && gap <= longest_gap * SECOND, "{count}: {fairness} {gap:?}");
    }
}

/// Where some have been there for long, and call at moments of their own, those that come late get
/// less, and none goes without for longer.
#[test]
fn a_fleet_that_grows_leaves_nobody_without() {
    for (count, most_throttled, longest_gap) in [(8, 0.1, 20), (64, 0.3, 30), (400, 1.0, 90)] {
        let mut fleet = Fleet::new(count / 2, 30.0, Phases::OfTheirOwn);
        fleet.run(60 * SECOND);
        fleet.grow(count / 2, Phases::OfTheirOwn);
        fleet.run(60 * SECOND);
        fleet.count_from_now();
        let duration = 180 * SECOND;
        fleet.run(duration);
        let (throttled, share, fairness, gap) = fleet.verdict(duration);
        let (old, late) = fleet.workers.split_at(count / 2);
        let taken = |workers: &[Worker]| workers.iter().map(|worker| f64::from(worker.taken)).sum::<f64>();
        let of_late = taken(late) / (taken(old) + taken(late));
        println!("those that came late have {:.1} %", 100.0 * of_late);
        assert!(throttled <= most_throttled && share >= 0.9, "{count}: {throttled} {share}");
        assert!(fairness >= 0.6 && gap <= longest_gap * SECOND, "{count}: {fairness} {gap:?}");
        assert!(of_late >= 0.25, "{count}: {of_late}");
    }
}
