//! The bodies of one exchange, copied while they pass: as many bytes as the routes that may still
//! take the exchange want, and never more than there is room for in the worker. Nothing is held or
//! changed for it. Never asks the host, and never decides what an event has of them.

use std::cell::Cell;
use std::rc::Rc;

use super::body_rule::BodyRule;
use super::route::{Matched, Route, Routes};
use crate::exchange::body::{Body, BodyExtent, Omission};
use crate::exchange::{Exchange, Headers};
use crate::metrics::{Metric, Updates};

/// Bytes of the first piece of memory for a body, if it may have so many: most bodies fit.
const FIRST_BYTES: usize = 4_096;

/// The room of a worker for bodies of exchanges that are not over.
#[derive(Debug)]
pub(crate) struct BodyRoom {
    most: usize,
    used: Cell<usize>,
    /// Bodies that found no room since the last visit.
    refused: Cell<u64>,
}

impl BodyRoom {
    /// Makes room for `most` bytes.
    pub(crate) fn new(most: usize) -> BodyRoom {
        BodyRoom { most, used: Cell::default(), refused: Cell::default() }
    }

    /// Takes so many bytes more, unless there is no room for them.
    fn take(&self, bytes: usize) -> bool {
        let used = self.used.get() + bytes;
        let is_there = used <= self.most;
        if is_there {
            self.used.set(used);
        } else {
            self.refused.set(self.refused.get() + 1);
        }
        is_there
    }

    fn give_back(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// Reports what was counted since the last visit.
    pub(crate) fn visit_metrics(&self, updates: &mut Updates) {
        updates.add(Metric::BodiesLeftOut, self.refused.take());
    }
}

/// The head of a message, as far as it says something of its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyHead {
    /// The content type.
    pub(crate) content_type: Option<String>,
    /// The content coding.
    pub(crate) content_encoding: Option<String>,
    /// True if the body is known to be that of another protocol.
    pub(crate) is_tunnel: bool,
    /// True if no body follows.
    pub(crate) is_all: bool,
    /// True if a head whose body does not follow always says so.
    pub(crate) tells_absence: bool,
}

impl BodyHead {
    /// Returns true if what follows has no end that anybody waits for.
    fn is_stream(&self) -> bool {
        let content_type = self.content_type.as_deref().unwrap_or_default().trim_start();
        let begins = |begin: &str| content_type.get(..begin.len()).is_some_and(|it| it.eq_ignore_ascii_case(begin));
        self.is_tunnel || begins("application/grpc") || begins("text/event-stream")
    }

    /// Returns the content coding, unless it leaves the body as it is.
    fn compression(&self) -> Option<&str> {
        let coding = self.content_encoding.as_deref().map(str::trim);
        coding.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    }
}

/// The progress of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// No route wants it.
    #[default]
    NotWanted,
    /// More of it may come.
    Coming,
    /// All of it is here.
    Ended,
    /// There was more of it than any route wants.
    Cut,
    LeftOut(Omission),
}

/// One body.
#[derive(Debug)]
struct KeptBody {
    head: BodyHead,
    bytes: Vec<u8>,
    /// Bytes of it that are wanted, at most.
    most: usize,
    progress: Progress,
    /// True if any of it, or of an empty end, has come.
    has_begun: bool,
    room: Rc<BodyRoom>,
}

impl KeptBody {
    fn new(room: &Rc<BodyRoom>) -> KeptBody {
        let (head, room) = (BodyHead::default(), Rc::clone(room));
        KeptBody { head, bytes: Vec::new(), most: 0, progress: Progress::NotWanted, has_begun: false, room }
    }

    /// Begins with the head, which a route wants so many bytes behind.
    fn begin(&mut self, head: BodyHead, most: Option<usize>) {
        self.most = most.unwrap_or(0);
        self.progress = match most {
            None => Progress::NotWanted,
            Some(_) if head.is_all => Progress::Ended,
            Some(_) if head.is_stream() => Progress::LeftOut(Omission::Streamed),
            Some(_) => Progress::Coming,
        };
        self.head = head;
    }

    /// Takes a piece of `size` bytes, the last if it has `ended`, of which `read` returns the first
    /// so many.
    fn take(&mut self, size: usize, ended: bool, read: impl FnOnce(usize) -> Option<Vec<u8>>) {
        if self.progress != Progress::Coming {
            return;
        }
        self.has_begun |= size > 0 || ended;
        let wanted = size.min(self.most - self.bytes.len());
        if wanted > 0 {
            if !self.grow(self.bytes.len() + wanted) {
                return self.leave_out(Omission::NoRoom);
            }
            match read(wanted) {
                Some(piece) if piece.len() == wanted => self.bytes.extend_from_slice(&piece),
                _ => return self.leave_out(Omission::Unreadable),
            }
        }
        if wanted < size {
            self.progress = Progress::Cut;
        } else if ended {
            self.progress = Progress::Ended;
        }
    }

