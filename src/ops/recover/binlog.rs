//! Recovery of a `MariaDB` server: the newest dump before a point, and the log behind it, cut where the point is, for the
//! server's own tools to replay.

mod gather;
mod search;
mod times;

use serde::Deserialize;

use super::{
    super::{
        OpsError, Result,
        restore::{Part, Target as Files, carry_out, planned},
        snapshots::choose,
    },
    Guide, Laid, Recovery, Replay, Seeking,
    gather::Ended,
    point::{self, Fits, Point, Target, unreachable},
};
use crate::{
    model::{
        Finding, Name, Time,
        journal::{Position, Start},
        size,
    },
    source::mariadb::{
        binlog::{Gtid, file_of, split},
        packet,
    },
    vault::{
        journal::{self, Reader},
        reader::Snapshot,
        snapshots::Summary,
    },
};

use gather::{Gathered, Way};

/// Where a dump is in the log, as its facts tell.
#[derive(Debug, Clone, Deserialize)]
struct Told {
    file: String,
    gtid: Option<String>,
    /// When it was taken, by the server's clock, in seconds since 1970.
    at: Option<i64>,
    /// The one database that was dumped, if not all were.
    database: Option<String>,
}

/// A dump that can be gone on from.
pub(super) struct Based {
    pub(super) start: Start,
    /// What files of the log are called.
    base: String,
    gtids: Vec<Gtid>,
    at_us: Option<i64>,
    pub(super) database: Option<String>,
}

impl Based {
    fn of(snapshot: &Snapshot) -> Option<Self> {
        let start = snapshot.header.header.journal.clone()?;
        let told: Told = serde_json::from_value(snapshot.body.details.get("position")?.clone()).ok()?;
        let base = told.file.rsplit_once('.').map_or("", |(base, _)| base);
        // It becomes the name of a file, and a writer may have been taken over.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let fits = (1..=100).contains(&base.len()) && base.chars().all(plain) && !base.starts_with('-');
        let base = if fits { base.to_owned() } else { "binlog".to_owned() };
        let gtids = told.gtid.iter().flat_map(|all| all.split(',')).filter_map(|one| one.trim().parse().ok());
        let at_us = told.at.map(|at| at.saturating_mul(1_000_000));
        let gtids = gtids.collect();
        Some(Self { start, base, gtids, at_us, database: told.database })
    }

    /// A position as the server writes it.
    pub(super) fn say(&self, at: Position) -> String {
        let (number, offset) = split(at);
        format!("{}:{offset}", file_of(&self.base, number))
    }

    pub(super) fn file(&self, number: u32) -> String {
        file_of(&self.base, number)
    }

    /// What is wrong where a point names files of another log.
    fn is_elsewhere(&self, point: &Point) -> Option<OpsError> {
        let Point::File { base: Some(base), number, .. } = point else { return None };
        (*base != self.base).then(|| {
            let what =
                format!("{point} is of another log: the files of this one are called {} and so on", self.file(*number));
            unreachable(what, "give the file by that name, or by its number alone: pos:NUMBER:OFFSET")
        })
    }

    /// Whether it lies before a point; `done` is when it was done at the latest.
    fn fits(&self, target: &Target, done: Time) -> Fits {
        let before = |is| if is { Fits::Before } else { Fits::After };
        match &target.point {
            Point::Time(us) => before(self.at_us.unwrap_or(done.unix().saturating_mul(1_000_000)) <= *us),
            Point::File { number, offset, .. } => before(self.start.from <= point::within(*number, *offset)),
            Point::Gtid(gtid) => match self.gtids.iter().find(|has| has.domain == gtid.domain) {
                Some(has) => before(has.number < gtid.number || (target.inclusive && has.number == gtid.number)),
                None => Fits::Unknown,
            },
            _ => Fits::Before,
        }
    }

    /// Whether it holds just what is asked for.
    pub(super) fn is_at(&self, target: &Target) -> bool {
        match &target.point {
            Point::Gtid(gtid) => {
                target.inclusive && self.gtids.iter().any(|has| (has.domain, has.number) == (gtid.domain, gtid.number))
            }
            _ => false,
        }
    }
}

/// What was chosen.
struct Chosen {
    snapshot: Snapshot,
    based: Based,
    gathered: Gathered,
    newest: Option<(Position, Time)>,
    findings: Vec<Finding>,
}

/// Why a dump was not taken.
enum Passed {
    NoBase,
    Later(String),
    Without(Box<OpsError>),
    /// It is of files that are called otherwise than the point's.
    Elsewhere(Box<OpsError>),
}

