//! A pack made of loose objects, as it is read: in as much memory as a buffer has, however large they are. What they hold
//! is not compressed in it, so that equal parts of two of them are equal bytes.

use std::io::{self, BufReader, Read};

use flate2::{
    Compression,
    bufread::{ZlibDecoder, ZlibEncoder},
};

use super::super::git_object::{GitHash, GitHasher};

/// How much is read at once.
const BUFFER: usize = 64 << 10;

/// What an object inflates to, behind its header. It fails at its end unless that is what its name and header say.
struct Content<R> {
    from: BufReader<ZlibDecoder<BufReader<R>>>,
    left: u64,
    hasher: Option<GitHasher>,
    name: Vec<u8>,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most > 0 {
            let n = self.from.read(buf.get_mut(..most).unwrap_or_default()).map_err(|e| match e.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => damaged("its zlib stream is damaged"),
                _ => e,
            })?;
            let got = buf.get(..n).unwrap_or_default();
            self.hasher.iter_mut().for_each(|hasher| hasher.update(got));
            self.left -= n as u64;
            return if n == 0 { Err(damaged("it is shorter than it says")) } else { Ok(n) };
        }
        if let Some(hasher) = self.hasher.take().filter(|_| self.left == 0) {
            if self.from.read(&mut [0]).map_err(|_| damaged("its zlib stream is damaged"))? > 0 {
                return Err(damaged("it is longer than it says"));
            }
            if hasher.finish() != self.name {
                return Err(damaged("it holds something else than its name says"));
            }
        }
        Ok(0)
    }
}

/// Begins to read the loose object called `name`; gives the bytes that stand before it in a pack, too.
fn begin<R: Read>(hash: GitHash, name: &[u8], file: R) -> io::Result<(Vec<u8>, Content<R>)> {
    let mut from = BufReader::with_capacity(BUFFER, ZlibDecoder::new(BufReader::with_capacity(BUFFER, file)));
    let mut head = Vec::new();
    // Its type, a space, its length, a zero byte.
    while head.last() != Some(&0) {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(|_| damaged("it begins like no object"))?;
        head.extend(byte);
        if head.len() > 32 {
            return Err(damaged("it begins like no object"));
        }
    }
    let text = head.split_last().and_then(|(_, text)| std::str::from_utf8(text).ok()).and_then(|t| t.split_once(' '));
    let (kind, size) = text.ok_or_else(|| damaged("it begins like no object"))?;
    let kind = ["commit", "tree", "blob", "tag"].iter().zip(1_u8..).find(|(known, _)| **known == kind);
    let (Some((_, kind)), Ok(size)) = (kind, size.parse::<u64>()) else {
        return Err(damaged("it begins like no object"));
    };
    let (mut byte, mut rest, mut before) = (kind << 4 | (size & 15).to_le_bytes()[0], size >> 4, Vec::new());
    while rest > 0 {
        before.push(byte | 0x80);
        byte = (rest & 0x7f).to_le_bytes()[0];
        rest >>= 7;
    }
    before.push(byte);
    let mut hasher = hash.begin();
    hasher.update(&head);
    Ok((before, Content { from, left: size, hasher: Some(hasher), name: name.to_owned() }))
}

/// The pack. It fails at the first object that is not what its name says.
pub struct LoosePack<R> {
    hash: GitHash,
    objects: std::vec::IntoIter<(Vec<u8>, R)>,
    /// The name of the object at hand.
    name: Vec<u8>,
    hasher: Option<GitHasher>,
    /// What is to be given before the object at hand.
    pending: Vec<u8>,
    object: Option<ZlibEncoder<BufReader<Content<R>>>>,
}

impl<R: Read> LoosePack<R> {
    /// A pack of these objects, each given by its name and its file.
    #[must_use]
    pub fn new(hash: GitHash, objects: Vec<(Vec<u8>, R)>) -> Self {
        let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
        let pending = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat();
        Self { hash, objects: objects.into_iter(), name: Vec::new(), hasher: Some(hash.begin()), pending, object: None }
    }

    fn give(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.pending.is_empty() {
                let n = self.pending.len().min(buf.len());
                buf.iter_mut().zip(self.pending.drain(..n)).for_each(|(to, byte)| *to = byte);
                return Ok(n);
            }
            if let Some(object) = &mut self.object {
                let n = object.read(buf)?;
                if n > 0 {
                    return Ok(n);
                }
                self.object = None;
            }
            if let Some((name, file)) = self.objects.next() {
                self.name.clone_from(&name);
                let (before, content) = begin(self.hash, &name, file)?;
                self.pending = before;
                let content = BufReader::with_capacity(BUFFER, content);
                self.object = Some(ZlibEncoder::new(content, Compression::none()));
            } else if let Some(hasher) = self.hasher.take() {
                self.pending = hasher.finish();
            } else {
                return Ok(0);
            }
        }
    }
}

impl<R: Read> Read for LoosePack<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.give(buf).map_err(|e| {
            let name = self.name.iter().fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
            io::Error::new(e.kind(), format!("its loose object {name} is damaged ({e})"))
        })?;
        self.hasher.iter_mut().for_each(|hasher| hasher.update(buf.get(..n).unwrap_or_default()));
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::ZlibEncoder as Writer;

    use super::*;
    use crate::codec::git_pack::PackCheck;

    fn loose(kind: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let all = [format!("{kind} {}\0", content.len()).as_bytes(), content].concat();
        let mut hasher = GitHash::Sha1.begin();
        hasher.update(&all);
        let mut zlib = Writer::new(Vec::new(), Compression::fast());
        zlib.write_all(&all).unwrap();
        (hasher.finish(), zlib.finish().unwrap())
    }

    fn pack(files: &[(Vec<u8>, Vec<u8>)]) -> io::Result<Vec<u8>> {
        let files = files.iter().map(|(name, file)| (name.clone(), io::Cursor::new(file.clone()))).collect();
        let mut out = Vec::new();
        LoosePack::new(GitHash::Sha1, files).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn what_comes_out_is_a_pack_and_nothing_false_gets_in() {
        let long: Vec<u8> = (0..700_000_u32).flat_map(|no| no.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let files = [loose("blob", &long), loose("tree", b""), loose("blob", b"hello"), loose("tag", &[7; 200])];
        let made = pack(&files).unwrap();
        let mut check = PackCheck::new(GitHash::Sha1);
        check.update(&made);
        assert!(check.finish().is_ok());
        assert!(made.windows(1000).any(|part| part == &long[5000..6000]), "it is stored as it is");
        for at in [5, 40, 1000, files[0].1.len() - 3] {
            let mut bad = files.clone();
            bad[0].1[at] ^= 4;
            assert_eq!(pack(&bad).unwrap_err().kind(), io::ErrorKind::InvalidData, "{at}");
        }
        let mut other = files.clone();
        other[2].1.clone_from(&loose("blob", b"hallo").1);
        assert!(pack(&other).unwrap_err().to_string().contains("something else"));
        other[2].1.truncate(6);
        assert!(pack(&other).is_err());
    }
}