    /// Makes room for `bytes` in all, in few steps.
    fn grow(&mut self, bytes: usize) -> bool {
        let has = self.bytes.capacity();
        if bytes <= has {
            return true;
        }
        let capacity = bytes.next_power_of_two().max(FIRST_BYTES).min(self.most).max(bytes);
        if !self.room.take(capacity - has) {
            return false;
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        // The allocator may give more than was asked for.
        self.room.used.set(self.room.used.get() + self.bytes.capacity().saturating_sub(capacity));
        true
    }

    fn leave_out(&mut self, omission: Omission) {
        self.free();
        self.progress = Progress::LeftOut(omission);
    }

    fn free(&mut self) {
        self.room.give_back(self.bytes.capacity());
        self.bytes = Vec::new();
    }

    /// Returns what a route with this rule has of it.
    fn body(&self, rule: Option<&BodyRule>) -> Body<'_> {
        let content_type = self.head.content_type.as_deref();
        let Some(rule) = rule.filter(|rule| rule.wants(content_type)) else { return Body::default() };
        let extent = match self.progress {
            Progress::NotWanted => return Body::default(),
            Progress::LeftOut(omission) => return Body::left_out(omission),
            Progress::Ended => BodyExtent::Whole,
            Progress::Cut => BodyExtent::Cut,
            // Where a head does not tell, there may be none.
            Progress::Coming if !self.has_begun && !self.head.tells_absence => return Body::default(),
            Progress::Coming => BodyExtent::BrokeOff,
        };
        let (compression, is_unended) = (self.head.compression(), extent == BodyExtent::BrokeOff);
        let mut body = Body { content_type, compression, extent, is_unended, ..Body::from(&*self.bytes) };
        body.cut(rule.max_bytes);
        body
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        self.free();
    }
}

/// Both bodies of an exchange.
#[derive(Debug)]
pub(crate) struct KeptBodies {
    matched: Matched,
    request: KeptBody,
    response: KeptBody,
}

impl KeptBodies {
    /// Begins with an exchange whose request has `matched`, if a route may want a body of it.
    pub(crate) fn of(routes: &Routes, matched: Matched, room: &Rc<BodyRoom>) -> Option<KeptBodies> {
        let wants = |route: &Route| route.request_body.is_some() || route.response_body.is_some();
        routes.of(matched).any(wants).then(|| KeptBodies {
            matched,
            request: KeptBody::new(room),
            response: KeptBody::new(room),
        })
    }

    /// Returns true if a route may want the body of the request.
    pub(crate) fn want_request(&self, routes: &Routes) -> bool {
        routes.of(self.matched).any(|route| route.request_body.is_some())
    }

    /// Begins the body of the request.
    pub(crate) fn begin_request(&mut self, routes: &Routes, head: BodyHead) {
        let rules = routes.of(self.matched).filter_map(|route| route.request_body.as_ref());
        let most = most(rules, &head);
        self.request.begin(head, most);
    }

    /// Looks at the status of the response. Returns true if a route may want the response's body.
    /// What no route may want any more is given back.
    pub(crate) fn see_status(&mut self, routes: &Routes, status: u16) -> bool {
        let may_take = || routes.of(self.matched).filter(|route| route.statuses.contain(status));
        if !may_take().any(|route| route.request_body.is_some()) {
            self.request.free();
            self.request.progress = Progress::NotWanted;
        }
        may_take().any(|route| route.response_body.is_some())
    }

    /// Begins the body of a response of this status. Behind 101 both are of another protocol.
    pub(crate) fn begin_response(&mut self, routes: &Routes, status: u16, mut head: BodyHead) {
        /// The status behind which another protocol begins.
        const SWITCHING: u16 = 101;
        head.is_tunnel |= status == SWITCHING || self.request.head.is_tunnel && (200..300).contains(&status);
        if status == SWITCHING && self.request.progress != Progress::NotWanted {
            self.request.leave_out(Omission::Streamed);
        }
        let may_take = routes.of(self.matched).filter(|route| route.statuses.contain(status));
        let most = most(may_take.filter_map(|route| route.response_body.as_ref()), &head);
        self.response.begin(head, most);
    }

