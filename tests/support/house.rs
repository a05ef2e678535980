//! What an owner makes for a vault with one writer, in memory, and ways to break it.

use std::sync::Arc;

use strongroom::{
    codec::{
        hash::ChunkIdKey,
        seal::{self, IdentityText, NoPrompt, Opener, Recipient, Sealer},
        sign::SigningKey,
    },
    format::{
        FORMAT, FormatError,
        certificate::{Certificate, Role},
        descriptor::Descriptor,
        dsse::{Document, Envelope},
        epoch::EpochRecord,
        header::{Header, Totals, VerifiedHeader},
        list::ChunkRef,
    },
    model::{ChunkId, Hash, LockBy, LockMode, LockPolicy, Name, SnapshotId, SourceKind, Span, Time, VaultId},
};

pub fn seed(n: u8) -> SigningKey {
    SigningKey::from_hex(&format!("{n:02x}").repeat(32)).unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn now() -> Time {
    "2026-11-22T21:51:00Z".parse().unwrap()
}

/// Everything that an owner made for a vault with one writer.
pub struct House {
    pub root: SigningKey,
    pub descriptor: Descriptor,
    pub writer: SigningKey,
    pub epoch: EpochRecord,
    pub people: Opener,
}

impl House {
    /// The vault of root key `root` and nonce `nonce`.
    pub fn new(root: u8, nonce: u8) -> Self {
        let root = seed(root);
        let lock = LockPolicy {
            mode: LockMode::Compliance,
            by: LockBy::BucketDefault,
            keep: Span::days(35),
            window: Span::days(30),
            max_lock: Span::days(400),
        };
        let descriptor = Descriptor::new(root.public(), Hash::from_bytes([nonce; 32]), now(), Vec::new(), lock);
        let (identity, recipient) = seal::generate_identity();
        let (epoch_identity, _) = seal::generate_identity();
        let people = opener(&identity);
        let key = ChunkIdKey::generate().unwrap();
        let epoch = EpochRecord::seal(descriptor.vault, 1, &epoch_identity, &key, &to(recipient)).unwrap();
        Self { root, descriptor, writer: seed(200), epoch, people }
    }

    pub fn id(&self) -> VaultId {
        self.descriptor.vault
    }

    pub fn certificate(&self) -> Certificate {
        Certificate {
            format: FORMAT.to_owned(),
            vault: self.id(),
            name: name("db1"),
            rev: 1,
            role: Role::Writer,
            signing_key: self.writer.public(),
            catalog_recipient: None,
            valid_from: now(),
            revoked_from: None,
            sources: Vec::new(),
        }
    }

    pub fn signed<T: Document>(&self, document: &T) -> Envelope {
        Envelope::sign(document, &self.root).unwrap()
    }

    pub fn header(&self) -> Header {
        Header {
            format: FORMAT.to_owned(),
            vault: self.id(),
            writer: name("db1"),
            seq: 7,
            prev: vec![SnapshotId::from_bytes([6; 32])],
            source: name("orders"),
            kind: SourceKind::Stdin,
            started_at: now(),
            claimed_at: now(),
            floor_until: now() + Span::days(35),
            expires_at: now() + Span::days(35),
            tier: None,
            journal: None,
            signals: Vec::new(),
            full_at: None,
            pages: Vec::new(),
            indexes: Vec::new(),
            body: vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len: 100 }],
            totals: Totals::default(),
            warnings: Vec::new(),
            features: Vec::new(),
            descriptor: self.signed(&self.descriptor),
            certificate: self.signed(&self.certificate()),
            epoch: self.signed(&self.epoch),
        }
    }

    /// What a reader says of the house's header after `change`, signed by the writer.
    pub fn with(&self, change: impl FnOnce(&mut Header)) -> Result<VerifiedHeader, FormatError> {
        let mut header = self.header();
        change(&mut header);
        self.read(&stored(&header, &self.writer))
    }

    pub fn read(&self, bytes: &[u8]) -> Result<VerifiedHeader, FormatError> {
        VerifiedHeader::open(bytes, self.id())
    }
}

pub fn opener(identity: &IdentityText) -> Opener {
    Opener::from_identity_text(identity.expose(), "test", Arc::new(NoPrompt)).unwrap()
}

pub fn to(recipient: Recipient) -> Sealer {
    Sealer::new(vec![recipient])
}

pub fn stored(header: &Header, key: &SigningKey) -> Vec<u8> {
    header.seal(key).unwrap().1.bytes().to_vec()
}

/// The error must be `Untrusted`, about `what`, for a reason that says `why`.
#[track_caller]
pub fn untrusted<T>(result: Result<T, FormatError>, what: &str, why: &str) {
    match result.err() {
        Some(FormatError::Untrusted { what: found, why: because }) => {
            assert_eq!(found, what, "{because}");
            assert!(because.contains(why), "{because:?} does not say {why:?}");
        }
        other => panic!("{what}: {why}: {other:?}"),
    }
}

#[track_caller]
pub fn damaged<T>(result: Result<T, FormatError>, why: &str) {
    match result.err() {
        Some(FormatError::Damaged { why: because, .. }) => assert!(because.contains(why), "{because:?}, not {why:?}"),
        other => panic!("{why}: {other:?}"),
    }
}

/// The envelope with its payload changed as text, its signature as it was.
pub fn tampered(bytes: &[u8], from: &str, into: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut envelope: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    assert!(payload.contains(from), "{payload} does not hold {from}");
    envelope["payload"] = STANDARD.encode(payload.replacen(from, into, 1)).into();
    serde_json::to_vec(&envelope).unwrap()
}

impl House {
    /// The header as the payload of `bytes` has it.
    pub fn header_like(&self, bytes: &[u8]) -> Header {
        Envelope::decode::<Header>(bytes).unwrap().open(&self.writer.public(), self.id()).unwrap()
    }
}

/// An envelope of kind `T` whose payload is this JSON.
pub fn sign_json<T: Document>(payload: &serde_json::Value, key: &SigningKey) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let payload = serde_json::to_string(payload).unwrap();
    let signed = format!("DSSEv1 {} {} {} {payload}", T::TYPE.len(), T::TYPE, payload.len());
    let sig = STANDARD.encode(key.sign(signed.as_bytes()).as_bytes());
    let payload = STANDARD.encode(payload);
    let signatures = [serde_json::json!({ "keyid": key.public().to_string(), "sig": sig })];
    serde_json::to_vec(&serde_json::json!({ "payload": payload, "payloadType": T::TYPE, "signatures": signatures }))
        .unwrap()
}
