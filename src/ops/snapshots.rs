//! `snapshots`, and choosing one of them.

use serde::Serialize;

use super::{OpsError, Result};
use crate::{
    model::{Finding, Name, SnapshotId, SourceKind, Time},
    vault::{self, Vault, snapshots::Summary},
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
    /// Whether its writer was revoked from a time before it. Then it is never `latest`.
    pub suspect: bool,
    /// Until when it was locked when it was written, at least.
    pub floor_until: Time,
    /// Until when it is to be kept.
    pub expires_at: Time,
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
            floor_until: header.floor_until,
            expires_at: header.expires_at,
            bytes: header.totals.bytes,
        }
    }
}

/// The snapshots of `source` and `writer` (all of them where none is given), oldest first, and what was found on the
/// way.
///
/// # Errors
/// If the vault can't be read.
pub async fn list(
    vault: &Vault,
    source: Option<&Name>,
    writer: Option<&Name>,
) -> Result<(Vec<SnapshotLine>, Vec<Finding>)> {
    let listing = vault::snapshots::list(vault).await?;
    let fits = |line: &SnapshotLine| {
        source.is_none_or(|name| line.source == *name) && writer.is_none_or(|name| line.writer == *name)
    };
    let lines = listing.snapshots.iter().map(SnapshotLine::from).filter(fits).collect();
    Ok((lines, listing.findings))
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
        Err(OpsError::Request {
            what: format!("{shown:?} names no snapshot"),
            next: format!(
                "give at least {PREFIX} lower-case hex digits of an id from `strongroom snapshots`, or `latest --source NAME`"
            ),
        })
    }
}

/// A chosen snapshot, and the newest one of its source before it.
#[derive(Debug)]
pub struct Chosen {
    /// The snapshot.
    pub snapshot: Summary,
    /// Its predecessor.
    pub previous: Option<SnapshotLine>,
}

/// Finds the snapshot that is meant among `all` (oldest first).
///
/// # Errors
/// `NoSnapshot` or `Ambiguous`.
pub fn choose(all: Vec<Summary>, wanted: &Wanted) -> Result<Chosen> {
    let lines: Vec<SnapshotLine> = all.iter().map(SnapshotLine::from).collect();
    let at = match wanted {
        Wanted::Id(prefix) => by_prefix(&lines, prefix)?,
        Wanted::Latest { source, at } => latest(&lines, source, *at)?,
    };
    let source = lines.get(at).map(|line| line.source.clone());
    let previous = lines.iter().take(at).rev().find(|line| Some(&line.source) == source.as_ref()).cloned();
    let snapshot = all.into_iter().nth(at).ok_or(OpsError::Defect("the list of snapshots"))?;
    Ok(Chosen { snapshot, previous })
}

fn by_prefix(lines: &[SnapshotLine], prefix: &str) -> Result<usize> {
    let mut fitting = lines.iter().enumerate().filter(|(_, line)| line.id.to_string().starts_with(prefix));
    let Some((at, _)) = fitting.next() else {
        let what = format!("no snapshot's id begins with {prefix}");
        return Err(OpsError::NoSnapshot { what });
    };
    if fitting.next().is_none() {
        return Ok(at);
    }
    let fits = lines.iter().map(|line| line.id.to_string()).filter(|id| id.starts_with(prefix));
    Err(OpsError::Ambiguous { prefix: prefix.to_owned(), matches: fits.take(10).collect() })
}

fn latest(lines: &[SnapshotLine], source: &Name, at: Option<Time>) -> Result<usize> {
    // A writer can claim any start. Where the store saw the snapshot come, that is when it was there.
    let there = |line: &SnapshotLine, at: Time| line.created_at.max(line.stored_at.unwrap_or(line.created_at)) <= at;
    let fits = |line: &SnapshotLine| line.source == *source && at.is_none_or(|at| there(line, at));
    if let Some(found) = lines.iter().rposition(|line| fits(line) && !line.suspect) {
        return Ok(found);
    }
    let mut sources: Vec<&str> = lines.iter().map(|line| line.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let oldest = lines.iter().find(|line| line.source == *source).map(|line| line.created_at);
    let what = match (at, oldest) {
        _ if lines.iter().any(fits) => {
            format!("every snapshot of {source} that fits is suspect, since its writer was revoked: name one by its id")
        }
        (Some(at), Some(oldest)) => format!("{source} has no snapshot of {at} or before; the oldest is of {oldest}"),
        _ if sources.is_empty() => "the vault holds no snapshot".to_owned(),
        _ => format!("no snapshot is of a source {source}; the sources are {}", sources.join(", ")),
    };
    Err(OpsError::NoSnapshot { what })
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
            floor_until: time,
            expires_at: time,
            bytes: 0,
        }
    }

    #[test]
    fn latest_is_the_newest_of_its_source_at_that_time() {
        let lines = [line("a", "x", 10), line("b", "y", 20), line("c", "x", 30), line("d", "y", 40)];
        let x: Name = "x".parse().unwrap();
        assert_eq!(latest(&lines, &x, None).unwrap(), 2);
        assert_eq!(latest(&lines, &x, Some(Time::from_unix(30))).unwrap(), 2);
        assert_eq!(latest(&lines, &x, Some(Time::from_unix(29))).unwrap(), 0);
        let told = |source: &str, at: Option<i64>| {
            latest(&lines, &source.parse().unwrap(), at.map(Time::from_unix)).unwrap_err().to_string()
        };
        assert!(told("x", Some(9)).contains("1970-01-01T00:00:10Z"));
        assert!(told("z", None).contains("x, y"));
    }

    #[test]
    fn latest_is_never_suspect_and_never_backdated() {
        let x: Name = "x".parse().unwrap();
        let suspect = SnapshotLine { suspect: true, ..line("b", "x", 20) };
        assert_eq!(latest(&[line("a", "x", 10), suspect.clone()], &x, None).unwrap(), 0);
        assert!(latest(&[suspect], &x, None).unwrap_err().to_string().contains("suspect"));
        let backdated = SnapshotLine { stored_at: Some(Time::from_unix(99)), ..line("b", "x", 20) };
        assert_eq!(latest(&[line("a", "x", 10), backdated.clone()], &x, Some(Time::from_unix(30))).unwrap(), 0);
        assert_eq!(latest(&[line("a", "x", 10), backdated], &x, Some(Time::from_unix(99))).unwrap(), 1);
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
