//! Snapshots, a window of them at a time: which objects they need is read, and these are moved, headers last.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, stream};

use super::{
    CopyDone, Pass, flow,
    object::{Id, Object, Trouble, Where},
    table::{Counted, Table},
    wanted::{Wanted, count, leave_out, rehearse},
};
use crate::{
    format::{
        header::{ObjectRef, VerifiedHeader},
        index::SEALED_LIMIT,
        layout,
        page::{PACKS_PER_PAGE, PAGE_LIMIT, PackRef},
    },
    model::{Hash, Name},
    vault::{Result, VaultError, VaultErrorKind, reader::PagesAhead, snapshots::Summary},
};

/// So many snapshots are in a window at most, and fewer where their headers have more than so many bytes.
const SNAPSHOTS: usize = 512;
const HEADERS: u64 = 16 << 20;
/// A window ends where so many bytes are to be moved. At its end nothing moves until the next one is known.
const BYTES: u64 = 2 << 30;
/// After so many pages of a snapshot that can't be read, no more are read.
const UNREAD: usize = 8;
/// The most bytes that a pack has.
const PACK_LIMIT: usize = 32 << 20;

/// Copies snapshots, oldest first.
pub(super) async fn copy(pass: &Pass<'_>, new: &[Summary], done: &mut CopyDone) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(pass.source.room);
    let writers: HashSet<&Name> = new.iter().map(|snapshot| &snapshot.header.writer).collect();
    let own = |kind: &str| writers.iter().map(|writer| layout::own(kind, writer)).collect::<Vec<_>>();
    let kinds = [layout::PACKS, layout::LISTS, layout::INDEXES].into_iter().flat_map(own);
    let mut lists = stream::iter(kinds)
        .map(|prefix| async move { pass.mover.place.list(&prefix).await })
        .buffer_unordered(pass.mover.jobs);
    while let Some(listed) = lists.next().await {
        listed?;
    }
    drop(lists);
    let (mut left, mut counted) = (new, Counted::default());
    while !left.is_empty() {
        pass.mover.go_on()?;
        if table.is_full() {
            table = Table::new(pass.source.room);
        }
        let (window, large) = gather(pass, &mut table, &mut left, done).await?;
        if pass.request.dry_run && !pass.mover.mends() {
            rehearse(pass, &table, &window, &mut counted, done);
        } else {
            flow::carry(pass, &table, &window, done).await?;
        }
        if let Some((summary, header)) = large {
            self::large(pass, summary, &header, &mut counted, done).await?;
        }
    }
    Ok(())
}

/// A snapshot that names more pages is worked through by itself, so many at a time: 128, of 1024 packs each.
fn pages(pass: &Pass<'_>) -> usize {
    (pass.source.room / PACKS_PER_PAGE).max(1)
}

/// A snapshot with very many pages, so many at a time. The next ones name most of them again; what is there by then is known.
async fn large(
    pass: &Pass<'_>,
    summary: &Summary,
    header: &VerifiedHeader,
    counted: &mut Counted,
    done: &mut CopyDone,
) -> Result<()> {
    let mut closed = Wanted { summary, pages: Vec::new(), indexes: Vec::new(), unknown: None };
    let mut part = header.clone();
    for pages in header.header.pages.chunks(pages(pass)) {
        pass.mover.go_on()?;
        part.header.pages = pages.to_vec();
        let (mut table, known) = (Table::new(pass.source.room), |_: &_| false);
        let mut ahead = PagesAhead::of(&*pass.reads.store, std::iter::once(&part), known);
        let wanted = needs(pass, &mut table, (summary, &part), &mut ahead, done).await?;
        drop(ahead);
        part.header.indexes.clear();
        if let Some((trouble, objects)) = &wanted.unknown {
            let before = closed.unknown.as_ref().map_or(0, |(_, objects)| *objects);
            closed.unknown = Some((trouble.clone(), before + objects));
        }
        if wanted.unknown.is_some() && !pass.mover.mends() {
            break;
        }
        if pass.request.dry_run && !pass.mover.mends() {
            count(pass, &table, &wanted, counted, done);
        } else {
            let window = [wanted];
            let troubles = flow::close(pass, &table, &window, done).await?;
            let worst = troubles.values().max_by_key(|trouble| trouble.severity());
            if let Some(worst) = worst {
                let before = closed.unknown.as_ref().map_or(0, |(_, objects)| *objects);
                closed.unknown = Some((worst.clone(), before + troubles.len()));
            }
        }
        // What can't be there as a whole is not copied any further; a repair mends what it can.
        if closed.unknown.is_some() && !pass.mover.mends() {
            break;
        }
    }
    if pass.request.dry_run && !pass.mover.mends() {
        rehearse(pass, &Table::new(0), &[closed], counted, done);
        return Ok(());
    }
    flow::carry(pass, &Table::new(0), &[closed], done).await.map(drop)
}

/// The snapshots of the next window at most.
fn some(left: &[Summary]) -> &[Summary] {
    let mut bytes = 0_u64;
    let fit = left.iter().take(SNAPSHOTS).take_while(|summary| {
        bytes = bytes.saturating_add(summary.bytes as u64);
        bytes <= HEADERS
    });
    left.get(..fit.count().max(1)).unwrap_or(left)
}

