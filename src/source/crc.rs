//! The two checksums of 32 bits by which servers check the records of their logs.

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc {
    /// What a [`Digest`] goes on from. That is much larger, and this is copied at the end of each record.
    state: u32,
    of: CrcAlgorithm,
}

impl Crc {
    /// CRC-32C of nothing: `PostgreSQL`'s.
    pub(super) const fn castagnoli() -> Self {
        Self { state: u32::MAX, of: CrcAlgorithm::Crc32Iscsi }
    }

    /// The usual CRC-32 of nothing: `MariaDB`'s.
    pub(super) const fn ieee() -> Self {
        Self { state: u32::MAX, of: CrcAlgorithm::Crc32IsoHdlc }
    }

    /// Adds bytes.
    #[allow(clippy::cast_possible_truncation, reason = "the state of a checksum of 32 bits")]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut digest = Digest::new_with_init_state(self.of, self.state.into());
        digest.update(bytes);
        self.state = digest.get_state() as u32;
    }

    /// The checksum.
    pub(super) const fn value(self) -> u32 {
        !self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_one_however_it_is_cut() {
        for (mut crc, value) in [(Crc::castagnoli(), 0xe306_9283), (Crc::ieee(), 0xcbf4_3926_u32)] {
            crc.add(b"123456789");
            assert_eq!(crc.value(), value, "the published check value");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let mut whole = Crc::castagnoli();
        whole.add(&bytes);
        for at in [1, 7, 8, 9, 200] {
            let mut parts = Crc::castagnoli();
            let (a, b) = bytes.split_at(at);
            parts.add(a);
            parts.add(b);
            assert_eq!(parts.value(), whole.value(), "{at}");
        }
    }
}
