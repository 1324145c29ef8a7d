//! Names of types: one name stands for one thing in the whole crate. Types inside a function or an
//! `impl` do not count, nor does code under `#[cfg(test)]`; a type that a macro makes is not seen.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use crate::imports::{is_punct, is_test, item_length, module_of, modules_of, Path};

#[derive(Default)]
struct Types {
    /// Name, module and file of each.
    found: Vec<(String, Path, String)>,
    test_modules: BTreeSet<Path>,
}

/// Returns a sentence for each name that these files (path relative to `src`, and source) give to
/// several types.
pub(crate) fn shared_names(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut types = Types::default();
    for (file, source) in files {
        let tokens: TokenStream = source.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        types.read(file, &module_of(file), tokens);
    }
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, module, file) in &types.found {
        if !types.test_modules.iter().any(|test| module.starts_with(test)) {
            by_name.entry(name).or_default().push(file);
        }
    }
    let shared = by_name.iter().filter(|(_, files)| files.len() > 1);
    shared.map(|(name, files)| format!("{name} is the name of {} types: {}", files.len(), files.join(", "))).collect()
}

impl Types {
    /// Reads the items of a module.
    fn read(&mut self, file: &str, module: &Path, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at..] {
                [mark, TokenTree::Group(attribute), item @ ..]
                    if is_punct(mark, '#') && is_test(attribute.stream()) =>
                {
                    let length = item_length(item);
                    self.test_modules.extend(modules_of(module, &item[..length]));
                    2 + length
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..] if *word == "mod" => {
                    self.read(file, &[module.as_slice(), &[name.to_string()]].concat(), body.stream());
                    3
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), ..]
                    if ["struct", "enum", "trait", "type"].iter().any(|kind| *word == kind) =>
                {
                    self.found.push((name.to_string(), module.clone(), file.to_owned()));
                    2
                }
                _ => 1,
            };
        }
    }
}
