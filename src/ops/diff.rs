//! `diff`: two snapshots held against each other, by table, ref and file. One body is in memory at a time; of the other
//! there is what is compared.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use super::{
    OpsError, Result,
    show::{LISTED, pointed},
    snapshots::{SnapshotLine, Wanted, choose, listed_for},
};
use crate::{
    codec::seal::Opener,
    format::body::Body,
    model::{Finding, Hash, Progress},
    vault::{Vault, reader::Snapshot},
};

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It is in the first alone.
    Gone,
    /// It is in both, and not the same.
    Changed,
    /// It is in the second alone.
    Added,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What became of it.
    pub what: What,
    /// Its name: of a table with its database where there are several.
    pub name: String,
    /// What it was: rows, bytes, or what a ref pointed to.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// The differences of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// How many are the same.
    pub same: u64,
    /// How many are gone.
    pub gone: u64,
    /// How many are in both and differ.
    pub changed: u64,
    /// How many are new.
    pub added: u64,
    /// Those, up to [`LISTED`]: what is gone first.
    pub changes: Vec<Change>,
}

/// Two snapshots.
#[derive(Debug, Clone, Serialize)]
pub struct DiffReport {
    /// The first.
    pub a: SnapshotLine,
    /// The second.
    pub b: SnapshotLine,
    /// By how many bytes the second is larger.
    pub grown: i64,
    /// Tables, by rows and the hash of their content.
    pub tables: Changes,
    /// What else databases hold: sequences, extensions, columns.
    pub objects: Changes,
    /// Refs of repositories.
    pub refs: Changes,
    /// Streams, by size and hash: files, dumps.
    pub streams: Changes,
}

/// What is compared of a body.
#[derive(Default)]
struct Compared {
    tables: BTreeMap<String, (u64, Option<String>)>,
    objects: BTreeMap<String, String>,
    refs: BTreeMap<String, String>,
    streams: BTreeMap<Box<str>, (u64, Hash)>,
}

/// Compares two snapshots.
///
/// # Errors
/// If one is not there, can't be opened, or they are of different kinds of source.
pub async fn diff(
    vault: &Vault,
    (a, b): (&Wanted, &Wanted),
    opener: &Opener,
    progress: &Arc<dyn Progress>,
) -> Result<(DiffReport, Vec<Finding>)> {
    let (first, of_first, mut findings) = one(vault, a, opener, progress).await?;
    let (second, of_second, more) = one(vault, b, opener, progress).await?;
    findings.extend(more);
    if first.kind != second.kind {
        return Err(OpsError::Request {
            what: format!(
                "snapshot {} is of kind {}, and {} of kind {}: they hold nothing alike",
                first.id.short(),
                first.kind.as_str(),
                second.id.short(),
                second.kind.as_str()
            ),
            next: "give two snapshots of one source; `strongroom snapshots --source NAME` lists them".to_owned(),
        });
    }
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let hashed = |(rows, hash): &(u64, Option<String>)| match hash {
        Some(hash) => format!("{rows} rows, {}", hash.chars().take(12).collect::<String>()),
        None => format!("{rows} rows"),
    };
    // Where one side has no hash, rows decide.
    let same = |a: &(u64, Option<String>), b: &(u64, Option<String>)| {
        a.0 == b.0 && (a.1.is_none() || b.1.is_none() || a.1 == b.1)
    };
    let text = |text: &String| text.clone();
    let sized = |(bytes, hash): &(u64, Hash)| {
        format!("{bytes} bytes, {}", hash.to_string().chars().take(12).collect::<String>())
    };
    let report = DiffReport {
        grown: signed(second.bytes).saturating_sub(signed(first.bytes)),
        a: first,
        b: second,
        tables: compare(&of_first.tables, &of_second.tables, same, hashed),
        objects: compare(&of_first.objects, &of_second.objects, PartialEq::eq, text),
        refs: compare(&of_first.refs, &of_second.refs, PartialEq::eq, text),
        streams: compare(&of_first.streams, &of_second.streams, PartialEq::eq, sized),
    };
    Ok((report, findings))
}

