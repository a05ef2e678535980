//! What must hold for every decoder, whatever bytes it is given: it returns, and what it accepts is what its encoder
//! would have written. The fuzz targets and the property tests both run these.

use std::{
    str::FromStr,
    sync::{Arc, LazyLock},
};

use strongroom::{
    codec::{
        compress::{BLOCK_LIMIT, Codec, Decompressor},
        hash,
        seal::{self, NoPrompt, Opener},
        sign::SigningKey,
        ssh::{self, SshKey},
        tar::{self, Step, Walk},
    },
    format::{
        FormatError,
        approval::{Approvers, NAMESPACE, Request, Spent},
        body::Body,
        certificate::Certificate,
        copied::CopyRecord,
        descriptor::Descriptor,
        dsse::{Document, Envelope},
        epoch::EpochRecord,
        evidence::Evidence,
        header::{Header, VerifiedHeader},
        hold::{Hold, Release},
        index, journal, layout, list, member_key, pack,
        page::Page,
        parity::{self, Table},
        root,
        share::Share,
        writer_key,
    },
    model::{
        Hash, Name, Time, VaultId,
        journal::{Line, Piece, Position, Span},
    },
};

/// The key that signs what a decoder would otherwise refuse at its signature.
pub static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_hex(&"17".repeat(32)).unwrap());
/// The vault that bound documents must name.
pub const VAULT: VaultId = VaultId::from_bytes([0x42; 32]);
/// Opens nothing that a fuzzer makes, and so takes every path up to that point.
static OPENER: LazyLock<Opener> = LazyLock::new(|| {
    let identity = "AGE-SECRET-KEY-1TC434XK3PY4CWNRNFWTWXLS673J27Y6475K7D8YHS5UN43Q02Y4QPL9ELL";
    Opener::from_identity_text(identity, "fuzzing", Arc::new(NoPrompt)).unwrap()
});

/// The writer that bound documents must name.
pub fn writer() -> Name {
    Name::from_str("db1").unwrap()
}

pub fn directory(data: &[u8]) {
    let Ok(directory) = pack::Directory::decode(data) else { return };
    assert_eq!(directory.encode(), data);
    for block in &directory.blocks {
        let chunks: usize = block.chunks.iter().map(|c| c.len as usize).sum();
        assert!(chunks == block.plain as usize && chunks <= BLOCK_LIMIT && !block.chunks.is_empty());
        assert_eq!(block.base.is_some(), block.codec == Codec::ZstdDelta);
    }
}

pub fn split(data: &[u8]) {
    let Ok((blocks, directory)) = pack::split(data) else { return };
    assert_eq!(blocks.len() as u64, directory.blocks_len());
    assert_eq!(blocks.len() + directory.encode().len() + 4, data.len());
}

pub fn list(data: &[u8]) {
    let Ok(chunks) = list::decode(data) else { return };
    let mut again = Vec::new();
    for chunk in chunks {
        list::push(&mut again, chunk);
    }
    assert_eq!(again, data);
}

/// An index, as it is, and signed by its writer.
pub fn index(data: &[u8]) {
    open_index(data);
    open_index(&signed_index(data));
}

/// What a writer makes of the bytes of an index.
pub fn signed_index(data: &[u8]) -> Vec<u8> {
    let message = [b"strongroom-index\n".as_slice(), hash::hash(data).as_bytes()].concat();
    [data, SIGNER.sign(&message).as_bytes()].concat()
}

fn open_index(data: &[u8]) {
    let mut encoded_len = 0;
    let opened = index::open(data, VAULT, &writer(), &SIGNER.public(), |section, encoded| {
        assert_eq!(section.encode()?, encoded);
        encoded_len += encoded.len();
        Ok::<_, FormatError>(())
    });
    if opened.is_ok() {
        assert_eq!(4 + 32 + 1 + 3 + 8 + 4 + encoded_len + 64, data.len());
    }
}

pub fn page(data: &[u8]) {
    let Ok(page) = Page::decode(data, VAULT, &writer()) else { return };
    let again = page.encode().unwrap();
    assert_eq!(Page::decode(again.bytes(), VAULT, &writer()).unwrap(), page);
}

pub fn body(data: &[u8]) {
    let Ok(body) = Body::decode(data) else { return };
    assert_eq!(Body::decode(&body.encode().unwrap()).unwrap(), body);
}

/// An envelope of each kind, and as the payload of one that is signed.
pub fn envelope(data: &[u8]) {
    open_envelope::<Certificate>(data);
    open_envelope::<EpochRecord>(data);
    open_envelope::<Evidence>(data);
    open_envelope::<Header>(data);
    open_envelope::<Descriptor>(data);
    open_envelope::<Approvers>(data);
    open_envelope::<Hold>(data);
    open_envelope::<Release>(data);
    if let Ok(envelope) = Envelope::decode::<Descriptor>(data) {
        let _ = Descriptor::open(&envelope);
    }
    if let Ok(envelope) = Envelope::decode::<Descriptor>(&enveloped::<Descriptor>(data)) {
        let _ = Descriptor::open(&envelope);
    }
    open_envelope::<Certificate>(&enveloped::<Certificate>(data));
    open_envelope::<Evidence>(&enveloped::<Evidence>(data));
    open_envelope::<EpochRecord>(&enveloped::<EpochRecord>(data));
    open_envelope::<Approvers>(&enveloped::<Approvers>(data));
    open_envelope::<Hold>(&enveloped::<Hold>(data));
    open_envelope::<Release>(&enveloped::<Release>(data));
}

