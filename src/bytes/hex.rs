//! Sums in hexadecimal digits. Never reads any.
//!
//! `hex::encode` puts its text together from single characters, which costs ten times as much.

/// Returns two digits in lower case for each of `bytes`.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    let mut digits = vec![b'0'; 2 * bytes.len()];
    // Fails only for another length.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_two_digits() {
        assert_eq!(hex_text(&[0, 0x7f, 0xab, 0xff]), "007fabff");
        assert_eq!(hex_text(&[]), "");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(hex_text(&all), hex::encode(&all));
    }
}
