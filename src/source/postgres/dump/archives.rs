//! The archives of one database: `pg_dump` is started for each, as many at once as there are jobs, whether what was written
//! before was read or not.

use std::{
    collections::VecDeque,
    io::Read,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::{
    super::{
        super::{
            FileMeta, Incoming, Result, SourceError,
            child::Running,
            pipe::LargeSteps,
            read::{Seen, Watched},
        },
        Conninfo, Place, Stops,
        archive::{Walked, Walker},
        session::Session,
        waits::{self, Blocker, LATER},
    },
    Part,
};
use crate::vault::haste::AtWork;

/// A `pg_dump`, at work or done with it.
pub(super) struct Producer {
    pub(super) running: Running,
    pub(super) seen: Arc<Seen>,
    pub(super) walker: Arc<Mutex<Walker>>,
    pub(super) path: String,
}

/// What the archives of a database have in common.
pub(super) struct Archives {
    pub(super) place: Arc<Place>,
    /// How the tools connect.
    pub(super) info: Conninfo,
    /// What is at work for this database alone.
    pub(super) stops: Arc<Stops>,
    pub(super) database: String,
    pub(super) snapshot: String,
    pub(super) mark: String,
    pub(super) tools: Arc<Tools>,
}

/// How many are at work.
#[derive(Default)]
pub(super) struct Tools {
    state: Mutex<Count>,
    changed: Condvar,
}

#[derive(Default)]
struct Count {
    at_work: usize,
    /// No more will begin.
    all: bool,
}

impl Tools {
    fn change(&self, how: impl FnOnce(&mut Count)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait(&self, until: impl Fn(&Count) -> bool) {
        while !self.wait_for(Duration::MAX, &until) {}
    }

    fn wait_for(&self, most: Duration, until: impl Fn(&Count) -> bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, most, |state| !until(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits for as long as `most` until all have written what they had to write; false if they have not.
    pub(super) fn all_have_written(&self, most: Duration) -> bool {
        self.wait_for(most, |count| count.all && count.at_work == 0)
    }
}

/// One at work, until it has written all.
struct Writing {
    tools: Arc<Tools>,
    _haste: AtWork,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.tools.change(|count| count.at_work -= 1);
    }
}

/// No more will begin once this is dropped.
struct Last(Arc<Tools>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.change(|count| count.all = true);
    }
}

/// Archives to come, in order.
pub(super) struct Coming(mpsc::Receiver<Result<(Producer, Incoming)>>);

impl Coming {
    /// The next of them.
    pub(super) fn next(&self) -> Result<Option<(Producer, Incoming)>> {
        self.0.recv().ok().transpose()
    }
}

impl Archives {
    /// Starts what is `waiting` on a thread of its own, which ends when its result is dropped.
    pub(super) fn come(self: &Arc<Self>, waiting: VecDeque<Part>, jobs: usize) -> Result<Coming> {
        let (sender, coming) = mpsc::channel();
        let archives = Arc::clone(self);
        let last = Last(Arc::clone(&self.tools));
        let start = move || {
            let _last = last;
            for part in waiting {
                archives.tools.wait(|count| count.at_work < jobs);
                let started = archives.start(part, None).map(|(producer, stream, _)| (producer, stream));
                let failed = started.is_err();
                if sender.send(started).is_err() || failed {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("archives".to_owned()).spawn(start);
        started.map_err(|e| SourceError::new("can't start a thread", &self.database).because(e))?;
        Ok(Coming(coming))
    }

    /// Starts an archive. With `session`, which knows who waits for whom, it waits for its first byte.
    pub(super) fn start(
        &self,
        part: Part,
        session: Option<&mut Session>,
    ) -> Result<(Producer, Incoming, Option<Blocker>)> {
        let Part { name, path, arguments } = part;
        let place = &self.place;
        let mut command = Command::new(&place.dump.path);
        command.args(["-Fc", "-Z0", "-w", "--snapshot", &self.snapshot]).args(arguments);
        command.arg("-d").arg(self.info.argument(Some(&self.database)));
        self.info.equip(&mut command);
        command.env("PGAPPNAME", &self.mark);
        if session.is_none() {
            // Who wants the table for itself waits for the first archive, and would be waited for by this one for ever.
            command.arg(format!("--lock-wait-timeout={}", LATER.as_millis()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        self.tools.change(|count| count.at_work += 1);
        let writing = Writing { tools: Arc::clone(&self.tools), _haste: place.haste.begin() };
        let mut running = Running::start(&mut command, &place.dump.path.to_string_lossy(), place.info.secrets())?;
        place.watch(&self.stops, running.alive());
        let output = running.stdout()?;
        let blocker = match session {
            Some(session) => waits::first_byte(session, &self.mark, &running, &output)?,
            None => None,
        };
        let spooled = place.spool.start(LargeSteps::new(output), writing);
        let spooled = spooled.map_err(|e| SourceError::new("can't start a thread", &path).because(e))?;
        let (archive, walker) = Walked::new(spooled);
        let (reader, seen) = Watched::new(archive, &path, 0);
        let shown = (path != name.as_str()).then(|| path.clone());
        let reader: Box<dyn Read + Send> = Box::new(reader);
        let stream = Incoming { name, path: shown, meta: FileMeta::default(), expected: None, reader };
        Ok((Producer { running, seen, walker, path }, stream, blocker))
    }
}
