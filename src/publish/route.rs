//! Routes: which exchanges become events. Asks for the method first, then the path, then the
//! status: the cheapest question first.

use std::ops::RangeInclusive;

use crate::exchange::matcher::{Groups, Matcher, Methods};
use crate::exchange::template::{Template, Variable};
use crate::publish::attribute::TypedAttribute;

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

    /// Returns true if `status` is one of them.
    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// How an exchange ended, as far as routes ask for it. Each answer may take calls to the host, and
/// is asked for only where those before it are as a route wants them.
pub trait Outcome {
    /// Returns the status of the response; 0 if there is none, as on Envoy where the client left
    /// before the response began.
    fn status(&self) -> u16;

    /// Returns gRPC's own status, if the response is one of gRPC.
    fn grpc_status(&self) -> Option<u16>;

    /// Returns false if the response is known to have broken off.
    fn is_complete(&self) -> bool;
}

/// The outcome of a whole response that is none of gRPC.
impl Outcome for u16 {
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
    /// The attribute `event_type`, which is also in the message.
    pub(crate) event_type: Option<String>,
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
    /// Returns true if a request may become an event of this route, as far as the request tells.
    pub(crate) fn wants_request(&self, method: &[u8], target: &[u8]) -> bool {
        self.methods.contain(method) && self.matcher.is_match(target)
    }

    /// Returns true if a request whose status is wanted ended as the route wants it.
    fn wants_end(&self, outcome: &dyn Outcome) -> bool {
        outcome.grpc_status().is_none_or(|status| self.grpc_statuses.contain(status))
            && (!self.complete_only || outcome.is_complete())
    }

    /// Returns the named groups of the matcher in `path`.
    pub(crate) fn groups<'a>(&'a self, path: &'a str) -> Groups<'a> {
        self.matcher.groups(path)
    }
}

/// The routes in the order of the configuration. The first that matches an exchange takes it: one
/// event each.
#[derive(Clone, Debug)]
pub struct Routes(pub Vec<Route>);

impl Routes {
    /// Returns true if some route has this method: the first question, answered without the path.
    pub fn want_method(&self, method: &[u8]) -> bool {
        self.0.iter().any(|route| route.methods.contain(method))
    }

    /// Reads the target of a request if a route wants its method. Returns the target if some route
    /// wants the request, whatever its response.
    pub fn wanted_target<T: AsRef<[u8]>>(&self, method: &[u8], read: impl FnOnce() -> Option<T>) -> Option<T> {
        let first = self.0.iter().position(|route| route.methods.contain(method))?;
        let target = read()?;
        // The first has the method: they are not compared again.
        let mut routes = self.0.iter().enumerate().skip(first);
        let wants = |(at, route): (usize, &Route)| {
            (at == first || route.methods.contain(method)) && route.matcher.is_match(target.as_ref())
        };
        routes.any(wants).then_some(target)
    }

    /// Returns the first route that wants an exchange of this status, whole and none of gRPC.
    pub fn find(&self, method: &str, path: &str, status: u16) -> Option<&Route> {
        self.0.get(self.position(method, path, &status)?)
    }

    /// Returns the position of the first route that wants an exchange with this `outcome`.
    pub fn position(&self, method: &str, path: &str, outcome: &dyn Outcome) -> Option<usize> {
        let (method, path, status) = (method.as_bytes(), path.as_bytes(), outcome.status());
        self.0.iter().position(|route| {
            route.statuses.contain(status) && route.wants_request(method, path) && route.wants_end(outcome)
        })
    }

    /// Returns true if any response waits for its event.
    pub(crate) fn hold_responses(&self) -> bool {
        self.0.iter().any(|route| route.delivery != DeliveryMode::AfterResponse)
    }

    /// Returns true if the response to a request may have to wait for its event, as far as the
    /// request tells.
    pub(crate) fn may_hold(&self, method: &[u8], target: &[u8]) -> bool {
        let mut held = self.0.iter().filter(|route| route.delivery != DeliveryMode::AfterResponse);
        held.any(|route| route.wants_request(method, target))
    }

    /// Returns every placeholder in what the routes' events carry.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let templates = self.0.iter().flat_map(|route| {
            let attributes = route.attributes.iter().flat_map(|attribute| attribute.value.templates());
            attributes.chain(&route.subject).chain(&route.message_group_id)
        });
        templates.flat_map(Template::variables)
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
            event_type: None,
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
        let routes = Routes(vec![
            route(&["PUT"], "/profile", Statuses(vec![404..=404])),
            route(&["PUT", "PATCH"], "/profile", Statuses::success()),
            route(&["*"], "/pro", Statuses::success()),
        ]);
        let position = |method: &str, path: &str, status| {
            routes.find(method, path, status).and_then(|found| routes.0.iter().position(|r| std::ptr::eq(r, found)))
        };
        assert_eq!(position("PUT", "/profile", 404), Some(0));
        assert_eq!(position("PATCH", "/profile", 204), Some(1));
        assert_eq!(position("DELETE", "/profile", 204), Some(2));
        assert_eq!(position("DELETE", "/profile", 500), None);
        assert_eq!(position("put", "/other", 200), None);
        assert!(routes.want_method(b"GET"));
    }

    #[test]
    fn a_target_is_read_for_a_method_that_a_route_has_and_kept_if_a_route_wants_it() {
        let routes = Routes(vec![
            route(&["PUT"], "/account", Statuses::success()),
            route(&["POST"], "/order", Statuses::success()),
            route(&["PUT", "PATCH"], "/profile", Statuses::success()),
        ]);
        for (method, target, is_wanted) in [
            ("PUT", "/account/1", true),
            ("PUT", "/profile/1", true),
            ("PATCH", "/profile/1", true),
            ("PUT", "/order/1", false),
            ("PATCH", "/account/1", false),
            ("POST", "/profile/1", false),
        ] {
            let wanted = routes.wanted_target(method.as_bytes(), || Some(target));
            assert_eq!(wanted, is_wanted.then_some(target), "{method} {target}");
        }
        assert_eq!(routes.wanted_target(b"PUT", || None::<&str>), None);
        for method in ["GET", "PUSH", "PU", ""] {
            let read = || -> Option<&str> { panic!("the target is not asked for") };
            assert_eq!(routes.wanted_target(method.as_bytes(), read), None, "{method}");
        }
    }

    struct End {
        grpc: Option<u16>,
        complete: bool,
    }

    impl Outcome for End {
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
        let routes = Routes(vec![every, whole, route(&["*"], "/default", Statuses::success())]);
        for (grpc, complete, every, whole, default) in [
            (None, true, true, true, true),
            (None, false, true, false, true),
            (Some(0), true, true, true, true),
            (Some(0), false, true, false, true),
            (Some(7), true, true, false, false),
        ] {
            let wanted = |path| routes.position("PUT", path, &End { grpc, complete }).is_some();
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
