//! Trust leads from the vault's id to everything that is believed, and nothing that it does not reach is believed: each
//! way of breaking the chain is refused, and for its own reason.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/house.rs"]
mod house;

use house::{House, damaged, name, now, opener, seed, sign_json, stored, tampered, to, untrusted};
use strongroom::{
    codec::{
        CodecError,
        hash::{self, ChunkIdKey},
        seal::{self, IdentityText},
        sign::SigningKey,
    },
    format::{
        FORMAT, FormatError,
        certificate::{Certificate, Role},
        copied::Copied,
        descriptor::Descriptor,
        dsse::Envelope,
        epoch::EpochRecord,
        evidence::{Evidence, EvidenceKind},
        header::{HEADER_LIMIT, Header, MAX_INDEXES, ObjectRef, VerifiedHeader, snapshot_id},
        index::{self, Binding},
        layout,
        page::Page,
        root,
        writer_key::{self, Embedded, NewWriter},
    },
    model::{ChunkerParams, Hash, SnapshotId, Span},
};

#[test]
fn a_sound_header_is_believed() {
    let house = House::new(1, 1);
    let bytes = stored(&house.header(), &house.writer);
    let found = house.read(&bytes).unwrap();
    assert_eq!((found.header, found.descriptor), (house.header_like(&bytes), house.descriptor.clone()));
    assert_eq!(found.id, snapshot_id(&bytes));
    assert_eq!(found.epoch, house.epoch);
    assert!(found.epoch.open(&house.people).is_ok());
}

#[test]
fn a_header_signed_by_an_unknown_key_is_refused() {
    let house = House::new(1, 1);
    for key in [seed(9), SigningKey::from_hex(&house.root.to_hex()).unwrap()] {
        untrusted(house.read(&stored(&house.header(), &key)), "snapshot header", "no signature by the key");
    }
}

#[test]
fn a_certificate_of_another_writer_role_root_or_vault_is_refused() {
    let house = House::new(1, 1);
    let with = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = house.certificate();
        change(&mut certificate);
        house.with(|h| h.certificate = house.signed(&certificate))
    };
    assert!(with(&|_| {}).is_ok());
    untrusted(with(&|c| c.name = name("db2")), "snapshot header", "not that of its writer");
    for role in [Role::Driller, Role::Auditor, Role::Pruner] {
        untrusted(with(&|c| c.role = role), "snapshot header", "not that of its writer");
    }
    untrusted(with(&|c| c.vault = House::new(1, 2).id()), "member certificate", "belongs to vault");
    untrusted(with(&|c| c.signing_key = seed(9).public()), "snapshot header", "no signature by the key");
    for key in [&house.writer, &seed(9)] {
        let own = Envelope::sign(&house.certificate(), key).unwrap();
        untrusted(house.with(|h| h.certificate = own), "member certificate", "no signature by the key");
    }
}

#[test]
fn a_descriptor_of_another_vault_is_refused() {
    let (house, copy, stranger) = (House::new(1, 1), House::new(1, 2), House::new(2, 1));
    for other in [&copy, &stranger] {
        let wrong = other.signed(&other.descriptor);
        untrusted(house.with(|h| h.descriptor = wrong), "snapshot header", "it belongs to vault");
        untrusted(house.read(&stored(&other.header(), &other.writer)), "snapshot header", "it belongs to vault");
    }
    // Somebody else's root under this vault's id, signed or not.
    let forged = Descriptor { vault: house.id(), ..stranger.descriptor.clone() };
    untrusted(house.with(|h| h.descriptor = stranger.signed(&forged)), "vault descriptor", "does not follow");
    let other_signature = Envelope::sign(&house.descriptor, &stranger.root).unwrap();
    untrusted(house.with(|h| h.descriptor = other_signature), "vault descriptor", "no signature by the key");
}

#[test]
fn a_descriptor_that_makes_no_sense_is_refused() {
    let house = House::new(1, 1);
    let with = |change: &dyn Fn(&mut Descriptor)| {
        let mut descriptor = house.descriptor.clone();
        change(&mut descriptor);
        Descriptor::open(&house.signed(&descriptor))
    };
    assert!(with(&|_| {}).is_ok());
    damaged(with(&|d| d.chunker.max = 8 << 20), "out of bounds");
    damaged(with(&|d| d.chunker.min = 1025), "out of bounds");
    damaged(with(&|d| d.lock.keep = Span::ZERO), "out of bounds");
    damaged(with(&|d| d.lock.max_lock = Span::days(34)), "out of bounds");
    assert!(with(&|d| d.lock.max_lock = Span::days(35)).is_ok());
}

