//! The list `routes`: which exchanges become events, and what the events carry.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::attributes::{self, AttributeTemplate};
use super::body::{self, Kept, REQUEST_KEY, RESPONSE_KEY};
use super::fault::{borrowed, Checked};
use super::other_syntax;
use super::reader::{each, Field, Section};
use super::shape::{self, Shape};
use super::{target, template, when};
use crate::aws::protocol::{Protocol, TargetKind};
use crate::aws::target::Target;
use crate::event::CLOUD_EVENT_ATTRIBUTES;
use crate::exchange::is_token;
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::template::{Template, Variable};
use crate::publish::needs::Needs;
use crate::publish::route::{
    sends_message_alone, DeliveryMode, Format, OnFailure, Route, Statuses, MAX_EVENTS_OF_EXCHANGE,
};
use crate::publish::sample::Sample;

const KEY: &str = "routes";

/// Attributes that the message of every CloudEvent has.
const ALWAYS_IN_CLOUD_EVENTS: [&str; 1 + CLOUD_EVENT_ATTRIBUTES.len()] = {
    let [specversion, id, source, event_type] = CLOUD_EVENT_ATTRIBUTES;
    ["event_id", specversion, id, source, event_type]
};
const EVENT_TYPE_KEY: &str = "event_type";
const SUBJECT_KEY: &str = "subject";
const CONTINUE_KEY: &str = "continue";
pub(super) const MAX_ROUTES: usize = 100;
pub(super) const MAX_EVENT_TYPE_LENGTH: usize = 256;
const STATUSES: RangeInclusive<u16> = 100..=599;
const GRPC_STATUSES: RangeInclusive<u16> = 0..=16;

/// The status of an exchange whose client left before the response began, on Envoy.
const NO_STATUS: u16 = 0;

const METHOD_REMEDY: &str = "give a method, a list of them, or `*` alone for every method";
const STATUS_REMEDY: &str = "give statuses such as `204`, `200-204`, `2xx`, or `*` for every status";
const GRPC_STATUS_REMEDY: &str = "give statuses of gRPC such as `0`, or `*` for every one";
const MATCHER_REMEDY: &str = "give a regular expression that is searched in the path, such as `/profile`";

/// Settings of the whole configuration that a route may replace.
pub(super) struct Shared<'a> {
    /// The attributes of every route.
    pub(super) attributes: &'a [AttributeTemplate<'a>],
    /// The shape of messages.
    pub(super) shape: Checked<&'a Shape<'a>>,
    /// The part of the exchanges that become events.
    pub(super) sample: Checked<Option<Sample>>,
}

