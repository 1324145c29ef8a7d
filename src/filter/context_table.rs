//! Contexts by the numbers that the host gives them, found in a few instructions. Never calls the
//! host.

/// Buckets that numbers are spread over. Those of requests follow each other, so that as many are
/// under way before two share a bucket.
const BUCKETS: usize = 256;

/// Contexts of one kind by their numbers.
pub(super) struct ContextTable<T> {
    /// Empty until the first context comes.
    buckets: Vec<Bucket<T>>,
}

/// Contexts whose numbers end alike.
struct Bucket<T> {
    /// Most buckets have no more than this one, which takes no memory of its own.
    first: Option<(u32, T)>,
    others: Vec<(u32, T)>,
}

impl<T> ContextTable<T> {
    /// Makes an empty table.
    pub(super) const fn new() -> ContextTable<T> {
        ContextTable { buckets: Vec::new() }
    }

    fn bucket(&mut self, number: u32) -> Option<&mut Bucket<T>> {
        self.buckets.get_mut(number as usize % BUCKETS)
    }

    /// Returns the context of `number`.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let Bucket { first, others } = self.bucket(number)?;
        match first {
            Some((own, value)) if *own == number => Some(value),
            _ => others.iter_mut().find(|(own, _)| *own == number).map(|(_, value)| value),
        }
    }

    /// Sets the context of `number`.
    #[inline]
    pub(super) fn insert(&mut self, number: u32, value: T) {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, || Bucket { first: None, others: Vec::new() });
        }
        if let Some(old) = self.get_mut(number) {
            *old = value;
            return;
        }
        match self.bucket(number) {
            Some(Bucket { first: first @ None, .. }) => *first = Some((number, value)),
            Some(Bucket { others, .. }) => others.push((number, value)),
            None => {}
        }
    }

    /// Takes the context of `number` out.
    #[inline]
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let Bucket { first, others } = self.bucket(number)?;
        if first.as_ref().is_some_and(|(own, _)| *own == number) {
            return first.take().map(|(_, value)| value);
        }
        let position = others.iter().position(|(own, _)| *own == number)?;
        Some(others.swap_remove(position).1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    /// Numbers that share a bucket, and any others.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0u32..4, 256u32..260, 512u32..516, any::<u32>()]
    }

    proptest! {
        #[test]
        fn each_number_has_its_context_until_that_is_taken(
            steps in prop::collection::vec((number(), any::<bool>()), 1..300)
        ) {
            let (mut table, mut expected) = (ContextTable::new(), BTreeMap::new());
            for (step, (number, is_removed)) in steps.iter().enumerate() {
                if *is_removed {
                    prop_assert_eq!(table.remove(*number), expected.remove(number));
                } else {
                    table.insert(*number, step);
                    expected.insert(*number, step);
                }
                for (number, _) in &steps {
                    prop_assert_eq!(table.get_mut(*number), expected.get_mut(number));
                }
            }
        }
    }
}
