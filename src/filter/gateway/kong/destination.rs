//! Where Kong sends requests: their routes and services, whole. Never asks Kong for them at the end
//! of a request.
//!
//! Kong writes both as JSON, in Lua, each time that they are asked for, which costs more than all
//! else that is read of a request. They change with Kong's configuration only, so they are read
//! once in a while and found by the id of the route in between.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::exchange::Entity;
use crate::filter::hostcalls;
use crate::json::texts;

/// How long events may show an old route or service after a change of Kong's configuration.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How many destinations are kept, so that memory is bounded whatever the number of routes. The
/// others are read for each request.
const MAX_KEPT: usize = 256;

/// The route and the service of a request.
#[derive(Default)]
pub(super) struct Destination {
    pub(super) route: Option<Known>,
    pub(super) service: Option<Known>,
}

impl Destination {
    /// Reads the destination of the request that has just begun. Later, reading it is a trap.
    fn of_request() -> Destination {
        let known = |property| Known::from_json(&hostcalls::property(property)?);
        Destination { route: known("kong.router.route"), service: known("kong.router.service") }
    }
}

/// A route or a service as Kong has it.
pub(super) struct Known {
    name: Option<String>,
    /// The id of the workspace that it is in.
    pub(super) workspace: Option<String>,
    json: Box<RawValue>,
}

impl Known {
    fn from_json(json: &[u8]) -> Option<Known> {
        let [name, workspace] = texts(json, ["name", "ws_id"])?;
        Some(Known { name, workspace, json: serde_json::from_slice(json).ok()? })
    }

    /// Returns it as part of an exchange.
    pub(super) fn entity(&self) -> Entity<'_> {
        Entity { name: self.name.as_deref().map(Into::into), json: Some(&self.json) }
    }
}

/// The destinations that were read lately.
#[derive(Default)]
pub(super) struct Destinations {
    /// By the id of the route, in order.
    by_route: RefCell<Vec<(Vec<u8>, Rc<Destination>)>>,
    forgotten_at: Cell<Timestamp>,
}

impl Destinations {
    /// Returns the destination of the request that has just begun.
    pub(super) fn of_request(&self) -> Rc<Destination> {
        let Some(route_id) = hostcalls::property("kong.route_id").filter(|id| !id.is_empty()) else {
            return Rc::new(Destination::of_request());
        };
        if let Some(known) = self.known(&route_id) {
            return known;
        }
        let destination = Rc::new(Destination::of_request());
        let mut by_route = self.by_route.borrow_mut();
        if by_route.len() < MAX_KEPT {
            let at = by_route.partition_point(|(id, _)| *id < route_id);
            by_route.insert(at, (route_id, destination.clone()));
        }
        destination
    }

    fn known(&self, route_id: &[u8]) -> Option<Rc<Destination>> {
        let by_route = self.by_route.borrow();
        let at = by_route.binary_search_by(|(id, _)| id.as_slice().cmp(route_id)).ok()?;
        by_route.get(at).map(|(_, known)| known.clone())
    }

    /// Forgets all destinations if they may be out of date. Called at each tick.
    pub(super) fn refresh(&self, now: Timestamp) {
        let last = self.forgotten_at.get();
        if now < last || now.since(last) >= MAX_AGE {
            self.by_route.borrow_mut().clear();
            self.forgotten_at.set(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_kept_whole_and_what_is_no_json_is_not_kept() {
        let json = r#"{"id":"1","name":"caf\u00e9","paths":["\/a"],"ws_id":"w"}"#;
        let known = Known::from_json(json.as_bytes()).unwrap();
        assert_eq!(known.workspace.as_deref(), Some("w"));
        let entity = known.entity();
        assert_eq!((entity.name.as_deref(), entity.json.unwrap().get()), (Some("café"), json));
        assert!(Known::from_json(br#"{"name":null}"#).unwrap().entity().name.is_none());
        for json in [&b"{"[..], b"", b"\xff", b"7", b"[]"] {
            assert!(Known::from_json(json).is_none());
        }
    }
}
