//! Header maps as the host serialises them (Proxy-Wasm ABI 0.2.1, "Header map pairs"): a count, the
//! lengths of all names and values, then the texts with a zero byte after each. Never calls the
//! host.

/// Returns the headers in a serialised map. Stops where the map is malformed.
pub(crate) fn pairs(map: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (count, rest) = split_length(map).unwrap_or((0, &[]));
    let (mut lengths, mut texts) = rest.split_at_checked(count.saturating_mul(8)).unwrap_or((&[], &[]));
    std::iter::from_fn(move || {
        let (name_length, after) = split_length(lengths)?;
        let (value_length, after) = split_length(after)?;
        lengths = after;
        let (name, after) = split_text(texts, name_length)?;
        let (value, after) = split_text(after, value_length)?;
        texts = after;
        Some((name, value))
    })
}

/// Returns the first value of each of these pseudo headers, such as `:scheme`.
pub(crate) fn pseudo<'a, const N: usize>(map: &'a [u8], wanted: [&str; N]) -> [Option<&'a [u8]>; N] {
    let mut found = [None; N];
    for (name, value) in pairs(map).filter(|(name, _)| name.first() == Some(&b':')) {
        for (found, wanted) in found.iter_mut().zip(wanted) {
            if found.is_none() && name == wanted.as_bytes() {
                *found = Some(value);
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found
}

/// Returns how many headers a serialised map has, and never more than its bytes have room for.
pub(crate) fn count(map: &[u8]) -> usize {
    let (count, rest) = split_length(map).unwrap_or((0, &[]));
    count.min(rest.len() / 8)
}

/// Returns where each name stands in a serialised map. A list of values is serialised as a map of
/// names alone.
pub(crate) fn name_places(map: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    let (count, rest) = split_length(map).unwrap_or((0, &[]));
    let (lengths, _) = rest.split_at_checked(count.saturating_mul(8)).unwrap_or((&[], &[]));
    let mut end = lengths.len().saturating_add(4);
    lengths.chunks_exact(8).map_while(move |pair| {
        let (name_length, after) = split_length(pair)?;
        let (value_length, _) = split_length(after)?;
        let start = end;
        end = start.checked_add(name_length)?.checked_add(value_length)?.checked_add(2)?;
        Some((u32::try_from(start).ok()?, u32::try_from(start + name_length).ok()?))
    })
}

/// Serialises headers; the opposite of [`pairs`].
pub(crate) fn serialise<T: AsRef<[u8]>>(headers: &[(T, T)]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = length(headers.len()).to_vec();
    let texts = || headers.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]);
    texts().for_each(|text| map.extend(length(text.len())));
    for text in texts() {
        map.extend(text);
        map.push(0);
    }
    map
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length) as usize, rest))
}

fn split_text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((text, rest.split_first()?.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_are_what_the_host_serialised(headers: Vec<(Vec<u8>, Vec<u8>)>, cut in 0usize..200) {
            let map = serialise(&headers);
            let read: Vec<_> = pairs(&map).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(&read, &headers);
            prop_assert_eq!(count(&map), headers.len());
            let placed: Vec<_> = name_places(&map).map(|(start, end)| &map[start as usize..end as usize]).collect();
            prop_assert_eq!(placed, headers.iter().map(|(name, _)| name.as_slice()).collect::<Vec<_>>());
            let cut_short = &map[..map.len().saturating_sub(cut)];
            prop_assert!(pairs(cut_short).count() <= headers.len());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(pairs(&bytes).count() <= count(&bytes));
            prop_assert!(name_places(&bytes).count() <= count(&bytes));
        }
    }

    #[test]
    fn of_pseudo_headers_the_first_counts() {
        let map = serialise(&[(":path", "/a"), ("a", "b"), (":path", "/b"), (":scheme", "http")]);
        assert_eq!(pseudo(&map, [":scheme", ":path", ":method"]), [Some(&b"http"[..]), Some(b"/a"), None]);
    }
}
