//! Reading refs as git's files backend keeps them, without git: it would want to read the repository's settings.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use super::{
    Head, Oid, RefName, Result,
    details::{LogName, log_tip},
    repo::{Repo, read_file, read_small},
    segments,
    sick::{self, BROKEN, Sick},
};
use crate::source::{SourceError, read::Warnings};

/// The largest `packed-refs` and stash log that are read: about ten million refs.
const LARGE: u64 = 1 << 30;

/// All that names objects in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) refs: BTreeMap<RefName, Oid>,
    pub(super) symrefs: BTreeMap<RefName, RefName>,
    pub(super) stash: Vec<String>,
    pub(super) worktrees: BTreeMap<String, Oid>,
    /// What could not be understood.
    pub(super) sick: Sick,
}

/// What a file that holds a ref says.
enum Value {
    Oid(Oid),
    Symbolic(RefName),
}

/// How often refs are read until two readings agree.
const TRIES: usize = 10;

/// As [`read_all`], at one instant: read until two readings agree. In a repository in which refs move all the time the
/// last reading counts; each ref was as it says at some moment of it.
pub(super) fn read_settled(repo: &Repo, warnings: &mut Warnings) -> Result<Found> {
    let mut last = read_all(repo, &mut Warnings::default())?;
    for _ in 1..TRIES {
        let mut told = Warnings::default();
        let again = read_all(repo, &mut told)?;
        let agree = again == last;
        last = again;
        if agree {
            *warnings = told;
            return Ok(last);
        }
    }
    warnings.push(format!("{}: its refs moved all the time while they were read", repo.shown));
    Ok(last)
}

/// Reads `HEAD`, all refs, the stash's log and the detached `HEAD`s of other worktrees.
pub(super) fn read_all(repo: &Repo, warnings: &mut Warnings) -> Result<Found> {
    let mut refs = Found::none();
    let head = read_value(&repo.git_dir.join("HEAD"));
    // Loose refs first: git packs a ref before it removes the loose one, so none can slip through between the two.
    let linked = repo.git_dir != repo.common;
    refs.add_loose(&repo.common, |name| !(linked && name.is_per_worktree()), warnings)?;
    if linked {
        refs.add_loose(&repo.git_dir, RefName::is_per_worktree, warnings)?;
    }
    refs.add_packed(&repo.common.join("packed-refs"), warnings)?;
    refs.add_stash(repo);
    refs.add_worktrees(repo)?;
    refs.head = match head {
        Ok(Some(Value::Oid(oid))) => Head::Detached(oid),
        Ok(Some(Value::Symbolic(name))) => Head::Symbolic(name),
        Ok(None) => return Err(repo.error("has no HEAD")),
        Err(why) => {
            refs.broken("HEAD", &why);
            sick::some_head(&refs.refs)
        }
    };
    Ok(refs)
}

impl Found {
    fn none() -> Self {
        Self {
            head: Head::Symbolic(RefName::main()),
            refs: BTreeMap::new(),
            symrefs: BTreeMap::new(),
            stash: Vec::new(),
            worktrees: BTreeMap::new(),
            sick: Sick::default(),
        }
    }

    /// Notes that a ref says nothing that can be understood.
    fn broken(&mut self, name: impl Into<String>, why: &SourceError) {
        let below = why.source.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
        self.sick.add(name, BROKEN, format!("{}{below}", why.what));
    }

    /// Adds the refs in files below `dir/refs` whose names are `wanted`.
    fn add_loose(&mut self, dir: &Path, wanted: impl Fn(&RefName) -> bool, warnings: &mut Warnings) -> Result<()> {
        let mut todo = vec![b"refs".to_vec()];
        while let Some(path) = todo.pop() {
            let at = dir.join(OsString::from_vec(path.clone()));
            let failed = |e| SourceError::at("can't list refs", &at, e);
            let entries = match fs::read_dir(&at) {
                Ok(entries) => entries,
                // Git removes directories that have become empty.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                // Without any, it is no repository that could be read.
                Err(e) if path == b"refs" => return Err(failed(e)),
                Err(e) => {
                    self.broken(String::from_utf8_lossy(&path), &failed(e));
                    continue;
                }
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = [&path[..], b"/", entry.file_name().as_bytes()].concat();
                if entry.file_type().map_err(failed)?.is_dir() {
                    todo.push(name);
                    continue;
                }
                match RefName::parse(&name) {
                    Some(name) if wanted(&name) => self.add_file(name, &entry.path()),
                    Some(_) => {}
                    None if name.ends_with(b".lock") => {}
                    None => warnings
                        .push(format!("{} has no valid name for a ref; git ignores it too", entry.path().display())),
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, name: RefName, path: &Path) {
        match read_value(path) {
            Ok(Some(Value::Oid(oid))) => drop(self.refs.insert(name, oid)),
            Ok(Some(Value::Symbolic(target))) => drop(self.symrefs.insert(name, target)),
            // Packed or deleted a moment ago.
            Ok(None) => {}
            Err(why) => self.broken(name.to_string(), &why),
        }
    }

    /// Adds the packed refs that no loose ref overrides.
    fn add_packed(&mut self, path: &Path, warnings: &mut Warnings) -> Result<()> {
        let text = read_file(path, LARGE)?.unwrap_or_default();
        for line in text.split(|b| *b == b'\n') {
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
                continue;
            }
            let mut words = line.splitn(2, |b| *b == b' ');
            let oid = words.next().and_then(|w| std::str::from_utf8(w).ok()).and_then(Oid::parse);
            let (Some(oid), Some(name)) = (oid, words.next()) else {
                let line = String::from_utf8_lossy(line).chars().take(80).collect::<String>();
                let why = "is not a valid ref. Repair or delete it; `git fsck` shows more";
                self.sick.add(format!("packed-refs: {line:?}"), BROKEN, why);
                continue;
            };
            match RefName::parse(name) {
                // What a loose one says counts, also if that is nothing.
                Some(name) if self.symrefs.contains_key(&name) || self.sick.has(&name.to_string()) => {}
                Some(name) => drop(self.refs.entry(name).or_insert(oid)),
                None => {
                    warnings.push(format!("{} names no valid ref; git ignores it too", String::from_utf8_lossy(name)));
                }
            }
        }
        Ok(())
    }

    /// Adds the stash's log, which alone holds all stashes but the newest.
    fn add_stash(&mut self, repo: &Repo) {
        if !self.refs.keys().any(|name| name.as_bytes() == b"refs/stash") {
            return;
        }
        let text = match read_file(&repo.common.join("logs/refs/stash"), LARGE) {
            Ok(text) => text.unwrap_or_default(),
            Err(why) => return self.broken("the log of refs/stash", &why),
        };
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line).replace(['\r', '\0'], " ");
            if log_tip(&line).is_some() {
                self.stash.push(line);
            } else {
                self.sick.add("a line of the log of refs/stash", BROKEN, "names no commit");
            }
        }
    }

