//! Calls into the host that never panic.
//!
//! The SDK's own wrappers panic on any status that they do not expect, and a panic takes the queue
//! of the whole worker with it. So every call that can fail on one of the hosts is bound here
//! again.

use std::borrow::Cow;
use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::types::{BufferType, MapType, MetricType, Status, StreamType};

use super::header_pairs::serialise;
use crate::bytes::words::is_ascii;
use crate::callout::Callout;
use crate::capture::Answer;
use crate::clock::Timestamp;
use crate::notice::Level;

const OK: u32 = Status::Ok as u32;
const BAD_ARGUMENT: u32 = Status::BadArgument as u32;

/// The gRPC status of a response that is not gRPC's.
const NO_GRPC: i32 = -1;

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
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
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
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
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_http_call(
        upstream: *const u8,
        upstream_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_done() -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
}

/// Runs a host call that returns bytes. Returns `None` if it fails.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    if call(&mut data, &mut size) != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host got this memory from `proxy_on_memory_allocate`, which is a `Vec` of this
    // capacity that the SDK has let go of; the host has filled it and keeps no pointer to it.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// The longest line that is written whole: Kong cuts lines at 4,096 bytes, its own part included.
pub(crate) const MAX_LINE_BYTES: usize = 3_800;

/// Writes a line to the host's log. Replaces control characters, because Kong writes line breaks as
/// they are, and cuts what is too long.
pub(crate) fn log(level: Level, text: &str) {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(end) = (0..=MAX_LINE_BYTES).rev().find(|end| line.is_char_boundary(*end)) {
        line.truncate(end);
    }
    log_whole(level, &line);
}

/// Writes a line that has no control characters and is not too long.
pub(crate) fn log_whole(level: Level, line: &str) {
    use proxy_wasm::types::LogLevel;
    let level = match level {
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // SAFETY: the host only reads the text, during the call. A log that fails cannot be reported.
    unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Reads the host's clock.
pub(crate) fn now() -> Timestamp {
    let mut nanoseconds = 0;
    // SAFETY: the host writes eight bytes to a place that lives for the call.
    unsafe { proxy_get_current_time_nanoseconds(&mut nanoseconds) };
    // Kong's clock has milliseconds, but as a fraction that may come out a little too small.
    Timestamp(nanoseconds.saturating_add(500_000) / 1_000_000)
}

/// Asks for a tick every `period`. Returns false if the host refuses.
pub(crate) fn set_tick_period(period: Duration) -> bool {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: takes a number.
    unsafe { proxy_set_tick_period_milliseconds(millis) == OK }
}

/// Makes the host speak for `context` until the callback ends. Returns false if the host does not
/// know it.
pub(crate) fn speak_for(context: u32) -> bool {
    // SAFETY: takes a number.
    unsafe { proxy_set_effective_context(context) == OK }
}

/// Lets the response of the context that the host speaks for go on.
pub(crate) fn continue_response() {
    // SAFETY: takes a number. If the stream is gone, nothing has to go on.
    unsafe { proxy_continue_stream(StreamType::HttpResponse as u32) };
}

/// Reads a property; `path` has a zero byte between its parts.
pub(crate) fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the path during the call; see `returned` for the rest.
    returned(|value, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), value, size) })
}

/// Sets a property of the request that the host speaks for, where other filters can read it.
pub(crate) fn set_property(path: &str, value: &[u8]) {
    // SAFETY: the host only reads, during the call. If it refuses, nobody can read it, which is as
    // if there were none.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}

/// Calls a function that the host has beyond Proxy-Wasm. Returns `None` if it fails, or the host
/// has none of this name.
pub(crate) fn call_foreign(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the host reads name and argument during the call; see `returned` for the rest.
    returned(|value, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), value, size)
    })
}

/// Reads all headers of a map, as the host serialises them; see [`super::header_pairs`].
pub(crate) fn header_map(map: MapType) -> Vec<u8> {
    // SAFETY: see `returned`.
    returned(|value, size| unsafe { proxy_get_header_map_pairs(map as u32, value, size) }).unwrap_or_default()
}

/// Reads one header.
pub(crate) fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the name during the call; see `returned` for the rest.
    returned(|value, size| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), value, size) })
}

/// Headers that are asked for by name, at most: three of them cost more than all at once, in which
/// they are found for less (on Envoy 0.8 µs each, and 2.0 for the map of a request).
pub(crate) const MOST_BY_NAME: usize = 2;

/// Reads the first `max_size` bytes of a buffer. Returns `None` if the host cannot give them.
pub(crate) fn buffer(buffer: BufferType, max_size: usize) -> Option<Vec<u8>> {
    // SAFETY: see `returned`.
    returned(|value, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max_size, value, size) })
}

