//! Spellings of a path that an application may take for that path.
//!
//! Gateways and applications differ in what they decode, merge, cut off and fold. What one of them
//! calls another path may be the same path to the next. Here every such difference is taken away;
//! nothing here decides what follows from that.

/// Rounds of percent-decoding: a gateway may decode once, and the application behind it again.
const DECODINGS: usize = 2;

/// Returns true if a gateway that decodes, resolves dot segments and merges slashes may make
/// another path of that of `target`; also if that is so in its query only.
///
/// It runs for every request that no route wants, so that it has no branch for each byte: compilers
/// then look at many at once.
#[inline(never)]
pub(crate) fn may_be_normalised(target: &[u8]) -> bool {
    let pairs = target.iter().zip(target.get(1..).unwrap_or_default());
    let found = pairs.fold(0, |found, (byte, next)| {
        let is_escape = (*byte == b'%') | (*byte == b'#') | (*byte == b'\\');
        found | u8::from(is_escape | ((*byte == b'/') & ((*next == b'/') | (*next == b'.'))))
    });
    found != 0 || target.ends_with(b"#")
}

/// Returns true if nobody is likely to spell a path in another way: it has lower-case letters,
/// digits, `-`, `_` and `~` between single slashes, and none at its end.
#[inline]
pub(crate) fn is_plain(path: &[u8]) -> bool {
    let is_usual = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'/');
    path.iter().all(is_usual) && !path.ends_with(b"/") && !path.windows(2).any(|pair| pair == b"//")
}

/// Returns the plain spelling of a path: decoded as the most lenient decoder does it, cut where a
/// query, a fragment or a C string would end it, with `\` as `/`, without empty and dot segments,
/// and each segment without its `;` parameters and without white space and dots at its end. It is
/// at most a slash longer.
pub(crate) fn plain(path: &[u8]) -> Vec<u8> {
    // Most paths have nothing to decode.
    let is_literal = |byte: &u8| byte.is_ascii() && !matches!(byte, b'%' | b'\t' | b'\n' | b'\r');
    let decoded = match path.iter().all(is_literal) {
        true => path.to_vec(),
        false => (0..DECODINGS).fold(path.to_vec(), |path, _| fold(decode(&path))),
    };
    let whole = decoded.split(|byte| b"?#\0".contains(byte)).next().unwrap_or_default();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in whole.split(|byte| b"/\\".contains(byte)) {
        match trim(segment.split(|byte| *byte == b';').next().unwrap_or_default()) {
            b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.extend(Some(without_dots(segment)).filter(|segment| !segment.is_empty())),
        }
    }
    let mut plain = Vec::with_capacity(decoded.len());
    for segment in segments {
        plain.push(b'/');
        plain.extend(segment);
    }
    plain
}

/// Returns a plain path without what looks like a format at its end, as in `/orders.json`.
pub(crate) fn without_format(plain: &[u8]) -> &[u8] {
    let last = plain.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = plain.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > last);
    dot.and_then(|dot| plain.get(..dot)).unwrap_or(plain)
}

/// Decodes every `%` that has two hexadecimal digits behind it, and `%u` with four. Leaves out what
/// parsers of URLs leave out: tabs and line breaks.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let escape = if *first == b'%' { after } else { &[] };
        rest = after;
        if let Some((byte, after)) = hexadecimal::<2>(escape) {
            decoded.extend(u8::try_from(byte));
            rest = after;
        } else if let Some((code, after)) = escape.strip_prefix(b"u").and_then(hexadecimal::<4>) {
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            decoded.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            decoded.push(*first);
        }
    }
    decoded.retain(|byte| !b"\t\n\r".contains(byte));
    decoded
}

/// Reads so many hexadecimal digits, and returns what is behind them.
fn hexadecimal<const DIGITS: usize>(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_first_chunk::<DIGITS>()?;
    let digits = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}

/// Writes everything as ASCII that some decoder takes for ASCII: forms of UTF-8 that are longer
/// than they need to be, full-width forms, and letters of which the other case is ASCII. Any white
/// space becomes a space.
fn fold(path: Vec<u8>) -> Vec<u8> {
    if path.is_ascii() {
        return path;
    }
    let mut folded = Vec::with_capacity(path.len());
    let mut rest = &path[..];
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) =
            lenient(rest).and_then(|(code, after)| Some((ascii(code)?, after))).unwrap_or((*first, after));
        folded.push(byte);
        rest = after;
    }
    folded
}

/// Reads a character of several bytes, as a decoder does that checks neither range nor length.
fn lenient(text: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = text.split_first()?;
    let (length, bits) = match first {
        0xc0..=0xdf => (1, first & 0x1f),
        0xe0..=0xef => (2, first & 0x0f),
        0xf0..=0xf7 => (3, first & 0x07),
        _ => return None,
    };
    let (continuation, after) = rest.split_at_checked(length)?;
    let is_whole = continuation.iter().all(|byte| byte & 0xc0 == 0x80);
    let code = continuation.iter().fold(u32::from(bits), |code, byte| code << 6 | u32::from(byte & 0x3f));
    is_whole.then_some((code, after))
}

