//! What the snapshots need, as signed documents name it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    format::{
        header::{HEADER_LIMIT, ObjectRef, VerifiedHeader},
        layout,
    },
    model::{Finding, Findings, Hash, Key, LockMode, Severity, SnapshotId, Time},
    store::Version,
    vault::{Result, VaultErrorKind, reader::PagesAhead},
};

/// The most that a document without a signed length may have, in bytes: an envelope of evidence.
const DOCUMENT_LIMIT: u64 = 6 << 20;

/// What an object is. Its finding codes begin with this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Descriptor,
    Root,
    Epoch,
    Certificate,
    Evidence,
    Approvers,
    Hold,
    Release,
    Header,
    Page,
    Index,
    Pack,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Root => "root",
            Self::Epoch => "epoch",
            Self::Certificate => "certificate",
            Self::Evidence => "evidence",
            Self::Approvers => "approvers",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Header => "header",
            Self::Page => "page",
            Self::Index => "index",
            Self::Pack => "pack",
        }
    }

    /// Whether it is a small document that is read at every depth. Headers and pages were read to get here.
    pub(super) const fn is_document(self) -> bool {
        !matches!(self, Self::Header | Self::Page | Self::Index | Self::Pack)
    }

    /// What its loss means for people.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Descriptor | Self::Epoch | Self::Certificate => {
                "snapshots embed a copy and still restore, but nobody can add to the vault's members or epochs as before"
            }
            Self::Root => "without it nobody can add or revoke members; snapshots still restore",
            Self::Evidence => "the record of an earlier check is lost; no snapshot is",
            Self::Approvers => "who has to agree to what is not known; no snapshot is lost",
            Self::Hold => "what it held expires as if nobody had held it",
            Self::Release => "the hold that it lifted holds again",
            Self::Header => "the snapshot can't be restored",
            Self::Page => "the packs of snapshots that name it are unknown",
            Self::Index => "restores read every pack's own directory instead, which takes longer",
            Self::Pack => "snapshots that need it can't be restored whole",
        }
    }
}

/// One version of a needed object that may be the signed one.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) version: Option<Version>,
    pub(super) bytes: u64,
}

/// An object that something signed names.
pub(super) struct Needed {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) hash: Hash,
    pub(super) bytes: Option<u64>,
    pub(super) hint: Option<String>,
    pub(super) mode: LockMode,
    /// Until when it must be locked.
    pub(super) floor: Time,
    /// Until when it is to be kept, by renewal.
    pub(super) expires: Time,
    /// The snapshot that promises longest.
    pub(super) snapshot: Option<SnapshotId>,
    /// The versions that are there and have the right size, the one hinted at first.
    pub(super) candidates: Vec<Candidate>,
    /// Versions of any size, delete markers left out.
    pub(super) versions: u32,
    /// Whether a delete marker lies on top.
    pub(super) hidden: bool,
    /// Until when it is locked, once that was read.
    pub(super) locked: Option<Time>,
    /// Whether only suspect snapshots name it, so that nothing but their word says that it was ever there.
    pub(super) suspect: bool,
}

impl Needed {
    /// Whether an object of this size can be it.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let limit = if self.kind == Kind::Header { HEADER_LIMIT as u64 } else { DOCUMENT_LIMIT };
        self.bytes.map_or(bytes <= limit, |wanted| wanted == bytes)
    }

    pub(super) fn missing(&self) -> bool {
        self.candidates.is_empty()
    }

    /// A finding about it.
    pub(super) fn finding(&self, severity: Severity, code: &str, what: impl Into<String>) -> Finding {
        let finding = Finding::new(severity, code, what).on(&self.key);
        self.snapshot.map_or(finding.clone(), |snapshot| finding.of(snapshot))
    }
}

/// What one snapshot needs, as places in [`Inventory::objects`].
#[derive(Default)]
pub(super) struct Uses {
    pub(super) own: Vec<usize>,
    pub(super) pages: Vec<Key>,
}

/// Everything that is signed for.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) objects: Vec<Needed>,
    places: BTreeMap<String, usize>,
    /// The packs that each page names. By key, not by hash: whoever names a page of another writer names nothing.
    pub(super) pages: HashMap<Key, Vec<usize>>,
    pub(super) uses: BTreeMap<SnapshotId, Uses>,
    /// Suspect snapshots with pages that can't be read.
    unreadable: BTreeSet<SnapshotId>,
    /// What is promised of snapshots beyond what their headers say.
    pub(super) held: BTreeMap<SnapshotId, Hold>,
    pub(super) bytes_read: u64,
}

/// What an object is signed for with.
pub(super) struct Promise {
    pub(super) mode: LockMode,
    pub(super) floor: Time,
    pub(super) expires: Time,
    pub(super) snapshot: Option<SnapshotId>,
    /// Whether nobody can tell if the writer itself gave it.
    pub(super) suspect: bool,
}

impl Promise {
    fn of(snapshot: &VerifiedHeader, suspect: bool, held: Option<&Hold>) -> Self {
        let header = &snapshot.header;
        let mode = snapshot.descriptor.lock.mode;
        let mut promise =
            Self { mode, floor: header.floor_until, expires: header.expires_at, snapshot: Some(snapshot.id), suspect };
        if let Some(held) = held {
            promise.floor = promise.floor.max(held.floor);
            promise.expires = promise.expires.max(held.expires);
        }
        promise
    }
}

