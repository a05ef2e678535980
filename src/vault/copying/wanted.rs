//! A snapshot that is to be copied, and what is told of it.

use std::sync::Arc;

use super::{
    CopyDone, Pass,
    object::{Id, Trouble},
    table::{Counted, Table},
};
use crate::{model::Finding, vault::snapshots::Summary};

/// A snapshot that is to be copied, and what it needs.
pub(super) struct Wanted<'a> {
    pub(super) summary: &'a Summary,
    /// Pages with their packs, and indexes.
    pub(super) pages: Vec<(u32, Arc<[u32]>)>,
    pub(super) indexes: Vec<u32>,
    /// Why it can't be copied, as far as that is known, and how many objects that is.
    pub(super) unknown: Option<(Trouble, usize)>,
}

impl Wanted<'_> {
    pub(super) fn packs(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().flat_map(|(_, packs)| packs.iter().copied())
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().map(|(page, _)| *page).chain(self.indexes.iter().copied())
    }
}

/// Counts what would be moved.
pub(super) fn rehearse(
    pass: &Pass<'_>,
    table: &Table,
    window: &[Wanted<'_>],
    counted: &mut Counted,
    done: &mut CopyDone,
) {
    for wanted in window {
        if let Some((trouble, objects)) = &wanted.unknown {
            leave_out(pass, wanted.summary, (trouble, *objects), done);
            continue;
        }
        count(pass, table, wanted, counted, done);
        done.moved.entry("snapshots").or_default().objects += 1;
        done.copied.push(wanted.summary.id);
    }
}

/// Counts what would be moved for one.
pub(super) fn count(pass: &Pass<'_>, table: &Table, wanted: &Wanted<'_>, counted: &mut Counted, done: &mut CopyDone) {
    for object in wanted.packs().chain(wanted.texts()).filter_map(|at| table.get(at)) {
        let key = object.key();
        if counted.first(Id::of(key.as_str())) && !pass.mover.place.there(&key) {
            let count = done.moved.entry(object.kind()).or_default();
            count.objects += 1;
            count.bytes += object.bytes.unwrap_or(0);
        }
    }
}

/// Says why a snapshot is not copied.
pub(super) fn leave_out(
    pass: &Pass<'_>,
    summary: &Summary,
    (trouble, objects): (&Trouble, usize),
    done: &mut CopyDone,
) {
    done.left_out.push(summary.id);
    if pass.mover.mends() {
        let what = format!("{objects} of the objects that this snapshot needs are still not as they should be");
        done.findings.push(Finding::new(trouble.severity(), "repair.snapshot", what).of(summary.id));
        return;
    }
    let what = format!(
        "this snapshot was not copied, since {objects} of the objects that it needs could not be, or not as it promises; \
         `strongroom verify --depth read` of the source tells what is damaged there"
    );
    done.findings.push(Finding::new(trouble.severity(), "copy.left-out", what).of(summary.id));
}
