//! Git's packs, read as they pass by: a header, objects each in a zlib stream of its own, and a hash of all of it.

pub mod build;
pub mod salvage;

use super::git_object::{GitHash, GitHasher, Inflated, Inflater};

/// One object of a pack, as its bytes come.
struct Entry {
    hash: GitHash,
    head: Vec<u8>,
    body: Option<Inflater>,
}

/// The longest header of an object: its type and length, and what it builds on.
const HEAD: usize = 64;

impl Entry {
    fn new(hash: GitHash) -> Self {
        Self { hash, head: Vec::new(), body: None }
    }

    /// Takes what it can of `input`; fails if that is no object of a pack.
    fn feed(&mut self, input: &[u8]) -> Result<Inflated, String> {
        let mut taken = 0;
        while self.body.is_none() {
            let Some(byte) = input.get(taken) else { return Ok(Inflated::More(taken)) };
            self.head.push(*byte);
            taken += 1;
            if let Some(size) = header(self.hash, &self.head)? {
                self.body = Some(Inflater::new(size));
            }
        }
        let Some(inflater) = &mut self.body else { return Ok(Inflated::More(taken)) };
        Ok(match inflater.feed(input.get(taken..).unwrap_or_default())? {
            Inflated::More(more) => Inflated::More(taken + more),
            Inflated::End(more) => Inflated::End(taken + more),
        })
    }
}

/// The length that a whole header tells; nothing if bytes of the header are still missing.
fn header(hash: GitHash, bytes: &[u8]) -> Result<Option<u64>, String> {
    if bytes.len() > HEAD {
        return Err("its header has no end".to_owned());
    }
    let mut rest = bytes.iter();
    let Some(first) = rest.next() else { return Ok(None) };
    let (mut size, mut shift, mut last) = (u64::from(first & 15), 4_u32, *first);
    while last & 0x80 != 0 {
        let Some(byte) = rest.next() else { return Ok(None) };
        let part = u64::from(byte & 0x7f);
        if shift > 63 || part.leading_zeros() < shift {
            return Err("its length is none".to_owned());
        }
        (size, shift, last) = (size | part << shift, shift + 7, *byte);
    }
    match (first >> 4) & 7 {
        // What it builds on: a place before, or a name.
        6 if rest.next_back().is_none_or(|last| last & 0x80 != 0) => return Ok(None),
        7 if rest.len() < hash.size() => return Ok(None),
        1..=4 | 6 | 7 => {}
        other => return Err(format!("it is of the type {other}, which there is not")),
    }
    Ok(Some(size))
}

/// Checks a pack whose bytes pass by: that each object inflates to the length that it has by its header, that there
/// are as many as it says, and that its last bytes are the hash of all others. What deltas give is not looked at: that
/// needs what they build on.
pub struct PackCheck {
    hash: GitHash,
    hasher: GitHasher,
    /// The last bytes so far, which may be the hash.
    tail: Vec<u8>,
    at: u64,
    start: Vec<u8>,
    /// How many objects are to come, with this one.
    left: u32,
    number: u32,
    entry: Option<(u64, Entry)>,
    fault: Option<String>,
    after: u64,
}

/// Signature, version, number of objects.
const START: usize = 12;

