//! The files of parity that lie beside a directory vault. They are no part of the vault: nobody signs them, and what is made
//! out of them counts only if the name of the object vouches for it.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;

use super::{FormatError, Result, layout};
use crate::{
    codec::hash,
    model::{Hash, VaultId},
};

const WHAT: &str = "parity file";
/// What such a file begins with, and its last [`HEAD`] bytes, too.
const MAGIC: &[u8; 20] = b"strongroom parity 1\n";
/// The magic, the table's length and its hash.
pub const HEAD: usize = 20 + 4 + 32;
/// The bytes of a block: what file systems and disks lose as a whole.
pub const BLOCK: usize = 4096;
/// The most blocks of data in a group: the largest object that there is.
pub const MOST_DATA: usize = 16_384;
/// So many parity blocks more than the rate asks for: what is damaged begins and ends within blocks.
pub const MORE: usize = 4;
/// No table is longer.
const TABLE_LIMIT: usize = 16 << 20;
/// What the names of these files end in.
pub const SUFFIX: &str = ".parity";
/// Rates that there are, in hundredths of a percent.
const RATES: RangeInclusive<u16> = 100..=2500;
/// So much of a block's hash is kept. It tells what is damaged, and proves nothing.
const CHECK: usize = 8;

/// Which part of what is there is added as parity: hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u16);

impl Rate {
    /// What is made where it is not known any more how much there was.
    pub const USUAL: Self = Self(500);

    /// How many parity blocks a group of so many blocks has.
    #[must_use]
    pub fn blocks(self, data: usize) -> usize {
        (data * usize::from(self.0)).div_ceil(10_000) + MORE
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate of parity: give 1% to 25%, such as `5%` or `2.5%`");
        let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 || whole.len() > 2 {
            return Err(wrong());
        }
        let part: u16 = format!("{part:0<2}").parse().map_err(|_| wrong())?;
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let rate = whole * 100 + part;
        RATES.contains(&rate).then_some(Self(rate)).ok_or_else(wrong)
    }
}

/// An object that a group has parity of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// Their hash.
    pub hash: Hash,
}

impl Covered {
    /// How many blocks it has; the last is filled up with zeros.
    #[must_use]
    pub fn blocks(&self) -> usize {
        blocks_of(self.bytes)
    }
}

/// How many blocks so many bytes have.
#[must_use]
pub fn blocks_of(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX)
}

/// What of a block is kept to know it again.
pub type Check = [u8; CHECK];

/// What of a block is kept to know it again: the first bytes of its BLAKE3.
#[must_use]
pub fn check(block: &[u8]) -> Check {
    let mut check = [0; CHECK];
    check.iter_mut().zip(hash::hash(block).as_bytes()).for_each(|(to, from)| *to = *from);
    check
}

/// Of what a file has parity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The vault.
    pub vault: VaultId,
    /// How much parity there is.
    pub rate: Rate,
    /// The objects, in the order of their blocks.
    pub covered: Vec<Covered>,
    /// The hash of the checks of all blocks: see [`Checks`].
    pub checks: Hash,
}

/// Where the parts of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The checks, twice.
    pub checks: [Range<u64>; 2],
    /// The parity.
    pub parity: Range<u64>,
    /// All of it.
    pub bytes: u64,
}

impl Table {
    /// How many blocks its objects have.
    #[must_use]
    pub fn data(&self) -> usize {
        self.covered.iter().map(Covered::blocks).sum()
    }

    /// How many blocks of parity it has.
    #[must_use]
    pub fn parity(&self) -> usize {
        self.rate.blocks(self.data())
    }

    /// Where the parts are of a file whose table has so many bytes.
    #[must_use]
    pub fn places(&self, table: usize) -> Places {
        let (data, parity) = (self.data(), self.parity());
        let first = (HEAD + table) as u64;
        let checks = ((data + parity) * CHECK) as u64;
        let blocks = (parity * BLOCK) as u64;
        let end = first + checks + blocks;
        let parity = first + checks..end;
        Places { checks: [first..first + checks, end..end + checks], parity, bytes: end + checks + first }
    }

    /// The bytes of the whole file with these checks and blocks of parity, and its name.
    ///
    /// # Errors
    /// If there are more objects or longer keys than fit.
    pub fn encode(&self, checks: &Checks, parity: &[u8]) -> Result<(String, Sidecar)> {
        let table = self.table()?;
        let named = hash::hash(&table);
        let length = u32::try_from(table.len()).map_err(too_large)?;
        let mut head = MAGIC.to_vec();
        head.extend(length.to_le_bytes());
        head.extend(named.as_bytes());
        let checks = checks.bytes();
        let mut all = Vec::with_capacity(2 * (HEAD + table.len() + checks.len()) + parity.len());
        for part in [&head, &table, &checks, parity, &checks, &table, &head] {
            all.extend_from_slice(part);
        }
        let hex = named.to_string();
        let name = format!("{}{SUFFIX}", hex.get(..32).unwrap_or(&hex));
        Ok((name, Sidecar(all.into())))
    }

