//! Imports among the files of a crate: `use` declarations and paths in the code, resolved to the
//! file that defines what they name. Code under `#[cfg(test)]` does not count, nor do comments and
//! texts.
//!
//! It reads tokens, not types: a name that only a macro makes is not seen, and neither is a method
//! of a type that was never named.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Steps of a module path, without `crate`.
pub(crate) type Path = Vec<String>;

/// A file that names something outside itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// The file that names it, relative to `src`.
    pub file: String,
    /// The path as it is written, from the crate's root, or from another crate's.
    pub path: Path,
    /// The file that defines it, or none where it is another crate's.
    pub defined_in: Option<String>,
}

/// Where the code of a module is, and what it makes known under which name.
#[derive(Default)]
struct Module {
    file: String,
    names: BTreeMap<String, Path>,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Path, Module>,
    /// Module, and what it names: `crate`, `self` or `super`, or a first name that is another
    /// crate's or a child's.
    mentions: BTreeSet<(Path, Path)>,
    test_modules: BTreeSet<Path>,
}

/// All imports of these files (path relative to `src`, and source), each once.
pub(crate) fn imports(files: &BTreeMap<String, String>) -> Vec<Import> {
    let mut read = Crate::default();
    for (file, source) in files {
        let tokens: TokenStream = source.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        read.module(file, module_of(file), tokens);
    }
    let is_test = |module: &Path| read.test_modules.iter().any(|test| module.starts_with(test));
    let found = read.mentions.iter().filter(|(module, _)| !is_test(module)).filter_map(|(module, mention)| {
        let file = read.modules[module].file.clone();
        let path = read.absolute(module, mention);
        let defined_in = path.as_ref().map(|path| read.defining_file(path));
        (defined_in.as_ref() != Some(&file)).then(|| Import {
            file,
            path: path.unwrap_or_else(|| mention.clone()),
            defined_in,
        })
    });
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

/// `aws/sns/mod.rs` is `aws::sns`, and `lib.rs` the crate itself.
pub(crate) fn module_of(file: &str) -> Path {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    stem.split('/').filter(|step| *step != "lib").map(str::to_owned).collect()
}

impl Crate {
    /// Reads the tokens of a module, or of a block of it.
    fn module(&mut self, file: &str, module: Path, tokens: TokenStream) {
        self.modules.entry(module.clone()).or_default().file = file.to_owned();
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at..] {
                [TokenTree::Punct(mark), TokenTree::Group(attribute), item @ ..]
                    if mark.as_char() == '#' && is_test(attribute.stream()) =>
                {
                    let length = item_length(item);
                    self.test_modules.extend(modules_of(&module, &item[..length]));
                    2 + length
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..] if *word == "mod" => {
                    let inner = [module.as_slice(), &[name.to_string()]].concat();
                    self.module(file, inner, body.stream());
                    3
                }
                // Not the `use<'a>` of an opaque type.
                [TokenTree::Ident(word), rest @ ..]
                    if *word == "use" && !rest.first().is_some_and(|token| is_punct(token, '<')) =>
                {
                    let length = rest.iter().take_while(|token| !is_punct(token, ';')).count();
                    self.use_tree(&module, Vec::new(), &rest[..length]);
                    1 + length
                }
                [TokenTree::Ident(_), ..] => {
                    let (path, length) = path(&tokens[at..]);
                    let after_dot = at > 0 && is_punct(&tokens[at - 1], '.');
                    if path.len() > 1 && !after_dot {
                        self.mentions.insert((module.clone(), path));
                    }
                    length
                }
                [TokenTree::Group(group), ..] => {
                    self.module(file, module.clone(), group.stream());
                    1
                }
                _ => 1,
            };
        }
    }

    /// Reads `a::b`, `a::{b, c as d}` or `a::*`, without the `use` and the semicolon.
    fn use_tree(&mut self, module: &Path, mut prefix: Path, tokens: &[TokenTree]) {
        let mut name = None;
        let mut rest = tokens;
        while let [token, after @ ..] = rest {
            match token {
                TokenTree::Ident(word) if *word == "as" => {
                    name = after.first().map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(word) if *word == "self" && !prefix.is_empty() => {}
                TokenTree::Ident(word) => prefix.push(word.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for tree in inner.split(|token| is_punct(token, ',')).filter(|tree| !tree.is_empty()) {
                        self.use_tree(module, prefix.clone(), tree);
                    }
                    return;
                }
                _ => {}
            }
            rest = after;
        }
        if let Some(last) = prefix.last().cloned() {
            let names = &mut self.modules.entry(module.clone()).or_default().names;
            names.insert(name.unwrap_or(last), prefix.clone());
            self.mentions.insert((module.clone(), prefix));
        }
    }

    /// The path from the crate's root, or none if it is another crate's.
    fn absolute(&self, module: &Path, mention: &Path) -> Option<Path> {
        let mut base = module.clone();
        let mut steps = mention.iter().peekable();
        match steps.peek()?.as_str() {
            "crate" => {
                base.clear();
                steps.next();
            }
            "self" | "super" => {
                while let Some(step) = steps.next_if(|step| *step == "self" || *step == "super") {
                    if step == "super" {
                        base.pop();
                    }
                }
            }
            child => {
                base.push(child.to_owned());
                steps.next();
                if !self.modules.contains_key(&base) {
                    return None;
                }
            }
        }
        base.extend(steps.cloned());
        Some(base)
    }

    /// The file of the innermost module of a path, behind all `pub use`.
    fn defining_file(&self, path: &Path) -> String {
        let mut path = path.clone();
        // Each turn follows one `use`; a chain is a few long.
        for _ in 0..8 {
            let module = self.innermost(&path);
            let next = path.get(module.len()).and_then(|name| self.modules[&module].names.get(name));
            match next.and_then(|mention| self.absolute(&module, mention)).filter(|next| *next != path) {
                Some(next) => path = [next, path[module.len() + 1..].to_vec()].concat(),
                None => return self.modules[&module].file.clone(),
            }
        }
        self.modules[&self.innermost(&path)].file.clone()
    }

    fn innermost(&self, path: &Path) -> Path {
        let lengths = (0..=path.len()).rev();
        lengths
            .map(|length| path[..length].to_vec())
            .find(|module| self.modules.contains_key(module))
            .unwrap_or_default()
    }
}

