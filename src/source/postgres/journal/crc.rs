//! CRC-32C, by which each record of the log is checked.

/// The polynomial of Castagnoli, its bits turned round.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// For each byte its remainder, and the same after one to seven more bytes of zero: eight bytes are taken at once.
static TABLES: [[u32; 256]; 8] = tables();

#[allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "within 256, and checked when it is built"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        tables[0][byte] = rest;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// A checksum in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    /// Of nothing.
    pub(super) const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Adds bytes.
    #[allow(clippy::indexing_slicing, reason = "a byte is within 256")]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let of = |table: usize, byte: u32| TABLES[table][(byte & 0xff) as usize];
        let mut rest = self.0;
        let (eights, last) = bytes.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in eights {
            let low = rest ^ u32::from_le_bytes([*a, *b, *c, *d]);
            let high = u32::from_le_bytes([*e, *f, *g, *h]);
            rest = of(7, low) ^ of(6, low >> 8) ^ of(5, low >> 16) ^ of(4, low >> 24);
            rest ^= of(3, high) ^ of(2, high >> 8) ^ of(1, high >> 16) ^ of(0, high >> 24);
        }
        for byte in last {
            rest = rest >> 8 ^ of(0, rest ^ u32::from(*byte));
        }
        self.0 = rest;
    }

    /// The checksum.
    pub(super) const fn value(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_one_however_it_is_cut() {
        let mut crc = Crc::new();
        crc.add(b"123456789");
        assert_eq!(crc.value(), 0xe306_9283, "the check value of CRC-32C");
        let bytes: Vec<u8> = (0..=255).collect();
        let mut whole = Crc::new();
        whole.add(&bytes);
        for at in [1, 7, 8, 9, 200] {
            let mut parts = Crc::new();
            let (a, b) = bytes.split_at(at);
            parts.add(a);
            parts.add(b);
            assert_eq!(parts.value(), whole.value(), "{at}");
        }
    }
}
