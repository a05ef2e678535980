//! A connection to a server, held by `psql`: the same libpq connects that the dump's tools use, so whatever connection
//! string works for them works here, with the same service files, password files and TLS settings.

pub(super) mod lenient;

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    process::{ChildStdin, ChildStdout, Stdio},
};

use serde::de::DeserializeOwned;

use self::lenient::Lenient;
use super::{
    super::{Result, SourceError, child::Alive, child::Running},
    conninfo::Conninfo,
    tools::Tool,
};

/// A line that no answer can be: answers are JSON.
const END: &str = ".";
/// The longest line of an answer, in bytes.
const LINE: u64 = 64 << 20;

/// What makes a value's text the same on every server, whatever a role, a database or a configuration sets; and what
/// must not end a long transaction. Only what the server knows is set.
const SETTINGS: &str = "select pg_catalog.json_build_object('set', pg_catalog.count(done.value)) from (select pg_catalog.set_config(w.name, w.value, false) as value \
    from (values ('search_path', ''), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), \
    ('extra_float_digits', '3'), ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lc_monetary', 'C'), \
    ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on'), ('row_security', 'off'), ('jit', 'off'), \
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), \
    ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('synchronize_seqscans', 'off'), \
    ('max_parallel_workers_per_gather', '0'), ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off')) as w(name, value) \
    join pg_catalog.pg_settings s on s.name::text operator(pg_catalog.=) w.name) done";

/// A session. Ends when dropped; the server then rolls its transaction back.
pub(crate) struct Session {
    running: Running,
    place: String,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// SQLSTATE of what ended it.
    state: Option<String>,
    /// What let it pass over damaged pages when it began.
    lenient: Vec<Lenient>,
}

impl Session {
    /// Connects to `database`, or to the one that the connection string means.
    pub(crate) fn open(psql: &Tool, info: &Conninfo, database: Option<&str>) -> Result<Self> {
        let mut session = Self::untouched(psql, info, database)?;
        let _: Vec<serde_json::Value> = session.ask("connect", SETTINGS)?;
        session.lenient = lenient::set_off(&mut session)?;
        Ok(session)
    }

    /// The same with whatever settings the server gives it. Nothing is sent before the first question.
    pub(super) fn untouched(psql: &Tool, info: &Conninfo, database: Option<&str>) -> Result<Self> {
        let place = database.map_or_else(|| info.place(), |name| format!("database {name} at {}", info.place()));
        let mut command = info.tool(&psql.path);
        command
            .args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d"])
            .arg(info.argument(database));
        command.env("PGCLIENTENCODING", "UTF8").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, &psql.path.to_string_lossy(), info.secrets())?;
        let (input, output) = (running.stdin()?, BufReader::new(running.stdout()?));
        Ok(Self { running, place, input, output, state: None, lenient: Vec::new() })
    }

    /// The SQLSTATE of the statement that failed.
    pub(super) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// What would have let it pass over damaged pages, as its server has it. All of it is off now, where the role may.
    pub(super) fn lenient(&self) -> &[Lenient] {
        &self.lenient
    }

    /// What stops it from another thread.
    pub(crate) fn alive(&self) -> Alive {
        self.running.alive()
    }

    /// Runs a statement that gives one JSON value per row; `doing` says in an error what failed.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, doing: &str, sql: &str) -> Result<Vec<T>> {
        let sent = writeln!(self.input, "{sql};\n\\echo {END}").and_then(|()| self.input.flush());
        if let Err(e) = sent {
            return Err(self.ended(doing, (e.kind() != ErrorKind::BrokenPipe).then_some(e)));
        }
        let mut rows = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = std::io::Read::take(&mut self.output, LINE);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) => return Err(self.ended(doing, None)),
                Err(e) => return Err(self.ended(doing, Some(e))),
                Ok(_) => {}
            }
            let text = line.trim_ascii();
            if text == END.as_bytes() {
                return Ok(rows);
            }
            let row =
                serde_json::from_slice(text).map_err(|_| self.error(doing, "the server's answer is not understood"))?;
            rows.push(row);
        }
    }

    /// The one row of a statement that gives one.
    pub(crate) fn one<T: DeserializeOwned>(&mut self, doing: &str, sql: &str) -> Result<T> {
        let mut rows = self.ask(doing, sql)?;
        rows.pop().ok_or_else(|| self.error(doing, "the server gave no answer"))
    }

    /// Runs a statement that gives nothing.
    pub(crate) fn run(&mut self, doing: &str, sql: &str) -> Result<()> {
        self.ask::<serde_json::Value>(doing, sql).map(drop)
    }

    fn error(&self, doing: &str, what: &str) -> SourceError {
        SourceError::new(format!("could not {doing}: {what}"), &self.place)
    }

    fn ended(&mut self, doing: &str, because: Option<std::io::Error>) -> SourceError {
        let ended = self.running.reap().map_or_else(|e| e.what, super::super::child::ended);
        let (said, state) = without_state(&self.running.said());
        self.state = state;
        let error = if said.is_empty() {
            self.error(doing, &format!("psql {ended}"))
        } else {
            SourceError::new(format!("could not {doing}{said}"), &self.place)
        };
        match because {
            Some(e) => error.because(e),
            None => error,
        }
    }
}

/// What `psql` said, without the code that an error has and the line of the server's own source; and the code.
fn without_state(said: &str) -> (String, Option<String>) {
    let (mut lines, mut state) = (Vec::new(), None);
    for line in said.split('\n').filter(|line| !line.starts_with("LOCATION:  ")) {
        let coded = line.split_once(":  ").and_then(|(level, rest)| {
            let (code, text) = rest.split_once(": ")?;
            let is_code = code.len() == 5 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            // The level itself may be in any language; these are notices and warnings.
            is_code.then(|| (format!("{level}:  {text}"), code, code.starts_with("00") || code.starts_with("01")))
        });
        match coded {
            Some((line, code, harmless)) => {
                if !harmless {
                    state = Some(code.to_owned());
                }
                lines.push(line);
            }
            None => lines.push(line.to_owned()),
        }
    }
    (lines.join("\n"), state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_known_and_not_shown() {
        let said =
            "; it said: psql:<stdin>:3: ERROR:  55P03: canceling statement due to lock timeout\nLOCATION:  X, y.c:1";
        let (told, state) = without_state(said);
        assert_eq!(told, "; it said: psql:<stdin>:3: ERROR:  canceling statement due to lock timeout");
        assert_eq!(state.as_deref(), Some("55P03"));
        let said =
            "; it said: psql: error: connection to server at \"h\" failed: FATAL:  password authentication failed";
        assert_eq!(without_state(said), (said.to_owned(), None));
    }
}
