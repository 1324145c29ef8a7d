//! Routes: which exchanges become events. Asks for the method first, then the path, then the
//! status: the cheapest question first.

use std::cell::Cell;
use std::ops::RangeInclusive;

use crate::aws::protocol::Protocol;
use crate::exchange::matcher::{Groups, Matcher, Methods};
use crate::exchange::search::{PathMatches, PathSearch};
use crate::exchange::template::{Template, Variable};
use crate::publish::attribute::TypedAttribute;
use crate::publish::body_rule::BodyRule;
use crate::publish::condition::Conditions;
use crate::publish::message_template::MessageTemplate;
use crate::publish::needs::Needs;
use crate::publish::sample::Sample;

/// The response statuses of a route; an exchange needs to be in one of the ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statuses(pub(crate) Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Returns `2xx`, which a route looks for unless it says otherwise.
    pub(crate) fn success() -> Statuses {
        Statuses(vec![200..=299])
    }

    /// Returns gRPC's `OK`, which a route looks for in a response of gRPC unless it says otherwise.
    pub(crate) fn grpc_success() -> Statuses {
        Statuses(vec![0..=0])
    }

    /// Returns true if `status` is one of them by itself, and not as one of a range.
    pub(crate) fn name(&self, status: u16) -> bool {
        self.0.iter().any(|range| *range.start() == status && *range.end() == status)
    }

    /// Returns true if `status` is one of them.
    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// How an exchange ended, as far as routes ask for it. Each answer may take calls to the host, and
/// is asked for only where those before it are as a route wants them.
pub trait ResponseEnd {
    /// Returns the status of the response; 0 if there is none, as on Envoy where the client left
    /// before the response began.
    fn status(&self) -> u16;

    /// Returns gRPC's own status, if the response is one of gRPC.
    fn grpc_status(&self) -> Option<u16>;

    /// Returns false if the response is known to have broken off.
    fn is_complete(&self) -> bool;
}

/// The outcome of a whole response that is none of gRPC.
impl ResponseEnd for u16 {
    fn status(&self) -> u16 {
        *self
    }

    fn grpc_status(&self) -> Option<u16> {
        None
    }

    fn is_complete(&self) -> bool {
        true
    }
}

/// The moment at which the client gets a response that becomes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryMode {
    /// As soon as the response is there: it does not wait for the event.
    AfterResponse,
    /// Once the event is acknowledged, or as [`OnFailure`] says if it is not.
    BeforeResponse(OnFailure),
}

/// The fate of a response whose event was not acknowledged in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The client gets the response all the same, and the event stays queued.
    Pass,
    /// The client gets a 503 instead, and the event is withdrawn.
    Fail,
}

/// The form of the message of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The message alone, in the shape of Kong's log.
    Kong,
    /// A CloudEvent of the structured mode, whose data is the message.
    CloudEvents,
}

/// Returns true if a message of this format, in a form of its operator's own or not, goes to a
/// target of this protocol without attributes.
pub(crate) fn sends_message_alone(format: Format, has_own_form: bool, protocol: &dyn Protocol) -> bool {
    format == Format::Kong && has_own_form && protocol.takes_own_message_alone()
}

/// Events of one exchange, at most: each is written in the callback in which the exchange ends.
pub(crate) const MAX_EVENTS_OF_EXCHANGE: usize = 16;

