//! The standard output of a command.

mod patient;

use std::{
    ffi::OsString,
    io::Read,
    process::{Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Facts, FileMeta, Incoming, Look, Reading, Result, Source, SourceError,
    child::{self, Running},
    complete::{Judge, Judged},
    look,
    read::{Seen, Watched},
    redact::Known,
    spool::{self, Spool, SpoolPlace, Writing},
};
use crate::{
    model::{Name, SourceKind},
    vault::haste::Haste,
};

/// How near its end the output must hold the trailer, in bytes.
const TRAILER_WITHIN: usize = 4 << 10;

/// What is asked of a command besides a good exit status. It has no `Debug`: variables may hold secrets.
#[derive(Default, Clone)]
pub struct CommandOptions {
    /// After this time the command is stopped and the backup fails.
    pub timeout: Option<Duration>,
    /// Less output than this many bytes is a failure.
    pub min_bytes: Option<u64>,
    /// What the last 4 KiB of the output must hold, such as `-- Dump completed`.
    pub trailer: Option<Vec<u8>>,
    /// Variables to set besides the inherited ones.
    pub env: Vec<(OsString, OsString)>,
    /// The name of the stream; `stdout` if none is given.
    pub stream: Option<Name>,
}

/// A command, run without a shell, whose standard output is the one stream and whose exit status decides.
///
/// Its standard input is empty. It inherits the environment without strongroom's own variables, which may hold an
/// identity. Reading goes on until the output is closed, so something that the command left running with its output in
/// hand keeps the backup waiting, until the timeout if there is one. Dropped, it stops with all that it started, except
/// what left its process group; that is waited for no longer than the timeout.
pub struct CommandSource {
    argv: Vec<OsString>,
    options: CommandOptions,
    spool: Option<SpoolPlace>,
}

impl CommandSource {
    /// The command `argv`, whose first element is the program.
    #[must_use]
    pub fn new(argv: Vec<OsString>, options: CommandOptions) -> Self {
        Self { argv, options, spool: None }
    }

    /// With a spool on a disk between the command and whoever reads this.
    #[must_use]
    pub fn spooling(mut self, place: Option<SpoolPlace>) -> Self {
        self.spool = place;
        self
    }
}

impl Source for CommandSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Command
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(SourceError::new("no command was given", "command"));
        };
        let shown = program.to_string_lossy().into_owned();
        let name = match &self.options.stream {
            Some(name) => name.clone(),
            None => "stdout".parse().map_err(|e| SourceError::new(format!("{e}"), &shown))?,
        };
        let mut known = Known::default();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        for argument in arguments {
            known.add_argument(argument);
        }
        for (key, value) in std::env::vars_os() {
            known.add_variable(&key, &value);
        }
        for (key, value) in &self.options.env {
            command.env(key, value);
            known.add_variable(key, value);
        }
        let mut running = Running::start(&mut command, &shown, known)?;
        let kept = self.options.trailer.as_ref().map_or(0, |t| t.len().max(TRAILER_WITHIN));
        let output = running.stream()?;
        let output: Box<dyn Read + Send> = match self.options.timeout {
            Some(after) => Box::new(patient::Patient::new(output, after)),
            None => Box::new(output),
        };
        let (output, spooled) = match &self.spool {
            Some(place) => Spooling::begin(output, place, &shown).map(|(output, spooling)| (output, Some(spooling)))?,
            None => (output, None),
        };
        let (reader, seen) = Watched::new(output, &shown, kept);
        let (reader, judge) = Judged::new(reader);
        let watchdog = self.options.timeout.map(|t| Watchdog::start(&running, t));
        let stream = Incoming { name, path: None, meta: FileMeta::default(), expected: None, reader: Box::new(reader) };
        let options = self.options.clone();
        let stream = Some(stream);
        Ok(Box::new(CommandReading { watchdog, running, program: shown, options, stream, seen, judge, spooled }))
    }

    fn look(&mut self) -> Look {
        let mut look = Look::default();
        let program = self.argv.first().ok_or_else(|| SourceError::new("no command was given", "command"));
        if let Some(path) = look.step("programs", program.and_then(|program| look::program(program.as_ref()))) {
            // What it does is its own, so it is not run for a look.
            look.good("programs", format!("{} is there; it was not run", path.display()));
        }
        look
    }
}