fn ascii(code: u32) -> Option<u8> {
    let code = match code {
        0xff01..=0xff5e => code - 0xfee0,
        // The signs of kelvin, and the long s.
        0x212a => u32::from(b'k'),
        0x017f => u32::from(b's'),
        _ if char::from_u32(code).is_some_and(char::is_whitespace) => u32::from(b' '),
        _ => code,
    };
    u8::try_from(code).ok().filter(u8::is_ascii)
}

fn trim(segment: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = segment.iter().position(|byte| !is_blank(byte)).unwrap_or(segment.len());
    let end = segment.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    segment.get(start..end).unwrap_or_default()
}

fn without_dots(segment: &[u8]) -> &[u8] {
    let end = segment.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    segment.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Paths that one application or another takes for `/webhook`.
    const SPELLINGS: [&[u8]; 50] = [
        b"/webhook",
        b"/webhook/",
        b"/webhook//",
        b"//webhook",
        b"/webhook%2f",
        b"/webhook%5C",
        b"/webhook%252f",
        b"/webhook;a",
        b"/webhook;a=b/",
        b"/;a/webhook",
        b"/%77ebhook",
        b"/%2577ebhook",
        b"/x/../webhook",
        b"/x/..;/webhook",
        b"/x/..;a=b/webhook",
        b"/x/..%2fwebhook",
        b"/x%2f..%2Fwebhook",
        b"/x/%2e%2e/webhook",
        b"/x\\..\\webhook",
        b"\\webhook",
        b"/./webhook",
        b"/webhook/.",
        b"/webhook/x/..",
        b"/../webhook",
        b"webhook",
        b"/webhook#x",
        b"/webhook%23x",
        b"/webhook%3fx",
        b"/webhook%00",
        b"/webhook%00.png",
        b"/webhook%20",
        b"/webhook%09",
        b"/webhook%0a",
        b"/%20webhook",
        b"/webhook.",
        b"/webhook. ",
        b"/web%0ahook",
        b"/web%0d%09hook",
        b"/%u0077ebhook",
        b"/webhook%u002f",
        b"/webhook%u0000x",
        b"/%c0%afwebhook",
        b"/webhook%c0%80x",
        b"/x/%c0%ae%c0%ae/webhook",
        b"/%e0%81%b7ebhook",
        b"/%f0%80%81%b7ebhook",
        b"/%ef%bd%97ebhook",
        b"/x/..%ef%bc%8fwebhook",
        b"/webhoo%e2%84%aa",
        b"/%e3%80%80webhook%c2%a0",
    ];

    #[test]
    fn every_spelling_has_one_that_is_plain() {
        for spelling in SPELLINGS {
            assert_eq!(plain(spelling), b"/webhook", "{}", spelling.escape_ascii());
        }
        for (path, expected) in [
            (&b"/"[..], &b""[..]),
            (b"", b""),
            (b"/..", b""),
            (b"/a%", b"/a%"),
            (b"/a%zz%4", b"/a%zz%4"),
            (b"/a%+1", b"/a%+1"),
            (b"/a%u12", b"/a%u12"),
            (b"/a%ud800", "/a\u{fffd}".as_bytes()),
            (b"/caf%c3%a9", "/café".as_bytes()),
            (b"/%e2%82%ac%f0%9f%98%80", "/€😀".as_bytes()),
            (b"/%c3%e2%82%f8", b"/\xc3\xe2\x82\xf8"),
            (b"/a/b.c", b"/a/b.c"),
            (b"/webhook/..", b""),
            (b"/webhooks", b"/webhooks"),
            (b"/a.b/.c/...", b"/a.b/.c"),
        ] {
            assert_eq!(plain(path), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn what_a_gateway_would_change_is_known() {
        for (target, expected) in [
            ("/a/b-c_d~e", false),
            ("/a.b/c.d", false),
            ("/a?b=c", false),
            ("/a?b=%20", true),
            ("", false),
            ("/a#", true),
            ("/%61", true),
            ("/a//b", true),
            ("/a/./b", true),
            ("/a/../b", true),
            ("/a/.b", true),
            ("/a#b", true),
            ("/a\\b", true),
        ] {
            assert_eq!(may_be_normalised(target.as_bytes()), expected, "{target}");
        }
    }

    #[test]
    fn a_format_is_what_follows_the_last_dot_of_the_last_segment() {
        for (path, expected) in
            [("/a.json", "/a"), ("/a.b.c", "/a.b"), ("/a.b/c", "/a.b/c"), ("/.a", "/.a"), ("/a", "/a"), ("", "")]
        {
            assert_eq!(without_format(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_plain_is_its_own_plain_spelling(path in "(/[a-z0-9_~-]{1,5}){0,4}") {
            prop_assert!(is_plain(path.as_bytes()));
            prop_assert_eq!(plain(path.as_bytes()), path.as_bytes());
        }

        #[test]
        fn any_bytes_have_a_plain_spelling_that_is_no_longer(path: Vec<u8>) {
            let plain = plain(&path);
            prop_assert!(plain.len() <= path.len() + 1);
            prop_assert!(!plain.windows(2).any(|pair| pair == b"//") && !plain.contains(&b'\\'));
        }
    }
}
