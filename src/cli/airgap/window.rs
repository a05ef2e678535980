//! `airgap run`: connected for as long as a command runs, and cut again by whoever is left: this process, or its watchdog.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use serde::Serialize;

use super::{
    fresh_id,
    journal::{Disk, PATIENCE},
};
use crate::{
    cli::{config::airgap::AirgapConfig, program, wiring::SystemClock},
    model::{Cancel, Clock, Time},
    ops::airgap::{Event, Gate, Journal, StepReport, Through, WindowEnd, close, connect},
};

/// How often the command is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How often it is looked whether somebody tripped meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How long a watchdog may take to be there.
const READY: Duration = Duration::from_secs(20);
/// How long a command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// So often a watchdog tries to cut, and the time between.
const TRIES: usize = 5;
const AGAIN: Duration = Duration::from_secs(5);
/// What a watchdog is told when it is not needed any more.
const DONE: &str = "done";
/// What a watchdog says when it is there.
const THERE: &str = "there";

/// What became of a window.
#[derive(Debug, Serialize)]
pub struct WindowReport {
    /// Its id.
    pub id: String,
    /// Ways that were open before it was opened.
    pub was_open: Vec<String>,
    /// Ways that could not be connected, and why. Then nothing was run.
    pub unconnected: Vec<(String, String)>,
    /// How the command ended, in words; nothing where it was not run.
    pub ended: Option<String>,
    /// Whether it ended with success.
    pub succeeded: bool,
    /// Why it was stopped, if it was.
    pub stopped: Option<&'static str>,
    /// How each way was cut again.
    pub steps: Vec<StepReport>,
    /// Those of which it is not proved that nothing gets through.
    pub open: Vec<String>,
    /// How long it was open, in seconds.
    pub seconds: f64,
}

/// Why no window was opened.
#[derive(Debug)]
pub enum Refused {
    /// It is tripped since then, and approvers did not open it again.
    Tripped(Time),
    /// Somebody else has one open, or is about to.
    Busy(String),
    /// Something is wrong here.
    Failed(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Opens a window for a command, runs that, and closes it. Blocks.
///
/// # Errors
/// Why no window was opened.
pub fn run(
    config: &AirgapConfig,
    gates: &mut [Box<dyn Gate>],
    mut command: Command,
    watchdog: Command,
    cancel: &Cancel,
) -> Result<WindowReport, Refused> {
    let mut disk = Disk::new(&config.journal);
    let held = disk.hold(PATIENCE).ok_or_else(|| Refused::Busy("somebody else opens or closes it".to_owned()))?;
    let state = disk.read()?;
    if let Some((_, at)) = state.tripped {
        return Err(Refused::Tripped(at));
    }
    if let Some(window) = state.window {
        if window.until > SystemClock.now() && is_alive(window.pid) {
            return Err(Refused::Busy(format!("process {} has a window open until {}", window.pid, window.until)));
        }
        close(&window.id, "next run", gates, &mut disk);
    }
    let was_open = opened_before(gates);
    let (id, until) = (fresh_id(), SystemClock.now() + config.longest);
    let mut dog = Watchdog::start(watchdog, &id, until)?;
    disk.note(Event::Window { id: id.clone(), pid: std::process::id(), until })?;
    let begin = Instant::now();
    let (_, unconnected) = connect(gates, &mut disk);
    let mut report = WindowReport {
        id: id.clone(),
        was_open,
        unconnected,
        ended: None,
        succeeded: false,
        stopped: None,
        steps: Vec::new(),
        open: Vec::new(),
        seconds: 0.0,
    };
    drop(held);
    if report.unconnected.is_empty() {
        let deadline = begin + config.longest.as_duration();
        attend(&mut command, (deadline, cancel), (&mut disk, &mut dog), &mut report);
    }
    let held = disk.hold(PATIENCE);
    let WindowEnd { steps, open } = close(&id, "run", gates, &mut disk);
    drop(held);
    // What is still open, the watchdog tries again.
    dog.end(open.is_empty());
    (report.steps, report.open) = (steps, open);
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

/// Whether a process is there.
fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The ways that are open though no window is.
fn opened_before(gates: &mut [Box<dyn Gate>]) -> Vec<String> {
    let open = gates.iter_mut().filter_map(|gate| match gate.probe() {
        Ok(Through::Open) => Some(gate.name().to_owned()),
        _ => None,
    });
    open.collect()
}

/// Runs the command, and stops it when its time is over, somebody asks or trips, or the watchdog is gone.
fn attend(
    command: &mut Command,
    (deadline, cancel): (Instant, &Cancel),
    (disk, dog): (&mut Disk, &mut Watchdog),
    report: &mut WindowReport,
) {
    let mut child = match command.stdin(Stdio::null()).process_group(0).spawn() {
        Ok(child) => child,
        Err(error) => {
            report.ended = Some(format!("it can't be started: {error}"));
            return;
        }
    };
    let mut looked: Option<Instant> = None;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                (report.succeeded, report.ended) =
                    (status.success() && report.stopped.is_none(), Some(program::how(status)));
                return;
            }
            Ok(None) => {}
            Err(error) => {
                program::stop(&mut child);
                report.ended = Some(format!("it can't be waited for: {error}"));
                return;
            }
        }
        if looked.is_none_or(|at| at.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            if disk.read().is_ok_and(|state| state.tripped.is_some()) {
                report.stopped = Some("tripped");
            } else if !dog.lives() {
                report.stopped = Some("the watchdog is gone");
            }
        }
        if cancel.is_cancelled() {
            report.stopped = Some("interrupted");
        } else if Instant::now() >= deadline {
            report.stopped = Some("its longest time is over");
        }
        if report.stopped.is_some() {
            end(&mut child, report);
            return;
        }
        thread::sleep(POLL);
    }
}

