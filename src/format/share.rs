//! A share of an identity, as it is printed and typed: a few lines of text with a checksum.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{FormatError, Result};
use crate::{codec::hash, model::VaultId};

const WHAT: &str = "share of an identity";
const HEAD: &str = "strongroom key share";
/// The longest text of one, in bytes.
const LIMIT: usize = 64 << 10;
/// So many hex digits stand together.
const GROUP: usize = 4;
/// So many groups stand in a line.
const GROUPS: usize = 8;

/// A share.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    /// The vault that the identity is for, if the identity file said so.
    pub vault: Option<VaultId>,
    /// The recipient of the identity, which is no secret: whoever combines shares sees whether the right one came back.
    pub recipient: String,
    /// Random, the same in all shares of one splitting.
    pub set: [u8; 8],
    /// Which share it is.
    pub number: u8,
    /// How many there are.
    pub of: u8,
    /// How many restore the identity.
    pub threshold: u8,
    /// The share itself. Its first byte is its number.
    pub data: Zeroizing<Vec<u8>>,
}

impl Share {
    /// The first digits of a hash over all of it.
    fn check(&self) -> String {
        let mut text = Zeroizing::new(format!("{} ", self.plain()).into_bytes());
        text.extend_from_slice(&self.data);
        hash::hash(&text).to_string().chars().take(8).collect()
    }

    fn plain(&self) -> String {
        let Self { vault, recipient, set, number, of, threshold, .. } = self;
        let vault = vault.map_or_else(|| "-".to_owned(), |vault| vault.to_string());
        format!("{vault} {recipient} {} {number} {of} {threshold}", hex(set))
    }

    /// The text that is printed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let Self { vault, recipient, set, number, of, threshold, data } = self;
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let vault = vault.map_or_else(|| "-".to_owned(), |vault| vault.to_string());
        let _ = write!(
            text,
            "{HEAD} {number} of {of}\n{threshold} shares of this set restore the identity; fewer reveal nothing\nvault: \
             {vault}\nopens: {recipient}\nset: {}\nshare: {number} {of} {threshold}\n",
            hex(set)
        );
        let digits = Zeroizing::new(hex(data));
        for line in digits.as_bytes().chunks(GROUP * GROUPS) {
            let groups = line.chunks(GROUP).map(|group| std::str::from_utf8(group).unwrap_or_default());
            text.push_str("data:");
            for group in groups {
                text.push(' ');
                text.push_str(group);
            }
            text.push('\n');
        }
        let _ = write!(text, "check: {}\nend\n", self.check());
        text
    }

    /// Reads one share. Upper case and white space do not matter: people type it.
    ///
    /// # Errors
    /// If it is none, or its checksum is wrong.
    pub fn decode(text: &str) -> Result<Self> {
        let damaged = |why: &str| FormatError::damaged(WHAT, why);
        if text.len() > LIMIT {
            return Err(FormatError::TooLarge { what: WHAT, limit: LIMIT });
        }
        let mut fields = Fields::default();
        for line in text.lines() {
            if let Some((name, value)) = line.split_once(':') {
                fields.take(name.trim(), value.trim());
            }
        }
        let byte = |at: usize| fields.numbers.get(at).and_then(|text| text.parse::<u8>().ok());
        let (number, of, threshold) = byte(0)
            .zip(byte(1))
            .zip(byte(2))
            .map(|((a, b), c)| (a, b, c))
            .ok_or_else(|| damaged("it has no number"))?;
        let set = unhex(&fields.set).and_then(|bytes| bytes.as_slice().try_into().ok());
        let share = Self {
            vault: match fields.vault.as_str() {
                "" => return Err(damaged("it names no vault")),
                "-" => None,
                id => Some(id.parse().map_err(|_| damaged("its vault is not an id"))?),
            },
            recipient: fields.recipient,
            set: set.ok_or_else(|| damaged("it has no set"))?,
            number,
            of,
            threshold,
            data: unhex(&fields.data).ok_or_else(|| damaged("its data are not hex digits"))?,
        };
        if share.data.first() != Some(&number) || share.data.len() < 2 || threshold < 2 {
            return Err(damaged("its data are not those of its number"));
        }
        if fields.check != share.check() {
            return Err(damaged("its checksum is wrong: a digit was mistyped or is missing"));
        }
        Ok(share)
    }
}