/// Defines a metric and returns its id, or `None` if the host refuses.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads the name, and writes four bytes, during the call.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter or a gauge.
pub(crate) fn increment_metric(id: u32, offset: i64) {
    // SAFETY: takes numbers. A metric that fails must not stop the traffic.
    unsafe { proxy_increment_metric(id, offset) };
}

/// Sets a gauge, or adds to a histogram.
pub(crate) fn record_metric(id: u32, value: u64) {
    // SAFETY: takes numbers. A metric that fails must not stop the traffic.
    unsafe { proxy_record_metric(id, value) };
}

/// Sets one header.
pub(crate) fn set_header(map: MapType, name: &str, value: &str) {
    // SAFETY: the host reads the texts during the call. If it refuses, there is nothing else to
    // try.
    unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Takes one header away.
pub(crate) fn remove_header(map: MapType, name: &str) {
    // SAFETY: the host reads the name during the call. A header that is not there needs no removal.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

/// Answers the request that the host speaks for, in place of any upstream; `details` is for the
/// host's log.
pub(crate) fn answer(answer: &Answer, details: &str) {
    let headers: Vec<_> = answer.headers().iter().map(|(name, value)| (name.as_ref(), value.as_bytes())).collect();
    respond(answer.status().as_u16(), details, &serialise::<&[u8]>(&headers), answer.body());
}

/// Answers the client of the context that the host speaks for, in place of the response; `details`
/// is for the host's log.
pub(crate) fn refuse(status: u16, details: &str, body: &str) {
    respond(status, details, &serialise::<&str>(&[]), body);
}

fn respond(status: u16, details: &str, headers: &[u8], body: &str) {
    // SAFETY: the host only reads the texts, during the call. If it refuses, the request is gone,
    // and nobody waits for the answer.
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

/// Reads a value of the shared data and the number of its last write.
pub(crate) fn shared_data(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let mut write = 0;
    // SAFETY: the host reads the key, and writes four bytes, during the call; see `returned` for
    // the rest.
    let value =
        returned(|value, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), value, size, &mut write) });
    Some((value?, write))
}

/// Sets a value of the shared data if the number of its last write is `write`; what zero means is
/// up to the host. `None` removes the key on Kong, and leaves an empty value on Envoy.
pub(crate) fn set_shared_data(key: &[u8], value: Option<&[u8]>, write: u32) -> bool {
    let (data, size) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    // SAFETY: the host only reads, during the call.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), data, size, write) == OK }
}

/// Tells the host that a context is done which returned false from its `on_done`.
pub(crate) fn done() {
    // SAFETY: takes nothing.
    unsafe { proxy_done() };
}

/// Starts a callout, and returns its token. On Envoy it is the root's, also where a request starts
/// it, so that it goes on when the request is gone.
///
/// # Errors
/// `BadArgument` if the host does not know the upstream, `InternalFailure` if it cannot connect at
/// once.
pub(crate) fn dispatch(callout: &Callout) -> Result<u32, Status> {
    let Callout { upstream, request, timeout } = callout;
    let uri = request.uri();
    let mut headers = vec![
        (":method", request.method().as_str()),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (":authority", uri.authority().map_or("", |authority| authority.as_str())),
        (":path", uri.path_and_query().map_or("/", |path| path.as_str())),
    ];
    for (name, value) in request.headers() {
        headers.push((name.as_str(), std::str::from_utf8(value.as_bytes()).map_err(|_| Status::BadArgument)?));
    }
    let (headers, trailers, body) = (serialise(&headers), serialise::<&str>(&[]), request.body());
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    let mut token = 0;
    // SAFETY: the host only reads the texts, and writes four bytes, during the call.
    let status = unsafe {
        proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            millis,
            &mut token,
        )
    };
    match status {
        OK => Ok(token),
        BAD_ARGUMENT => Err(Status::BadArgument),
        _ => Err(Status::InternalFailure),
    }
}

/// Turns a client's bytes into text where they are; what is not UTF-8 becomes U+FFFD. Nearly all
/// are ASCII, of which eight bytes are looked at at once: `from_utf8` looks at most of so short a
/// text one by one, and `from_utf8_lossy` at all.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if is_ascii(bytes) {
        // SAFETY: ASCII is UTF-8.
        return Cow::Borrowed(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    String::from_utf8_lossy(bytes)
}

/// Turns a client's bytes into text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    if is_ascii(&bytes) {
        // SAFETY: ASCII is UTF-8.
        return unsafe { String::from_utf8_unchecked(bytes) };
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
