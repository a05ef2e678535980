//! Git's objects: their names, which are hashes of what they hold, and the zlib streams that they are kept in.

use std::io::{self, BufRead, Read};

use flate2::FlushDecompress;
use sha1::Digest as _;

/// How a repository names its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitHash {
    /// By SHA-1, the common one.
    Sha1,
    /// By SHA-256.
    Sha256,
}

impl GitHash {
    /// The length of a name in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// A hasher of nothing yet.
    #[must_use]
    pub fn begin(self) -> GitHasher {
        match self {
            Self::Sha1 => GitHasher::Sha1(sha1::Sha1::new()),
            Self::Sha256 => GitHasher::Sha256(ring::digest::Context::new(&ring::digest::SHA256)),
        }
    }
}

/// The hash of bytes that arrive in pieces.
#[derive(Clone)]
pub enum GitHasher {
    /// SHA-1, with the processor's own instructions where it has them.
    Sha1(sha1::Sha1),
    /// SHA-256.
    Sha256(ring::digest::Context),
}

impl GitHasher {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sha) => sha.update(bytes),
            Self::Sha256(sha) => sha.update(bytes),
        }
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(sha) => sha.finalize().to_vec(),
            Self::Sha256(sha) => sha.finish().as_ref().to_vec(),
        }
    }
}

/// How an object's zlib stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inflated {
    /// So many bytes were taken, and more are needed.
    More(usize),
    /// So many bytes were taken, and these were the last.
    End(usize),
}

/// Inflates a zlib stream of which the length is known before.
pub struct Inflater {
    zlib: flate2::Decompress,
    left: u64,
}

impl Inflater {
    /// Of a stream that holds `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { zlib: flate2::Decompress::new(true), left: size }
    }

    /// Takes what it can of `input`. What comes out is only counted.
    ///
    /// # Errors
    /// If that is no zlib stream, its checksum does not match, or it is longer or shorter than was told.
    pub fn feed(&mut self, input: &[u8]) -> Result<Inflated, String> {
        let mut buffer = [0; 16 << 10];
        let mut taken = 0;
        loop {
            let (had_in, had_out) = (self.zlib.total_in(), self.zlib.total_out());
            let rest = input.get(taken..).unwrap_or_default();
            let status = self.zlib.decompress(rest, &mut buffer, FlushDecompress::None);
            let status = status.map_err(|_| "its zlib stream is damaged".to_owned())?;
            let moved = usize::try_from(self.zlib.total_in() - had_in).unwrap_or(usize::MAX);
            let made = self.zlib.total_out() - had_out;
            taken = taken.saturating_add(moved);
            self.left = self.left.checked_sub(made).ok_or("it is longer than it says")?;
            match status {
                flate2::Status::StreamEnd if self.left > 0 => return Err("it is shorter than it says".to_owned()),
                flate2::Status::StreamEnd => return Ok(Inflated::End(taken)),
                _ if moved == 0 && made == 0 => return Ok(Inflated::More(taken)),
                _ => {}
            }
        }
    }
}

/// The longest header of a loose object: a type, a space, a length, a zero byte.
const LOOSE_HEADER: usize = 32;

/// Whether a loose object, as its file has it, is whole: its name, if it can be read at all.
///
/// # Errors
/// If reading fails, which is told apart from damage by its kind: damage is `InvalidData`.
pub fn loose_name(hash: GitHash, file: impl Read) -> io::Result<Vec<u8>> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut from = io::BufReader::with_capacity(64 << 10, file);
    let mut zlib = flate2::bufread::ZlibDecoder::new(&mut from);
    let mut hasher = hash.begin();
    let (mut head, mut buffer, mut left) = (Vec::new(), vec![0; 64 << 10], None);
    loop {
        let n = match zlib.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                return Err(damaged("its zlib stream is damaged"));
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged("it is cut short")),
            Err(e) => return Err(e),
        };
        if n == 0 {
            break;
        }
        let mut got = buffer.get(..n).unwrap_or_default();
        hasher.update(got);
        if left.is_none() {
            let before = head.len();
            head.extend(got.iter().take(LOOSE_HEADER));
            let Some(end) = head.iter().position(|b| *b == 0) else {
                if head.len() >= LOOSE_HEADER {
                    return Err(damaged("it begins like no object"));
                }
                continue;
            };
            let text = head.get(..end).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| h.split_once(' '));
            let size = text.filter(|(kind, _)| matches!(*kind, "blob" | "tree" | "commit" | "tag"));
            left = size.and_then(|(_, size)| size.parse::<u64>().ok());
            if left.is_none() {
                return Err(damaged("it begins like no object"));
            }
            got = got.get((end + 1).saturating_sub(before)..).unwrap_or_default();
        }
        let n = u64::try_from(got.len()).unwrap_or(u64::MAX);
        left = left.map(|left| left.checked_sub(n)).ok_or_else(|| damaged("it begins like no object"))?;
        if left.is_none() {
            return Err(damaged("it is longer than it says"));
        }
    }
    if left != Some(0) {
        return Err(damaged("it is shorter than it says"));
    }
    if !from.fill_buf()?.is_empty() {
        return Err(damaged("something follows its end"));
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn loose(kind: &str, content: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(format!("{kind} {}\0", content.len()).as_bytes()).unwrap();
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    }

    #[test]
    fn a_loose_object_has_the_name_that_git_gives_it() {
        // What `printf hello | git hash-object --stdin` gives.
        let name = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let file = loose("blob", b"hello");
        assert_eq!(hex::encode(loose_name(GitHash::Sha1, &file[..]).unwrap()), name);
        let long = loose("blob", &vec![7; 1 << 20]);
        assert_eq!(loose_name(GitHash::Sha256, &long[..]).unwrap().len(), 32);
    }

    #[test]
    fn no_flipped_byte_of_a_loose_object_goes_unseen() {
        let good = loose("tree", b"100644 a\0abcdefghijklmnopqrst");
        let name = loose_name(GitHash::Sha1, &good[..]).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 16;
            assert!(
                loose_name(GitHash::Sha1, &bad[..]).ok().as_ref() != Some(&name) || at == 1 || at == 2,
                "byte {at}"
            );
        }
        assert!(loose_name(GitHash::Sha1, &good[..good.len() - 1]).is_err());
        assert!(loose_name(GitHash::Sha1, &[&good[..], b"x"].concat()[..]).is_err());
        for bad in [&b"blob 4\0evil!"[..], b"blob 5\0evil", b"bolb 4\0evil", b"no zero byte within thirty-two bytes"] {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(bad).unwrap();
            assert!(loose_name(GitHash::Sha1, &zlib.finish().unwrap()[..]).is_err());
        }
    }
}