/// Reads the routes and their targets. `target` is that of every route without a target of its own.
/// A configuration that stores webhooks may have neither routes nor a target.
pub(super) fn read(
    root: &mut Section<'_>,
    shared: &Shared<'_>,
    target: Checked<Option<Target>>,
    may_be_without: bool,
) -> Checked<(Vec<Route>, Vec<Target>)> {
    let remedy = "give a list of routes, such as `[{\"method\": \"PUT\", \"matcher\": \"/profile\"}]`, or `capture`";
    let field = root.optional(KEY);
    if may_be_without && field.is_none() && target == Ok(None) {
        return Ok((Vec::new(), Vec::new()));
    }
    let of_captures =
        "the target here is of routes: move it into each of `capture`, with its `region`, `endpoint` and \
        `upstream`, or give a list of routes";
    let remedy_for_none = if may_be_without { of_captures } else { remedy };
    let field = field.ok_or_else(|| root.fault_at(KEY, "is missing", remedy_for_none));
    let routes = field.and_then(|field| Ok((field.items()?, field)));
    let mut targets = Targets { shared: target, all: Vec::new() };
    let any_own = || routes.as_ref().is_ok_and(|(routes, _)| routes.iter().any(target::is_named_in));
    if targets.shared == Ok(None) && !any_own() {
        // One fault, not one for each route.
        let (key, remedy) = target::missing();
        targets.shared = Err(root.fault_at(key, "is missing", remedy));
    }
    let (routes, field) = routes?;
    if routes.is_empty() {
        return Err(field.fault("is empty, so that nothing would become an event", remedy));
    }
    if routes.len() > MAX_ROUTES {
        return Err(field.fault(
            format!("has {} routes, of at most {MAX_ROUTES}", routes.len()),
            "put several paths into one route: `/(profile|account)`",
        ));
    }

    let mut groups = Some(Vec::new());
    let routes = each(routes, |field| {
        let mut section = field.section()?;
        let matcher = read_matcher(&mut section);
        match (&matcher, &mut groups) {
            (Ok(matcher), Some(groups)) => groups.extend(matcher.group_names().map(str::to_owned)),
            _ => groups = None,
        }
        let route = read_route(&mut section, matcher, shared, &mut targets);
        section.finish();
        route
    });
    let groups: Option<Vec<&str>> = groups.as_ref().map(|groups| groups.iter().map(String::as_str).collect());
    attributes::check_groups(shared.attributes, groups.as_deref())?;
    let routes = routes?;
    let kept = Kept {
        request: routes.iter().any(|route| route.request_body.is_some()),
        response: routes.iter().any(|route| route.response_body.is_some()),
    };
    attributes::check_bodies(shared.attributes, kept)?;
    check_number_of_events(&field, &routes)?;
    Ok((routes, targets.all))
}

/// Reports routes that could make too many events of one exchange, whatever its path.
fn check_number_of_events(field: &Field<'_>, routes: &[Route]) -> Checked<()> {
    let going_on = || routes.iter().filter(|route| route.continues);
    let names = going_on().flat_map(|route| match &route.methods {
        Methods::Any => &[],
        Methods::OneOf(names) => names.as_slice(),
    });
    // A method that no route names has those of `*` alone.
    for method in names.map(String::as_bytes).chain([&b"*"[..]]) {
        let events = 1 + going_on().filter(|route| route.methods.contain(method)).count();
        if events > MAX_EVENTS_OF_EXCHANGE {
            let problem = format!(
                "{} routes of one method have `{CONTINUE_KEY}`, so that an exchange could become {events} events, of at most \
                 {MAX_EVENTS_OF_EXCHANGE}",
                events - 1
            );
            return Err(field.fault(problem, "let fewer go on, or fan out behind one topic or event bus"));
        }
    }
    Ok(())
}

