//! Reads the files that a command is given; `-` is standard input.

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::report::Failure;

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// True once standard input is read: what would read it again would find it empty.
static IS_INPUT_READ: AtomicBool = AtomicBool::new(false);

/// Bytes of the largest file that is read: more is no configuration.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a file as it is.
pub(crate) fn bytes(name: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::new(format!("{}: {error}", shown(name)));
    let mut bytes = Vec::new();
    let read = |input: &mut dyn Read, bytes: &mut Vec<u8>| input.take(MAX_BYTES + 1).read_to_end(bytes);
    if name == STANDARD_INPUT {
        if IS_INPUT_READ.swap(true, Ordering::Relaxed) {
            return Err(Failure::new("standard input can be one file: give the others by their names"));
        }
        read(&mut io::stdin().lock(), &mut bytes).map_err(failed)?;
    } else {
        read(&mut fs::File::open(name).map_err(failed)?, &mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(format!("{}: is larger than {MAX_BYTES} bytes", shown(name))));
    }
    Ok(bytes)
}

/// Reads a file of text, without the mark by which some editors begin one.
pub(crate) fn text(name: &str) -> Result<String, Failure> {
    let text = String::from_utf8(bytes(name)?).map_err(|_| Failure::new(format!("{}: is not UTF-8", shown(name))))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Returns the name of a file as lines name it.
pub(crate) fn shown(name: &str) -> &str {
    if name == STANDARD_INPUT {
        "<stdin>"
    } else {
        name
    }
}
