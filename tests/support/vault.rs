//! A vault in any store, made by hand, and what a writer and an owner do with it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{io::Read, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use strongroom::{
    catalog::{Bases, Catalog},
    codec::{
        hash::{self, ChunkIdKey},
        seal::{self, NoPrompt, Opener, Recipient, Sealer},
        sign::SigningKey,
    },
    format::{
        FORMAT,
        certificate::{Certificate, Role},
        descriptor::Descriptor,
        dsse::Envelope,
        epoch::EpochRecord,
        layout, root,
        writer_key::{self, Embedded, NewWriter, Writer},
    },
    model::{
        Cancel, ChunkerParams, Clock, Hash, LockBy, LockMode, LockPolicy, Name, Silent, SourceKind, Span, Tiers, Time,
        VaultId, journal::Start,
    },
    store::{ObjectStore, Payload},
    vault::{
        Vault, VaultError,
        input::{Facts, Incoming, Reading},
        keys,
        reader::Snapshot,
        snapshots,
        writer::{self, Committed, Request, Workplace},
    },
};

/// A vault with one writer, and everything that its owner holds.
pub struct Made {
    pub store: Arc<dyn ObjectStore>,
    pub clock: Arc<dyn Clock>,
    pub id: VaultId,
    pub writer: Arc<Writer>,
    /// The writer's key file.
    pub key: Vec<u8>,
    pub owner: Opener,
    /// The owner's age identity file.
    pub identity: String,
    /// What its writer's configuration says of tiers.
    pub tiers: Tiers,
    /// How often its writer stores anew.
    pub full_every: Option<Span>,
    /// How large the cache of bases may get.
    pub delta_cache: u64,
    /// Whether its writer compresses harder for a slow store.
    pub adapts: bool,
}

/// The lock policy of test vaults: 35 days, and 30 more.
pub fn policy() -> LockPolicy {
    LockPolicy {
        mode: LockMode::Compliance,
        by: LockBy::BucketDefault,
        keep: Span::days(35),
        window: Span::days(30),
        max_lock: Span::days(400),
    }
}

/// Makes a vault in an empty store.
pub async fn make(store: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, policy: LockPolicy) -> Made {
    make_cutting(store, clock, policy, ChunkerParams::DATA).await
}

/// The same, whose streams are cut into chunks of these sizes.
pub async fn make_cutting(
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    policy: LockPolicy,
    chunker: ChunkerParams,
) -> Made {
    let root_key = SigningKey::generate().unwrap();
    let nonce = hash::hash(root_key.to_hex().as_bytes());
    let id = Descriptor::vault_id(&root_key.public(), &nonce);
    let (identity, owner) = seal::generate_identity();
    let owners = Sealer::new(vec![owner]);
    let record = root::seal(id, &root_key, &owners).unwrap();
    let root_hash = hash::hash(record.bytes());
    let now = clock.now();
    let descriptor = Descriptor { chunker, ..Descriptor::new(root_key.public(), nonce, now, vec![root_hash], policy) };
    let descriptor = Envelope::sign(&descriptor, &root_key).unwrap();
    let (epoch_identity, _) = seal::generate_identity();
    let master = ChunkIdKey::generate().unwrap();
    let epoch = EpochRecord::seal(id, 1, &epoch_identity, &master, &owners).unwrap();
    let epoch = Envelope::sign(&epoch, &root_key).unwrap();
    let name: Name = "w1".parse().unwrap();
    let key = make_writer(id, &root_key, &name, &master, &descriptor, &epoch, now);
    let writer = writer_key::open(&key).unwrap();
    // Where a role may not set locks, the store's default applies.
    let lock = store.traits().explicit_locks.then(|| policy.lock_from(now));
    let put = async |key, payload: Payload| drop(store.put_new(&key, &payload, lock).await.unwrap());
    put(layout::root_record(&root_hash), Payload::Sealed(record)).await;
    let public = epoch.encode().unwrap();
    put(layout::epoch_record(1, 1, &hash::hash(public.bytes())), Payload::Public(public)).await;
    let public = writer.embedded.certificate.encode().unwrap();
    put(layout::certificate(&name, 1, &hash::hash(public.bytes())), Payload::Public(public)).await;
    put(layout::descriptor(), Payload::Public(descriptor.encode().unwrap())).await;
    let identity = format!("# strongroom-vault: {id}\n{}\n", identity.expose());
    let owner = Opener::from_identity_text(&identity, "test", Arc::new(NoPrompt)).unwrap();
    let writer = Arc::new(writer);
    let (tiers, full_every, delta_cache) = (Tiers::default(), None, 1 << 30);
    Made { store, clock, id, writer, key, owner, identity, tiers, full_every, delta_cache, adapts: false }
}

