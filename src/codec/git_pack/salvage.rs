//! What is whole in a damaged pack. An object says where it ends only by its zlib stream, so behind one that is damaged the
//! next is looked for: a zlib stream that is sound and as long as what stands before it says.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::FlushDecompress;

use super::{super::git_object::GitHash, HEAD, START, header};

/// How much is looked through at once.
const WINDOW: usize = 1 << 20;

/// What an object builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing, or an object that it names.
    Apart,
    /// The object that begins at this place of the pack.
    At(u64),
}

/// An object of a pack that is whole in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Where it begins.
    pub at: u64,
    /// Where its zlib stream begins.
    pub content: u64,
    /// Where it ends.
    pub end: u64,
    /// The bytes before what it builds on, or before its content.
    pub head: Vec<u8>,
    /// What it builds on.
    pub base: Base,
}

/// Gives every object of a pack of `len` bytes that is whole in itself, in their order; where a place can be read in two
/// ways, both. Returns whether all that is there was given.
///
/// # Errors
/// If the pack can't be read, or `each` fails.
pub fn salvage<R: Read + Seek>(
    hash: GitHash,
    pack: R,
    len: u64,
    mut each: impl FnMut(Whole) -> io::Result<()>,
) -> io::Result<bool> {
    let mut pack = BufReader::with_capacity(1 << 16, pack);
    let start = START as u64;
    let (mut at, mut whole) = (start, true);
    // Behind the last object comes a hash.
    while at + hash.size() as u64 + 2 <= len {
        if let Some(object) = object_at(hash, &mut pack, at)? {
            at = object.end;
            each(object)?;
            continue;
        }
        whole = false;
        let Some(found) = next_after(hash, &mut pack, at)? else { break };
        at = found.first().map_or(len, |object| object.end);
        found.into_iter().try_for_each(&mut each)?;
    }
    Ok(whole)
}

fn object_at<R: Read + Seek>(hash: GitHash, pack: &mut BufReader<R>, at: u64) -> io::Result<Option<Whole>> {
    let head = peek(pack, at, HEAD)?;
    let Some((taken, size)) = header_of(hash, &head) else { return Ok(None) };
    let content = at + taken as u64;
    let Some((end, inflated)) = inflate(pack, content)? else { return Ok(None) };
    let bytes = head.get(..taken).unwrap_or_default();
    Ok(if inflated == size { object(hash, bytes, at, content, end) } else { None })
}

/// The objects that the next sound zlib stream behind `at` may be, if there is one.
fn next_after<R: Read + Seek>(hash: GitHash, pack: &mut BufReader<R>, at: u64) -> io::Result<Option<Vec<Whole>>> {
    // A header comes before it.
    let mut from = at;
    loop {
        let window = peek(pack, from, WINDOW)?;
        if window.len() < 3 {
            return Ok(None);
        }
        for (place, pair) in window.windows(2).enumerate().skip(1) {
            let content = from + place as u64;
            if content <= at || !is_zlib(pair) {
                continue;
            }
            let Some((end, size)) = inflate(pack, content)? else { continue };
            let before = place.saturating_sub(HEAD);
            let heads = (before..place).filter_map(|begin| {
                let bytes = window.get(begin..place)?;
                (header_of(hash, bytes) == Some((bytes.len(), size)))
                    .then(|| object(hash, bytes, from + begin as u64, content, end))
                    .flatten()
            });
            let found: Vec<Whole> = heads.filter(|object| object.at >= at).collect();
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        if window.len() < WINDOW {
            return Ok(None);
        }
        from += (WINDOW - HEAD - 2) as u64;
    }
}

/// Whether a zlib stream can begin so, as git writes them.
fn is_zlib(pair: &[u8]) -> bool {
    matches!(pair, [0x78, flags] if (0x7800 | u16::from(*flags)).is_multiple_of(31) && flags & 0x20 == 0)
}

/// The length of the header that stands at the beginning of `bytes`, and the length that it tells.
fn header_of(hash: GitHash, bytes: &[u8]) -> Option<(usize, u64)> {
    for len in 1..=bytes.len().min(HEAD) {
        match header(hash, bytes.get(..len)?) {
            Ok(Some(size)) => return Some((len, size)),
            Ok(None) => {}
            Err(_) => return None,
        }
    }
    None
}

/// The object that has this header.
fn object(hash: GitHash, head: &[u8], at: u64, content: u64, end: u64) -> Option<Whole> {
    let kind = (head.first()? >> 4) & 7;
    let sized = head.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (own, rest) = head.split_at_checked(sized)?;
    Some(match kind {
        6 => Whole { at, content, end, head: own.to_vec(), base: Base::At(at.checked_sub(distance(rest)?)?) },
        7 if rest.len() != hash.size() => return None,
        _ => Whole { at, content, end, head: head.to_vec(), base: Base::Apart },
    })
}

/// How far before an object the one lies that it builds on.
fn distance(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    rest.iter().try_fold(u64::from(first & 0x7f), |so_far, byte| {
        so_far.checked_add(1)?.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))
    })
}

