//! What a server tells over a connection for replication, and what it does to a slot.

use std::{
    io::Read,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        super::{
            Result, SourceError,
            child::{Alive, Running},
        },
        Conninfo, Session, Tool, Tools, Version,
    },
    files::{LogFile, Past, history},
};
use crate::model::{Time, journal::Position};

/// The longest answer, in bytes.
const ANSWER: u64 = 16 << 20;
/// How long a host may take to let somebody in, in seconds, unless the connection string says it: all are asked again soon.
const CONNECT: &str = "10";
/// How long an answer may take. A connection that is gone without a word would keep its client for ever.
const LONGEST: Duration = Duration::from_mins(1);
/// How long it may still take when all is to end.
const GRACE: Duration = Duration::from_secs(2);
/// So many seconds a commit may have been dated before it is in the log.
const COMMITTING: i64 = 1;
/// How often it is looked whether all is to end.
const POLL: Duration = Duration::from_millis(100);

/// A server and who it is asked by.
pub struct Server {
    info: Conninfo,
    tools: Tools,
    psql: Tool,
    stopping: Arc<AtomicBool>,
}

/// What a server is and where its log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its system identifier.
    pub system: u64,
    /// Its timeline.
    pub timeline: u32,
    /// Up to where its log is on its disk.
    pub flushed: u64,
    /// The size of segments.
    pub segment: u64,
    /// Its version.
    pub version: Version,
}

/// A time, and what the server's log held by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Its system identifier.
    pub system: u64,
    /// Its timeline.
    pub timeline: u32,
    /// A time by its clock: whatever was committed before it is in its log before `end`.
    pub at: Time,
    /// Where its log ended after that, flushed or not.
    pub end: Position,
}

/// The same as the server says it.
#[derive(serde::Deserialize)]
struct Said {
    at: i64,
    end: String,
    file: String,
    system: String,
}

/// A slot as a connection for replication tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From where on it holds the log. Nothing if it holds none: it was never used, or it was invalidated.
    pub restart: Option<u64>,
}

/// How a slot is, as the server's own view tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct SlotState {
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Whether somebody receives through it.
    pub active: bool,
    /// How much may still be written before it is lost.
    pub safe_wal_size: Option<i64>,
}

impl Server {
    /// The server that `info` means.
    ///
    /// # Errors
    /// If there is no client program.
    pub fn new(info: Conninfo, tools: Tools) -> Result<Self> {
        let psql = tools.any("psql")?;
        Ok(Self { info, tools, psql, stopping: Arc::default() })
    }

    /// Waits for no answer any more soon after `stopping` is set.
    pub fn give_up_when(&mut self, stopping: Arc<AtomicBool>) {
        self.stopping = stopping;
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.info.place()
    }

    pub(super) fn info(&self) -> &Conninfo {
        &self.info
    }

    /// The receiver that understands this version.
    pub(super) fn receiver(&self, version: &Version) -> Result<Tool> {
        self.tools.for_server("pg_receivewal", version)
    }

    /// Asks the server who it is.
    ///
    /// # Errors
    /// If it can't be reached, or lets nobody in for replication.
    pub fn identify(&self) -> Result<Identity> {
        let wrong = || SourceError::new("its answer to a connection for replication is not understood", self.place());
        let said = self.ask("ask who it is", &["IDENTIFY_SYSTEM", "SHOW wal_segment_size", "SHOW server_version"])?;
        let mut lines = said.lines();
        let first: Vec<&str> = lines.next().unwrap_or_default().split('|').collect();
        let [system, timeline, flushed, ..] = first.as_slice() else { return Err(wrong()) };
        Ok(Identity {
            system: system.parse().map_err(|_| wrong())?,
            timeline: timeline.parse().map_err(|_| wrong())?,
            flushed: Position::from_lsn(flushed).map_err(|_| wrong())?.0,
            segment: lines.next().and_then(size).ok_or_else(wrong)?,
            version: lines.next().and_then(Version::read).ok_or_else(wrong)?,
        })
    }

    /// Looks for a slot; nothing if there is none of this name.
    ///
    /// # Errors
    /// If the server can't be asked, or it is a slot of another kind.
    pub fn slot(&self, name: &str, version: &Version) -> Result<Option<Slot>> {
        if version.major.0 < 15 {
            return self.slot_of_view(name);
        }
        let said = self.ask("look for the replication slot", &[&format!("READ_REPLICATION_SLOT \"{name}\"")])?;
        match said.trim().split('|').collect::<Vec<_>>().as_slice() {
            ["physical", restart, ..] => {
                let restart = Position::from_lsn(restart).ok().map(|at| at.0).filter(|at| *at > 0);
                Ok(Some(Slot { restart }))
            }
            [kind, ..] if !kind.is_empty() => Err(SourceError::new(
                format!("the slot {name} is {kind}, and a journal needs a physical one"),
                self.place(),
            )),
            _ => Ok(None),
        }
    }

    /// The same of a server that has no command for it.
    fn slot_of_view(&self, name: &str) -> Result<Option<Slot>> {
        let sql = format!(
            "select pg_catalog.to_json(s.restart_lsn::text) from pg_catalog.pg_replication_slots s \
             where s.slot_name operator(pg_catalog.=) '{name}' and s.slot_type operator(pg_catalog.=) 'physical'"
        );
        let mut session = Session::untouched(&self.psql, &self.info, None)?;
        let _limit = self.limit(session.alive());
        let found: Vec<Option<String>> = session.ask("look for the replication slot", &sql)?;
        let restart = |at: Option<String>| Position::from_lsn(&at?).ok().map(|at| at.0);
        Ok(found.into_iter().next().map(|at| Slot { restart: restart(at) }))
    }