/// The lines of a share.
#[derive(Default)]
struct Fields {
    vault: String,
    recipient: String,
    set: String,
    numbers: Vec<String>,
    data: Zeroizing<String>,
    check: String,
}

impl Fields {
    fn take(&mut self, name: &str, value: &str) {
        let value = Zeroizing::new(value.to_ascii_lowercase());
        match name.to_ascii_lowercase().as_str() {
            "vault" => self.vault = value.to_string(),
            "opens" => self.recipient = value.to_string(),
            "set" => self.set = value.to_string(),
            "share" => self.numbers = value.split_whitespace().map(str::to_owned).collect(),
            "data" => value.split_whitespace().for_each(|group| self.data.push_str(group)),
            "check" => self.check = value.to_string(),
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks(2) {
        bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_back_as_it_was_printed_and_not_if_a_digit_is_wrong() {
        let share = Share {
            vault: Some(VaultId::from_bytes([7; 32])),
            recipient: "age1xyz".to_owned(),
            set: [1, 2, 3, 4, 5, 6, 7, 0xab],
            number: 2,
            of: 3,
            threshold: 2,
            data: Zeroizing::new((2..80).collect()),
        };
        let text = share.encode();
        assert!(Share::decode(&text).unwrap() == share);
        assert!(Share::decode(&text.to_uppercase()).unwrap() == share, "typed in capitals");
        assert!(
            Share::decode(&format!("From a sheet of paper:\n\n  {}", text.replace('\n', "\r\n  "))).unwrap() == share
        );
        let mut seen = 0;
        for (at, c) in text.char_indices() {
            let line = text[..at].lines().count();
            if line < 3 || !c.is_ascii_hexdigit() || text[..at].rfind(':') < text[..at].rfind('\n') {
                continue;
            }
            let other = if c == '1' { '2' } else { '1' };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(Share::decode(&changed).is_err_and(|_| true), "{changed}");
            seen += 1;
        }
        assert!(seen > 200, "{seen}");
        for bad in ["", "hello", "vault: -\nshare: 1 2 2\n", "vault: -\nset: 00\nshare: 1 2 2\ndata: zz\ncheck: 1"] {
            assert!(Share::decode(bad).is_err());
        }
    }
    fn share(data: Vec<u8>) -> Share {
        let (vault, recipient, set) = (None, "age1xyz".to_owned(), [1, 2, 3, 4, 5, 6, 7, 0xab]);
        Share { vault, recipient, set, number: 2, of: 3, threshold: 2, data: Zeroizing::new(data) }
    }

    #[test]
    fn a_share_is_printed_in_groups_that_can_be_typed() {
        let text = share((2..42).collect()).encode();
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let groups = |line: &str| line.split(' ').map(str::len).collect::<Vec<_>>();
        assert_eq!(data.iter().map(|line| groups(line)).collect::<Vec<_>>(), [vec![4; 8], vec![4; 8], vec![4; 4]]);
        assert!(text.starts_with("strongroom key share 2 of 3\n2 shares of this set restore"));
        assert!(
            text.contains("\nvault: -\nopens: age1xyz\nset: 01020304050607ab\nshare: 2 3 2\n")
                && text.ends_with("\nend\n")
        );
    }

    #[test]
    fn a_share_holds_something_of_its_number_and_two_are_needed_at_least() {
        let refused = |text: &str, why: &str| match Share::decode(text) {
            Err(FormatError::Damaged { why: because, .. }) => assert!(because.contains(why), "{because}"),
            _ => panic!("{text}"),
        };
        let text = share(vec![2, 9]).encode();
        assert!(Share::decode(&text).is_ok());
        for wrong in [share(vec![2]), share(Vec::new()), share(vec![3, 9]), Share { threshold: 1, ..share(vec![2, 9]) }]
        {
            refused(&wrong.encode(), "of its number");
        }
        refused(&text.replace("data: 0209", "data: 020"), "not hex digits");
        refused(&text.replace("data: 0209", "data: +2+9"), "not hex digits");
        let padded = |bytes: usize| Share::decode(&format!("{}{}", *text, "\n".repeat(bytes - text.len())));
        assert!(padded(LIMIT).is_ok() && LIMIT == 65_536);
        assert!(matches!(padded(LIMIT + 1), Err(FormatError::TooLarge { .. })));
    }
}