impl Seeking<'_> {
    /// Chooses a dump, gathers the log behind it, and lays both out in `target`.
    ///
    /// # Errors
    /// If the point can't be had, and how near one can get; or as a restore.
    pub(super) async fn lay_out_dump(&self, all: Vec<Summary>, target: &mut dyn Files) -> Result<Laid> {
        point::must_make_sense(&self.request.target)?;
        let newest = choose(all.clone(), &self.request.wanted)?.snapshot;
        self.must_be_of_mariadb(&newest.header.source)?;
        let chosen = {
            let layout = target.replay().ok_or(OpsError::Defect("the target of the recovery"))?;
            layout.open(&newest.header.source)?;
            Box::pin(self.choose_dump(all, &newest, layout)).await?
        };
        let Chosen { mut snapshot, based, gathered, newest, mut findings } = chosen;
        let database = based.database.clone();
        let recovery = recovery(&self.request.target, &based, &gathered, newest);
        self.progress.note(&told(&snapshot.header.header.source, &recovery));
        let warnings = std::mem::take(&mut snapshot.body.warnings);
        let fingerprints = std::mem::take(&mut snapshot.body.fingerprints);
        let plan = planned(&mut snapshot, Part::default()).await?;
        if let Some(layout) = target.replay() {
            layout.cut(gathered.cut.as_ref().map(|(file, length)| (file.as_str(), *length)))?;
            layout.guide(guide(&snapshot, &based, &recovery));
        }
        let carried = carry_out(&snapshot, &plan, target, (self.progress, self.cancel), None).await?;
        if let Some((from, to)) = recovery.gap.as_ref().filter(|_| self.request.target.point == Point::Latest) {
            findings.push(super::gap(from, to.as_deref()).on(snapshot.header.header.source.as_str()));
        }
        let last_us = gathered.last.map(|last| i64::from(last.at) * 1_000_000);
        Ok(Laid { snapshot, plan, carried, recovery, last_us, warnings, findings, database, fingerprints })
    }

    /// What is said of a server of another kind would be a wish that nobody grants.
    fn must_be_of_mariadb(&self, source: &Name) -> Result<()> {
        let what = match &self.request.target.point {
            Point::Lsn(_) | Point::Xid(_) | Point::Named(_) => self.request.target.point.to_string(),
            _ if self.request.timeline.is_some() => "--timeline".to_owned(),
            _ if self.request.fetch.is_some() => "--wal fetch".to_owned(),
            _ => return Ok(()),
        };
        Err(OpsError::Request {
            what: format!("{what} means nothing to {source}, which is a server of MariaDB"),
            next:
                "its points are times, pos:FILE:OFFSET, gtid:0-1-42 and latest, and the log is laid out with the dump"
                    .to_owned(),
        })
    }

    async fn choose_dump(&self, all: Vec<Summary>, newest: &Summary, layout: &mut dyn Replay) -> Result<Chosen> {
        let (source, writer) = (newest.header.source.clone(), newest.header.writer.clone());
        self.progress.phase("listing the log", None);
        let log = journal::list(self.vault, Some(&writer), &source).await?;
        let reader = Reader::new(self.vault, self.opener, &all).await?;
        let mut passed = Vec::new();
        for candidate in self.candidates(all, newest) {
            let header = self.vault.whole(&candidate).await?;
            let snapshot = Snapshot::open(self.vault, header, self.opener).await?;
            let done = candidate.standing.stored_at.unwrap_or(candidate.header.claimed_at);
            match self.one_dump((snapshot, done), (&log, &reader), layout).await? {
                Ok(mut chosen) => {
                    chosen.findings.extend(reader.findings.iter().cloned());
                    return Ok(*chosen);
                }
                Err(why) => {
                    layout.cut(None)?;
                    // A transaction that no dump tells of may lie before one.
                    let over =
                        matches!(&why, Passed::Without(_)) && !matches!(self.request.target.point, Point::Gtid(_));
                    passed.push(why);
                    if over {
                        break;
                    }
                }
            }
        }
        Err(none(&self.request.target.point, &source, passed))
    }

    async fn one_dump(
        &self,
        (snapshot, done): (Snapshot, Time),
        (log, reader): (&journal::Listing, &Reader<'_>),
        layout: &mut dyn Replay,
    ) -> Result<std::result::Result<Box<Chosen>, Passed>> {
        let target = &self.request.target;
        let Some(based) = Based::of(&snapshot) else { return Ok(Err(Passed::NoBase)) };
        if let Some(error) = based.is_elsewhere(&target.point) {
            return Ok(Err(Passed::Elsewhere(Box::new(error))));
        }
        if based.fits(target, done) == Fits::After {
            return Ok(Err(Passed::Later(based.say(based.start.from))));
        }
        let line = log.lines.iter().find(|line| line.line == based.start.line);
        let way = Way::new(reader, line, &based);
        let gathered = way.gather(target, layout, (&**self.progress, self.cancel)).await?;
        if let Err(error) = gathered.must_be_there(target, &based) {
            return Ok(Err(Passed::Without(Box::new(error))));
        }
        let newest = way.newest();
        let findings = gathered.findings.clone();
        Ok(Ok(Box::new(Chosen { snapshot, based, gathered, newest, findings })))
    }
}

