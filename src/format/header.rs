//! `snapshots/<writer>/<seq>-<id>.json`: the commit point of a snapshot, signed by its writer, always written last.
//!
//! A header embeds what it depends on: the vault's descriptor, the writer's certificate and the epoch record. So they
//! live as long as it does, and a reader needs nothing else to trust it but the vault's id.

use serde::{Deserialize, Serialize};

use super::{
    FORMAT, FormatError, Public, Result, bounded,
    certificate::{Certificate, Role},
    descriptor::Descriptor,
    dsse::{Document, Envelope},
    epoch::EpochRecord,
    list::ChunkRef,
};
use crate::{
    codec::{hash, sign::SigningKey},
    model::{ChunkerParams, Hash, Name, SnapshotId, SourceKind, Tier, Time, VaultId, journal},
    signal::Level,
};

const WHAT: &str = "snapshot header";
/// The largest header in bytes, as stored. The one limit that no feature can announce a change of: a reader must know it
/// before it decodes anything.
pub const HEADER_LIMIT: usize = 256 << 10;
/// The most predecessors that a header names.
pub const MAX_PREV: usize = 64;
/// The most indexes that a header names.
pub const MAX_INDEXES: usize = 32;

/// An object that a header names by the hash of its stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// BLAKE3 of its stored bytes, which is its name.
    pub hash: Hash,
    /// Its size in bytes.
    pub bytes: u64,
    /// The store's version when it was written: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::version")]
    pub version: Option<String>,
}

/// What a snapshot amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes of all its streams.
    pub bytes: u64,
    /// Streams.
    pub streams: u64,
    /// Chunks of all its streams.
    pub chunks: u64,
    /// Packs that it needs.
    pub packs: u64,
    /// Sealed bytes of those packs.
    pub packed: u64,
}

/// What a writer's rule said of its own run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// The rule.
    pub rule: String,
    /// How loud.
    pub level: Level,
}

/// A snapshot's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The writer that signed it.
    pub writer: Name,
    /// The writer's sequence number, from 1.
    pub seq: u64,
    /// The writer's newest headers when this one was made. More than one is a fork, and a finding.
    pub prev: Vec<SnapshotId>,
    /// The source's name.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// When the run started, by the store's clock.
    pub started_at: Time,
    /// When the header was made, by the writer's own clock: a claim.
    pub claimed_at: Time,
    /// Until when all that the snapshot needs was locked when it was committed, at least.
    pub floor_until: Time,
    /// Until when the snapshot is to be kept.
    pub expires_at: Time,
    /// Why it is kept longer than others, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// When the source's data was last stored in full, leaning on nothing that was stored before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_at: Option<Time>,
    /// Where in its source's log the snapshot stands: a journal of that line goes on from it. Said of bases alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<journal::Start>,
    /// What its writer found odd about what it backed up, if anything. Never anything out of the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded::flags")]
    pub signals: Vec<Flag>,
    /// The pages that name its packs.
    pub pages: Vec<ObjectRef>,
    /// The indexes that find its chunks.
    pub indexes: Vec<ObjectRef>,
    /// The chunks of its sealed body.
    pub body: Vec<ChunkRef>,
    /// What it amounts to.
    pub totals: Totals,
    /// What the writer warned of. Never anything out of the data.
    #[serde(default, deserialize_with = "bounded::warnings")]
    pub warnings: Vec<String>,
    /// What a reader must understand to read this snapshot.
    #[serde(default, deserialize_with = "bounded::features")]
    pub features: Vec<String>,
    /// The vault's descriptor.
    pub descriptor: Envelope,
    /// The writer's certificate.
    pub certificate: Envelope,
    /// The record of the epoch that the snapshot is sealed to.
    pub epoch: Envelope,
}

impl Document for Header {
    const WHAT: &'static str = WHAT;
    const TYPE: &'static str = "application/vnd.strongroom.snapshot+json";
    const LIMIT: usize = HEADER_LIMIT;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

/// How a header stands with the store and the members: filled in by whoever lists a vault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the store first had these bytes, where its time is a witness.
    pub stored_at: Option<Time>,
    /// Since when the snapshot is there, as far as can be known: its own claim, or the store's time where the claim is
    /// false.
    pub since: Option<Time>,
    /// Whether its writer was revoked from a time before it, or may not write its source: never `latest`, never built
    /// upon.
    pub suspect: bool,
    /// Whether its writer's certificate names other sources than its own. Then it is suspect.
    pub outside: bool,
    /// Whether its run is said to start at a time that is not yet: never `latest`, and of no age.
    pub future: bool,
    /// What its writer has to do with its source.
    pub claim: Claim,
}