fn read_route(
    section: &mut Section<'_>,
    matcher: Checked<Matcher>,
    shared: &Shared<'_>,
    targets: &mut Targets,
) -> Checked<Route> {
    let target = targets.read(section);
    let protocol = target.ok().and_then(|target| targets.all.get(target)).map(|target| target.protocol.clone());
    let methods = read_methods(section);
    let statuses = read_statuses(section);
    let grpc_statuses = read_grpc_statuses(section);
    let complete_only = section.flag("response_complete", false);
    let event_type = read_event_type(section);
    let sample = when::read_sample(section);
    let continues = section.flag(CONTINUE_KEY, false);

    let groups: Option<Vec<&str>> = matcher.as_ref().ok().map(|matcher| matcher.group_names().collect());
    let groups = groups.as_deref();
    let (request_body, response_body) = (body::read(section, REQUEST_KEY), body::read(section, RESPONSE_KEY));
    // What has a fault of its own is kept.
    let kept = Kept { request: request_body != Ok(None), response: response_body != Ok(None) };
    let when = when::read(section, groups, kept);
    let own = attributes::read(section);
    let groups_of_own = attributes::check_groups(&own, groups).and(attributes::check_bodies(&own, kept));
    let shape = shape::read(section, shared.shape, groups, kept, protocol.as_deref());
    let (format, has_own_form) =
        borrowed(&shape).map_or((Format::Kong, false), |(format, message)| (*format, message.is_some()));
    let has_event_type = !matches!(event_type, Ok(None));
    let attributes = attributes::merge(section, shared.attributes, &own, always(format, has_event_type));

    let subject = template::optional(section, SUBJECT_KEY, groups);
    let message_group_id = template::optional(section, target::GROUP_KEY, groups);
    if let Some(protocol) = protocol {
        let keeps_order = protocol.may_keep_order() && matches!(message_group_id, Ok(Some(_)));
        if let Some(target) = target.ok().filter(|_| keeps_order).and_then(|target| targets.all.get_mut(target)) {
            target.ordered = true;
        }
        check_fit(section, protocol.as_ref(), &event_type, &subject, &message_group_id);
        let is_cloud_event_alone = format == Format::CloudEvents && !protocol.takes_attributes();
        let is_alone = is_cloud_event_alone || sends_message_alone(format, has_own_form, protocol.as_ref());
        if is_alone && !attributes.is_empty() {
            let message = if is_cloud_event_alone { "a CloudEvent" } else { "a message of its own form" };
            attributes::report_no_room(section, protocol.kind().target, message);
        }
    }
    let mut bodies = Ok(());
    for (key, template) in [(SUBJECT_KEY, &subject), (target::GROUP_KEY, &message_group_id)] {
        if let Ok(Some(template)) = template {
            let of_template =
                body::check(template.variables(), kept, |problem, remedy| section.fault_at(key, problem, remedy));
            bodies = bodies.and(of_template);
        }
    }
    let delivery = read_delivery(section);
    if kept.response && matches!(delivery, Ok(DeliveryMode::BeforeResponse(_))) {
        let problem = "has no meaning here: the event is made before the body of the response comes";
        section.fault_at(RESPONSE_KEY, problem, "leave it out, or give `after_response` as `delivery`");
    }
    if complete_only && matches!(delivery, Ok(DeliveryMode::BeforeResponse(_))) {
        section.fault_at(
            "response_complete",
            "has no meaning here: the event is made before the response is over",
            "leave it out",
        );
    }
    let (format, message) = shape?;
    let route = Route {
        methods: methods?,
        matcher: matcher?,
        statuses: statuses?,
        grpc_statuses: grpc_statuses?,
        complete_only,
        when: when?,
        sample: match sample? {
            Some(own) => own,
            None => shared.sample?.unwrap_or(Sample::ALL),
        },
        continues,
        event_type: event_type?,
        format,
        message,
        needs: Needs::Record,
        body_values: Vec::new(),
        request_body: request_body?,
        response_body: response_body?,
        attributes: groups_of_own.and(bodies).map(|()| attributes)?,
        subject: subject?,
        message_group_id: message_group_id?,
        delivery: delivery?,
        target: target?,
    };
    let route = Route { needs: route.needs(), body_values: route.body_values(), ..route };
    report_unused_bodies(section, &route)?;
    Ok(route)
}

/// Reports a body that is kept and stands nowhere.
fn report_unused_bodies(section: &Section<'_>, route: &Route) -> Checked<()> {
    let names = |is_of: fn(&Variable) -> bool| {
        route.needs.is_record() || route.needs.parts().iter().chain(route.when.needs().parts()).any(is_of)
    };
    for (key, is_kept, is_named) in [
        (REQUEST_KEY, route.request_body.is_some(), names(Variable::is_of_body)),
        (RESPONSE_KEY, route.response_body.is_some(), names(Variable::is_of_response_body)),
    ] {
        if is_kept && !is_named {
            let problem = "is never used: neither `message` nor anything else of the route names it";
            return Err(section.fault_at(key, problem, "name it, or leave the key out"));
        }
    }
    Ok(())
}

/// Returns the attributes that every message of a route has of Retrohook's own.
fn always(format: Format, has_event_type: bool) -> &'static [&'static str] {
    match (format, has_event_type) {
        (Format::CloudEvents, _) => &ALWAYS_IN_CLOUD_EVENTS,
        (Format::Kong, true) => &["event_id", EVENT_TYPE_KEY],
        (Format::Kong, false) => &["event_id"],
    }
}

