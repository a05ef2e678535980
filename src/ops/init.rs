//! `init`: makes a vault, and proves that its store holds locks before anything depends on it.
//!
//! In three steps, since the keys have to be safe on the owner's disk before the vault exists: [`Prepared::new`] makes
//! all keys and documents, [`Prepared::store`] proves the locks and stores everything but the descriptor, and
//! [`Prepared::found`] stores the descriptor. Until then there is no vault, and what a failed try left in the store
//! means nothing.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    OpsError, Result,
    lock_proof::{LockProof, Prover},
    member::{Authority, Enrolled},
    publish::Publisher,
};
use crate::{
    codec::{
        hash::{self, ChunkIdKey},
        seal::{self, IdentityText, Recipient, Sealer},
        sign::SigningKey,
    },
    format::{
        descriptor::Descriptor,
        dsse::Envelope,
        epoch::EpochRecord,
        evidence::{Evidence, EvidenceKind},
        layout, root,
    },
    model::{Hash, Key, LockBy, LockMode, LockPolicy, Name, NamePattern, Span, Time, VaultId},
    store::{Deleter, ObjectStore, Payload, VersionEntry},
};

pub use crate::vault::evidence::OWNER;

/// What kind of vault to make.
pub struct InitRequest {
    /// Who can open everything, the root key included. With none, an identity is made.
    pub owners: Vec<Recipient>,
    /// Who can open backups and not the root key.
    pub drillers: Vec<Recipient>,
    /// How long each snapshot is promised to live.
    pub keep: Span,
    /// What no lock may exceed, so that what a mistake can cost is bounded.
    pub max_lock: Span,
    /// How strongly locks are held.
    pub mode: LockMode,
    /// Who sets the locks of new objects.
    pub by: LockBy,
    /// How much longer than `keep` new objects are locked.
    pub window: Span,
    /// The first writer.
    pub writer: Name,
    /// The sources that it may make snapshots of; any where there is none.
    pub sources: Vec<NamePattern>,
}

/// A vault that is ready to be stored.
pub struct Prepared {
    at: Time,
    root: SigningKey,
    people: Sealer,
    descriptor: Descriptor,
    envelope: Envelope,
    /// Everything but the descriptor and the evidence.
    objects: Vec<(Key, Payload)>,
    writer: Name,
    /// The writer's key file, to be kept where it runs.
    pub writer_key: Zeroizing<Vec<u8>>,
    /// The identity that was made, if no owner was given.
    pub recovery: Option<IdentityText>,
    /// The recipients of the owners.
    pub owners: Vec<String>,
}

/// A vault that was made.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// Its id, which is where trust starts.
    pub vault_id: VaultId,
    /// Where it is.
    pub url: String,
    /// Its first writer.
    pub writer: Name,
    /// Who can open everything.
    pub owners: Vec<String>,
    /// How long each snapshot is promised to live.
    pub keep: Span,
    /// How much longer new objects are locked.
    pub window: Span,
    /// How strongly locks are held.
    pub mode: LockMode,
    /// Who sets them.
    pub lock_by: LockBy,
    /// Until when what `init` wrote can't be deleted.
    pub locked_until: Time,
    /// Whether the writer extends the locks of what it still needs, instead of storing it again.
    pub extends: bool,
    /// How many full copies of unchanging data keep and window imply.
    pub implied_copies: f64,
    /// How the locks were proved.
    pub lock_proof: LockProof,
    /// Where the signed proof is kept.
    pub evidence: String,
}

