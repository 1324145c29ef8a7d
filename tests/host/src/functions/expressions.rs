//! Envoy's foreign functions for expressions of CEL, as far as lists of properties go: each item is
//! a path, or a path with an empty text where it is absent (`has(a.b)?a.b:''`).

use crate::guest::{trap, Answer, Guest, Status};
use crate::headers::Headers;
use crate::properties::{self, Property};

/// A property in a list.
#[derive(Clone)]
pub(crate) struct Item {
    path: String,
    may_be_absent: bool,
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
    for Item { path, may_be_absent } in items {
        match properties::find(guest.vm(), &path) {
            Property::Value(value) => list.0.push((value, Vec::new())),
            Property::Absent if may_be_absent => list.0.push((Vec::new(), Vec::new())),
            Property::Absent => return Ok(Status::InternalFailure),
            Property::Trap(why) | Property::Crash(why) => return Err(trap(why)),
        }
    }
    guest.give(&list.to_wire(usize::MAX), data_out, len_out)
}

/// Returns the items of a list; `None` if it is anything else.
fn parse(expression: &str) -> Option<Vec<Item>> {
    let list = expression.strip_prefix('[')?.strip_suffix(']')?;
    let is_path = |path: &str| path.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
    let item = |item: &str| {
        let (path, may_be_absent) = match item.strip_prefix("has(") {
            None => (item, false),
            Some(rest) => {
                let (path, rest) = rest.split_once(")?")?;
                (path, rest.strip_suffix(":''")? == path)
            }
        };
        let is_valid = is_path(path) && may_be_absent == item.starts_with("has(");
        is_valid.then(|| Item { path: path.to_owned(), may_be_absent })
    };
    list.split(',').map(item).collect()
}
