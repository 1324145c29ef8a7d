//! The map of CONTRIBUTING.md, and what of a crate goes against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{imports, Import};

/// Rooms at the top of `src/`, at most: more are a list, and no map.
const MOST_ROOMS: usize = 18;

/// The rooms whose files must not form a circle either.
const WITHOUT_CIRCLES: [&str; 3] = ["aws", "capture", "publish"];

/// The only code that may name `proxy_wasm`: the room, and the file in which the host enters.
const KNOW_THE_HOST: [&str; 2] = ["filter", "lib"];

/// Rooms by floor, the highest first.
pub(crate) struct Plan {
    floors: Vec<Vec<String>>,
}

impl Plan {
    /// Reads the block of text that begins with the line `src/`: a room a line, a blank line
    /// between floors. Lines that name no room go on with the one above.
    pub(crate) fn read(page: &str) -> Plan {
        let block = page.split("```text\nsrc/\n").nth(1).expect("a map").split("```").next().unwrap_or_default();
        let room = |line: &str| {
            let name = line.strip_prefix("  ")?.split(' ').next()?;
            name.strip_suffix('/').or(name.strip_suffix(".rs")).map(str::to_owned)
        };
        let of_src = |name: &String| name != "lib";
        let floors = block.split("\n\n").map(|floor| floor.lines().filter_map(room).filter(of_src).collect());
        Plan { floors: floors.filter(|floor: &Vec<String>| !floor.is_empty()).collect() }
    }

    pub(crate) fn rooms(&self) -> BTreeSet<&str> {
        self.floors.iter().flatten().map(String::as_str).collect()
    }

    /// Everything that these files (path relative to `src`, and source) do against the map, each as
    /// a sentence.
    pub(crate) fn faults(&self, files: &BTreeMap<String, String>) -> Vec<String> {
        let imports = imports(files);
        let mut faults = self.wrong_rooms(files);
        faults.extend(imports.iter().filter_map(|import| self.forbidden(import)));
        faults.extend(circles(&imports, |file| Some(room(file).to_owned())));
        for wing in WITHOUT_CIRCLES {
            faults.extend(circles(&imports, |file| (room(file) == wing).then(|| file.to_owned())));
        }
        faults
    }

    fn wrong_rooms(&self, files: &BTreeMap<String, String>) -> Vec<String> {
        let there: BTreeSet<&str> = files.keys().map(|file| room(file)).filter(|room| *room != "lib").collect();
        let mapped = self.rooms();
        let mut faults: Vec<String> =
            there.difference(&mapped).map(|room| format!("{room} is not on the map")).collect();
        faults.extend(mapped.difference(&there).map(|room| format!("{room} is on the map, and not in src/")));
        if there.len() > MOST_ROOMS {
            faults.push(format!("src/ has {} rooms, and {MOST_ROOMS} are the most", there.len()));
        }
        faults
    }

    fn forbidden(&self, import: &Import) -> Option<String> {
        let Import { file, path, defined_in } = import;
        let (from, first, path) = (room(file), path.first()?.as_str(), path.join("::"));
        let Some(defined_in) = defined_in else {
            let is_host = first == "proxy_wasm" && !KNOW_THE_HOST.contains(&from);
            return is_host.then(|| format!("{file} names {path}: only filter/ calls the host"));
        };
        // A name that lib.rs passes on is of the room that it has it from.
        let to = if self.floor(first).is_some() { first } else { room(defined_in) };
        let (low, high) = (self.floor(to)?, self.floor(from)?);
        let is_ground = low + 1 == self.floors.len();
        (from != to && (low < high || low == high && !is_ground))
            .then(|| format!("{file} imports crate::{path}: {to} does not lie below {from}"))
    }

    /// The floor of a room, counted from the highest.
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.iter().any(|name| name == room))
    }
}

/// The room of a file: its folder at the top, or its name.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// A sentence for each group of nodes that reach one another by imports; `node` says which node a
/// file is in, if it is in any.
///
/// A file may use the `mod.rs` of a folder that it lies in: that is where a folder keeps the words
/// that its files share.
fn circles(imports: &[Import], node: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Import { file, defined_in, .. } in imports {
        let Some(to) = defined_in.as_ref().filter(|to| !is_own_face(to, file)) else { continue };
        if let (Some(from), Some(to)) = (node(file), node(to)) {
            edges.entry(from).or_default().insert(to);
        }
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges.keys().map(|node| (node, reached(&edges, node))).collect();
    let circle = |node: &&String| -> Vec<String> {
        let back = |other: &&&String| reach.get(**other).is_some_and(|back| back.contains(node));
        reach[*node].iter().filter(back).map(ToString::to_string).collect()
    };
    let circles: BTreeSet<Vec<String>> = reach.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    circles.iter().map(|circle| format!("{} are a circle", circle.join(", "))).collect()
}

/// The nodes that a way leads to from `start`.
fn reached<'a>(edges: &'a BTreeMap<String, BTreeSet<String>>, start: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        open.extend(edges.get(node).into_iter().flatten().filter(|next| reached.insert(*next)));
    }
    reached
}

/// True if `to` is the `mod.rs` of a folder that `file` lies in.
fn is_own_face(to: &str, file: &str) -> bool {
    to.strip_suffix("mod.rs").is_some_and(|folder| file.starts_with(folder))
}