/// What a writer has to do with a source of which it made a snapshot: the greater claim goes before the lesser one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It was revoked since.
    Revoked,
    /// Its certificate names no sources.
    #[default]
    Open,
    /// Its certificate names this source.
    Named,
}

/// A header whose every claim that can be checked without the store holds.
#[derive(Debug, Clone)]
pub struct VerifiedHeader {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// The header.
    pub header: Header,
    /// The descriptor that it embeds.
    pub descriptor: Descriptor,
    /// The writer's certificate that it embeds.
    pub certificate: Certificate,
    /// The epoch record that it embeds.
    pub epoch: EpochRecord,
    /// How it stands with the store and the members.
    pub standing: Standing,
}

impl Header {
    /// Signs the header and returns its snapshot id and its bytes as they are stored.
    ///
    /// # Errors
    /// If it is larger than [`HEADER_LIMIT`].
    pub fn seal(&self, key: &SigningKey) -> Result<(SnapshotId, Public)> {
        let public = Envelope::sign(self, key)?.encode()?;
        if public.bytes().len() > HEADER_LIMIT {
            return Err(FormatError::TooLarge { what: WHAT, limit: HEADER_LIMIT });
        }
        Ok((snapshot_id(public.bytes()), public))
    }
}

/// The id of the snapshot whose header is stored as `bytes`.
#[must_use]
pub fn snapshot_id(bytes: &[u8]) -> SnapshotId {
    SnapshotId::from_bytes(*hash::hash(bytes).as_bytes())
}

impl VerifiedHeader {
    /// Opens a header as it is stored: follows trust from `vault` to its root, to the writer's certificate, to the
    /// header's signature, and checks what it says of itself.
    ///
    /// # Errors
    /// If trust does not reach it, or it needs a newer build.
    pub fn open(bytes: &[u8], vault: VaultId) -> Result<Self> {
        if bytes.len() > HEADER_LIMIT {
            return Err(FormatError::TooLarge { what: WHAT, limit: HEADER_LIMIT });
        }
        let envelope = Envelope::decode::<Header>(bytes)?;
        let claimed: Header = envelope.claims()?;
        let descriptor = Descriptor::open(&claimed.descriptor)?;
        if descriptor.vault != vault {
            return Err(FormatError::untrusted(WHAT, format!("it belongs to vault {}", descriptor.vault)));
        }
        let certificate: Certificate = claimed.certificate.open(&descriptor.root, vault)?;
        if certificate.role != Role::Writer || certificate.name != claimed.writer {
            return Err(FormatError::untrusted(WHAT, "its certificate is not that of its writer"));
        }
        let epoch: EpochRecord = claimed.epoch.open(&descriptor.root, vault)?;
        let header: Header = envelope.open(&certificate.signing_key, vault)?;
        // The id is a hash of these bytes: were another spelling of them valid too, anybody could make copies.
        if !envelope.is_canonical(bytes, &certificate.signing_key) {
            return Err(FormatError::untrusted(WHAT, "it is spelled otherwise than its writer spelled it"));
        }
        header.check()?;
        let standing = Standing::default();
        Ok(Self { id: snapshot_id(bytes), header, descriptor, certificate, epoch, standing })
    }
}

impl Header {
    fn check(&self) -> Result<()> {
        debug_assert_eq!(self.format, FORMAT);
        let bad = |why: &str| Err(FormatError::damaged(WHAT, why));
        if self.seq == 0 || self.prev.len() > MAX_PREV {
            return bad("its place in the chain is out of bounds");
        }
        if self.expires_at < self.floor_until || self.floor_until < self.started_at {
            return bad("its times contradict each other");
        }
        if self.indexes.len() > MAX_INDEXES {
            return bad("it names too many indexes");
        }
        if self.body.is_empty() || self.body.iter().any(|c| c.len == 0 || c.len > ChunkerParams::LIMIT) {
            return bad("its body is out of bounds");
        }
        Ok(())
    }
}
