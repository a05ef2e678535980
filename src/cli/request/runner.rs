//! Has a source backed up: by this program, as the writer's timer does, so that hooks, pings and metrics are the same.

use std::{
    ffi::OsString,
    io::Read,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    model::{Cancel, Name},
    ops::request::{Made, Question, Requested, Told},
};

/// The most that a document may hold.
const DOCUMENT: u64 = 64 << 20;
const POLL: Duration = Duration::from_millis(100);
/// What a run ends with that another was in the way of.
const TRY_AGAIN: i32 = 75;

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmade {
    /// Another run was in the way, or the store was away.
    Busy,
    /// It failed, by a stable word.
    Failed(String),
}

/// What makes snapshots and knows of them.
pub trait Runner: Send + Sync {
    /// The newest snapshot of a source that its writer made.
    ///
    /// # Errors
    /// If nobody can tell.
    fn newest(&self, source: &Name) -> Result<Option<Made>, Unmade>;

    /// Makes one; also tells what is wrong with it, if something is.
    ///
    /// # Errors
    /// If there is none.
    fn back_up(&self, source: &Name, requested: &Requested) -> Result<(Made, Option<String>), Unmade>;

    /// Answers a question.
    ///
    /// # Errors
    /// If nobody could look.
    fn ready(&self, question: &Question) -> Result<Told, Unmade>;
}

/// This program.
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What all of its commands are given: the configuration.
    pub arguments: Vec<OsString>,
    /// Whose snapshots count.
    pub writer: Name,
    /// Asks it to stop in good order.
    pub cancel: Cancel,
}

impl Program {
    fn run(&self, words: &[String]) -> Result<(i32, Value), Unmade> {
        let failed = |what: &str| Unmade::Failed(what.to_owned());
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).args(["--json", "--no-progress", "--quiet"]).args(words);
        // Neither the socket that this may have for standard input, nor the service manager, is the child's.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).process_group(0);
        let mut child = command.spawn().map_err(|_| failed("unstarted"))?;
        let out = child.stdout.take().ok_or_else(|| failed("unstarted"))?;
        let reading = thread::spawn(move || {
            let mut document = Vec::new();
            out.take(DOCUMENT).read_to_end(&mut document).map(|_| document)
        });
        let mut asked = false;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if self.cancel.is_cancelled() && !asked => {
                    asked = true;
                    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
                }
                Ok(None) => thread::sleep(POLL),
                Err(_) => return Err(failed("lost")),
            }
        };
        let document = reading.join().ok().and_then(Result::ok).unwrap_or_default();
        Ok((status.code().unwrap_or(-1), serde_json::from_slice(&document).unwrap_or(Value::Null)))
    }
}

fn made(line: &Value) -> Option<Made> {
    let text = |key| line.get(key).and_then(Value::as_str);
    Some(Made { id: text("id")?.parse().ok()?, created_at: text("created_at")?.parse().ok()? })
}

/// Why a run failed, by the word that scripts rely on.
fn kind(code: i32, document: &Value) -> Unmade {
    if code == TRY_AGAIN {
        return Unmade::Busy;
    }
    let kind = document.pointer("/error/kind").and_then(Value::as_str).unwrap_or("failed");
    Unmade::Failed(kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect())
}

impl Runner for Program {
    fn newest(&self, source: &Name) -> Result<Option<Made>, Unmade> {
        let words = ["snapshots", "--source", source.as_str(), "--writer", self.writer.as_str()];
        let (code, document) = self.run(&words.map(str::to_owned))?;
        let Some(lines) = document.get("result").and_then(Value::as_array) else { return Err(kind(code, &document)) };
        Ok(lines.iter().rev().find_map(made))
    }

    fn back_up(&self, source: &Name, requested: &Requested) -> Result<(Made, Option<String>), Unmade> {
        let mut words = vec!["backup".to_owned()];
        words.extend(requested.reason.as_ref().map(|reason| format!("--reason={reason}")));
        words.extend(requested.by.as_ref().map(|by| format!("--requested-by={by}")));
        words.push(source.to_string());
        let (code, document) = self.run(&words)?;
        let snapshots = document.pointer("/result/snapshots").and_then(Value::as_array);
        let of_source = |line: &&Value| line.get("source").and_then(Value::as_str) == Some(source.as_str());
        let own = snapshots.into_iter().flatten().find(of_source);
        let id = own.and_then(|line| line.get("id")?.as_str()).and_then(|id| id.parse().ok());
        let Some(id) = id else { return Err(kind(code, &document)) };
        let wrong = (code != 0).then(|| format!("it ended with {code}; the server's log says why"));
        // When it started, only the vault knows.
        let newest = self.newest(source)?.filter(|made| made.id == id);
        newest.map(|made| (made, wrong)).ok_or_else(|| Unmade::Failed("unlisted".to_owned()))
    }

    fn ready(&self, question: &Question) -> Result<Told, Unmade> {
        let (code, document) = self.run(&question.words())?;
        let part = |key: &str| document.get(key).cloned().unwrap_or(Value::Null);
        let unread = |_| Unmade::Failed("unread".to_owned());
        let exit = u8::try_from(code).map_err(|_| Unmade::Failed("killed".to_owned()))?;
        let result = serde_json::from_value(part("result")).map_err(unread)?;
        let error = serde_json::from_value(part("error")).map_err(unread)?;
        Ok(Told { exit, result, error })
    }
}
