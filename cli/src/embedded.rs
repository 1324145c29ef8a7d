//! Documents inside documents: files of a gateway that a ConfigMap or a Secret of Kubernetes holds
//! as texts. Never looks for a configuration in them.

use crate::document::{of_either, Node, SyntaxFault, Text, Value};
use crate::find::{is_configuration, mentions_own_name};

/// Kinds that hold files, and the member whose values they are.
const HOLDERS: [(&str, &str); 2] = [("ConfigMap", "data"), ("Secret", "stringData")];

/// Endings of the names of files that are documents.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];

/// Returns the documents in the texts of `document` and of all that a list has, with the lines of
/// the file that they are in. A text without Retrohook in it is passed over, whatever it is.
///
/// # Errors
/// The fault of a text that is called a document and is none.
pub(crate) fn documents(document: &Node) -> Result<Vec<Node>, SyntaxFault> {
    let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
    let mut documents = Vec::new();
    if kind == "List" {
        for item in document.get("items").map_or(&[][..], Node::items) {
            documents.extend(self::documents(item)?);
        }
    }
    let key = HOLDERS.iter().find(|(holder, _)| *holder == kind).map(|(_, key)| *key);
    for member in key.and_then(|key| document.get(key)).map_or(&[][..], Node::members) {
        let Value::Text(text) = &member.node.value else { continue };
        let is_called_so = ENDINGS.iter().any(|ending| member.key.ends_with(ending));
        documents.extend(of_text(text, member.line, is_called_so && mentions_own_name(&member.node))?);
    }
    Ok(documents)
}

/// Returns the documents of a text in this line. What is no document is a fault if it `has_to_be`
/// one.
fn of_text(text: &Text, line: usize, has_to_be: bool) -> Result<Vec<Node>, SyntaxFault> {
    let lines = |inner: usize| text.first_line.map_or(line, |first| first - 1 + inner);
    match of_either(&text.text) {
        Ok(all) => {
            let is_own = |document: &Node| mentions_own_name(document) || is_configuration(document);
            let own = all.into_iter().filter(|document| !document.members().is_empty() && is_own(document));
            Ok(own.map(|document| document.with_lines(&lines)).collect())
        }
        Err(fault) if has_to_be => Err(SyntaxFault { line: lines(fault.line), ..fault }),
        Err(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::of_yaml;
    use crate::find::configurations;

    /// Returns owners and lines of what a text of YAML holds.
    fn found(text: &str) -> Result<Vec<(String, usize)>, SyntaxFault> {
        let all = of_yaml(text).unwrap().iter().map(documents).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(all.iter().flat_map(configurations).map(|found| (found.owner, found.line)).collect())
    }

    #[test]
    fn files_of_gateways_in_texts_have_lines_of_the_file_around_them() {
        let envoy = "    static_resources:\n      config:\n        name: retrohook\n        vm_config: {}\n        configuration:\n          \"@type\": type.googleapis.com/google.protobuf.StringValue\n          value: |\n            {}\n";
        let kong = "    _format_version: '3.0'\n    plugins:\n    - name: retrohook\n      config: {}\n";
        let own = "    topic_arn: a\n    routes: []\n";
        let head = "apiVersion: v1\nkind: ConfigMap\ndata:\n  nginx.conf: |\n    wasm { module retrohook a.wasm; }\n  other.yaml: |\n    region: here\n";
        let map = format!("{head}  envoy.yaml: |\n{envoy}  kong.yml: |\n{kong}  config.json: |\n{own}");
        let expected = [("Wasm plugin `retrohook`", 15), ("filter `retrohook`", 21), ("", 23)];
        let expected: Vec<(String, usize)> = expected.map(|(owner, line)| (owner.to_owned(), line)).to_vec();
        assert_eq!(found(&map), Ok(expected.clone()));
        assert_eq!(found(&map.replace("ConfigMap", "Secret")), Ok(Vec::new()));
        assert_eq!(found(&map.replace("ConfigMap", "Secret").replace("\ndata", "\nstringData")), Ok(expected));
        let listed = format!("apiVersion: v1\nkind: List\nitems:\n- {}", map.replace('\n', "\n  "));
        assert_eq!(found(&listed).unwrap().len(), 3);
        let quoted = format!("{head}  config.json: '{{\"topic_arn\": \"a\", \"routes\": []}}'\n");
        assert_eq!(found(&quoted), Ok(vec![(String::new(), 8)]));
    }

    #[test]
    fn a_text_that_should_be_a_document_has_the_line_of_its_fault() {
        let map = |name: &str, text: &str| format!("kind: ConfigMap\ndata:\n  {name}: |\n{text}");
        let broken = "    name: retrohook\n    a: [\n    b: }\n";
        assert_eq!(found(&map("kong.yml", broken)).unwrap_err().line, 6);
        assert_eq!(found(&map("kong.conf", broken)), Ok(Vec::new()));
        assert_eq!(found(&map("kong.yml", &broken.replace("retrohook", "other"))), Ok(Vec::new()));
    }
}
