//! Finds configurations in what an operator writes: a file of its own, or one of Envoy, Istio,
//! Envoy Gateway, Kong or Kubernetes that has some inside. Never reads one.

use std::sync::OnceLock;

use retrohook::config::schema::sections;
use retrohook::filter::check::GatewayName;

use crate::document::{Node, Text, Value};

/// The word by which Retrohook is told from other filters: in a name, a path or an image.
const OWN_NAME: &str = "retrohook";

/// The filter of Envoy that bootstraps name.
const STRING_VALUE: &str = "google.protobuf.StringValue";

/// A configuration, where it was found.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// The thing that has it, in words; empty for a file of its own.
    pub(crate) owner: String,
    /// The line in which it begins.
    pub(crate) line: usize,
    pub(crate) form: Form<'a>,
    /// The gateways that it is for, as far as its owner tells.
    pub(crate) gateways: &'static [GatewayName],
}

/// The form in which a configuration is written.
#[derive(Debug)]
pub(crate) enum Form<'a> {
    /// Values of the document itself.
    Values(&'a Node),
    /// A text of JSON.
    Json(&'a Text),
    /// Nothing that would reach the filter: the problem, and the remedy.
    Unfit(&'static str, &'static str),
}

/// Returns the configurations in a document.
pub(crate) fn configurations(document: &Node) -> Vec<Found<'_>> {
    let kind = document.get("kind").and_then(Node::text);
    let found = match kind.filter(|_| document.get("apiVersion").is_some()) {
        Some(kind) => of_kubernetes(document, kind),
        None if document.get("_format_version").is_some() => of_kong(document),
        None => of_envoy(document),
    };
    let is_of_gateway = kind.is_some()
        || ["_format_version", "static_resources", "resources", "filter_chains", "name"]
            .iter()
            .any(|key| document.get(key).is_some());
    if found.is_empty() && !is_of_gateway && !is_of_others(document) {
        let form = Form::Values(document);
        return vec![Found { owner: String::new(), line: document.line, form, gateways: &GatewayName::ALL }];
    }
    found
}

/// Returns true for nothing, and for an object without any key of a configuration. A key such as
/// `captures` is nearly one, and its fault says so.
fn is_of_others(document: &Node) -> bool {
    static KNOWN: OnceLock<Vec<&'static str>> = OnceLock::new();
    let of_whole = || sections().into_iter().filter(|(name, _)| name.is_empty()).flat_map(|(_, keys)| keys).collect();
    let (members, known) = (document.members(), KNOWN.get_or_init(of_whole));
    let is_key = |key: &str| known.contains(&key) || key.starts_with("route") || key.starts_with("capture");
    matches!(document.value, Value::Null) || !members.is_empty() && !members.iter().any(|member| is_key(&member.key))
}

/// Returns true for a document that is plainly a configuration, whatever else may be in its file.
pub(crate) fn is_configuration(document: &Node) -> bool {
    ["routes", "capture"].iter().any(|key| document.get(key).is_some())
}

fn of_kubernetes<'a>(document: &'a Node, kind: &str) -> Vec<Found<'a>> {
    let name = document.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    let owner = || format!("{kind} `{}`", name.unwrap_or_default());
    let (spec, none) = (document.get("spec"), Vec::new);
    match kind {
        "List" => {
            document.get("items").map_or_else(none, |items| items.items().iter().flat_map(configurations).collect())
        }
        "WasmPlugin" => spec.map_or_else(none, |spec| match spec.get("defaultConfig").or(spec.get("matchRules")) {
            Some(_) => of_higress(spec, &owner()),
            None => member(spec, "pluginConfig", owner(), ENVOY),
        }),
        "TrafficExtension" => spec
            .and_then(|spec| spec.get("wasm"))
            .map_or_else(none, |wasm| member(wasm, "pluginConfig", owner(), ENVOY)),
        "EnvoyExtensionPolicy" => {
            let filters = spec.and_then(|spec| spec.get("wasm")).map_or(&[][..], Node::items);
            only_own(filters.iter().collect(), |filter| member(filter, "config", owner(), ENVOY))
        }
        "KongPlugin" | "KongClusterPlugin" => {
            let is_own = document.get("plugin").is_some_and(mentions_own_name);
            if is_own {
                member(document, "config", owner(), KONG)
            } else {
                none()
            }
        }
        _ => of_envoy(document),
    }
}

const ENVOY: &[GatewayName] = &[GatewayName::Envoy];
const KONG: &[GatewayName] = &[GatewayName::Kong];

