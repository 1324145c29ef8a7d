//! Numbers as they are written in attributes: what a service takes of one, and how it is written so
//! that JSON has it, too. And which of them are equal, in conditions. Nothing is rounded.

use std::ops::RangeInclusive;

/// Digits, zeros among them, of a number that is written without an exponent: those that AWS takes.
const MAX_PLAIN_DIGITS: usize = 38;

/// A number, as JSON writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    /// The number in JSON.
    pub(crate) text: String,
    /// Digits, without zeros at either end.
    pub(crate) digits: usize,
    /// The power of ten of the first digit; that of zero is as good as any.
    magnitude: i64,
    /// True if it is a one and zeros: 1000, or 0.001.
    is_power_of_ten: bool,
}

/// Numbers that a service takes as an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecimalRange {
    /// Digits that a number may have.
    pub(crate) digits: usize,
    /// Powers of ten that its first digit may have.
    pub(crate) magnitudes: RangeInclusive<i64>,
    /// The power of ten that is the largest number, if that is one.
    pub(crate) largest: Option<i64>,
}

impl Decimal {
    /// Reads a number: digits, with a sign, a fraction and an exponent if it has them. White space
    /// around it is left out, and so are zeros in front, which JSON does not have. What is written
    /// is short, however the number came: readers take so many digits and so large an exponent, and
    /// refuse the rest.
    pub(crate) fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim_ascii();
        let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |unsigned| ("-", unsigned));
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let power: i64 = match exponent {
            Some(exponent) if are_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)) => {
                exponent.parse().ok()?
            }
            Some(_) => return None,
            None => 0,
        };
        if !are_digits(whole) || !fraction.is_none_or(are_digits) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.unwrap_or_default().trim_end_matches('0');
        let digits = [whole, fraction].concat();
        let significant = digits.trim_matches('0');
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let magnitude = (length(whole) - 1 - i64::try_from(leading).ok()?).checked_add(power)?;
        Some(Decimal {
            text: match (significant.len(), power) {
                (0, _) => "0".to_owned(),
                (_, 0) if digits.len() <= MAX_PLAIN_DIGITS => plain(sign, whole, fraction),
                _ => in_powers_of_ten(sign, significant, magnitude),
            },
            digits: significant.len(),
            magnitude: if significant.is_empty() { 0 } else { magnitude },
            is_power_of_ten: significant == "1",
        })
    }

    /// Returns true if both are one number, in whatever way they are written.
    pub(crate) fn equals(&self, other: &Decimal) -> bool {
        let is_negative = |number: &Decimal| number.text.starts_with('-');
        self.digits == other.digits
            && self.magnitude == other.magnitude
            && is_negative(self) == is_negative(other)
            && significant(&self.text).zip(significant(&other.text)).take(self.digits).all(|(one, other)| one == other)
    }

    /// Returns true if the number is one of `range`.
    pub(crate) fn is_in(&self, range: &DecimalRange) -> bool {
        let is_largest = self.is_power_of_ten && range.largest == Some(self.magnitude);
        self.digits <= range.digits && (self.digits == 0 || is_largest || range.magnitudes.contains(&self.magnitude))
    }
}

/// Iterates over the digits of a number from the first that is no zero on.
fn significant(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0')
}

fn plain(sign: &str, whole: &str, fraction: &str) -> String {
    let whole = if whole.is_empty() { "0" } else { whole };
    let dot = if fraction.is_empty() { "" } else { "." };
    [sign, whole, dot, fraction].concat()
}

fn in_powers_of_ten(sign: &str, significant: &str, magnitude: i64) -> String {
    let (first, rest) = significant.split_at_checked(1).unwrap_or((significant, ""));
    format!("{}e{magnitude}", plain(sign, first, rest))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn length(text: &str) -> i64 {
    // No text has more bytes than 32 bits address.
    i64::try_from(text.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: DecimalRange = DecimalRange { digits: 5, magnitudes: -3..=8, largest: Some(9) };

    #[test]
    fn a_number_is_written_as_json_has_it() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            (" 007\t", "7"),
            ("12.50", "12.5"),
            ("-1.5e+3", "-1.5e3"),
            ("1.0e007", "1e7"),
            ("120e-3", "1.2e-1"),
            ("1000", "1000"),
            ("0.001", "0.001"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().text, expected, "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "1 2",
            "1,5",
            "NaN",
            "Infinity",
            "1e99999999999999999999",
            "٣",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_written_at_length_is_short() {
        let zeros = "0".repeat(400);
        for (text, expected) in [
            ("0e999999999999", "0"),
            (&format!("0.{zeros}e{zeros}5"), "0"),
            (&format!("1{zeros}e-400"), "1e0"),
            (&format!("-0.{zeros}25e401"), "-2.5e0"),
            (&format!("7e{zeros}3"), "7e3"),
            (&format!("{zeros}7.{zeros}"), "7"),
            (&format!("1{}", "0".repeat(100)), "1e100"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().text, expected);
        }
    }

    #[test]
    fn a_range_is_one_of_size_and_of_digits() {
        let is_in = |text: &str| Decimal::parse(text).unwrap().is_in(&RANGE);
        for text in
            ["0", "0e999", "1000000000", "-1e9", "999990000", "0.001", "10000e5", "0.0000001e7", "12345", "1.2345e8"]
        {
            assert!(is_in(text), "{text}");
        }
        for text in ["1100000000", "1e10", "0.0001", "123456", "1e-4", "1e999999999999"] {
            assert!(!is_in(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_number_that_was_written(text in "-?[0-9]{1,6}(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?", any in ".{0,12}") {
            let decimal = Decimal::parse(&text).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&decimal.text).unwrap().is_number());
            let (read, written): (f64, f64) = (decimal.text.parse().unwrap(), text.parse().unwrap());
            prop_assert_eq!(read, written);
            prop_assert!(read == 0.0 || (read.abs().log10() - decimal.magnitude as f64).abs() < 1.0 + 1e-9);
            let (scaled, twice) = (format!("{text}0"), format!("2{text}"));
            if !text.contains(['e', 'E']) {
                let zero = if text.contains('.') { scaled } else { format!("{text}.00") };
                prop_assert!(decimal.equals(&Decimal::parse(&zero).unwrap()), "{} {}", text, zero);
            }
            prop_assert!(decimal.equals(&Decimal::parse(&format!("{read:e}")).unwrap()), "{}", text);
            if let Some(twice) = Decimal::parse(&twice) {
                prop_assert!(!decimal.equals(&twice));
            }
            if let Some(decimal) = Decimal::parse(&any) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&decimal.text).unwrap().is_number(), "{}", any);
            }
        }
    }
}