#[test]
fn an_epoch_record_of_another_root_or_vault_is_refused() {
    let (house, copy, stranger) = (House::new(1, 1), House::new(1, 2), House::new(2, 1));
    let record = Envelope::sign(&house.epoch, &stranger.root).unwrap();
    untrusted(house.with(|h| h.epoch = record), "epoch record", "no signature by the key");
    let record = Envelope::sign(&house.epoch, &house.writer).unwrap();
    untrusted(house.with(|h| h.epoch = record), "epoch record", "no signature by the key");
    untrusted(house.with(|h| h.epoch = copy.signed(&copy.epoch)), "epoch record", "it belongs to vault");
}

#[test]
fn sealed_keys_of_another_epoch_or_vault_are_refused() {
    let house = House::new(1, 1);
    let (identity, recipient) = seal::generate_identity();
    let (epoch_identity, _) = seal::generate_identity();
    let key = ChunkIdKey::generate().unwrap();
    let sealed = |vault, epoch| EpochRecord::seal(vault, epoch, &epoch_identity, &key, &to(recipient.clone())).unwrap();
    let record = sealed(house.id(), 1);
    assert!(record.open(&opener(&identity)).is_ok());
    let others = [
        EpochRecord { sealed: sealed(house.id(), 2).sealed, ..record.clone() },
        EpochRecord { sealed: sealed(House::new(1, 2).id(), 1).sealed, ..record.clone() },
        EpochRecord { recipient: recipient.to_string(), ..record.clone() },
    ];
    for other in others {
        untrusted(other.open(&opener(&identity)), "epoch record", "another epoch or vault");
    }
    let stranger = opener(&seal::generate_identity().0);
    assert!(matches!(record.open(&stranger), Err(FormatError::Codec(CodecError::NoIdentity))));
}

#[test]
fn sealed_keys_are_sealed_again_to_others_and_stay_the_same() {
    let house = House::new(1, 1);
    let (identity, recipient) = seal::generate_identity();
    let other = opener(&identity);
    let record = house.epoch.reseal(&house.people, &to(recipient), 2).unwrap();
    assert_eq!((record.rev, record.epoch, &record.recipient), (2, 1, &house.epoch.recipient));
    assert!(record.is_opened_by(&other).unwrap() && !record.is_opened_by(&house.people).unwrap());
    let (before, after) = (house.epoch.open(&house.people).unwrap(), record.open(&other).unwrap());
    assert_eq!(before.chunk_id_key.to_hex(), after.chunk_id_key.to_hex());
    assert!(
        house.epoch.reseal(&other, &to(seal::generate_identity().1), 2).is_err(),
        "who can't open can't seal again"
    );
    let packs = to(record.recipient().unwrap()).seal(b"pack").unwrap();
    assert_eq!(*after.opener.open(packs.bytes(), 10).unwrap(), b"pack"[..]);
}

#[test]
fn what_is_copied_is_what_its_name_or_its_vault_vouches_for() {
    let (house, copy) = (House::new(1, 1), House::new(1, 2));
    let page = Page::new(house.id(), name("db1"), Vec::new()).encode().unwrap();
    let key = layout::page(&name("db1"), &hash::hash(page.bytes()));
    assert_eq!(Copied::of(&key, page.bytes().clone()).unwrap().bytes(), page.bytes());
    assert!(Copied::of(&key, page.bytes().slice(1..)).is_none());
    assert!(Copied::of(&layout::descriptor(), page.bytes().clone()).is_none());
    let descriptor = house.signed(&house.descriptor).encode().unwrap().bytes().clone();
    assert_eq!(Copied::descriptor(house.id(), descriptor.clone()).unwrap().bytes(), &descriptor);
    assert!(Copied::descriptor(copy.id(), descriptor.clone()).is_none());
    assert!(Copied::descriptor(house.id(), page.bytes().clone()).is_none());
}

#[test]
fn a_header_of_another_vault_is_refused_though_its_writer_signed_it() {
    let (house, copy) = (House::new(1, 1), House::new(1, 2));
    untrusted(house.with(|h| h.vault = copy.id()), "snapshot header", "it belongs to vault");
}