/// What a hold promises of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// Until when everything was locked when the hold was made.
    pub(super) floor: Time,
    /// Until when it is held, by renewal.
    pub(super) expires: Time,
}

impl Inventory {
    /// The place of the object with this key.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        self.places.get(key).copied()
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Needed> {
        let at = self.find(key)?;
        self.objects.get_mut(at)
    }

    /// Adds what a snapshot needs: its header, pages, indexes and packs. What only snapshots name that are added as
    /// suspect need not be there; add them after all others, whose word on sizes and versions counts.
    pub(super) async fn add(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        suspect: bool,
        findings: &mut Findings,
    ) -> Result<()> {
        let header = &snapshot.header;
        let writer = &header.writer;
        let promise = Promise::of(snapshot, suspect, self.held.get(&snapshot.id));
        let mut uses = Uses::default();
        let hash = Hash::from_bytes(*snapshot.id.as_bytes());
        let key = layout::header(writer, header.seq, &snapshot.id);
        uses.own.push(self.need(key, Kind::Header, (hash, None, None), &promise));
        let refer = |object: &ObjectRef| (object.hash, Some(object.bytes), object.version.clone());
        for index in &header.indexes {
            uses.own.push(self.need(layout::index(writer, &index.hash), Kind::Index, refer(index), &promise));
        }
        for page in &header.pages {
            let key = layout::page(writer, &page.hash);
            uses.own.push(self.need(key.clone(), Kind::Page, refer(page), &promise));
            uses.pages.push(key.clone());
            if !self.pages.contains_key(&key) {
                let packs = match ahead.page(snapshot, page).await {
                    Ok(packs) => packs,
                    Err(error) if error.is_of_object() => {
                        if suspect {
                            self.unreadable.insert(snapshot.id);
                            continue;
                        }
                        let what =
                            format!("a page can't be read, so the packs that it names are unknown: {}", error.what);
                        let (severity, code) = match error.kind {
                            VaultErrorKind::Damaged | VaultErrorKind::Untrusted => (Severity::Error, "page.damaged"),
                            _ => (Severity::Weak, "page.unread"),
                        };
                        findings.push(Finding::new(severity, code, what).on(&key).of(snapshot.id));
                        self.pages.insert(key, Vec::new());
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                self.bytes_read += page.bytes;
                let mut places = Vec::with_capacity(packs.len());
                for pack in packs {
                    let hash = Hash::from_bytes(*pack.id.as_bytes());
                    let pack_key = layout::pack(writer, &pack.id);
                    places.push(self.need(pack_key, Kind::Pack, (hash, Some(pack.bytes), pack.version), &promise));
                }
                self.pages.insert(key.clone(), places);
            }
            let packs = self.pages.get(&key).map(Vec::as_slice).unwrap_or_default();
            for at in packs {
                if let Some(needed) = self.objects.get_mut(*at) {
                    raise(needed, &promise);
                }
            }
        }
        self.uses.insert(snapshot.id, uses);
        Ok(())
    }

    /// Adds an object; the strictest promise counts.
    pub(super) fn need(
        &mut self,
        key: Key,
        kind: Kind,
        (hash, bytes, hint): (Hash, Option<u64>, Option<String>),
        promise: &Promise,
    ) -> usize {
        let at = *self.places.entry(key.to_string()).or_insert(self.objects.len());
        if at == self.objects.len() {
            self.objects.push(Needed {
                key,
                kind,
                hash,
                bytes,
                hint,
                mode: promise.mode,
                floor: promise.floor,
                expires: promise.expires,
                snapshot: promise.snapshot,
                candidates: Vec::new(),
                versions: 0,
                hidden: false,
                locked: None,
                suspect: promise.suspect,
            });
        } else if let Some(needed) = self.objects.get_mut(at) {
            raise(needed, promise);
        }
        at
    }

    /// Everything that a snapshot needs, as far as its pages can be read.
    fn needs(&self, snapshot: &SnapshotId) -> impl Iterator<Item = &Needed> {
        let uses = self.uses.get(snapshot).into_iter();
        let places = uses.flat_map(|uses| {
            let packs = uses.pages.iter().filter_map(|page| self.pages.get(page)).flatten();
            uses.own.iter().chain(packs)
        });
        places.filter_map(|at| self.objects.get(*at))
    }

    /// When the first lock ends that a snapshot needs, as far as locks were read.
    pub(super) fn locked_until(&self, snapshot: &SnapshotId) -> Option<Time> {
        self.needs(snapshot).map(|needed| needed.locked.unwrap_or(Time::from_unix(0))).min()
    }

    /// Whether something is not there that a suspect snapshot needs, as far as the listing tells.
    pub(super) fn is_hollow(&self, suspect: &SnapshotId) -> bool {
        self.unreadable.contains(suspect) || self.needs(suspect).any(Needed::missing)
    }

    /// The objects that must be there.
    pub(super) fn firm(&self) -> impl Iterator<Item = &Needed> {
        self.objects.iter().filter(|needed| !needed.suspect)
    }
}

fn raise(needed: &mut Needed, promise: &Promise) {
    if promise.suspect && !needed.suspect {
        return;
    }
    needed.suspect &= promise.suspect;
    if promise.floor > needed.floor {
        (needed.floor, needed.snapshot) = (promise.floor, promise.snapshot);
    }
    needed.expires = needed.expires.max(promise.expires);
}
