//! Checks that are commands of whoever runs the drill.

use std::{
    ffi::OsStr,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{EngineError, Result};
use crate::source::{child::Running, redact::Known};

/// The most that is kept of what a command writes.
const OUTPUT: u64 = 64 << 10;

/// Runs `argv` in `dir` with `access` as its environment, and gives what it writes, without blanks around it.
///
/// # Errors
/// If it can't be started, fails, or has not ended after `timeout`.
pub fn run(argv: &[String], dir: &Path, access: &[(String, String)], timeout: Duration) -> Result<String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(EngineError::new("no command was given", "check"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(dir).env("HOME", dir).env("LC_ALL", "C.UTF-8");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(access.iter().map(|(name, value)| (name, value))).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut known = Known::default();
    for (name, value) in access {
        known.add_variable(OsStr::new(name), OsStr::new(value));
    }
    let mut running = Running::start(&mut command, program, known)?;
    let mut out = running.stdout()?;
    let alive = running.alive();
    let (off, called_off) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = called_off.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            alive.stop();
        }
        late
    });
    let mut text = Vec::new();
    let read =
        out.by_ref().take(OUTPUT).read_to_end(&mut text).and_then(|_| std::io::copy(&mut out, &mut std::io::sink()));
    running.wait_for_end();
    drop(off);
    let late = watchdog.join().unwrap_or(true);
    if late {
        return Err(EngineError::new(
            format!("was stopped: it had not ended after {} s", timeout.as_secs_f64()),
            program,
        ));
    }
    read.map_err(|e| EngineError::new(format!("can't be read: {e}"), program))?;
    running.finish()?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let argv = ["sh", "-c", script].map(str::to_owned);
        run(&argv, dir.path(), &[("WHERE".to_owned(), "there".to_owned())], Duration::from_secs(5))
    }

    #[test]
    fn a_command_tells_by_its_exit_status() {
        assert_eq!(sh("echo \" $WHERE \"").unwrap(), "there");
        assert!(sh("echo no; echo because >&2; exit 3").unwrap_err().to_string().contains("because"));
        assert!(run(&["no-such-program".to_owned()], Path::new("/"), &[], Duration::from_secs(5)).is_err());
        let argv = ["sleep", "1000"].map(str::to_owned);
        let late = run(&argv, Path::new("/"), &[], Duration::from_millis(50)).unwrap_err();
        assert!(late.to_string().contains("had not ended"));
    }
}
