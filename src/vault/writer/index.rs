//! The indexes of a snapshot: one for what is new, merged with smaller ones so that there are never many.

use std::collections::VecDeque;

use super::{Run, commit::Closure};
use crate::{
    catalog::{Catalog, ObjectRow, PackNo},
    codec::hash,
    format::{
        header::{MAX_INDEXES, ObjectRef},
        index::{self, Binding, Builder, INDEX_LIMIT, SEALED_LIMIT},
        layout,
    },
    model::Hash,
    store::Payload,
    vault::{VaultError, VaultErrorKind, fetch},
};

/// Sections are put into one index up to about this many bytes: another fits in well below what an index may hold.
const INDEX_TARGET: usize = INDEX_LIMIT - (8 << 20);
/// From so many live indexes on they are merged though they differ in size.
const KEEP_LIVE: usize = MAX_INDEXES / 4 * 3;
/// From so many live indexes on the oldest is written again too, without the packs that are gone.
const NEARLY_ALL: usize = MAX_INDEXES - 2;

/// How many sections are read from the catalog at once; one has a mebibyte or two where chunks are tiny.
const AT_ONCE: usize = 16;

/// What came of the indexes.
pub(super) struct Indexed {
    /// What the header names.
    pub(super) live: Vec<ObjectRef>,
    /// The packs that were in no index before.
    pub(super) packs: Vec<PackNo>,
    /// Whether indexes are gone. What they told can be read from the packs themselves, only more slowly.
    pub(super) warnings: Vec<String>,
}

/// An index of an earlier run, as it is there now.
enum Found {
    /// Its lock reaches the floor.
    Locked(ObjectRow),
    /// Its lock does not, or it has none.
    Unlocked(ObjectRow),
    /// It is gone or damaged.
    Lost,
}

impl Run<'_> {
    /// Writes an index of every pack that is in none yet, merged with the newest live ones while those are not much
    /// larger: each entry is rewritten a logarithmic number of times in its life, and few indexes are live.
    pub(super) fn indexes(&self, catalog: &mut Catalog, closure: &mut Closure) -> Result<Indexed, VaultError> {
        let (mut live, mut over, mut lost) = (Vec::new(), VecDeque::new(), 0_u64);
        let mut size = usize::try_from(catalog.pending_bytes()?).unwrap_or(usize::MAX);
        // The oldest comes first, and what is new last: a rebuilt catalog numbers packs in the order in which indexes have them.
        let mut take_over = |old: &ObjectRef, size: &mut usize| {
            *size = size.saturating_add(usize::try_from(old.bytes).unwrap_or(usize::MAX));
            over.push_front(old.clone());
        };
        for old in self.heads.indexes.iter().rev() {
            // What this writer found itself; the header that named it may be a forged one.
            let found = |row: &ObjectRow| ObjectRef { hash: old.hash, bytes: row.bytes, version: row.version.clone() };
            match self.look_for(catalog, old)? {
                Found::Locked(row) => live.push((found(&row), row)),
                Found::Unlocked(row) => take_over(&found(&row), &mut size),
                Found::Lost => lost += 1,
            }
        }
        live.reverse();
        while let Some((last, _)) = live.last() {
            // Forged headers can name more than one of this writer's own may.
            let due = if size == 0 { live.len() > MAX_INDEXES } else { due(last.bytes, size, live.len()) };
            if !due {
                break;
            }
            take_over(last, &mut size);
            live.pop();
        }
        if live.len() >= NEARLY_ALL && size > 0 {
            take_over(&live.remove(0).0, &mut size);
        }
        for (_, row) in &live {
            closure.existing(row);
        }
        let live = live.into_iter().map(|(old, _)| old).collect();
        let mut filling = Filling { run: self, catalog, closure, live, index: self.index() };
        for old in over {
            lost += filling.take_over(&old)?;
        }
        let packs = filling.pending()?;
        filling.flush()?;
        let live = filling.live;
        if live.len() > MAX_INDEXES {
            let what = format!("{} live indexes are more than a header can name", live.len());
            return Err(VaultError::new(VaultErrorKind::Failed, what));
        }
        // One line, however many there are: a header is small, and forged ones can name any number of them.
        let warnings = match lost {
            0 => Vec::new(),
            1 => vec!["an index is lost and was left out; restores still work, more slowly".to_owned()],
            lost => vec![format!("{lost} indexes are lost and were left out; restores still work, more slowly")],
        };
        Ok(Indexed { live, packs, warnings })
    }

    /// A new index, without sections.
    fn index(&self) -> Builder {
        let writer = &self.place.writer;
        let (vault, seq) = (writer.descriptor.vault, self.heads.next_seq);
        Builder::new(&Binding { vault, writer: writer.name.clone(), seq })
    }

    /// An index of an earlier run, whose lock is extended if it falls short of the floor and may be.
    fn look_for(&self, catalog: &mut Catalog, old: &ObjectRef) -> Result<Found, VaultError> {
        let key = layout::index(&self.place.writer.name, &old.hash);
        if let Some(row) = catalog.object(key.as_str())?.filter(|row| self.locking.suffices(row.lock)) {
            return Ok(Found::Locked(row));
        }
        let found = fetch::version_by_hash(&*self.place.store, &key, old.version.as_deref(), &old.hash, SEALED_LIMIT);
        let (bytes, version) = match self.runtime.block_on(found) {
            Ok((bytes, version)) => (bytes.len() as u64, version.map(|v| v.as_str().to_owned())),
            Err(error) if error.is_of_object() => {
                tracing::warn!(index = %old.hash, %error, "an index is lost");
                return Ok(Found::Lost);
            }
            Err(error) => return Err(error),
        };
        let lock = self.lock_or_extend(&key, version.as_deref())?;
        let row = ObjectRow { key: key.to_string(), bytes, version, lock };
        if lock.is_some() {
            catalog.remember_object(&row)?;
        }
        Ok(if self.locking.suffices(lock) { Found::Locked(row) } else { Found::Unlocked(row) })
    }

    fn put_index(&self, catalog: &mut Catalog, index: Builder, closure: &mut Closure) -> Result<ObjectRef, VaultError> {
        let writer = &self.place.writer;
        let sealed = index.seal(&writer.signing_key, &writer.index_sealer)?;
        let hash: Hash = hash::hash(sealed.bytes());
        let bytes = sealed.bytes().len() as u64;
        let key = layout::index(&writer.name, &hash);
        let put = self.put_named(&key, &Payload::Sealed(sealed), closure)?;
        if !self.locking.suffices(put.lock) {
            return Err(self.unprotected(&key, put.lock));
        }
        let row = ObjectRow { key: key.to_string(), bytes, version: put.version.clone(), lock: put.lock };
        catalog.remember_object(&row)?;
        closure.existing(&row);
        Ok(ObjectRef { hash, bytes, version: put.version })
    }
}

