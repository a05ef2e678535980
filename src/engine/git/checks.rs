//! What is asked of a restored repository.

use std::{collections::BTreeMap, path::Path};

use super::{
    super::{Check, Restored, Status},
    Git,
};
use crate::{
    model::size,
    source::git::{
        check_lfs,
        restored::{self, complaint},
    },
};

const FSCK: &str = "fsck --full --strict";
/// What of git's exit status stands for what it said of objects, loose and packed, and of refs.
const OF_OBJECTS: i32 = 1 | 4;
const OF_REFS: i32 = 2 | 8;
const CHECKOUT: &str = "checkout of the default branch";
/// How many of a kind are named.
const NAMED: usize = 10;

/// A checkout may unfold to so many bytes, and so many more for each byte that the snapshot holds.
const BYTES: u64 = 2 << 30;
const BYTES_PER_BYTE: u64 = 32;
/// The longest name and path that file systems take.
const NAME: u64 = 255;
const PATH: u64 = 4095;

impl Git {
    /// All checks.
    pub(super) fn checks(&mut self, repository: &Path, restored: &Restored) -> Vec<Check> {
        let (fsck, complaints, held) = match restored::Restored::new(repository, &self.dir, &restored.details) {
            Ok(held) => {
                let (check, complaints) = self.fsck(repository, &held);
                (check, complaints, held)
            }
            Err(e) => return vec![Check::error("refs", e.to_string())],
        };
        let mut checks = vec![fsck];
        checks.extend(refs(&held));
        checks.extend(lfs(repository, &held));
        checks.extend(self.checkout(&held, &complaints, repository));
        if held.is_empty() {
            self.untested.push("the repository has no ref, so nothing says what should be in it".to_owned());
        }
        checks
    }

    /// What git says of all objects. How something is written is what its name says, so of that a vault is not to blame: it
    /// is told, and no fault.
    fn fsck(&self, repository: &Path, held: &restored::Restored) -> (Check, BTreeMap<String, u64>) {
        let mut complaints: BTreeMap<String, u64> = BTreeMap::new();
        let (mut faults, mut more) = (Vec::new(), 0);
        let arguments = ["fsck", "--full", "--strict", "--no-dangling", "--no-progress"];
        let ran = self.lines(repository, &arguments, |line| {
            if let Some(what) = complaint(line) {
                *complaints.entry(what.to_owned()).or_default() += 1;
            } else if line.is_empty() || line.starts_with("notice: ") || held.was_so(line) {
                // Nothing that a restore could have made.
            } else if faults.len() < NAMED {
                faults.push(line.to_owned());
            } else {
                more += 1;
            }
        });
        if more > 0 {
            faults.push(format!("and {more} lines more"));
        }
        let check = match ran {
            Err(e) => Check::error(FSCK, e.to_string()),
            Ok(ended) => {
                let quiet = faults.is_empty();
                let known = if complaints.is_empty() { 0 } else { OF_OBJECTS };
                let known = if held.is_odd() { known | OF_REFS } else { known };
                let whole = ended.success() || quiet && ended.code().is_some_and(|code| code & !known == 0);
                let status = if whole { Status::Pass } else { Status::Fail };
                let actual = match (whole, complaints.is_empty()) {
                    (true, true) => "no fault".to_owned(),
                    (true, false) => format!("no fault; committed so: {}", told(&complaints)),
                    (false, _) if quiet => "git fsck failed".to_owned(),
                    (false, _) => faults.join("\n"),
                };
                Check { name: FSCK.to_owned(), expected: Some("no fault".to_owned()), actual: Some(actual), status }
            }
        };
        (check, complaints)
    }

    /// A checkout of the default branch, unless it would unfold to what no repository of this size honestly holds.
    fn checkout(
        &mut self,
        held: &restored::Restored,
        complaints: &BTreeMap<String, u64>,
        repository: &Path,
    ) -> Option<Check> {
        let clone = self.clone();
        let Ok(commit) = self.git(&clone, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]) else {
            // A repository without a commit on its default branch has nothing to check out, and its source had neither.
            return Some(Check::done(CHECKOUT, Ok("it has no commit yet".to_owned())));
        };
        let commit = commit.trim();
        match held.shape(commit).map(|shape| too_much(shape, stored(repository), &clone)) {
            Ok(None) => {}
            Ok(Some(why)) => {
                self.untested.push(format!("{CHECKOUT}: {why}"));
                return None;
            }
            Err(e) => return Some(Check::error(CHECKOUT, e.to_string())),
        }
        let done = self
            .git(&clone, &["checkout", "--quiet", "--force", "--detach", commit])
            .and_then(|_| self.git(&clone, &["ls-files", "-z"]));
        match done {
            Err(e) if refused_by_git(&e.to_string(), complaints) => {
                self.untested.push(format!("{CHECKOUT}: git refuses what was committed there ({e})"));
                None
            }
            done => {
                let told = done.map(|files| format!("{} files of {commit}", files.matches('\0').count()));
                Some(Check::done(CHECKOUT, told))
            }
        }
    }
}

