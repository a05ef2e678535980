//! Reading refs as git's files backend keeps them, without git: it would want to read the repository's settings.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use super::{
    Head, Oid, RefName, Result,
    details::log_tip,
    packed::{self, Doubtful, Packed},
    repo::{Repo, read_file, read_small},
    sick::{self, BROKEN, Sick},
};
use crate::source::{SourceError, read::Warnings};

/// The largest `packed-refs` and stash log that are read: about ten million refs.
pub(super) const LARGE: u64 = 1 << 30;
/// What to do about a ref that is not as it should be.
const REPAIR: &str = "Repair or delete it; `git fsck` shows more";

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
    refs.add_loose(&repo.common, |name| !(linked && name.is_some_and(RefName::is_per_worktree)), warnings)?;
    if linked {
        refs.add_loose(&repo.git_dir, |name| name.is_none_or(RefName::is_per_worktree), warnings)?;
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
    refs.warn_of_head(repo, warnings);
    Ok(refs)
}

impl Found {
    /// Warns of a `HEAD` on a branch that is not there, though others are.
    fn warn_of_head(&self, repo: &Repo, warnings: &mut Warnings) {
        let Head::Symbolic(name) = &self.head else { return };
        let there = self.refs.contains_key(name) || self.symrefs.contains_key(name) || self.sick.has(&name.to_string());
        let branch = || self.refs.keys().find(|name| name.as_bytes().starts_with(b"refs/heads/"));
        if !there && let Some(branch) = branch() {
            warnings.push(format!(
                "{}: its HEAD stands on {name}, which does not exist, though other branches do (such as {branch}). That is right \
                 for a branch without a commit; if HEAD is damaged, mend it with `git symbolic-ref HEAD refs/heads/BRANCH`",
                repo.shown
            ));
        }
    }

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

    /// Adds the refs in files below `dir/refs` whose names are `wanted`; of none, if the name is not one of a ref.
    fn add_loose(
        &mut self,
        dir: &Path,
        wanted: impl Fn(Option<&RefName>) -> bool,
        warnings: &mut Warnings,
    ) -> Result<()> {
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
                    Some(name) if wanted(Some(&name)) => self.add_file(name, &entry.path()),
                    None if wanted(None) && !name.ends_with(b".lock") => {
                        self.add_misnamed(&name, &entry.path(), warnings);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Notes a file whose name is none of a ref. If it names an object all the same, that may be the only way to it.
    fn add_misnamed(&mut self, name: &[u8], path: &Path, warnings: &mut Warnings) {
        let Ok(Some(Value::Oid(oid))) = read_value(path) else {
            warnings.push(format!("{} has no valid name for a ref; git ignores it too", path.display()));
            return;
        };
        let plain =
            |byte: &u8| if byte.is_ascii_alphanumeric() || b"/_".contains(byte) { char::from(*byte) } else { '-' };
        let mut key = format!("misnamed/{}", name.iter().map(plain).collect::<String>());
        while self.worktrees.contains_key(&key) {
            key.push('-');
        }
        let shown = String::from_utf8_lossy(name).escape_debug().to_string();
        let why = format!("names an object and has no valid name for a ref, so git ignores it. {REPAIR}");
        self.sick.add_kept(shown, BROKEN, why, &key);
        self.worktrees.insert(key, oid);
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
        let Some(text) = read_file(path, LARGE)? else { return Ok(()) };
        if text.is_empty() {
            warnings.push(format!(
                "{} is empty, which git never leaves: refs that were in it are not in this backup",
                path.display()
            ));
        }
        let Packed { refs, doubtful, broken } = packed::parse(&text);
        for (line, why) in broken {
            self.sick.add(line, BROKEN, format!("{why}. {REPAIR}"));
        }
        // A loose ref of that name counts, and says that there is such a name.
        let known = |name: &RefName| self.refs.contains_key(name) || self.symrefs.contains_key(name);
        let doubtful: Vec<Doubtful> =
            doubtful.into_iter().filter(|doubtful| !doubtful.name.as_ref().is_some_and(known)).collect();
        for (name, oid) in refs {
            // What a loose one says counts, also if that is nothing.
            if !self.symrefs.contains_key(&name) && !self.sick.has(&name.to_string()) {
                self.refs.entry(name).or_insert(oid);
            }
        }
        for Doubtful { line, shown, oid, why, .. } in doubtful {
            let key = format!("packed-refs/refs/line-{line}");
            self.sick.add_kept(shown, BROKEN, format!("{why}. {REPAIR}"), &key);
            self.worktrees.insert(key, oid);
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
        for (key, git_dir) in repo.other_worktrees()? {
            match read_value(&git_dir.join("HEAD")) {
                Ok(Some(Value::Oid(oid))) => drop(self.worktrees.insert(key.clone(), oid)),
                Ok(_) => {}
                Err(why) => self.broken(format!("{key}/HEAD"), &why),
            }
            let mut found = Self::none();
            // What the main one shares with all was looked at before.
            let wanted = |name: Option<&RefName>| name.map_or(key != "main", RefName::is_per_worktree);
            found.add_loose(&git_dir, wanted, &mut Warnings::default())?;
            self.worktrees.extend(found.refs.into_iter().map(|(name, oid)| (format!("{key}/{name}"), oid)));
            self.worktrees.extend(found.worktrees.into_iter().map(|(name, oid)| (format!("{key}/{name}"), oid)));
            self.sick.extend(&key, found.sick);
        }
        Ok(())
    }
}

/// What the ref file at `path` says; nothing if it is not there.
fn read_value(path: &Path) -> Result<Option<Value>> {
    let broken = |what: &str| {
        let what = format!("is a broken ref: {what}. {REPAIR}");
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