/// Returns the configuration that is a member of `node`: values, or a text of JSON.
fn member<'a>(node: &'a Node, key: &str, owner: String, gateways: &'static [GatewayName]) -> Vec<Found<'a>> {
    let Some(member) = node.member(key) else {
        let form = Form::Unfit("has no configuration", "give it one (docs/configuration.md)");
        return vec![Found { owner, line: node.line, form, gateways }];
    };
    let form = match &member.node.value {
        Value::Text(text) => Form::Json(text),
        _ => Form::Values(&member.node),
    };
    vec![Found { owner, line: member.line, form, gateways }]
}

/// Returns the configuration of a WasmPlugin of Higress, which has all in one; its rules for single
/// routes reach a filter under a key that only filters of Higress's own kind read.
fn of_higress<'a>(spec: &'a Node, owner: &str) -> Vec<Found<'a>> {
    let rules = spec.member("matchRules").filter(|rules| !rules.node.items().is_empty());
    let unfit = rules.map(|rules| Found {
        owner: format!("{owner}; matchRules"),
        line: rules.line,
        form: Form::Unfit(
            "reach the filter as `_rules_`, a key that it does not know",
            "give `defaultConfig` alone, and the paths as `matcher` of its routes",
        ),
        gateways: ENVOY,
    });
    let of_all = spec.get("defaultConfig").map(|_| member(spec, "defaultConfig", owner.to_owned(), ENVOY));
    of_all.into_iter().flatten().chain(unfit).collect()
}

/// Returns the configurations of filters and plugins of Kong, wherever they stand.
fn of_kong(document: &Node) -> Vec<Found<'_>> {
    let mut filters = Vec::new();
    visit(document, &mut |node| {
        let chains = node.get("filter_chains").map_or(&[][..], Node::items);
        filters.extend(chains.iter().filter_map(|chain| chain.get("filters")).flat_map(Node::items));
        // A chain may be one of a list at the top, too.
        filters.extend(node.get("plugins").map_or(&[][..], Node::items));
    });
    filters.retain(|filter| filter.get("name").is_some_and(mentions_own_name));
    // `retrohook-plans` is a plugin of Kong's own kind, which has no such configuration.
    filters.retain(|filter| filter.get("name").and_then(Node::text) != Some("retrohook-plans"));
    let owner = |filter: &Node| format!("filter `{}`", filter.get("name").and_then(Node::text).unwrap_or_default());
    filters.into_iter().flat_map(|filter| member(filter, "config", owner(filter), KONG)).collect()
}

/// Returns the configurations of Wasm filters and access loggers of Envoy, wherever they stand.
fn of_envoy(document: &Node) -> Vec<Found<'_>> {
    let mut plugins = Vec::new();
    visit(document, &mut |node| {
        if node.get("configuration").is_some() && node.get("vm_config").or(node.get("vmConfig")).is_some() {
            plugins.push(node);
        }
    });
    only_own(plugins, of_plugin)
}

fn of_plugin(plugin: &Node) -> Vec<Found<'_>> {
    let Some(member) = plugin.member("configuration") else { return Vec::new() };
    let name = plugin.get("name").and_then(Node::text).unwrap_or_default();
    let kind = member.node.get("@type").and_then(Node::text).map(|kind| kind.rsplit('/').next().unwrap_or(kind));
    let (line, form) = match (kind, member.node.member("value")) {
        (Some(STRING_VALUE), Some(value)) => match &value.node.value {
            Value::Text(text) => (value.line, Form::Json(text)),
            _ => (
                value.line,
                Form::Unfit(
                    "is not a text, as the `value` of a `StringValue` has to be",
                    "give the text of one JSON object: `value: |`, and the object in the lines below",
                ),
            ),
        },
        (Some(STRING_VALUE), None) => {
            (member.line, Form::Unfit("has no `value`", "give the text of one JSON object: `value: |`"))
        }
        (Some(_), _) => (
            member.line,
            Form::Unfit(
                "is not a `StringValue`: of a `Struct` the filter gets bytes that it cannot read",
                "give `\"@type\": type.googleapis.com/google.protobuf.StringValue`, and as `value` the text of one JSON \
                 object",
            ),
        ),
        (None, _) => (
            member.line,
            Form::Unfit(
                "has no `@type`, without which Envoy refuses it",
                "give `\"@type\": type.googleapis.com/google.protobuf.StringValue`, and as `value` the text of one JSON \
                 object",
            ),
        ),
    };
    vec![Found { owner: format!("Wasm plugin `{name}`"), line, form, gateways: ENVOY }]
}

/// Leaves out filters of others, where some filter is plainly Retrohook's.
fn only_own<'a>(mut filters: Vec<&'a Node>, found: impl FnMut(&'a Node) -> Vec<Found<'a>>) -> Vec<Found<'a>> {
    if filters.iter().any(|filter| mentions_own_name(filter)) {
        filters.retain(|filter| mentions_own_name(filter));
    }
    filters.into_iter().flat_map(found).collect()
}

