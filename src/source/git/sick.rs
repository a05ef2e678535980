//! What of a repository is not whole, and stops nothing else: refs that say nothing, and refs that need objects which are not
//! there. They are told, and left out of the snapshot.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    GitDetails, Head, Oid, RefName, Result,
    details::{self, log_tip},
    lines, reach,
    repo::Repo,
    run, segments, walk,
};
use crate::{
    model::{Finding, Severity},
    source::{SourceError, read::Warnings},
};

/// The code of the finding that a ref says nothing that can be understood.
pub(super) const BROKEN: &str = "git.ref.broken";
/// The code of the finding that a ref needs objects that are not there.
pub(super) const LACKING: &str = "git.ref.lacking";

/// How many are findings of their own, and how many a warning names.
const TOLD: usize = 100;
const NAMED: usize = 10;
/// So many walks at most are made to tell refs that are whole from those that are not.
const WALKS: usize = 1000;
/// And so long: of a large repository each takes seconds, and where most refs lack something nothing is found for hours.
const LONG: Duration = Duration::from_mins(2);

/// What is not whole, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sick(BTreeMap<String, Ill>);

/// What is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ill {
    code: &'static str,
    why: String,
    /// Under which key of [`GitDetails::worktrees`] the object is kept that it names.
    kept: Option<String>,
}

impl Sick {
    /// Notes that `name` is not whole, and why.
    pub(super) fn add(&mut self, name: impl Into<String>, code: &'static str, why: impl Into<String>) {
        self.0.entry(name.into()).or_insert(Ill { code, why: why.into(), kept: None });
    }

    /// The same of something whose object is kept under `key` of [`GitDetails::worktrees`].
    pub(super) fn add_kept(&mut self, name: impl Into<String>, code: &'static str, why: String, key: &str) {
        self.0.entry(name.into()).or_insert(Ill { code, why, kept: Some(key.to_owned()) });
    }

    /// Adds those of something called `of`.
    pub(super) fn extend(&mut self, of: &str, others: Self) {
        self.0.extend(others.0.into_iter().map(|(name, mut ill)| {
            ill.kept = ill.kept.map(|key| format!("{of}/{key}"));
            (format!("{of}/{name}"), ill)
        }));
    }

    /// Whether all is whole.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` is not whole.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// One of them, for an error.
    pub(super) fn first(&self) -> Option<String> {
        self.0.iter().next().map(|(name, ill)| format!("{name} {}", ill.why))
    }

    /// As findings.
    pub(super) fn findings(&self, repo: &Repo) -> Vec<Finding> {
        let told = self.0.iter().take(TOLD).map(|(name, Ill { code, why, kept })| {
            let end = match kept {
                None => "it is not in this snapshot, and all that is whole is".to_owned(),
                Some(key) => {
                    format!("what it names comes back as {}, and all that is whole as it is", details::kept_as(key))
                }
            };
            let message = format!("{}: {name} {why}; {end}", repo.shown);
            Finding::new(Severity::Error, code, message).on(name)
        });
        let more = self.0.len().saturating_sub(TOLD);
        let more = (more > 0).then(|| {
            let message = format!("{}: {more} refs more are not whole, and not in this snapshot", repo.shown);
            Finding::new(Severity::Error, LACKING, message).on(&repo.shown)
        });
        told.chain(more).collect()
    }

    /// As a warning, which the snapshot keeps.
    pub(super) fn warn(&self, repo: &Repo, warnings: &mut Warnings) {
        if self.0.is_empty() {
            return;
        }
        let told = |(name, ill): (&String, &Ill)| match &ill.kept {
            None => name.clone(),
            Some(key) => format!("{name} (what it names comes back as {})", details::kept_as(key)),
        };
        let names: Vec<String> = self.0.iter().take(NAMED).map(told).collect();
        let more = self.0.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = names.join(", ");
        warnings.push(format!("{}: not whole, and so not in this snapshot: {names}{more}", repo.shown));
    }

