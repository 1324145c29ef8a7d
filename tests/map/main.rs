//! CONTRIBUTING.md has the map of `src/`. These tests hold the code to it, and themselves to forged
//! code that is against it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail so")]

mod imports;
mod names;
mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use names::shared_names;
use plan::Plan;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Reads all files below `folder` into `files`, by their path from `top`.
fn read(folder: &Path, top: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, top, files);
        } else {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The files of `src`.
fn source() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let source = root().join("src");
    read(&source, &source, &mut files);
    files
}

#[test]
fn the_code_keeps_to_the_map() {
    let faults = Plan::read(&page("CONTRIBUTING.md")).faults(&source());
    assert!(faults.is_empty(), "against the map in CONTRIBUTING.md:\n{}", faults.join("\n"));
}

#[test]
fn a_name_stands_for_one_type() {
    let shared = shared_names(&source());
    assert!(shared.is_empty(), "one name, one thing:\n{}", shared.join("\n"));
}

#[test]
fn two_types_of_one_name_are_found_where_they_are_shipped() {
    let names = |other: &str| {
        let files = [
            ("aws/mod.rs", "pub(crate) struct Kind<'a>(&'a str); #[cfg(test)] mod tests;"),
            ("aws/tests.rs", "enum Kind { A }"),
            ("metrics.rs", other),
        ];
        shared_names(&files.map(|(name, source)| (name.to_owned(), source.to_owned())).into())
    };
    for twin in ["struct Kind;", "#[derive(Debug)] pub enum Kind {}", "mod inner { trait Kind {} }", "type Kind = u8;"]
    {
        assert_eq!(names(twin), ["Kind is the name of 2 types: aws/mod.rs, metrics.rs"], "{twin}");
    }
    for other in
        ["fn f() { struct Kind; }", "impl X for Y { type Kind = u8; }", "#[cfg(test)] mod tests { enum Kind {} }"]
    {
        assert_eq!(names(other), [""; 0], "{other}");
    }
}

