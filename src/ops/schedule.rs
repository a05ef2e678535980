//! `schedule`: what runs when on which box, as units of systemd or as a crontab. Text alone; nothing is read or started here.

mod spelling;
mod units;

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use serde::Serialize;

use super::OpsError;
use crate::model::{Name, Span};

pub use units::SECRET_CONFIG;

/// Something that runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The writer's backup.
    Backup,
    /// The writer's look at itself.
    Doctor,
    /// Receives the logs of databases; a service that never ends.
    Journal,
    /// Hears requests for backups; started by its socket.
    Request,
    /// The keeper's extension of locks.
    Renew,
    /// The pruner's deletions.
    Prune,
    /// The auditor's look at everything.
    Verify,
    /// The auditor's look at what is new.
    Watch,
    /// How each source stands.
    Status,
    /// The driller's restore.
    Drill,
    /// The copier's pass, of one copy.
    Replicate,
}

impl Task {
    /// What it is called in names of units.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Doctor => "doctor",
            Self::Journal => "journal",
            Self::Request => "request",
            Self::Renew => "renew",
            Self::Prune => "prune",
            Self::Verify => "verify",
            Self::Watch => "watch",
            Self::Status => "status",
            Self::Drill => "drill",
            Self::Replicate => "replicate",
        }
    }

    /// For `Description=`.
    const fn describe(self) -> &'static str {
        match self {
            Self::Backup => "Back up into the vault",
            Self::Doctor => "Check the writer's credentials, configuration and sources",
            Self::Journal => "Archive the logs of databases",
            Self::Request => "Accept requests for backups",
            Self::Renew => "Extend the locks of objects that snapshots need",
            Self::Prune => "Delete unlocked objects that no snapshot needs",
            Self::Verify => "Verify the vault",
            Self::Watch => "Check new snapshots for suspicious changes",
            Self::Status => "Report what is overdue",
            Self::Drill => "Test a restore in a temporary server",
            Self::Replicate => "Copy the vault",
        }
    }

    /// When, as `OnCalendar=` has it, as five fields of a crontab, and by how much it may be late, in seconds.
    fn calendar(self, every: Option<Span>) -> (String, String, u32) {
        let at = |calendar: &str, cron: &str, delay| (calendar.to_owned(), cron.to_owned(), delay);
        match self {
            Self::Backup => by_interval(every),
            Self::Doctor => at("Mon *-*-* 07:00:00", "0 7 * * 1", 3600),
            Self::Renew => at("*-*-* 04:00:00", "0 4 * * *", 3600),
            Self::Prune => at("Sun *-*-* 05:00:00", "0 5 * * 0", 3600),
            Self::Verify => at("*-*-* 06:00:00", "0 6 * * *", 3600),
            Self::Watch => at("*-*-* *:00/10:00", "*/10 * * * *", 60),
            Self::Status => at("*-*-* *:25:00", "25 * * * *", 300),
            Self::Drill => at("Sat *-*-* 03:00:00", "0 3 * * 6", 7200),
            Self::Replicate => at("*-*-* 03:30:00", "30 3 * * *", 1800),
            Self::Journal | Self::Request => at("", "@reboot", 0),
        }
    }

    /// The time that a run may take, as systemd writes it, and its memory.
    const fn limits(self) -> (&'static str, &'static str) {
        match self {
            Self::Backup => ("12h", "2G"),
            Self::Doctor => ("1h", "1G"),
            Self::Journal => ("infinity", "1G"),
            Self::Request => ("infinity", "2G"),
            Self::Renew | Self::Prune | Self::Verify => ("6h", "2G"),
            Self::Watch | Self::Status => ("30min", "2G"),
            Self::Drill => ("24h", "8G"),
            // The first pass may take days. What was stopped goes on the next day, so nothing is lost by a limit.
            Self::Replicate => ("3d", "1G"),
        }
    }
}

