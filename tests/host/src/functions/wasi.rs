//! The WASI functions that Kong has, which are all that a module may use: a module that imports
//! another one does not load there, and so not here.

use wasmtime::{Caller, Linker};

use super::define;
use crate::error::TrapKind;
use crate::guest::{Guest, Stop};
use crate::vm::{LogLevel, Vm};

/// WASI's own error numbers.
#[derive(Clone, Copy)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    NotCapable = 76,
}

type Answer = wasmtime::Result<Errno>;

pub(super) fn link_all(linker: &mut Linker<Vm>) -> wasmtime::Result<()> {
    define!(linker, "wasi_snapshot_preview1",
        args_get(argv: u32, buffer: u32) => args_get;
        args_sizes_get(count_out: u32, size_out: u32) => args_sizes_get;
        clock_time_get(clock: u32, precision: u64, out: u32) => clock_time_get;
        environ_get(environ: u32, buffer: u32) => environ_get;
        environ_sizes_get(count_out: u32, size_out: u32) => environ_sizes_get;
        fd_close(fd: u32) => no_descriptor;
        fd_fdstat_get(fd: u32, out: u32) => fd_fdstat_get;
        fd_prestat_get(fd: u32, out: u32) => no_descriptor_to;
        fd_prestat_dir_name(fd: u32, at: u32, len: u32) => fd_prestat_dir_name;
        fd_read(fd: u32, vectors: u32, count: u32, out: u32) => fd_read;
        fd_seek(fd: u32, offset: u64, whence: u32, out: u32) => fd_seek;
        fd_write(fd: u32, vectors: u32, count: u32, out: u32) => fd_write;
        path_open(
            fd: u32, flags: u32, path: u32, path_len: u32, open: u32, base: u64, inherited: u64, fd_flags: u32, out: u32
        ) => path_open;
        random_get(at: u32, len: u32) => random_get;
    );
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |_: Caller<'_, Vm>, code: u32| -> wasmtime::Result<()> {
            let message = format!("the module called proc_exit({code})");
            Err(wasmtime::Error::new(Stop { kind: TrapKind::Module, message }))
        },
    )?;
    Ok(())
}

fn args_get(_: &mut Guest<'_>, _argv: u32, _buffer: u32) -> Answer {
    Ok(Errno::Success)
}

fn args_sizes_get(guest: &mut Guest<'_>, count_out: u32, size_out: u32) -> Answer {
    guest.write_u32(count_out, 0)?;
    guest.write_u32(size_out, 0)?;
    Ok(Errno::Success)
}

fn clock_time_get(guest: &mut Guest<'_>, _clock: u32, _precision: u64, out: u32) -> Answer {
    let now = guest.vm().now;
    guest.write_u64(out, now)?;
    Ok(Errno::Success)
}

fn environment(guest: &mut Guest<'_>) -> Vec<String> {
    guest.vm().environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect()
}

fn environ_get(guest: &mut Guest<'_>, environ: u32, buffer: u32) -> Answer {
    let (mut slot, mut at) = (environ, buffer);
    for variable in environment(guest) {
        guest.write_u32(slot, at)?;
        guest.write(at, variable.as_bytes())?;
        slot += 4;
        at += variable.len() as u32;
    }
    Ok(Errno::Success)
}

fn environ_sizes_get(guest: &mut Guest<'_>, count_out: u32, size_out: u32) -> Answer {
    let variables = environment(guest);
    guest.write_u32(count_out, variables.len() as u32)?;
    guest.write_u32(size_out, variables.iter().map(String::len).sum::<usize>() as u32)?;
    Ok(Errno::Success)
}

fn no_descriptor(_: &mut Guest<'_>, _fd: u32) -> Answer {
    Ok(Errno::BadDescriptor)
}

fn no_descriptor_to(_: &mut Guest<'_>, _fd: u32, _out: u32) -> Answer {
    Ok(Errno::BadDescriptor)
}

/// Standard output and error are character devices that can be written.
fn fd_fdstat_get(guest: &mut Guest<'_>, fd: u32, out: u32) -> Answer {
    if !matches!(fd, 1 | 2) {
        return Ok(Errno::BadDescriptor);
    }
    guest.write(out, &[0; 24])?;
    guest.write(out, &[2])?;
    guest.write_u64(out + 8, 64)?;
    Ok(Errno::Success)
}

fn fd_prestat_dir_name(_: &mut Guest<'_>, _fd: u32, _at: u32, _len: u32) -> Answer {
    Ok(Errno::BadDescriptor)
}

fn fd_read(_: &mut Guest<'_>, _fd: u32, _vectors: u32, _count: u32, _out: u32) -> Answer {
    Ok(Errno::BadDescriptor)
}

fn fd_seek(_: &mut Guest<'_>, _fd: u32, _offset: u64, _whence: u32, _out: u32) -> Answer {
    Ok(Errno::BadDescriptor)
}

fn fd_write(guest: &mut Guest<'_>, fd: u32, vectors: u32, count: u32, out: u32) -> Answer {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(Errno::BadDescriptor),
    };
    let mut written = Vec::new();
    for n in 0..count {
        let vector = vectors + n * 8;
        let (at, len) = (guest.read_u32(vector)?, guest.read_u32(vector + 4)?);
        written.extend(guest.read(at, len)?);
    }
    guest.write_u32(out, written.len() as u32)?;
    let vm = guest.vm();
    let [stdout, stderr] = &mut vm.unfinished_lines;
    let line = if fd == 1 { stdout } else { stderr };
    let mut finished = Vec::new();
    for byte in written {
        match byte {
            b'\n' => finished.push(String::from_utf8_lossy(&std::mem::take(line)).into_owned()),
            byte => line.push(byte),
        }
    }
    finished.into_iter().for_each(|text| vm.log(level, text));
    Ok(Errno::Success)
}

#[allow(clippy::too_many_arguments, reason = "the ABI has them")]
fn path_open(
    _: &mut Guest<'_>,
    _fd: u32,
    _flags: u32,
    _path: u32,
    _path_len: u32,
    _open: u32,
    _base: u64,
    _inherited: u64,
    _fd_flags: u32,
    _out: u32,
) -> Answer {
    Ok(Errno::NotCapable)
}

fn random_get(guest: &mut Guest<'_>, at: u32, len: u32) -> Answer {
    let bytes: Vec<u8> = (0..len).map(|_| guest.vm().random_byte()).collect();
    guest.write(at, &bytes)?;
    Ok(Errno::Success)
}
