//! Whether the vault still holds of a writer what the writer made, and nothing that it did not make. Only the writer's own
//! memory can tell: whoever holds its key signs as it does.

use std::collections::HashMap;

use tokio::runtime::Handle;

use super::{Result, writer::Workplace};
use crate::{
    catalog::{Catalog, ObjectRow},
    format::layout::{self, ObjectName},
    model::{Finding, Lock, Severity, Time},
    store::Entry,
};

/// How many are named.
const NAMED: usize = 3;

/// A header that is known.
struct Known {
    /// Until when it must be there, as far as is known.
    until: Option<Time>,
    /// Until when its run would have it there, which the catalog remembers anyway.
    by_run: Option<Time>,
    there: bool,
}

/// Some of many keys.
#[derive(Default)]
struct Few {
    count: u64,
    named: Vec<String>,
}

impl Few {
    fn add(&mut self, key: &str) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(key.to_owned());
        }
    }

    fn finding(&self, severity: Severity, code: &str, what: &str) -> Option<Finding> {
        let first = self.named.first()?;
        let names = self.named.join(", ");
        let more = if self.count > self.named.len() as u64 { " and others" } else { "" };
        Some(Finding::new(severity, code, format!("{} {what}: {names}{more}", self.count)).on(first))
    }
}

/// Compares the writer's headers in the vault with those that its catalog knows. A catalog that never did so takes all
/// that is there for the writer's own, and so does one where somebody says that he knows of all that is told.
///
/// # Errors
/// If the store can't be listed, or the catalog fails.
pub fn compare(place: &Workplace, runtime: &Handle, catalog: &mut Catalog, acknowledge: bool) -> Result<Vec<Finding>> {
    let now = runtime.block_on(place.store.server_time())?;
    let mut known = known(place, catalog)?;
    let first = !catalog.knows_own()?;
    let adopt = first || acknowledge;
    let policy = place.writer.descriptor.lock;
    let mut strangers = Few::default();
    let mut found: Vec<ObjectRow> = Vec::new();
    let mut each = |entry: Entry| {
        if !matches!(layout::parse(&entry.key), Some(ObjectName::Header(..))) {
            return;
        }
        let row = || ObjectRow {
            key: entry.key.clone(),
            bytes: entry.bytes,
            version: None,
            // Nobody may delete it before then, whoever put it.
            lock: Some(Lock { mode: policy.mode, until: entry.modified + policy.keep }),
        };
        if let Some(header) = known.get_mut(&entry.key) {
            header.there = true;
            // It was put, and the run ended before it could say so.
            if header.until.is_none() {
                found.push(row());
            }
        } else {
            strangers.add(&entry.key);
            if adopt {
                found.push(row());
            }
        }
    };
    runtime.block_on(place.store.list(&layout::own(layout::SNAPSHOTS, &place.writer.name), &mut each))?;
    for row in &found {
        catalog.remember_object(row)?;
    }
    let mut vanished = Few::default();
    for (key, header) in known.iter().filter(|(_, header)| !header.there) {
        match header.until {
            Some(until) if until > now => {
                vanished.add(key);
                if acknowledge {
                    let lock = Some(Lock { mode: policy.mode, until: now });
                    catalog.remember_object(&ObjectRow { key: key.clone(), bytes: 0, version: None, lock })?;
                }
            }
            // Its time is over, and it was pruned; but its run alone would say that it has to be there.
            _ if header.by_run > Some(now) => {}
            _ => catalog.forget_object(key)?,
        }
    }
    if adopt {
        catalog.set_knows_own()?;
    }
    Ok(told(first, acknowledge, &strangers, &vanished))
}

/// The headers that the catalog knows.
fn known(place: &Workplace, catalog: &mut Catalog) -> Result<HashMap<String, Known>> {
    let (name, keep) = (&place.writer.name, place.writer.descriptor.lock.keep);
    let mut known = HashMap::new();
    for run in catalog.runs(None, usize::MAX)? {
        let key = layout::header(name, run.seq, &run.snapshot).to_string();
        let until = Some(run.finished + keep);
        known.insert(key, Known { until, by_run: until, there: false });
    }
    for row in catalog.objects_below(&layout::own(layout::SNAPSHOTS, name))? {
        let until = row.lock.map(|lock| lock.until);
        let header = known.entry(row.key).or_insert(Known { until, by_run: None, there: false });
        header.until = until.or(header.until);
    }
    Ok(known)
}

fn told(first: bool, acknowledged: bool, strangers: &Few, vanished: &Few) -> Vec<Finding> {
    let severity = if acknowledged { Severity::Info } else { Severity::Weak };
    let strange = if first {
        let what = "headers of this writer are in the vault that its catalog, which is new, does not know; they are taken \
                    for its own from now on";
        strangers.finding(Severity::Info, "writer.adopted", what)
    } else {
        let what = "headers lie under this writer's name that this catalog did not make: somebody else has its key or its \
                    credentials, two hosts use one key, or this host was set back";
        strangers.finding(severity, "writer.stranger", what)
    };
    let what = "snapshots that this writer made are gone, or hidden, before their time: somebody deleted from the vault, \
                or set it back";
    strange.into_iter().chain(vanished.finding(severity, "writer.vanished", what)).collect()
}
