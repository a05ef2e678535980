//! `snapshots`, and choosing one of them.

use serde::Serialize;

use super::{OpsError, Result};
use crate::{
    format::header::Claim,
    model::{Finding, Name, SnapshotId, SourceKind, Time},
    signal::Level,
    vault::{
        self, Vault, VaultErrorKind,
        holds::Holds,
        snapshots::Summary,
        standing::{must_be_known, owners},
    },
};

/// The shortest prefix of an id that is accepted, in hex digits.
pub const PREFIX: usize = 8;

/// One snapshot, as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotLine {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// Its place among its writer's snapshots.
    pub seq: u64,
    /// When its run started, by the store's clock.
    pub created_at: Time,
    /// When the store first had it whole, where the store is a witness.
    pub stored_at: Option<Time>,
    /// Whether its writer was revoked from a time before it, or may not write its source. Then it is never `latest`.
    pub suspect: bool,
    /// Whether its writer's certificate names other sources than its own.
    pub outside: bool,
    /// Whether it claims to be of a time that is not yet. Then it is never `latest`.
    pub future: bool,
    /// What its writer has to do with its source.
    #[serde(skip)]
    pub claim: Claim,
    /// Until when it was locked when it was written, at least.
    pub floor_until: Time,
    /// Until when it is to be kept.
    pub expires_at: Time,
    /// What its writer found odd about what it backed up, if anything; `watch` judges for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Level>,
    /// Until when a hold keeps it, whatever its expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Time>,
    /// Bytes of all its streams.
    pub bytes: u64,
}

impl From<&Summary> for SnapshotLine {
    fn from(found: &Summary) -> Self {
        let header = &found.header;
        Self {
            id: found.id,
            source: header.source.clone(),
            kind: header.kind,
            writer: header.writer.clone(),
            seq: header.seq,
            created_at: header.started_at,
            stored_at: found.standing.stored_at,
            suspect: found.standing.suspect,
            outside: found.standing.outside,
            future: found.standing.future,
            claim: found.standing.claim,
            floor_until: header.floor_until,
            expires_at: header.expires_at,
            signal: header.signal,
            held_until: None,
            bytes: header.totals.bytes,
        }
    }
}

/// The snapshots of `source` and `writer` (all of them where none is given), oldest first, and what was found on the
/// way. Sources in `configured` may have none yet.
///
/// # Errors
/// If the vault can't be read, or knows no such name.
pub async fn list(
    vault: &Vault,
    source: Option<&Name>,
    writer: Option<&Name>,
    configured: &[Name],
) -> Result<(Vec<SnapshotLine>, Vec<Finding>)> {
    let listing = vault::snapshots::list(vault).await?;
    let headers = || listing.snapshots.iter().map(|found| &found.header);
    if let Some(source) = source.filter(|source| !configured.contains(source)) {
        must_be_known("source", source, headers().map(|header| &header.source))?;
    }
    if let Some(writer) = writer {
        must_be_known("writer", writer, headers().map(|header| &header.writer))?;
    }
    let fits = |line: &SnapshotLine| {
        source.is_none_or(|name| line.source == *name) && writer.is_none_or(|name| line.writer == *name)
    };
    let mut lines: Vec<SnapshotLine> = listing.snapshots.iter().map(SnapshotLine::from).filter(fits).collect();
    let mut findings = listing.findings;
    match Holds::of(vault).await {
        Ok(holds) => {
            let now = vault.store.server_time().await?;
            for line in &mut lines {
                line.held_until = holds.until(&line.id, now);
            }
            // Who may not list versions, as a writer may not, may not read holds either.
            let blind = holds.findings.iter().any(|finding| finding.code == "versions.unlisted");
            findings.extend(holds.findings.into_iter().filter(|_| !blind));
        }
        // A writer may not read them, and they are not its affair.
        Err(error) if error.kind == VaultErrorKind::Denied => {}
        Err(error) => return Err(error.into()),
    }
    Ok((lines, findings))
}

