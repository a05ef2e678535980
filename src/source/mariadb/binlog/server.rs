//! The server whose binary log is received: what it calls its files, and how far it is.

use std::path::{Path, PathBuf};

use super::{
    super::{
        super::{
            Result, SourceError,
            child::Running,
            receiver::{Receiver, end_left, tied},
            scratch::Scratch,
        },
        Client, Flavour, Login,
        session::Session,
    },
    spool::{Spool, file_of, number_of},
};
use crate::model::{
    Time,
    journal::{Line, Position},
};

/// The server's own receiver.
const PROGRAM: &str = "mariadb-binlog";
/// A server that writes no log has nothing to give.
const NO_LOG: &str = "log_bin";

/// A server.
pub struct Server {
    client: Client,
    place: String,
    /// Holds the file with the password.
    _scratch: Scratch,
}

/// What a server says of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The line: the server's number and what its files are called.
    pub line: Line,
    /// What its files are called, without their numbers.
    pub base: String,
    /// Its files that are there: number and length, the oldest first.
    pub files: Vec<(u32, u64)>,
    /// Up to where it is written.
    pub newest: Position,
    /// How it says what was changed: `ROW`, `MIXED` or `STATEMENT`.
    pub format: String,
}

impl Log {
    /// What can't be replayed of it for how it is written, if anything.
    #[must_use]
    pub fn unsound(&self) -> Option<String> {
        let format = &self.format;
        (!format.eq_ignore_ascii_case("ROW")).then(|| {
            format!(
                "the server writes its log with binlog_format = {format}: what is changed by way of a temporary \
                 table that is older than a dump can't be replayed on that dump, and the recovery ends there. Set binlog_format = ROW, \
                 and take a new dump"
            )
        })
    }

    /// How much there is from a position on.
    #[must_use]
    pub fn behind(&self, at: Position) -> u64 {
        let (number, offset) = split(at);
        let of = |(file, length): &(u32, u64)| match file.cmp(&number) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => length.saturating_sub(offset),
            std::cmp::Ordering::Greater => *length,
        };
        self.files.iter().map(of).sum()
    }
}

/// The number of the file and the offset in it that a position means.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "the upper half")]
pub const fn split(at: Position) -> (u32, u64) {
    ((at.0 >> 32) as u32, at.0 & 0xffff_ffff)
}

/// The position that an offset in a file means, if there is one: offsets have 32 bits in the log itself.
#[must_use]
pub fn position(number: u32, offset: u64) -> Option<Position> {
    u32::try_from(offset).is_ok().then_some(Position(u64::from(number) << 32 | offset))
}

impl Server {
    /// The server that `login` reaches.
    ///
    /// # Errors
    /// If the password can't be read.
    pub fn new(login: &Login) -> Result<Self> {
        let scratch = Scratch::new()?;
        let client = Client::new(Flavour::Mariadb, login, &scratch)?;
        let host = login.host.clone().unwrap_or_else(|| "localhost".to_owned());
        let place = match (&login.socket, login.port) {
            (Some(socket), _) => socket.display().to_string(),
            (None, Some(port)) => format!("{host}:{port}"),
            (None, None) => host,
        };
        Ok(Self { client, place, _scratch: scratch })
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it says of its log; nothing if it writes none.
    ///
    /// # Errors
    /// If it does not answer, or the account may not ask.
    pub fn log(&self) -> Result<Option<Log>> {
        log_of(&mut self.client.connect()?)
    }

    /// What time it is there, and what it said of its log right after: whatever was committed before is in that.
    ///
    /// # Errors
    /// As for [`log`](Self::log).
    pub fn moment(&self) -> Result<Option<(Time, Log)>> {
        let mut session = self.client.connect()?;
        let now = session.value("SELECT UNIX_TIMESTAMP()")?;
        let now = now.parse().map_err(|_| SourceError::new("is not a number", "the server's time"))?;
        Ok(log_of(&mut session)?.map(|log| (Time::from_unix(now), log)))
    }

    /// Starts to receive the file of that number from `offset` on, and all that follow, into a directory of its own in `spool`;
    /// `number` is what the server knows this replica by.
    ///
    /// To be called on a thread that lasts as long as the receiver is to.
    ///
    /// # Errors
    /// If the program is not there.
    pub fn receive(&self, log: &Log, (file, offset): (u32, u64), spool: &Spool, number: u32) -> Result<Receiver> {
        let dir = spool.another(split(log.newest).0)?;
        let mut command = self.client.equipped(tied(Path::new(PROGRAM)));
        let mut prefix = dir.into_os_string();
        // It is what stands before the names of files.
        prefix.push("/");
        let mut into = std::ffi::OsString::from("--result-file=");
        into.push(prefix);
        // Whether and when to try again is decided here, where it can be told.
        command.args(["--read-from-remote-server", "--raw", "--stop-never"]);
        command
            .arg(format!("--stop-never-slave-server-id={number}"))
            .arg(format!("--start-position={}", offset.max(4)));
        command.arg(into).arg(file_of(&log.base, file));
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let running: Running = self.client.start(&mut command, PROGRAM)?;
        Ok(Receiver::new(running, PROGRAM))
    }
}

/// Ends receivers of this user that write below `spool`: what a killed run left.
pub fn end_orphans(spool: &Path) {
    let mut into = b"--result-file=".to_vec();
    into.extend_from_slice(spool.as_os_str().as_encoded_bytes());
    into.push(b'/');
    end_left(PROGRAM, |words| words.iter().any(|word| word.starts_with(&into)));
}

/// What a server says of its log.
pub(in super::super) fn log_of(session: &mut Session) -> Result<Option<Log>> {
    if session.value(&format!("SELECT @@global.{NO_LOG}"))? != "1" {
        return Ok(None);
    }
    let number = session.value("SELECT @@global.server_id")?;
    let number = number.parse().map_err(|_| SourceError::new("is not a number", "server_id"))?;
    let base = session.value("SELECT @@global.log_bin_basename")?;
    let base = PathBuf::from(base).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let line = Line::mariadb(number, &base).map_err(|e| SourceError::new(format!("can't name a log: {e}"), &base))?;
    let mut files = Vec::new();
    for row in session.rows("SHOW BINARY LOGS")? {
        let (Some(name), Some(length)) = (row.first(), row.get(1)) else { continue };
        files.extend(number_of(name).zip(length.parse().ok()));
    }
    let status = session.rows("SHOW MASTER STATUS")?;
    let row = status.first().ok_or_else(|| SourceError::new("gave no answer", "SHOW MASTER STATUS"))?;
    let newest = position_of(row).ok_or_else(|| {
        SourceError::new("is not where a journal can name it: beyond 4 GiB of a file, or in none", "the binary log")
    })?;
    let format = session.value("SELECT @@global.binlog_format")?;
    Ok(Some(Log { line, base, files, newest, format }))
}

/// The position that two fields of an answer mean: a file and an offset.
fn position_of(row: &[String]) -> Option<Position> {
    let number = number_of(row.first()?)?;
    position(number, row.get(1)?.parse().ok()?)
}
