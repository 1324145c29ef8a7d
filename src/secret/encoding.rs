//! The forms in which bytes of signatures and secrets are written as text.

use base64_simd::{Out, STANDARD};

/// A form in which bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Two digits for each byte, in either case.
    Hex,
    /// Base64, of either alphabet, padded or not.
    Base64,
    /// The text itself.
    Text,
}

impl Encoding {
    /// Reads bytes. Returns `None` for a text of another form.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Encoding::Hex => hex::decode(text).ok(),
            Encoding::Base64 => base64(text),
            Encoding::Text => Some(text.as_bytes().to_vec()),
        }
    }

    /// Writes bytes.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Hex => hex::encode(bytes),
            Encoding::Base64 => STANDARD.encode_to_string(bytes),
            Encoding::Text => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// Decodes base64. What tells the alphabets apart is in only one of each, so that neither can be
/// taken for the other.
fn base64(text: &str) -> Option<Vec<u8>> {
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let mut digits: Vec<u8> = text.trim_end_matches('=').bytes().map(standard).collect();
    digits.resize(digits.len().next_multiple_of(4), b'=');
    let mut buffer = vec![0; STANDARD.estimated_decoded_length(digits.len())];
    Some(STANDARD.decode(&digits, Out::from_slice(&mut buffer)).ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_either_alphabet_with_and_without_padding() {
        for text in ["+/8=", "-_8=", "-_8", "+/8"] {
            assert_eq!(Encoding::Base64.decode(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        for text in ["+/8 ", "+/", "a", "é", "+/9", "+=/8"] {
            assert!(Encoding::Base64.decode(text).is_none_or(|bytes| bytes != [0xfb, 0xff]), "{text}");
        }
        assert_eq!(Encoding::Base64.decode("a"), None);
        assert_eq!(Encoding::Base64.decode("").unwrap(), b"");
    }

    #[test]
    fn what_is_written_is_read() {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Text] {
            assert_eq!(encoding.decode(&encoding.encode(b"any text")).unwrap(), b"any text");
        }
        assert_eq!(Encoding::Hex.decode("0A0b").unwrap(), [10, 11]);
        assert_eq!(Encoding::Hex.decode("0"), None);
    }
}
