//! What the decoders meet in the golden vaults.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use strongroom::{
    codec::{
        Codec, NoPrompt, Opener, PublicKey,
        hash::{self, ChunkIdKey},
    },
    format::{
        approval::{Approvers, Request, Spent},
        body::StreamRecord,
        certificate::Certificate,
        copied::CopyRecord,
        descriptor::Descriptor,
        dsse::{Document, Envelope},
        epoch::{EpochKeys, EpochRecord},
        evidence::Evidence,
        header::VerifiedHeader,
        hold::{Hold, Release},
        index::{self, INDEX_LIMIT},
        journal::{self, Origin},
        layout::{self, ObjectName},
        list, member_key,
        pack::{self, PACK_LIMIT},
        page::Page,
        root, writer_key,
    },
    model::{Key, LockBy, Name, Tier},
    store::local::LocalStore,
    vault::{Vault, members::Members, reader::Snapshot, snapshots},
};

use crate::{
    store_support::{HandClock, listed},
    vaults::Golden,
};

/// Everything that was met, of which the format has several.
#[derive(Debug, Default)]
pub struct Met {
    pub formats: BTreeSet<String>,
    pub objects: BTreeSet<&'static str>,
    pub codecs: BTreeSet<u8>,
    pub roles: BTreeSet<&'static str>,
    pub evidence: BTreeSet<&'static str>,
    pub tiers: BTreeSet<Option<&'static str>>,
    pub kinds: BTreeSet<&'static str>,
    pub modes: BTreeSet<&'static str>,
    pub lock_by: BTreeSet<&'static str>,
    pub depths: BTreeSet<u8>,
    /// What else there is, by what it is called in `features.rs`.
    pub others: BTreeSet<&'static str>,
}

/// What kind of object a name tells of. A new kind needs an arm here and a place in `features::OBJECTS`; but for the record of
/// a copy, which is in no vault that writers made, and which `g17` makes and reads.
pub fn object(name: &ObjectName) -> &'static str {
    match name {
        ObjectName::Descriptor => "descriptor",
        ObjectName::Root(_) => "root record",
        ObjectName::Epoch(..) => "epoch record",
        ObjectName::Certificate(..) => "certificate",
        ObjectName::Pack(..) => "pack",
        ObjectName::Index(..) => "index",
        ObjectName::Page(..) => "page",
        ObjectName::Header(..) => "header",
        ObjectName::Piece(_) => "piece of a journal",
        ObjectName::History(..) => "history of a timeline",
        ObjectName::Evidence(..) => "evidence",
        ObjectName::Canary(_) => "canary",
        ObjectName::Copy(_) => "record of a copy",
        ObjectName::Hold(..) => "hold",
        ObjectName::Release(..) => "release of a hold",
        ObjectName::Approvers(..) => "list of approvers",
        ObjectName::Spent(_) => "used approval",
    }
}

pub const fn lock_by(by: LockBy) -> &'static str {
    match by {
        LockBy::BucketDefault => "bucket-default",
        LockBy::Explicit => "explicit",
    }
}

pub const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Weekly => "weekly",
        Tier::Monthly => "monthly",
        Tier::Yearly => "yearly",
    }
}

/// A golden vault that is being read.
struct Reading<'a> {
    met: &'a mut Met,
    vault: Vault,
    people: Opener,
    headers: Vec<VerifiedHeader>,
}