    fn add_worktrees(&mut self, repo: &Repo) -> Result<()> {
        let mut all = vec![("main".to_owned(), repo.common.clone())];
        let dir = repo.common.join("worktrees");
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(SourceError::at("can't list worktrees", &dir, e)),
            Ok(entries) => Some(entries),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(|e| SourceError::at("can't list worktrees", &dir, e))?;
            all.push((format!("worktrees/{}", entry.file_name().to_string_lossy()), entry.path()));
        }
        let own = fs::canonicalize(&repo.git_dir).ok();
        for (key, git_dir) in all {
            if fs::canonicalize(&git_dir).ok() == own {
                continue;
            }
            match read_value(&git_dir.join("HEAD")) {
                Ok(Some(Value::Oid(oid))) => drop(self.worktrees.insert(key.clone(), oid)),
                Ok(_) => {}
                Err(why) => self.broken(format!("{key}/HEAD"), &why),
            }
            let mut found = Self::none();
            found.add_loose(&git_dir, RefName::is_per_worktree, &mut Warnings::default())?;
            self.worktrees.extend(found.refs.into_iter().map(|(name, oid)| (format!("{key}/{name}"), oid)));
            self.sick.extend(&key, found.sick);
        }
        Ok(())
    }
}

/// The logs of `HEAD` and of all refs but the stash, without the lines whose object is gone.
pub(super) fn read_logs(repo: &Repo, scratch: &Path) -> Result<BTreeMap<LogName, Vec<String>>> {
    let mut logs = BTreeMap::new();
    let mut todo = vec![b"refs".to_vec()];
    let mut files = vec![(LogName::HEAD, repo.git_dir.join("logs/HEAD"))];
    while let Some(path) = todo.pop() {
        let at = repo.common.join("logs").join(OsString::from_vec(path.clone()));
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
            } else if let Some(name) = RefName::parse(&name).filter(|name| name.as_bytes() != b"refs/stash") {
                files.push((LogName::of(name), entry.path()));
            }
        }
    }
    for (name, path) in files {
        let text = read_file(&path, LARGE)?.unwrap_or_default();
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| String::from_utf8_lossy(line).replace(['\r', '\0'], " "));
        logs.insert(name, lines.collect::<Vec<_>>());
    }
    let named: BTreeSet<Oid> =
        logs.values().flatten().filter_map(|line| log_tip(line)).filter_map(Oid::parse).collect();
    let there = segments::existing(scratch, &repo.objects(), named.iter())?;
    let there: HashSet<&str> = there.into_iter().map(Oid::as_str).collect();
    for lines in logs.values_mut() {
        lines.retain(|line| log_tip(line).is_some_and(|oid| there.contains(oid)));
    }
    logs.retain(|_, lines| !lines.is_empty());
    Ok(logs)
}

/// What the ref file at `path` says; nothing if it is not there.
fn read_value(path: &Path) -> Result<Option<Value>> {
    let broken = |what: &str| {
        let what = format!("is a broken ref: {what}. Repair or delete it; `git fsck` shows more");
        SourceError::new(what, path.display().to_string())
    };
    // Very old repositories have links for symbolic refs.
    if let Ok(target) = fs::read_link(path) {
        let name = RefName::parse(target.as_os_str().as_bytes());
        return name.map(|n| Some(Value::Symbolic(n))).ok_or_else(|| broken("a link that leads elsewhere"));
    }
    let Some(text) = read_small(path)? else { return Ok(None) };
    let text = text.trim_ascii();
    if let Some(target) = text.strip_prefix(b"ref:") {
        let name = RefName::parse(target.trim_ascii());
        return name.map(|n| Some(Value::Symbolic(n))).ok_or_else(|| broken("it stands for no valid ref"));
    }
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let oid = std::str::from_utf8(word).ok().and_then(Oid::parse);
    oid.map(|oid| Some(Value::Oid(oid))).ok_or_else(|| broken("it names no object"))
}