    fn table(&self) -> Result<Vec<u8>> {
        let mut table = self.vault.as_bytes().to_vec();
        table.extend(self.rate.0.to_le_bytes());
        table.extend(u32::try_from(self.covered.len()).map_err(too_large)?.to_le_bytes());
        for one in &self.covered {
            table.extend(u16::try_from(one.key.len()).map_err(too_large)?.to_le_bytes());
            table.extend(one.key.as_bytes());
            table.extend(one.bytes.to_le_bytes());
            table.extend(one.hash.as_bytes());
        }
        table.extend(self.checks.as_bytes());
        Ok(table)
    }

    /// Decodes a table whose hash is `named`.
    ///
    /// # Errors
    /// If it is damaged, or says what no file of parity says.
    pub fn decode(bytes: &[u8], named: &Hash) -> Result<Self> {
        if hash::hash(bytes) != *named {
            return Err(FormatError::damaged(WHAT, "its table does not have the hash that its head names"));
        }
        let mut rest = Rest(bytes);
        let vault = VaultId::from_bytes(rest.take()?);
        let rate = u16::from_le_bytes(rest.take()?);
        if !RATES.contains(&rate) {
            return Err(FormatError::damaged(WHAT, "its rate is none"));
        }
        let members = u32::from_le_bytes(rest.take()?);
        let (mut covered, mut blocks) = (Vec::new(), 0_usize);
        for _ in 0..members {
            let length = usize::from(u16::from_le_bytes(rest.take()?));
            let key = std::str::from_utf8(rest.slice(length)?);
            let key = key.map_err(|_| FormatError::damaged(WHAT, "a key is not text"))?.to_owned();
            let one = Covered { key, bytes: u64::from_le_bytes(rest.take()?), hash: Hash::from_bytes(rest.take()?) };
            blocks = blocks.saturating_add(one.blocks());
            if one.bytes == 0 || blocks > MOST_DATA {
                return Err(FormatError::damaged(WHAT, "it names what no group has"));
            }
            covered.push(one);
        }
        let checks = Hash::from_bytes(rest.take()?);
        if covered.is_empty() || !rest.0.is_empty() {
            return Err(FormatError::damaged(WHAT, "its table names nothing, or something follows it"));
        }
        Ok(Self { vault, rate: Rate(rate), covered, checks })
    }
}

fn too_large(_: std::num::TryFromIntError) -> FormatError {
    FormatError::TooLarge { what: WHAT, limit: TABLE_LIMIT }
}

/// A check of each block: of the data, without what fills up the last of an object, and of the parity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks(pub Vec<Check>);

impl Checks {
    fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Their hash, which the table names.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hash::hash(&self.bytes())
    }

    /// Decodes the checks that `table` names.
    #[must_use]
    pub fn decode(bytes: &[u8], table: &Table) -> Option<Self> {
        (hash::hash(bytes) == table.checks).then_some(())?;
        let all = bytes.chunks_exact(CHECK).map(|chunk| chunk.try_into().ok()).collect::<Option<Vec<Check>>>()?;
        (all.len() == table.data() + table.parity()).then_some(Self(all))
    }
}

/// The length and the hash of the table, of the head of a file: its first or its last [`HEAD`] bytes.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(usize, Hash)> {
    let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
    let length = u32::from_le_bytes(rest.take().ok()?) as usize;
    let hash = Hash::from_bytes(rest.take().ok()?);
    (length <= TABLE_LIMIT && rest.0.is_empty()).then_some((length, hash))
}

/// The bytes of a whole file of parity. Nothing else has this type.
#[derive(Debug, Clone)]
pub struct Sidecar(Bytes);

