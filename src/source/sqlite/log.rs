//! Whether what SQLite keeps beside a database is whole: the write-ahead log, and the journal of a transaction that was not
//! finished.
//!
//! SQLite takes either as far as its checksums are right and passes over the rest without a word, since a program or a
//! machine that died leaves the end of a file half written. So a flipped byte in the middle drops committed transactions, or leaves half
//! of one undone. What lies behind the bad place tells the two apart.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

/// The header of a log, and of each frame in it.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// What a log begins with; the last bit says that its checksums are of big-endian words.
const WAL_MAGIC: u32 = 0x377f_0682;
/// The index of a log begins with its header twice, and this many bytes of that are covered by its checksum.
const INDEX_HEADER: usize = 48;
const INDEX_SUMMED: usize = 40;
/// What a journal begins with, and each further part of it.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const JOURNAL_HEADER: usize = 28;
/// The largest page.
const PAGE: u32 = 65_536;
/// So often a log is looked at anew that was begun anew meanwhile.
const TRIES: usize = 5;

/// Two words of a checksum.
type Sum = [u32; 2];

/// What is wrong with the log at `wal` of a database that may be in use, whose index is at `shm`; nothing if SQLite would take all
/// of it that was committed.
///
/// The index says up to which frame all is committed. What lies behind is being written, or was taken back.
pub(super) fn live(wal: &Path, shm: &Path, page: u32) -> io::Result<Option<String>> {
    for _ in 0..TRIES {
        let Some((frames, salts)) = index(shm)? else {
            // If somebody writes without an index, he is further by the second look.
            let told = dead(wal, page)?;
            let again = if told.is_some() { dead(wal, page)? } else { None };
            return Ok(again.filter(|again| told.as_ref() == Some(again)));
        };
        // It is begun anew with the next commit: there is nothing in it that the database lacks.
        if frames == 0 {
            return Ok(None);
        }
        let whole = match Log::open(wal)? {
            Some(mut log) if log.salts == salts => log.whole(Some(frames))?,
            _ => 0,
        };
        if whole >= u64::from(frames) {
            return Ok(None);
        }
        // Unless somebody began it anew, or closed it.
        if index(shm)?.is_some_and(|(now, again)| again == salts && now >= frames) {
            return Ok(Some(format!(
                "its write-ahead log is damaged: of {frames} frames that were committed only the first {whole} are whole"
            )));
        }
    }
    Ok(None)
}

/// What is wrong with the log at `wal` that nobody writes to; nothing if it may just have been cut off by a crash. The pages of
/// its database have `page` bytes.
pub(super) fn dead(wal: &Path, page: u32) -> io::Result<Option<String>> {
    let Some(mut log) = Log::open(wal)? else { return Ok(None) };
    if log.header {
        let whole = log.whole(None)?;
        let lost = log.committed_behind()?;
        return Ok((lost > 0).then(|| {
            format!(
                "its write-ahead log is damaged: behind frame {whole}, up to which it is whole, lie {lost} transactions at \
                 least that were committed, and SQLite drops them"
            )
        }));
    }
    let orders: [fn([u8; 4]) -> u32; 2] = [u32::from_be_bytes, u32::from_le_bytes];
    for order in orders {
        let Some(mut log) = Log::open(wal)? else { return Ok(None) };
        (log.order, log.frame) = (order, vec![0; frame_size(page)]);
        let lost = log.committed_behind()?;
        if lost > 0 {
            return Ok(Some(format!(
                "the header of its write-ahead log is damaged: {lost} transactions at least that were committed lie in it, and \
                 SQLite drops them"
            )));
        }
    }
    Ok(None)
}

fn frame_size(page: u32) -> usize {
    FRAME_HEADER + usize::try_from(page).unwrap_or_default()
}

fn is_page(size: u32) -> bool {
    size.is_power_of_two() && (512..=PAGE).contains(&size)
}

