//! The part of the exchanges of a route that become events. An event's id decides, so that every
//! attempt to deliver one, and everybody who has its id, comes to one answer. Draws no number.

/// Digits at the end of an id that decide: they are random.
const DIGITS: usize = 12;

/// A part of all ids: those whose last twelve hexadecimal digits are a number below this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample(u64);

impl Sample {
    const WHOLE: u64 = 1 << (4 * DIGITS);

    /// All of them.
    pub(crate) const ALL: Sample = Sample(Sample::WHOLE);

    /// Takes so large a part, from 0 to 1.
    pub(crate) fn of(part: f64) -> Sample {
        Sample((part.clamp(0.0, 1.0) * Sample::WHOLE as f64) as u64)
    }

    /// Returns true if the event of this id is among them.
    pub(crate) fn has(self, id: &str) -> bool {
        if self == Sample::ALL {
            return true;
        }
        let digits = id.len().checked_sub(DIGITS).and_then(|start| id.get(start..));
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).is_none_or(|number| number < self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_id_decides() {
        let id = |end: u64| format!("018f3c5e-0000-7000-8000-{end:012x}");
        let [none, quarter, all] = [0.0, 0.25, 1.0].map(Sample::of);
        assert_eq!(all, Sample::ALL);
        for (end, expected) in [
            (0, [false, true, true]),
            (0x3fff_ffff_ffff, [false, true, true]),
            (0x4000_0000_0000, [false, false, true]),
            (0xffff_ffff_ffff, [false, false, true]),
        ] {
            assert_eq!([none, quarter, all].map(|sample| sample.has(&id(end))), expected, "{end:x}");
        }
        assert!(Sample::of(0.1).has("no id") && Sample::of(0.1).has(""));
    }
}
