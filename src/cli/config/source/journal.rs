//! `journal`: whether the log of a server becomes a journal, and how.

use std::{fmt, ops::Range, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::{super::Fault, Input, MariadbInput};
use crate::{
    model::{Span, size::ByteSize},
    source::{
        journal::{JournalOptions, OnMaxLag},
        mariadb::{Databases, Flavour},
    },
};

/// The least that a spool is of use with: four segments of the usual size.
const LEAST_SPOOL: u64 = 64 << 20;
/// The least age that a newest piece may be told to have: one that tells that nothing is new is an object, too.
const LEAST_EVERY: Duration = Duration::from_mins(1);

/// `true`, or a table.
pub(super) enum RawJournal {
    Switch(bool),
    Table(Box<RawTable>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    slot: Option<Spanned<String>>,
    server_id: Option<Spanned<u32>>,
    flush: Option<Spanned<Span>>,
    spool: Option<Spanned<String>>,
    max_lag: Option<Spanned<String>>,
    on_max_lag: Option<Spanned<RawOnMaxLag>>,
    every: Option<Spanned<Span>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawOnMaxLag {
    Wait,
    Gap,
}

impl<'de> Deserialize<'de> for RawJournal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawJournal;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(
                    "true, false, or a table such as { slot = \"strongroom\", flush = \"10s\", spool = \"1GiB\" }",
                )
            }
            fn visit_bool<E>(self, on: bool) -> Result<RawJournal, E> {
                Ok(RawJournal::Switch(on))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawJournal, A::Error> {
                RawTable::deserialize(MapAccessDeserializer::new(map)).map(|table| RawJournal::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How the log becomes a journal, if it does. Only a copy of the whole cluster can be the base of one.
pub(super) fn parse(raw: Option<&Spanned<RawJournal>>, input: &Input) -> Result<Option<JournalOptions>, Fault> {
    let Some(at) = raw else { return Ok(None) };
    let table = match at.get_ref() {
        RawJournal::Switch(false) => return Ok(None),
        RawJournal::Switch(true) => None,
        RawJournal::Table(table) => Some(table),
    };
    match input {
        Input::Postgres(options) if options.physical => {}
        Input::Mariadb(input) => must_hold_all(at, input)?,
        _ => {
            let message = "a journal goes on from copies of the whole cluster: set `physical = true` beside it. Dumps can \
                           have a source of their own";
            return Err(Fault::new(at, message));
        }
    }
    let mut options = JournalOptions::default();
    let Some(table) = table else { return Ok(Some(options)) };
    table.must_be_of(matches!(input, Input::Mariadb(_)))?;
    options.server_id = table.server_id.as_ref().map(|number| *number.get_ref());
    if let Some(slot) = &table.slot {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if slot.get_ref().is_empty() || slot.get_ref().len() > 63 || !slot.get_ref().chars().all(fits) {
            return Err(Fault::new(slot, "a slot's name is 1 to 63 small letters, digits and underscores"));
        }
        options.slot.clone_from(slot.get_ref());
    }
    if let Some(flush) = &table.flush {
        options.flush = flush.get_ref().as_duration();
        if options.flush < Duration::from_secs(1) {
            return Err(Fault::new(flush, "flush is 1s or more: each flush of something new is an object"));
        }
    }
    if let Some(every) = &table.every {
        options.every = Some(*every.get_ref());
        if every.get_ref().as_duration() < LEAST_EVERY.max(options.flush * 3) {
            let message = "every is 1m or more, and three times flush or more: it is how old the newest piece may get";
            return Err(Fault::new(every, message));
        }
    }
    if let Some(spool) = &table.spool {
        options.spool = bytes(spool)?;
        if options.spool < LEAST_SPOOL {
            return Err(Fault::new(spool, "spool is 64MiB or more: some segments of the log must fit in it"));
        }
    }
    if let Some(lag) = &table.max_lag {
        options.max_lag = bytes(lag)?;
    }
    if options.max_lag <= options.spool
        && let Some(at) = table.max_lag.as_ref().or(table.spool.as_ref())
    {
        return Err(Fault::new(at, "max_lag is more than spool: what waits in the spool counts, too"));
    }
    options.on_max_lag = match table.on_max_lag.as_ref().map(Spanned::get_ref) {
        None | Some(RawOnMaxLag::Wait) => OnMaxLag::Wait,
        Some(RawOnMaxLag::Gap) => OnMaxLag::Gap,
    };
    Ok(Some(options))
}

impl super::SourceConfig {
    /// A slot is of one receiver: two would take its log from each other.
    pub(in super::super) fn must_not_share_a_slot(&self, others: &[Self], at: Range<usize>) -> Result<(), Fault> {
        let slot = |source: &Self| match (&source.input, &source.journal) {
            (Input::Postgres(options), Some(journal)) => Some((options.info.place(), journal.slot.clone())),
            _ => None,
        };
        let Some((place, name)) = slot(self) else { return Ok(()) };
        let same = others.iter().find(|other| slot(other).is_some_and(|other| other == (place.clone(), name.clone())));
        let Some(other) = same else { return Ok(()) };
        let what = format!(
            "{} and {} have a journal of {place} through the same slot, {name}, which one receiver at a time can use: give one of \
             them another `slot`, or leave its journal out",
            other.name, self.name
        );
        Err(Fault(at, what))
    }
}

/// A log is of the whole server: what is replayed of it must find all that it is about.
fn must_hold_all(at: &Spanned<RawJournal>, input: &MariadbInput) -> Result<(), Fault> {
    let message = match (input.flavour, &input.databases) {
        (Flavour::Mysql, _) => "journals are of servers of MariaDB: of MySQL there are dumps alone",
        (_, Databases::Named(names)) if names.len() > 1 => {
            "the log is of the whole server, and can be replayed for all its databases or for one: leave `databases` out, or \
             name one. Others can have a source of their own"
        }
        _ if !input.exclude.is_empty() => {
            "the log is of the whole server, and what `exclude` leaves out can't be replayed: give `exclude` to a source of its \
             own"
        }
        _ => return Ok(()),
    };
    Err(Fault::new(at, message))
}

impl RawTable {
    /// A key that means nothing to the other kind of server would be a wish that nobody grants.
    fn must_be_of(&self, mariadb: bool) -> Result<(), Fault> {
        let given = [
            ("slot", self.slot.as_ref().map(Spanned::span), false),
            ("on_max_lag", self.on_max_lag.as_ref().map(Spanned::span), false),
            ("every", self.every.as_ref().map(Spanned::span), false),
            ("server_id", self.server_id.as_ref().map(Spanned::span), true),
        ];
        let wrong = given.into_iter().find_map(|(key, span, of)| Some((key, span.filter(|_| of != mariadb)?, of)));
        let Some((key, span, of)) = wrong else {
            return match &self.server_id {
                Some(zero) if *zero.get_ref() == 0 => Err(Fault::new(zero, "server_id is 1 or more")),
                _ => Ok(()),
            };
        };
        let of = if of { "mariadb" } else { "postgres" };
        Err(Fault(span, format!("{key:?} belongs to journals of kind {of:?}")))
    }
}

fn bytes(text: &Spanned<String>) -> Result<u64, Fault> {
    text.get_ref().parse().map(|ByteSize(bytes)| bytes).map_err(|e| Fault::new(text, e))
}