/// A rule for exchanges that become events, and what the events carry beside the record.
#[derive(Clone, Debug)]
pub struct Route {
    /// The methods of the request.
    pub(crate) methods: Methods,
    /// The pattern of the request's path.
    pub(crate) matcher: Matcher,
    /// The statuses of the response.
    pub(crate) statuses: Statuses,
    /// gRPC's own statuses, if the response is one of gRPC.
    pub(crate) grpc_statuses: Statuses,
    /// True if a response that broke off is not wanted.
    pub(crate) complete_only: bool,
    /// Conditions on the exchange beside its path and status.
    pub(crate) when: Conditions,
    /// The part of the exchanges that become events.
    pub(crate) sample: Sample,
    /// True if later routes look at an exchange that this one takes, too.
    pub(crate) continues: bool,
    /// The attribute `event_type`, which is also in the message.
    pub(crate) event_type: Option<String>,
    /// The form of the message.
    pub(crate) format: Format,
    /// The message, unless it is the whole record.
    pub(crate) message: Option<MessageTemplate>,
    /// Parts of an exchange that the event is made of.
    pub(crate) needs: Needs,
    /// The placeholders among these that stand for a value in a body.
    pub(crate) body_values: Vec<Variable>,
    /// The rule for the request's body.
    pub(crate) request_body: Option<BodyRule>,
    /// The rule for the response's body.
    pub(crate) response_body: Option<BodyRule>,
    /// The configured attributes, shared and the route's own.
    pub(crate) attributes: Vec<TypedAttribute>,
    /// The SNS subject.
    pub(crate) subject: Option<Template>,
    /// The group whose order a FIFO topic or queue keeps.
    pub(crate) message_group_id: Option<Template>,
    /// The moment at which the client gets the response.
    pub(crate) delivery: DeliveryMode,
    /// The position of the events' target among the configuration's.
    pub(crate) target: usize,
}

impl Route {
    /// Returns true if a request whose status is wanted ended as the route wants it.
    fn wants_end(&self, outcome: &dyn ResponseEnd) -> bool {
        outcome.grpc_status().is_none_or(|status| self.grpc_statuses.contain(status))
            && (!self.complete_only || outcome.is_complete())
    }

    /// Returns true if a target of this protocol gets its message and no attribute.
    pub(crate) fn sends_message_alone(&self, protocol: &dyn Protocol) -> bool {
        sends_message_alone(self.format, self.message.is_some(), protocol)
    }

    /// Returns the parts of an exchange that its events need.
    pub(crate) fn needs(&self) -> Needs {
        if self.message.is_none() {
            return Needs::Record;
        }
        let mut variables = self.variables();
        if self.format == Format::CloudEvents {
            // Its source is made of them.
            variables.extend([&Variable::ServiceName, &Variable::RouteName]);
        }
        Needs::of(&variables)
    }

    /// Returns the placeholders that stand for a value in a body, each once.
    pub(crate) fn body_values(&self) -> Vec<Variable> {
        let is_in_body = |variable: &&Variable| {
            variable.pointer_into_request().or_else(|| variable.pointer_into_response()).is_some()
        };
        let values: Vec<&Variable> = self.variables().into_iter().filter(is_in_body).collect();
        Needs::of(&values).parts().to_vec()
    }

    /// Returns all placeholders in the message and beside it.
    fn variables(&self) -> Vec<&Variable> {
        let mut variables: Vec<&Variable> = self.templates().flat_map(Template::variables).collect();
        if let Some(message) = &self.message {
            message.visit(&mut |variable| variables.push(variable));
        }
        variables
    }

    /// Returns the templates beside the message.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let attributes = self.attributes.iter().flat_map(|attribute| attribute.value.templates());
        attributes.chain(&self.subject).chain(&self.message_group_id)
    }

    /// Returns the named groups of the matcher in `path`.
    pub(crate) fn groups<'a>(&'a self, path: &'a str) -> Groups<'a> {
        self.matcher.groups(path)
    }
}

/// The routes in the order of the configuration. The first that matches an exchange takes it, and
/// leaves it to the next only if it is configured so.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The routes.
    pub all: Vec<Route>,
    paths: PathSearch,
    /// Paths that were too long to be looked at, since the last visit.
    too_long: Cell<u64>,
}

/// The routes that want a request, as far as the request tells: its method and its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched(PathMatches);

impl Matched {
    /// Returns true if no route wants the request.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Returns the position of the first route that does.
    pub(crate) fn first(self) -> Option<usize> {
        self.0.positions().next()
    }
}