#[test]
fn no_payload_can_be_changed() {
    let house = House::new(1, 1);
    let bytes = stored(&house.header(), &house.writer);
    for (from, into) in [
        ("\"seq\":7", "\"seq\":8"),
        ("\"source\":\"orders\"", "\"source\":\"ordera\""),
        ("2026-12-27T21:51:00Z", "2026-12-28T21:51:00Z"),
        ("\"warnings\":[]", "\"warnings\":[\"\"]"),
        ("{\"format\"", "{ \"format\""),
    ] {
        untrusted(house.read(&tampered(&bytes, from, into)), "snapshot header", "no signature by the key");
    }
    let descriptor = house.signed(&house.descriptor).encode().unwrap();
    let shorter = tampered(descriptor.bytes(), "\"keep\":\"35d\"", "\"keep\":\"34d\"");
    let shorter = Envelope::decode::<Descriptor>(&shorter).unwrap();
    untrusted(Descriptor::open(&shorter), "vault descriptor", "no signature by the key");
    untrusted(house.with(|h| h.descriptor = shorter), "vault descriptor", "no signature by the key");
}

#[test]
fn a_document_of_one_kind_is_none_of_another() {
    let house = House::new(1, 1);
    let evidence = Evidence {
        vault: house.id(),
        member: name("db1"),
        kind: EvidenceKind::Drill,
        at: now(),
        snapshots: Vec::new(),
        result: serde_json::Value::Null,
    };
    let envelope = Envelope::sign(&evidence, &house.writer).unwrap().encode().unwrap();
    damaged(house.read(envelope.bytes()), "payload type");
    damaged(house.with(|h| h.certificate = house.signed(&house.epoch)), "payload type");
    damaged(house.with(|h| h.epoch = house.signed(&house.certificate())), "payload type");
    damaged(house.with(|h| h.descriptor = house.signed(&house.certificate())), "payload type");
    // The type is part of what is signed, so it can't be renamed either.
    let renamed = String::from_utf8(envelope.bytes().to_vec())
        .unwrap()
        .replace("vnd.in-toto+json", "vnd.strongroom.snapshot+json");
    assert!(house.read(renamed.as_bytes()).is_err());
}

#[test]
fn a_newer_version_is_refused_and_both_are_named() {
    let house = House::new(1, 1);
    let check = |result: Result<VerifiedHeader, FormatError>, what: &str| {
        let error = result.err().unwrap();
        assert!(matches!(&error, FormatError::Version { what: w, found, .. } if *w == what && found == "2"), "{error}");
        let said = error.to_string();
        assert!(said.contains("\"2\"") && said.contains(&format!("{FORMAT:?}")), "{said}");
    };
    let mut descriptor = house.descriptor.clone();
    descriptor.format = "2".to_owned();
    check(house.with(|h| h.descriptor = house.signed(&descriptor)), "vault descriptor");
    let mut certificate = house.certificate();
    certificate.format = "2".to_owned();
    check(house.with(|h| h.certificate = house.signed(&certificate)), "member certificate");
    let mut epoch = house.epoch.clone();
    epoch.format = "2".to_owned();
    check(house.with(|h| h.epoch = house.signed(&epoch)), "epoch record");
    // Nothing of the rest needs to make sense to this build.
    let newer = tampered(&stored(&house.header(), &house.writer), "{\"format\":\"1\",", "{\"format\":\"2\",\"new\":1,");
    check(house.read(&newer), "snapshot header");
}

#[test]
fn unknown_features_are_named_and_unknown_fields_are_not_minded() {
    let house = House::new(1, 1);
    let features = ["sparse".to_owned(), "striped".to_owned()].to_vec();
    match house.with(|h| h.features = features).err() {
        Some(FormatError::Features { what, named }) => {
            assert_eq!((what, named.as_str()), ("snapshot header", "sparse, striped"));
        }
        other => panic!("{other:?}"),
    }
    // Whatever it is that they announce, it is told by name and not taken for damage.
    let mut payload: serde_json::Value = serde_json::to_value(house.header()).unwrap();
    payload["features"] = serde_json::json!(["quarterly"]);
    payload["tier"] = serde_json::json!("quarterly");
    payload["body"] = serde_json::json!({ "of": "a later build" });
    let error = house.read(&sign_json::<Header>(&payload, &house.writer)).err().unwrap();
    assert!(matches!(&error, FormatError::Features { named, .. } if named == "quarterly"), "{error}");
    // Every other document can announce some, too.
    let mut payload: serde_json::Value = serde_json::to_value(house.certificate()).unwrap();
    payload["features"] = serde_json::json!(["keeper"]);
    payload["role"] = serde_json::json!("keeper");
    let signed = serde_json::from_slice(&sign_json::<Certificate>(&payload, &house.root)).unwrap();
    let error = house.with(|h| h.certificate = signed).err().unwrap();
    assert!(error.to_string().contains("this member certificate needs features that this build lacks: keeper"));
    let mut payload: serde_json::Value = serde_json::to_value(house.header()).unwrap();
    payload["something-new"] = serde_json::json!({ "of": "a later build" });
    let envelope = sign_json::<Header>(&payload, &house.writer);
    assert_eq!(house.read(&envelope).unwrap().header, house.header_like(&envelope));
}

