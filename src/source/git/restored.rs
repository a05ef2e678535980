//! What a drill holds against a restored repository: what its snapshot tells of refs, what LFS keeps apart, and how much a
//! checkout would unfold to.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use super::{ChangeKind, GitDetails, Head, Oid, RefName, Result, SourceError, lfs, run, shape};

pub(crate) use super::shape::Shape;

/// A restored repository, and what its snapshot tells of it.
pub(crate) struct Restored {
    dir: PathBuf,
    scratch: PathBuf,
    details: GitDetails,
}

/// A ref that does not name what it should: its name, what it should be, what it is.
pub(crate) type Difference = (String, String, String);

impl Restored {
    /// The repository in `dir` that `details` tell of; `scratch` is a directory to work in.
    pub(crate) fn new(dir: &Path, scratch: &Path, details: &serde_json::Value) -> Result<Self> {
        let details = serde::Deserialize::deserialize(details)
            .map_err(|e| SourceError::new(format!("the snapshot does not record a git repository: {e}"), "details"))?;
        Ok(Self { dir: dir.to_owned(), scratch: scratch.to_owned(), details })
    }

    /// How many refs there should be, how many there are, and those that are not as they should be.
    pub(crate) fn refs(&self) -> Result<(usize, usize, Vec<Difference>)> {
        let mut command = run::git(&self.dir, None, &["for-each-ref", "--format=%(objectname) %(refname) %(symref)"]);
        let mut listing = run::start(&mut command, "git for-each-ref")?;
        let mut out = Vec::new();
        let failed = |e| SourceError::at("can't list the refs of", &self.dir, e);
        listing.stdout()?.read_to_end(&mut out).map_err(failed)?;
        listing.finish()?;
        let line = |line: &[u8]| {
            let mut words = line.split(|b| *b == b' ');
            let oid = words.next().and_then(|w| std::str::from_utf8(w).ok()).and_then(Oid::parse)?;
            let name = words.next().and_then(RefName::parse)?;
            words.next().is_none_or(<[u8]>::is_empty).then_some((name, oid))
        };
        let there: BTreeMap<RefName, Oid> = out.split(|b| *b == b'\n').filter_map(line).collect();
        let (mut differences, named) = (Vec::new(), self.details.named());
        for (name, oid) in &named {
            let now = there.get(name).map_or("not there", Oid::as_str);
            if now != oid.as_str() {
                differences.push((name.to_string(), oid.as_str().to_owned(), now.to_owned()));
            }
        }
        Ok((named.len(), there.len(), differences))
    }

    /// How many refs are gone with this snapshot, if it has none any more.
    pub(crate) fn emptied(&self) -> Option<usize> {
        let gone = self.details.since.iter().flat_map(|since| &since.changes);
        let gone = gone.filter(|change| change.what == ChangeKind::Deleted).count();
        (self.details.refs.is_empty() && gone > 0).then_some(gone)
    }

    /// Whether it has no ref at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.details.refs.is_empty()
    }

    /// LFS objects that the trees of its refs name and it lacks.
    pub(crate) fn lacking_lfs(&self) -> Result<Vec<String>> {
        lfs::lacking(&self.dir, self.details.format, &self.scratch)
    }

    /// What a checkout of `commit` unfolds to.
    pub(crate) fn shape(&self, commit: &str) -> Result<Shape> {
        shape::of((&self.dir, None), &self.scratch.join("shape"), commit, self.details.format)
    }

    /// Whether it has something that `git fsck` fails for: see [`was_so`](Self::was_so).
    pub(crate) fn is_odd(&self) -> bool {
        let dangles = self.details.symrefs.values().any(|to| !self.details.refs.contains_key(to));
        dangles || matches!(&self.details.head, Head::Symbolic(name) if !name.as_bytes().starts_with(b"refs/heads/"))
    }

    /// Whether a fault that `git fsck` tells was in the repository that was backed up: a ref that stands for one that is not
    /// there, `HEAD` on a ref that is no branch.
    pub(crate) fn was_so(&self, fault: &str) -> bool {
        let dangles = |name: &str| {
            let symref = RefName::parse(name.as_bytes()).and_then(|name| self.details.symrefs.get(&name));
            symref.is_some_and(|to| !self.details.refs.contains_key(to))
        };
        if let Some((name, _)) =
            fault.strip_prefix("error: ").and_then(|rest| rest.split_once(": invalid sha1 pointer 000000"))
        {
            return dangles(name);
        }
        let strange = fault.strip_prefix("error: HEAD points to something strange (").and_then(|r| r.strip_suffix(')'));
        matches!((&self.details.head, strange), (Head::Symbolic(name), Some(told)) if name.to_string() == told)
    }
}

/// What a line of `git fsck` complains of, if it is about how something was written that is what its name says. Such a
/// thing came out of the repository as it went in.
pub(crate) fn complaint(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("error in ").or_else(|| line.strip_prefix("warning in "))?;
    let mut words = rest.splitn(4, ' ');
    let known = ["blob", "tree", "commit", "tag"].contains(&words.next()?);
    let oid = words.next()?.strip_suffix(':')?;
    let what = words.next()?.strip_suffix(':')?;
    let named = !what.is_empty() && what.bytes().all(|b| b.is_ascii_alphanumeric());
    (known && named && Oid::parse(oid).is_some()).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_faults() {
        let oid = "a1".repeat(20);
        let line = |text: &str| text.replace("OID", &oid);
        for (text, what) in [
            ("warning in tree OID: zeroPaddedFilemode: contains zero-padded file modes", Some("zeroPaddedFilemode")),
            ("error in commit OID: missingEmail: invalid author/committer line - missing email", Some("missingEmail")),
            ("error in tree OID: no such thing", None),
            ("missing blob OID", None),
            ("broken link from    tree OID", None),
            ("error: OID: object corrupt or missing: objects/a1/a1", None),
            ("error in blob zzz: missingEmail: x", None),
            ("error: packed OID from p.pack is corrupt", None),
        ] {
            assert_eq!(complaint(&line(text)), what, "{text}");
        }
    }

    #[test]
    fn only_faults_that_were_backed_up_are_known() {
        let details = serde_json::json!({
            "format": "sha1", "head": {"symbolic": "refs/pull/1/head"}, "refs": {"refs/heads/a": "a1".repeat(20)},
            "symrefs": {"refs/remotes/origin/HEAD": "refs/remotes/origin/master", "refs/heads/b": "refs/heads/a"},
        });
        let restored = Restored::new(Path::new("/x"), Path::new("/y"), &details).unwrap();
        let zeros = "0".repeat(40);
        assert!(restored.was_so(&format!("error: refs/remotes/origin/HEAD: invalid sha1 pointer {zeros}")));
        assert!(restored.was_so("error: HEAD points to something strange (refs/pull/1/head)"));
        for other in [
            format!("error: refs/heads/b: invalid sha1 pointer {zeros}"),
            format!("error: refs/heads/a: invalid sha1 pointer {zeros}"),
            "error: HEAD points to something strange (refs/pull/2/head)".to_owned(),
            "error: refs/heads/a: not a commit".to_owned(),
        ] {
            assert!(!restored.was_so(&other), "{other}");
        }
    }
}