impl Routes {
    /// Prepares to look for these routes in paths of at most `max_path_bytes`.
    pub(crate) fn new(all: Vec<Route>, max_path_bytes: usize) -> Routes {
        let matchers: Vec<&Matcher> = all.iter().map(|route| &route.matcher).collect();
        let paths = PathSearch::new(&matchers, max_path_bytes, false);
        Routes { all, paths, too_long: Cell::default() }
    }

    /// Returns true if some route has this method: the first question, answered without the path.
    pub fn want_method(&self, method: &[u8]) -> bool {
        self.all.iter().any(|route| route.methods.contain(method))
    }

    /// Returns the routes that want a request of this method and target, whatever its response.
    /// This is the only time that the path is looked at.
    #[inline]
    pub fn matched(&self, method: &[u8], target: &[u8]) -> Matched {
        if self.paths.finds_nothing(target) {
            return Matched::default();
        }
        let Some(found) = self.paths.find(target) else {
            self.too_long.set(self.too_long.get() + 1);
            return Matched::default();
        };
        Matched(found.only(|position| self.all.get(position).is_some_and(|route| route.methods.contain(method))))
    }

    /// Returns the position of the first route, `from` this one on, that wants an exchange with
    /// this `outcome`, whose request has `matched`. What else it must have is not asked here.
    pub fn position(&self, matched: Matched, outcome: &dyn ResponseEnd, from: usize) -> Option<usize> {
        let status = outcome.status();
        let is_wanted = |route: &Route| route.statuses.contain(status) && route.wants_end(outcome);
        let mut positions = matched.0.positions().filter(|position| *position >= from);
        positions.find(|position| self.all.get(*position).is_some_and(is_wanted))
    }

    /// Returns the first route that wants an exchange of this status, whole and none of gRPC.
    pub fn find(&self, method: &str, path: &str, status: u16) -> Option<&Route> {
        self.all.get(self.position(self.matched(method.as_bytes(), path.as_bytes()), &status, 0)?)
    }

    /// Returns true if any response waits for its event.
    pub(crate) fn hold_responses(&self) -> bool {
        self.all.iter().any(|route| route.delivery != DeliveryMode::AfterResponse)
    }

    /// Returns true if any route keeps bodies.
    pub(crate) fn keep_bodies(&self) -> bool {
        self.all.iter().any(|route| route.request_body.is_some() || route.response_body.is_some())
    }

    /// Returns true if the response to a request that has `matched` may have to wait for its event.
    pub(crate) fn may_hold(&self, matched: Matched) -> bool {
        self.of(matched).any(|route| route.delivery != DeliveryMode::AfterResponse)
    }

    /// Returns how many paths were too long to be looked at, since the last visit.
    pub(crate) fn take_too_long(&self) -> u64 {
        self.too_long.take()
    }

    /// Returns the search, for those who ask what it costs.
    pub(crate) fn paths(&self) -> &PathSearch {
        &self.paths
    }

