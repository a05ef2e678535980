//! A running child process that can't be forgotten: it is stopped with all it started, and reaped, when it is dropped.

use std::{
    ffi::{OsStr, OsString},
    io::{PipeReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::{Result, SourceError, pipe::LargeSteps, read::push_tail, redact::Known};

/// How much of its standard error is kept for the message.
const STDERR_KEPT: usize = 8 << 10;

/// The standard output of a child, read in large steps.
pub(crate) type Stream = LargeSteps<ChildStdout>;

/// A child in a process group of its own, whose standard error is read to the end so that it never blocks on it.
///
/// A group of its own means that Ctrl-C at a terminal reaches strongroom alone, which then stops the child, and that a
/// child which asks for a password on the terminal is stopped by the kernel: give passwords in files or variables.
pub(crate) struct Running {
    child: Child,
    program: String,
    known: Known,
    stderr: Arc<Mutex<Vec<u8>>>,
    drained: mpsc::Receiver<()>,
    /// Its process group until it is reaped; afterwards the number may be somebody else's.
    alive: Alive,
}

/// A process group that can be stopped from another thread while it lasts.
#[derive(Clone)]
pub(crate) struct Alive(Arc<Mutex<Option<Pid>>>);

/// All that run. Threads that are left behind at the end of the process can't stop theirs.
static RUNNING: Mutex<Vec<Alive>> = Mutex::new(Vec::new());

/// Stops every child that runs.
pub(crate) fn stop_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    running.iter().for_each(Alive::stop);
}

impl Alive {
    fn of(child: &Child) -> Self {
        let alive = Self(Arc::new(Mutex::new(Some(Pid::from_child(child)))));
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(alive.clone());
        alive
    }

    /// Stops the group, unless its leader was reaped.
    pub(crate) fn stop(&self) {
        if let Some(group) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            stop(group);
        }
    }

    fn over(&self) -> bool {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(&other.0, &self.0));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_none()
    }
}

impl Running {
    /// Starts `command`, which `program` names in errors; `known` are secrets that no message may show.
    pub(crate) fn start(command: &mut Command, program: &str, known: Known) -> Result<Self> {
        without_ours(command);
        command.process_group(0).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| cannot_start(program, e))?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (done, drained) = mpsc::channel();
        if let Some(mut pipe) = child.stderr.take() {
            let tail = Arc::clone(&stderr);
            thread::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(n) = pipe.read(&mut buf) {
                    if n == 0 {
                        break;
                    }
                    let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                    push_tail(&mut tail, buf.get(..n).unwrap_or_default(), STDERR_KEPT);
                }
                drop(done);
            });
        }
        let alive = Alive::of(&child);
        Ok(Self { child, program: program.to_owned(), known, stderr, drained, alive })
    }

    /// Starts it with one pipe for its standard output and error, for what has to be read whole.
    pub(crate) fn start_together(command: &mut Command, program: &str, known: Known) -> Result<(Self, PipeReader)> {
        let failed = |e| SourceError::new("can't make a pipe", program).because(e);
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        without_ours(command);
        command.process_group(0).stderr(writer.try_clone().map_err(failed)?).stdout(writer);
        let child = command.spawn().map_err(|e| cannot_start(program, e));
        // The pipe ends with the child, and not with the command.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child?;
        let alive = Alive::of(&child);
        let (_, drained) = mpsc::channel();
        Ok((Self { child, program: program.to_owned(), known, stderr: Arc::default(), drained, alive }, reader))
    }

    /// Its standard output, once.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().ok_or_else(|| SourceError::new("has no standard output to read", &self.program))
    }

    /// Its standard output, once, where it is long and nobody waits for each part of it.
    pub(crate) fn stream(&mut self) -> Result<Stream> {
        self.stdout().map(LargeSteps::new)
    }

    /// Its standard input, once.
    pub(crate) fn stdin(&mut self) -> Result<ChildStdin> {
        self.child.stdin.take().ok_or_else(|| SourceError::new("has no standard input to write to", &self.program))
    }

    /// Its process group.
    pub(crate) fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What stops it from another thread.
    pub(crate) fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(rustix::process::waitid(WaitId::Pid(self.group()), options), Ok(Some(_)))
    }

    /// Waits until it has ended, without reaping it: its process id stays its own until [`Self::finish`].
    pub(crate) fn wait_for_end(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(rustix::process::waitid(WaitId::Pid(self.group()), options), Err(rustix::io::Errno::INTR)) {}
    }

    /// Waits for its end and fails unless it succeeded.
    pub(crate) fn finish(self) -> Result<()> {
        self.finish_heard().map(drop)
    }

    /// The same; tells what it said on its standard error at last though it succeeded.
    pub(crate) fn finish_heard(mut self) -> Result<String> {
        let status = self.reap()?;
        if status.success() {
            return Ok(self.heard());
        }
        Err(SourceError::new(format!("{}{}", ended(status), self.said()), &self.program))
    }

    /// Waits for its end and tells how it ended.
    pub(crate) fn reap(&mut self) -> Result<ExitStatus> {
        self.child.stdin.take();
        self.wait_for_end();
        self.alive.over();
        self.child.wait().map_err(|e| SourceError::new("its exit status is unknown", &self.program).because(e))
    }

    /// What it said on its standard error at last, for a message, without secrets. Empty if nothing.
    pub(crate) fn said(&self) -> String {
        let text = self.heard();
        if text.is_empty() { text } else { format!("; it said: {text}") }
    }

    /// The same as it stands.
    pub(crate) fn heard(&self) -> String {
        // Something that it left behind may hold the pipe open for ever, so there is a limit to the waiting.
        let _ = self.drained.recv_timeout(Duration::from_secs(2));
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8_lossy(&tail);
        // What was cut at its beginning may be the end of a secret that nothing would recognise any more.
        let whole = match text.split_once('\n') {
            _ if tail.len() < STDERR_KEPT => &*text,
            Some((_, whole)) => whole,
            None if self.known.has_words() => "",
            None => text.split_once(char::is_whitespace).map_or("", |t| t.1),
        };
        let shown: String = whole.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        self.known.redact(shown.trim())
    }
}

