//! What the matchers of the configuration cost a request, as `max_path_bytes` bounds it. A list
//! that costs more than others need draws a warning.

use super::reader::Section;
use crate::exchange::search::{PathMatches, PathSearch};

/// Instructions for the longest path: about 0.2 ms.
const USUAL_INSTRUCTIONS: usize = 200_000;

/// Warns of what costs more than is usual in the list `key`, whose matchers are looked for by these
/// searches.
pub(super) fn check(root: &Section<'_>, key: &str, searches: &[&PathSearch]) {
    let remedy = "begin matchers with `^`, avoid `.*` in their middle, or give a smaller `max_path_bytes`";
    let instructions = searches.iter().map(|search| search.most_instructions()).max().unwrap_or_default();
    if instructions > USUAL_INSTRUCTIONS {
        let problem = format!(
            "has matchers that cannot be searched at once: the longest path takes about {instructions} instructions"
        );
        root.warn_at(key, &problem, remedy);
    }
    let mut alone = PathMatches::default();
    searches.iter().for_each(|search| alone.add_all(search.alone()));
    for position in alone.positions() {
        let problem = "cannot be searched together with others, and costs a thousand instructions and more for each byte \
                       of a path: it has a letter beyond ASCII, a class in a class, `\\b`, `\\x` or a flag other than `i`, or \
                       its repetitions have too many states";
        root.warn_at(&format!("{key}[{position}].matcher"), problem, remedy);
    }
}
