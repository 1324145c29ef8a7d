//! The schemas in the tree are what the code prints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail so")]

mod support;

use std::fs;

use support::{project, Desk};

#[test]
fn the_schemas_in_the_tree_are_those_of_the_code() {
    let desk = Desk::new("schema");
    for (arguments, file) in
        [(&["schema"][..], "docs/config.schema.json"), (&["schema", "--kong"], "kong/retrohook.meta.json")]
    {
        let done = desk.run(arguments);
        let is_same = fs::read_to_string(project().join(file)).unwrap() == done.out;
        assert!(done.code == 0 && is_same, "{file} is out of date: run `make schema`");
    }
}