    /// Takes a piece of the request's body.
    pub(crate) fn take_request(&mut self, size: usize, ended: bool, read: impl FnOnce(usize) -> Option<Vec<u8>>) {
        self.request.take(size, ended, read);
    }

    /// Takes a piece of the response's body.
    pub(crate) fn take_response(&mut self, size: usize, ended: bool, read: impl FnOnce(usize) -> Option<Vec<u8>>) {
        self.response.take(size, ended, read);
    }

    /// Notes that pieces of the response's body come in a form in which they cannot be copied.
    pub(crate) fn lose_response(&mut self) {
        if self.response.progress == Progress::Coming {
            self.response.leave_out(Omission::Unreadable);
        }
    }

    /// Puts what `route` wants of the bodies into the exchange that it takes.
    #[inline(never)]
    pub(crate) fn put_into<'a>(&'a self, exchange: &mut Exchange<'a>, route: &Route) {
        exchange.request.body = self.request.body(route.request_body.as_ref()).into();
        exchange.response.body = self.response.body(route.response_body.as_ref()).into();
    }
}

/// Marks the bodies that `route` wants of an exchange whose bodies nobody saw.
pub(crate) fn mark_unseen(exchange: &mut Exchange<'_>, route: &Route) {
    let content_type = |headers: &Headers<'_>| headers.get("content-type").map(str::to_owned);
    let of_request = content_type(&exchange.request.headers);
    let of_response = content_type(&exchange.response.headers);
    for (rule, content_type, body) in [
        (&route.request_body, of_request, &mut exchange.request.body),
        (&route.response_body, of_response, &mut exchange.response.body),
    ] {
        if rule.as_ref().is_some_and(|rule| rule.wants(content_type.as_deref())) {
            *body = Body::left_out(Omission::AccessLogger).into();
        }
    }
}