/// Up to which frame all is committed, and the salts of the log, by the index at `shm`; nothing if that says nothing.
fn index(shm: &Path) -> io::Result<Option<(u32, [u8; 8])>> {
    let mut text = [0; 2 * INDEX_HEADER];
    let mut file = match File::open(shm) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    for _ in 0..TRIES {
        match file.read_exact(&mut text) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let (one, other) = text.split_at(INDEX_HEADER);
        let (summed, sum) = one.split_at(INDEX_SUMMED);
        let word = |at: usize| summed.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
        let told: Sum = [word_at(sum, 0, u32::from_ne_bytes), word_at(sum, 4, u32::from_ne_bytes)];
        if one == other && told == checksum(summed, [0; 2], u32::from_ne_bytes) && summed.get(12) == Some(&1) {
            let salts = summed.get(32..40).and_then(|salts| salts.try_into().ok());
            return Ok(word(16).zip(salts));
        }
        // Somebody was writing it.
        io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    }
    Ok(None)
}

fn word_at(bytes: &[u8], at: usize, of: fn([u8; 4]) -> u32) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, of)
}

/// SQLite's checksum of a number of words, going on from `sum`.
fn checksum(bytes: &[u8], sum: Sum, of: fn([u8; 4]) -> u32) -> Sum {
    let [mut one, mut two] = sum;
    for pair in bytes.as_chunks::<8>().0 {
        one = one.wrapping_add(word_at(pair, 0, of)).wrapping_add(two);
        two = two.wrapping_add(word_at(pair, 4, of)).wrapping_add(one);
    }
    [one, two]
}

/// A write-ahead log that is read.
struct Log {
    from: BufReader<File>,
    /// As in the header.
    salts: [u8; 8],
    order: fn([u8; 4]) -> u32,
    /// Whether the header is as its checksum says.
    header: bool,
    /// By what the frame before says, and by what it holds.
    sums: [Sum; 2],
    frame: Vec<u8>,
    /// Whether no frame was read yet.
    first: bool,
}

impl Log {
    /// Nothing if it is not there, or holds nothing.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut from = BufReader::with_capacity(1 << 18, file);
        let mut head = [0; WAL_HEADER];
        if !filled(&mut from, &mut head)? {
            return Ok(None);
        }
        let be = |at| word_at(&head, at, u32::from_be_bytes);
        let page = be(8);
        let order = if be(0) & 1 == 1 { u32::from_be_bytes } else { u32::from_le_bytes };
        let sum = [be(24), be(28)];
        let known = be(0) & !1 == WAL_MAGIC && is_page(page);
        let (summed, _) = head.split_at(WAL_HEADER - 8);
        let header = known && checksum(summed, [0; 2], order) == sum;
        let salts: [u8; 8] = summed.last_chunk().copied().unwrap_or_default();
        let frame = vec![0; frame_size(if known { page } else { 512 })];
        Ok(Some(Self { from, salts, order, header, sums: [sum; 2], frame, first: true }))
    }

    /// How many frames are whole, `most` at most.
    fn whole(&mut self, most: Option<u32>) -> io::Result<u64> {
        let mut count = 0;
        while self.header && most.is_none_or(|most| count < u64::from(most)) {
            match self.next()? {
                Some(Frame { whole: true, .. }) => count += 1,
                _ => break,
            }
        }
        Ok(count)
    }

    /// How many commits of this log lie behind the first frame that is not whole: each proved by its own checksum, which goes on from
    /// the frame before it, whatever that holds.
    fn committed_behind(&mut self) -> io::Result<u64> {
        let mut lost = 0;
        while let Some(Frame { whole, commit }) = self.next()? {
            lost += u64::from(whole && commit);
        }
        Ok(lost)
    }

    /// The next frame; nothing at the end, or of one that is not all there.
    fn next(&mut self) -> io::Result<Option<Frame>> {
        if !filled(&mut self.from, &mut self.frame)? {
            return Ok(None);
        }
        let (header, page) = self.frame.split_at(FRAME_HEADER);
        let be = |at| word_at(header, at, u32::from_be_bytes);
        let told = [be(16), be(20)];
        let summed = |sum| checksum(page, checksum(header.get(..8).unwrap_or_default(), sum, self.order), self.order);
        let held = self.sums.map(summed);
        let salts: [u8; 8] = header.get(8..16).and_then(|salts| salts.try_into().ok()).unwrap_or_default();
        if std::mem::replace(&mut self.first, false) && !self.header {
            // The header can't say which frames are of this log.
            self.salts = salts;
        }
        let ours = salts == self.salts && be(0) != 0;
        let whole = ours && held.contains(&told);
        // Of one that is not whole, either what it says of itself is damaged or what it holds is.
        self.sums = if whole { [told; 2] } else { [told, held[1]] };
        Ok(Some(Frame { whole, commit: ours && be(4) != 0 }))
    }
}

