//! Which tips reach contents that are missing, by three passes over the history however many tips there are: what is missing,
//! which commits brought or removed it, and what descends from those. Trees and commits that are missing can't be passed
//! over so; [`sick`](super::sick) finds those by trying.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::{
    Oid, Result,
    details::unhex,
    lines::{revisions, write_revisions},
    run,
};
use crate::source::SourceError;

/// So many missing objects at most are looked for: each is an argument of a command.
const MOST: usize = 1000;

/// The id of an object, in bytes.
type Id = Box<[u8]>;

/// What the passes came to.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Tips that need a missing object, and why they are not whole.
    pub gone: HashMap<Oid, String>,
    /// Tips of which nothing is missing that the passes can see.
    pub rest: Vec<Oid>,
}

/// Sorts `tips` by whether they reach contents that are missing, and not from `held`. `None` if that can't be told so.
///
/// # Errors
/// If git can't be run, or not be read from.
pub(super) fn missing_contents(
    (scratch, objects): (&Path, &Path),
    tips: &[Oid],
    held: &[Oid],
) -> Result<Option<Reached>> {
    let mut reached = Reached::default();
    write_revisions(scratch, tips, held)?;
    let git = |arguments: &[&str]| run::git(scratch, Some(objects), arguments);
    let input = || revisions(scratch);
    let walk = git(&["rev-list", "--objects", "--no-object-names", "--missing=print", "--stdin"]);
    let Some(missing) = lines(walk, input()?, |line| line.strip_prefix('?').map(str::to_owned))? else {
        return Ok(None);
    };
    if missing.is_empty() || missing.len() > MOST {
        return Ok(None);
    }
    let wanted: Vec<String> = missing.iter().map(|oid| format!("--find-object={oid}")).collect();
    let mut log = vec!["log", "--stdin", "--format=%H", "--no-patch", "--no-renames", "--diff-merges=first-parent"];
    log.extend(wanted.iter().map(String::as_str));
    let Some(touching) = lines(git(&log), input()?, id)? else { return Ok(None) };
    let order = git(&["rev-list", "--topo-order", "--reverse", "--parents", "--stdin"]);
    let Some(lacking) = descendants(order, input()?, touching.into_iter().collect())? else { return Ok(None) };
    let ask = git(&["cat-file", "--batch-check=%(objecttype) %(objectname)", "--buffer"]);
    let Some(commits) = lines(ask, peeled(scratch, tips)?, |line| Some(line.strip_prefix("commit ").and_then(id)))?
    else {
        return Ok(None);
    };
    if commits.len() != tips.len() {
        return Ok(None);
    }
    let example = missing.first().map_or("", String::as_str);
    let others = missing.len().saturating_sub(1);
    let others = if others > 0 { format!(", or others of the {others} that are missing too") } else { String::new() };
    for (tip, commit) in tips.iter().zip(commits) {
        if commit.is_some_and(|commit| lacking.contains(&commit)) {
            let why = format!("needs contents that are missing (such as {example}{others})");
            reached.gone.insert(tip.clone(), why);
        } else {
            reached.rest.push(tip.clone());
        }
    }
    Ok(Some(reached))
}

/// `some`, and every commit that `order` lists after one of them as its descendant.
fn descendants(order: Command, input: Stdio, some: HashSet<Id>) -> Result<Option<HashSet<Id>>> {
    let found = RefCell::new(some);
    let listed = lines(order, input, |line| {
        let mut ids = line.split(' ').filter_map(id);
        let commit = ids.next()?;
        let mut found = found.borrow_mut();
        if ids.any(|parent| found.contains(&parent)) {
            found.insert(commit);
        }
        None::<()>
    })?;
    Ok(listed.map(|_| found.into_inner()))
}

/// What git reads to say what each tip, or for a tag what it names, is.
fn peeled(scratch: &Path, tips: &[Oid]) -> Result<Stdio> {
    let path = scratch.join("peeled");
    let failed = |e| SourceError::at("can't write a temporary file", &path, e);
    let text: String = tips.iter().flat_map(|tip| [tip.as_str(), "^{}\n"]).collect();
    fs::write(&path, text).map_err(failed)?;
    File::open(&path).map(Stdio::from).map_err(failed)
}

fn id(hex: &str) -> Option<Id> {
    unhex(hex.as_bytes()).map(Vec::into_boxed_slice)
}

/// What `take` makes of the lines that git writes. `None` if git failed.
fn lines<T>(mut git: Command, input: Stdio, take: impl Fn(&str) -> Option<T>) -> Result<Option<Vec<T>>> {
    let failed = |e: std::io::Error| SourceError::new(format!("can't be read: {e}"), "what git lists");
    let mut running = run::start(git.stdin(input), "git")?;
    let mut taken = Vec::new();
    for line in BufReader::with_capacity(1 << 16, running.stdout()?).lines() {
        taken.extend(take(&line.map_err(failed)?));
    }
    Ok(running.finish().is_ok().then_some(taken))
}
