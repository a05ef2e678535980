//! Knows dumps of databases by how they begin, and whether they have their end: a program that dies before a pipe leaves
//! what looks like a dump, and nobody sees its exit status.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Result, SourceError, postgres::Walker, read::push_tail};

/// So many bytes at the beginning tell what it is.
const HEAD: usize = 1 << 10;
/// Within so many bytes before its end a script must say that it is complete.
const TAIL: usize = 4 << 10;
/// Scripts: a line that they begin with, who writes it, and what stands at the end.
const SCRIPTS: [(&str, &str, &str); 5] = [
    ("-- PostgreSQL database dump", "pg_dump", "-- PostgreSQL database dump complete"),
    ("-- PostgreSQL database cluster dump", "pg_dumpall", "-- PostgreSQL database cluster dump complete"),
    ("-- MariaDB dump ", "mariadb-dump", "-- Dump completed"),
    ("-- MySQL dump ", "mysqldump", "-- Dump completed"),
    ("BEGIN TRANSACTION;", "sqlite3", "COMMIT;"),
];
/// What else such a line may come after: comments, and settings of the client that loads it.
const BEFORE: [&str; 3] = ["--", "/*", "PRAGMA "];
/// What an archive of `pg_dump` begins with.
const ARCHIVE: &[u8] = b"PGDMP";

/// What is known so far.
#[derive(Default)]
pub(super) struct Judge(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Beginning,
    Begun(Vec<u8>),
    Archive(Box<Walker>),
    Script {
        of: (&'static str, &'static str),
        tail: Vec<u8>,
    },
    /// Nobody knows what it is.
    Other,
}

impl State {
    fn feed(&mut self, new: &[u8], ended: bool) {
        match self {
            Self::Beginning => {
                *self = Self::Begun(Vec::with_capacity(HEAD));
                self.feed(new, ended);
            }
            Self::Begun(head) => {
                head.extend_from_slice(new);
                if head.len() >= HEAD || ended {
                    let all = std::mem::take(head);
                    *self = Self::of(&all);
                    self.feed(&all, ended);
                }
            }
            Self::Archive(walker) => walker.feed(new),
            Self::Script { tail, .. } => push_tail(tail, new, TAIL),
            Self::Other => {}
        }
    }

    fn of(begun: &[u8]) -> Self {
        if begun.starts_with(ARCHIVE) {
            return Self::Archive(Box::new(Walker::new()));
        }
        let head = String::from_utf8_lossy(begun.get(..HEAD).unwrap_or(begun));
        for line in head.lines() {
            let fits = |(first, ..): &&(&str, &str, &str)| {
                if first.ends_with(' ') { line.starts_with(first) } else { line.trim_end() == *first }
            };
            if let Some((_, program, last)) = SCRIPTS.iter().find(fits) {
                return Self::Script { of: (program, last), tail: Vec::new() };
            }
            if !line.is_empty() && !BEFORE.iter().any(|before| line.starts_with(before)) {
                break;
            }
        }
        Self::Other
    }
}

impl Judge {
    /// Fails if it began as a dump and has not the end of one.
    pub(super) fn must_be_complete(&self, object: &str) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.feed(&[], true);
        let cut = |program: &str, why: &str| {
            let what = format!(
                "began as a dump of {program} and {why}, so {program} did not finish; run it by itself to see why. Let \
                 strongroom call it (a source of the database's kind, or a command), so that it sees how it ends"
            );
            Err(SourceError::new(what, object))
        };
        match &*state {
            State::Archive(walker) => match walker.finish() {
                Ok(_) => Ok(()),
                Err(why) => cut("pg_dump", &format!("is not whole: {why}")),
            },
            State::Script { of: (program, last), tail } => {
                let text = String::from_utf8_lossy(tail);
                if text.lines().any(|line| line.starts_with(last)) {
                    return Ok(());
                }
                cut(program, &format!("does not end with {last:?}"))
            }
            State::Beginning | State::Begun(_) | State::Other => Ok(()),
        }
    }
}

/// A reader that shows what passes to a judge.
pub(super) struct Judged<R> {
    inner: R,
    judge: Arc<Judge>,
}

impl<R: Read> Judged<R> {
    /// Lets what `inner` gives be judged.
    pub(super) fn new(inner: R) -> (Self, Arc<Judge>) {
        let judge = Arc::new(Judge::default());
        (Self { inner, judge: Arc::clone(&judge) }, judge)
    }
}

impl<R: Read> Read for Judged<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n > 0 {
            let mut state = self.judge.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.feed(buf.get(..n).unwrap_or_default(), false);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &[u8]) -> Result<()> {
        let (mut reader, judge) = Judged::new(text);
        let mut seven = [0; 7];
        while reader.read(&mut seven).unwrap() > 0 {}
        judge.must_be_complete("standard input")
    }

    #[test]
    fn scripts_must_have_their_last_line() {
        let rows = "INSERT INTO t VALUES (1);\n".repeat(1000);
        for (head, tail) in [
            (
                "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n",
                "--\n-- PostgreSQL database dump complete\n--\n\n",
            ),
            ("--\n-- PostgreSQL database cluster dump\n--\n", "--\n-- PostgreSQL database cluster dump complete\n--\n"),
            (
                "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11\n",
                "-- Dump completed on x\n",
            ),
            ("-- MySQL dump 10.13  Distrib 8.0\n", "-- Dump completed\n"),
            ("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "COMMIT;\n"),
        ] {
            judged(format!("{head}{rows}{tail}").as_bytes()).unwrap();
            judged(format!("{head}{tail}-- some words more\n").as_bytes()).unwrap();
            for cut in [format!("{head}{rows}"), head.to_owned(), format!("{head}{rows}{}", &tail[..tail.len() / 2])] {
                let told = judged(cut.as_bytes()).unwrap_err().to_string();
                assert!(told.contains("did not finish") && told.contains("standard input"), "{told}");
            }
        }
        let broken = judged(b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nROLLBACK; -- due to errors\n");
        assert!(broken.unwrap_err().to_string().contains("sqlite3"));
    }

    #[test]
    fn what_is_no_dump_is_not_judged() {
        for text in ["", "hello", "--\n", "-- a comment\nSELECT 1;\n-- PostgreSQL database dump\n", "BEGIN TRANSACTION"]
        {
            judged(text.as_bytes()).unwrap();
        }
        judged(&[0xff; 5000]).unwrap();
    }
}
