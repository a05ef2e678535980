//! One object that is to be copied, and what can be wrong with it.

use std::sync::Arc;

pub(super) use crate::vault::stock::Id;
use crate::{
    format::layout,
    model::{Finding, Hash, Key, Name, PackId, Severity},
    vault::{VaultError, VaultErrorKind},
};

/// Where an object belongs. The keys of packs are long and many, so they are spelled when they are needed.
#[derive(Debug, Clone)]
pub(super) enum Where {
    Pack(Arc<Name>),
    Page(Arc<Name>),
    Index(Arc<Name>),
    Other(Key),
}

/// An object that is named by its hash.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) at: Where,
    pub(super) hash: Hash,
    /// Its size, where something signed says it.
    pub(super) bytes: Option<u64>,
    /// The most bytes that one of its kind has.
    pub(super) limit: usize,
    /// Its version in the source: a hint.
    pub(super) hint: Option<Box<str>>,
}

impl Object {
    /// Its key.
    pub(super) fn key(&self) -> Key {
        match &self.at {
            Where::Pack(writer) => layout::pack(writer, &PackId::from_bytes(*self.hash.as_bytes())),
            Where::Page(writer) => layout::page(writer, &self.hash),
            Where::Index(writer) => layout::index(writer, &self.hash),
            Where::Other(key) => key.clone(),
        }
    }

    /// What it is counted as: the first part of its key.
    pub(super) fn kind(&self) -> &'static str {
        match &self.at {
            Where::Pack(_) => "packs",
            Where::Page(_) => "lists",
            Where::Index(_) => "indexes",
            Where::Other(key) => kind_of(key.as_str()),
        }
    }
}

/// What objects with this key are counted as.
pub(in crate::vault) fn kind_of(key: &str) -> &'static str {
    let prefixes =
        [layout::SNAPSHOTS, layout::JOURNALS, layout::KEYS, layout::MEMBERS, layout::EVIDENCE, layout::PACKS];
    let more = [layout::INDEXES, layout::LISTS, HOLDS, RELEASES, APPROVERS];
    let found = prefixes.into_iter().chain(more).find(|prefix| key.starts_with(prefix));
    found.map_or("descriptor", |prefix| prefix.trim_end_matches('/'))
}

/// The prefix of holds.
pub(super) const HOLDS: &str = "holds/";
/// The prefix of releases of holds.
pub(super) const RELEASES: &str = "releases/";
/// The prefix of the lists of approvers.
pub(super) const APPROVERS: &str = "approvers/";

/// Why an object can't be in the copy as it should be.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The source has no version with the bytes that were signed.
    Damaged(String),
    /// The source, or the target, does not let it be read.
    Unread(String),
    /// Something else has its name in the target.
    Taken,
    /// It can't be put there, whatever is done about others.
    Failed(String),
    /// Its lock in the target does not reach what was promised.
    Short(String),
}

impl Trouble {
    /// What an error of one object in the source means.
    pub(super) fn of(error: VaultError) -> Self {
        if error.kind == VaultErrorKind::Denied { Self::Unread(error.what) } else { Self::Damaged(error.what) }
    }

    /// What is said of it: by a copy, or by a repair, whose source is the copy.
    pub(super) fn finding(&self, key: &Key, mends: bool) -> Finding {
        if mends {
            return self.of_repair(key);
        }
        let (severity, code, what) = match self {
            Self::Damaged(why) => {
                let what = format!("the source has no such object as was signed, so it was not copied: {why}");
                (Severity::Error, "copy.damaged", what)
            }
            Self::Unread(why) => {
                (Severity::Error, "copy.unread", format!("it can't be read, so it was not copied: {why}"))
            }
            Self::Taken => {
                let what = "in the target something else has this name, and nothing is ever put over it by a copy: \
                            `strongroom repair --vault TARGET --from SOURCE` puts the true bytes there";
                (Severity::Error, "copy.taken", what.to_owned())
            }
            Self::Failed(why) => {
                (Severity::Error, "copy.taken", format!("it can't be put under its name in the target: {why}"))
            }
            Self::Short(why) => (Severity::Weak, "copy.unlocked", format!("its lock in the target {why}")),
        };
        Finding::new(severity, code, what).on(key)
    }

    fn of_repair(&self, key: &Key) -> Finding {
        let (severity, code, what) = match self {
            Self::Damaged(why) => {
                let what =
                    format!("it is damaged or gone here, and the copy does not have it as it was signed either: {why}");
                (Severity::Error, "repair.lost", what)
            }
            Self::Unread(why) => (
                Severity::Error,
                "repair.unread",
                format!("it can't be read, so it was neither judged nor mended: {why}"),
            ),
            Self::Taken => {
                let what =
                    "the true bytes were put, and what is read back is something else: look at the store or the disk";
                (Severity::Error, "repair.failed", what.to_owned())
            }
            Self::Failed(why) => {
                (Severity::Error, "repair.failed", format!("the copy has it, and it can't be put here: {why}"))
            }
            Self::Short(why) => (Severity::Weak, "repair.unlocked", format!("its lock {why}")),
        };
        Finding::new(severity, code, what).on(key)
    }

    /// What is wrong, in words.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Damaged(why) | Self::Unread(why) | Self::Failed(why) | Self::Short(why) => why,
            Self::Taken => "something else has its name",
        }
    }

    /// How bad it is for a snapshot that needs it.
    pub(super) const fn severity(&self) -> Severity {
        if matches!(self, Self::Short(_)) { Severity::Weak } else { Severity::Error }
    }
}
