//! The properties of an exchange, and headers by name: of one that is over, all that an event may
//! need in one call, and else one by one. Knows nothing of what they mean.
//!
//! Envoy hands each value over by a call back into the filter, for memory. So one expression of CEL
//! that returns a list of values takes less time than a few questions; Envoy writes each value of
//! the list as if it had been asked for alone. Where Envoy has no CEL, or may not be asked, every
//! value is asked for alone.

use std::borrow::Cow;
use std::rc::Rc;

use proxy_wasm::types::MapType;

use crate::filter::header_pairs::{name_places, serialise};
use crate::filter::hostcalls::{self, text, text_of, MOST_BY_NAME};

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
    /// of route and service. The time of the end is not among it: a question takes 0.4 µs for a
    /// property, and a look at the clock 0.1.
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
}

/// A header of a map of Envoy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedHeader {
    pub(super) map: MapType,
    pub(super) name: String,
}

impl NamedHeader {
    /// Returns the map as expressions name it; `None` if this header has no place in one.
    fn map_path(&self) -> Option<&'static str> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_:".contains(&byte);
        match self.map {
            _ if !self.name.bytes().all(is_plain) => None,
            MapType::HttpRequestHeaders => Some("request.headers"),
            MapType::HttpResponseHeaders => Some("response.headers"),
            _ => None,
        }
    }
}

/// Headers of one map in a question, at most. There each takes 0.2 to 0.4 µs on Envoy 1.40, and
/// alone 0.8; all of a map take 1.3 to 2.0.
const MOST_OF_A_MAP: usize = 4;

/// The answer for a header that is absent: no header has a line break in it.
const NO_HEADER: &[u8] = b"\n";

/// A question that Envoy has compiled for the root of this worker.
#[derive(Debug)]
pub(super) struct Question {
    /// Envoy's number of its expression.
    token: u32,
    /// Number of the properties that it asks for.
    listed: usize,
    headers: Vec<NamedHeader>,
}

impl Question {
    /// Has Envoy compile a question for properties and these headers. Returns `None` if it refuses.
    pub(super) fn compile(extent: QuestionExtent, headers: Vec<NamedHeader>) -> Option<Question> {
        let token = hostcalls::call_foreign("expr_create", expression(extent, &headers).as_bytes())?;
        let token = u32::from_le_bytes(token.try_into().ok()?);
        Some(Question { token, listed: extent.listed().len(), headers })
    }

    /// Returns true if it asks for these headers.
    pub(super) fn has(&self, headers: &[NamedHeader]) -> bool {
        self.headers == headers
    }
}

/// Returns the headers that a question has room for: the named ones of each map, or none of it,
/// where there are so many that all of the map take less time.
pub(super) fn headers_of_question(named: [(MapType, Vec<&str>); 2]) -> Vec<NamedHeader> {
    let mut headers: Vec<NamedHeader> = Vec::new();
    for (map, names) in named {
        let before = headers.len();
        for name in names {
            let header = NamedHeader { map, name: name.to_owned() };
            if header.map_path().is_some() && !headers.contains(&header) {
                headers.push(header);
            }
        }
        if headers.len() > before + MOST_OF_A_MAP {
            headers.truncate(before);
        }
    }
    headers
}

/// Returns the expression that lists properties and headers. An absent one would make the list
/// fail: an empty text stands for a property, and [`NO_HEADER`] for a header.
fn expression(extent: QuestionExtent, headers: &[NamedHeader]) -> String {
    let mut list = String::from("[");
    let mut add = |parts: &[&str]| {
        if list.len() > 1 {
            list.push(',');
        }
        parts.iter().for_each(|part| list.push_str(part));
    };
    for property in extent.listed() {
        let (path, may_be_absent) = property.path();
        let path: String = path.bytes().map(|byte| if byte == 0 { '.' } else { char::from(byte) }).collect();
        match may_be_absent {
            true => add(&["has(", &path, ")?", &path, ":''"]),
            false => add(&[&path]),
        }
    }
    for header in headers {
        if let Some(map) = header.map_path() {
            add(&["'", &header.name, "'in ", map, "?", map, "['", &header.name, r"']:'\n'"]);
        }
    }
    list.push(']');
    list
}