/// Reports what of a route does not go with its target.
fn check_fit(
    section: &Section<'_>,
    protocol: &dyn Protocol,
    event_type: &Checked<Option<String>>,
    subject: &Checked<Option<Template>>,
    group_id: &Checked<Option<Template>>,
) {
    let TargetKind { key, target, .. } = protocol.kind();
    if !protocol.takes_subject() && matches!(subject, Ok(Some(_))) {
        let problem = format!("is given, and only SNS has subjects; events go to `{key}`");
        section.fault_at(SUBJECT_KEY, problem, "remove it, or put the text into `attributes`");
    }
    target::check_group(section, protocol, group_id, "events", "remove it, or put the text into `attributes`");
    if let (Some(most), Ok(Some(event_type))) = (protocol.max_event_type_chars(), event_type) {
        if event_type.chars().count() > most {
            let problem = format!("is too long: events go to {target}, where a type has at most {most} characters");
            section.fault_at(EVENT_TYPE_KEY, problem, "give a shorter one, such as `profile.updated`");
        }
    }
}

/// The targets while routes are read.
struct Targets {
    shared: Checked<Option<Target>>,
    /// Every target, once.
    all: Vec<Target>,
}

impl Targets {
    /// Returns the position of the target that the route of `section` has.
    fn read(&mut self, section: &mut Section<'_>) -> Checked<usize> {
        let region = self
            .shared
            .as_ref()
            .ok()
            .and_then(|shared| Some(shared.as_ref()?.region()).filter(|region| !region.is_empty()));
        let target = match target::read(section, region)? {
            Some(own) => own,
            None => self.shared.clone()?.ok_or_else(|| {
                let problem = "is missing: neither this route nor the whole configuration says where its events go";
                let (key, remedy) = target::missing();
                section.fault_at(key, problem, remedy)
            })?,
        };
        if self.all.iter().any(|known| known.collides_with(&target)) {
            let problem = "has the URL of another route, up to the query, with other settings";
            let remedy = "give both equal `webhook` and `upstream`, or URLs whose paths differ";
            return Err(section.fault_at(target.protocol.kind().key, problem, remedy));
        }
        let Some(position) = self.all.iter().position(|known| *known == target) else {
            self.all.push(target);
            return Ok(self.all.len() - 1);
        };
        if self.all.get(position).is_some_and(|known| known.max_message_bytes != target.max_message_bytes) {
            let problem = "differs from an earlier route to this target, which has one queue";
            return Err(section.fault_at(target::MAX_MESSAGE_KEY, problem, "give the same in all of them"));
        }
        Ok(position)
    }
}

pub(super) fn read_methods(section: &mut Section<'_>) -> Checked<Methods> {
    let methods = section.required("method", METHOD_REMEDY)?.one_or_more(METHOD_REMEDY)?;
    let alone = methods.len() == 1;
    let methods = each(methods, |field| match field.text()? {
        "*" if !alone => Err(field.fault("`*` is every method, but there are others", METHOD_REMEDY)),
        method if method.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Err(field.fault("is not in upper case, as methods are", METHOD_REMEDY))
        }
        method if method == "*" || is_token(method) => Ok(method.to_owned()),
        _ => Err(field.fault("is not a method", METHOD_REMEDY)),
    })?;
    Ok(if methods.iter().any(|method| method == "*") { Methods::Any } else { Methods::OneOf(methods) })
}

pub(super) fn read_matcher(section: &mut Section<'_>) -> Checked<Matcher> {
    let field = section.required("matcher", MATCHER_REMEDY)?;
    let pattern = field.text()?;
    let matcher = Matcher::new(pattern).map_err(|error| {
        let remedy = other_syntax::remedy_for_braces(pattern).unwrap_or(MATCHER_REMEDY);
        field.fault(format!("cannot be compiled: {error}"), remedy)
    })?;
    if let Some(syntax) = other_syntax::likeness(pattern) {
        field.warn(syntax.problem, syntax.remedy);
    }
    Ok(matcher)
}

