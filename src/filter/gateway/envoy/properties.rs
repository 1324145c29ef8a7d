//! The properties of an exchange: of one that is over, all that an event may need in one call, and
//! else one by one. Knows nothing of what they mean.
//!
//! Envoy hands each value over by a call back into the filter, for memory. So one expression of CEL
//! that returns a list of values takes less time than a few questions; Envoy writes each value of
//! the list as if it had been asked for alone. Where Envoy has no CEL, or may not be asked, every
//! value is asked for alone.

use std::borrow::Cow;

use crate::filter::header_pairs::name_places;
use crate::filter::hostcalls::{self, text, text_of};

/// A property of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeProperty {
    Status,
    Details,
    Began,
    Client,
    RouteName,
    ClusterName,
    UpstreamLatency,
    Duration,
    RequestSize,
    ResponseSize,
    TlsVersion,
    ClientVerified,
    /// Asked for alone, of an exchange whose response was held to the last.
    BodySize,
}

use ExchangeProperty::*;

/// All properties, in the order in which a question lists them: a shorter question leaves out the
/// last ones.
const LISTED: [ExchangeProperty; 12] = [
    Status,
    Details,
    Began,
    Client,
    RouteName,
    ClusterName,
    UpstreamLatency,
    Duration,
    RequestSize,
    ResponseSize,
    TlsVersion,
    ClientVerified,
];

impl ExchangeProperty {
    /// Returns the path, with a zero byte between its parts, and true if an exchange may be without
    /// it.
    fn path(self) -> (&'static str, bool) {
        match self {
            Status => ("response\0code", true),
            Details => ("response\0code_details", true),
            Began => ("request\0time", false),
            Client => ("source\0address", true),
            RouteName => ("xds\0route_name", true),
            ClusterName => ("xds\0cluster_name", true),
            UpstreamLatency => ("response\0backend_latency", true),
            Duration => ("request\0duration", true),
            RequestSize => ("request\0total_size", true),
            ResponseSize => ("response\0total_size", true),
            TlsVersion => ("connection\0tls_version", true),
            ClientVerified => ("connection\0mtls", true),
            BodySize => ("response\0size", true),
        }
    }
}

/// The extent of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuestionExtent {
    /// What tells whether a route wants the exchange, and one exchange from another, and the names
    /// of route and service.
    Outcome,
    /// Everything.
    Record,
}

impl QuestionExtent {
    fn listed(self) -> &'static [ExchangeProperty] {
        let count = match self {
            QuestionExtent::Outcome => 6,
            QuestionExtent::Record => LISTED.len(),
        };
        LISTED.get(..count).unwrap_or(&LISTED)
    }

    /// Returns the expression that lists the properties. An absent one would make an expression
    /// fail: an empty text stands for it.
    fn expression(self) -> String {
        let mut list = String::from("[");
        for property in self.listed() {
            let (path, may_be_absent) = property.path();
            let path: String = path.bytes().map(|byte| if byte == 0 { '.' } else { char::from(byte) }).collect();
            if list.len() > 1 {
                list.push(',');
            }
            // An absent property would make the whole list fail.
            let parts: &[&str] = if may_be_absent { &["has(", &path, ")?", &path, ":''"] } else { &[&path] };
            parts.iter().for_each(|part| list.push_str(part));
        }
        list.push(']');
        list
    }
}

/// Envoy's number of an expression that it has compiled for the root of this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question(u32);

impl Question {
    /// Has Envoy compile a question. Returns `None` if it refuses.
    pub(super) fn compile(extent: QuestionExtent) -> Option<Question> {
        let token = hostcalls::call_foreign("expr_create", extent.expression().as_bytes())?;
        Some(Question(u32::from_le_bytes(token.try_into().ok()?)))
    }
}

/// Answers to a question, as the host serialises a list.
struct Answers {
    list: Vec<u8>,
    /// The place of each value, in the order of [`LISTED`]; an empty one where none was asked for.
    places: [(u32, u32); LISTED.len()],
    count: usize,
}

impl Answers {
    fn new(list: Vec<u8>) -> Answers {
        let (mut places, mut count) = ([(0, 0); LISTED.len()], 0);
        for (place, answer) in places.iter_mut().zip(name_places(&list)) {
            *place = answer;
            count += 1;
        }
        Answers { list, places, count }
    }

