//! The objects of a snapshot, put into a vault one by one.

use bytes::Bytes;
use strongroom::{
    codec::{hash, seal},
    format::{
        FORMAT,
        header::{Header, ObjectRef, Totals},
        index::{self, Binding, Section},
        layout,
        pack::Directory,
        page::{PackRef, Page},
    },
    model::{Key, PackId, SnapshotId, SourceKind},
    store::{Payload, Put},
};

use super::vault_support::{Made, policy};

impl Made {
    async fn put(&self, key: &Key, payload: Payload) {
        let lock = policy().lock_from(self.clock.now());
        let put = self.store.put_new(key, &payload, Some(lock)).await.unwrap();
        assert!(matches!(put, Put::Created { .. }), "{key} is there already");
    }

    /// Seals and stores `plain` as a pack; says how a page and an index of `directory` name it.
    pub async fn put_pack(&self, plain: &[u8], directory: Directory) -> (PackRef, Section) {
        let sealed = self.writer.pack_sealer.seal(plain).unwrap();
        let bytes = sealed.bytes().clone();
        let id = PackId::from_bytes(*hash::hash(&bytes).as_bytes());
        self.put(&layout::pack(&self.writer.name, &id), Payload::Sealed(sealed)).await;
        let header = Bytes::copy_from_slice(&bytes[..seal::header_len(&bytes).unwrap()]);
        let (sealed_len, version) = (bytes.len() as u64, None);
        let named = PackRef { id, bytes: sealed_len, version: version.clone() };
        (named, Section { pack: id, sealed_len, version, header, directory })
    }

    /// Stores a page of these packs.
    pub async fn put_page(&self, packs: Vec<PackRef>) -> ObjectRef {
        let page = Page::new(self.id, self.writer.name.clone(), packs).encode().unwrap();
        let found = reference(page.bytes());
        self.put(&layout::page(&self.writer.name, &found.hash), Payload::Public(page)).await;
        found
    }

    /// Stores an index of these encoded sections, as the run `seq` would.
    pub async fn put_index(&self, seq: u64, sections: &[Vec<u8>]) -> ObjectRef {
        let writer = &self.writer;
        let binding = Binding { vault: self.id, writer: writer.name.clone(), seq };
        let sections = sections.iter().map(Vec::as_slice);
        let sealed = index::seal(&binding, sections, &writer.signing_key, &writer.index_sealer).unwrap();
        let found = reference(sealed.bytes());
        self.put(&layout::index(&writer.name, &found.hash), Payload::Sealed(sealed)).await;
        found
    }

    /// The header of a snapshot that is made now, and names nothing yet.
    pub fn header(&self, seq: u64, prev: Vec<SnapshotId>) -> Header {
        let (now, embedded) = (self.clock.now(), &self.writer.embedded);
        Header {
            format: FORMAT.to_owned(),
            vault: self.id,
            writer: self.writer.name.clone(),
            seq,
            prev,
            source: "crafted".parse().unwrap(),
            kind: SourceKind::Path,
            started_at: now,
            claimed_at: now,
            floor_until: policy().floor(now),
            expires_at: policy().floor(now),
            tier: None,
            journal: None,
            signals: Vec::new(),
            full_at: None,
            pages: Vec::new(),
            indexes: Vec::new(),
            body: Vec::new(),
            totals: Totals::default(),
            warnings: Vec::new(),
            features: Vec::new(),
            descriptor: embedded.descriptor.clone(),
            certificate: embedded.certificate.clone(),
            epoch: embedded.epoch.clone(),
        }
    }

    /// Signs and stores a header.
    pub async fn put_header(&self, header: &Header) -> SnapshotId {
        let (id, public) = header.seal(&self.writer.signing_key).unwrap();
        self.put(&layout::header(&self.writer.name, header.seq, &id), Payload::Public(public)).await;
        id
    }
}

fn reference(bytes: &Bytes) -> ObjectRef {
    ObjectRef { hash: hash::hash(bytes), bytes: bytes.len() as u64, version: None }
}
