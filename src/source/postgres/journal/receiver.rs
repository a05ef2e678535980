//! `pg_receivewal`, running.

use std::{path::Path, process::Stdio};

use super::{
    super::super::{
        Result,
        child::Running,
        receiver::{Receiver, end_left, tied},
    },
    server::{Identity, Server},
};

/// Starts to receive through `slot` into `spool`.
///
/// To be called on a thread that lasts as long as the receiver is to: where the system can, it ends with that thread,
/// whatever ends this process.
///
/// # Errors
/// If the program is not there or too old.
pub fn receive(server: &Server, identity: &Identity, slot: &str, spool: &Path, status: u64) -> Result<Receiver> {
    let tool = server.receiver(&identity.version)?;
    let mut command = tied(&tool.path);
    // Whether and when to try again is decided here, where it can be told. Nothing is compressed, since it is read while
    // it is written. It is written to the file as it comes, and synced when a segment is complete; only then the server
    // may forget it.
    command.args(["--no-loop", "-w", "-S", slot, "-s"]).arg(status.to_string()).arg("-D").arg(spool);
    command.arg("-d").arg(server.info().argument(None));
    server.info().equip(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let running = Running::start(&mut command, &tool.path.to_string_lossy(), server.info().secrets())?;
    Ok(Receiver::new(running, "pg_receivewal"))
}

/// Starts to receive what comes before `end`, which the newest file in `dir` begins with, through no slot. Nothing of it is synced.
///
/// As for [`receive`].
///
/// # Errors
/// If the program is not there or too old.
pub(super) fn receive_again(server: &Server, identity: &Identity, dir: &Path, end: u64) -> Result<Receiver> {
    let tool = server.receiver(&identity.version)?;
    let mut command = tied(&tool.path);
    // It ends when it has something from beyond that.
    let last = end.saturating_sub(1);
    let last = format!("{:X}/{:X}", last >> 32, last & 0xffff_ffff);
    command.args(["--no-loop", "--no-sync", "-w", "-E", &last, "-D"]).arg(dir);
    command.arg("-d").arg(server.info().argument(None));
    server.info().equip(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let running = Running::start(&mut command, &tool.path.to_string_lossy(), server.info().secrets())?;
    Ok(Receiver::new(running, "pg_receivewal"))
}

/// Ends receivers of this user that write to `spool`: what a killed run left. To be called while nobody else may have one.
pub fn end_orphans(spool: &Path) {
    let spool = spool.as_os_str().as_encoded_bytes();
    end_left("pg_receivewal", |words| words.windows(2).any(|pair| matches!(pair, [b"-D", dir] if *dir == spool)));
}
