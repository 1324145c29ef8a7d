//! The key `role`: a configuration that takes no requests, and sends what others of its gateway
//! have queued.

use super::fault::Checked;
use super::reader::Section;
use super::{capture, target, JournalChoice};
use crate::aws::target::Target;
use crate::publish::route::Route;

/// The part that a configuration has in its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It takes requests, and sends.
    Gateway,
    /// It sends what others have queued for its target.
    Sender,
}

pub(super) fn read(root: &mut Section<'_>) -> Checked<Part> {
    root.choice("role", &[("gateway", Part::Gateway), ("sender", Part::Sender)])
}

/// Reads the target of a sender, which has no routes.
pub(super) fn read_target(
    root: &mut Section<'_>,
    target: Checked<Option<Target>>,
) -> Checked<(Vec<Route>, Vec<Target>)> {
    for key in ["routes", capture::KEY] {
        if let Some(field) = root.optional(key) {
            field.fault("is given, and a sender takes no requests", "remove it, or remove `role`");
        }
    }
    let target = target?.ok_or_else(|| {
        let (key, remedy) = target::missing();
        root.fault_at(key, "is missing", remedy)
    })?;
    if target.protocol.keeps_order() {
        let problem = "adds nothing: what a FIFO target gets is sent by one at a time, so that its order is kept";
        root.warn_at("role", problem, "take this configuration out");
    }
    Ok((Vec::new(), vec![target]))
}

/// Returns the journal that goes with a role, of the `queue` that it is chosen in.
pub(super) fn journal(
    queue: &Section<'_>,
    role: Checked<Part>,
    choice: Checked<JournalChoice>,
) -> Checked<JournalChoice> {
    match (role?, choice?) {
        (Part::Gateway, choice) => Ok(choice),
        (Part::Sender, JournalChoice::Auto | JournalChoice::On) => Ok(JournalChoice::On),
        (Part::Sender, JournalChoice::Off) => Err(queue.fault_at(
            "journal",
            "is `off`, and only what is in the journal can be sent by others",
            "give `on`, here and where the routes are, or leave it out here",
        )),
    }
}