/// The path that these tokens begin with (one step if it is a mere name), and how many tokens it
/// takes.
fn path(tokens: &[TokenTree]) -> (Path, usize) {
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(step)) = tokens.get(at) {
        steps.push(step.to_string());
        at += 1;
        match tokens.get(at..at + 3) {
            Some([one, two, TokenTree::Ident(_)]) if is_punct(one, ':') && is_punct(two, ':') => at += 2,
            _ => break,
        }
    }
    (steps, at)
}

/// The modules that these tokens declare within `module`.
pub(crate) fn modules_of<'a>(module: &'a Path, item: &'a [TokenTree]) -> impl Iterator<Item = Path> + 'a {
    item.windows(2).filter_map(|pair| match pair {
        [TokenTree::Ident(word), TokenTree::Ident(name)] if *word == "mod" => {
            Some([module.as_slice(), &[name.to_string()]].concat())
        }
        _ => None,
    })
}

/// How many tokens an item takes that stands behind an attribute: up to its semicolon, or its body.
pub(crate) fn item_length(item: &[TokenTree]) -> usize {
    let is_brace =
        |token: &&TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let is_use = item.iter().take_while(|token| !is_brace(token)).any(|token| token.to_string() == "use");
    let is_end = |token: &TokenTree| is_punct(token, ';') || is_brace(&token) && !is_use;
    item.iter().position(is_end).map_or(item.len(), |end| end + 1)
}

/// True of `cfg(test)` and `cfg(all(test, …))`, false of `cfg(not(test))`.
pub(crate) fn is_test(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

pub(crate) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