    /// Returns every placeholder in what the routes' events carry.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let beside_messages = self.all.iter().flat_map(Route::templates).flat_map(Template::variables);
        let of_others = self.all.iter().flat_map(|route| route.needs.parts().iter().chain(route.when.needs().parts()));
        beside_messages.chain(of_others)
    }

    /// Returns the routes that want a request which has `matched`.
    pub(crate) fn of(&self, matched: Matched) -> impl Iterator<Item = &Route> {
        matched.0.positions().filter_map(|position| self.all.get(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::template::PathGroups;

    fn route(methods: &[&str], matcher: &str, statuses: Statuses) -> Route {
        Route {
            methods: if methods == ["*"] {
                Methods::Any
            } else {
                Methods::OneOf(methods.iter().map(|method| (*method).to_owned()).collect())
            },
            matcher: Matcher::new(matcher).unwrap(),
            statuses,
            grpc_statuses: Statuses::grpc_success(),
            complete_only: false,
            when: Conditions::new(vec![]),
            sample: Sample::ALL,
            continues: false,
            event_type: None,
            format: Format::Kong,
            message: None,
            needs: Needs::Record,
            body_values: Vec::new(),
            request_body: None,
            response_body: None,
            attributes: vec![],
            subject: None,
            message_group_id: None,
            delivery: DeliveryMode::AfterResponse,
            target: 0,
        }
    }

    #[test]
    fn only_success_unless_it_says_otherwise() {
        let success = Statuses::success();
        assert!(success.contain(200) && success.contain(299));
        assert!(!success.contain(199) && !success.contain(300) && !success.contain(500));
    }

    #[test]
    fn the_first_route_that_matches_takes_it() {
        let routes = vec![
            route(&["PUT"], "/profile", Statuses(vec![404..=404])),
            route(&["PUT", "PATCH"], "/profile", Statuses::success()),
            route(&["*"], "/pro", Statuses::success()),
        ];
        let routes = Routes::new(routes, 2_048);
        let position = |method: &str, path: &str, status| {
            routes.position(routes.matched(method.as_bytes(), path.as_bytes()), &status, 0)
        };
        assert_eq!(position("PUT", "/profile", 404), Some(0));
        assert_eq!(position("PATCH", "/profile", 204), Some(1));
        assert_eq!(position("DELETE", "/profile", 204), Some(2));
        assert_eq!(position("DELETE", "/profile", 500), None);
        assert_eq!(position("put", "/other", 200), None);
        assert!(routes.want_method(b"GET") && !routes.matched(b"PUT", b"/profile").is_empty());
    }

    #[test]
    fn a_path_that_is_too_long_matches_no_route_and_is_counted() {
        let routes = Routes::new(vec![route(&["*"], "/a", Statuses::success())], 4);
        for (target, expected) in [("/a/b", true), ("/a/b?/a/b", true), ("/a/bc", false), ("/a/bc?", false)] {
            assert_eq!(!routes.matched(b"GET", target.as_bytes()).is_empty(), expected, "{target}");
        }
        assert_eq!([routes.take_too_long(), routes.take_too_long()], [2, 0]);
    }

    struct End {
        grpc: Option<u16>,
        complete: bool,
    }

    impl ResponseEnd for End {
        fn status(&self) -> u16 {
            200
        }

        fn grpc_status(&self) -> Option<u16> {
            self.grpc
        }

        fn is_complete(&self) -> bool {
            self.complete
        }
    }

    #[test]
    fn a_response_of_grpc_has_a_status_of_its_own_and_one_that_broke_off_may_be_unwanted() {
        let every = Route { grpc_statuses: Statuses(vec![0..=16]), ..route(&["*"], "/every", Statuses::success()) };
        let whole = Route { complete_only: true, ..route(&["*"], "/whole", Statuses::success()) };
        let routes = Routes::new(vec![every, whole, route(&["*"], "/default", Statuses::success())], 2_048);
        for (grpc, complete, every, whole, default) in [
            (None, true, true, true, true),
            (None, false, true, false, true),
            (Some(0), true, true, true, true),
            (Some(0), false, true, false, true),
            (Some(7), true, true, false, false),
        ] {
            let wanted = |path: &str| {
                routes.position(routes.matched(b"PUT", path.as_bytes()), &End { grpc, complete }, 0).is_some()
            };
            assert_eq!([wanted("/every"), wanted("/whole"), wanted("/default")], [every, whole, default], "{grpc:?}");
        }
    }

    #[test]
    fn named_groups_are_found() {
        let route = route(&["*"], "/profile/(?<id>[0-9]+)(?<rest>/.*)?", Statuses::success());
        let groups = route.groups("/v1/profile/42");
        assert_eq!(groups.group("id").as_deref(), Some("42"));
        assert_eq!(groups.group("rest").as_deref(), None);
        assert_eq!(route.matcher.group_names().collect::<Vec<_>>(), ["id", "rest"]);
    }
}
