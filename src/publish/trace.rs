//! The trace that a request belongs to, as its headers say: W3C's `traceparent` and AWS X-Ray's
//! `x-amzn-trace-id`. A client may send anything: what is not exactly of its form is as if it was
//! not there, so that no call is ever refused for it.

use crate::exchange::Headers;

/// The header, and the attribute, that has the trace as W3C writes it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The header in which load balancers of AWS have it.
const X_RAY: &str = "x-amzn-trace-id";

/// Parts of a `traceparent`: version, trace, parent and flags, by their lengths.
const PARENT_LENGTHS: [usize; 4] = [2, 32, 16, 2];

/// Returns the `traceparent` of a request, if it is valid (W3C Trace Context, 3.2): one alone, of
/// version 00, with ids that are not zero.
#[inline(never)]
pub(crate) fn traceparent<'h>(headers: &'h Headers<'_>) -> Option<&'h str> {
    let mut lines = headers.lines(TRACEPARENT);
    let (text, None) = (lines.next()?, lines.next()) else { return None };
    parent_parts(text).map(|_| text)
}

/// Returns the trace of a request as X-Ray writes it in a message or an entry, if there is a valid
/// one: that of the load balancer, else the one of `traceparent`.
#[inline(never)]
pub(crate) fn x_ray_header(headers: &Headers<'_>) -> Option<String> {
    let own = || {
        let mut lines = headers.lines(X_RAY);
        match (lines.next(), lines.next()) {
            (Some(text), None) => of_load_balancer(text),
            _ => None,
        }
    };
    own().or_else(|| {
        let (trace, parent, is_sampled) = parent_parts(traceparent(headers)?)?;
        let (time, random) = trace.split_at_checked(8)?;
        let sampled = if is_sampled { "1" } else { "0" };
        Some(["Root=1-", time, "-", random, ";Parent=", parent, ";Sampled=", sampled].concat())
    })
}

/// Returns trace, parent, and true if it is sampled, of a valid `traceparent`.
#[inline(never)]
fn parent_parts(text: &str) -> Option<(&str, &str, bool)> {
    let mut parts = text.split('-').zip(PARENT_LENGTHS).filter(|(part, length)| is_hex(part, *length));
    let mut next = || parts.next().map(|(part, _)| part);
    let (version, trace, parent, flags) = (next()?, next()?, next()?, next()?);
    let is_whole = text.len() == PARENT_LENGTHS.iter().sum::<usize>() + 3;
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    (is_whole && version == "00" && !is_zero(trace) && !is_zero(parent)).then_some((trace, parent, is_sampled))
}

/// Returns root, parent and sampling of a valid `x-amzn-trace-id`, and nothing else of it.
#[inline(never)]
fn of_load_balancer(text: &str) -> Option<String> {
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for field in text.split(';') {
        let (name, value) = field.trim_matches(' ').split_once('=')?;
        let (place, is_valid) = match name {
            "Root" => (&mut root, is_root(value)),
            "Parent" => (&mut parent, is_hex(value, 16)),
            "Sampled" => (&mut sampled, matches!(value, "0" | "1" | "?")),
            _ => continue,
        };
        if !is_valid || place.replace(value).is_some() {
            return None;
        }
    }
    let mut header = ["Root=", root?].concat();
    for (name, value) in [(";Parent=", parent), (";Sampled=", sampled)] {
        if let Some(value) = value {
            header.push_str(name);
            header.push_str(value);
        }
    }
    Some(header)
}

/// Returns true for `1-58406520-a006649127e371903a2de979`.
fn is_root(text: &str) -> bool {
    let mut parts = text.split('-');
    let [version, time, random] = [(); 3].map(|()| parts.next().unwrap_or_default());
    version == "1" && is_hex(time, 8) && is_hex(random, 24) && parts.next().is_none()
}

#[inline(never)]
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const ROOT: &str = "Root=1-58406520-a006649127e371903a2de979";

    fn headers(pairs: &[(&'static str, &str)]) -> Headers<'static> {
        Headers(pairs.iter().map(|(name, value)| ((*name).into(), (*value).to_owned().into())).collect())
    }

    fn x_ray(pairs: &[(&'static str, &str)]) -> Option<String> {
        x_ray_header(&headers(pairs))
    }

    #[test]
    fn a_valid_parent_is_kept_and_becomes_a_header_of_x_ray() {
        let sent = [(TRACEPARENT, PARENT)];
        assert_eq!(traceparent(&headers(&sent)), Some(PARENT));
        let expected = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=";
        assert_eq!(x_ray(&sent), Some(format!("{expected}1")));
        assert_eq!(x_ray(&[(TRACEPARENT, &PARENT.replace("-01", "-02"))]), Some(format!("{expected}0")));
    }

    #[test]
    fn the_load_balancer_s_word_goes_first_and_what_is_not_known_of_it_is_left_out() {
        let both = |own: &str| x_ray(&[(TRACEPARENT, PARENT), (X_RAY, own)]);
        assert_eq!(both(ROOT).as_deref(), Some(ROOT));
        let whole =
            format!("Self=1-67891233-abcdef012345678912345678; {ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0");
        assert_eq!(both(&whole), Some(format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1")));
        assert!(both("Root=1-5840652-a006649127e371903a2de979").unwrap().starts_with("Root=1-4bf92f35-"));
    }

    #[test]
    fn garbage_is_no_trace() {
        for text in [
            "",
            "00",
            "REDACTED",
            PARENT.strip_prefix('0').unwrap(),
            &format!("{PARENT}-"),
            &format!("{PARENT} "),
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replacen("00", "01", 1),
            &PARENT.replace("4bf", "4bg"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(
                (traceparent(&headers(&[(TRACEPARENT, text)])), x_ray(&[(TRACEPARENT, text)])),
                (None, None),
                "{text}"
            );
        }
        assert_eq!(traceparent(&headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)])), None, "two of them");
        for text in [
            "",
            "Root",
            "Root=",
            "Parent=53995c3f42cd8ad8",
            &format!("{ROOT};{ROOT}"),
            &format!("{ROOT};Parent=x"),
            &format!("{ROOT};Sampled=2"),
            &format!("{ROOT}\n"),
            &ROOT.replace("1-", "2-"),
            &ROOT.replace('a', "A"),
            &format!("{ROOT}-1"),
            &format!("{ROOT};;"),
        ] {
            assert_eq!(x_ray(&[(X_RAY, text)]), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_goes_on_is_well_formed(
            parent in "\\PC{0,60}|00-[0-9a-f]{30,34}-[0-9a-f]{16}-[0-9a-f]{2}",
            own in "\\PC{0,60}|((Root=1-[0-9a-f]{8}-[0-9a-f]{23,25}|Parent=[0-9a-fg]{16}|Sampled=[01?2]|[A-Za-z]{1,5}=[ -~]{0,9});? ?){0,5}",
        ) {
            let headers = headers(&[(TRACEPARENT, &parent), (X_RAY, &own)]);
            if let Some(text) = traceparent(&headers) {
                prop_assert!(text.len() == 55 && text.starts_with("00-"));
            }
            if let Some(text) = x_ray_header(&headers) {
                prop_assert!(text.starts_with("Root=1-") && text.len() <= 100 && text.is_ascii(), "{}", text);
                prop_assert!(text.split(';').all(|field| field.split('=').count() == 2), "{}", text);
            }
        }
    }
}