/// What a window has: snapshots with what they need, and perhaps one after them that is worked through by itself.
type Window<'a> = (Vec<Wanted<'a>>, Option<(&'a Summary, VerifiedHeader)>);

/// The next window: its headers and pages are read.
async fn gather<'a>(
    pass: &Pass<'_>,
    table: &mut Table,
    left: &mut &'a [Summary],
    done: &mut CopyDone,
) -> Result<Window<'a>> {
    let some = some(left);
    let large = |header: &VerifiedHeader| header.header.pages.len() > pages(pass);
    // What is behind a large one is read again after it, so the first is read by itself, and none behind a large one.
    let (first, others) = some.split_at(some.len().min(1));
    let mut headers: Vec<Result<VerifiedHeader>> = Vec::new();
    for (some, at_once) in [(first, 1), (others, pass.mover.jobs)] {
        let mut reads = stream::iter(some).map(|summary| pass.reads.whole(summary)).buffered(at_once);
        while !headers.last().is_some_and(|last| last.as_ref().is_ok_and(large))
            && let Some(read) = reads.next().await
        {
            headers.push(read);
        }
    }
    let known: HashSet<Id> = table.pages.keys().copied().collect();
    let whole = headers.iter().filter_map(|header| header.as_ref().ok()).take_while(|header| !large(header));
    let mut ahead = PagesAhead::of(&*pass.reads.store, whole, |page| known.contains(&Id::of(page.as_str())));
    let (mut window, mut bytes, mut taken) = (Vec::new(), 0_u64, 0);
    let mut counted: HashSet<u32> = HashSet::new();
    for (summary, header) in some.iter().zip(&headers) {
        if bytes >= BYTES || table.is_full() && taken > 0 {
            break;
        }
        taken += 1;
        let header = match header {
            Ok(header) => header,
            Err(error) if error.is_of_object() => {
                let why = error.what.clone();
                let trouble =
                    if error.kind == VaultErrorKind::Denied { Trouble::Unread(why) } else { Trouble::Damaged(why) };
                done.findings.push(trouble.finding(&summary.key(), pass.mover.mends()));
                leave_out(pass, summary, (&trouble, 1), done);
                continue;
            }
            Err(error) => return Err(VaultError::new(error.kind, error.to_string())),
        };
        if large(header) {
            *left = left.get(taken..).unwrap_or_default();
            return Ok((window, Some((summary, header.clone()))));
        }
        let wanted = needs(pass, table, (summary, header), &mut ahead, done).await?;
        for at in wanted.packs() {
            let Some(object) = table.get(at) else { continue };
            if counted.insert(at) && !pass.mover.place.there(&object.key()) {
                bytes = bytes.saturating_add(object.bytes.unwrap_or(0));
            }
        }
        window.push(wanted);
    }
    *left = left.get(taken..).unwrap_or_default();
    Ok((window, None))
}

/// What a snapshot needs, by its header and pages.
async fn needs<'a>(
    pass: &Pass<'_>,
    table: &mut Table,
    (summary, header): (&'a Summary, &VerifiedHeader),
    ahead: &mut PagesAhead<'_>,
    done: &mut CopyDone,
) -> Result<Wanted<'a>> {
    let writer = table.writer(&header.header.writer);
    let hint = |version: &Option<String>| version.as_deref().map(Into::into);
    let mut wanted = Wanted { summary, pages: Vec::new(), indexes: Vec::new(), unknown: None };
    for index in &header.header.indexes {
        let at = Where::Index(Arc::clone(&writer));
        let (bytes, hint) = (Some(index.bytes), hint(&index.version));
        wanted.indexes.push(table.add(Object { at, hash: index.hash, bytes, limit: SEALED_LIMIT, hint }));
    }
    for page in &header.header.pages {
        let (bytes, version) = (Some(page.bytes), hint(&page.version));
        let at = Where::Page(Arc::clone(&writer));
        let object = Object { at, hash: page.hash, bytes, limit: PAGE_LIMIT, hint: version };
        let key = object.key();
        let at = table.add(object);
        let id = Id::of(key.as_str());
        if let Some(packs) = table.pages.get(&id) {
            wanted.pages.push((at, Arc::clone(packs)));
            continue;
        }
        let packs = match read(pass, ahead.page(header, page).await, header, page).await {
            Ok(packs) => packs,
            Err(error) if error.is_of_object() => {
                if pass.mover.mends() {
                    done.unnamed.insert(header.header.writer.clone());
                }
                let trouble = Trouble::of(error);
                done.findings.note(trouble.finding(&key, pass.mover.mends()));
                let before = wanted.unknown.map_or(0, |(_, pages)| pages);
                wanted.unknown = Some((trouble, before + 1));
                // It is left out, and a header can name any number of pages that never were.
                if before + 1 >= UNREAD && !pass.mover.mends() {
                    break;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let packs: Arc<[u32]> = packs
            .into_iter()
            .map(|pack| {
                let at = Where::Pack(Arc::clone(&writer));
                let hash = Hash::from_bytes(*pack.id.as_bytes());
                table.add(Object { at, hash, bytes: Some(pack.bytes), limit: PACK_LIMIT, hint: hint(&pack.version) })
            })
            .collect();
        table.pages.insert(id, Arc::clone(&packs));
        wanted.pages.push((at, packs));
    }
    Ok(wanted)
}

/// The packs of a page. Of two places that both lack something, one may have what the other lacks.
async fn read(
    pass: &Pass<'_>,
    first: Result<Vec<PackRef>>,
    header: &VerifiedHeader,
    page: &ObjectRef,
) -> Result<Vec<PackRef>> {
    match (first, pass.also) {
        (Err(error), Some(also)) if error.is_of_object() => {
            let mut other = PagesAhead::of(&*also.store, std::iter::empty(), |_| false);
            other.page(header, page).await
        }
        (first, _) => first,
    }
}
