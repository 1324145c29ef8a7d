//! Calls into the host that never panic.
//!
//! The SDK's own wrappers panic on any status that they do not expect, and a panic takes the queue of the whole worker with it.
//! So what can fail on one of the hosts is bound here once more. The callout itself goes through the SDK, which must know its
//! token in order to route the reply.

use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::types::{BufferType, MapType, MetricType, Status, StreamType};

use super::header_pairs::serialise;
use crate::callout::Callout;
use crate::capture::Answer;
use crate::clock::Timestamp;
use crate::notice::Level;

const OK: u32 = Status::Ok as u32;

/// A response that is none of gRPC.
const NO_GRPC: i32 = -1;

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, value: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max_size: usize, value: *mut *mut u8, size: *mut usize)
        -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
        write: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, size: usize, write: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
}

extern "C" {
    /// The SDK's export.
    fn proxy_on_tick(context: u32);
}

/// Runs a host call that returns bytes; `None` if it fails.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    if call(&mut data, &mut size) != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host got this memory from `proxy_on_memory_allocate`, which is a `Vec` of this capacity that the SDK has let
    // go of; the host has filled it and keeps no pointer to it.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// What a line may have: Kong cuts at 4,096 bytes, its own part included.
pub const MAX_LINE_BYTES: usize = 3_800;

/// Writes a line to the host's log. It is one line whatever is in it, for Kong writes it as it is.
pub fn log(level: Level, text: &str) {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(end) = (0..=MAX_LINE_BYTES).rev().find(|end| line.is_char_boundary(*end)) {
        line.truncate(end);
    }
    log_whole(level, &line);
}

/// Writes a line that has no control characters and is as long as it may be.
pub fn log_whole(level: Level, line: &str) {
    use proxy_wasm::types::LogLevel;
    let level = match level {
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // SAFETY: the host only reads the text, during the call. There is nobody to tell that the log does not work.
    unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// The host's clock.
pub fn now() -> Timestamp {
    let mut nanoseconds = 0;
    // SAFETY: the host writes eight bytes to a place that lives for the call.
    unsafe { proxy_get_current_time_nanoseconds(&mut nanoseconds) };
    // Kong's clock has milliseconds, but as a fraction that may come out a little below.
    Timestamp(nanoseconds.saturating_add(500_000) / 1_000_000)
}

/// Asks for a tick every `period`; `false` if the host refuses.
pub fn set_tick_period(period: Duration) -> bool {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: takes a number.
    unsafe { proxy_set_tick_period_milliseconds(millis) == OK }
}

/// Whether the host agrees to speak for `context`; if it does, it does so until the callback ends.
pub fn knows_context(context: u32) -> bool {
    // SAFETY: takes a number.
    unsafe { proxy_set_effective_context(context) == OK }
}

/// Lets the response of the context that the host speaks for go on.
pub fn continue_response() {
    // SAFETY: takes a number. A stream that is gone has nothing to go on.
    unsafe { proxy_continue_stream(StreamType::HttpResponse as u32) };
}

/// Ticks the root at once, from within a request.
///
/// The SDK takes the reply to a callout to the context in whose callback it was started. A request may be gone by then, and with
/// it the reply to a batch that is not its own alone; the root stays. No request may be in the SDK's hands as the root, and
/// none is: a request and a root are never the same context.
pub fn tick_root(root: u32) {
    // SAFETY: takes a number; the SDK stops on one that is no root's, and the caller knows that it is.
    unsafe { proxy_on_tick(root) };
}

/// A property; `path` has a zero byte between its parts.
pub fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the path during the call; see `returned` for the rest.
    returned(|value, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), value, size) })
}

/// All headers of a map, as the host serialises them; see [`super::header_pairs`].
pub fn header_map(map: MapType) -> Vec<u8> {
    // SAFETY: see `returned`.
    returned(|value, size| unsafe { proxy_get_header_map_pairs(map as u32, value, size) }).unwrap_or_default()
}

/// One header.
pub fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the name during the call; see `returned` for the rest.
    returned(|value, size| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), value, size) })
}

/// The first `max_size` bytes of a buffer; `None` if the host cannot give them.
pub fn buffer(buffer: BufferType, max_size: usize) -> Option<Vec<u8>> {
    // SAFETY: see `returned`.
    returned(|value, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max_size, value, size) })
}

/// Defines a metric and gives its id; `None` if the host refuses.
pub fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads the name, and writes four bytes, during the call.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter or a gauge.
pub fn increment_metric(id: u32, offset: i64) {
    // SAFETY: takes numbers. A metric that fails must not stop the traffic.
    unsafe { proxy_increment_metric(id, offset) };
}

/// Sets a gauge, or adds to a histogram.
pub fn record_metric(id: u32, value: u64) {
    // SAFETY: takes numbers. A metric that fails must not stop the traffic.
    unsafe { proxy_record_metric(id, value) };
}

/// Sets one header.
pub fn set_header(map: MapType, name: &str, value: &str) {
    // SAFETY: the host reads the texts during the call. There is nothing else to try where it refuses.
    unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Answers the request that the host speaks for, in place of any upstream.
pub fn answer(answer: &Answer) {
    respond(answer.status, "", &serialise(&answer.headers), &answer.body);
}

/// Answers the client of the context that the host speaks for, in place of the response; `details` is for the host's log.
pub fn refuse(status: u16, details: &str, body: &str) {
    respond(status, details, &serialise::<&str>(&[]), body);
}

fn respond(status: u16, details: &str, headers: &[u8], body: &str) {
    // SAFETY: the host only reads the texts, during the call. Where it does not want to, the request is gone, and there is nobody
    // to answer.
    unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC,
        )
    };
}

/// A value of the shared data and the number of its last write.
pub fn shared_data(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let mut write = 0;
    // SAFETY: the host reads the key, and writes four bytes, during the call; see `returned` for the rest.
    let value =
        returned(|value, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), value, size, &mut write) });
    Some((value?, write))
}

/// Sets a value of the shared data if the number of its last write is `write`; what zero means is the host's. `None` takes it
/// away on Kong, and is an empty value on Envoy.
pub fn set_shared_data(key: &[u8], value: Option<&[u8]>, write: u32) -> bool {
    let (data, size) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    // SAFETY: the host only reads, during the call.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), data, size, write) == OK }
}

/// Tells the host that a context which said "not yet" in its `on_done` is done.
pub fn done() {
    // SAFETY: takes nothing.
    unsafe { proxy_done() };
}

/// Starts a callout.
///
/// # Errors
/// What the host says: an upstream that it does not know, or a connection that it cannot make at once.
pub fn dispatch(callout: &Callout) -> Result<u32, Status> {
    let mut headers = vec![
        (":method", callout.method),
        (":scheme", callout.scheme.as_str()),
        (":authority", &callout.authority),
        (":path", &callout.path),
    ];
    headers.extend(callout.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    proxy_wasm::hostcalls::dispatch_http_call(&callout.upstream, headers, Some(&callout.body), vec![], callout.timeout)
}

/// Bytes of the client's as text; what is not UTF-8 becomes U+FFFD.
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