/// Fails if there is a vault in `store` already.
///
/// # Errors
/// `VaultExists`, or the store's.
pub async fn must_be_free(store: &dyn ObjectStore) -> Result<()> {
    let key = layout::descriptor();
    // A delete marker hides a vault, and unmakes none.
    if store.traits().versions {
        let mut there = false;
        let mut look = |entry: VersionEntry| there |= entry.key == key.as_str() && !entry.delete_marker;
        store.list_versions(key.as_str(), &mut look).await?;
        return if there { Err(OpsError::VaultExists { url: store.url() }) } else { Ok(()) };
    }
    match store.head(&key, None).await {
        Ok(_) => Err(OpsError::VaultExists { url: store.url() }),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl InitRequest {
    /// The policy that it means.
    ///
    /// # Errors
    /// `Request` if no vault can have it.
    pub fn policy(&self) -> Result<LockPolicy> {
        let window = self.window;
        let refuse = |what: String, next: &str| Err(OpsError::Request { what, next: next.to_owned() });
        if self.keep == Span::ZERO {
            return refuse("--keep is 0, so nothing would be kept".to_owned(), "give --keep a span such as 35d");
        }
        let max_lock = self.max_lock;
        if self.keep + window > max_lock {
            let what = format!("keep = {} with a window of {window} is more than --max-lock {max_lock}", self.keep);
            return refuse(what, "nobody can take such a lock back; give --keep a shorter span");
        }
        if self.writer.as_str() == OWNER {
            return refuse(format!("{OWNER:?} is the name under which the root signs"), "give --writer another name");
        }
        Ok(LockPolicy { mode: self.mode, by: self.by, keep: self.keep, window, max_lock })
    }
}

impl Prepared {
    /// Makes the keys and documents of a new vault in `store`. Writes nothing.
    ///
    /// # Errors
    /// If the request can't be met, there is a vault already, or a recipient's plugin fails.
    pub async fn new(store: &dyn ObjectStore, request: InitRequest) -> Result<Self> {
        let policy = request.policy()?;
        must_be_free(store).await?;
        let at = store.server_time().await?;
        let InitRequest { mut owners, drillers, writer, sources, .. } = request;
        let recovery = owners.is_empty().then(seal::generate_identity).map(|(identity, recipient)| {
            owners.push(recipient);
            identity
        });
        let names = owners.iter().map(ToString::to_string).collect();
        let owners_seal = Sealer::new(owners.clone());
        let people = Sealer::new(owners.into_iter().chain(drillers).collect());

        let root = SigningKey::generate()?;
        let nonce = Hash::from_bytes(*ChunkIdKey::generate()?.id(b"nonce").as_bytes());
        let vault = Descriptor::vault_id(&root.public(), &nonce);
        let root_record = root::seal(vault, &root, &owners_seal)?;
        let root_hash = hash::hash(root_record.bytes());
        let descriptor = Descriptor::new(root.public(), nonce, at, vec![root_hash], policy);
        let envelope = Envelope::sign(&descriptor, &root)?;

        let (epoch_identity, _) = seal::generate_identity();
        let master = ChunkIdKey::generate()?;
        let epoch = EpochRecord::seal(vault, 1, &epoch_identity, &master, &people)?;
        let epoch = Envelope::sign(&epoch, &root)?;

        let authority = Authority { vault, root: &root, descriptor: &envelope, at };
        let Enrolled { certificate, key_file } = authority.writer(&writer, sources, &master, &epoch)?;

        let (epoch_doc, certificate_doc) = (epoch.encode()?, certificate.encode()?);
        let objects = vec![
            (layout::root_record(&root_hash), Payload::Sealed(root_record)),
            (layout::epoch_record(1, 1, &hash::hash(epoch_doc.bytes())), Payload::Public(epoch_doc)),
            (layout::certificate(&writer, 1, &hash::hash(certificate_doc.bytes())), Payload::Public(certificate_doc)),
        ];
        Ok(Self {
            at,
            root,
            people,
            descriptor,
            envelope,
            objects,
            writer,
            writer_key: key_file,
            recovery,
            owners: names,
        })
    }

    /// The id of the vault to be.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        self.descriptor.vault
    }

    /// When it was made, by the store's clock.
    #[must_use]
    pub fn at(&self) -> Time {
        self.at
    }

    /// The name of its writer.
    #[must_use]
    pub fn writer(&self) -> &Name {
        &self.writer
    }

    /// Proves that the store holds locks, and stores everything but the descriptor.
    ///
    /// # Errors
    /// `LockNotEnforced`, or the store's.
    pub async fn store(&self, store: &dyn ObjectStore, deleter: &dyn Deleter) -> Result<(LockProof, String)> {
        let member: Name = super::evidence::owner()?;
        let mode = self.descriptor.lock.mode;
        let publisher = self.publisher(store);
        let default = (!publisher.explicit()).then(|| publisher.wanted());
        let prover = Prover { store, deleter, member: &member, sealer: &self.people, mode, default, at: self.at };
        let proof = prover.prove().await?;
        for (key, payload) in &self.objects {
            self.put(store, key, payload).await?;
        }
        let evidence = Evidence {
            vault: self.descriptor.vault,
            member: member.clone(),
            kind: EvidenceKind::LockProof,
            at: self.at,
            snapshots: Vec::new(),
            result: serde_json::to_value(&proof).map_err(|_| OpsError::Defect("the encoding of the lock proof"))?,
        };
        let document = Envelope::sign(&evidence, &self.root)?.encode()?;
        let key = layout::evidence(&member, self.at, &hash::hash(document.bytes()));
        self.put(store, &key, &Payload::Public(document)).await?;
        Ok((proof, key.to_string()))
    }

    /// Stores the descriptor. From here on there is a vault.
    ///
    /// # Errors
    /// `VaultExists` if somebody else was faster, or the store's.
    pub async fn found(self, store: &dyn ObjectStore, (proof, evidence): (LockProof, String)) -> Result<InitReport> {
        let document = Payload::Public(self.envelope.encode()?);
        self.put(store, &layout::descriptor(), &document).await?;
        let policy = self.descriptor.lock;
        let (extends, lock) = (self.publisher(store).explicit(), self.publisher(store).lock());
        Ok(InitReport {
            vault_id: self.descriptor.vault,
            url: store.url(),
            writer: self.writer,
            owners: self.owners,
            keep: policy.keep,
            window: policy.window,
            mode: policy.mode,
            lock_by: policy.by,
            locked_until: lock.until,
            extends,
            implied_copies: if extends { 1.0 } else { policy.implied_copies() },
            lock_proof: proof,
            evidence,
        })
    }

    /// Puts documents as the policy of the new vault has it.
    fn publisher<'a>(&self, store: &'a dyn ObjectStore) -> Publisher<'a> {
        Publisher::new(store, &self.descriptor.lock, self.at)
    }

    /// Stores a document and reads back that it is locked as long as it should be.
    async fn put(&self, store: &dyn ObjectStore, key: &Key, payload: &Payload) -> Result<()> {
        let put = self.publisher(store).put(key, payload).await?;
        put.map(drop).ok_or_else(|| OpsError::VaultExists { url: store.url() })
    }
}
