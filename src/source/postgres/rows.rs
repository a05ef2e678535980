//! Rows counted and hashed by the server, by several sessions at once where these are to be had.
//!
//! Sums don't mind in which order they are made, so a large table is taken in ranges of its blocks, and every session
//! takes the next of all that there are.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    sync::{Mutex, PoisonError},
    thread,
};

use super::{
    super::{Result, SourceError},
    session::Session,
    sum::{Counted, Sum, read},
    table::Table,
    unlocked::Marks,
    waits,
};
use crate::model::{TableFingerprint, sample::SAMPLED};

/// How many blocks are taken at once: 64 MiB of the usual ones.
const BLOCKS: u64 = 8192;

/// The usual bytes of a block.
const PAGE: u64 = 8192;
/// So many rows are in a block of a table at least, as far as samples are concerned: a block holds thrice as many at most.
const ROWS: u64 = 80;

/// Sessions besides the one that is there.
pub(super) struct Helpers<'a> {
    /// How many.
    pub(super) count: usize,
    /// Opens one, in a transaction with the same snapshot.
    pub(super) open: &'a (dyn Fn() -> Result<Session> + Sync),
    /// Is told why one has failed, and stops them all.
    pub(super) fail: &'a (dyn Fn(SourceError) + Sync),
}

impl Helpers<'_> {
    /// None.
    pub(super) const NONE: Self =
        Self { count: 0, open: &|| Err(SourceError::new("is not wanted", "another session")), fail: &|_| {} };
}

/// A part of a table, or all of it.
struct Piece<'a> {
    table: &'a Table,
    /// Which rows, as a condition.
    which: String,
}

/// What was counted.
pub(super) struct Tables {
    pub(super) tables: BTreeMap<String, TableFingerprint>,
    /// Those that were changed before they could be.
    pub(super) changed: Vec<String>,
}

