//! Indexes of many pieces, and the largest there is.

use std::sync::Arc;

use super::{
    super::{
        FormatError, Result,
        index::{self, Binding, Builder, INDEX_LIMIT, SEALED_LIMIT},
        pack::PACK_LIMIT,
    },
    damaged, too_large,
};
use crate::{
    codec::{
        NoPrompt, Opener,
        seal::{self, Sealer},
        sign::SigningKey,
    },
    model::VaultId,
};

const VAULT: VaultId = VaultId::from_bytes([7; 32]);
const MIB: usize = 1 << 20;

/// A section as it is encoded, with so many bytes of a directory that is none.
fn section(no: u8, version: &str, directory: usize) -> Vec<u8> {
    let mut out = vec![no; 32];
    out.extend(u64::from(no).to_le_bytes());
    out.extend(u16::try_from(version.len()).unwrap().to_le_bytes());
    out.extend(version.as_bytes());
    out.extend(3_u16.to_le_bytes());
    out.extend(b"age");
    out.extend(u32::try_from(directory).unwrap().to_le_bytes());
    out.resize(out.len() + directory, no);
    out
}

/// Signs, seals and opens an index, and gives the encodings of its sections.
struct Signed {
    key: SigningKey,
    sealer: Sealer,
    opener: Opener,
}

impl Signed {
    fn new() -> Self {
        let (identity, recipient) = seal::generate_identity();
        let opener = Opener::from_identity_text(identity.expose(), "test", Arc::new(NoPrompt)).unwrap();
        Self { key: SigningKey::from_hex(&"1".repeat(64)).unwrap(), sealer: Sealer::new(vec![recipient]), opener }
    }

    fn builder() -> Builder {
        Builder::new(&Binding { vault: VAULT, writer: "db1".parse().unwrap(), seq: 3 })
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut seen = Vec::new();
        let (writer, key) = ("db1".parse().unwrap(), self.key.public());
        index::open_encoded(sealed, &self.opener, (VAULT, &writer, &key), |section, encoded| {
            let no = section.directory.first().copied().unwrap_or(encoded[0]);
            assert_eq!((section.pack.as_bytes(), section.sealed_len), (&[no; 32], u64::from(no)));
            assert_eq!((section.header, section.version.is_some()), (b"age".as_slice(), no % 2 == 1));
            assert!(section.directory.iter().all(|byte| *byte == no));
            seen.push(encoded.to_vec());
            Ok::<_, FormatError>(())
        })?;
        Ok(seen)
    }

    fn with(&self, sections: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let mut builder = Self::builder();
        sections.iter().try_for_each(|section| builder.push(section))?;
        self.open(builder.seal(&self.key, &self.sealer)?.bytes())
    }
}

#[test]
fn sections_are_found_wherever_they_lie_between_pieces() {
    let signed = Signed::new();
    let sections: Vec<Vec<u8>> = [MIB / 2, MIB + 5, 0, 10, 3 * MIB, MIB - 100, 0, 1]
        .iter()
        .zip(0..)
        .map(|(size, no)| section(no, if no % 2 == 1 { "v1" } else { "" }, *size))
        .collect();
    assert_eq!(signed.with(&sections).unwrap(), sections);
    // The last one ends where the index does, in another piece than it begins.
    let last = [section(1, "v", MIB - 10), section(2, "", 2 * MIB)];
    assert_eq!(signed.with(&last).unwrap(), last);
    let longer = |bytes: &[u8]| signed.with(&[section(2, "", 9), bytes.to_vec()]);
    damaged(longer(&section(1, "v", MIB)[..MIB]), "cut short");
    damaged(longer(&section(1, "v", 9)[..30]), "cut short");
    damaged(longer(&[section(1, "v", 9), vec![0]].concat()), "after its last section");
}

#[test]
fn an_index_is_made_and_read_up_to_its_limit() {
    let signed = Signed::new();
    let mut builder = Signed::builder();
    assert!(builder.is_empty() && builder.bytes() == 4 + 32 + 1 + 3 + 8 + 4);
    builder.push(&section(1, "v", PACK_LIMIT)).unwrap();
    let left = INDEX_LIMIT - 64 - builder.bytes();
    assert!(!builder.is_empty() && builder.bytes() == 52 + section(1, "v", PACK_LIMIT).len());
    let bare = section(2, "", 0).len();
    too_large(builder.push(&section(2, "", left - bare + 1)));
    let last = section(2, "", left - bare);
    builder.push(&last).unwrap();
    let sealed = builder.seal(&signed.key, &signed.sealer).unwrap();
    assert!((INDEX_LIMIT..=SEALED_LIMIT).contains(&sealed.bytes().len()));
    assert!(signed.open(sealed.bytes()).unwrap()[1] == last);
    too_large(signed.open(signed.sealer.seal(&vec![0; INDEX_LIMIT + 1]).unwrap().bytes()));
    damaged(signed.with(&[section(1, "v", PACK_LIMIT + 1)]), "larger than any pack");
}
