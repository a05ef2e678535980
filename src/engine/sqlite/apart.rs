//! The same in a process of its own, which is confined: a damaged or hostile file meets SQLite where there is nothing to be
//! had.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        Check, EngineError, Result,
        jail::{Jail, Warden},
    },
    Opened,
};
use crate::{
    model::Fingerprint,
    source::{child::Running, redact::Known},
};

/// The word that starts it.
pub const WORD: &str = "sqlite-apart";
/// The longest answer.
const ANSWER: u64 = 256 << 20;

/// What is to be done with which files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Names of databases, and their files.
    pub(super) files: Vec<(String, PathBuf)>,
    pub(super) ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    Open,
    Check(Vec<Fingerprint>),
    Query(Option<String>, String, Duration),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Opened,
    Checks(Vec<Check>),
    Value(String),
    Failed { what: String, object: String },
}

/// Answers what stands on standard input on standard output.
///
/// # Errors
/// If the one can't be read, or the other not be written.
pub fn serve() -> std::io::Result<()> {
    let request: Request = serde_json::from_reader(std::io::stdin().lock())?;
    let answer = answer(&request)
        .unwrap_or_else(|error| Answer::Failed { what: error.what.clone(), object: error.object.clone() });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    out.flush()
}

/// Does it here.
pub(super) fn answer(request: &Request) -> Result<Answer> {
    let opened = Opened::open(&request.files)?;
    Ok(match &request.ask {
        Ask::Open => Answer::Opened,
        Ask::Check(fingerprints) => Answer::Checks(opened.check(fingerprints)),
        Ask::Query(database, sql, limit) => Answer::Value(opened.query(database.as_deref(), sql, *limit)?),
    })
}

/// Has it done by `program`, which is strongroom itself, within a jail whose home is `home`.
pub(super) fn ask(warden: &Warden, program: &Path, home: &Path, request: &Request) -> Result<Answer> {
    let jail = Jail::new(warden, home)?;
    let files: Vec<PathBuf> = request.files.iter().map(|(_, file)| file.clone()).collect();
    if matches!(request.ask, Ask::Open) {
        files.iter().try_for_each(|file| jail.lend(file))?;
    }
    let failed = |what: &str, e| EngineError { what: what.to_owned(), object: "sqlite".to_owned(), source: Some(e) };
    let text = serde_json::to_vec(request).map_err(|e| failed("can't be asked", e.into()))?;
    let mut command = jail.server(&files)?.command(program);
    command.arg(WORD).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command, "sqlite", Known::default())?;
    let mut input = running.stdin()?;
    let written = input.write_all(&text);
    drop(input);
    let mut answer = Vec::new();
    let read = running.stdout()?.take(ANSWER).read_to_end(&mut answer);
    running.finish()?;
    written.map_err(|e| failed("can't be asked", e))?;
    read.map_err(|e| failed("can't be understood", e))?;
    match serde_json::from_slice(&answer).map_err(|e| failed("can't be understood", e.into()))? {
        Answer::Failed { what, object } => Err(EngineError::new(what, object)),
        answer => Ok(answer),
    }
}
