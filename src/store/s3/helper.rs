//! A command that prints credentials, as AWS's `credential_process`. It has a deadline, and is stopped with all that it
//! started when that is over.

use std::{
    fmt,
    io::Read,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future::ProvideCredentials as Answer},
};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::model::Time;

/// The most that is read of what it prints, and of what it says of itself.
const MOST: u64 = 64 << 10;

/// The command, and how long it may take.
pub(super) struct Helper {
    command: String,
    patience: Duration,
}

impl Helper {
    pub(super) fn new(command: &str, patience: Duration) -> Self {
        Self { command: command.to_owned(), patience }
    }
}

/// It shows nothing of the command, which may hold a token.
impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Helper")
    }
}

impl ProvideCredentials for Helper {
    fn provide_credentials<'a>(&'a self) -> Answer<'a>
    where
        Self: 'a,
    {
        Answer::new(self.ask())
    }
}

/// What it prints. Names are as AWS has them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
    /// In whatever spelling of RFC 3339, with fractions or an offset.
    expiration: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

fn failed(why: impl Into<String>) -> CredentialsError {
    CredentialsError::provider_error(Failed(why.into()))
}

/// The process group of the helper while it may run. Whoever waited for it in vain ends it.
#[derive(Default)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    fn end(&self) {
        if let Some(group) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It fails only if all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The thread has another one, so this is whoever waits: it waits no more.
        self.end();
    }
}

impl Helper {
    async fn ask(&self) -> provider::Result {
        let group = Group::default();
        let (command, of_thread) = (self.command.clone(), Arc::clone(&group.0));
        let run = tokio::task::spawn_blocking(move || run(&command, &of_thread));
        match tokio::time::timeout(self.patience, run).await {
            Ok(Ok(printed)) => read(&printed?),
            Ok(Err(_)) => Err(failed("the thread that runs it ended")),
            Err(_) => Err(CredentialsError::provider_timed_out(self.patience)),
        }
    }
}

/// Runs it to its end, and gives what it printed.
fn run(command: &str, group: &Mutex<Option<Pid>>) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let set = |pid| *group.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    let mut sh = Command::new("sh");
    // In a group of its own, so that what it starts ends with it.
    sh.args(["-c", command]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"STRONGROOM_") {
            sh.env_remove(name);
        }
    }
    let mut child = sh.spawn().map_err(|e| failed(format!("it can't be started: {e}")))?;
    let pid = Pid::from_child(&child);
    set(Some(pid));
    let err = child.stderr.take();
    let listener = thread::spawn(move || {
        let mut said = Vec::new();
        // What it says only helps to understand how it ended.
        let _ = err.map(|err| err.take(MOST).read_to_end(&mut said));
        said
    });
    let mut printed = Zeroizing::new(Vec::new());
    let heard = child.stdout.take().map_or(Ok(0), |out| out.take(MOST).read_to_end(&mut printed));
    while matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT), Err(Errno::INTR)) {}
    // Reaped, its number may be somebody else's.
    set(None);
    let status = child.wait().map_err(|e| failed(format!("nobody can tell how it ended: {e}")))?;
    heard.map_err(|e| failed(format!("it can't be read: {e}")))?;
    if status.success() {
        return Ok(printed);
    }
    let said = listener.join().unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let said = if said.is_empty() { said } else { format!("; it said: {said}") };
    Err(failed(format!("it ended with {status}{said}")))
}

/// Never repeats what was printed.
fn read(printed: &[u8]) -> provider::Result {
    let printed: Printed = serde_json::from_slice(printed)
        .map_err(|_| failed("what it printed is not the JSON of AWS's credential_process"))?;
    let (1, Some(id), Some(secret)) = (printed.version, printed.access_key_id, printed.secret_access_key) else {
        return Err(failed("it must print Version 1, AccessKeyId and SecretAccessKey"));
    };
    let end: Option<Time> = match printed.expiration.map(|text| text.parse()).transpose() {
        Ok(end) => end,
        Err(_) => return Err(failed("the Expiration that it printed is not a time of RFC 3339")),
    };
    let end = end.map(|end| Duration::from_secs(u64::try_from(end.unix()).unwrap_or_default()));
    let end = end.and_then(|end| UNIX_EPOCH.checked_add(end));
    Ok(Credentials::new(id, secret, printed.session_token, end, "strongroom"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_helper_answers_in_its_time_or_is_stopped_with_what_it_started() {
        let ask = |command: &str, ms| {
            let helper = Helper::new(command, Duration::from_millis(ms));
            async move { helper.ask().await }
        };
        let good = "echo '{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"b\", \
                    \"Expiration\": \"2999-01-01T00:00:00.25+01:00\"}'";
        let given = ask(good, 60_000).await.unwrap();
        assert!(given.access_key_id() == "a" && given.expiry().is_some());
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let hangs = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let error = ask(&hangs, 500).await.unwrap_err();
        assert!(matches!(error, CredentialsError::ProviderTimedOut(_)), "{error:?}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for (command, why) in [
            ("echo wrong >&2; exit 3", "wrong"),
            ("echo secret-thing", "is not the JSON"),
            ("echo '{\"Version\": 1}'", "must print"),
        ] {
            let error = ask(command, 60_000).await.unwrap_err();
            let told = super::super::fail::innermost(&error);
            assert!(told.contains(why) && !told.contains("secret-thing"), "{told}");
        }
    }
}