/// As often as the source that is backed up most often.
fn by_interval(every: Option<Span>) -> (String, String, u32) {
    let seconds = every.map_or(86_400, Span::as_seconds);
    match seconds {
        0..3600 => {
            let minutes = [5, 10, 15, 20, 30].into_iter().rfind(|m| m * 60 <= seconds).unwrap_or(5);
            (format!("*-*-* *:00/{minutes}:00"), format!("*/{minutes} * * * *"), 30)
        }
        3600..7200 => ("*-*-* *:05:00".to_owned(), "5 * * * *".to_owned(), 300),
        7200..86_400 => {
            let hours = [2, 3, 4, 6, 8, 12].into_iter().rfind(|h| h * 3600 <= seconds).unwrap_or(2);
            (format!("*-*-* 00/{hours}:05:00"), format!("5 */{hours} * * *"), 600)
        }
        _ => ("*-*-* 02:00:00".to_owned(), "0 2 * * *".to_owned(), 1800),
    }
}

/// One thing that runs, with the configuration that it runs with.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What.
    pub task: Task,
    /// Its configuration on the box where it runs.
    pub config: PathBuf,
    /// Files beside that configuration that it names, which systemd hands over: keys and credentials.
    pub secrets: BTreeSet<String>,
    /// The identity that it opens with, if any.
    pub identity: Option<PathBuf>,
    /// Directories that it writes to, besides its own state.
    pub writes: BTreeSet<PathBuf>,
    /// Directories whose disks must be mounted.
    pub mounts: BTreeSet<PathBuf>,
    /// The copy that it is about, if it is about one.
    pub copy: Option<Name>,
    /// Whether it reads below `/home` or `/root`.
    pub homes: bool,
    /// Where its own state is.
    pub state: Option<PathBuf>,
    /// How often its sources are backed up, the most frequent of them.
    pub every: Option<Span>,
    /// The socket that it is started by, if it is.
    pub socket: Option<PathBuf>,
    /// Whether `watch` has something to react with.
    pub reacts: bool,
}

impl Entry {
    /// What it is called in names of units.
    #[must_use]
    pub fn name(&self) -> String {
        let task = self.task.as_str();
        self.copy.as_ref().map_or_else(|| task.to_owned(), |copy| format!("{task}-{copy}"))
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct ScheduleRequest {
    /// What runs.
    pub entries: Vec<Entry>,
    /// The program.
    pub program: PathBuf,
    /// Who runs it.
    pub user: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The units of systemd.
///
/// # Errors
///
/// If a path can't be written in the directive that needs it.
pub fn systemd(request: &ScheduleRequest) -> Result<Vec<Unit>, OpsError> {
    let mut all = Vec::new();
    for entry in &request.entries {
        all.extend(units::of(entry, request)?);
    }
    all.push(units::failed());
    all.push(units::user(&request.user));
    Ok(all)
}

/// The crontab, for `/etc/cron.d`.
///
/// # Errors
///
/// If a line of a crontab can't hold one of the paths.
pub fn cron(request: &ScheduleRequest) -> Result<String, OpsError> {
    let mut text = String::from(
        "# Made by `strongroom schedule --cron`, for a file in /etc/cron.d. Cron neither hands over credentials nor confines what it\n\
         # runs: the user below must own the configuration and its key files. Units of systemd do better.\n\
         SHELL=/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\n",
    );
    let program = spelling::word(&request.program)?;
    for entry in &request.entries {
        let (_, when, _) = entry.task.calendar(entry.every);
        let config = spelling::word(&entry.config)?;
        let identity = entry.identity.as_deref().map(spelling::word).transpose()?;
        let words = units::words(entry, &config, identity.as_deref());
        let command = spelling::command(&format!("{program} {words}"))?;
        // Writing to memory does not fail.
        let _ = writeln!(text, "{when} {} {command}", request.user);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_runs_as_often_as_its_sources_want() {
        for (every, calendar) in [
            (None, "*-*-* 02:00:00"),
            (Some("1d"), "*-*-* 02:00:00"),
            (Some("7d"), "*-*-* 02:00:00"),
            (Some("12h"), "*-*-* 00/12:05:00"),
            (Some("5h"), "*-*-* 00/4:05:00"),
            (Some("1h"), "*-*-* *:05:00"),
            (Some("15m"), "*-*-* *:00/15:00"),
            (Some("1m"), "*-*-* *:00/5:00"),
        ] {
            assert_eq!(by_interval(every.map(|span| span.parse().unwrap())).0, calendar, "{every:?}");
        }
    }
}