/// Keeps what opens and reaches the vault from a child: identities, and the credentials of the bucket. What the child was
/// given on purpose stays.
pub(crate) fn without_ours(command: &mut Command) {
    let given: Vec<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os() {
        if is_ours(&name) && !given.contains(&name) {
            command.env_remove(name);
        }
    }
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"STRONGROOM_") || name.starts_with(b"AWS_")
}

impl Drop for Running {
    fn drop(&mut self) {
        self.alive.stop();
        if !self.alive.over() {
            let _ = self.child.wait();
        }
    }
}

/// A warning of what a program said on its standard error though it succeeded. On one line, since it is shown among others.
pub(crate) fn warning(program: &str, heard: &str) -> Option<String> {
    const MOST: usize = 2000;
    let lines: Vec<&str> = heard.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = lines.join("\\n");
    // The end tells more than the beginning.
    let cut = said.char_indices().rev().nth(MOST).map_or(0, |(at, _)| at);
    let (begin, said) = if cut > 0 { ("…", said.get(cut..).unwrap_or_default()) } else { ("", said.as_str()) };
    // Characters that turn the direction of a line, or are seen as none, are shown by their number.
    let plain = |c: char| -> String {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                format!("\\u{{{:x}}}", u32::from(c))
            }
            c if c.is_control() => format!("\\u{{{:x}}}", u32::from(c)),
            c => c.to_string(),
        }
    };
    let said: String = said.chars().map(plain).collect();
    (!said.is_empty()).then(|| format!("{program} succeeded; it said: {begin}{said}"))
}

/// Stops a process group at once. Only for a group whose leader was not reaped yet.
pub(crate) fn stop(group: Pid) {
    // It fails only if all of it has ended already.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
}

/// How it ended, after "it".
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(9)) => "was killed by signal 9 (often for want of memory)".to_owned(),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    }
}

fn cannot_start(program: &str, e: std::io::Error) -> SourceError {
    let what = match e.kind() {
        std::io::ErrorKind::NotFound if program.contains('/') => "does not exist, or its interpreter does not",
        std::io::ErrorKind::NotFound => {
            "was not found in PATH; install it, or give its full path (cron's PATH is short)"
        }
        std::io::ErrorKind::PermissionDenied => "may not be run; look at its permissions",
        _ => "could not be started",
    };
    SourceError::new(what, program).because(e)
}
