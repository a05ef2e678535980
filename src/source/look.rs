//! What a look at a source finds: whether a backup could read it now, and what it would leave out. Nothing is stored, and
//! no more is read than tells that.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::{Members, Result, SourceError};

/// How one thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A backup finds it as it must be.
    Good,
    /// A backup would fail.
    Bad,
    /// A backup would have all but this.
    Lacking,
    /// It can't be told before a backup.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What of the source: `programs`, `reach`, `rights`, `tables`, `contents` or `scratch`.
    pub part: &'static str,
    /// How it was found.
    pub state: State,
    /// What there is, or what is wrong and what to do.
    pub told: String,
}

/// What a look found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// What was looked at, in order.
    pub points: Vec<Point>,
    /// What a backup would warn of, such as what it would leave out.
    pub warnings: Vec<String>,
    /// What it consists of, where it was told to take whatever is there.
    pub members: Option<Members>,
}

impl Look {
    /// Something is as it must be.
    pub fn good(&mut self, part: &'static str, told: impl Into<String>) {
        self.points.push(Point { part, state: State::Good, told: told.into() });
    }

    /// Something would make a backup fail.
    pub fn bad(&mut self, part: &'static str, told: impl Into<String>) {
        self.points.push(Point { part, state: State::Bad, told: told.into() });
    }

    /// Something would not be in a backup that has all else.
    pub fn lacking(&mut self, part: &'static str, told: impl Into<String>) {
        self.points.push(Point { part, state: State::Lacking, told: told.into() });
    }

    /// Something can't be told.
    pub fn unknown(&mut self, part: &'static str, told: impl Into<String>) {
        self.points.push(Point { part, state: State::Unknown, told: told.into() });
    }

    /// What came of a step that a backup takes too; nothing, and a bad point, if it failed.
    pub fn step<T>(&mut self, part: &'static str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.bad(part, error.to_string())).ok()
    }
}

/// Where the program `name` is: as it is if it is a path, else in `PATH`.
pub(super) fn program(name: &Path) -> Result<PathBuf> {
    let runs = |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    let shown = name.display().to_string();
    if name.components().count() > 1 {
        return match fs::metadata(name) {
            Ok(_) if runs(name) => Ok(name.to_owned()),
            Ok(_) => Err(SourceError::new("may not be run; look at its permissions", shown)),
            Err(e) => Err(SourceError::new("is not there", shown).because(e)),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(name)).find(|path| runs(path)).ok_or_else(|| {
        SourceError::new("was not found in PATH; install it, or give its full path (cron's PATH is short)", shown)
    })
}

/// The first of `all`, and how many more there are.
pub(super) fn some_of(all: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
