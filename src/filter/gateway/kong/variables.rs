//! Variables of nginx that an event needs at its end: all with one question where nginx has a
//! variable of them all, and else one by one. Knows nothing of what they mean to an exchange.

use std::borrow::Cow;
use std::cell::Cell;

use super::values::text_property;
use crate::bytes::words::positions;
use crate::filter::hostcalls::{self, text};

/// The variable in the shipped `retrohook-aws.conf` that has all others, one a line. Each value
/// that Kong hands over by itself is a call back into the module for memory.
const ALL: &str = "ngx.retrohook_exchange";

/// A variable, in the order of the shipped file. The last one is the client's to choose, and may
/// have anything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NginxVariable {
    Now,
    Duration,
    RequestId,
    RequestLength,
    BytesSent,
    RemoteAddress,
    UpstreamHeaderTime,
    UpstreamResponseTime,
    UpstreamStatus,
    UpstreamUri,
}

/// The properties of all variables, in the same order.
const PROPERTIES: [&str; 10] = [
    "ngx.msec",
    "ngx.request_time",
    "ngx.kong_request_id",
    "ngx.request_length",
    "ngx.bytes_sent",
    "ngx.remote_addr",
    "ngx.upstream_header_time",
    "ngx.upstream_response_time",
    "ngx.upstream_status",
    "ngx.upstream_uri",
];

/// Knowledge of [`ALL`].
#[derive(Default)]
pub(super) struct Together {
    /// True once nginx was seen to have no such variable. It gets none while its workers live.
    is_absent: Cell<bool>,
}

impl Together {
    /// Reads all variables of the request that the host speaks for, if nginx gives them together.
    #[inline(never)]
    pub(super) fn read(&self) -> Variables {
        let lines = if self.is_absent.get() { None } else { hostcalls::property(ALL) };
        self.is_absent.set(lines.is_none());
        Variables(lines.map(text).and_then(ValueLines::of))
    }
}

/// The variables of one request: all of them, if they were read together.
#[derive(Default)]
pub(super) struct Variables(Option<ValueLines>);

/// The values of all variables, one a line, and where each begins.
struct ValueLines {
    text: String,
    starts: [usize; PROPERTIES.len()],
}

impl ValueLines {
    /// Finds the lines; `None` if there are too few, as of another version's file.
    #[inline(never)]
    fn of(text: String) -> Option<ValueLines> {
        let mut starts = [0; PROPERTIES.len()];
        let mut ends = positions(text.as_bytes(), b'\n');
        for start in starts.iter_mut().skip(1) {
            *start = ends.next()? + 1;
        }
        drop(ends);
        Some(ValueLines { text, starts })
    }

    fn get(&self, position: usize) -> Option<&str> {
        let end = match self.starts.get(position + 1) {
            Some(next) => next - 1,
            None => self.text.len(),
        };
        self.text.get(*self.starts.get(position)?..end)
    }
}

impl Variables {
    /// Returns true if they were read together.
    pub(super) fn are_together(&self) -> bool {
        self.0.is_some()
    }

    /// Returns a variable, or reads it. One that has no value is empty, and counts as absent.
    pub(super) fn text(&self, variable: NginxVariable) -> Option<Cow<'_, str>> {
        let position = variable as usize;
        match &self.0 {
            Some(lines) => lines.get(position).filter(|line| !line.is_empty()).map(Cow::Borrowed),
            None => alone(position).map(Cow::Owned),
        }
    }

    /// Returns a variable as a number.
    pub(super) fn number<N: std::str::FromStr>(&self, variable: NginxVariable) -> Option<N> {
        self.text(variable)?.parse().ok()
    }
}

/// Asks for a variable alone.
#[inline(never)]
fn alone(position: usize) -> Option<String> {
    text_property(PROPERTIES.get(position)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A line break can only be in the last value: nginx makes the others of numbers, addresses
        /// and ids.
        #[test]
        fn no_value_moves_into_another_whatever_its_bytes(
            others in prop::collection::vec(prop::collection::vec(prop_oneof![0u8..10, 11u8..=255], 0..20), 9),
            last in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let values: Vec<_> = others.into_iter().chain([last]).collect();
            let lines = ValueLines::of(text(values.join(&b'\n'))).unwrap();
            for (position, value) in values.into_iter().enumerate() {
                let value = text(value);
                prop_assert_eq!(lines.get(position), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn the_shipped_file_has_the_variables_in_this_order() {
        let file = include_str!("../../../../kong/retrohook-aws.conf");
        let (_, map) = file.split_once("$retrohook_exchange {").unwrap();
        let value = map.split('"').nth(1).unwrap();
        let names: Vec<_> = value.split("\\n").map(|name| name.replacen('$', "ngx.", 1)).collect();
        assert_eq!(names, PROPERTIES);
        assert_eq!(NginxVariable::UpstreamUri as usize, PROPERTIES.len() - 1);
    }

    #[test]
    fn a_line_is_a_variable_and_the_last_one_has_the_rest() {
        let of = |text: &str| ValueLines::of(text.to_owned());
        let lines = of("7.5\n0.1\nid\n1\n2\n::1\n\n\n502\n/a\nb\n").unwrap();
        let texts = [NginxVariable::RequestId, NginxVariable::UpstreamHeaderTime, NginxVariable::UpstreamUri];
        assert_eq!(texts.map(|variable| lines.get(variable as usize)), [Some("id"), Some(""), Some("/a\nb\n")]);
        assert!(of("\n\n\n\n\n\n\n\n\n").is_some());
        assert!(of("7.5\n0.1\nid\n1\n2\n::1\n\n\n502").is_none(), "too few");
    }
}