/// The same as bytes.
#[must_use]
pub fn distance_bytes(mut distance: u64) -> Vec<u8> {
    let mut bytes = vec![(distance & 0x7f) as u8];
    while distance >= 128 {
        distance = distance / 128 - 1;
        bytes.push(0x80 | (distance & 0x7f) as u8);
    }
    bytes.reverse();
    bytes
}

fn peek<R: Read + Seek>(pack: &mut BufReader<R>, at: u64, most: usize) -> io::Result<Vec<u8>> {
    seek(pack, at)?;
    let mut bytes = Vec::new();
    pack.by_ref().take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn seek<R: Read + Seek>(pack: &mut BufReader<R>, at: u64) -> io::Result<()> {
    let now = pack.stream_position()?;
    match i64::try_from(i128::from(at) - i128::from(now)) {
        // Keeps what is in the buffer.
        Ok(step) => pack.seek_relative(step),
        Err(_) => pack.seek(SeekFrom::Start(at)).map(drop),
    }
}

/// Where the zlib stream ends that begins at `at`, and how much it holds; nothing if it is not sound.
fn inflate<R: Read + Seek>(pack: &mut BufReader<R>, at: u64) -> io::Result<Option<(u64, u64)>> {
    seek(pack, at)?;
    let mut zlib = flate2::Decompress::new(true);
    let mut buffer = [0; 16 << 10];
    loop {
        let input = pack.fill_buf()?;
        let (had_in, had_out, none) = (zlib.total_in(), zlib.total_out(), input.is_empty());
        let Ok(status) = zlib.decompress(input, &mut buffer, FlushDecompress::None) else { return Ok(None) };
        let moved = zlib.total_in() - had_in;
        pack.consume(usize::try_from(moved).unwrap_or_default());
        if status == flate2::Status::StreamEnd {
            return Ok(Some((at + zlib.total_in(), zlib.total_out())));
        }
        if none && moved == 0 && zlib.total_out() == had_out {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{super::tests::pack, *};

    fn found(bytes: &[u8]) -> (Vec<Whole>, bool) {
        let mut all = Vec::new();
        let whole = salvage(GitHash::Sha1, Cursor::new(bytes), bytes.len() as u64, |object| {
            all.push(object);
            Ok(())
        });
        (all, whole.unwrap())
    }

    #[test]
    fn whatever_byte_is_flipped_the_other_objects_are_found() {
        let good = pack();
        let (all, whole) = found(&good);
        assert!(whole && all.len() == 3, "{all:?}");
        assert_eq!(all[2].base, Base::At(all[2].at - 20));
        for at in START..good.len() - 20 {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let (some, _) = found(&bad);
                let hit = all.iter().find(|object| (object.at..object.end).contains(&(at as u64))).unwrap();
                for object in all.iter().filter(|object| *object != hit) {
                    assert!(some.contains(object), "byte {at} bit {bit}: {some:?}");
                }
            }
        }
        for cut in START..good.len() {
            let whole = all.iter().filter(|object| object.end + 20 <= cut as u64).count();
            assert!(found(&good[..cut]).0.len() >= whole, "{cut}");
        }
    }

    #[test]
    fn distances_are_written_as_they_are_read() {
        for far in [1, 127, 128, 129, 16_511, 16_512, 1 << 20, u64::from(u32::MAX)] {
            assert_eq!(distance(&distance_bytes(far)), Some(far));
        }
    }
}