/// The watchdog stands first: it must be gone before the child is reaped, or it might stop a stranger.
struct CommandReading {
    watchdog: Option<Watchdog>,
    running: Running,
    program: String,
    options: CommandOptions,
    stream: Option<Incoming>,
    seen: Arc<Seen>,
    judge: Arc<Judge>,
    spooled: Option<Spooling>,
}

/// What waits on a disk for its reader, where that was asked for.
struct Spooling {
    spool: Spool,
    haste: Haste,
    took: Arc<OnceLock<Duration>>,
}

impl Spooling {
    fn begin(output: Box<dyn Read + Send>, place: &SpoolPlace, program: &str) -> Result<(Box<dyn Read + Send>, Self)> {
        let haste = spool::haste();
        let spool = Spool::new(Some(place), 1, &haste);
        let (writing, _, took) = Writing::since(Instant::now(), haste.begin());
        let failed = |e| SourceError::new("can't start a thread", program).because(e);
        let output = spool.start(output, writing).map_err(failed)?;
        Ok((Box::new(output), Self { spool, haste, took }))
    }
}

impl Reading for CommandReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        Ok(self.stream.take())
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let alive = self.running.alive();
        Some(Box::new(move || alive.stop()))
    }

    fn haste(&self) -> Option<Haste> {
        self.spooled.as_ref().map(|spooled| spooled.haste.clone())
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let Self { watchdog, running, program, options, seen, judge, spooled, .. } = *self;
        seen.must_have_ended(&program)?;
        running.wait_for_end();
        if watchdog.is_some_and(Watchdog::fired) {
            let limit = options.timeout.unwrap_or_default().as_secs_f64();
            return Err(SourceError::new(format!("was stopped: it had not ended after {limit} s"), program));
        }
        let heard = running.finish_heard()?;
        if let Some(min) = options.min_bytes.filter(|min| seen.bytes() < *min) {
            let what = format!("wrote {} bytes only; at least {min} were asked for", seen.bytes());
            return Err(SourceError::new(what, program));
        }
        judge.must_be_complete(&program)?;
        match &options.trailer {
            Some(trailer) if !holds(&seen.tail(), trailer) => {
                let trailer = String::from_utf8_lossy(trailer);
                Err(SourceError::new(format!("its output does not end with {trailer:?}: it is cut short"), program))
            }
            _ => {
                let mut warnings: Vec<String> = child::warning(&program, &heard).into_iter().collect();
                warnings.extend(spooled.as_ref().and_then(|spooled| spooled.spool.told()));
                let held = spooled.and_then(|spooled| spooled.took.get().copied());
                Ok(Facts { warnings, held, ..Facts::default() })
            }
        }
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|w| w == part)
}

/// A thread that stops a process group when its time is up.
struct Watchdog {
    /// Dropping it calls the thread off.
    off: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    fired: Arc<AtomicBool>,
}

impl Watchdog {
    fn start(running: &Running, after: Duration) -> Self {
        let group = running.group();
        let (off, called_off) = mpsc::channel();
        let fired = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&fired);
        let thread = thread::spawn(move || {
            if called_off.recv_timeout(after) == Err(mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::Release);
                child::stop(group);
            }
        });
        Self { off: Some(off), thread: Some(thread), fired }
    }

    /// Calls it off, and tells whether it was too late for that.
    fn fired(mut self) -> bool {
        self.call_off();
        self.fired.load(Ordering::Acquire)
    }

    fn call_off(&mut self) {
        self.off.take();
        if let Some(thread) = self.thread.take() {
            // The thread can't panic, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.call_off();
    }
}

#[cfg(test)]
mod tests;