fn make_writer(
    id: VaultId,
    root_key: &SigningKey,
    name: &Name,
    master: &ChunkIdKey,
    descriptor: &Envelope,
    epoch: &Envelope,
    now: Time,
) -> Vec<u8> {
    let signing_key = SigningKey::generate().unwrap();
    let (catalog, catalog_recipient) = seal::generate_identity();
    let certificate = Certificate {
        format: FORMAT.to_owned(),
        vault: id,
        name: name.clone(),
        rev: 1,
        role: Role::Writer,
        signing_key: signing_key.public(),
        catalog_recipient: Some(catalog_recipient.to_string()),
        valid_from: now,
        revoked_from: None,
        sources: Vec::new(),
    };
    let embedded = Embedded {
        descriptor: descriptor.clone(),
        certificate: Envelope::sign(&certificate, root_key).unwrap(),
        epoch: epoch.clone(),
    };
    let new =
        NewWriter { signing_key: &signing_key, catalog_identity: &catalog, chunk_id_key: &master.for_writer(name) };
    writer_key::encode(id, name, &new, &embedded).unwrap().to_vec()
}

impl Made {
    /// The same vault seen through another store, such as one that fails.
    pub fn through(&self, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            clock: Arc::clone(&self.clock),
            delta_cache: self.delta_cache,
            id: self.id,
            writer: Arc::clone(&self.writer),
            key: self.key.clone(),
            owner: self.owner.clone(),
            identity: self.identity.clone(),
            tiers: self.tiers,
            full_every: self.full_every,
            adapts: self.adapts,
        }
    }

    /// Where its writer works.
    pub fn place(&self) -> Workplace {
        Workplace {
            store: Arc::clone(&self.store),
            writer: Arc::clone(&self.writer),
            clock: Arc::clone(&self.clock),
            progress: Arc::new(Silent),
            cancel: Cancel::default(),
        }
    }

    /// The epoch's record again as revision `rev`, sealed to `people` alone; and the root's key, which has to sign it.
    pub async fn resealed(&self, rev: u32, people: Recipient) -> (EpochRecord, SigningKey) {
        let vault = Vault::open(Arc::clone(&self.store), Some(self.id)).await.unwrap();
        let root = keys::root_key(&vault, &self.owner).await.unwrap();
        let record = self.writer.epoch.clone();
        let plain = self.owner.open(&STANDARD.decode(&record.sealed).unwrap(), 4096).unwrap();
        let sealed = STANDARD.encode(Sealer::new(vec![people]).seal(&plain).unwrap().bytes());
        (EpochRecord { rev, sealed, ..record }, root)
    }

    /// Stores an epoch record that `signer` signed.
    pub async fn put_epoch(&self, record: &EpochRecord, signer: &SigningKey) {
        let public = Envelope::sign(record, signer).unwrap().encode().unwrap();
        let key = layout::epoch_record(record.epoch, record.rev, &hash::hash(public.bytes()));
        self.store.put_new(&key, &Payload::Public(public), None).await.unwrap();
    }

    /// Backs up named streams as source `source`, with the catalog in `state`.
    pub async fn backup(
        &self,
        state: &Path,
        source: &str,
        streams: impl Reading + 'static,
    ) -> Result<Committed, VaultError> {
        self.backup_at(self.place(), state, source, streams).await
    }

    /// The same at a workplace of one's own, with its progress and its request to stop.
    pub async fn backup_at(
        &self,
        place: Workplace,
        state: &Path,
        source: &str,
        streams: impl Reading + 'static,
    ) -> Result<Committed, VaultError> {
        let bases = Bases::open(state, self.id, &self.writer.name, self.delta_cache).unwrap();
        let request = Request {
            source: source.parse().unwrap(),
            kind: SourceKind::Stdin,
            keep: None,
            tiers: self.tiers,
            full_every: self.full_every,
            allow_empty: false,
            level: 2,
            adapts: self.adapts,
            bases: Some(Arc::new(bases)),
            warnings: Vec::new(),
            judge: None,
        };
        let (state, id, name) = (state.to_owned(), self.id, self.writer.name.clone());
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut catalog = Catalog::open(&state, id, &name).unwrap().into_catalog();
            writer::backup(&place, &runtime, &mut catalog, request, Box::new(streams))
        })
        .await
        .unwrap()
    }

    /// Restores every stream of every snapshot, oldest first, from nothing but the store and the owner's identity.
    pub async fn restore_all(&self) -> Result<Vec<Vec<(String, Vec<u8>)>>, VaultError> {
        let vault = Vault::open(Arc::clone(&self.store), Some(self.id)).await?;
        let mut all = Vec::new();
        for listed in snapshots::list(&vault).await?.snapshots {
            let header = vault.whole(&listed).await?;
            let snapshot = Snapshot::open(&vault, header, &self.owner).await?;
            let mut streams = Vec::new();
            for stream in &snapshot.body.streams {
                let sink = Shared::default();
                snapshot.restore_stream(stream, Box::new(sink.clone()), Arc::new(Silent), Cancel::default()).await?;
                let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
                streams.push((stream.name.to_string(), bytes));
            }
            all.push(streams);
        }
        Ok(all)
    }
}

