//! Where Kong sends requests: their routes and services, whole.
//!
//! Kong writes both as JSON, in Lua, for whoever asks, which costs more than all else that a request is asked for. They change
//! with its configuration only, so they are asked for once in a while and found by the id of the route in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::exchange::Entity;
use crate::filter::hostcalls;

/// How long after a change of Kong's configuration events may still show what was before.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How many are kept.
const MAX_KEPT: usize = 256;

/// The route and the service of a request.
pub struct Destination {
    pub route: Option<Known>,
    pub service: Option<Known>,
}

impl Destination {
    /// That of the request that just began: later, to ask for it is a trap.
    fn of_request() -> Destination {
        let known = |property| Known::from_json(&hostcalls::property(property)?);
        Destination { route: known("kong.router.route"), service: known("kong.router.service") }
    }
}

/// A route or a service as Kong has it.
pub struct Known {
    name: Option<String>,
    /// The workspace that it is in.
    pub workspace: Option<String>,
    json: Box<RawValue>,
}

impl Known {
    fn from_json(json: &[u8]) -> Option<Known> {
        #[derive(Deserialize)]
        struct Fields {
            name: Option<String>,
            ws_id: Option<String>,
        }
        let json: Box<RawValue> = serde_json::from_slice(json).ok()?;
        let Fields { name, ws_id } = serde_json::from_str(json.get()).ok()?;
        Some(Known { name, workspace: ws_id, json })
    }

    /// As an exchange has it.
    pub fn entity(&self) -> Entity<'_> {
        Entity { name: self.name.as_deref().map(Into::into), json: Some(&self.json) }
    }
}

/// The destinations that were seen lately.
#[derive(Default)]
pub struct Destinations {
    by_route: RefCell<BTreeMap<Vec<u8>, Rc<Destination>>>,
    forgotten_at: Cell<Timestamp>,
}

impl Destinations {
    /// That of the request that just began.
    pub fn of_request(&self) -> Rc<Destination> {
        let Some(route_id) = hostcalls::property("kong.route_id").filter(|id| !id.is_empty()) else {
            return Rc::new(Destination::of_request());
        };
        if let Some(known) = self.by_route.borrow().get(&route_id) {
            return known.clone();
        }
        let destination = Rc::new(Destination::of_request());
        let mut by_route = self.by_route.borrow_mut();
        if by_route.len() < MAX_KEPT {
            by_route.insert(route_id, destination.clone());
        }
        destination
    }

    /// Makes the next request of each route ask anew, if it is time for that. To be called again and again.
    pub fn refresh(&self, now: Timestamp) {
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
    fn an_entity_is_taken_whole_and_what_is_no_json_not_at_all() {
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