/// Returns how many bytes of a body with this head the `rules` want; `None` if none of them wants
/// it.
fn most<'a>(rules: impl Iterator<Item = &'a BodyRule>, head: &BodyHead) -> Option<usize> {
    let wanting = rules.filter(|rule| rule.wants(head.content_type.as_deref()));
    wanting.map(|rule| rule.max_bytes).max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    /// Routes for `PUT /a` with these keys each.
    fn routes(routes: &[&str]) -> Routes {
        let routes: Vec<String> =
            routes.iter().map(|keys| format!(r#"{{"method": "PUT", "matcher": "/a", {keys}}}"#)).collect();
        let topic = "arn:aws:sns:us-east-1:123456789012:t";
        let json = format!(r#"{{"topic_arn": "{topic}", "routes": [{}]}}"#, routes.join(","));
        Config::from_json(json.as_bytes()).unwrap_or_else(|faults| panic!("{faults}")).routes
    }

    fn head(content_type: &str) -> BodyHead {
        BodyHead { content_type: Some(content_type.into()), tells_absence: true, ..BodyHead::default() }
    }

    fn begun(routes: &Routes, room: &Rc<BodyRoom>, head: BodyHead) -> KeptBodies {
        let mut bodies = KeptBodies::of(routes, routes.matched(b"PUT", b"/a"), room).unwrap();
        bodies.begin_request(routes, head);
        bodies
    }

    fn take(bodies: &mut KeptBodies, piece: &[u8], ended: bool) {
        bodies.take_request(piece.len(), ended, |most| Some(piece[..most].to_vec()));
    }

    fn room() -> Rc<BodyRoom> {
        Rc::new(BodyRoom::new(100_000))
    }

    /// The text that the first route has of the request's body, how much of it that is, and whether
    /// its end is missing.
    fn of_first(bodies: &KeptBodies, routes: &Routes) -> (String, BodyExtent, bool) {
        let mut exchange = Exchange::default();
        bodies.put_into(&mut exchange, &routes.all[0]);
        let body = &exchange.request.body;
        (String::from_utf8(body.bytes.to_vec()).unwrap(), body.extent, body.is_unended)
    }

    #[test]
    fn a_body_is_kept_up_to_what_its_route_wants_and_says_what_is_missing() {
        let routes = routes(&[r#""request_body": {"max_bytes": 6}"#, r#""request_body": {"max_bytes": 9}"#]);
        for (pieces, ends, expected) in [
            (&["abc", "def"][..], true, ("abcdef", BodyExtent::Whole, false)),
            (&["abc", "", "def"], false, ("abcdef", BodyExtent::BrokeOff, true)),
            (&["abc", "defg"], true, ("abcdef", BodyExtent::Cut, false)),
            (&["abcdefghijklm", "x"], true, ("abcdef", BodyExtent::Cut, false)),
            (&[], false, ("", BodyExtent::BrokeOff, true)),
            (&[""], true, ("", BodyExtent::Whole, false)),
        ] {
            let mut bodies = begun(&routes, &room(), head("text/plain"));
            for (position, piece) in pieces.iter().enumerate() {
                take(&mut bodies, piece.as_bytes(), ends && position + 1 == pieces.len());
            }
            let (text, extent, is_missing) = expected;
            assert_eq!(of_first(&bodies, &routes), (text.to_owned(), extent, is_missing), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_not_wanted_streamed_or_unreadable_is_never_copied() {
        let routes = routes(&[r#""request_body": {"content_types": ["text/*"]}, "status": 200"#]);
        let never = |_: usize| -> Option<Vec<u8>> { panic!("it is not asked for") };
        let room = room();
        let left_out = |bodies: &KeptBodies| of_first(bodies, &routes).1;
        let mut other = begun(&routes, &room, head("application/json"));
        other.take_request(5, true, never);
        assert_eq!(left_out(&other), BodyExtent::Whole);
        for head in [head("Text/Event-Stream; a=b"), BodyHead { is_tunnel: true, ..head("text/plain") }] {
            let mut streamed = begun(&routes, &room, head);
            streamed.take_request(5, false, never);
            assert_eq!(left_out(&streamed), BodyExtent::LeftOut(Omission::Streamed));
        }
        for read in [None, Some(b"ab".to_vec())] {
            let mut spilled = begun(&routes, &room, head("text/plain"));
            spilled.take_request(5, true, |_| read);
            assert_eq!(left_out(&spilled), BodyExtent::LeftOut(Omission::Unreadable));
        }
        let mut upgraded = begun(&routes, &room, head("text/plain"));
        take(&mut upgraded, b"abc", false);
        upgraded.see_status(&routes, 200);
        upgraded.begin_response(&routes, 101, BodyHead::default());
        assert_eq!(left_out(&upgraded), BodyExtent::LeftOut(Omission::Streamed));
        assert_eq!(room.used.get(), 0);
        // Where a head does not tell whether there is a body, none may be one that never came.
        let silent = begun(&routes, &room, BodyHead { tells_absence: false, ..head("text/plain") });
        assert_eq!(of_first(&silent, &routes), (String::new(), BodyExtent::Whole, false));
    }

    #[test]
    fn what_no_route_can_want_any_more_is_given_back() {
        let routes = routes(&[r#""request_body": {}, "status": 204"#, r#""response_body": {}, "status": 404"#]);
        let room = room();
        let mut bodies = begun(&routes, &room, head("text/plain"));
        take(&mut bodies, &[b'a'; 5_000], false);
        assert_eq!(room.used.get(), 8_192);
        assert!(bodies.see_status(&routes, 404));
        assert_eq!(room.used.get(), 0);
        take(&mut bodies, b"more", true);
        assert_eq!((room.used.get(), of_first(&bodies, &routes).0), (0, String::new()));
        let none = begun(&routes, &room, head("text/plain")).see_status(&routes, 500);
        assert!(!none && KeptBodies::of(&routes, routes.matched(b"PUT", b"/b"), &room).is_none());
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_all_of_it_comes_back(
            pieces in prop::collection::vec((0usize..4, 0usize..20_000, prop::bool::weighted(0.1), prop::bool::weighted(0.05)), 1..80),
        ) {
            let routes = routes(&[r#""request_body": {"max_bytes": 50000}"#]);
            let room = room();
            let mut all: Vec<Option<KeptBodies>> = (0..4).map(|_| None).collect();
            let mut refused = 0;
            for (which, size, ended, gone) in pieces {
                let bodies = all[which].get_or_insert_with(|| begun(&routes, &room, head("text/plain")));
                let was_there = of_first(bodies, &routes).1 != BodyExtent::LeftOut(Omission::NoRoom);
                take(bodies, &vec![b'a'; size], ended);
                let is_there = of_first(bodies, &routes).1 != BodyExtent::LeftOut(Omission::NoRoom);
                refused += u64::from(was_there && !is_there);
                if gone {
                    all[which] = None;
                }
                let held: usize = all.iter().flatten().map(|bodies| bodies.request.bytes.capacity()).sum();
                prop_assert!(room.used.get() == held && held <= 100_000, "{} {}", room.used.get(), held);
                prop_assert_eq!(room.refused.get(), refused);
            }
            drop(all);
            prop_assert_eq!(room.used.get(), 0);
        }
    }
}