async fn one(
    vault: &Vault,
    wanted: &Wanted,
    opener: &Opener,
    progress: &Arc<dyn Progress>,
) -> Result<(SnapshotLine, Compared, Vec<Finding>)> {
    progress.phase("opening a snapshot", None);
    let listing = listed_for(vault, wanted).await?;
    let chosen = choose(listing.snapshots, wanted)?.snapshot;
    let line = SnapshotLine::from(&chosen);
    let snapshot = Snapshot::open(vault, vault.whole(&chosen).await?, opener).await?;
    Ok((line, compared(snapshot.body), listing.findings))
}

fn compared(body: Body) -> Compared {
    let mut of = Compared::default();
    let several = body.fingerprints.len() > 1;
    for print in body.fingerprints {
        let full = |name: String| if several { format!("{}: {name}", print.database) } else { name };
        of.tables.extend(print.tables.into_iter().map(|(name, table)| (full(name), (table.rows, table.hash))));
        of.objects.extend(print.objects.into_iter().map(|(name, value)| (full(name), value)));
    }
    if let Some(refs) = body.details.get("refs").and_then(Value::as_object) {
        of.refs = refs.iter().map(|(name, to)| (name.clone(), pointed(to))).collect();
    }
    let streams = body.streams.into_iter().map(|stream| {
        let name = stream.path.unwrap_or_else(|| stream.name.as_str().into());
        (name, (stream.bytes, stream.blake3))
    });
    of.streams = streams.collect();
    of
}

/// Both are in order, so they are walked side by side.
fn compare<K: Ord + AsRef<str>, V>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
    told: impl Fn(&V) -> String,
) -> Changes {
    let mut found = Changes::default();
    let mut add = |what: What, name: &K, from: Option<&V>, to: Option<&V>| {
        let count = match what {
            What::Gone => &mut found.gone,
            What::Changed => &mut found.changed,
            What::Added => &mut found.added,
        };
        *count += 1;
        if *count <= LISTED as u64 {
            found.changes.push(Change {
                what,
                name: name.as_ref().to_owned(),
                from: from.map(&told),
                to: to.map(&told),
            });
        }
    };
    let mut unchanged = 0;
    for (name, from) in a {
        match b.get(name) {
            None => add(What::Gone, name, Some(from), None),
            Some(to) if same(from, to) => unchanged += 1,
            Some(to) => add(What::Changed, name, Some(from), Some(to)),
        }
    }
    for (name, to) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
        add(What::Added, name, None, Some(to));
    }
    found.same = unchanged;
    found.changes.sort_by(|a, b| (a.what, &a.name).cmp(&(b.what, &b.name)));
    found.changes.truncate(LISTED);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_comes_first_and_everything_is_counted() {
        let map =
            |all: &[(&str, u64)]| all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<BTreeMap<_, _>>();
        let (a, b) = (map(&[("a", 1), ("b", 2), ("c", 3)]), map(&[("b", 2), ("c", 4), ("d", 5)]));
        let found = compare(&a, &b, PartialEq::eq, u64::to_string);
        assert_eq!((found.same, found.gone, found.changed, found.added), (1, 1, 1, 1));
        let told: Vec<_> = found.changes.iter().map(|change| (change.what, change.name.as_str())).collect();
        assert_eq!(told, [(What::Gone, "a"), (What::Changed, "c"), (What::Added, "d")]);
        assert_eq!((found.changes[1].from.as_deref(), found.changes[1].to.as_deref()), (Some("3"), Some("4")));
        let many: BTreeMap<String, u64> = (0..LISTED as u64 + 5).map(|n| (format!("{n:08}"), n)).collect();
        let found = compare(&many, &map(&[]), PartialEq::eq, u64::to_string);
        assert_eq!((found.gone, found.changes.len()), (LISTED as u64 + 5, LISTED));
    }
}