impl Sidecar {
    /// The bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Whether an object is one that parity is made of: its name, or what is in it, vouches for its bytes.
#[must_use]
pub fn covers(key: &str, bytes: u64) -> bool {
    let known = key == layout::DESCRIPTOR || layout::named_hash(key).is_some();
    known && bytes > 0 && blocks_of(bytes) <= MOST_DATA && u16::try_from(key.len()).is_ok()
}

/// What is left to decode.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn slice(&mut self, count: usize) -> Result<&'a [u8]> {
        let short = || FormatError::damaged(WHAT, "its table ends early");
        let (part, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(part)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let part = self.slice(N)?;
        part.try_into().map_err(|_| FormatError::damaged(WHAT, "its table ends early"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Table, Checks) {
        let covered = vec![
            Covered { key: "packs/a/00/0".to_owned(), bytes: 10_000, hash: hash::hash(b"1") },
            Covered { key: "vault.json".to_owned(), bytes: 1, hash: hash::hash(b"2") },
        ];
        let rate: Rate = "5%".parse().unwrap();
        let checks = Checks((0..4 + rate.blocks(4)).map(|at| check(&[u8::try_from(at).unwrap()])).collect());
        (Table { vault: VaultId::from_bytes([3; 32]), rate, covered, checks: checks.hash() }, checks)
    }

    #[test]
    fn a_table_is_found_at_both_ends_and_any_change_of_it_is_seen() {
        let (table, checks) = table();
        let parity = vec![7; table.parity() * BLOCK];
        let (name, sidecar) = table.encode(&checks, &parity).unwrap();
        assert!(name.ends_with(SUFFIX) && name.len() == 39);
        let bytes = sidecar.bytes().to_vec();
        let (length, named) = head(&bytes[..HEAD]).unwrap();
        assert_eq!(head(&bytes[bytes.len() - HEAD..]), Some((length, named)));
        let places = table.places(length);
        assert_eq!(bytes.len() as u64, places.bytes);
        let part =
            |range: &Range<u64>| &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        assert_eq!(part(&places.parity), &parity);
        for range in &places.checks {
            assert_eq!(Checks::decode(part(range), &table), Some(checks.clone()));
            assert_eq!(Checks::decode(&part(range)[8..], &table), None);
        }
        let end = bytes.len() - HEAD;
        assert_eq!(Table::decode(&bytes[HEAD..HEAD + length], &named).unwrap(), table);
        assert_eq!(Table::decode(&bytes[end - length..end], &named).unwrap(), table);
        for at in 0..length {
            let mut bad = bytes[HEAD..HEAD + length].to_vec();
            bad[at] ^= 1;
            assert!(Table::decode(&bad, &named).is_err());
            // Whoever writes to the disk makes any table: an error at worst.
            drop(Table::decode(&bad, &hash::hash(&bad)));
            assert!(Table::decode(&bad[..at], &hash::hash(&bad[..at])).is_err());
        }
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Rate>().ok().map(|rate| rate.to_string());
        assert_eq!(read("5%").as_deref(), Some("5%"));
        assert_eq!(read("2.5%").as_deref(), Some("2.50%"));
        assert_eq!(read("25%").as_deref(), Some("25%"));
        assert_eq!(read("12.25%").as_deref(), Some("12.25%"));
        for bad in ["5", "0%", "0.99%", "25.01%", "-5%", "5.%", ".5%", "1e1%", "%", "5.125%", "100%"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let five: Rate = "5%".parse().unwrap();
        assert_eq!((five.blocks(1), five.blocks(100), five.blocks(16_384)), (5, 9, 824));
    }
    #[test]
    fn a_table_names_objects_of_one_group_and_nothing_else() {
        let of = |bytes: &[u64]| {
            let covered = bytes.iter().map(|bytes| Covered { bytes: *bytes, ..table().0.covered[0].clone() }).collect();
            Table { covered, ..table().0 }.table().unwrap()
        };
        let read = |bytes: &[u8]| Table::decode(bytes, &hash::hash(bytes)).map(|table| table.data());
        let most = (MOST_DATA * BLOCK) as u64;
        assert_eq!(read(&of(&[1])).unwrap(), 1);
        assert_eq!(read(&of(&[most - 4096, 4096])).unwrap(), MOST_DATA);
        for wrong in [of(&[most - 4096, 4097]), of(&[most + 1]), of(&[1, 0]), of(&[]), [of(&[1]), vec![0]].concat()] {
            assert!(matches!(read(&wrong), Err(FormatError::Damaged { .. })));
        }
    }

    #[test]
    fn a_head_is_as_long_as_it_is_and_names_no_table_that_is_too_large() {
        let with = |length: usize| {
            [MAGIC.as_slice(), &u32::try_from(length).unwrap().to_le_bytes(), hash::hash(b"1").as_bytes()].concat()
        };
        assert_eq!(head(&with(TABLE_LIMIT)), Some((16_777_216, hash::hash(b"1"))));
        assert_eq!(head(&with(TABLE_LIMIT + 1)), None);
        assert_eq!((head(&[&with(7)[..], b"x"].concat()), head(&with(7)[..HEAD - 1]), HEAD), (None, None, 56));
    }

    #[test]
    fn parity_is_made_of_what_a_name_vouches_for_and_fits_a_group() {
        let (pack, most) = (format!("packs/a/00/{}", "0".repeat(64)), (MOST_DATA * BLOCK) as u64);
        assert!(covers("vault.json", 1) && covers(&pack, 1) && covers(&pack, most));
        assert!(!covers(&pack, 0) && !covers(&pack, most + 1) && !covers("canaries/a/b", 1));
        let long = |bytes: usize| format!("{}{}", "a".repeat(bytes - 64), "0".repeat(64));
        assert!(covers(&long(65_535), 1) && !covers(&long(65_536), 1));
    }

    #[test]
    fn a_block_is_known_again_by_the_beginning_of_its_hash() {
        assert_eq!(check(b"block"), hash::hash(b"block").as_bytes()[..8]);
        assert_ne!(check(b"block"), check(b"clock"));
    }
}
