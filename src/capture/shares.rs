//! Shares of something of which there is so much: one half is divided among the queues, each of
//! which is sure of its part, and the other half goes to the first that asks. So a queue that hangs
//! never takes what another one is sure of. Knows nothing of webhooks.

/// Amounts that each queue has, and what is left of the whole.
#[derive(Debug)]
pub(super) struct Shares {
    /// The part that each queue is sure of.
    sure: usize,
    /// The part that the queues have in common.
    common: usize,
    used: Vec<usize>,
    /// The amount of the common part that is used.
    borrowed: usize,
}

impl Shares {
    /// Divides `total` among so many queues, which are called by their numbers.
    pub(super) fn new(total: usize, queues: usize) -> Shares {
        let sure = total / 2 / queues.max(1);
        Shares { sure, common: total.saturating_sub(sure * queues), used: vec![0; queues], borrowed: 0 }
    }

    /// Returns true if this queue can have so much more.
    #[inline(never)]
    pub(super) fn has(&self, queue: usize, amount: usize) -> bool {
        let Some(used) = self.used.get(queue) else { return false };
        let more = self.over(used.saturating_add(amount)) - self.over(*used);
        amount == 0 || self.borrowed.saturating_add(more) <= self.common
    }

    /// Gives this queue so much more. Returns false if there is not so much, and gives nothing.
    pub(super) fn take(&mut self, queue: usize, amount: usize) -> bool {
        let has = self.has(queue, amount);
        if has {
            self.set(queue, usize::saturating_add, amount);
        }
        has
    }

    /// Takes back what a queue has had.
    pub(super) fn give_back(&mut self, queue: usize, amount: usize) {
        self.set(queue, usize::saturating_sub, amount);
    }

    #[inline(never)]
    fn set(&mut self, queue: usize, change: fn(usize, usize) -> usize, amount: usize) {
        let Some(used) = self.used.get_mut(queue) else { return };
        let (before, after) = (*used, change(*used, amount));
        *used = after;
        self.borrowed = (self.borrowed + self.over(after)).saturating_sub(self.over(before));
    }

    /// Returns how much of `used` is more than what a queue is sure of.
    fn over(&self, used: usize) -> usize {
        used.saturating_sub(self.sure)
    }

    /// Returns how much is used in all.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_queue_that_takes_all_it_can_leaves_the_others_their_parts() {
        let mut shares = Shares::new(100, 2);
        let hung = (0..1_000).filter(|_| shares.take(0, 1)).count();
        assert_eq!(hung, 75, "a quarter of its own, and all that is common");
        assert_eq!((0..1_000).filter(|_| shares.take(1, 1)).count(), 25);
        shares.give_back(0, 60);
        assert!(shares.take(1, 50) && !shares.take(1, 1), "what is common is anybody's");
    }

    #[test]
    fn one_queue_has_everything_and_a_few_places_are_common_to_many() {
        let mut one = Shares::new(101, 1);
        assert!(one.take(0, 101) && !one.take(0, 1));
        let mut many = Shares::new(3, 100);
        assert!(many.take(7, 3) && !many.take(8, 1));
        assert!(!Shares::new(3, 0).take(0, 1), "where there is no queue, there is nothing");
    }

    proptest! {
        #[test]
        fn never_more_than_all_and_never_less_than_its_part(
            total in 0usize..200,
            queues in 1usize..5,
            steps in prop::collection::vec((0usize..5, 0usize..40, any::<bool>()), 0..200),
        ) {
            let mut shares = Shares::new(total, queues);
            let mut used = vec![0; queues];
            for (queue, amount, takes) in steps {
                let queue = queue % queues;
                if takes {
                    let fits = shares.take(queue, amount);
                    prop_assert!(fits || used[queue] + amount > total / 2 / queues, "it is sure of that");
                    used[queue] += if fits { amount } else { 0 };
                } else {
                    let amount = amount.min(used[queue]);
                    shares.give_back(queue, amount);
                    used[queue] -= amount;
                }
                prop_assert!(shares.used() == used.iter().sum::<usize>() && shares.used() <= total);
            }
        }
    }
}