#[test]
fn an_oversize_header_is_neither_written_nor_read() {
    let house = House::new(1, 1);
    let mut bytes = stored(&house.header(), &house.writer);
    bytes.push(b' ');
    untrusted(house.read(&bytes), "snapshot header", "spelled otherwise");
    bytes.resize(HEADER_LIMIT, b' ');
    untrusted(house.read(&bytes), "snapshot header", "spelled otherwise");
    bytes.resize(HEADER_LIMIT + 1, b' ');
    assert!(matches!(house.read(&bytes), Err(FormatError::TooLarge { limit: HEADER_LIMIT, .. })));
    let mut header = house.header();
    header.warnings = vec!["w".repeat(HEADER_LIMIT / 4 * 3)];
    assert!(matches!(header.seal(&house.writer), Err(FormatError::TooLarge { .. })));
    // Three bytes become four as they are stored.
    header.warnings = vec![String::new()];
    let payload = serde_json::to_vec(&header).unwrap().len();
    let around = stored(&header, &house.writer).len() - payload.div_ceil(3) * 4;
    header.warnings = vec!["w".repeat((HEADER_LIMIT - around) / 4 * 3 - payload)];
    let largest = stored(&header, &house.writer);
    assert_eq!((largest.len(), house.read(&largest).unwrap().header.warnings), (HEADER_LIMIT, header.warnings.clone()));
    header.warnings[0].push('w');
    assert!(matches!(header.seal(&house.writer), Err(FormatError::TooLarge { .. })));
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let house = House::new(1, 1);
    let index = ObjectRef { hash: Hash::from_bytes([1; 32]), bytes: 1, version: None };
    damaged(house.with(|h| h.seq = 0), "chain");
    damaged(house.with(|h| h.prev = vec![SnapshotId::from_bytes([1; 32]); 65]), "chain");
    damaged(house.with(|h| h.expires_at = now()), "times");
    damaged(house.with(|h| h.started_at = now() + Span::days(36)), "times");
    damaged(house.with(|h| h.indexes = vec![index.clone(); MAX_INDEXES + 1]), "too many indexes");
    damaged(house.with(|h| h.body.clear()), "body");
    damaged(house.with(|h| h.body[0].len = 0), "body");
    damaged(house.with(|h| h.body[0].len = ChunkerParams::LIMIT + 1), "body");
    assert!(house.with(|h| h.indexes = vec![index.clone(); MAX_INDEXES]).is_ok());
    assert!(house.with(|h| h.prev = vec![SnapshotId::from_bytes([1; 32]); 64]).is_ok());
    assert!(house.with(|h| h.body[0].len = ChunkerParams::LIMIT).is_ok());
    assert!(house.with(|h| (h.floor_until, h.expires_at) = (now(), now())).is_ok(), "kept for no time at all");
}

#[test]
fn a_few_signatures_are_looked_at_and_one_must_hold() {
    let house = House::new(1, 1);
    let bytes = stored(&house.header(), &house.writer);
    let with = |before: usize, after: usize| {
        let mut envelope: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let good = envelope["signatures"][0].clone();
        let junk = serde_json::json!({ "keyid": good["keyid"], "sig": "AAAA" });
        let all: Vec<_> = [vec![junk.clone(); before], vec![good], vec![junk; after]].concat();
        envelope["signatures"] = all.into();
        house.read(&serde_json::to_vec(&envelope).unwrap())
    };
    // Any other number of signatures than one would be another spelling, with another id.
    untrusted(with(3, 100), "snapshot header", "spelled otherwise");
    untrusted(with(4, 0), "snapshot header", "no signature by the key");
    let mut unsigned: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    unsigned["signatures"] = serde_json::json!([]);
    untrusted(house.read(&serde_json::to_vec(&unsigned).unwrap()), "snapshot header", "no signature by the key");
}