/// Why there is no dump for the point.
fn none(point: &Point, source: &Name, passed: Vec<Passed>) -> OpsError {
    let (mut oldest, mut elsewhere, mut no_base) = (None, None, 0);
    for why in passed {
        match why {
            Passed::Without(error) => return *error,
            Passed::Elsewhere(error) => {
                elsewhere.get_or_insert(error);
            }
            Passed::Later(at) => oldest = Some(at),
            Passed::NoBase => no_base += 1,
        }
    }
    if let Some(at) = oldest {
        let what =
            format!("{point} lies before the oldest dump of {source} that its log goes on from, which is of {at}");
        let next = "nothing earlier can be had but from an older snapshot: `strongroom snapshots` lists them";
        return unreachable(what, next);
    }
    if let Some(error) = elsewhere {
        return *error;
    }
    if no_base == 0 {
        let what = format!("{source} has no dump before {point}");
        return unreachable(what, "`strongroom snapshots` lists those that there are");
    }
    let what =
        format!("none of the {no_base} snapshots of {source} that fit knows its place in the server's binary log");
    let next = "a recovery needs a snapshot that was taken with `journal` in its [[source]], from a server that writes a binary \
                log; `strongroom restore` brings a snapshot back as it is";
    unreachable(what, next)
}

fn recovery(target: &Target, based: &Based, gathered: &Gathered, newest: Option<(Position, Time)>) -> Recovery {
    let gap = match &gathered.ended {
        Ended::Gap { to, .. } => Some((based.say(gathered.until), to.map(|to| based.say(to)))),
        Ended::Found | Ended::Nothing => None,
    };
    let some = gathered.pieces > 0;
    let end = gathered.end(based);
    Recovery {
        point: target.point.to_string(),
        inclusive: target.inclusive,
        timeline: 0,
        base_end: based.say(based.start.from),
        base_at: based.at_us.map(point::time),
        log_from: some.then(|| based.say(based.start.from)),
        log_until: some.then(|| based.say(end)),
        log_bytes: gathered.bytes,
        pieces: gathered.pieces,
        stop: Some(based.say(end)),
        stop_at: gathered.stop.map(|stop| point::time(i64::from(stop.at) * 1_000_000)),
        last_commit_at: gathered.last.map(|last| point::time(i64::from(last.at) * 1_000_000)),
        last_commit_xid: None,
        last_commit_gtid: gathered.last.and_then(|last| last.gtid).map(|gtid| gtid.to_string()),
        newest: newest.map(|(at, _)| based.say(at)),
        newest_at: newest.map(|(_, at)| at),
        gap,
        tablespaces: Vec::new(),
        settings: Vec::new(),
    }
}

/// What was chosen, and what is lost, for people.
fn told(source: &Name, recovery: &Recovery) -> String {
    let Recovery { point, base_end, log_bytes, pieces, .. } = recovery;
    let stop = recovery.stop.as_deref().unwrap_or(base_end);
    let comes = match (&recovery.last_commit_at, &recovery.last_commit_gtid) {
        (Some(at), Some(gtid)) => format!("the last restored transaction is {gtid}, of {at}"),
        (Some(at), None) => format!("the last restored transaction is of {at}"),
        (None, _) => "no transaction of the log is restored".to_owned(),
    };
    let by_time = recovery.point.starts_with(|c: char| c.is_ascii_digit());
    let exact = if by_time {
        ". A time in this log is when a statement began; to undo an accident, name its transaction: gtid:… with --exclusive"
    } else {
        ""
    };
    let newest = recovery.newest.as_ref().zip(recovery.newest_at).filter(|_| recovery.leaves_some());
    let lost = newest.map_or_else(String::new, |(newest, at)| {
        format!("; the vault has the log up to {newest} (stored {at}), and anything after the point is not restored")
    });
    format!(
        "recovering {source} to {point}: from the dump at {base_end}, with {} of log in {pieces} pieces, to {stop}; \
         {comes}{lost}{exact}",
        size::human(*log_bytes)
    )
}

fn guide(snapshot: &Snapshot, based: &Based, recovery: &Recovery) -> Guide {
    let longest = snapshot.body.details.get("longest_statement").and_then(serde_json::Value::as_u64);
    Guide {
        point: recovery.point.clone(),
        from: recovery.base_end.clone(),
        until: recovery.stop.clone().unwrap_or_default(),
        database: based.database.clone(),
        packet: longest.map(packet).filter(|bytes| *bytes > PACKET),
    }
}

/// What servers and clients take as one statement by default.
const PACKET: u64 = 16 << 20;
