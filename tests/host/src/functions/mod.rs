//! The functions that the module imports: all that the SDK declares in `env`, and the part of WASI
//! that Kong has.

mod calls;
mod expressions;
mod log;
mod maps;
mod metrics;
mod properties;
mod shared;
mod streams;
mod wasi;

use wasmtime::{Caller, Linker};

pub(crate) use expressions::Item;

use crate::guest::{trap, Answer, Guest};
use crate::vm::Vm;

/// Registers functions under their ABI names and counts every call of them.
macro_rules! define {
    ($linker:ident, $module:literal, $($name:ident($($argument:ident: $type:ty),*) => $function:path;)*) => {
        $($linker.func_wrap($module, stringify!($name), |caller: Caller<'_, Vm>, $($argument: $type),*| {
            let mut guest = Guest(caller);
            *guest.vm().usage.host_calls.entry(stringify!($name)).or_default() += 1;
            $function(&mut guest, $($argument),*).map(|status| status as u32)
        })?;)*
    };
}
use define;

/// Registers functions that this host does not have: calling one is a trap that names it.
macro_rules! define_absent {
    ($linker:ident, $why:literal, $($name:ident($($argument:ident),*);)*) => {
        $($linker.func_wrap("env", stringify!($name), |caller: Caller<'_, Vm>, $($argument: u32),*| {
            $(let _: u32 = $argument;)*
            let mut guest = Guest(caller);
            *guest.vm().usage.host_calls.entry(stringify!($name)).or_default() += 1;
            absent(stringify!($name), $why).map(|status| status as u32)
        })?;)*
    };
}

fn absent(name: &str, why: &str) -> Answer {
    Err(trap(format!("{name}: {why}")))
}

pub(crate) fn link_all(linker: &mut Linker<Vm>) -> wasmtime::Result<()> {
    define!(linker, "env",
        proxy_log(level: u32, at: u32, len: u32) => log::log;
        proxy_get_log_level(out: u32) => log::get_log_level;
        proxy_get_current_time_nanoseconds(out: u32) => log::get_current_time;
        proxy_set_tick_period_milliseconds(period: u32) => streams::set_tick_period;
        proxy_set_effective_context(context: u32) => streams::set_effective_context;
        proxy_done() => streams::done;
        proxy_continue_stream(kind: u32) => streams::continue_stream;
        proxy_close_stream(kind: u32) => streams::close_stream;
        proxy_send_local_response(
            status: u32, details: u32, details_len: u32, body: u32, body_len: u32, headers: u32, headers_len: u32,
            grpc: u32
        ) => streams::send_local_response;
        proxy_get_buffer_bytes(kind: u32, start: u32, len: u32, data_out: u32, len_out: u32) => streams::get_buffer;
        proxy_set_buffer_bytes(kind: u32, start: u32, len: u32, at: u32, at_len: u32) => streams::set_buffer;
        proxy_get_header_map_pairs(map: u32, data_out: u32, len_out: u32) => maps::pairs;
        proxy_set_header_map_pairs(map: u32, at: u32, len: u32) => maps::set_pairs;
        proxy_get_header_map_value(map: u32, key: u32, key_len: u32, data_out: u32, len_out: u32) => maps::value;
        proxy_add_header_map_value(map: u32, key: u32, key_len: u32, value: u32, value_len: u32) => maps::add;
        proxy_replace_header_map_value(map: u32, key: u32, key_len: u32, value: u32, value_len: u32) => maps::replace;
        proxy_remove_header_map_value(map: u32, key: u32, key_len: u32) => maps::remove;
        proxy_get_property(path: u32, path_len: u32, data_out: u32, len_out: u32) => properties::get;
        proxy_set_property(path: u32, path_len: u32, value: u32, value_len: u32) => properties::set;
        proxy_call_foreign_function(
            name: u32, name_len: u32, at: u32, len: u32, data_out: u32, len_out: u32
        ) => expressions::call;
        proxy_http_call(
            upstream: u32, upstream_len: u32, headers: u32, headers_len: u32, body: u32, body_len: u32,
            trailers: u32, trailers_len: u32, timeout: u32, token_out: u32
        ) => calls::http_call;
        proxy_get_shared_data(key: u32, key_len: u32, data_out: u32, len_out: u32, cas_out: u32) => shared::get;
        proxy_set_shared_data(key: u32, key_len: u32, value: u32, value_len: u32, cas: u32) => shared::set;
        proxy_define_metric(kind: u32, name: u32, name_len: u32, id_out: u32) => metrics::define;
        proxy_get_metric(id: u32, out: u32) => metrics::get;
        proxy_record_metric(id: u32, value: u64) => metrics::record;
        proxy_increment_metric(id: u32, offset: i64) => metrics::increment;
    );
    define_absent!(linker, "the test host has no gRPC or shared queues",
        proxy_get_status(code_out, data_out, len_out);
        proxy_register_shared_queue(name, len, out);
        proxy_resolve_shared_queue(vm, vm_len, name, len, out);
        proxy_dequeue_shared_queue(queue, data_out, len_out);
        proxy_enqueue_shared_queue(queue, at, len);
        proxy_grpc_call(a, b, c, d, e, f, g, h, i, j, k, l);
        proxy_grpc_stream(a, b, c, d, e, f, g, h, i);
        proxy_grpc_send(token, at, len, end);
        proxy_grpc_cancel(token);
        proxy_grpc_close(token);
    );
    wasi::link_all(linker)
}