    /// Takes everything out of `details` that names one of `gone`.
    pub(super) fn take_out(&mut self, details: &mut GitDetails, gone: &HashMap<Oid, String>) {
        let mut out: BTreeSet<RefName> = BTreeSet::new();
        details.refs.retain(|name, oid| {
            let Some(why) = gone.get(oid) else { return true };
            self.add(name.to_string(), LACKING, why);
            out.insert(name.clone());
            false
        });
        let mut aside: HashMap<String, &String> = HashMap::new();
        details.worktrees.retain(|name, oid| {
            let why = gone.get(oid);
            aside.extend(why.map(|why| (name.clone(), why)));
            why.is_none()
        });
        for ill in self.0.values_mut() {
            if let Some(why) = ill.kept.as_ref().and_then(|key| aside.remove(key)) {
                ill.kept = None;
                ill.why = format!("{}, and {why}", ill.why);
            }
        }
        for (name, why) in aside {
            self.add(name, LACKING, why);
        }
        if let Head::Detached(oid) = &details.head
            && let Some(why) = gone.get(oid)
        {
            self.add("HEAD", LACKING, why);
            details.head = some_head(&details.refs);
        }
        let mut whole = |log: &str, line: &String| {
            let why = log_tip(line).and_then(Oid::parse).and_then(|oid| gone.get(&oid));
            if let Some(why) = why {
                self.add(format!("a line of the log of {log}"), LACKING, why);
            }
            why.is_none()
        };
        details.stash.retain(|line| whole("refs/stash", line));
        rechain(&mut details.stash, gone);
        if !details.refs.keys().any(|name| name.as_bytes() == b"refs/stash") {
            details.stash.clear();
        }
        for (name, lines) in &mut details.reflogs {
            let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
            lines.retain(|line| whole(&name, line));
            rechain(lines, gone);
        }
        details.reflogs.retain(|_, lines| !lines.is_empty());
        if let Some(since) = &mut details.since {
            since.changes.retain(|change| !out.contains(&change.name));
        }
    }
}

/// Lets no line of a log begin with what is gone: git takes such a log for broken.
fn rechain(lines: &mut [String], gone: &HashMap<Oid, String>) {
    let mut last: Option<String> = None;
    for line in lines {
        if let Some((old, rest)) = line.split_once(' ')
            && Oid::parse(old).is_some_and(|old| gone.contains_key(&old))
        {
            let begins = last.unwrap_or_else(|| "0".repeat(old.len()));
            *line = format!("{begins} {rest}");
        }
        last = log_tip(line).map(str::to_owned);
    }
}

/// Where `HEAD` stands if it says nothing itself: on the branch that is most likely meant.
pub(super) fn some_head(refs: &BTreeMap<RefName, Oid>) -> Head {
    let has = |name: &RefName| refs.contains_key(name);
    let usual = RefName::parse(b"refs/heads/master").filter(|master| has(master) && !has(&RefName::main()));
    let branch = || refs.keys().find(|name| name.as_bytes().starts_with(b"refs/heads/")).cloned();
    let main = || Some(RefName::main()).filter(has);
    Head::Symbolic(usual.or_else(main).or_else(branch).unwrap_or_else(RefName::main))
}

/// The tips of `details` that are not there at all.
pub(super) fn missing(scratch: &Path, objects: &Path, details: &GitDetails) -> Result<HashMap<Oid, String>> {
    let tips: HashSet<Oid> = details.oids().collect();
    let there = segments::existing(scratch, objects, tips.iter())?;
    let gone = tips.iter().filter(|oid| !there.contains(oid));
    Ok(gone.map(|oid| (oid.clone(), format!("names {}, which is not there", oid.as_str()))).collect())
}

/// Those of `tips` of which something is missing that can be reached, and not from `held`. Where contents are missing, that
/// can be seen in a few passes; what else is missing is found by walks over halves of the tips. What is whole is not walked
/// again.
pub(super) fn lacking(
    (scratch, objects): (&Path, &Path),
    tips: Vec<Oid>,
    held: &[Oid],
) -> Result<HashMap<Oid, String>> {
    let seen = reach::missing_contents((scratch, objects), &tips, held)?;
    let (mut gone, tips) = seen.map_or((HashMap::new(), tips), |seen| (seen.gone, seen.rest));
    let (mut whole, mut walks) = (held.to_vec(), 0);
    let (mut todo, began) = (vec![tips], Instant::now());
    while let Some(mut some) = todo.pop() {
        if some.is_empty() {
            continue;
        }
        walks += 1;
        let over = walks > WALKS || began.elapsed() > LONG && !gone.is_empty();
        let failed = if over {
            Some("was not looked at, among so many".to_owned())
        } else {
            lines::write_revisions(scratch, &some, &whole)?;
            let arguments = ["rev-list", "--objects", "--quiet", "--stdin"];
            let mut command = run::git(scratch, Some(objects), &arguments);
            let walked = run::start(command.stdin(lines::revisions(scratch)?), "git rev-list")?.finish();
            walked.err().map(|why| format!("needs objects that are missing or damaged ({})", why.what))
        };
        match failed {
            None => whole.append(&mut some),
            Some(why) if some.len() == 1 || over => {
                gone.extend(some.into_iter().map(|oid| (oid, why.clone())));
            }
            Some(_) => {
                let second = some.split_off(some.len() / 2);
                todo.extend([second, some]);
            }
        }
    }
    Ok(gone)
}

/// The error of a repository of which nothing is whole.
pub(super) fn nothing_whole(repo: &Repo, sick: &Sick) -> SourceError {
    let first = sick.first().unwrap_or_default();
    walk::incomplete(repo, &SourceError::new(first, "no ref of it is whole"))
}
