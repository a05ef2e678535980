//! The ref log: what became of each ref since the last snapshot.

use std::{collections::BTreeMap, path::Path};

use super::{
    Oid, RefName, Result,
    details::{Change, ChangeKind},
    repo::Repo,
    run,
};
use crate::source::read::Warnings;

/// How many refs a warning names.
const NAMED: usize = 10;

/// How many refs are looked up one by one; each takes a process and some milliseconds.
const LOOKED_UP: usize = 200;

/// How `new` differs from `old`. `objects` is the repository's object directory, which need not hold what is old.
pub(super) fn between(
    scratch: &Path,
    objects: &Path,
    old: &BTreeMap<RefName, Oid>,
    new: &BTreeMap<RefName, Oid>,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut looked_up = 0;
    for (name, to) in new {
        let from = old.get(name);
        let what = match from {
            None => ChangeKind::Added,
            Some(from) if from == to => continue,
            Some(_) if looked_up == LOOKED_UP => ChangeKind::Moved,
            Some(from) => {
                looked_up += 1;
                direction(scratch, objects, from, to)?
            }
        };
        changes.push(Change { name: name.clone(), what, from: from.cloned(), to: Some(to.clone()) });
    }
    for (name, from) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        changes.push(Change { name: name.clone(), what: ChangeKind::Deleted, from: Some(from.clone()), to: None });
    }
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(changes)
}

/// Warns of what is not plain growth: refs that are gone, and refs whose history was replaced.
pub(super) fn warn(repo: &Repo, changes: &[Change], warnings: &mut Warnings) {
    for (kind, what) in [
        (ChangeKind::Deleted, "refs that are gone since the last snapshot, which has them"),
        (
            ChangeKind::Rewritten,
            "refs that were rewritten (force-pushed, or reset) since the last snapshot, which has what they were",
        ),
        (
            ChangeKind::Moved,
            "refs that name something else than in the last snapshot; with so many, which way they went was not looked up",
        ),
    ] {
        let those: Vec<&Change> = changes.iter().filter(|change| change.what == kind).collect();
        if those.is_empty() {
            continue;
        }
        let names: Vec<String> = those.iter().take(NAMED).map(|change| change.name.to_string()).collect();
        let more = those.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warnings.push(format!("{}: {what}: {}{more}", repo.shown, names.join(", ")));
    }
}

fn direction(scratch: &Path, objects: &Path, from: &Oid, to: &Oid) -> Result<ChangeKind> {
    let arguments = ["merge-base", "--is-ancestor", from.as_str(), to.as_str()];
    let mut asking = run::start(&mut run::git(scratch, Some(objects), &arguments), "git merge-base")?;
    // Anything but yes: no, or what it named is gone from the source, or is no commit.
    let forward = asking.reap()?.success();
    Ok(if forward { ChangeKind::Forward } else { ChangeKind::Rewritten })
}
