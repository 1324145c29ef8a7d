//! The callouts that a worker has in flight, by the tokens of the host, and those that the host
//! does not know the destination of. Makes none.

use crate::agent::Call;

/// The number up to which no look at all of them is worth it.
const FEW: usize = 64;

/// Callouts in flight. The host may forget one, with the request that it was made for.
#[derive(Default)]
pub(super) struct Callouts {
    /// In the order of their tokens, which hosts count up.
    calls: Vec<(u32, Call)>,
    /// How many there were after the last look at all of them.
    kept: usize,
    /// Upstreams that the host did not know, of those that the configuration has.
    unknown: Vec<String>,
}

impl Callouts {
    /// Adds a callout. Forgets those whose replies nobody `awaits` any more when there are twice as
    /// many as after the last time, so that a callout costs the same however many there are.
    pub(super) fn add(&mut self, token: u32, call: Call, awaits: impl Fn(Call) -> bool) {
        if self.calls.len() >= FEW.max(2 * self.kept) {
            self.calls.retain(|(_, call)| awaits(*call));
            self.kept = self.calls.len();
        }
        let position = self.calls.partition_point(|(other, _)| *other < token);
        self.calls.insert(position, (token, call));
    }

    /// Notes that the host does not know an upstream. Returns true the first time.
    pub(super) fn is_news(&mut self, upstream: &str) -> bool {
        let is_new = !self.unknown.iter().any(|known| known == upstream);
        if is_new {
            self.unknown.push(upstream.to_owned());
        }
        is_new
    }

    /// Takes the callout whose reply has come.
    pub(super) fn take(&mut self, token: u32) -> Option<Call> {
        let position = self.calls.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        Some(self.calls.remove(position).1)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::capture::CaptureCall;

    #[test]
    fn what_the_host_has_forgotten_does_not_gather_and_the_others_cost_little() {
        let (mut callouts, asked) = (Callouts::default(), Cell::new(0));
        let under_way = |call, token| matches!(call, Call::Capture(CaptureCall(id)) if id % 10 != 0 && id + 1_000 > u64::from(token));
        for token in 0..100_000 {
            let awaits = |call| {
                asked.set(asked.get() + 1);
                under_way(call, token)
            };
            callouts.add(token, Call::Capture(CaptureCall(u64::from(token))), awaits);
        }
        let still = callouts.calls.iter().filter(|(_, call)| under_way(*call, 99_999)).count();
        assert!(still == 900 && callouts.calls.len() < 3_000, "{still} of {}", callouts.calls.len());
        assert!(asked.get() < 3 * 100_000, "{} looks", asked.get());
        assert_eq!(callouts.take(99_999), Some(Call::Capture(CaptureCall(99_999))));
        assert_eq!((callouts.take(99_999), callouts.take(10)), (None, None));
    }
}