/// What approvals are made of: requests and their records, SSH keys and signatures, as text and as the bytes within it; and
/// shares of an identity.
pub fn approval(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(request.encode().unwrap(), data);
    }
    if let Ok(spent) = Spent::decode(data) {
        assert_eq!(Spent::decode(spent.encode().unwrap().bytes()).unwrap(), spent);
    }
    let lines = base64(data);
    let pem = format!("-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n");
    for text in [data, pem.as_bytes()] {
        assert!(ssh::signer(text, NAMESPACE, b"nobody signed this").is_err());
    }
    let text = String::from_utf8_lossy(data);
    for line in [text.as_ref(), &format!("ssh-ed25519 {lines}"), &format!("ssh-rsa {lines}")] {
        if let Ok(key) = line.parse::<SshKey>() {
            assert_eq!(key.to_string().parse::<SshKey>().unwrap(), key);
        }
    }
    if let Ok(share) = Share::decode(&text) {
        assert!(Share::decode(&share.encode()).unwrap() == share);
    }
}

fn open_envelope<T: Document>(data: &[u8]) {
    let Ok(envelope) = Envelope::decode::<T>(data) else { return };
    let _ = envelope.claims::<T>();
    let Ok(document) = envelope.open::<T>(&SIGNER.public(), VAULT) else { return };
    assert!(document.vault() == VAULT);
    let again = Envelope::sign(&document, &SIGNER).unwrap();
    assert!(again.open::<T>(&SIGNER.public(), VAULT).is_ok());
}

/// These bytes as the signed payload of an envelope.
pub fn enveloped<T: Document>(payload: &[u8]) -> Vec<u8> {
    let signed = [format!("DSSEv1 {} {} {} ", T::TYPE.len(), T::TYPE, payload.len()).as_bytes(), payload].concat();
    let envelope = serde_json::json!({
        "payload": base64(payload),
        "payloadType": T::TYPE,
        "signatures": [{ "keyid": "", "sig": base64(SIGNER.sign(&signed).as_bytes()) }],
    });
    serde_json::to_vec(&envelope).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = ALPHABET[(word >> (18 - 6 * digit) & 63) as usize];
            out.push(if digit <= group.len() { char::from(value) } else { '=' });
        }
    }
    out
}

/// A header, as it is, and as the payload of one that is signed.
pub fn header(data: &[u8]) {
    let _ = VerifiedHeader::open(data, VAULT);
    if let Ok(header) = VerifiedHeader::open(&enveloped::<Header>(data), VAULT) {
        assert_eq!(header.header.vault, VAULT);
    }
}

/// An object of a journal, as it is, as the record of one that is signed, and as the frame of one whose record holds.
pub fn journal(data: &[u8]) {
    let line = Line::postgres(7, 1);
    let origin = journal::Origin { vault: VAULT, writer: writer(), source: writer(), line: line.clone() };
    let length = data.first_chunk::<3>().map_or(1, |l| u64::from(u32::from_le_bytes([l[0], l[1], l[2], 0])) + 1);
    let span = Span { from: Position(9), to: Position(9 + length) };
    let piece = Piece { writer: writer(), source: writer(), line, span, hash: Hash::from_bytes([0; 32]) };
    let open = |plain: &[u8]| {
        if let Ok((record, log)) = journal::open(plain, VAULT, &piece, &SIGNER.public()) {
            assert!(record.bytes == log.len() as u64 && record.plain == hash::hash(&log) && record.bytes == length);
        }
        if let Ok((record, history)) = journal::open_history(plain, &origin, &SIGNER.public()) {
            assert!(record.plain == hash::hash(&history));
        }
    };
    let object = |envelope: &[u8], frame: &[u8]| {
        let length = u32::try_from(envelope.len()).unwrap().to_le_bytes();
        [length.as_slice(), envelope, frame].concat()
    };
    open(data);
    let (record, frame) = data.split_at(data.len() / 2);
    open(&object(&enveloped::<journal::Record>(record), frame));
    open(&object(&enveloped::<journal::HistoryRecord>(record), frame));
    let mut signed = journal::Record::new(&origin, span, b"x", None, Time::from_unix(5));
    signed.bytes = length;
    let signed = Envelope::sign(&signed, &SIGNER).unwrap().encode().unwrap();
    open(&object(signed.bytes(), data.get(3..).unwrap_or_default()));
}

