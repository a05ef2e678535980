//! Parity beside a directory vault: out of the blocks of a group of objects that are left, and blocks of parity, those are found
//! that a disk lost. What is found counts only if the name of its object vouches for it.

mod check;
mod heal;
mod keep;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Result, fetch};
use crate::{
    format::{
        copied::Copied,
        layout,
        parity::{self, Checks, HEAD, SUFFIX, Table},
    },
    model::{Finding, Hash, Key, Lock, Severity, VaultId},
    store::{ObjectStore, Sidecars, StoreError, StoreErrorKind},
};

pub use crate::format::parity::Rate;
pub use check::{ParitySeen, check};
pub use heal::{Healed, damaged, heal, renewed};
pub use keep::{Kept, keep};

/// How a file of parity is called in what is told.
fn told(name: &str) -> String {
    format!(".parity/{name}")
}

/// Whether an error is about one file, or a part of it.
fn is_of_file(error: &StoreError) -> bool {
    error.is_not_found() || error.kind == StoreErrorKind::Corrupt || fetch::is_unreadable(error.kind)
}

/// What lies where the files of parity belong.
struct Files {
    /// The files and their sizes.
    all: Vec<(String, u64)>,
    /// What is no file, or hides them all.
    odd: Vec<Finding>,
    /// Whether nothing can be put there.
    closed: bool,
}

/// The files of parity. What is in the way of them keeps nothing else from being looked at.
async fn files(sidecars: &dyn Sidecars) -> Result<Files> {
    let odd = |what: &str, place: &str| Finding::new(Severity::Weak, "parity.damaged", what).on(place);
    let listed = match sidecars.list_sidecars().await {
        Err(error) if is_of_file(&error) => {
            let what = format!(
                "the files of parity can't be listed, so nothing heals from them: {error}. Look what it is, and move it away; \
                 `strongroom repair --parity 5%` makes parity anew"
            );
            return Ok(Files { all: Vec::new(), odd: vec![odd(&what, ".parity")], closed: true });
        }
        other => other?,
    };
    let mut files = Files { all: Vec::new(), odd: Vec::new(), closed: false };
    for (name, bytes) in listed.into_iter().filter(|(name, _)| name.ends_with(SUFFIX)) {
        match bytes {
            Some(bytes) => files.all.push((name, bytes)),
            None => files.odd.push(odd(
                "a directory, a pipe or a link stands where a file of parity belongs, so nothing heals from it. Look what it is, and \
                 move it away; `strongroom repair` without --from covers again what it covered",
                &told(&name),
            )),
        }
    }
    Ok(files)
}

/// A part of a file, as far as it can be read.
async fn part(sidecars: &dyn Sidecars, name: &str, range: std::ops::Range<u64>) -> Result<Option<Bytes>> {
    match sidecars.read_sidecar(name, range).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_of_file(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file whose table can be read.
struct Opened {
    table: Table,
    places: parity::Places,
    /// Whether its size is right and both tables can be read.
    whole: bool,
}

/// Opens a file by one of its two tables; nothing if neither can be read.
async fn open(sidecars: &dyn Sidecars, (name, bytes): (&str, u64), both: bool) -> Result<Option<Opened>> {
    let front = end(sidecars, (name, bytes), true).await?;
    let back = if both || front.is_none() { end(sidecars, (name, bytes), false).await? } else { None };
    let whole = front.is_some() && (!both || back.is_some());
    Ok(front.or(back).map(|(length, table)| {
        let places = table.places(length);
        let whole = whole && places.bytes == bytes;
        Opened { table, places, whole }
    }))
}

async fn end(sidecars: &dyn Sidecars, (name, bytes): (&str, u64), front: bool) -> Result<Option<(usize, Table)>> {
    let head = HEAD as u64;
    let Some(last) = bytes.checked_sub(head) else { return Ok(None) };
    let at = if front { 0..head } else { last..bytes };
    let Some(found) = part(sidecars, name, at).await? else { return Ok(None) };
    let Some((length, hash)) = parity::head(&found) else { return Ok(None) };
    let table =
        if front { Some(head..head + length as u64) } else { last.checked_sub(length as u64).map(|at| at..last) };
    let Some(table) = table else { return Ok(None) };
    let found = part(sidecars, name, table).await?;
    Ok(found.and_then(|bytes| Table::decode(&bytes, &hash).ok()).map(|table| (length, table)))
}

/// The checks of a file's blocks, from where they can be read, and whether they can be in both places.
async fn checks(sidecars: &dyn Sidecars, name: &str, opened: &Opened) -> Result<(Option<Checks>, bool)> {
    let (mut found, mut good) = (None, 0);
    for range in &opened.places.checks {
        let read = part(sidecars, name, range.clone()).await?;
        if let Some(checks) = read.and_then(|bytes| Checks::decode(&bytes, &opened.table)) {
            good += 1;
            found = Some(checks);
        }
    }
    Ok((found, good == 2))
}

/// So many blocks of a file are read at once.
const RUN: usize = 256;

/// What takes blocks of parity one after the other.
type EachBlock<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + Send + 'a;

/// Gives each block of parity to `each` with its number; nothing for one that is damaged.
async fn parity_blocks(
    sidecars: &dyn Sidecars,
    (name, opened): (&str, &Opened),
    checks: &[parity::Check],
    each: &mut EachBlock<'_>,
) -> Result<()> {
    let at = |block: usize| opened.places.parity.start + (block * parity::BLOCK) as u64;
    let mut begin = 0;
    while begin < checks.len() {
        let end = (begin + RUN).min(checks.len());
        let run = part(sidecars, name, at(begin)..at(end)).await?;
        for block in begin..end {
            // Where a run can't be read, one sector of it may be what can't.
            let alone = if run.is_none() { part(sidecars, name, at(block)..at(block + 1)).await? } else { None };
            let offset = (block - begin) * parity::BLOCK;
            let found = run.as_ref().and_then(|run| run.get(offset..offset + parity::BLOCK)).or(alone.as_deref());
            each(block, found.filter(|found| checks.get(block) == Some(&parity::check(found))))?;
        }
        begin = end;
    }
    Ok(())
}

/// What may be put under `key` of these bytes: what its name, or the descriptor itself, vouches for.
fn vouched(vault: VaultId, key: &Key, bytes: Bytes) -> Option<Copied> {
    if key.as_str() == layout::DESCRIPTOR { Copied::descriptor(vault, bytes) } else { Copied::of(key, bytes) }
}

/// The objects that have a lock and are gone, and whether that is damage: the lock is not over, or can't be read.
async fn lost(store: &dyn ObjectStore) -> Result<BTreeMap<String, bool>> {
    let (mut lost, now) = (BTreeMap::new(), store.server_time().await?);
    let mut each = |key, lock: Option<Lock>| {
        lost.insert(key, lock.is_none_or(|lock| lock.until > now));
    };
    store.list_lost(&mut each).await?;
    Ok(lost)
}

/// The bytes of an object, if they are those that `hash` is of.
async fn whole(store: &dyn ObjectStore, key: &Key, bytes: u64, hash: Option<&Hash>) -> Result<Option<Bytes>> {
    match store.get(key, None, Some(0..bytes + 1)).await {
        Ok(found) => {
            let right =
                found.len() as u64 == bytes && hash.is_none_or(|hash| crate::codec::hash::hash(&found) == *hash);
            Ok(right.then_some(found))
        }
        Err(error) if is_of_file(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