impl Met {
    /// Reads every object of a golden vault by the decoders, and every key beside it.
    pub async fn read(&mut self, golden: &Golden) {
        let store = LocalStore::open(golden.sandbox.path("vault"), HandClock::new()).unwrap();
        let id = golden.expected["vault"].as_str().unwrap().parse().unwrap();
        let vault = Vault::open(Arc::new(store), Some(id)).await.unwrap();
        let people = std::fs::read_to_string(golden.sandbox.identity()).unwrap();
        let people = Opener::from_identity_text(&people, "test", Arc::new(NoPrompt)).unwrap();
        self.modes.insert(vault.descriptor.lock.mode.as_str());
        self.lock_by.insert(lock_by(vault.descriptor.lock.by));
        let mut headers = Vec::new();
        for listed in snapshots::list(&vault).await.unwrap().snapshots {
            headers.push(vault.whole(&listed).await.unwrap());
        }
        let mut reading = Reading { met: self, vault, people, headers };
        for entry in listed(&*reading.vault.store, "").await {
            let name = layout::parse(&entry.key).unwrap_or_else(|| panic!("{} names nothing", entry.key));
            reading.met.objects.insert(object(&name));
            let key: Key = entry.key.parse().unwrap();
            let bytes = reading.vault.store.get(&key, None, None).await.unwrap();
            reading.object(&name, &bytes);
        }
        let headers = reading.headers.clone();
        for header in headers {
            reading.snapshot(header).await;
        }
        let members = Members::of(&reading.vault).await.unwrap();
        assert!(members.findings.is_empty());
        reading.met.others.extend(members.iter().any(|c| c.revoked_from.is_some()).then_some("revoked writer"));
        self.keys(golden);
    }

    fn format(&mut self, document: &[u8]) {
        let document: Value = serde_json::from_slice(document).unwrap();
        self.formats.insert(document["format"].as_str().unwrap().to_owned());
    }

    /// Opens the key files that lie beside a vault.
    fn keys(&mut self, golden: &Golden) {
        for name in golden.keys() {
            let bytes = golden.key(&name);
            if let Ok(writer) = writer_key::open(&bytes) {
                self.format(&bytes);
                self.others.insert("writer's key file");
                assert_eq!(format!("{}.key", writer.name), name);
            } else if let Ok(member) = member_key::open(&bytes) {
                self.format(&bytes);
                self.others.insert("member's key file");
                assert_eq!(format!("{}.key", member.name), name);
            } else {
                assert!(matches!(name.as_str(), "recovery.key" | "drill.key"), "{name} is not a key");
            }
        }
    }
}