/// What has to be listed to find the snapshot that is meant: of one that is named by its id, no other.
///
/// # Errors
/// If the vault can't be read.
pub async fn listed_for(vault: &Vault, wanted: &Wanted) -> Result<vault::snapshots::Listing> {
    Ok(match wanted {
        Wanted::Id(prefix) => vault::snapshots::by_id(vault, prefix).await?,
        Wanted::Latest { .. } => vault::snapshots::list(vault).await?,
    })
}

/// Which snapshot is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The one whose id begins so: at least [`PREFIX`] lower-case hex digits.
    Id(String),
    /// The newest of a source, taken not after this instant.
    Latest {
        /// The source.
        source: Name,
        /// Whose, if that is said.
        writer: Option<Name>,
        /// The instant, if not now.
        at: Option<Time>,
    },
}

impl Wanted {
    /// A snapshot by the beginning of its id.
    ///
    /// # Errors
    /// If the text can't be one.
    pub fn id(text: &str) -> Result<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if (PREFIX..=64).contains(&text.len()) && text.bytes().all(hex) {
            return Ok(Self::Id(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        let short = text.bytes().all(hex) && !text.is_empty() && text.len() < PREFIX;
        let what = if short { "is too short to name a snapshot by its id" } else { "names no snapshot" };
        let what = format!("{shown:?} {what}");
        Err(OpsError::Request {
            what,
            next: format!(
                "give at least {PREFIX} lower-case hex digits of an id from `strongroom snapshots`, or `latest --source NAME`"
            ),
        })
    }
}

/// A chosen snapshot, and the newest one of its writer and source before it.
#[derive(Debug)]
pub struct Chosen {
    /// The snapshot.
    pub snapshot: Summary,
    /// Its predecessor.
    pub previous: Option<SnapshotLine>,
    /// The newest before it whose writer raised no alarm, where it did of this one.
    pub calm: Option<SnapshotLine>,
}

/// Finds the snapshot that is meant among `all` (oldest first).
///
/// # Errors
/// `NoSnapshot` or `Ambiguous`.
pub fn choose(all: Vec<Summary>, wanted: &Wanted) -> Result<Chosen> {
    let lines: Vec<SnapshotLine> = all.iter().map(SnapshotLine::from).collect();
    let at = match wanted {
        Wanted::Id(prefix) => by_prefix(&lines, prefix)?,
        Wanted::Latest { source, writer, at } => latest(&lines, source, writer.as_ref(), *at)?,
    };
    let whose = |line: &SnapshotLine| (line.source.clone(), line.writer.clone());
    let chosen = lines.get(at).map(whose);
    let previous = lines.iter().take(at).rev().find(|line| Some(whose(line)) == chosen).cloned();
    let alarmed = lines.get(at).is_some_and(|line| line.signal == Some(Level::Alarm));
    let calm = |line: &&SnapshotLine| Some(whose(line)) == chosen && line.signal != Some(Level::Alarm) && !line.suspect;
    let calm = lines.iter().take(at).rev().find(calm).filter(|_| alarmed).cloned();
    let snapshot = all.into_iter().nth(at).ok_or(OpsError::Defect("the list of snapshots"))?;
    Ok(Chosen { snapshot, previous, calm })
}

fn by_prefix(lines: &[SnapshotLine], prefix: &str) -> Result<usize> {
    let mut fitting = lines.iter().enumerate().filter(|(_, line)| line.id.to_string().starts_with(prefix));
    let Some((at, _)) = fitting.next() else {
        let what = format!("no snapshot id begins with {prefix}");
        return Err(OpsError::NoSnapshot { what });
    };
    if fitting.next().is_none() {
        return Ok(at);
    }
    let fits = lines.iter().map(|line| line.id.to_string()).filter(|id| id.starts_with(prefix));
    Err(OpsError::Ambiguous { prefix: prefix.to_owned(), matches: fits.take(10).collect() })
}

fn latest(lines: &[SnapshotLine], source: &Name, writer: Option<&Name>, at: Option<Time>) -> Result<usize> {
    if lines.is_empty() {
        return Err(OpsError::NoSnapshotYet);
    }
    must_be_known("source", source, lines.iter().map(|line| &line.source))?;
    let of_source = || lines.iter().filter(|line| line.source == *source);
    if let Some(writer) = writer {
        must_be_known(&format!("source {source} by a writer"), writer, of_source().map(|line| &line.writer))?;
    }
    // A writer can claim any start. Where the store saw the snapshot come, that is when it was there.
    let there = |line: &SnapshotLine, at: Time| line.created_at.max(line.stored_at.unwrap_or(line.created_at)) <= at;
    let fits = |line: &SnapshotLine| {
        line.source == *source
            && writer.is_none_or(|writer| line.writer == *writer)
            && at.is_none_or(|at| there(line, at))
    };
    let whose = owners(lines.iter().filter(|line| fits(line) && !line.suspect).map(|line| (&line.writer, line.claim)));
    if whose.len() > 1 {
        return Err(not_alone(source, &whose));
    }
    let is_theirs = |line: &SnapshotLine| whose.contains(&&line.writer);
    if let Some(found) = lines.iter().rposition(|line| fits(line) && is_theirs(line) && !line.suspect && !line.future) {
        return Ok(found);
    }
    let oldest = of_source().map(|line| line.created_at).min();
    let what = match (at, oldest) {
        _ if lines.iter().any(|line| fits(line) && line.future && !line.suspect) => {
            format!(
                "every snapshot of {source} that fits claims to be of a time that is not yet: a clock was wrong, there \
                 or here. Name one by its id"
            )
        }
        _ if lines.iter().any(fits) => {
            format!(
                "every snapshot of {source} that fits is suspect, since its writer was revoked or may not write \
                 {source}: name one by its id"
            )
        }
        (Some(at), Some(oldest)) => format!("{source} has no snapshot of {at} or before; the oldest is of {oldest}"),
        _ => format!("{source} has no snapshot"),
    };
    Err(OpsError::NoSnapshot { what })
}

/// The error of a source that several writers have, where nothing says whose is meant.
pub(super) fn not_alone(source: &Name, writers: &[&Name]) -> OpsError {
    let names: Vec<&str> = writers.iter().map(|name| name.as_str()).collect();
    let options: Vec<String> = writers.iter().map(|name| format!("--writer {name}")).collect();
    OpsError::Request {
        what: format!("{source} is a source of {} writers, {}: each has its own", names.len(), names.join(" and ")),
        next: format!(
            "say whose is meant: {}. A writer that is made with `--sources` goes before those without",
            options.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, source: &str, at: i64) -> SnapshotLine {
        let time = Time::from_unix(at);
        SnapshotLine {
            id: id.repeat(64).parse().unwrap(),
            source: source.parse().unwrap(),
            kind: SourceKind::Stdin,
            writer: "w".parse().unwrap(),
            seq: 1,
            created_at: time,
            stored_at: None,
            suspect: false,
            outside: false,
            future: false,
            claim: Claim::Open,
            floor_until: time,
            expires_at: time,
            signal: None,
            held_until: None,
            bytes: 0,
        }
    }

    #[test]
    fn latest_is_the_newest_of_its_source_at_that_time() {
        let lines = [line("a", "x", 10), line("b", "y", 20), line("c", "x", 30), line("d", "y", 40)];
        let x: Name = "x".parse().unwrap();
        assert_eq!(latest(&lines, &x, None, None).unwrap(), 2);
        assert_eq!(latest(&lines, &x, None, Some(Time::from_unix(30))).unwrap(), 2);
        assert_eq!(latest(&lines, &x, None, Some(Time::from_unix(29))).unwrap(), 0);
        let told = |source: &str, at: Option<i64>| {
            latest(&lines, &source.parse().unwrap(), None, at.map(Time::from_unix)).unwrap_err().to_string()
        };
        assert!(told("x", Some(9)).contains("1970-01-01T00:00:10Z"));
        assert!(told("z", None).contains("x, y"));
    }

    #[test]
    fn latest_is_never_suspect_never_backdated_and_never_of_a_time_that_is_not_yet() {
        let x: Name = "x".parse().unwrap();
        let of = |lines: &[SnapshotLine], at: Option<i64>| latest(lines, &x, None, at.map(Time::from_unix));
        let suspect = SnapshotLine { suspect: true, ..line("b", "x", 20) };
        assert_eq!(of(&[line("a", "x", 10), suspect.clone()], None).unwrap(), 0);
        assert!(of(&[suspect], None).unwrap_err().to_string().contains("suspect"));
        let backdated = SnapshotLine { stored_at: Some(Time::from_unix(99)), ..line("b", "x", 20) };
        assert_eq!(of(&[line("a", "x", 10), backdated.clone()], Some(30)).unwrap(), 0);
        assert_eq!(of(&[line("a", "x", 10), backdated], Some(99)).unwrap(), 1);
        let future = SnapshotLine { future: true, ..line("b", "x", 99) };
        assert_eq!(of(&[line("a", "x", 10), future.clone()], None).unwrap(), 0);
        assert!(of(&[future], None).unwrap_err().to_string().contains("not yet"));
    }

    #[test]
    fn latest_of_two_writers_is_nobodys_unless_it_is_said_whose() {
        let (x, w, v): (Name, Name, Name) = ("x".parse().unwrap(), "w".parse().unwrap(), "v".parse().unwrap());
        let other = SnapshotLine { writer: v.clone(), ..line("b", "x", 20) };
        let both = [line("a", "x", 10), other.clone()];
        let told = latest(&both, &x, None, None).unwrap_err();
        assert!(
            matches!(&told, OpsError::Request { what, next }
            if what.contains("v and w") && next.contains("--writer v or --writer w")),
            "{told:?}"
        );
        assert_eq!(latest(&both, &x, Some(&w), None).unwrap(), 0);
        assert_eq!(latest(&both, &x, Some(&v), None).unwrap(), 1);
        assert_eq!(latest(&both, &x, None, Some(Time::from_unix(15))).unwrap(), 0, "the other was not there");
        let named = SnapshotLine { claim: Claim::Named, ..line("a", "x", 10) };
        assert_eq!(latest(&[named, other.clone()], &x, None, None).unwrap(), 0, "the root gave it to one");
        let revoked = SnapshotLine { claim: Claim::Revoked, ..other.clone() };
        assert_eq!(latest(&[line("a", "x", 10), revoked], &x, None, None).unwrap(), 0);
        let future = SnapshotLine { future: true, ..other };
        assert!(latest(&[line("a", "x", 10), future], &x, None, None).is_err(), "whoever else has one has a claim");
        assert!(
            latest(&both, &x, Some(&"u".parse().unwrap()), None).unwrap_err().to_string().contains("there is v, w")
        );
    }

    #[test]
    fn a_prefix_names_one_snapshot_or_none() {
        let lines = [line("a", "x", 10), line("b", "x", 20), line("a", "x", 30)];
        assert_eq!(by_prefix(&lines, "bbbbbbbb").unwrap(), 1);
        assert!(
            matches!(by_prefix(&lines, "aaaaaaaa"), Err(OpsError::Ambiguous { matches, .. }) if matches.len() == 2)
        );
        assert!(matches!(by_prefix(&lines, "cccccccc"), Err(OpsError::NoSnapshot { .. })));
        for bad in ["", "aaaaaaa", "AAAAAAAA", "latests!", &"a".repeat(65)] {
            assert!(Wanted::id(bad).is_err(), "{bad}");
        }
    }
}