pub fn key_file(data: &[u8]) {
    assert!(writer_key::open(data).is_err(), "nobody but a root makes a writer");
}

/// A sealed file, whole and in part, and what is sealed in documents.
pub fn sealed(data: &[u8]) {
    assert!(OPENER.open(data, 1 << 20).is_err());
    assert!(root::open(VAULT, data, &OPENER).is_err());
    if let Some(len) = seal::header_len(data) {
        let (header, rest) = data.split_at(len);
        if let Ok(mut reader) = OPENER.reader(header, data.len() as u64) {
            let _ = reader.read_at((len as u64, rest), 0..1, &mut Vec::new());
        }
    }
}

/// A block of each codec. The first bytes say how long the result is to be.
pub fn block(data: &[u8]) {
    let Some((length, data)) = data.split_first_chunk::<4>() else { return };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
    let mut decompressor = Decompressor::new().unwrap();
    for codec in [Codec::Raw, Codec::Zstd] {
        let mut out = vec![7; 3];
        let opened = decompressor.decompress(codec, data, length, &mut out);
        assert_eq!(out.len(), if opened.is_ok() { 3 + length } else { 3 });
    }
    let (base, delta) = data.split_at(data.len() / 2);
    let mut out = Vec::new();
    let opened = decompressor.undelta(base, delta, length, &mut out);
    assert_eq!(out.len(), if opened.is_ok() { length } else { 0 });
}

/// An object's name: what is read from it is spelled the same again, unless it holds a time.
pub fn name(data: &[u8]) {
    use layout::ObjectName as N;
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(name) = layout::parse(text) else { return };
    let spelled = match &name {
        N::Descriptor => layout::descriptor(),
        N::Root(hash) => layout::root_record(hash),
        N::Epoch(epoch, rev, hash) => layout::epoch_record(*epoch, *rev, hash),
        N::Certificate(name, rev, hash) => layout::certificate(name, *rev, hash),
        N::Pack(writer, id) => layout::pack(writer, id),
        N::Index(writer, hash) => layout::index(writer, hash),
        N::Page(writer, hash) => layout::page(writer, hash),
        N::Header(writer, seq, id) => layout::header(writer, *seq, id),
        N::Piece(piece) => layout::piece(piece),
        N::History(writer, source, line, hash) => layout::history(writer, source, line, hash),
        N::Approvers(rev, hash) => layout::approvers(*rev, hash),
        N::Spent(nonce) => layout::spent(nonce),
        N::Copy(of) => layout::copy(of.begins, of.ends, of.part, &of.hash),
        N::Evidence(..) | N::Canary(_) | N::Hold(..) | N::Release(..) => return,
    };
    assert_eq!(spelled.as_str(), text);
}

/// However a tar is cut on its way, the same entries come of it, each with as many bytes as it says.
pub fn tar(data: &[u8]) {
    type Seen = (Vec<(tar::Entry, Vec<u8>)>, Option<&'static str>, bool);
    fn seen(pieces: impl Iterator<Item: AsRef<[u8]>>) -> Seen {
        let (mut walk, mut entries, mut open, mut failed) = (Walk::default(), Vec::new(), None, None);
        for piece in pieces {
            let fed = walk.feed(piece.as_ref(), |step| {
                match step {
                    Step::Begin(entry) => open = Some((entry.clone(), Vec::new())),
                    Step::Bytes(more) => open.as_mut().unwrap().1.extend_from_slice(more),
                    Step::End => entries.push(open.take().unwrap()),
                }
                Ok::<_, &'static str>(())
            });
            failed = fed.err();
            if failed.is_some() {
                break;
            }
        }
        (entries, failed, walk.has_ended())
    }
    let whole = seen(std::iter::once(data));
    assert!(whole.0.iter().all(|(entry, bytes)| entry.bytes == bytes.len() as u64));
    assert!(whole.1.is_none() || !whole.2 || whole.1 == Some("goes on behind its end"));
    assert_eq!(whole, seen(data.chunks(data.first().map_or(1, |first| usize::from(*first) + 1))));
}

/// A file of parity: its head, and its table, whose hash is right; and what says that a place holds a copy.
pub fn parity(data: &[u8]) {
    let _ = parity::head(data);
    assert!(Table::decode(data, &Hash::from_bytes([0; 32])).is_err(), "its hash is another");
    if let Ok(table) = Table::decode(data, &hash::hash(data)) {
        assert!(!table.covered.is_empty() && table.data() >= table.covered.len() && table.parity() > 0);
        let places = table.places(data.len());
        assert_eq!(places, table.places(data.len()));
        assert!(parity::Checks::decode(data, &table).is_none_or(|checks| checks.hash() == hash::hash(data)));
    }
    if let Ok(record) = CopyRecord::decode(data) {
        let (_, again) = record.encode().unwrap();
        assert_eq!(CopyRecord::decode(again.bytes()).unwrap(), record);
    }
    if let Ok(member) = member_key::open(data) {
        assert!(!member.name.as_str().is_empty());
    }
}