struct Frame {
    whole: bool,
    commit: bool,
}

/// Whether there was enough to fill `buf`.
fn filled(from: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buf) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// What is wrong with the journal at `path` of a transaction that a dead program did not finish; nothing if SQLite would take
/// back all of it.
pub(super) fn journal(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut from = BufReader::with_capacity(1 << 18, file);
    let (mut at, mut sizes, mut parts): (u64, Option<(u64, usize)>, u64) = (0, None, 0);
    loop {
        let mut head = [0; JOURNAL_HEADER];
        // Before it is written to the disk, and when it is done with, it begins with zeros.
        if !filled(&mut from, &mut head)? || head.first() == Some(&0) {
            return Ok(None);
        }
        let be = |at| word_at(&head, at, u32::from_be_bytes);
        let (records, nonce, sector, page) = (be(8), be(12), be(20), be(24));
        let sound = is_page(page) && sector.is_power_of_two() && (32..=PAGE).contains(&sector);
        if !head.starts_with(&JOURNAL_MAGIC) || parts == 0 && !sound {
            let what = "the journal of its unfinished transaction has a damaged header, and SQLite takes nothing back";
            return Ok((parts == 0).then(|| what.to_owned()));
        }
        let (sector, page) = *sizes.get_or_insert((u64::from(sector), usize::try_from(page).unwrap_or_default()));
        let skipped = sector.saturating_sub(JOURNAL_HEADER as u64);
        io::copy(&mut from.by_ref().take(skipped), &mut io::sink())?;
        let (read, damaged) = records_of(&mut from, (records != u32::MAX).then_some(records), nonce, page)?;
        if let Some(bad) = damaged {
            return Ok(Some(format!(
                "the journal of its unfinished transaction is damaged: SQLite stops at record {bad} of part {} and leaves the \
                 rest of the transaction in the database",
                parts + 1
            )));
        }
        at += sector + read * (page as u64 + 8);
        let padding = at.next_multiple_of(sector) - at;
        io::copy(&mut from.by_ref().take(padding), &mut io::sink())?;
        (at, parts) = (at + padding, parts + 1);
    }
}

/// Reads as many records of a journal's part as it says, or all: how many there were, and which SQLite would stop at though it is
/// not the end.
fn records_of(from: &mut impl Read, count: Option<u32>, nonce: u32, page: usize) -> io::Result<(u64, Option<u64>)> {
    let mut record = vec![0; page + 8];
    let (mut read, mut bad) = (0, None);
    while count.is_none_or(|count| read < u64::from(count)) {
        if !filled(from, &mut record)? {
            // One that says how many there are was written to the disk before it said so.
            return Ok((read, count.map(|_| bad.unwrap_or(read + 1))));
        }
        read += 1;
        let (no, rest) = record.split_at(4);
        let (data, sum) = rest.split_at(page);
        // So SQLite does: one byte in 200, which is why a flip of another can't be told.
        let sampled = (1..).map(|step| page.saturating_sub(200 * step)).take_while(|at| *at > 0);
        let told = sampled.filter_map(|at| data.get(at)).fold(nonce, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        let whole = no != [0; 4] && word_at(sum, 0, u32::from_be_bytes) == told;
        match bad {
            None if !whole && count.is_some() => return Ok((read, Some(read))),
            None if !whole => bad = Some(read),
            Some(_) if whole => return Ok((read, bad)),
            _ => {}
        }
    }
    Ok((read, None))
}

#[cfg(test)]
mod tests;