#[test]
fn pages_and_indexes_belong_to_their_vault_and_writer() {
    let (house, copy) = (House::new(1, 1), House::new(1, 2));
    let page = Page::new(house.id(), name("db1"), Vec::new()).encode().unwrap();
    assert!(Page::decode(page.bytes(), house.id(), &name("db1")).is_ok());
    untrusted(Page::decode(page.bytes(), copy.id(), &name("db1")), "page", "another vault or writer");
    untrusted(Page::decode(page.bytes(), house.id(), &name("db2")), "page", "another vault or writer");

    let (identity, recipient) = seal::generate_identity();
    let binding = Binding { vault: house.id(), writer: name("db1"), seq: 3 };
    let sealed = index::seal(&binding, std::iter::empty(), &house.writer, &to(recipient)).unwrap();
    let plain = opener(&identity).open(sealed.bytes(), 1000).unwrap();
    let read = |vault, writer: &str, key: &SigningKey| {
        index::open(&plain, vault, &name(writer), &key.public(), |_, _| Ok::<_, FormatError>(()))
    };
    assert_eq!(read(house.id(), "db1", &house.writer).unwrap(), binding);
    untrusted(read(copy.id(), "db1", &house.writer), "index", "another vault or writer");
    untrusted(read(house.id(), "db2", &house.writer), "index", "another vault or writer");
    untrusted(read(house.id(), "db1", &house.root), "index", "not its writer's");
}

#[test]
fn a_root_record_belongs_to_its_vault() {
    let (house, copy) = (House::new(1, 1), House::new(1, 2));
    let (identity, recipient) = seal::generate_identity();
    let record = root::seal(house.id(), &house.root, &to(recipient)).unwrap();
    let found = root::open(house.id(), record.bytes(), &opener(&identity)).unwrap();
    assert_eq!(found.public(), house.root.public());
    untrusted(root::open(copy.id(), record.bytes(), &opener(&identity)), "root record", "belongs to vault");
    let stranger = opener(&seal::generate_identity().0);
    let refused = root::open(house.id(), record.bytes(), &stranger);
    assert!(matches!(refused, Err(FormatError::Codec(CodecError::NoIdentity))));
}

#[test]
fn a_writers_key_file_belongs_together() {
    let (house, copy) = (House::new(1, 1), House::new(1, 2));
    let (catalog, catalog_recipient) = seal::generate_identity();
    let certificate = Certificate { catalog_recipient: Some(catalog_recipient.to_string()), ..house.certificate() };
    let embedded = Embedded {
        descriptor: house.signed(&house.descriptor),
        certificate: house.signed(&certificate),
        epoch: house.signed(&house.epoch),
    };
    let key = ChunkIdKey::generate().unwrap();
    let open = |vault, signing_key: &SigningKey, catalog_identity: &IdentityText, embedded: &Embedded| {
        let new = NewWriter { signing_key, catalog_identity, chunk_id_key: &key };
        writer_key::open(&writer_key::encode(vault, &name("db1"), &new, embedded).unwrap())
    };
    let sound = open(house.id(), &house.writer, &catalog, &embedded).unwrap();
    assert_eq!((sound.name, sound.descriptor), (name("db1"), house.descriptor.clone()));

    untrusted(open(copy.id(), &house.writer, &catalog, &embedded), "writer key", "another vault");
    untrusted(open(house.id(), &seed(9), &catalog, &embedded), "writer key", "not those of its certificate");
    let other = seal::generate_identity().0;
    untrusted(open(house.id(), &house.writer, &other, &embedded), "writer key", "not those of its certificate");
    let with = |certificate: &Certificate, signer: &SigningKey| {
        let certificate = Envelope::sign(certificate, signer).unwrap();
        open(house.id(), &house.writer, &catalog, &Embedded { certificate, ..embedded.clone() })
    };
    let driller = Certificate { role: Role::Driller, ..certificate.clone() };
    untrusted(with(&driller, &house.root), "writer key", "not those of its certificate");
    untrusted(with(&certificate, &house.writer), "member certificate", "no signature by the key");
    let epoch = copy.signed(&copy.epoch);
    let mixed = open(house.id(), &house.writer, &catalog, &Embedded { epoch, ..embedded.clone() });
    untrusted(mixed, "epoch record", "it belongs to vault");
    let descriptor = copy.signed(&copy.descriptor);
    let mixed = open(house.id(), &house.writer, &catalog, &Embedded { descriptor, ..embedded.clone() });
    untrusted(mixed, "writer key", "another vault");
}

#[test]
fn the_vault_id_certifies_its_root_key_and_nonce() {
    let house = House::new(1, 1);
    let parts = [house.root.public().as_bytes().as_slice(), &[1; 32]].concat();
    assert_eq!(house.id().as_bytes(), hash::hash(&parts).as_bytes());
    assert_ne!(house.id(), House::new(1, 2).id());
    assert_ne!(house.id(), House::new(2, 1).id());
}
