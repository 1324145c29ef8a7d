//! Metrics. What Envoy answers with a status, Kong answers with a trap.

use crate::guest::{trap, Answer, Guest, Status};
use crate::metrics::{Counted, MetricKind};

/// Kong's limit, its prefix `pw:FILTER:` included.
const KONG_NAME_LIMIT: usize = 256 - "pw:retrohook:".len();

pub(super) fn define(guest: &mut Guest<'_>, kind: u32, name: u32, name_len: u32, id_out: u32) -> Answer {
    let name = guest.read_text(name, name_len)?;
    let vm = guest.vm();
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Histogram,
        _ if vm.rules.is_kong() => return Err(trap(format!("could not define metric \"{name}\": unknown type"))),
        _ => return Ok(Status::BadArgument),
    };
    if vm.rules.is_kong() && name.len() > KONG_NAME_LIMIT {
        return Err(trap(format!("could not define metric: name \"{name}\" too long")));
    }
    let id = vm.metrics.define(kind, &name);
    guest.write_u32(id_out, id)?;
    Ok(Status::Ok)
}

fn answer(guest: &mut Guest<'_>, doing: &str, id: u32, counted: Counted) -> Answer {
    let kong = guest.vm().rules.is_kong();
    match counted {
        Counted::Done => Ok(Status::Ok),
        Counted::NoSuchMetric if kong => Err(trap(format!("could not {doing} metric id \"{id}\": metric not found"))),
        Counted::WrongKind if kong => Err(trap(format!("could not {doing} metric id \"{id}\": wrong kind of metric"))),
        Counted::NoSuchMetric => Ok(Status::NotFound),
        Counted::WrongKind => Ok(Status::BadArgument),
    }
}

pub(super) fn get(guest: &mut Guest<'_>, id: u32, out: u32) -> Answer {
    match guest.vm().metrics.value(id) {
        Ok(value) => {
            guest.write_u64(out, value)?;
            Ok(Status::Ok)
        }
        Err(counted) => answer(guest, "retrieve", id, counted),
    }
}

pub(super) fn record(guest: &mut Guest<'_>, id: u32, value: u64) -> Answer {
    let vm = guest.vm();
    let counted = vm.metrics.record(vm.rules.profile, id, value);
    answer(guest, "record value in", id, counted)
}

pub(super) fn increment(guest: &mut Guest<'_>, id: u32, offset: i64) -> Answer {
    let vm = guest.vm();
    let counted = vm.metrics.increment(vm.rules.profile, id, offset);
    answer(guest, "increment", id, counted)
}
