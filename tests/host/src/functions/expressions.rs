//! Envoy's foreign functions for expressions of CEL, as far as lists of properties go: each item is
//! a path, a path with an empty text where it is absent (`has(a.b)?a.b:''`), or a header with a
//! line break where it is absent (`'x'in request.headers?request.headers['x']:'\n'`).

use crate::guest::{trap, Answer, Guest, Status};
use crate::headers::Headers;
use crate::properties::{self, Property};

/// A property in a list.
#[derive(Clone)]
pub(crate) struct Item {
    path: String,
    /// What stands for it where it is absent; without that, the whole list fails.
    absent: Option<&'static [u8]>,
}

pub(super) fn call(
    guest: &mut Guest<'_>,
    name: u32,
    name_len: u32,
    at: u32,
    len: u32,
    data_out: u32,
    len_out: u32,
) -> Answer {
    let (name, argument) = (guest.read_text(name, name_len)?, guest.read(at, len)?);
    if guest.vm().rules.is_kong() {
        return Err(trap(format!("Kong has no foreign function \"{name}\"")));
    }
    match name.as_str() {
        "expr_create" => create(guest, &argument, data_out, len_out),
        "expr_evaluate" => evaluate(guest, &argument, data_out, len_out),
        _ => Ok(Status::NotFound),
    }
}

/// Keeps it for the root, whose expressions are its own.
fn create(guest: &mut Guest<'_>, expression: &[u8], data_out: u32, len_out: u32) -> Answer {
    let Some(items) = parse(&String::from_utf8_lossy(expression)) else { return Ok(Status::BadArgument) };
    let vm = guest.vm();
    let root = vm.root_id();
    let expressions = vm.expressions.entry(root).or_default();
    expressions.push(items);
    let token = expressions.len() as u32 - 1;
    guest.give(&token.to_le_bytes(), data_out, len_out)
}

fn evaluate(guest: &mut Guest<'_>, token: &[u8], data_out: u32, len_out: u32) -> Answer {
    let Ok(token) = token.try_into().map(u32::from_le_bytes) else { return Ok(Status::BadArgument) };
    let vm = guest.vm();
    let items = vm.expressions.get(&vm.root_id()).and_then(|expressions| expressions.get(token as usize)).cloned();
    let Some(items) = items else { return Ok(Status::NotFound) };
    let mut list = Headers::default();
    for Item { path, absent } in items {
        match (properties::find(guest.vm(), &path), absent) {
            (Property::Value(value), _) => list.0.push((value, Vec::new())),
            (Property::Absent, Some(absent)) => list.0.push((absent.to_vec(), Vec::new())),
            (Property::Absent, None) => return Ok(Status::InternalFailure),
            (Property::Trap(why) | Property::Crash(why), _) => return Err(trap(why)),
        }
    }
    guest.give(&list.to_wire(usize::MAX), data_out, len_out)
}

/// Returns the items of a list; `None` if it is anything else.
fn parse(expression: &str) -> Option<Vec<Item>> {
    let list = expression.strip_prefix('[')?.strip_suffix(']')?;
    let is_path = |path: &str| path.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
    let item = |item: &str| {
        let (path, absent) = if let Some(rest) = item.strip_prefix("has(") {
            let (path, rest) = rest.split_once(")?")?;
            (path.to_owned(), (rest.strip_suffix(":''")? == path).then_some(b"".as_slice()))
        } else if let Some(rest) = item.strip_prefix('\'') {
            let (name, rest) = rest.split_once('\'')?;
            let (map, rest) = rest.strip_prefix("in ")?.split_once('?')?;
            let is_same = rest == format!(r"{map}['{name}']:'\n'");
            return is_same.then(|| Item { path: format!("{map}.{name}"), absent: Some(b"\n") });
        } else {
            return is_path(item).then(|| Item { path: item.to_owned(), absent: None });
        };
        (is_path(&path) && absent.is_some()).then_some(Item { path, absent })
    };
    list.split(',').map(item).collect()
}
