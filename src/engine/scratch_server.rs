//! Databases on a server that somebody lends for drills: they have names of their own, and are dropped afterwards,
//! whatever happens. When the drill ends, when it is stopped from another thread, and after a kill by the next drill.
//!
//! Each run has a mark, which the names of its databases begin with, and which a session of the run shows to the whole
//! server while the run lives. A database whose mark nobody shows was left by a dead run.

use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{EngineError, Result};
use crate::{codec::hash::hash, source::child::Alive};

/// What the names of the databases begin with. In `LIKE`, the underscores must be escaped.
pub(super) const PREFIX: &str = "strongroom_drill_";
/// The same as a pattern for `LIKE`.
pub(super) const LIKE: &str = r"strongroom\_drill\_%";
/// How much of this host's name goes into a mark: names of databases have 63 bytes.
const HOST: usize = 10;
/// Hex digits of chance in a mark.
const CHANCE: usize = 12;

/// The mark of a new run, which began at `time`, such as `20261127t132203z`, and works in `dir`, which has a random name:
/// who, when, and chance.
///
/// # Errors
/// If `time` is none.
pub(super) fn mark(time: &str, dir: &Path) -> Result<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().to_ascii_lowercase();
    let mut host: String = host.chars().filter(char::is_ascii_alphanumeric).take(HOST).collect();
    if host.is_empty() {
        host.push('x');
    }
    let chance = hash(format!("{} {}", std::process::id(), dir.display()).as_bytes()).to_string();
    let chance: String = chance.chars().take(CHANCE).collect();
    let mark = format!("{PREFIX}{host}_{time}_{chance}");
    if of(&format!("{mark}_0")) == Some(&mark) {
        return Ok(mark);
    }
    Err(EngineError::new("the server sent an invalid time", time))
}

/// The mark in a database's name, if it is one that a drill gave it: somebody else's that begins alike is not touched.
pub(super) fn of(database: &str) -> Option<&str> {
    let (mark, number) = database.rsplit_once('_')?;
    let mut parts = mark.strip_prefix(PREFIX)?.split('_');
    let (host, time, chance) = (parts.next()?, parts.next()?, parts.next()?);
    let host_fits =
        (1..=HOST).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let time_fits = time.len() == 16
        && time.bytes().enumerate().all(|(at, b)| match at {
            8 => b == b't',
            15 => b == b'z',
            _ => b.is_ascii_digit(),
        });
    let chance_fits = chance.len() == CHANCE && chance.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number_fits = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (parts.next().is_none() && host_fits && time_fits && chance_fits && number_fits).then_some(mark)
}

/// What drops a database, if it is there.
type Drop = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// What a run made on the server, to be cleared away by whoever comes first: the run itself, or who stops it.
pub(super) struct Debris {
    drop: Drop,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    over: bool,
    databases: Vec<String>,
    children: Vec<Alive>,
}

impl Debris {
    /// Nothing yet; `drop` drops a database, if it is there.
    pub(super) fn new(drop: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { drop: Box::new(drop), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the database `name`. Whoever clears away waits for that, so that none is made behind its back.
    ///
    /// # Errors
    /// If it can't be made, or everything was cleared away already.
    pub(super) fn make(&self, name: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = self.state();
        if state.over {
            return Err(EngineError::new("the drill was stopped", name));
        }
        // Noted before it is there: whatever `make` says, it may have been made.
        state.databases.push(name.to_owned());
        make()
    }

    /// Notes a process that works on the databases; it ends before they are dropped.
    pub(super) fn works(&self, child: Alive) {
        let mut state = self.state();
        if state.over {
            child.stop();
        }
        state.children.push(child);
    }

    /// Ends what works on the databases and drops them. Gives those that are still there, with the reason; they are
    /// tried again by the next call.
    pub(super) fn clear(&self) -> Vec<(String, EngineError)> {
        let mut state = self.state();
        state.over = true;
        state.children.drain(..).for_each(|child| child.stop());
        let left: Vec<(String, EngineError)> = std::mem::take(&mut state.databases)
            .into_iter()
            .filter_map(|name| (self.drop)(&name).err().map(|error| (name, error)))
            .collect();
        state.databases = left.iter().map(|(name, _)| name.clone()).collect();
        for (database, error) in &left {
            tracing::warn!(%database, %error, "a scratch database could not be dropped; the next drill tries again");
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_mark_is_known_again_and_nothing_else_is_taken_for_one() {
        let mark = mark("20261127t132203z", Path::new("/tmp/a")).unwrap();
        let name = format!("{mark}_12");
        assert_eq!(of(&name), Some(mark.as_str()));
        assert!(format!("{mark}_99999").len() <= 63);
        let tail = mark.strip_prefix(PREFIX).unwrap();
        for other in [
            "orders".to_owned(),
            PREFIX.to_owned(),
            format!("{PREFIX}notes"),
            mark.clone(),
            format!("{name}_1"),
            format!("{mark}_x"),
            format!("{PREFIX}Host_{}_1", tail.split_once('_').unwrap().1),
            name.replace("t132203z", "t13220zz"),
        ] {
            assert_eq!(of(&other), None, "{other}");
        }
        assert!(super::mark("now", Path::new("/tmp/a")).is_err());
    }

    #[test]
    fn what_was_made_is_dropped_once_and_nothing_is_made_afterwards() {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&dropped);
        let debris = Debris::new(move |name: &str| {
            let mut all = noted.lock().unwrap();
            all.push(name.to_owned());
            // The second can't be dropped at first.
            if name == "b" && all.len() == 2 { Err(EngineError::new("in use", name)) } else { Ok(()) }
        });
        debris.make("a", || Ok(())).unwrap();
        debris.make("b", || Err(EngineError::new("no room", "b"))).unwrap_err();
        assert!(matches!(&debris.clear()[..], [(name, _)] if name == "b"));
        assert!(debris.clear().is_empty() && debris.clear().is_empty());
        assert_eq!(*dropped.lock().unwrap(), ["a", "b", "b"]);
        assert!(debris.make("c", || panic!("it is over")).is_err());
    }
}