/// Indexes being written, one after the other: of a first run of a tebibyte they have 300 MiB, of which one part is in memory.
struct Filling<'a, 'r> {
    run: &'a Run<'r>,
    catalog: &'a mut Catalog,
    closure: &'a mut Closure,
    live: Vec<ObjectRef>,
    index: Builder,
}

impl Filling<'_, '_> {
    /// Adds a section, after the index was put if it has no room for it.
    fn add(&mut self, section: &[u8]) -> Result<(), VaultError> {
        if self.index.bytes() + section.len() > INDEX_TARGET {
            self.flush()?;
        }
        Ok(self.index.push(section)?)
    }

    fn flush(&mut self) -> Result<(), VaultError> {
        if self.index.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.index, self.run.index());
        self.live.push(self.run.put_index(self.catalog, full, self.closure)?);
        Ok(())
    }

    /// Adds the packs that are in no index yet, and says which.
    fn pending(&mut self) -> Result<Vec<PackNo>, VaultError> {
        let mut packs = Vec::new();
        loop {
            let some = self.catalog.pending(packs.last().copied(), AT_ONCE)?;
            if some.is_empty() {
                return Ok(packs);
            }
            for (no, section) in some {
                self.add(&section)?;
                packs.push(no);
            }
        }
    }

    /// Adds the sections of an index of an earlier run, which this writer can open. Those of packs that are gone are left
    /// out: no new snapshot can lean on them, and earlier ones have indexes of their own. Says how many indexes are lost,
    /// which is one or none.
    fn take_over(&mut self, old: &ObjectRef) -> Result<u64, VaultError> {
        let (run, writer) = (self.run, &self.run.place.writer);
        let key = layout::index(&writer.name, &old.hash);
        let read = fetch::by_hash(&*run.place.store, &key, old.version.as_deref(), &old.hash, SEALED_LIMIT);
        let mut written = true;
        let taken = run.runtime.block_on(read).and_then(|sealed| {
            let of = (writer.descriptor.vault, &writer.name, &writer.certificate.signing_key);
            index::open_sealed(&sealed, &writer.catalog, of, |section, encoded| {
                // A run that stores anew looks at no earlier pack.
                if run.retention.full || run.listed.contains_key(&section.pack) {
                    self.add(encoded).inspect_err(|_| written = false)?;
                }
                Ok::<_, VaultError>(())
            })
        });
        match taken {
            Ok(_) => Ok(0),
            Err(error) if written && error.is_of_object() => {
                tracing::warn!(index = %old.hash, %error, "an index is lost");
                Ok(1)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the newest of `live` indexes, of `bytes`, is to be written again together with `size` bytes of sections. Never
/// if they don't fit into one: that would be done again every day.
fn due(bytes: u64, size: usize, live: usize) -> bool {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let small = bytes <= size.saturating_mul(2);
    bytes.saturating_add(size) <= INDEX_TARGET && (small || live >= KEEP_LIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What merging does to a writer whose first run makes `first` bytes of sections and each of a year's others `daily`:
    /// the most indexes that are live, and how often each byte is written.
    fn year(first: usize, daily: usize) -> (usize, usize) {
        let fill = |bytes: usize| -> Vec<usize> {
            let mut all = vec![INDEX_TARGET; bytes / INDEX_TARGET];
            all.extend(Some(bytes % INDEX_TARGET).filter(|rest| *rest > 0));
            all
        };
        let mut live = fill(first);
        let (mut most, mut written) = (live.len(), first);
        for _ in 0..365 {
            let mut size = daily;
            while live.last().is_some_and(|last| due(*last as u64, size, live.len())) {
                size += live.pop().unwrap();
            }
            written += size;
            live.extend(fill(size));
            most = most.max(live.len());
        }
        (most, written / (first + 365 * daily))
    }

    #[test]
    fn however_much_there_is_a_header_names_it_and_no_day_writes_it_all_again() {
        const MIB: usize = 1 << 20;
        // 36 bytes for a chunk of 128 KiB, so 300 MiB for each TiB, and 1 MiB for what is new on a day of 3.6 GiB.
        for (first, daily) in [(0, MIB), (320, MIB), (640, MIB), (320, MIB / 8), (320, 3 * MIB)] {
            let (most, written) = year(first * MIB, daily);
            assert!(most <= MAX_INDEXES, "{first} MiB and {daily}: {most} indexes");
            assert!(written <= 6, "{first} MiB and {daily}: each byte was written {written} times");
        }
    }
}