/// What is known of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderAnswer<'a> {
    /// Nothing: it was not asked for, or came several times.
    Unknown,
    Absent,
    /// Its value, and it has only this one.
    Value(&'a [u8]),
}

/// Answers to a question, as the host serialises a list.
struct Answers {
    question: Rc<Question>,
    list: Vec<u8>,
    /// The place of each value: of the properties in the order of [`LISTED`], and of headers behind
    /// those that were asked for.
    places: [(u32, u32); LISTED.len() + 2 * MOST_OF_A_MAP],
}

impl Answers {
    fn new(question: Rc<Question>, list: Vec<u8>) -> Answers {
        let mut places = [(0, 0); LISTED.len() + 2 * MOST_OF_A_MAP];
        for (place, answer) in places.iter_mut().zip(name_places(&list)) {
            *place = answer;
        }
        Answers { question, list, places }
    }

    /// Returns the answer, if the question had this property.
    fn get(&self, property: ExchangeProperty) -> Option<&[u8]> {
        let position = property as usize;
        (position < self.question.listed).then(|| self.at(position))?
    }

    fn at(&self, position: usize) -> Option<&[u8]> {
        let (start, end) = *self.places.get(position)?;
        self.list.get(start as usize..end as usize)
    }

    fn header(&self, map: MapType, name: &str) -> HeaderAnswer<'_> {
        let Question { listed, headers, .. } = &*self.question;
        let asked = headers.iter().position(|header| header.map == map && header.name == name);
        match asked.and_then(|position| self.at(listed + position)) {
            None => HeaderAnswer::Unknown,
            Some(NO_HEADER) => HeaderAnswer::Absent,
            // An expression sees all lines of a header with commas between them.
            Some(value) if value.contains(&b',') => HeaderAnswer::Unknown,
            Some(value) => HeaderAnswer::Value(value),
        }
    }
}

/// The properties of one exchange.
pub(super) struct Properties {
    question: Option<Rc<Question>>,
    answers: Option<Answers>,
}

impl Properties {
    /// Creates the properties of an exchange that `question` asks for when it is over.
    pub(super) fn new(question: Option<Rc<Question>>) -> Properties {
        Properties { question, answers: None }
    }

    /// Asks for all at once, if that was not done. Call it when the exchange is over, because the
    /// answers stay.
    pub(super) fn ask(&mut self) {
        if let Some(question) = self.question.take() {
            let list = hostcalls::call_foreign("expr_evaluate", &question.token.to_le_bytes());
            self.answers = list.map(|list| Answers::new(question, list));
        }
    }

    /// Returns a number, time or duration (in nanoseconds), which Envoy writes as eight bytes,
    /// little-endian.
    pub(super) fn number(&self, property: ExchangeProperty) -> Option<u64> {
        match self.answer(property) {
            Some(answer) => as_number(answer),
            None => as_number(&alone(property)?),
        }
    }

    /// Returns a number, as [`Properties::number`] does, if it was among the answers.
    pub(super) fn told(&self, property: ExchangeProperty) -> Option<u64> {
        as_number(self.answer(property)?)
    }

    /// Returns a text; `None` if the exchange is without it, or it is empty.
    pub(super) fn text(&self, property: ExchangeProperty) -> Option<Cow<'_, str>> {
        let text = match self.answer(property) {
            Some(answer) => text_of(answer),
            None => Cow::Owned(text(alone(property)?)),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns true if the property is a truth, and true.
    pub(super) fn is_true(&self, property: ExchangeProperty) -> bool {
        match self.answer(property) {
            Some(answer) => answer.first() == Some(&1),
            None => alone(property).is_some_and(|value| value.first() == Some(&1)),
        }
    }

    /// Reads headers by name, as the host serialises a map, because they are read like one: those
    /// that were among the answers, and of others all or each alone, whichever takes less time.
    #[inline(never)]
    pub(super) fn headers(&self, map: MapType, names: &[&str]) -> Vec<u8> {
        let answer = |name| self.answers.as_ref().map_or(HeaderAnswer::Unknown, |answers| answers.header(map, name));
        if names.iter().filter(|name| answer(name) == HeaderAnswer::Unknown).count() > MOST_BY_NAME {
            return hostcalls::header_map(map);
        }
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let value = match answer(name) {
                HeaderAnswer::Value(value) => Some(Cow::Borrowed(value)),
                HeaderAnswer::Absent => None,
                HeaderAnswer::Unknown => hostcalls::header(map, name).map(Cow::Owned),
            };
            found.extend(value.map(|value| (Cow::Borrowed(name.as_bytes()), value)));
        }
        serialise(&found)
    }