#[test]
fn what_the_pages_for_developers_name_is_there() {
    for name in ["CONTRIBUTING.md", "SECURITY.md", "docs/design.md"] {
        let page = page(name);
        let quoted = page.split('`').skip(1).step_by(2);
        let paths: Vec<&str> = quoted
            .filter(|text| text.contains('/') && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
            .filter(|text| root().join(text.split('/').next().unwrap()).exists())
            .collect();
        assert!(name == "SECURITY.md" || paths.len() > 5, "{name} names files");
        for path in paths {
            assert!(root().join(path).exists(), "{name} names {path}");
        }
    }
}

const MAP: &str = "```text
src/
  lib.rs         the entry

  filter/        calls
                 the host

  publish/       one wing
  capture/       the other

  aws/           below both

  clock.rs       the ground
  secret.rs      of it
```";

/// The faults of a tree with these files beside a good one of each room.
fn faults(forged: &[(&str, &str)]) -> Vec<String> {
    let good = [
        ("lib.rs", "mod filter; mod publish; mod capture; mod aws; mod clock; mod secret; use filter::Root; proxy_wasm::main! {}"),
        ("filter/mod.rs", "use proxy_wasm::types::Action; use crate::{aws::Signer, publish::{self, Lane}};"),
        ("publish/mod.rs", "mod lane; mod outbox; pub use lane::Lane;"),
        ("publish/lane.rs", "use super::outbox::Outbox; use crate::aws::Signer; pub struct Lane;"),
        ("publish/outbox.rs", "use crate::clock::Timestamp; pub struct Outbox;"),
        ("capture/mod.rs", "use crate::aws::Signer;"),
        ("aws/mod.rs", "use crate::clock::Timestamp; pub struct Signer;"),
        ("clock.rs", "pub struct Timestamp;"),
        ("secret.rs", "use crate::clock::Timestamp;"),
    ];
    let files = good.iter().chain(forged).map(|(name, source)| ((*name).to_owned(), (*source).to_owned()));
    Plan::read(MAP).faults(&files.collect())
}

#[test]
fn forged_code_that_keeps_to_its_map_has_no_faults() {
    assert_eq!(Plan::read(MAP).rooms().len(), 6);
    assert_eq!(faults(&[]), [""; 0]);
}

#[test]
fn an_arrow_that_climbs_is_a_fault_however_it_is_written() {
    let climbing = [
        "use crate::publish::Lane;",
        "use crate::{clock::Timestamp, publish::Lane as Other};",
        "use super::publish::Lane;",
        "fn f() { let lane = crate::publish::Lane(1); }",
        "fn f() -> Vec<crate::publish::Lane> { vec![] }",
        "fn f() { assert_eq!(1, crate::publish::Lane); }",
        "pub(crate) use crate::publish::Lane;",
        "mod inner { use super::super::publish::Lane; }",
        "#[cfg(not(test))] use crate::publish::Lane;",
        "#[cfg(test)] mod tests {} use crate::publish::Lane;",
    ];
    for source in climbing {
        assert_eq!(
            faults(&[("aws/mod.rs", &format!("pub struct Signer; {source}"))]),
            ["aws/mod.rs imports crate::publish::Lane: publish does not lie below aws", "aws, publish are a circle"],
            "{source}"
        );
    }
}

#[test]
fn the_entry_hides_no_arrow() {
    let entry = "mod filter; mod publish; mod aws; pub use publish::Lane; proxy_wasm::main! {}";
    assert_eq!(
        faults(&[("lib.rs", entry), ("aws/mod.rs", "use crate::Lane; pub struct Signer;")]),
        ["aws/mod.rs imports crate::Lane: publish does not lie below aws", "aws, publish are a circle"]
    );
}

#[test]
fn what_is_no_import_of_shipped_code_is_no_fault() {
    let harmless = [
        "//! See [`crate::publish::Lane`].",
        "/// [`crate::publish::Lane`] uses it.\npub struct Other;",
        "const TEXT: &str = \"crate::publish::Lane\";",
        "#[cfg(test)] mod tests { use crate::publish::Lane; }",
        "#[cfg(test)] #[allow(dead_code)] fn helper() { crate::publish::Lane::new(); }",
        "#[cfg(test)] use crate::{publish::Lane};",
        "#[cfg(all(test, unix))] impl Signer { fn lane() -> crate::publish::Lane {} }",
        "use std::sync::Arc; use publish::Lane;",
    ];
    for source in harmless {
        assert_eq!(faults(&[("aws/mod.rs", &format!("{source}\npub struct Signer;"))]), [""; 0], "{source}");
    }
    let test_module =
        [("aws/mod.rs", "pub struct Signer; #[cfg(test)] mod tests;"), ("aws/tests.rs", "use crate::publish::Lane;")];
    assert_eq!(faults(&test_module), [""; 0]);
}

#[test]
fn the_wings_never_import_each_other() {
    assert_eq!(
        faults(&[("capture/mod.rs", "use crate::publish::Lane;")]),
        ["capture/mod.rs imports crate::publish::Lane: publish does not lie below capture"]
    );
}

#[test]
fn only_the_filter_and_the_entry_name_the_host() {
    for source in ["use proxy_wasm::types::Action;", "fn f() { proxy_wasm::hostcalls::log(); }", "use proxy_wasm;"] {
        let faults = faults(&[("publish/outbox.rs", &format!("pub struct Outbox; {source}"))]);
        assert_eq!(faults.len(), 1, "{source}: {faults:?}");
        assert!(faults[0].starts_with("publish/outbox.rs names proxy_wasm"), "{faults:?}");
    }
}

#[test]
fn rooms_of_the_ground_may_import_each_other_but_in_no_circle() {
    assert_eq!(
        faults(&[("clock.rs", "use crate::secret::Secret; pub struct Timestamp;")]),
        ["clock, secret are a circle"]
    );
}

#[test]
fn files_of_a_wing_form_no_circle() {
    let through_the_face = "use super::Lane; pub struct Outbox;";
    let direct = "use super::lane::Lane; pub struct Outbox;";
    for source in [through_the_face, direct] {
        let faults = faults(&[("publish/outbox.rs", source)]);
        assert_eq!(faults, ["publish/lane.rs, publish/outbox.rs are a circle"], "{source}");
    }
    let face = [
        ("publish/mod.rs", "mod lane; mod outbox; pub use lane::Lane; pub struct BatchId;"),
        ("publish/outbox.rs", "use super::BatchId; pub struct Outbox;"),
    ];
    assert_eq!(faults(&face), [""; 0], "a file may use what its own mod.rs defines");
}

#[test]
fn the_map_has_every_room_and_no_other_and_not_too_many() {
    assert_eq!(faults(&[("cellar/mod.rs", "")]), ["cellar is not on the map"]);
    let no_aws = Plan::read(&MAP.replace("  clock.rs ", "  attic.rs\n  clock.rs ")).faults(&BTreeMap::new());
    assert!(no_aws.contains(&"attic is on the map, and not in src/".to_owned()), "{no_aws:?}");
    let names: Vec<String> = (0..13).map(|number| format!("room{number}.rs")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(faults(&many).contains(&"src/ has 19 rooms, and 18 are the most".to_owned()));
}
