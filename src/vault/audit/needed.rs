//! An object that is needed: what is said of it, what is promised, and what the store has.

use crate::{
    format::{
        header::{HEADER_LIMIT, VerifiedHeader},
        index::SEALED_LIMIT,
        pack::PACK_LIMIT,
        page::PAGE_LIMIT,
    },
    model::{Finding, Hash, Key, LockMode, Severity, SnapshotId, Time},
    store::Version,
    vault::stock::{At, Stored},
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
            Self::Page => "the snapshots that name it can't tell which packs are theirs",
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
    pub(super) at: At,
    pub(super) kind: Kind,
    pub(super) hash: Hash,
    pub(super) bytes: Option<u64>,
    pub(super) hint: Option<Box<str>>,
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

/// What names an object says of it: its hash, and perhaps its size and its version.
pub(super) type Said = (Hash, Option<u64>, Option<Box<str>>);

impl Needed {
    pub(super) fn new(at: At, kind: Kind, (hash, bytes, hint): Said, promise: &Promise) -> Self {
        Self {
            at,
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
        }
    }

    /// Its key.
    pub(super) fn key(&self) -> Key {
        self.at.key()
    }

    /// Whether an object of this size can be it.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        // Whatever its size is said to be: nobody reads more.
        let limit = match self.kind {
            Kind::Header => HEADER_LIMIT as u64,
            Kind::Page => PAGE_LIMIT as u64,
            Kind::Index => SEALED_LIMIT as u64,
            Kind::Pack => PACK_LIMIT as u64,
            _ => DOCUMENT_LIMIT,
        };
        bytes <= limit && self.bytes.is_none_or(|wanted| wanted == bytes)
    }

    pub(super) fn missing(&self) -> bool {
        self.candidates.is_empty()
    }

    /// A finding about it.
    pub(super) fn finding(&self, severity: Severity, code: &str, what: impl Into<String>) -> Finding {
        let finding = Finding::new(severity, code, what).on(self.key());
        self.snapshot.map_or(finding.clone(), |snapshot| finding.of(snapshot))
    }

    /// What is said of it where it is not there.
    pub(super) fn gone(&self) -> Finding {
        let (kind, meaning) = (self.kind.as_str(), self.kind.meaning());
        if self.versions > 0 {
            let what =
                format!("this {kind} is there in another size than was signed, cut short or replaced: {meaning}");
            return self.finding(Severity::Error, &format!("{kind}.size"), what);
        }
        self.finding(Severity::Error, &format!("{kind}.missing"), format!("this {kind} is missing: {meaning}"))
    }

    /// Adds a version that was listed.
    pub(super) fn version(&mut self, stored: Stored, most: usize) {
        self.versions = self.versions.saturating_add(1);
        if !self.fits(stored.bytes) || self.candidates.len() >= most {
            return;
        }
        let version = stored.version.as_ref().map(Version::as_str);
        let hinted = version.is_some() && version == self.hint.as_deref();
        let candidate = Candidate { version: stored.version, bytes: stored.bytes };
        let at = if hinted { 0 } else { self.candidates.len() };
        self.candidates.insert(at, candidate);
    }

    pub(super) fn raise(&mut self, promise: &Promise) {
        if promise.suspect && !self.suspect {
            return;
        }
        self.suspect &= promise.suspect;
        if promise.floor > self.floor {
            (self.floor, self.snapshot) = (promise.floor, promise.snapshot);
        }
        self.expires = self.expires.max(promise.expires);
    }
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
    pub(super) fn of(snapshot: &VerifiedHeader, suspect: bool, held: Option<&Hold>) -> Self {
        let header = &snapshot.header;
        let times = (header.floor_until, header.expires_at);
        Self::until(snapshot.id, snapshot.descriptor.lock.mode, times, suspect, held)
    }

    pub(super) fn until(
        id: SnapshotId,
        mode: LockMode,
        (floor, expires): (Time, Time),
        suspect: bool,
        held: Option<&Hold>,
    ) -> Self {
        let mut promise = Self { mode, floor, expires, snapshot: Some(id), suspect };
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