    fn answer(&self, property: ExchangeProperty) -> Option<&[u8]> {
        self.answers.as_ref()?.get(property)
    }
}

/// Asks for a property alone.
#[inline(never)]
fn alone(property: ExchangeProperty) -> Option<Vec<u8>> {
    hostcalls::property(property.path().0)
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
        let expected = "[has(response.code)?response.code:'',has(response.code_details)?response.code_details:'',\
                        request.time,has(source.address)?source.address:'',has(xds.route_name)?xds.route_name:'',\
                        has(xds.cluster_name)?xds.cluster_name:''";
        let named = [
            (MapType::HttpRequestHeaders, vec![":authority", "x-b", "it's", "x-b"]),
            (MapType::HttpResponseHeaders, vec!["etag"]),
        ];
        let of_headers = "':authority'in request.headers?request.headers[':authority']:'\\n',\
                          'x-b'in request.headers?request.headers['x-b']:'\\n',\
                          'etag'in response.headers?response.headers['etag']:'\\n'";
        let headers = headers_of_question(named);
        assert_eq!(expression(QuestionExtent::Outcome, &headers), format!("{expected},{of_headers}]"));
        let whole = expression(QuestionExtent::Record, &[]);
        assert!(whole.starts_with(expected) && whole.matches(',').count() == LISTED.len() - 1);
    }

    #[test]
    fn where_all_of_a_map_take_less_time_no_header_of_it_is_asked_for() {
        let many: Vec<String> = (0..=MOST_OF_A_MAP).map(|number| format!("x-{number}")).collect();
        let named = |request: usize, response: usize| {
            let names = |count| many.iter().take(count).map(String::as_str).collect();
            let maps = [MapType::HttpRequestHeaders, MapType::HttpResponseHeaders];
            let headers = headers_of_question([(maps[0], names(request)), (maps[1], names(response))]);
            maps.map(|map| headers.iter().filter(|header| header.map == map).count())
        };
        assert_eq!(named(MOST_OF_A_MAP, 1), [MOST_OF_A_MAP, 1]);
        assert_eq!(named(MOST_OF_A_MAP + 1, 1), [0, 1]);
    }

    #[test]
    fn answers_are_read_as_envoy_writes_them() {
        let values: [&[u8]; 10] =
            [&200u64.to_le_bytes(), b"", &[0xff; 8], b"10.0.0.1:80", b"", b"", b"acme", b"\n", b"a,b", b""];
        let map = MapType::HttpRequestHeaders;
        let headers = ["one", "none", "two", "empty"].map(|name| NamedHeader { map, name: name.into() }).to_vec();
        let question = Rc::new(Question { token: 1, listed: QuestionExtent::Outcome.listed().len(), headers });
        let answers = Answers::new(Rc::clone(&question), serialise(&values.map(|value| (value, &b""[..]))));
        assert_eq!(answers.get(Status).and_then(as_number), Some(200));
        assert_eq!(answers.get(Details), Some(&b""[..]), "absent");
        assert_eq!(answers.get(Began).and_then(as_number), None, "before 1970");
        assert_eq!(answers.get(Client), Some(&b"10.0.0.1:80"[..]));
        assert_eq!(answers.get(UpstreamLatency), None, "not asked for");
        let found = ["one", "none", "two", "empty", "other"].map(|name| answers.header(map, name));
        use HeaderAnswer::{Absent, Unknown, Value};
        assert_eq!(found, [Value(b"acme"), Absent, Unknown, Value(b""), Unknown]);
        assert_eq!(answers.header(MapType::HttpResponseHeaders, "one"), Unknown);
        let malformed = Answers::new(question, b"\x01".to_vec());
        assert_eq!(malformed.get(Status).and_then(as_number), None);
    }
}
