//! Bodies of `application/x-www-form-urlencoded`, byte for byte as botocore writes them: a byte
//! that RFC 3986 calls unreserved stands for itself, a space is `+`, and every other byte is
//! percent-encoded. Never encodes a name.
//!
//! The forms of browsers, which `form_urlencoded` writes, leave `*` and encode `~`. AWS takes both
//! spellings, because it checks the bytes that it got; an emulator checks the form that it writes
//! again, and refuses any other spelling than botocore's.
//!
//! A third of the bytes of JSON are escaped, and to append the few bytes between two escapes, as
//! `form_urlencoded` does, is a call out of WebAssembly each. So nothing is appended here: each
//! byte is one read from a table and one write.

/// Bytes that one byte can become: `%2F`.
const MAX_BYTES_OF_ONE: usize = 3;

/// Each byte as it stands in a form, and behind that, as the fourth, how many bytes of it count.
static ENCODED: [[u8; MAX_BYTES_OF_ONE + 1]; 256] = encoded();

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a wrong index is a compiler error")]
const fn encoded() -> [[u8; MAX_BYTES_OF_ONE + 1]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut all = [[0; MAX_BYTES_OF_ONE + 1]; 256];
    let mut byte = 0;
    while byte < all.len() {
        let itself = byte as u8;
        all[byte] = match itself {
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => [itself, 0, 0, 1],
            b' ' => [b'+', 0, 0, 1],
            _ => [b'%', DIGITS[byte >> 4], DIGITS[byte & 15], 3],
        };
        byte += 1;
    }
    all
}

/// The form of one call of AWS's query protocol.
pub(crate) struct Form(Vec<u8>);

impl Form {
    /// Begins a form with room for `bytes`. `action` has the action and the version, as they stand
    /// in the form.
    pub(crate) fn new(action: &'static str, bytes: usize) -> Form {
        let mut form = Vec::with_capacity(bytes);
        form.extend(action.as_bytes());
        Form(form)
    }

    /// Adds a field, whose name is in two parts. Names are ours and need no encoding, which would
    /// be half the work of a small event.
    pub(crate) fn field(&mut self, prefix: &str, name: &str, value: &str) {
        for part in ["&", prefix, name, "="] {
            self.0.extend(part.as_bytes());
        }
        encode(value, &mut self.0);
    }

    /// Ends the form.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Adds `value` to `form`: makes room for the most that it can become, writes the most that each
/// byte can become, and steps on by what it became.
fn encode(value: &str, form: &mut Vec<u8>) {
    // Each byte is written with its length behind it.
    form.reserve(MAX_BYTES_OF_ONE * value.len() + 1);
    let (place, mut end) = (form.as_mut_ptr(), form.len());
    for byte in value.bytes() {
        let Some(encoded) = ENCODED.get(usize::from(byte)) else { break };
        // SAFETY: of the room, the bytes before this one have taken three each at most, so that
        // there are three for this one, and one more.
        unsafe { place.add(end).cast::<[u8; MAX_BYTES_OF_ONE + 1]>().write_unaligned(*encoded) };
        let [.., length] = encoded;
        end += usize::from(*length);
    }
    // SAFETY: all bytes up to `end` were written, within the room.
    unsafe { form.set_len(end) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    fn encoded(value: &str) -> String {
        let mut form = Form::new("Action=Publish", 0);
        form.field("a.", "b", value);
        String::from_utf8(form.into_bytes()).unwrap().strip_prefix("Action=Publish&a.b=").unwrap().to_owned()
    }

    #[derive(Deserialize)]
    struct OfBotocore {
        cases: Vec<(String, String)>,
    }

    #[test]
    fn values_are_encoded_as_botocore_does_it() {
        let expected: OfBotocore = serde_json::from_str(include_str!("../../tests/data/form_botocore.json")).unwrap();
        let first: String = ('\0'..='\u{ff}').collect();
        assert_eq!(expected.cases[0].0, first, "each of the first 256 characters");
        for (value, form) in &expected.cases {
            assert_eq!(encoded(value), *form, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_can_be_read_back_and_is_the_sum_of_its_characters(value: String) {
            let form = encoded(&value);
            let each = |character: char| encoded(&character.to_string());
            prop_assert_eq!(&form, &value.chars().map(each).collect::<String>());
            let read: Vec<(String, String)> = form_urlencoded::parse(format!("a={form}").as_bytes()).into_owned().collect();
            prop_assert_eq!(read, [("a".to_owned(), value)]);
        }
    }
}
