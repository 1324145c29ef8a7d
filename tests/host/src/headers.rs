//! Header maps: bytes in the order they came, and their form on the wire between host and module.

use std::fmt;

/// Headers in order; names and values are bytes, for a client may send anything.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The first value of `name` as text, with replacement characters where it is none.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<String> {
        self.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one more at the end.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(crate) fn replace(&mut self, name: &[u8], value: &[u8]) {
        match self.0.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.add(name, value),
        }
    }

    pub(crate) fn lower_case(mut self) -> Headers {
        self.0.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        self
    }

    /// The bytes of names and values together, as a host counts the size of headers.
    pub(crate) fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    pub(crate) fn to_wire(&self, max_pairs: usize) -> Vec<u8> {
        let pairs = || self.0.iter().take(max_pairs);
        let mut wire = Vec::with_capacity(4 + self.size() + 10 * self.len());
        let count = self.len().min(max_pairs);
        wire.extend_from_slice(&(count as u32).to_le_bytes());
        for (name, value) in pairs() {
            wire.extend_from_slice(&(name.len() as u32).to_le_bytes());
            wire.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        for (name, value) in pairs() {
            for part in [name, value] {
                wire.extend_from_slice(part);
                wire.push(0);
            }
        }
        wire
    }

    /// Reads the form on the wire; `None` if its lengths do not fit.
    pub(crate) fn from_wire(wire: &[u8]) -> Option<Headers> {
        if wire.is_empty() {
            return Some(Headers::default());
        }
        let word = |at: usize| -> Option<usize> {
            let bytes = wire.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
        };
        let count = word(0)?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        let mut take = |len: usize| -> Option<Vec<u8>> {
            let part = wire.get(at..at.checked_add(len)?)?.to_vec();
            at += len + 1;
            Some(part)
        };
        let mut headers = Headers::default();
        for n in 0..count {
            let (name, value) = (word(4 + n * 8)?, word(8 + n * 8)?);
            headers.0.push((take(name)?, take(value)?));
        }
        Some(headers)
    }
}

/// As text, so that a failing test can be read.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.iter();
        f.debug_map().entries(pairs.map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v)))).finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Headers {
        let mut headers = Headers::default();
        pairs.into_iter().for_each(|(name, value)| headers.add(name, value));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_read_back() {
        let headers: Headers = [("a", b"1".as_slice()), ("", b""), ("b", b"\xff\0x")].into_iter().collect();
        assert_eq!(Headers::from_wire(&headers.to_wire(usize::MAX)), Some(headers.clone()));
        let first = Headers::from_wire(&headers.to_wire(1)).unwrap();
        assert_eq!(first.0, headers.0[..1]);
    }

    #[test]
    fn a_wire_form_that_is_cut_is_refused() {
        let headers: Headers = [("name", "value")].into_iter().collect();
        let wire = headers.to_wire(usize::MAX);
        assert_eq!(Headers::from_wire(&wire[..wire.len() - 2]), None);
        assert_eq!(Headers::from_wire(&[255, 255, 255, 255]), None);
    }
}