fn read_statuses(section: &mut Section<'_>) -> Checked<Statuses> {
    let Some(field) = section.optional("status") else { return Ok(Statuses::success()) };
    each(field.one_or_more(STATUS_REMEDY)?, |field| {
        let range = match field.value() {
            Value::String(text) => parse_statuses(text),
            _ => field.whole_number().and_then(|number| u16::try_from(number).ok()).map(|status| status..=status),
        };
        range.filter(|range| *range == (NO_STATUS..=NO_STATUS) || is_within(range, &STATUSES)).ok_or_else(|| {
            let (lowest, highest) = STATUSES.into_inner();
            field.fault(format!("{} is not a status from {lowest} to {highest}", field.shown()), STATUS_REMEDY)
        })
    })
    .map(Statuses)
}

/// Reads the statuses of gRPC that count, each a number, or `*` for all.
fn read_grpc_statuses(section: &mut Section<'_>) -> Checked<Statuses> {
    let Some(field) = section.optional("grpc_status") else { return Ok(Statuses::grpc_success()) };
    each(field.one_or_more(GRPC_STATUS_REMEDY)?, |field| {
        let range = match field.value() {
            Value::String(text) => (text == "*").then_some(GRPC_STATUSES),
            _ => field.whole_number().and_then(|number| u16::try_from(number).ok()).map(|status| status..=status),
        };
        range.filter(|range| is_within(range, &GRPC_STATUSES)).ok_or_else(|| {
            let (lowest, highest) = GRPC_STATUSES.into_inner();
            let problem = format!("{} is not a status of gRPC from {lowest} to {highest}", field.shown());
            field.fault(problem, GRPC_STATUS_REMEDY)
        })
    })
    .map(Statuses)
}

fn is_within(range: &RangeInclusive<u16>, bounds: &RangeInclusive<u16>) -> bool {
    !range.is_empty() && bounds.contains(range.start()) && bounds.contains(range.end())
}

/// Reads `2xx`, `204`, `200-204` or `*`.
fn parse_statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |digits: &str| -> Option<u16> {
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    if text == "*" {
        return Some(STATUSES);
    }
    if let Some(class) = text.strip_suffix("xx") {
        let first = number(class)?.checked_mul(100)?;
        return Some(first..=first.checked_add(99)?);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(number(first)?..=number(last)?)
}

fn read_delivery(section: &mut Section<'_>) -> Checked<DeliveryMode> {
    let waits = section.choice("delivery", &[("after_response", false), ("before_response", true)]);
    let on_failure = section.choice("on_failure", &[("pass", OnFailure::Pass), ("fail", OnFailure::Fail)]);
    let given = section.optional("on_failure").is_some();
    match waits? {
        true => Ok(DeliveryMode::BeforeResponse(on_failure?)),
        false if given => Err(section.fault_at(
            "on_failure",
            "has no meaning here, because the response does not wait for the event",
            "leave it out, or give `before_response` as `delivery`",
        )),
        false => Ok(DeliveryMode::AfterResponse),
    }
}

fn read_event_type(section: &mut Section<'_>) -> Checked<Option<String>> {
    let Some(field) = section.optional(EVENT_TYPE_KEY) else { return Ok(None) };
    let text = field.text()?;
    let remedy = "give a fixed name such as `profile.updated`";
    if text.is_empty() || text.chars().count() > MAX_EVENT_TYPE_LENGTH || text.chars().any(char::is_control) {
        return Err(field.fault(format!("is not 1 to {MAX_EVENT_TYPE_LENGTH} printable characters"), remedy));
    }
    Ok(Some(text.to_owned()))
}