    /// Makes a slot that holds the log from now on.
    ///
    /// # Errors
    /// If the server doesn't.
    pub fn create_slot(&self, name: &str) -> Result<()> {
        self.ask("make the replication slot", &[&format!("CREATE_REPLICATION_SLOT \"{name}\" PHYSICAL RESERVE_WAL")])
            .map(drop)
    }

    /// Removes a slot.
    ///
    /// # Errors
    /// If the server doesn't.
    pub fn drop_slot(&self, name: &str) -> Result<()> {
        self.ask("remove the replication slot", &[&format!("DROP_REPLICATION_SLOT \"{name}\"")]).map(drop)
    }

    /// The timelines before `timeline`, oldest first.
    ///
    /// # Errors
    /// If the server has no history of it.
    pub fn history(&self, timeline: u32) -> Result<Vec<Past>> {
        if timeline == 1 {
            return Ok(Vec::new());
        }
        self.history_text(timeline).map(|text| history(&text))
    }

    /// The history of `timeline` as the server has it.
    ///
    /// # Errors
    /// If it has none.
    pub fn history_text(&self, timeline: u32) -> Result<String> {
        let said = self.ask("ask for the history of its timeline", &[&format!("TIMELINE_HISTORY {timeline}")])?;
        Ok(said.split_once('|').map_or("", |(_, text)| text).to_owned())
    }

    /// Whether it is a standby.
    ///
    /// # Errors
    /// If it can't be asked.
    pub fn is_standby(&self, version: &Version) -> Result<bool> {
        // An older one says so of whatever reads it.
        let setting = if version.major.0 < 14 { "SHOW transaction_read_only" } else { "SHOW in_hot_standby" };
        Ok(self.ask("ask whether it is a standby", &[setting])?.trim() == "on")
    }

    /// How the slot is as a view tells it; nothing if this user may not connect to a database.
    #[must_use]
    pub fn slot_state(&self, name: &str) -> Option<SlotState> {
        // Of servers before 13 there is no more to tell than that it is there.
        let sql = format!(
            "select pg_catalog.json_build_object('wal_status', s ->> 'wal_status', 'active', (s ->> 'active')::bool, \
             'safe_wal_size', (s ->> 'safe_wal_size')::bigint) from (select pg_catalog.to_json(r) as s from \
             pg_catalog.pg_replication_slots r where r.slot_name operator(pg_catalog.=) '{name}') x"
        );
        let mut session = Session::untouched(&self.psql, &self.info, None).ok()?;
        let _limit = self.limit(session.alive());
        session.one("look at the replication slot", &sql).ok()
    }

    /// What time it is there, and where its log ended right after; nothing of a standby, or if this user may not connect to a
    /// database: the protocol for replication has no word for it.
    #[must_use]
    pub fn moment(&self) -> Option<Told> {
        // The time comes before the position.
        let sql = "select pg_catalog.json_build_object('at', pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp()))::bigint, \
                   'end', pg_catalog.pg_current_wal_insert_lsn()::text, \
                   'file', pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), \
                   'system', (select c.system_identifier::text from pg_catalog.pg_control_system() c)) \
                   where not pg_catalog.pg_is_in_recovery()";
        let mut session = Session::untouched(&self.psql, &self.info, None).ok()?;
        let _limit = self.limit(session.alive());
        let Said { at, end, file, system } = session.ask("ask for its time", sql).ok()?.pop()?;
        let Some(LogFile::Segment(name)) = LogFile::read(&file) else { return None };
        // Who commits looks at the clock just before that is written.
        let at = Time::from_unix(at - COMMITTING);
        Some(Told { system: system.parse().ok()?, timeline: name.timeline, at, end: Position::from_lsn(&end).ok()? })
    }

    /// Runs commands of the protocol for replication, and gives what they answer.
    fn ask(&self, doing: &str, commands: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.psql.path);
        self.info.equip_hastily(&mut command, CONNECT);
        command.args(["-X", "-A", "-t", "-q", "-w", "-F", "|", "-d"]).arg(self.argument());
        for one in commands {
            command.args(["-c", one]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, &self.psql.path.to_string_lossy(), self.info.secrets())?;
        let _limit = self.limit(running.alive());
        let mut answer = Vec::new();
        let read = running.stdout()?.take(ANSWER).read_to_end(&mut answer);
        let status = running.reap()?;
        if !status.success() {
            return Err(SourceError::new(format!("could not {doing}{}", running.said()), self.place()));
        }
        read.map_err(|e| SourceError::new(format!("could not {doing}"), self.place()).because(e))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Ends a client that takes too long, until what it gives is dropped.
    fn limit(&self, client: Alive) -> mpsc::Sender<()> {
        let (over, wait) = mpsc::channel();
        let stopping = Arc::clone(&self.stopping);
        thread::spawn(move || {
            let mut end = Instant::now() + LONGEST;
            while wait.recv_timeout(POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                if stopping.load(Ordering::Acquire) {
                    end = end.min(Instant::now() + GRACE);
                }
                if Instant::now() >= end {
                    return client.stop();
                }
            }
        });
        over
    }

    /// The connection string for replication.
    fn argument(&self) -> String {
        // Password files name this database for such connections.
        format!("{} replication='true'", self.info.argument(Some("replication")))
    }
}

/// A size as `SHOW` tells it, such as `16MB`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let scale = match unit {
        "B" | "" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|size| size.is_power_of_two() && *size <= 1 << 30)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_read_as_servers_tell_them() {
        let read = |text: &str| super::size(text);
        assert_eq!((read("16MB"), read("1GB\n"), read("1024kB")), (Some(16 << 20), Some(1 << 30), Some(1 << 20)));
        assert_eq!((read("17MB"), read(""), read("2TB"), read("MB")), (None, None, None, None));
    }
}
