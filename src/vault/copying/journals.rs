//! The pieces of journals. Each is its own commit point; those are copied that some base goes on with, in their order.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, stream};

use super::{
    CopyDone, Pass,
    documents::known_members,
    object::{Id, Object, Trouble, Where},
};
use crate::{
    format::{certificate::Role, journal::SEALED_LIMIT, layout},
    model::{
        Name,
        journal::{Line, Position},
    },
    store::ObjectStore,
    vault::{
        Result, Vault,
        journal::{Gathering, LineListing, Listed, Windows},
        snapshots::{self, Summary},
        upkeep::Bases,
    },
};

/// What the target has of the journal of one source.
#[derive(Default)]
struct There {
    /// Names and sizes.
    objects: HashSet<Id>,
    /// Where each line begins and ends.
    ends: BTreeMap<Line, (Position, Position)>,
}

/// The journals that the source has: of which writer, and of which of its sources.
pub(super) type Journals = BTreeSet<(Name, Name)>;

/// Lists them.
pub(super) async fn list(source: &Vault) -> Result<Journals> {
    let mut seen = Gathering::of(Box::new(|_, _| false));
    source.store.list(layout::JOURNALS, &mut |entry| seen.entry(&entry)).await?;
    Ok(std::mem::take(&mut seen.seen))
}

/// Copies what is missing of journals. `all` are the snapshots of the source, if they were read.
pub(super) async fn copy(
    pass: &Pass<'_>,
    journals: Journals,
    all: Option<Vec<Summary>>,
    done: &mut CopyDone,
) -> Result<()> {
    let source = pass.source;
    if journals.is_empty() {
        return Ok(());
    }
    let Some(members) = known_members(pass, layout::JOURNALS, done).await? else { return Ok(()) };
    let mut bases = all.map(|all| bases(pass, &all));
    for (writer, name) in journals {
        let named = pass.request.sources.is_empty() || pass.request.sources.contains(&name);
        let writes = members.get(&writer).is_some_and(|member| member.role == Role::Writer);
        if !named || !writes {
            continue;
        }
        let mut there = there(pass.mover.place.store, &writer, &name).await?;
        if pass.mover.mends() || pass.relocks.is_some() {
            // Each is looked at, whatever is listed of it.
            pass.mover.place.list(&format!("{}{name}/", layout::own(layout::JOURNALS, &writer))).await?;
            there = There::default();
        }
        let mut windows = Windows::of(&*source.store, &writer, &name);
        while let Some(window) = windows.next().await? {
            for line in &window.lines {
                let missing: Vec<&Listed> = line.objects.iter().filter(|one| !there.has(line, one)).collect();
                // What goes on where the target ends belongs to it, and what lies before its beginning was not needed when that
                // was copied. Of anything else the bases tell.
                let (mut before, mut others) = (HashSet::new(), false);
                for one in &missing {
                    match there.ends.get(&line.line).zip(one.span) {
                        Some(((_, end), span)) if span.from >= *end => {}
                        Some(((begin, _), span)) if span.to <= *begin => {
                            before.insert(one.hash);
                        }
                        _ => others = true,
                    }
                }
                if bases.is_none() && others {
                    bases = Some(self::bases(pass, &snapshots::list(source).await?.snapshots));
                }
                let wanted = missing.into_iter().filter(|one| {
                    let to = one.span.map(|span| span.to);
                    match &bases {
                        Some(bases) => bases.need(&writer, &name, &line.line, to),
                        None => !before.contains(&one.hash),
                    }
                });
                pieces(pass, line, wanted.collect(), done).await?;
            }
        }
    }
    Ok(())
}

/// The bases among the snapshots that are wanted.
fn bases(pass: &Pass<'_>, all: &[Summary]) -> Bases {
    let request = pass.request;
    let honest = |snapshot: &&Summary| !snapshot.standing.suspect && !snapshot.standing.future;
    let young = |snapshot: &&Summary| request.since.is_none_or(|since| snapshot.since() >= since);
    let fitting: Vec<&Summary> = all.iter().filter(honest).filter(young).collect();
    let mut newest: BTreeMap<(&Name, &Name), usize> = BTreeMap::new();
    let wanted = fitting.into_iter().rev().filter(|snapshot| {
        let at = newest.entry((&snapshot.header.writer, &snapshot.header.source)).or_default();
        *at += 1;
        request.newest.is_none_or(|most| *at <= most)
    });
    Bases::of(wanted, &pass.source.descriptor.lock)
}

impl There {
    fn has(&self, line: &LineListing, one: &Listed) -> bool {
        self.objects.contains(&sized(line.key(one).as_str(), one.bytes))
    }
}

fn sized(key: &str, bytes: u64) -> Id {
    Id::of(&format!("{key} {bytes}"))
}

async fn there(target: &dyn ObjectStore, writer: &Name, source: &Name) -> Result<There> {
    let mut there = There::default();
    let prefix = format!("{}{source}/", layout::own(layout::JOURNALS, writer));
    let mut each = |entry: crate::store::Entry| {
        there.objects.insert(sized(&entry.key, entry.bytes));
        if let Some(layout::ObjectName::Piece(piece)) = layout::parse(&entry.key) {
            let (begin, end) = there.ends.entry(piece.line).or_insert((piece.span.from, piece.span.to));
            (*begin, *end) = (piece.span.from.min(*begin), piece.span.to.max(*end));
        }
    };
    target.list(&prefix, &mut each).await?;
    Ok(there)
}

/// Copies some objects of a line, several at once, and reads back their locks.
async fn pieces(pass: &Pass<'_>, line: &LineListing, wanted: Vec<&Listed>, done: &mut CopyDone) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let object = |one: &Listed| Object {
        at: Where::Other(line.key(one)),
        hash: one.hash,
        bytes: None,
        limit: SEALED_LIMIT,
        hint: None,
    };
    if pass.request.dry_run && !pass.mover.mends() {
        for one in wanted {
            let count = done.moved.entry("journals").or_default();
            count.objects += 1;
            count.bytes += one.bytes;
        }
        return Ok(());
    }
    if !pass.mover.mends() {
        pass.lease.hold().await?;
    }
    pass.mover.progress.phase("copying journals", Some(wanted.iter().map(|one| one.bytes).sum()));
    let place = pass.mover.place;
    let mut moves = stream::iter(wanted)
        .map(|one| async move {
            let object = object(one);
            let moved: Result<std::result::Result<(), Trouble>> = async {
                if let Err(trouble) = pass.mover.bring(&object, false, place.usual()).await? {
                    return Ok(Err(trouble));
                }
                let required = if pass.mover.mends() || pass.relocks.is_some() {
                    one.stored_at + pass.source.descriptor.lock.keep
                } else {
                    place.promised()
                };
                if !pass.looks_at(required) || pass.request.dry_run && !place.holds(&object) {
                    return Ok(Ok(()));
                }
                Ok(place.lock(&object, required, place.usual()).await?.map(|_| ()))
            }
            .await;
            place.forget(&object.key());
            (line.key(one), moved)
        })
        .buffered(pass.mover.jobs.max(place.store.at_once()));
    while let Some((key, moved)) = moves.next().await {
        if let Err(trouble) = moved? {
            done.findings.push(trouble.finding(&key, pass.mover.mends()));
        }
    }
    Ok(())
}