/// Returns true if the name of Retrohook is in a text of the document.
pub(crate) fn mentions_own_name(node: &Node) -> bool {
    let mut mentions = false;
    visit(node, &mut |node| mentions |= node.text().is_some_and(|text| text.to_lowercase().contains(OWN_NAME)));
    mentions
}

/// Visits a value and all inside it.
fn visit<'a>(node: &'a Node, look: &mut dyn FnMut(&'a Node)) {
    look(node);
    node.items().iter().for_each(|item| visit(item, look));
    node.members().iter().for_each(|member| visit(&member.node, look));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::of_yaml;

    /// Returns what was found in a text of YAML: owners and lines, and the texts that are JSON.
    fn found(text: &str) -> Vec<(String, usize, bool)> {
        let documents = of_yaml(text).unwrap();
        let all = documents.iter().flat_map(configurations);
        all.map(|found| (found.owner, found.line, matches!(found.form, Form::Json(_)))).collect()
    }

    fn one(owner: &str, line: usize, is_json: bool) -> (String, usize, bool) {
        (owner.to_owned(), line, is_json)
    }

    #[test]
    fn a_file_of_its_own() {
        assert_eq!(found("topic_arn: a\nroutes: []\n"), [one("", 1, false)]);
        assert_eq!(found("{}"), [one("", 1, false)]);
        assert_eq!(found("kind: Service\napiVersion: v1\n---\n_format_version: '3.0'\n---\n"), []);
    }

    #[test]
    fn manifests_of_kubernetes() {
        let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: events}\nspec:\n  url: oci://a\n  pluginConfig:\n    routes: []\n";
        assert_eq!(found(plugin), [one("WasmPlugin `events`", 6, false)]);
        let policy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {name: p}\nspec:\n  wasm:\n  - name: other\n    config: {}\n  - name: retrohook\n    config: {routes: []}\n";
        assert_eq!(found(policy), [one("EnvoyExtensionPolicy `p`", 9, false)]);
        let kong = "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: p}\nplugin: retrohook\nconfig: {routes: []}\n";
        assert_eq!(found(kong), [one("KongPlugin `p`", 5, false)]);
        assert_eq!(found(&kong.replace("plugin: retrohook", "plugin: cors")), []);
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: configuration.konghq.com/v1\n  kind: KongPlugin\n  plugin: retrohook\n  config: {}\n";
        assert_eq!(found(list), [one("KongPlugin ``", 7, false)]);
        assert_eq!(found(&plugin.replace("  pluginConfig:\n    routes: []\n", "")).len(), 1);
        let higress = plugin.replace("istio", "higress").replace("pluginConfig", "defaultConfig");
        assert_eq!(found(&higress), [one("WasmPlugin `events`", 6, false)]);
        let with_rules = format!("{higress}  matchRules:\n  - domain: [a]\n    config: {{routes: []}}\n");
        assert_eq!(found(&with_rules)[1], one("WasmPlugin `events`; matchRules", 8, false));
        assert_eq!(found(&higress.replace("\n    routes: []\n", " {}\n  matchRules: []\n")).len(), 1);
    }

    #[test]
    fn filters_and_plugins_of_kong() {
        let text = "_format_version: '3.0'\nservices:\n- name: a\n  filter_chains:\n  - filters:\n    - name: retrohook\n      config: {routes: []}\n    - name: other\n      config: {}\n  routes:\n  - name: b\n    plugins:\n    - name: retrohook\n      config: {capture: []}\n    - name: cors\n";
        assert_eq!(found(text), [one("filter `retrohook`", 7, false), one("filter `retrohook`", 14, false)]);
    }

    fn envoy(configuration: &str) -> String {
        format!(
            "static_resources:\n  listeners:\n  - filters:\n    - typed_config:\n        config:\n          name: retrohook\n          vm_config: {{}}\n          configuration:\n{configuration}        other:\n          vm_config: {{}}\n          configuration: {{}}\n"
        )
    }

    #[test]
    fn plugins_of_envoy() {
        let good = "            \"@type\": type.googleapis.com/google.protobuf.StringValue\n            value: |\n              {}\n";
        assert_eq!(found(&envoy(good)), [one("Wasm plugin `retrohook`", 10, true)]);
        for (bad, line) in [
            ("            \"@type\": type.googleapis.com/google.protobuf.Struct\n            value: {a: 1}\n", 8),
            ("            \"@type\": type.googleapis.com/google.protobuf.StringValue\n            value: {a: 1}\n", 10),
            ("            \"@type\": type.googleapis.com/google.protobuf.StringValue\n", 8),
            ("            routes: []\n", 8),
        ] {
            assert_eq!(found(&envoy(bad)), [one("Wasm plugin `retrohook`", line, false)], "{bad}");
        }
    }
}