/// Counts the rows of `tables`, and hashes them if `hashed`. If `ranges`, the server reads ranges of blocks well. With
/// `marks` nothing is locked, and each table is for as long as it is read.
pub(super) fn count(
    session: &mut Session,
    tables: &[Table],
    (hashed, ranges): (bool, bool),
    helpers: &Helpers<'_>,
    marks: Option<&Marks>,
) -> Result<Tables> {
    let pieces: VecDeque<Piece<'_>> = tables.iter().flat_map(|t| pieces(t, ranges && helpers.count > 0)).collect();
    let changed = Mutex::new(BTreeSet::new());
    // No more sessions than there is work for.
    let count = helpers.count.min(pieces.len().saturating_sub(1));
    let (pieces, sums) = (Mutex::new(pieces), Mutex::new(BTreeMap::new()));
    let work = |session: &mut Session, helps: bool| -> Result<()> {
        loop {
            let Some(piece) = lock(&pieces).pop_front() else { return Ok(()) };
            if let Some(marks) = marks {
                match marks.ask(session, piece.table, &counting(&piece, hashed))? {
                    Some(sum) => add(&sums, &piece, sum),
                    None => drop(lock(&changed).insert(piece.table.name.clone())),
                }
                continue;
            }
            let sum = match ask(session, &piece.table.name, &counting(&piece, hashed)) {
                Ok(sum) => sum,
                // Somebody wants the table for himself. The first session has its locks, and waits for nobody.
                Err(_) if helps && waits::in_vain(session) => {
                    lock(&pieces).push_front(piece);
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            add(&sums, &piece, sum);
        }
    };
    if count == 0 {
        work(session, false)?;
    } else {
        // It is told at once: what others say after they were stopped is not the reason.
        let done = |done: Result<()>| done.map_err(|error| (helpers.fail)(error)).is_ok();
        let all = thread::scope(|scope| {
            // One that isn't let in is missed by nobody but the clock.
            let help = || match (helpers.open)() {
                Ok(mut own) => done(work(&mut own, true)),
                Err(error) => {
                    tracing::debug!(%error, "a session that was to help could not be had");
                    true
                }
            };
            let hands: Vec<_> = (0..count).map(|_| scope.spawn(help)).collect();
            let own = done(work(session, false));
            // All are waited for.
            hands.into_iter().map(|hand| hand.join().unwrap_or(false)).fold(own, |all, one| all && one)
        });
        // What helpers gave back at last.
        if all {
            work(session, false)?;
        } else {
            return Err(SourceError::new("was stopped before it was finished", "the fingerprint"));
        }
    }
    let changed = std::mem::take(&mut *lock(&changed));
    let sums = lock(&sums);
    let whole = sums.iter().filter(|(name, _)| !changed.contains(*name));
    let bounds: BTreeMap<&String, u64> = tables.iter().map(|table| (&table.name, bound(table))).collect();
    let tables = whole.map(|(name, sum)| (name.clone(), sum.clone().told(bounds.get(name).copied()))).collect();
    Ok(Tables { tables, changed: changed.into_iter().collect() })
}

fn add(sums: &Mutex<BTreeMap<String, Sum>>, piece: &Piece<'_>, sum: Sum) {
    match lock(sums).entry(piece.table.name.clone()) {
        Entry::Occupied(mut all) => all.get_mut().add(sum),
        Entry::Vacant(free) => {
            free.insert(sum);
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The parts of a table, which together are all of it: the last has no end.
fn pieces(table: &Table, ranges: bool) -> Vec<Piece<'_>> {
    let count = if ranges && table.own { table.blocks.div_ceil(BLOCKS).max(1) } else { 1 };
    let piece = |at: u64| {
        let from = (at > 0).then(|| format!("x.ctid >= '({},0)'::pg_catalog.tid", at * BLOCKS));
        let to = (at + 1 < count).then(|| format!("x.ctid < '({},0)'::pg_catalog.tid", (at + 1) * BLOCKS));
        let which: Vec<String> = from.into_iter().chain(to).collect();
        let which = if which.is_empty() { String::new() } else { format!(" where {}", which.join(" and ")) };
        Piece { table, which }
    };
    (0..count).map(piece).collect()
}

/// Up to which first hash rows are asked for a sample: about twice as many as one holds, by what the server last estimated.
/// It may be wrong about the rows, and not about the blocks, of which each holds so many at most.
fn bound(table: &Table) -> u64 {
    let least = table.bytes / PAGE * ROWS;
    let rows = if table.estimate >= 1.0 { table.estimate } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate of rows")]
    let rows = (rows as u64).max(least).max(1);
    (u64::MAX / rows).saturating_mul(2 * SAMPLED as u64)
}

/// The same as the server has it, whose hashes have a sign.
fn signed(bound: u64) -> i64 {
    (bound ^ 1 << 63).cast_signed()
}

fn counting(piece: &Piece<'_>, hashed: bool) -> String {
    let Piece { table: Table { from, columns, .. }, which } = piece;
    if hashed {
        // Without `offset` the planner would put the row's text into both hashes and make it twice.
        format!(
            "select json_build_object('rows', count(*)::text, 'low', sum(a)::text, 'high', sum(b)::text, \
             'sample', json_agg(a::text) filter (where a <= {})) \
             from (select hashtextextended(r, 0) as a, hashtextextended(r, 1) as b \
             from (select row({columns})::text collate \"C\" as r from {from}{which} offset 0) s offset 0) h",
            signed(bound(piece.table))
        )
    } else {
        format!("select json_build_object('rows', count(*)::text) from {from}{which}")
    }
}

/// Runs a statement that gives `rows`, and `low` and `high` if it hashes; `name` is what is counted.
pub(super) fn ask(session: &mut Session, name: &str, sql: &str) -> Result<Sum> {
    let counted: Counted = session.one(&format!("take the fingerprint of {name}"), sql)?;
    read(&counted).ok_or_else(|| SourceError::new("its fingerprint is not understood", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_no_block_out() {
        let table = |blocks: u64, own: bool| -> Table {
            serde_json::from_value(serde_json::json!({
                "name": "t", "place": ["s", "t"], "bytes": 0, "blocks": blocks, "own": own, "from": "only t x", "columns": "",
            }))
            .unwrap()
        };
        let told = |table: &Table, ranges| pieces(table, ranges).into_iter().map(|p| p.which).collect::<Vec<_>>();
        let tid = |n: u64| format!("'({n},0)'::pg_catalog.tid");
        let (one, two) = (tid(BLOCKS), tid(2 * BLOCKS));
        let three = [
            format!(" where x.ctid < {one}"),
            format!(" where x.ctid >= {one} and x.ctid < {two}"),
            format!(" where x.ctid >= {two}"),
        ];
        assert_eq!(told(&table(2 * BLOCKS + 1, true), true), three);
        for (table, ranges) in [(table(0, true), true), (table(BLOCKS, true), true), (table(9 * BLOCKS, false), true)] {
            assert_eq!(told(&table, ranges), [""]);
        }
        assert_eq!(told(&table(9 * BLOCKS, true), false), [""]);
    }
}
