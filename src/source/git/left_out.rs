//! What a person should know that a backup of a repository leaves out: submodules, hooks, work that is in no commit.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    GitDetails, Head, ObjectFormat, Result, attributes,
    repo::{Repo, read_file},
    run, shape, submodules,
};
use crate::source::{SourceError, deadline::stop_after, read::Warnings};

/// How many names a warning holds.
const NAMED: usize = 10;
/// The largest index that is looked at.
const INDEX: u64 = 1 << 30;
/// How long git may look for changed files, which only a warning is for.
const LIMIT: Duration = Duration::from_mins(2);
/// What git reads rules from.
const RULES: [&str; 3] = [".gitignore", ".gitattributes", ".gitmodules"];
/// The hooks that git-lfs installs.
const OF_LFS: [&str; 4] = ["pre-push", "post-checkout", "post-commit", "post-merge"];

/// Warns of what is there and not backed up. Tells whether the repository's settings speak of LFS.
pub(super) fn warn(
    repo: &Repo,
    scratch: &Path,
    details: &GitDetails,
    settings: &[(String, String)],
    warnings: &mut Warnings,
) -> Result<bool> {
    let shown = &repo.shown;
    let head = match &details.head {
        Head::Detached(oid) => Some(oid),
        Head::Symbolic(name) => details.refs.get(name),
    };
    let mut lfs = settings.iter().any(|(key, _)| key.starts_with("lfs.") || key.starts_with("filter.lfs."));
    let own = read_file(&repo.common.join("info/attributes"), 1 << 20).ok().flatten().unwrap_or_default();
    lfs |= attributes::says_lfs(&mut own.as_slice()).unwrap_or(false);
    let modules = submodules::named(repo, scratch, details, head)?;
    if !modules.is_empty() {
        warnings.push(format!(
            "{shown}: its submodules are not in this backup: {}; back their repositories up as sources of their own",
            list(&modules)
        ));
    }
    if let Some(head) = head
        && let Some(worktree) = &repo.worktree
    {
        let shown = worktree.display();
        match uncommitted(repo, worktree, scratch, (head.as_str(), details.format), settings) {
            Ok(None | Some(0)) => {}
            Ok(Some(changed)) => warnings
                .push(format!("{shown}: {changed} files with changes that are in no commit are not in this backup")),
            Err(why) => warnings
                .push(format!("{shown}: whether files have changes that are in no commit was not looked at: {why}")),
        }
    }
    if settings.iter().any(|(key, _)| key == "lfs.storage") {
        warnings.push(format!(
            "{shown}: its LFS objects are kept elsewhere (`lfs.storage`); only those in it are backed up"
        ));
    }
    let hooks = hooks(repo);
    if !hooks.is_empty() {
        warnings.push(format!("{shown}: its hooks are not in this backup: {}", list(&hooks)));
    }
    Ok(lfs)
}

fn list(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn hooks(repo: &Repo) -> Vec<String> {
    let Ok(entries) = fs::read_dir(repo.common.join("hooks")) else { return Vec::new() };
    let runs =
        |entry: &fs::DirEntry| entry.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let own = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().ends_with(".sample") && !is_of_lfs(entry);
    let kept = entries.filter_map(|e| e.ok().filter(runs)).filter(own);
    let mut names: Vec<String> = kept.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Whether a hook is as `git lfs install` writes it, which says nothing that is worth keeping.
fn is_of_lfs(hook: &fs::DirEntry) -> bool {
    let name = hook.file_name().to_string_lossy().into_owned();
    let text = read_file(&hook.path(), 4096).ok().flatten().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(&text) else { return false };
    let calls = format!("git lfs {name} \"$@\"");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let standard = |line: &str| line == calls || line.starts_with("command -v git-lfs >/dev/null 2>&1 || {");
    OF_LFS.contains(&name.as_str()) && text.contains(&calls) && lines.all(standard)
}

/// How many files differ from the commit `head` or are in none; nothing if that can't be told. Git looks at the files
/// with a copy of the index and our settings, of which only these are the repository's that decide what a change is.
fn uncommitted(
    repo: &Repo,
    worktree: &Path,
    scratch: &Path,
    (head, format): (&str, ObjectFormat),
    settings: &[(String, String)],
) -> std::result::Result<Option<usize>, String> {
    // Git would unfold all of it.
    let objects = repo.objects();
    let shape = shape::of((scratch, Some(&objects)), &scratch.join("shape"), head, format);
    if shape.is_ok_and(|shape| shape.is_endless()) {
        return Ok(None);
    }
    let why = |e: SourceError| e.to_string();
    let Some(copy) = read_file(&repo.git_dir.join("index"), INDEX).map_err(why)? else { return Ok(None) };
    if let Some(odd) = odd_rules(worktree) {
        return Err(format!("{} is not a file, but a FIFO, socket or device, and git would open it", odd.display()));
    }
    let index = scratch.join("index-copy");
    let exclude = read_file(&repo.common.join("info/exclude"), INDEX).map_err(why)?;
    let written = fs::write(&index, copy)
        .and_then(|()| fs::write(scratch.join("HEAD"), format!("{head}\n")))
        .and_then(|()| fs::create_dir_all(scratch.join("info")))
        .and_then(|()| fs::write(scratch.join("info/exclude"), exclude.unwrap_or_default()));
    written.map_err(|e| format!("can't write temporary files: {e}"))?;
    let mut command = run::git(scratch, Some(&repo.objects()), &[]);
    for (key, value) in settings {
        if ["core.filemode", "core.autocrlf", "core.symlinks", "core.ignorecase"].contains(&key.as_str()) {
            command.args(["-c", &format!("{key}={value}")]);
        }
    }
    command.args([
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--ignore-submodules=all",
        "--untracked-files=normal",
    ]);
    command.env("GIT_WORK_TREE", worktree).env("GIT_INDEX_FILE", &index).current_dir(worktree);
    let mut running = run::start(&mut command, "git status").map_err(why)?;
    let limit = stop_after(running.alive(), LIMIT);
    let entries =
        BufReader::new(running.stdout().map_err(why)?).split(0).take_while(std::result::Result::is_ok).count();
    running.wait_for_end();
    drop(limit);
    running.finish().map_err(why)?;
    Ok(Some(entries))
}

/// A file of rules in the worktree that git would wait for: it opens these in each directory, whatever they are.
fn odd_rules(worktree: &Path) -> Option<PathBuf> {
    let mut todo = vec![worktree.to_owned()];
    while let Some(dir) = todo.pop() {
        // What can't be listed, git can't either.
        for entry in fs::read_dir(&dir).ok().into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" {
                todo.push(entry.path());
            } else if RULES.iter().any(|rules| name == *rules)
                && !kind.is_file()
                && !kind.is_dir()
                && !kind.is_symlink()
            {
                return Some(entry.path());
            }
        }
    }
    None
}
