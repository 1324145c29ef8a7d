//! Parts of a URI, percent-encoded as RFC 3986 has it. Never decodes one.

/// Adds a text, of which all bytes are percent-encoded that RFC 3986 does not call unreserved.
#[inline(never)]
pub(crate) fn push_encoded(text: &mut String, part: &str) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.extend([byte >> 4, byte & 15].iter().filter_map(|digit| DIGITS.get(usize::from(*digit))));
        }
    }
}
