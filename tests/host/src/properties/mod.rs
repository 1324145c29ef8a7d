//! What a module can read with `proxy_get_property`, in each host's own names, encodings and
//! pitfalls.

mod envoy;
mod kong;

use crate::profile::Profile;
use crate::vm::Vm;

/// What the host says when a property is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    Value(Vec<u8>),
    Absent,
    /// The host traps the module.
    Trap(String),
    /// The real worker would die.
    Crash(String),
}

impl<V: Into<Vec<u8>>> From<Option<V>> for Property {
    fn from(value: Option<V>) -> Property {
        value.map_or(Property::Absent, |value| Property::Value(value.into()))
    }
}

/// Looks a property up for the running context; `path` has dots between its parts.
pub(crate) fn find(vm: &mut Vm, path: &str) -> Property {
    match vm.rules.profile {
        Profile::Envoy => envoy::find(vm, path),
        Profile::Kong => kong::find(vm, path),
    }
}
