//! The two checksums of 32 bits by which servers check the records of their logs.

/// For each byte its remainder, and the same after one to seven more bytes of zero: eight bytes are taken at once.
type Tables = [[u32; 256]; 8];

/// Of the polynomial of Castagnoli, its bits turned round: `PostgreSQL`'s.
static CASTAGNOLI: Tables = tables(0x82f6_3b78);
/// Of that of Ethernet and zlib: `MariaDB`'s.
static IEEE: Tables = tables(0xedb8_8320);

#[allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "within 256, and checked when it is built"
)]
const fn tables(polynomial: u32) -> Tables {
    let mut tables = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ polynomial } else { rest >> 1 };
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
pub(super) struct Crc {
    rest: u32,
    tables: &'static Tables,
}

impl Crc {
    /// CRC-32C of nothing.
    pub(super) const fn castagnoli() -> Self {
        Self { rest: u32::MAX, tables: &CASTAGNOLI }
    }

    /// The usual CRC-32 of nothing.
    pub(super) const fn ieee() -> Self {
        Self { rest: u32::MAX, tables: &IEEE }
    }

    /// Adds bytes.
    #[allow(clippy::indexing_slicing, reason = "a byte is within 256")]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let of = |table: usize, byte: u32| self.tables[table][(byte & 0xff) as usize];
        let mut rest = self.rest;
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
        self.rest = rest;
    }

    /// The checksum.
    pub(super) const fn value(self) -> u32 {
        !self.rest
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