    /// Returns the answer, if the question had this property.
    fn get(&self, property: ExchangeProperty) -> Option<&[u8]> {
        let (start, end) = *self.places.get(..self.count)?.get(property as usize)?;
        self.list.get(start as usize..end as usize)
    }
}

/// The properties of one exchange.
pub(super) struct Properties {
    question: Option<Question>,
    answers: Option<Answers>,
}

impl Properties {
    /// Creates the properties of an exchange that `question` asks for when it is over.
    pub(super) fn new(question: Option<Question>) -> Properties {
        Properties { question, answers: None }
    }

    /// Asks for all at once, if that was not done. Call it when the exchange is over, because the
    /// answers stay.
    pub(super) fn ask(&mut self) {
        if let Some(Question(token)) = self.question.take() {
            self.answers = hostcalls::call_foreign("expr_evaluate", &token.to_le_bytes()).map(Answers::new);
        }
    }

    /// Returns a property's bytes; `None` if the exchange is without it, or it is empty.
    #[inline(never)]
    fn bytes(&self, property: ExchangeProperty) -> Option<Cow<'_, [u8]>> {
        let answer = self.answers.as_ref().and_then(|answers| answers.get(property));
        let bytes = match answer {
            Some(answer) => Cow::Borrowed(answer),
            None => Cow::Owned(hostcalls::property(property.path().0)?),
        };
        Some(bytes).filter(|bytes| !bytes.is_empty())
    }

    /// Returns a number, time or duration (in nanoseconds), which Envoy writes as eight bytes,
    /// little-endian.
    pub(super) fn number(&self, property: ExchangeProperty) -> Option<u64> {
        as_number(&self.bytes(property)?)
    }

    /// Returns a number, as [`Properties::number`] does, if it was among the answers.
    pub(super) fn told(&self, property: ExchangeProperty) -> Option<u64> {
        as_number(self.answers.as_ref()?.get(property)?)
    }

    /// Returns a text.
    pub(super) fn text(&self, property: ExchangeProperty) -> Option<Cow<'_, str>> {
        Some(match self.bytes(property)? {
            Cow::Borrowed(bytes) => text_of(bytes),
            Cow::Owned(bytes) => Cow::Owned(text(bytes)),
        })
    }

    /// Returns true if the property is a truth, and true.
    pub(super) fn is_true(&self, property: ExchangeProperty) -> bool {
        self.bytes(property).is_some_and(|bytes| bytes.first() == Some(&1))
    }
}

fn as_number(bytes: &[u8]) -> Option<u64> {
    u64::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::header_pairs::serialise;

    #[test]
    fn a_question_lists_properties_in_the_order_of_their_answers() {
        for (position, property) in LISTED.into_iter().enumerate() {
            assert_eq!(property as usize, position);
        }
        let expression = QuestionExtent::Outcome.expression();
        let expected = "[has(response.code)?response.code:'',has(response.code_details)?response.code_details:'',\
                        request.time,has(source.address)?source.address:'',has(xds.route_name)?xds.route_name:'',\
                        has(xds.cluster_name)?xds.cluster_name:'']";
        assert_eq!(expression, expected);
        let whole = QuestionExtent::Record.expression();
        assert!(whole.starts_with(expected.trim_end_matches(']')) && whole.matches(',').count() == LISTED.len() - 1);
    }

    #[test]
    fn answers_are_read_as_envoy_writes_them() {
        let values: [&[u8]; 4] = [&200u64.to_le_bytes(), b"", &[0xff; 8], b"10.0.0.1:80"];
        let answers = Answers::new(serialise(&values.map(|value| (value, &b""[..]))));
        assert_eq!(answers.get(Status).and_then(as_number), Some(200));
        assert_eq!(answers.get(Details), Some(&b""[..]), "absent");
        assert_eq!(answers.get(Began).and_then(as_number), None, "before 1970");
        assert_eq!(answers.get(Client), Some(&b"10.0.0.1:80"[..]));
        assert_eq!(answers.get(RouteName), None, "not asked for");
        assert_eq!(Answers::new(b"\x01".to_vec()).get(Status), None, "malformed");
    }
}
