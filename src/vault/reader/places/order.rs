//! The order in which chunks are found: in buckets by the beginnings of their ids, within one in the order of the packs. It is
//! made in memory that does not grow with their number, but for a few bits of each.

use std::io;

use super::rows::{CHUNK, ChunkRow, ID_BITS, beginning};
use crate::{catalog::scratch::Scratch, model::ChunkId};

/// A bucket has so many chunks on average.
const PER_BUCKET: u32 = 16;

/// A bucket has no more than these. Ids are hashes, so no honest one comes near; whoever signs indexes can give every chunk the
/// same.
const MOST: u32 = 4096;

/// What waits to be written to each part of the file.
const WAITING: usize = 32 << 10;

/// Chunks in their order.
pub(super) struct Order {
    rows: Scratch,
    /// Where each bucket ends.
    ends: Vec<u32>,
    /// How far the beginning of an id is shifted to be the number of its bucket.
    shift: u32,
}

impl Order {
    /// Orders chunks that stand in the order of their packs. So many bytes of them are in memory at once.
    ///
    /// # Errors
    /// If the file can't be written or read.
    pub(super) fn of(arrived: Scratch, limit: usize) -> io::Result<Self> {
        let at_once = u32::try_from(limit / CHUNK).unwrap_or(u32::MAX).max(1);
        let count = u32::try_from(arrived.len() / CHUNK as u64).unwrap_or(u32::MAX);
        let bits = (count / PER_BUCKET).checked_ilog2().map_or(0, |bits| bits + 1);
        let mut order = Self { rows: Scratch::new(limit), ends: vec![0; 1 << bits], shift: ID_BITS - bits };
        // How many each has, then where each ends.
        each(&arrived, |row| {
            if let Some(bucket) = order.ends.get_mut(bucket(row.beginning(), order.shift)) {
                *bucket = MOST.min(*bucket + 1);
            }
            Ok(())
        })?;
        let mut end = 0;
        for bucket in &mut order.ends {
            end += *bucket;
            *bucket = end;
        }
        let parts = order.parts(at_once);
        order.rows = Scratch::zeros(u64::from(end) * CHUNK as u64, limit)?;
        order.distribute(&arrived, &parts)?;
        drop(arrived);
        Ok(order)
    }

    /// Runs of buckets with so many chunks that one can be put into order in memory: where each begins among the buckets, and
    /// among the chunks.
    fn parts(&self, at_once: u32) -> Vec<(usize, u32)> {
        let (mut parts, mut start) = (vec![(0, 0)], 0);
        for (no, end) in self.ends.iter().enumerate() {
            if end - parts.last().map_or(0, |part| part.1) > at_once && start > parts.last().map_or(0, |part| part.1) {
                parts.push((no, start));
            }
            start = *end;
        }
        parts
    }

    /// Brings each chunk into its part, then each part into its order.
    fn distribute(&mut self, arrived: &Scratch, parts: &[(usize, u32)]) -> io::Result<()> {
        let mut left = vec![0_u16; self.ends.len()];
        let mut start = 0;
        for (left, end) in left.iter_mut().zip(&self.ends) {
            *left = u16::try_from(end - start).unwrap_or(u16::MAX);
            start = *end;
        }
        if let [_] = parts {
            let mut all = Vec::new();
            each(arrived, |row| {
                take(&mut left, bucket(row.beginning(), self.shift)).then(|| all.push(row));
                Ok(())
            })?;
            return self.put(0, all);
        }
        let mut waiting: Vec<(u64, Vec<u8>)> =
            parts.iter().map(|(_, first)| (u64::from(*first) * CHUNK as u64, Vec::with_capacity(WAITING))).collect();
        let (rows, shift) = (&mut self.rows, self.shift);
        each(arrived, |row| {
            let bucket = bucket(row.beginning(), shift);
            let part = parts.partition_point(|(first, _)| *first <= bucket).checked_sub(1);
            let Some((at, bytes)) = part.and_then(|part| waiting.get_mut(part)) else { return Ok(()) };
            if take(&mut left, bucket) {
                bytes.extend_from_slice(&row.encode());
            }
            if bytes.len() + CHUNK > WAITING {
                rows.write_at(*at, bytes)?;
                *at += bytes.len() as u64;
                bytes.clear();
            }
            Ok(())
        })?;
        for (at, bytes) in waiting {
            rows.write_at(at, &bytes)?;
        }
        let ends = parts.iter().skip(1).map(|(_, first)| *first).chain([self.ends.last().copied().unwrap_or(0)]);
        for ((_, first), end) in parts.iter().zip(ends) {
            let rows = self.read(*first..end)?;
            self.put(*first, rows)?;
        }
        Ok(())
    }

    /// Puts chunks into their order, and writes them from number `first` on.
    fn put(&mut self, first: u32, mut rows: Vec<ChunkRow>) -> io::Result<()> {
        // Stable, so that those of one bucket stay in the order of the packs.
        rows.sort_by_key(|row| bucket(row.beginning(), self.shift));
        let mut at = u64::from(first) * CHUNK as u64;
        for some in rows.chunks(WAITING / CHUNK) {
            let bytes: Vec<u8> = some.iter().flat_map(ChunkRow::encode).collect();
            self.rows.write_at(at, &bytes)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }

    fn read(&self, numbers: std::ops::Range<u32>) -> io::Result<Vec<ChunkRow>> {
        let mut bytes = vec![0; numbers.len() * CHUNK];
        self.rows.read_at(u64::from(numbers.start) * CHUNK as u64, &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(ChunkRow::decode).collect())
    }

    /// The chunks whose ids begin as this one does, in the order of the packs.
    pub(super) fn alike(&self, id: &ChunkId) -> io::Result<Vec<ChunkRow>> {
        let wanted = beginning(id);
        let bucket = bucket(wanted, self.shift);
        let Some(end) = self.ends.get(bucket) else { return Ok(Vec::new()) };
        let start = bucket.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let mut rows = self.read(start..*end)?;
        rows.retain(|row| row.beginning() == wanted);
        Ok(rows)
    }

    /// How many bytes of memory it takes.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        let rows = if self.rows.is_in_memory() { usize::try_from(self.rows.len()).unwrap() } else { 0 };
        rows + self.ends.capacity() * 4
    }
}

/// Whether one more of this bucket is kept.
fn take(left: &mut [u16], bucket: usize) -> bool {
    let Some(left) = left.get_mut(bucket) else { return false };
    let kept = *left > 0;
    *left = left.saturating_sub(1);
    kept
}

fn each(rows: &Scratch, mut each: impl FnMut(ChunkRow) -> io::Result<()>) -> io::Result<()> {
    rows.each_piece(CHUNK, |piece| piece.as_chunks().0.iter().try_for_each(|row| each(ChunkRow::decode(row))))
}

fn bucket(beginning: u64, shift: u32) -> usize {
    usize::try_from(beginning.checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX)
}
