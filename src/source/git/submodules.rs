//! The submodules that a repository's branches name: `.gitmodules` tells of them, and where there is none, the links in the
//! trees do.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use super::{GitDetails, ObjectFormat, Oid, Result, lines::next_line, open_own, repo::Repo, run};
use crate::source::{SourceError, deadline::stop_after};

/// So many branches are looked at, and so long: it is for a warning alone, and 200 took a run with nothing new from 0.2 to 1.2 s.
const BRANCHES: usize = 16;
const LIMIT: Duration = Duration::from_secs(2);
/// How many submodules are remembered.
const MOST: usize = 10_000;
/// What git calls a tree without entries, which it knows without having it.
const EMPTY: [&str; 2] =
    ["4b825dc642cb6eb9a060e54bf8d69288fbee4904", "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"];
/// The mode of an entry that names a commit of another repository.
const LINK: &[u8] = b"160000";

/// What the submodules are called that `head` and the tips of branches name, those of `head` first.
pub(super) fn named(repo: &Repo, scratch: &Path, details: &GitDetails, head: Option<&Oid>) -> Result<Vec<String>> {
    let mut own: BTreeSet<String> = BTreeSet::new();
    if let Some(head) = head {
        let modules = file_at(repo, scratch, head.as_str(), ".gitmodules")?.unwrap_or_default();
        own.extend(listed(repo, scratch, &modules));
    }
    let branch = |name: &[u8]| name.starts_with(b"refs/heads/") || name.starts_with(b"refs/remotes/");
    let branches = details.refs.iter().filter(|(name, _)| branch(name.as_bytes()));
    let branches = branches.map(|(name, oid)| (Some(name.to_string()), oid));
    let mut seen = HashSet::new();
    let tips: Vec<(Option<String>, &Oid)> =
        head.map(|head| (None, head)).into_iter().chain(branches).filter(|(_, oid)| seen.insert(*oid)).collect();
    let more = tips.len().saturating_sub(BRANCHES);
    let tips = tips.get(..BRANCHES).unwrap_or(&tips);
    let mut others: BTreeMap<String, String> = BTreeMap::new();
    // What git can't read here, the walk through everything will tell of.
    for (name, path) in links(repo, scratch, tips, details.format)? {
        match name {
            None => drop(own.insert(path)),
            Some(name) => drop(others.entry(path).or_insert(name)),
        }
    }
    others.retain(|path, _| !own.contains(path));
    let mut all: Vec<String> = own.into_iter().collect();
    all.extend(others.into_iter().map(|(path, name)| format!("{path} (on {name})")));
    if !all.is_empty() && more > 0 {
        all.push(format!("and those of {more} branches that were not looked at"));
    }
    Ok(all)
}

/// A file in a commit's top directory; nothing if there is none, or it is larger than a megabyte.
fn file_at(repo: &Repo, scratch: &Path, commit: &str, name: &str) -> Result<Option<Vec<u8>>> {
    let spec = format!("{commit}:{name}");
    let mut command = run::git(scratch, Some(&repo.objects()), &["cat-file", "blob", &spec]);
    let mut reading = run::start(&mut command, "git cat-file")?;
    let (mut text, limit) = (Vec::new(), 1 << 20);
    let failed = |e| SourceError::new("can't read a file of the repository", name).because(e);
    reading.stdout()?.take(limit).read_to_end(&mut text).map_err(failed)?;
    Ok(reading.reap()?.success().then_some(text))
}

/// The paths in a `.gitmodules`.
fn listed(repo: &Repo, scratch: &Path, modules: &[u8]) -> Vec<String> {
    let path = Path::new(".gitmodules");
    // Whoever made the commit may have written anything; what can't be parsed names nothing.
    let Ok(settings) = repo.parse(scratch, path, modules) else { return Vec::new() };
    let path = |key: &str| key.strip_prefix("submodule.").is_some_and(|key| key.rsplit('.').next() == Some("path"));
    let name = |(key, value): (String, String)| path(&key).then_some(value);
    settings.into_iter().filter_map(name).map(|name| name.escape_debug().to_string()).collect()
}

/// Entries of trees that are commits of other repositories: of the first tip all, of the others what the first has not.
fn links(
    repo: &Repo,
    scratch: &Path,
    tips: &[(Option<String>, &Oid)],
    format: ObjectFormat,
) -> Result<Vec<(Option<String>, String)>> {
    let failed = |e| SourceError::at("can't look for submodules with a temporary file", scratch, e);
    let file = scratch.join("trees-of-tips");
    let asked: Vec<String> = tips.iter().map(|(_, oid)| format!("{}^{{tree}}\n", oid.as_str())).collect();
    fs::write(&file, asked.concat()).map_err(failed)?;
    let objects = repo.objects();
    let arguments = ["cat-file", "--batch-check=%(objecttype) %(objectname)", "--buffer"];
    let mut command = run::git(scratch, Some(&objects), &arguments);
    let mut asking = run::start(command.stdin(Stdio::from(open_own(&file)?)), "git cat-file")?;
    let mut trees: Vec<(Option<String>, String)> = Vec::new();
    let mut seen = HashSet::new();
    for ((name, _), line) in tips.iter().zip(BufReader::new(asking.stdout()?).lines()) {
        let line = line.map_err(failed)?;
        if let Some(tree) = line.strip_prefix("tree ").filter(|tree| seen.insert((*tree).to_owned())) {
            trees.push((name.clone(), tree.to_owned()));
        }
    }
    let asked_all = asking.finish().is_ok();
    let Some((_, first)) = trees.first().filter(|_| asked_all) else { return Ok(Vec::new()) };
    let [sha1, sha256] = EMPTY;
    let empty = if format == ObjectFormat::Sha1 { sha1 } else { sha256 };
    let base = std::iter::once(empty).chain(std::iter::repeat(first.as_str()));
    let pairs: Vec<String> = base.zip(&trees).map(|(base, (_, tree))| format!("{base} {tree}\n")).collect();
    fs::write(&file, pairs.concat()).map_err(failed)?;
    let mut command = run::git(scratch, Some(&objects), &["diff-tree", "--stdin", "--raw", "-r", "--no-renames"]);
    let mut listing = run::start(command.stdin(Stdio::from(File::open(&file).map_err(failed)?)), "git diff-tree")?;
    let limit = stop_after(listing.alive(), LIMIT);
    let mut from = BufReader::with_capacity(1 << 16, listing.stdout()?);
    let (mut line, mut found, mut pair, mut next) = (Vec::new(), Vec::new(), 0, 0);
    while found.len() < MOST && next_line(&mut from, &mut line).map_err(failed)? {
        // `:old new oid oid what<TAB>path`, after a line with the two trees.
        let Some(entry) = line.strip_prefix(b":") else {
            pair = next;
            next += 1;
            continue;
        };
        let mut words = entry.splitn(2, |byte| *byte == b'\t');
        let modes = words.next().unwrap_or_default();
        if modes.split(|byte| *byte == b' ').nth(1) == Some(LINK)
            && let (Some(path), Some((name, _))) = (words.next(), trees.get(pair))
        {
            let path = String::from_utf8_lossy(path).trim_matches('"').escape_debug().to_string();
            found.push((name.clone(), path));
        }
    }
    drop(from);
    listing.wait_for_end();
    drop(limit);
    // One that was stopped, or that lacks a tree, has told what it could.
    let _ = listing.reap();
    Ok(found)
}
