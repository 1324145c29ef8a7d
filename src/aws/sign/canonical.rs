//! The canonical form of a request, which its signature is made of (IAM User Guide, "Create a
//! signed AWS API request"). Never hashes anything, and never changes a request.

use http::Uri;

use crate::aws::uri::push_encoded;

/// A header as it is signed: its name in lower case, and its value.
pub(super) type SignedHeader<'a> = (&'a str, &'a str);

/// Returns the canonical form of a request, whose headers are in the order of their names, and the
/// names of its headers.
pub(super) fn canonical(method: &str, uri: &Uri, headers: &[SignedHeader<'_>], body_hash: &str) -> (String, String) {
    let bytes: usize = headers.iter().map(|(name, value)| 2 * name.len() + value.len() + 3).sum();
    let mut text = String::with_capacity(bytes + uri.path().len() + method.len() + body_hash.len() + 16);
    let mut names = String::with_capacity(bytes);
    text.push_str(method);
    text.push('\n');
    push_path(&mut text, uri.path());
    text.push('\n');
    push_query(&mut text, uri.query().unwrap_or_default());
    for of_one_name in headers.chunk_by(|(name, _), (other, _)| name == other) {
        let Some((name, _)) = of_one_name.first() else { continue };
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
        text.push('\n');
        text.push_str(name);
        for (position, (_, value)) in of_one_name.iter().enumerate() {
            text.push(if position == 0 { ':' } else { ',' });
            push_spaced_once(&mut text, value);
        }
    }
    for part in ["\n\n", &names, "\n", body_hash] {
        text.push_str(part);
    }
    (text, names)
}

/// Adds a path without dot segments and empty ones, percent-encoded: AWS encodes what was encoded
/// once more.
fn push_path(text: &mut String, path: &str) {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        text.push('/');
        push_encoded(text, segment);
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if segments.is_empty() || is_folder {
        text.push('/');
    }
}

/// Adds a query, whose parameters are in the order of their names and values.
fn push_query(text: &mut String, query: &str) {
    let encoded = |part: &str| {
        let mut text = String::new();
        push_encoded(&mut text, part);
        text
    };
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let parameter = (encoded(&name), encoded(&value));
        parameters.insert(parameters.partition_point(|earlier| *earlier <= parameter), parameter);
    }
    for (position, (name, value)) in parameters.iter().enumerate() {
        if position > 0 {
            text.push('&');
        }
        text.extend([name, "=", value]);
    }
}

/// Adds a value without spaces at its ends, and with one where there are several.
fn push_spaced_once(text: &mut String, value: &str) {
    let value = value.trim_matches(' ');
    // The searcher for texts of any length would take three times as long.
    if !value.as_bytes().windows(2).any(|two| two == b"  ") {
        return text.push_str(value);
    }
    for (position, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
        if position > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}
