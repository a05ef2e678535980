//! What `[[source]]` says of a `PostgreSQL` server.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::Fault;
use crate::{
    model::Span,
    source::postgres::{Conninfo, Databases, Depth, MOST_JOBS, PostgresOptions},
};

/// `"*"`, or names.
#[derive(Deserialize)]
#[serde(untagged, expecting = "databases are a list of names, or \"*\" for all of them")]
pub(super) enum RawDatabases {
    All(Star),
    Named(Vec<String>),
}

#[derive(Deserialize)]
pub(super) enum Star {
    #[serde(rename = "*")]
    Star,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawDepth {
    Hash,
    Rows,
    Off,
}

/// The keys as they stand there.
pub(super) struct Given<'a> {
    pub(super) dsn: &'a Spanned<String>,
    pub(super) databases: Option<&'a Spanned<RawDatabases>>,
    pub(super) fingerprint: Option<&'a Spanned<RawDepth>>,
    pub(super) jobs: Option<&'a Spanned<usize>>,
    pub(super) globals: Option<&'a Spanned<bool>>,
    pub(super) physical: Option<&'a Spanned<bool>>,
    pub(super) lock_timeout: Option<&'a Spanned<Span>>,
    pub(super) bin: Option<PathBuf>,
}

impl Given<'_> {
    pub(super) fn parse(self) -> Result<PostgresOptions, Fault> {
        let info: Conninfo = self.dsn.get_ref().parse().map_err(|e| Fault::new(self.dsn, e))?;
        let mut options = PostgresOptions::new(info);
        if self.physical.is_some_and(|physical| *physical.get_ref()) {
            self.must_stand_alone()?;
            options.physical = true;
        }
        match self.databases.map(|given| (given, given.get_ref())) {
            None => {}
            Some((_, RawDatabases::All(Star::Star))) => options.databases = Databases::All,
            Some((at, RawDatabases::Named(names))) => {
                let mut sorted = names.clone();
                sorted.sort_unstable();
                sorted.dedup();
                if names.is_empty() || sorted.len() < names.len() || names.iter().any(String::is_empty) {
                    return Err(Fault::new(
                        at,
                        "databases are names, each once; leave the key out for the one of the dsn",
                    ));
                }
                options.databases = Databases::Named(names.clone());
            }
        }
        options.fingerprint = match self.fingerprint.map(|given| *given.get_ref()) {
            None | Some(RawDepth::Hash) => Depth::Hash,
            Some(RawDepth::Rows) => Depth::Rows,
            Some(RawDepth::Off) => Depth::Off,
        };
        if let Some(jobs) = self.jobs {
            if !(1..=MOST_JOBS).contains(jobs.get_ref()) {
                return Err(Fault::new(jobs, format!("jobs are 1 to {MOST_JOBS}")));
            }
            options.jobs = *jobs.get_ref();
        }
        if let Some(most) = self.lock_timeout {
            options.lock_timeout = most.get_ref().as_duration();
        }
        options.globals = self.globals.is_none_or(|globals| *globals.get_ref());
        options.bin = self.bin;
        Ok(options)
    }

    /// A copy of the whole cluster has no use for what is said of dumps.
    fn must_stand_alone(&self) -> Result<(), Fault> {
        let given = [
            ("databases", self.databases.map(Spanned::span)),
            ("fingerprint", self.fingerprint.map(Spanned::span)),
            ("jobs", self.jobs.map(Spanned::span)),
            ("globals", self.globals.map(Spanned::span)),
            ("lock_timeout", self.lock_timeout.map(Spanned::span)),
        ];
        match given.into_iter().find_map(|(key, span)| span.map(|span| (key, span))) {
            Some((key, span)) => {
                Err(Fault(span, format!("{key:?} says nothing of a physical backup, which is of the whole cluster")))
            }
            None => Ok(()),
        }
    }
}
