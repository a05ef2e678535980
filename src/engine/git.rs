//! Git: the restored repository is checked, cloned and checked out, on no settings but ours. Nothing of it is run: a
//! clone has no hooks and no settings of the repository, so no filter or driver of its attributes is defined.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{
    Check, Engine, EngineError, Place, Restored, Result,
    jail::{Jail, Warden},
};
use crate::source::{child::Running, git::check_lfs, redact::Known};

/// The most that is read of what a git command writes.
const OUTPUT: u64 = 256 << 20;

/// A repository and its clone.
pub struct Git {
    dir: PathBuf,
    warden: Warden,
    version: String,
    repository: Option<PathBuf>,
}

impl Git {
    /// Works in `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { dir: place.dir.clone(), warden: place.warden.clone(), version: "git".to_owned(), repository: None }
    }

    fn clone(&self) -> PathBuf {
        self.dir.join("clone")
    }

    /// Runs git and gives what it writes; fails with what it said if it fails.
    fn git(&self, at: &Path, arguments: &[&str]) -> Result<String> {
        let what = format!("git {}", arguments.first().copied().unwrap_or_default());
        let reads: Vec<PathBuf> = self.repository.iter().cloned().collect();
        let mut command = Jail::new(&self.warden, &self.dir)?.tools(&reads)?.command(Path::new("git"));
        command.current_dir(at).stdout(Stdio::piped());
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            // A clone from this disk, and nothing from elsewhere: submodules and alternates name what they like.
            ("GIT_ALLOW_PROTOCOL", "file"),
        ] {
            command.env(name, value);
        }
        command.env("HOME", &self.dir).env("XDG_CONFIG_HOME", &self.dir);
        let settings = [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "safe.directory=*",
            "gc.auto=0",
            "submodule.recurse=false",
        ];
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut running = Running::start(command.args(arguments), &what, Known::default())?;
        let mut out = Vec::new();
        let read = running.stdout()?.take(OUTPUT).read_to_end(&mut out);
        read.map_err(|e| EngineError::at("can't read what git writes", at, e))?;
        running.finish()?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn repository(&self) -> Result<&Path> {
        self.repository.as_deref().ok_or_else(|| EngineError::new("the snapshot holds no repository", "git"))
    }

    /// Every ref and what it names, against what the backup told.
    fn refs(&self, restored: &Restored) -> Vec<Check> {
        let names = |value: Option<&serde_json::Value>| -> BTreeMap<String, String> {
            let entries = value.and_then(serde_json::Value::as_object).into_iter().flatten();
            entries.filter_map(|(name, oid)| Some((name.clone(), oid.as_str()?.to_owned()))).collect()
        };
        let expected = names(restored.details.get("refs"));
        let listed = self
            .repository()
            .and_then(|at| self.git(at, &["for-each-ref", "--format=%(objectname) %(refname) %(symref)"]));
        let listed = match listed {
            Ok(listed) => listed,
            Err(e) => return vec![Check::error("refs", e.to_string())],
        };
        let line = |line: &str| {
            let (oid, rest) = line.split_once(' ')?;
            let (name, symref) = rest.split_once(' ').unwrap_or((rest, ""));
            symref.is_empty().then(|| (name.to_owned(), oid.to_owned()))
        };
        let actual: BTreeMap<String, String> = listed.lines().filter_map(line).collect();
        let mut checks =
            vec![Check::compare("refs", format!("{} refs", expected.len()), format!("{} refs", actual.len()))];
        for (name, oid) in &expected {
            // A name that is not UTF-8 is told in another spelling here than there, and is counted above.
            let escaped = name.contains(['%', '\\', '\u{fffd}']);
            let now = actual.get(name).cloned().unwrap_or_else(|| "not there".to_owned());
            if now != *oid && !escaped {
                checks.push(Check::compare(format!("ref {name}"), oid.as_str(), now));
            }
        }
        checks
    }

    /// Whether every LFS object is what its name says; nothing if there is none.
    fn lfs(&self) -> Option<Check> {
        const NAME: &str = "LFS objects";
        let told = |all: usize, damaged: &[String]| match damaged {
            [] => format!("{all} whole"),
            [first, ..] => format!("{} of {all} damaged, such as {first}", damaged.len()),
        };
        match self.repository().and_then(|at| Ok(check_lfs(at)?)) {
            Ok((0, _)) => None,
            Ok((all, damaged)) => Some(Check::compare(NAME, told(all, &[]), told(all, &damaged))),
            Err(e) => Some(Check::error(NAME, e.to_string())),
        }
    }
}

impl Engine for Git {
    fn describe(&self) -> String {
        self.version.clone()
    }

    fn load(&mut self, restored: &Restored) -> Result<()> {
        self.repository.clone_from(&restored.repository);
        let jail = Jail::new(&self.warden, &self.dir)?;
        jail.give_all(&self.dir)?;
        self.repository.as_deref().map_or(Ok(()), |repository| jail.give_all(repository))?;
        self.version = self.git(&self.dir, &["version"])?.trim().replace("git version ", "git ");
        let repository = self.repository()?.to_str().map(str::to_owned);
        let repository = repository.ok_or_else(|| EngineError::new("is not UTF-8", "the scratch directory"))?;
        let clone = self.clone();
        let clone = clone.to_str().ok_or_else(|| EngineError::new("is not UTF-8", "the scratch directory"))?;
        self.git(
            &self.dir,
            &["clone", "--quiet", "--no-local", "--no-checkout", "--template=", "--", &repository, clone],
        )?;
        Ok(())
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let fsck = self
            .repository()
            .and_then(|at| self.git(at, &["fsck", "--full", "--strict", "--no-dangling", "--no-progress"]));
        let mut checks = vec![match fsck {
            Ok(_) => Check::compare("fsck --full --strict", "no fault", "no fault"),
            Err(e) => Check {
                expected: Some("no fault".to_owned()),
                status: super::Status::Fail,
                ..Check::error("fsck --full --strict", e.to_string())
            },
        }];
        checks.extend(self.refs(restored));
        checks.extend(self.lfs());
        let clone = self.clone();
        match self.git(&clone, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]) {
            Ok(commit) => {
                let checkout = self
                    .git(&clone, &["checkout", "--quiet", "--force", "--detach", commit.trim()])
                    .and_then(|_| self.git(&clone, &["ls-files", "-z"]));
                checks.push(Check::done(
                    "checkout of the default branch",
                    checkout.map(|files| format!("{} files of {}", files.matches('\0').count(), commit.trim())),
                ));
            }
            // A repository without a commit on its default branch has nothing to check out, and its source had neither.
            Err(_) => checks.push(Check::done("checkout of the default branch", Ok("it has no commit yet".to_owned()))),
        }
        checks
    }

    fn query(&mut self, _database: Option<&str>, _sql: &str) -> Result<String> {
        Err(EngineError::new("a repository knows no SQL; use a check with `command`", "git"))
    }

    fn access(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let repository = self.repository.as_deref().map(path);
        let mut access = vec![("STRONGROOM_DRILL_CHECKOUT".to_owned(), path(&self.clone()))];
        access.extend(repository.map(|path| ("STRONGROOM_DRILL_REPOSITORY".to_owned(), path)));
        access
    }

    fn not_tested(&self, _restored: &Restored) -> Vec<String> {
        vec!["submodules and what is kept outside git's objects".to_owned()]
    }
}