impl PackCheck {
    /// A pack of which nothing came yet.
    #[must_use]
    pub fn new(hash: GitHash) -> Self {
        let (hasher, tail, start) = (hash.begin(), Vec::new(), Vec::new());
        Self { hash, hasher, tail, at: 0, start, left: 0, number: 0, entry: None, fault: None, after: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let sure = self.tail.len().saturating_sub(self.hash.size());
        self.hasher.update(self.tail.get(..sure).unwrap_or_default());
        self.tail.drain(..sure);
        let mut rest = bytes;
        while !rest.is_empty() && self.fault.is_none() {
            let taken = self.step(rest).unwrap_or_else(|fault| {
                self.fault = Some(fault);
                rest.len()
            });
            self.at += u64::try_from(taken).unwrap_or(u64::MAX);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, String> {
        if self.start.len() < START {
            let take = rest.len().min(START - self.start.len());
            self.start.extend(rest.iter().take(take));
            if let [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, count @ ..] = self.start.as_slice() {
                self.left = <[u8; 4]>::try_from(count).map_or(0, u32::from_be_bytes);
            } else if self.start.len() == START {
                return Err("it does not begin as a pack does".to_owned());
            }
            return Ok(take);
        }
        if self.left == 0 {
            self.after = self.after.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
            return Ok(rest.len());
        }
        let (hash, at) = (self.hash, self.at);
        let (began, entry) = self.entry.get_or_insert_with(|| (at, Entry::new(hash)));
        let (began, number) = (*began, self.number + 1);
        let fed = entry.feed(rest).map_err(|why| format!("object {number} (byte {began}): {why}"))?;
        match fed {
            Inflated::More(taken) => Ok(taken.max(1).min(rest.len())),
            Inflated::End(taken) => {
                (self.entry, self.left, self.number) = (None, self.left - 1, number);
                Ok(taken)
            }
        }
    }

    /// Called after the last bytes.
    ///
    /// # Errors
    /// What is wrong with the pack, in words.
    pub fn finish(self) -> Result<(), String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.start.len() < START || self.left > 0 {
            return Err(format!("it ends {} objects too early", self.left));
        }
        if self.after != u64::try_from(self.hash.size()).unwrap_or(u64::MAX) {
            return Err(format!("{} bytes follow its last object", self.after));
        }
        if self.hasher.finish() != self.tail {
            return Err("its last bytes are not the hash of the others".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A pack of two blobs and a delta.
    pub(super) fn pack() -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x03".to_vec();
        let mut add = |head: &[u8], content: &[u8]| {
            pack.extend_from_slice(head);
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
            zlib.write_all(content).unwrap();
            pack.extend(zlib.finish().unwrap());
        };
        add(&[0x35], b"hello");
        add(&[0xb0 | 8, 6], &[b'x'; 104]);
        add(&[0x60 | 4, 20], b"\x05\x05\x90\x05");
        let mut hasher = GitHash::Sha1.begin();
        hasher.update(&pack);
        pack.extend(hasher.finish());
        pack
    }

    fn check(bytes: &[u8], step: usize) -> Result<(), String> {
        let mut check = PackCheck::new(GitHash::Sha1);
        bytes.chunks(step).for_each(|piece| check.update(piece));
        check.finish()
    }

    #[test]
    fn a_whole_pack_passes_however_it_comes() {
        for step in [1, 3, 7, 4096] {
            assert_eq!(check(&pack(), step), Ok(()), "{step}");
        }
    }

    #[test]
    fn no_flipped_cut_or_added_byte_goes_unseen() {
        let good = pack();
        for at in 0..good.len() {
            for step in [1, 4096] {
                let mut bad = good.clone();
                bad[at] ^= 16;
                assert!(check(&bad, step).is_err(), "byte {at}");
                assert!(check(&good[..at], step).is_err(), "{at} bytes");
            }
        }
        assert!(check(&[&good[..], b"x"].concat(), 5).is_err());
        // Bytes that rotted before the hash was made of them.
        for at in [15, 30, 60] {
            let mut bad = good[..good.len() - 20].to_vec();
            bad[at] ^= 16;
            let mut hasher = GitHash::Sha1.begin();
            hasher.update(&bad);
            bad.extend(hasher.finish());
            assert!(check(&bad, 9).is_err_and(|e| e.contains("object ") || e.contains("follow")), "byte {at}");
        }
    }

    #[test]
    fn a_header_has_an_end() {
        assert!(Entry::new(GitHash::Sha1).feed(&[0xff; 80]).is_err());
    }
}