/// Asks the command and all that it started to end, and ends them.
fn end(child: &mut Child, report: &mut WindowReport) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            report.ended = Some(program::how(status));
            break;
        }
        thread::sleep(POLL);
    }
    program::stop(child);
    report.ended.get_or_insert_with(|| "it was ended".to_owned());
}

/// The process that closes a window when nobody else does.
struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts it, and waits until it is there: nothing is opened before.
    fn start(mut command: Command, id: &str, until: Time) -> Result<Self, String> {
        command.args(["--window", id, "--until", &until.unix().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("the watchdog can't be started: {error}"))?;
        let (sender, receiver) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            thread::spawn(move || {
                let mut line = String::new();
                let _ = BufReader::new(out).read_line(&mut line);
                let _ = sender.send(line);
            });
        }
        match receiver.recv_timeout(READY) {
            Ok(line) if line.trim_end() == THERE => Ok(Self { child }),
            _ => {
                program::stop(&mut child);
                Err("the watchdog did not come up, so nothing was opened".to_owned())
            }
        }
    }

    fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it go if it is not needed any more; else it hears that this process is gone, and cuts.
    fn end(mut self, done: bool) {
        let stdin = self.child.stdin.take();
        if let (Some(mut stdin), true) = (stdin, done) {
            // One that is gone hears nothing.
            let _ = writeln!(stdin, "{DONE}");
        }
        if done {
            let deadline = Instant::now() + GRACE;
            while self.lives() && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
    }
}

/// Waits until the window's time is over or its parent is gone, and cuts then. Blocks. What is still open; nothing where it was
/// not needed.
pub fn watch(
    config: &AirgapConfig,
    gates: &mut [Box<dyn Gate>],
    (id, until): (&str, Time),
    cancel: &Cancel,
) -> Option<WindowEnd> {
    let heard = listen();
    let mut out = std::io::stdout();
    // Whoever does not hear it opens nothing.
    let _ = writeln!(out, "{THERE}").and_then(|()| out.flush());
    let left = until.since(SystemClock.now()).as_duration();
    let deadline = Instant::now() + left;
    while !cancel.is_cancelled() && Instant::now() < deadline {
        match heard.recv_timeout(POLL) {
            Ok(done) if done => return None,
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let mut disk = Disk::new(&config.journal);
    let mut end = None;
    for again in 0..TRIES {
        if again > 0 {
            thread::sleep(AGAIN);
        }
        let held = disk.hold(PATIENCE);
        let closed = close(id, "watchdog", gates, &mut disk);
        drop(held);
        let proved = closed.open.is_empty();
        end = Some(closed);
        if proved {
            break;
        }
    }
    end
}

/// Hears whether the parent is done, or gone.
fn listen() -> Receiver<bool> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut said = String::new();
        let _ = std::io::stdin().take(64).read_to_string(&mut said);
        let _ = sender.send(said.trim_end() == DONE);
    });
    receiver
}
