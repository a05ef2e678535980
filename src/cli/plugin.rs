//! The process between strongroom and a plugin of age: strongroom itself, run again with the variables that a plugin needs. A
//! plugin is somebody else's program, and our environment may hold an identity or the credentials of the bucket. It ends with
//! us, and takes the plugin and what that has started along (see `plugin_watch`).

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use zeroize::Zeroizing;

use super::{plugin_watch, prompt::Terminal};
use crate::codec::seal::{plugin_failure, plugin_step};

/// The word that starts it.
pub const WORD: &str = "age-plugin";
/// The longest request and the longest answer, in bytes: a header of age has at most 64 KiB.
const LIMIT: u64 = 1 << 20;
/// What a plugin may need to find its device, its agent and the person.
const KEPT: [&str; 20] = [
    "AGEDEBUG",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "PINENTRY_USER_DATA",
    "SSH_AUTH_SOCK",
    "SSH_TTY",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
];
/// And all that begin so.
const KEPT_KINDS: [&str; 8] = ["AGE_PLUGIN_", "LC_", "PCSC", "PKCS11", "SOFTHSM", "TPM", "XDG_", "YUBI"];

/// The processes that run, so that whoever asks to stop ends them.
#[derive(Default)]
struct Helpers {
    running: Vec<(u32, OwnedFd)>,
    /// Somebody asked to stop: no other one is started.
    stopped: bool,
    /// One was ended by that, or not started.
    kept: bool,
}

static HELPERS: Mutex<Option<Helpers>> = Mutex::new(None);

fn helpers() -> MutexGuard<'static, Option<Helpers>> {
    HELPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends what waits for a plugin, and starts none any more.
pub fn stop() {
    let mut helpers = helpers();
    let helpers = helpers.get_or_insert_default();
    helpers.stopped = true;
    for (_, process) in &helpers.running {
        helpers.kept |= pidfd_send_signal(process, Signal::TERM).is_ok();
    }
}

/// Whether a plugin did not get to answer since somebody asked to stop.
#[must_use]
pub fn was_stopped() -> bool {
    helpers().as_ref().is_some_and(|helpers| helpers.kept)
}

/// Has `request` answered by a process that knows of our environment only what a plugin needs.
///
/// # Errors
/// If it can't be started, fails, or answers without end.
pub fn run(request: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(WORD).env_clear().envs(kept(env::vars_os())).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = {
        let mut helpers = helpers();
        let helpers = helpers.get_or_insert_default();
        if helpers.stopped {
            helpers.kept = true;
            return Err(io::Error::other("it was asked to stop"));
        }
        let child = command.spawn()?;
        // An old kernel can't say which one is meant; then it ends with us.
        if let Ok(process) = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            helpers.running.push((child.id(), process));
        }
        child
    };
    let answer = answer_of(&mut child, request);
    if let Some(helpers) = helpers().as_mut() {
        helpers.running.retain(|(id, _)| *id != child.id());
    }
    answer
}

fn answer_of(child: &mut Child, request: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(request)?;
    }
    // Growing would leave copies of a key behind that nobody wipes.
    let mut answer = Zeroizing::new(Vec::with_capacity(8 << 10));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LIMIT).read_to_end(&mut answer)?;
    }
    let status = child.wait()?;
    if status.success() {
        Ok(answer)
    } else {
        Err(io::Error::other(format!("the process that starts it ended with {status}")))
    }
}

fn kept(all: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    let is_kept = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        KEPT.iter().any(|kept| kept.as_bytes() == name)
            || KEPT_KINDS.iter().any(|kind| name.starts_with(kind.as_bytes()))
    };
    all.filter(move |(name, _)| is_kept(name))
}

/// Is that process: reads a request, starts the plugin, writes the answer.
#[must_use]
pub fn step() -> ExitCode {
    let Ok(watch) = plugin_watch::begin() else { return ExitCode::FAILURE };
    let mut request = Zeroizing::new(Vec::with_capacity(64 << 10));
    if io::stdin().lock().take(LIMIT).read_to_end(&mut request).is_err() {
        return ExitCode::FAILURE;
    }
    let mut answer = plugin_step(&request, Arc::new(Terminal));
    if watch.was_too_much() {
        answer = plugin_failure("its answer is longer than any answer of a plugin is");
    }
    io::stdout().lock().write_all(&answer).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
