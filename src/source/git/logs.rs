//! The logs of refs, where they are asked for, those of other worktrees among them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    Oid, RefName, Result,
    details::{LogName, kept_as, log_tip},
    refs::LARGE,
    repo::{Repo, read_file},
    segments,
};
use crate::source::SourceError;

/// What the logs say.
#[derive(Default)]
pub(super) struct Logs {
    /// The lines of each, oldest first.
    pub(super) lines: BTreeMap<LogName, Vec<String>>,
    /// Where the logs of other worktrees end, by the keys of [`GitDetails::worktrees`](super::GitDetails::worktrees): a log without
    /// a ref is none to git, so these need one.
    pub(super) ends: BTreeMap<String, Oid>,
}

/// A log: its name, the key of what it is of if that is another worktree's, and its file.
type File = (LogName, Option<String>, PathBuf);

/// The logs of `HEAD` and of all refs but the stash, in all worktrees, without the lines whose object is gone.
pub(super) fn read(repo: &Repo, scratch: &Path) -> Result<Logs> {
    let linked = repo.git_dir != repo.common;
    let mut files = vec![(LogName::HEAD, None, repo.git_dir.join("logs/HEAD"))];
    let own = |name: RefName| (LogName::of(name), None);
    find(&repo.common, |name| !(linked && name.is_per_worktree()), own, &mut files)?;
    if linked {
        find(&repo.git_dir, RefName::is_per_worktree, own, &mut files)?;
    }
    for (key, git_dir) in repo.other_worktrees()? {
        files.push((LogName::of(kept_as(&key)), Some(key.clone()), git_dir.join("logs/HEAD")));
        let other = |name: RefName| {
            let key = format!("{key}/{name}");
            (LogName::of(kept_as(&key)), Some(key))
        };
        find(&git_dir, RefName::is_per_worktree, other, &mut files)?;
    }
    let mut logs = Logs::default();
    let mut keys: BTreeMap<LogName, String> = BTreeMap::new();
    for (name, key, path) in files {
        let text = read_file(&path, LARGE)?.unwrap_or_default();
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| String::from_utf8_lossy(line).replace(['\r', '\0'], " "));
        keys.extend(key.map(|key| (name.clone(), key)));
        logs.lines.insert(name, lines.collect());
    }
    let named: BTreeSet<Oid> =
        logs.lines.values().flatten().filter_map(|line| log_tip(line)).filter_map(Oid::parse).collect();
    let there = segments::existing(scratch, &repo.objects(), named.iter())?;
    let there: HashSet<&str> = there.into_iter().map(Oid::as_str).collect();
    for lines in logs.lines.values_mut() {
        lines.retain(|line| log_tip(line).is_some_and(|oid| there.contains(oid)));
    }
    logs.lines.retain(|_, lines| !lines.is_empty());
    for (name, key) in keys {
        let last = logs.lines.get(&name).and_then(|lines| lines.last());
        logs.ends.extend(last.and_then(|line| log_tip(line)).and_then(Oid::parse).map(|oid| (key, oid)));
    }
    Ok(logs)
}

/// Adds the files below `dir/logs/refs` whose names are `wanted`, but not the stash's.
fn find(
    dir: &Path,
    wanted: impl Fn(&RefName) -> bool,
    called: impl Fn(RefName) -> (LogName, Option<String>),
    files: &mut Vec<File>,
) -> Result<()> {
    let mut todo = vec![b"refs".to_vec()];
    while let Some(path) = todo.pop() {
        let at = dir.join("logs").join(OsString::from_vec(path.clone()));
        let failed = |e| SourceError::at("can't list the logs of refs", &at, e);
        let entries = match fs::read_dir(&at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = [&path[..], b"/", entry.file_name().as_bytes()].concat();
            if entry.file_type().map_err(failed)?.is_dir() {
                todo.push(name);
            } else if let Some(name) =
                RefName::parse(&name).filter(|name| name.as_bytes() != b"refs/stash" && wanted(name))
            {
                let (name, key) = called(name);
                files.push((name, key, entry.path()));
            }
        }
    }
    Ok(())
}
