//! Logging and the clock.

use crate::guest::{trap, Answer, Guest, Status};
use crate::vm::LogLevel;

pub(super) fn log(guest: &mut Guest<'_>, level: u32, at: u32, len: u32) -> Answer {
    let text = guest.read_text(at, len)?;
    let Some(level) = LogLevel::from_number(level) else { return Ok(Status::BadArgument) };
    guest.vm().log(level, text);
    Ok(Status::Ok)
}

pub(super) fn get_log_level(guest: &mut Guest<'_>, out: u32) -> Answer {
    if guest.vm().rules.is_kong() {
        return Err(trap("proxy_get_log_level is not there on Kong"));
    }
    guest.write_u32(out, LogLevel::Info as u32)?;
    Ok(Status::Ok)
}

pub(super) fn get_current_time(guest: &mut Guest<'_>, out: u32) -> Answer {
    let vm = guest.vm();
    let now = match vm.rules.is_kong() {
        // Milliseconds, times a million in floating point: up to 128 ns beside the millisecond,
        // above or below.
        true => ((vm.now / 1_000_000) as f64 * 1e6) as u64,
        false => vm.now,
    };
    guest.write_u64(out, now)?;
    Ok(Status::Ok)
}
