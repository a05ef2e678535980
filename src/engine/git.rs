//! Git: the restored repository is checked, cloned and checked out, on no settings but ours. Nothing of it is run: a
//! clone has no hooks and no settings of the repository, so no filter or driver of its attributes is defined.

mod checks;

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use super::{
    Check, Engine, EngineError, Place, Restored, Result,
    jail::{Jail, Warden},
};
use crate::source::{child::Running, redact::Known};

/// The most that is read of what a git command writes.
const OUTPUT: u64 = 256 << 20;
/// The most of a line that is looked at.
const LINE: u64 = 1 << 16;

/// A repository and its clone.
pub struct Git {
    dir: PathBuf,
    warden: Warden,
    version: String,
    repository: Option<PathBuf>,
    /// What could not be tested of this one.
    untested: Vec<String>,
}

impl Git {
    /// Works in `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        let (dir, warden) = (place.dir.clone(), place.warden.clone());
        Self { dir, warden, version: "git".to_owned(), repository: None, untested: Vec::new() }
    }

    fn clone(&self) -> PathBuf {
        self.dir.join("clone")
    }

    /// A git command, confined, on no settings but ours.
    fn command(&self, at: &Path, arguments: &[&str]) -> Result<Command> {
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
        command.args(arguments);
        Ok(command)
    }

    /// Runs git and gives what it writes; fails with what it said if it fails.
    fn git(&self, at: &Path, arguments: &[&str]) -> Result<String> {
        let what = format!("git {}", arguments.first().copied().unwrap_or_default());
        let mut running = Running::start(&mut self.command(at, arguments)?, &what, Known::default())?;
        let mut out = Vec::new();
        let read = running.stdout()?.take(OUTPUT).read_to_end(&mut out);
        read.map_err(|e| EngineError::at("can't read what git writes", at, e))?;
        running.finish()?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn repository(&self) -> Result<&Path> {
        self.repository.as_deref().ok_or_else(|| EngineError::new("the snapshot holds no repository", "git"))
    }

    /// Each line that git writes or says, of very long ones the beginning; and its exit status.
    fn lines(&self, at: &Path, arguments: &[&str], mut each: impl FnMut(&str)) -> Result<ExitStatus> {
        let what = format!("git {}", arguments.first().copied().unwrap_or_default());
        let mut command = self.command(at, arguments)?;
        let (mut running, said) = Running::start_together(&mut command, &what, Known::default())?;
        let mut said = BufReader::new(said);
        let (mut line, failed) = (Vec::new(), |e| EngineError::at("can't read what git says", at, e));
        while said.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(failed)? > 0 {
            each(String::from_utf8_lossy(&line).trim_end());
            if !line.ends_with(b"\n") {
                said.skip_until(b'\n').map_err(failed)?;
            }
            line.clear();
        }
        Ok(running.reap()?)
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
        match self.repository().map(Path::to_owned) {
            Ok(repository) => self.checks(&repository, restored),
            Err(e) => vec![Check::error("repository", e.to_string())],
        }
    }

    fn query(&mut self, _database: Option<&str>, _sql: &str, _limit: Duration) -> Result<String> {
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
        let always = "submodules and what is kept outside git's objects".to_owned();
        std::iter::once(always).chain(self.untested.iter().cloned()).collect()
    }
}