/// A sink that can be looked into.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Streams out of memory.
pub struct Streams {
    streams: std::vec::IntoIter<(String, Vec<u8>)>,
}

pub fn streams<const N: usize>(streams: [(&str, Vec<u8>); N]) -> Streams {
    many(streams.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)))
}

pub fn many(streams: impl Iterator<Item = (String, Vec<u8>)>) -> Streams {
    Streams { streams: streams.collect::<Vec<_>>().into_iter() }
}

impl Reading for Streams {
    fn next_stream(&mut self) -> strongroom::source::Result<Option<Incoming>> {
        Ok(self.streams.next().map(|(name, bytes)| Incoming {
            name: name.parse().unwrap(),
            path: None,
            meta: strongroom::model::FileMeta::default(),
            expected: None,
            reader: Box::new(Slow(std::io::Cursor::new(bytes))),
        }))
    }

    fn finish(self: Box<Self>) -> strongroom::source::Result<Facts> {
        Ok(Facts::default())
    }
}

/// Streams of a source that knows where in its log it stands.
pub struct Based(pub Streams, pub Start);

impl Reading for Based {
    fn next_stream(&mut self) -> strongroom::source::Result<Option<Incoming>> {
        self.0.next_stream()
    }

    fn finish(self: Box<Self>) -> strongroom::source::Result<Facts> {
        Ok(Facts { journal: Some(self.1), ..Facts::default() })
    }
}

/// Gives less than it is asked for, as pipes do.
struct Slow(std::io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = out.len().min(60_000);
        self.0.read(&mut out[..most])
    }
}

/// Bytes that look like a dump: lines with numbers and words, the same for the same seed.
pub fn dump(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut out = Vec::with_capacity(len + 64);
    let words = ["paid", "open", "shipped", "lorem", "ipsum", "dolor", "amet", "vault"];
    while out.len() < len {
        let (a, b) = (next(), next());
        let word = words[usize::try_from(b % 8).unwrap()];
        out.extend_from_slice(format!("{}\t{}\t{word}\t{:x}\n", out.len(), a % 100_000, b >> 40).as_bytes());
    }
    out.truncate(len);
    out
}

/// Bytes that nothing shrinks.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let key: Hash = hash::hash(&seed.to_le_bytes());
    let mut state = u64::from_le_bytes(key.as_bytes()[..8].try_into().unwrap()) | 1;
    for byte in out.chunks_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes();
        byte.copy_from_slice(&mixed[..byte.len()]);
    }
    out
}
