//! Rows counted and hashed once the dump is written: what the server does for that would only make the dump slower, and
//! whoever wants to change a table would wait for its hash as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    super::Result,
    Depth,
    exact::{ROLLBACK, SAVEPOINT},
    print::{self, Contents, Table},
    session::Session,
};
use crate::{model::TableFingerprint, vault::haste::Haste};

/// How often a session that waits says something, since networks and servers forget those that don't.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// How often it is looked whether somebody waits for the locks of the dump.
const LOOK: Duration = Duration::from_millis(250);
/// How many wait for a table to be theirs, or behind somebody who does. Without the right `PROCESS` none is seen.
const WAITING: &str =
    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'";

/// What tables hold.
pub(super) type Held = BTreeMap<Table, TableFingerprint>;
/// The same, and tables that were written to or changed meanwhile.
pub(super) type Taken = (Held, BTreeSet<Table>);

/// What the tables hold in the transaction of `seer`, asked once the dump was `written`. With a later transaction, only of
/// tables that hold the same in both; the others are told.
pub(super) fn begin(
    seer: Session,
    after: Option<Session>,
    contents: &Arc<Contents>,
    depth: Depth,
    (written, haste): (mpsc::Receiver<()>, &Haste),
) -> JoinHandle<Result<Taken>> {
    let (contents, haste) = (Arc::clone(contents), haste.clone());
    thread::spawn(move || take((seer, after), &contents, depth, (&written, &haste)))
}

fn take(
    (mut seer, mut after): (Session, Option<Session>),
    contents: &Contents,
    depth: Depth,
    (written, haste): (&mpsc::Receiver<()>, &Haste),
) -> Result<Taken> {
    // Nobody's transaction covers these, so they are asked before and after; in between they may have been written to.
    let covered = |table: &Table| !contents.unsafe_tables.contains_key(table);
    let (mut held, mut changed) = tables(&mut seer, contents, depth, |table| !covered(table))?;
    let mut said = Instant::now();
    while written.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        haste.is_waited_for(seer.value(WAITING)? != "0");
        if said.elapsed() >= SIGN_OF_LIFE {
            said = Instant::now();
            after.as_mut().map(|after| after.run("DO 0")).transpose()?;
        }
    }
    let (more, others) = tables(&mut seer, contents, depth, covered)?;
    drop(seer);
    held.extend(more);
    changed.extend(others);
    let Some(mut after) = after else { return Ok((held, changed)) };
    let (later, _) = tables(&mut after, contents, depth, |_| true)?;
    changed.extend(held.iter().filter(|(name, was)| later.get(*name) != Some(was)).map(|(name, _)| name.clone()));
    held.retain(|name, _| !changed.contains(name));
    Ok((held, changed))
}

fn tables(session: &mut Session, contents: &Contents, depth: Depth, which: impl Fn(&Table) -> bool) -> Result<Taken> {
    let (mut held, mut changed) = (Held::new(), BTreeSet::new());
    for table in contents.tables.keys().filter(|table| which(table)) {
        session.run(SAVEPOINT)?;
        match print::table_unless_changed(session, contents, (table, depth))? {
            Some(found) => drop(held.insert(table.clone(), found)),
            None => drop(changed.insert(table.clone())),
        }
        session.run(ROLLBACK)?;
    }
    Ok((held, changed))
}