/// Names that git makes no file of, such as `.Git`, are known by what it complains of.
fn refused_by_git(said: &str, complaints: &BTreeMap<String, u64>) -> bool {
    !complaints.is_empty() && ["invalid path", "null sha1", "invalid object"].iter().any(|what| said.contains(what))
}

/// Why a checkout is not made, if it is too much.
fn too_much(shape: restored::Shape, stored: u64, to: &Path) -> Option<String> {
    let bytes = BYTES.saturating_add(stored.saturating_mul(BYTES_PER_BYTE));
    if shape.is_endless() || shape.bytes > bytes {
        return Some(format!(
            "it would unfold to {} files and directories with {}, out of {} that are stored",
            shape.files,
            size::human(shape.bytes),
            size::human(stored)
        ));
    }
    let room = PATH.saturating_sub(to.as_os_str().len() as u64 + 1);
    (shape.name > NAME || shape.path > room).then(|| {
        format!(
            "its longest name has {} bytes and its longest path {}, and no file system here takes that",
            shape.name, shape.path
        )
    })
}

/// How many bytes its packs have.
fn stored(repository: &Path) -> u64 {
    let packs = std::fs::read_dir(repository.join("objects/pack")).into_iter().flatten().flatten();
    packs.filter_map(|entry| Some(entry.metadata().ok()?.len())).fold(0, u64::saturating_add)
}

fn told(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(what, count)| format!("{what} ({count})")).collect::<Vec<_>>().join(", ")
}

/// Every ref and what it names, against what the backup told.
fn refs(held: &restored::Restored) -> Vec<Check> {
    let (expected, actual, differences) = match held.refs() {
        Ok(compared) => compared,
        Err(e) => return vec![Check::error("refs", e.to_string())],
    };
    let mut checks = vec![Check::compare("refs", format!("{expected} refs"), format!("{actual} refs"))];
    let different =
        |(name, expected, actual): restored::Difference| Check::compare(format!("ref {name}"), expected, actual);
    checks.extend(differences.into_iter().map(different));
    if let Some(gone) = held.emptied() {
        let name = "refs since the snapshot before";
        checks.push(Check::compare(name, "not all gone", format!("all {gone} are gone: an earlier snapshot has them")));
    }
    checks
}

/// Whether every LFS object is there, and is what its name says; nothing if there should be none.
fn lfs(repository: &Path, held: &restored::Restored) -> Vec<Check> {
    const NAME: &str = "LFS objects";
    const NAMED_BY_REFS: &str = "LFS objects that the refs name";
    let told = |all: usize, damaged: &[String]| match damaged {
        [] => format!("{all} whole"),
        [first, ..] => format!("{} of {all} damaged, such as {first}", damaged.len()),
    };
    let mut checks = Vec::new();
    match check_lfs(repository) {
        Ok((0, _)) => {}
        Ok((all, damaged)) => checks.push(Check::compare(NAME, told(all, &[]), told(all, &damaged))),
        Err(e) => checks.push(Check::error(NAME, e.to_string())),
    }
    match held.lacking_lfs() {
        Ok(lacking) if lacking.is_empty() => {}
        Ok(lacking) => {
            let named = lacking.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let actual = format!("{} not there: {named}", lacking.len());
            checks.push(Check::compare(NAMED_BY_REFS, "all there", actual));
        }
        Err(e) => checks.push(Check::error(NAMED_BY_REFS, e.to_string())),
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_bounded_by_what_is_stored() {
        let to = Path::new("/tmp/clone");
        let shape = |files, bytes, entries| restored::Shape { files, bytes, entries, path: 100, name: 20 };
        // A large honest one, and one of a thousand files that are the same.
        assert_eq!(too_much(shape(90_000, 6 << 30, 90_000), 1 << 30, to), None);
        assert_eq!(too_much(shape(1_000, 1 << 20, 1_000), 496, to), None);
        let bomb = too_much(shape(100_000, 0, 50), 496, to).unwrap();
        assert!(bomb.contains("100000 files"), "{bomb}");
        assert!(too_much(shape(1, 10 << 30, 1), 10 << 20, to).is_some());
        assert!(too_much(restored::Shape { name: 256, ..shape(1, 1, 1) }, 1, to).unwrap().contains("256"));
        assert!(too_much(restored::Shape { path: 4090, ..shape(1, 1, 1) }, 1, to).is_some());
    }
}