impl Reading<'_> {
    /// Decodes an object, after its name was read.
    fn object(&mut self, name: &ObjectName, bytes: &Bytes) {
        let hash = hash::hash(bytes);
        match name {
            ObjectName::Descriptor => drop(self.document::<Descriptor>(bytes)),
            ObjectName::Root(named) => {
                assert_eq!(hash, *named);
                root::open(self.vault.descriptor.vault, bytes, &self.people).unwrap();
                self.met.format(&self.people.open(bytes, 4096).unwrap());
            }
            ObjectName::Epoch(epoch, rev, named) => {
                let record = self.document::<EpochRecord>(bytes);
                assert_eq!((record.epoch, record.rev, hash), (*epoch, *rev, *named));
                record.open(&self.people).unwrap();
            }
            ObjectName::Certificate(name, rev, named) => {
                let certificate = self.document::<Certificate>(bytes);
                assert_eq!((&certificate.name, certificate.rev, hash), (name, *rev, *named));
                self.met.roles.insert(certificate.role.as_str());
                self.met.others.extend((certificate.rev > 1).then_some("certificate of a later revision"));
            }
            ObjectName::Pack(writer, id) => {
                assert_eq!(hash.as_bytes(), id.as_bytes());
                self.pack(writer, bytes);
            }
            ObjectName::Index(writer, named) => {
                assert_eq!(hash, *named);
                self.index(writer, bytes);
            }
            ObjectName::Page(writer, named) => {
                let page = Page::decode(bytes, self.vault.descriptor.vault, writer).unwrap();
                assert!(hash == *named && !page.packs.is_empty());
                self.met.format(bytes);
                let hinted = page.packs.iter().any(|pack| pack.version.is_some());
                self.met.others.extend(hinted.then_some("version of a pack in a page"));
            }
            ObjectName::Header(..) => self.met.format(&payload(bytes)),
            ObjectName::Piece(piece) => {
                assert_eq!(hash, piece.hash);
                let plain = self.epoch().opener.open(bytes, journal::SEALED_LIMIT).unwrap();
                let (vault, signer) = (self.vault.descriptor.vault, self.signer(&piece.writer));
                let (record, log) = journal::open(&plain, vault, piece, &signer).unwrap();
                assert_eq!(record.bytes, log.len() as u64);
                self.met.formats.insert(record.format);
                self.met.others.extend(record.previous.map(|_| "piece that names the one before it"));
            }
            ObjectName::History(writer, source, line, named) => {
                assert_eq!(hash, *named);
                let plain = self.epoch().opener.open(bytes, journal::SEALED_LIMIT).unwrap();
                let vault = self.vault.descriptor.vault;
                let (writer, source, line) = (writer.clone(), source.clone(), line.clone());
                let signer = self.signer(&writer);
                let (record, _) =
                    journal::open_history(&plain, &Origin { vault, writer, source, line }, &signer).unwrap();
                self.met.formats.insert(record.format);
            }
            ObjectName::Evidence(_, named) => {
                let evidence = Envelope::decode::<Evidence>(bytes).unwrap().claims::<Evidence>().unwrap();
                assert_eq!(hash, *named);
                self.met.format(&payload(bytes));
                self.met.evidence.insert(evidence.kind.as_str());
                self.met.others.extend((!evidence.snapshots.is_empty()).then_some("evidence about snapshots"));
            }
            ObjectName::Canary(_) => {}
            ObjectName::Copy(_) => {
                CopyRecord::decode(bytes).unwrap();
                self.met.format(bytes);
            }
            ObjectName::Hold(..) | ObjectName::Release(..) | ObjectName::Approvers(..) | ObjectName::Spent(_) => {
                self.guarded(name, bytes);
            }
        }
    }

    /// What holds snapshots, and what people agreed to.
    fn guarded(&mut self, name: &ObjectName, bytes: &Bytes) {
        let hash = hash::hash(bytes);
        match name {
            ObjectName::Hold(_, named) => {
                let hold = Envelope::decode::<Hold>(bytes).unwrap().claims::<Hold>().unwrap();
                assert!(hash == *named && !hold.snapshots.is_empty());
                self.met.format(&payload(bytes));
            }
            ObjectName::Release(_, named) => {
                let release = Envelope::decode::<Release>(bytes).unwrap().claims::<Release>().unwrap();
                assert!(hash == *named && release.approval.is_some());
                self.met.format(&payload(bytes));
            }
            ObjectName::Approvers(rev, named) => {
                let list = self.document::<Approvers>(bytes);
                assert_eq!((list.rev, hash, list.check().is_ok()), (*rev, *named, true));
            }
            ObjectName::Spent(nonce) => {
                let spent = Spent::decode(bytes).unwrap();
                assert_eq!(Request::decode(spent.approval.request.as_bytes()).unwrap().nonce, *nonce);
                self.met.format(bytes);
            }
            other => panic!("{other:?}"),
        }
    }

    /// A document that the root signed.
    fn document<T: Document>(&mut self, bytes: &[u8]) -> T {
        let descriptor = &self.vault.descriptor;
        let document = Envelope::decode::<T>(bytes).unwrap().open::<T>(&descriptor.root, descriptor.vault).unwrap();
        self.met.format(&payload(bytes));
        document
    }

    fn epoch(&self) -> EpochKeys {
        self.headers[0].epoch.open(&self.people).unwrap()
    }

    fn pack(&mut self, writer: &Name, bytes: &[u8]) {
        let keys = self.epoch();
        let key: ChunkIdKey = keys.chunk_id_key.for_writer(writer);
        let plain = keys.opener.open(bytes, PACK_LIMIT).unwrap();
        let (mut blocks, directory) = pack::split(&plain).unwrap();
        for block in &directory.blocks {
            let (stored, rest) = blocks.split_at(block.stored as usize);
            blocks = rest;
            self.met.codecs.insert(block.codec.into());
            if block.codec == Codec::Raw && block.chunks.len() == 1 {
                assert_eq!(key.id(stored), block.chunks[0].id);
            }
        }
    }

    fn signer(&self, writer: &Name) -> PublicKey {
        let header = self.headers.iter().find(|found| found.header.writer == *writer).unwrap();
        header.certificate.signing_key
    }

    fn index(&mut self, writer: &Name, bytes: &[u8]) {
        let plain = self.epoch().opener.open(bytes, INDEX_LIMIT).unwrap();
        let (vault, signer) = (self.vault.descriptor.vault, self.signer(writer));
        let (mut packs, mut hinted) = (0, false);
        index::open(&plain, vault, writer, &signer, |section, _| {
            packs += 1;
            hinted |= section.version.is_some();
            Ok::<_, strongroom::format::FormatError>(())
        })
        .unwrap();
        self.met.others.extend((packs > 1).then_some("merged index"));
        self.met.others.extend(hinted.then_some("version of a pack in an index"));
    }

    /// Opens a snapshot and looks at what its header and its body have.
    async fn snapshot(&mut self, header: VerifiedHeader) {
        let about = &header.header;
        self.met.kinds.insert(about.kind.as_str());
        self.met.tiers.insert(about.tier.map(tier));
        let mut others = vec![
            (header.standing.suspect, "suspect snapshot"),
            (about.prev.is_empty(), "first snapshot"),
            (!about.prev.is_empty(), "snapshot that follows another"),
            (about.indexes.len() > 1, "several indexes"),
            (about.expires_at > about.floor_until, "kept longer than the floor"),
            (about.journal.is_some(), "base of a journal"),
            (about.pages.iter().any(|page| page.version.is_some()), "version of an object in a header"),
        ];
        let snapshot = Snapshot::open(&self.vault, header, &self.people).await.unwrap();
        let body = &snapshot.body;
        self.met.formats.insert(body.format.clone());
        let hashed = |print: &strongroom::model::Fingerprint| print.tables.values().any(|table| table.hash.is_some());
        let tables = || body.fingerprints.iter().flat_map(|print| print.tables.values());
        let segments = body.streams.iter().filter(|stream| stream.name.as_str().starts_with("segment-")).count();
        others.extend([
            (!body.details.is_null(), "details"),
            (body.fingerprints.iter().any(hashed), "fingerprint with hashes"),
            (tables().any(|table| table.columns.is_some()), "fingerprint with columns"),
            (
                tables().any(|table| table.sample.as_ref().is_some_and(|sample| sample.len() > 9)),
                "fingerprint with samples",
            ),
            (segments > 1, "segments of a repository"),
            (body.details.get("since").is_some(), "changes of refs"),
        ]);
        for stream in &body.streams {
            self.met.depths.insert(stream.depth);
            others.extend(described(stream));
            let chunks = snapshot.chunks_of(stream).await.unwrap();
            assert_eq!(chunks.len() as u64, stream.chunks);
            // What a list is made of is what it encodes to.
            let mut encoded = Vec::new();
            for chunk in &chunks {
                list::push(&mut encoded, *chunk);
            }
            assert_eq!(list::decode(&encoded).unwrap(), chunks);
        }
        self.met.others.extend(others.into_iter().filter_map(|(has, name)| has.then_some(name)));
    }
}

fn described(stream: &StreamRecord) -> [(bool, &'static str); 6] {
    [
        (stream.path.is_some(), "path"),
        (stream.meta.mode.is_some(), "mode"),
        (stream.meta.mtime_ns.is_some(), "time of change"),
        (stream.meta.link.is_some(), "symbolic link"),
        (stream.meta.dir, "empty directory"),
        (stream.bytes == 0, "empty stream"),
    ]
}

/// The payload of an envelope.
fn payload(envelope: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()
}
