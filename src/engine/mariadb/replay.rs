//! Replaying a binary log on top of a dump, as somebody would who recovers: by the server's own program, whose output the
//! client loads. Both are confined, and the account may replay for as long as that takes and no more.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    process::Stdio,
};

use super::{LOADING, server::Server};
use crate::engine::{Check, EngineError, Log, Result, Status};

/// What reads a log.
const PROGRAM: &str = "mariadb-binlog";
/// What one packet may hold at most: an event of the log is one statement.
pub(super) const PACKET: u64 = 1 << 30;

/// The files of a log, in their order.
fn files(log: &Log) -> Result<Vec<PathBuf>> {
    let failed = |e| EngineError::at("can't list the log", &log.dir, e);
    let mut files = Vec::new();
    if log.dir.is_dir() {
        for entry in fs::read_dir(&log.dir).map_err(failed)? {
            files.push(entry.map_err(failed)?.path());
        }
    }
    // By their numbers, which may have grown longer.
    files.sort_unstable_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(files)
}

/// What is told of a log that was replayed.
pub(super) fn told(log: &Log) -> Vec<Check> {
    let mut checks = vec![Check::compare("replayed to the end of its log", log.until.clone(), log.until.clone())];
    if let Some((from, to)) = &log.gap {
        let to = to.as_deref().unwrap_or("its end");
        checks.push(Check {
            name: "log without a gap".to_owned(),
            expected: Some("none".to_owned()),
            actual: Some(format!("missing or damaged from {from} to {to}")),
            status: Status::Fail,
        });
    }
    checks
}

/// Replays `log` on a server of our own.
pub(super) fn replay(server: &mut Server, log: &Log) -> Result<()> {
    let (client, files) = (server.client().clone(), files(log)?);
    if files.is_empty() {
        return Ok(());
    }
    let cell = server.reader();
    server.replaying(|| {
        let mut command = client.command("mariadb");
        command.args(LOADING).arg(format!("--max-allowed-packet={PACKET}"));
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut loading = client.start(&mut command, "mariadb")?;
        let mut into = loading.stdin()?;
        let mut broken = None;
        for path in &files {
            let file = File::open(path).map_err(|e| EngineError::at("can't read a file of the log", path, e))?;
            let mut command = cell.reading(PROGRAM);
            command.args(log.database.as_ref().map(|name| format!("--database={name}"))).arg("-");
            command.stdin(file).stdout(Stdio::piped());
            let mut reading = client.start(&mut command, PROGRAM)?;
            let mut out = reading.stdout()?;
            // Where the client has ended it says why.
            if let Err(error) = io::copy(&mut out, &mut into) {
                broken = Some(error);
                break;
            }
            reading.finish()?;
        }
        drop(into);
        loading
            .finish()
            .map_err(|e| EngineError::new(format!("the server does not take it: {}", e.what), "the log"))?;
        broken.map_or(Ok(()), |e| Err(EngineError::new(format!("can't be replayed: {e}"), "the log")))
    })
}
