//! The indexes of a snapshot: one for what is new, merged with smaller ones so that there are never many.

use super::{Run, commit::Closure};
use crate::{
    catalog::{Catalog, ObjectRow, PackNo},
    codec::hash,
    format::{
        FormatError,
        header::{MAX_INDEXES, ObjectRef},
        index::{self, Binding, INDEX_LIMIT, SEALED_LIMIT},
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

/// What came of the indexes.
pub(super) struct Indexed {
    /// What the header names.
    pub(super) live: Vec<ObjectRef>,
    /// The packs that were in no index before.
    pub(super) packs: Vec<PackNo>,
    /// Whether indexes are gone. What they told can be read from the packs themselves, only more slowly.
    pub(super) warnings: Vec<String>,
}

impl Run<'_> {
    /// Writes an index of every pack that is in none yet, merged with the newest live ones while those are not much
    /// larger: each entry is rewritten a logarithmic number of times in its life, and few indexes are live.
    pub(super) fn indexes(&self, catalog: &mut Catalog, closure: &mut Closure) -> Result<Indexed, VaultError> {
        let pending = catalog.pending()?;
        let packs = pending.iter().map(|(no, _)| *no).collect();
        let mut sections: Vec<Vec<u8>> = pending.into_iter().map(|(_, section)| section).collect();
        let (mut live, mut lost) = (Vec::new(), 0_u64);
        for old in self.heads.indexes.iter().rev() {
            match self.still_locked(catalog, old)? {
                Some(row) => {
                    // What this writer found itself; the header that named it may be a forged one.
                    let (bytes, version) = (row.bytes, row.version.clone());
                    live.push((ObjectRef { hash: old.hash, bytes, version }, row));
                }
                None => lost += self.take_over(old, &mut sections)?,
            }
        }
        live.reverse();
        let mut size: usize = sections.iter().map(Vec::len).sum();
        while let Some((last, _)) = live.last() {
            // Forged headers can name more than one of this writer's own may.
            let nothing_new = sections.is_empty();
            let due = if nothing_new { live.len() > MAX_INDEXES } else { due(last.bytes, size, live.len()) };
            if !due {
                break;
            }
            lost += self.take_over(&last.clone(), &mut sections)?;
            size = sections.iter().map(Vec::len).sum();
            live.pop();
        }
        if live.len() >= NEARLY_ALL && !sections.is_empty() {
            let (oldest, _) = live.remove(0);
            lost += self.take_over(&oldest, &mut sections)?;
        }
        for (_, row) in &live {
            closure.existing(row);
        }
        let mut live: Vec<ObjectRef> = live.into_iter().map(|(old, _)| old).collect();
        for part in parts(&sections) {
            live.push(self.put_index(catalog, part, closure)?);
        }
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

    /// An index of an earlier run, if its lock reaches the floor or can be made to.
    fn still_locked(&self, catalog: &mut Catalog, old: &ObjectRef) -> Result<Option<ObjectRow>, VaultError> {
        let key = layout::index(&self.place.writer.name, &old.hash);
        if let Some(row) = catalog.object(key.as_str())?.filter(|row| self.locking.suffices(row.lock)) {
            return Ok(Some(row));
        }
        let found = fetch::version_by_hash(&*self.place.store, &key, old.version.as_deref(), &old.hash, SEALED_LIMIT);
        let (bytes, version) = match self.runtime.block_on(found) {
            Ok((bytes, version)) => (bytes.len() as u64, version.map(|v| v.as_str().to_owned())),
            Err(error) if error.is_of_object() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(lock) = self.lock_or_extend(&key, version.as_deref())? else { return Ok(None) };
        let row = ObjectRow { key: key.to_string(), bytes, version, lock: Some(lock) };
        catalog.remember_object(&row)?;
        Ok(self.locking.suffices(row.lock).then_some(row))
    }

    /// Moves the sections of an index of an earlier run into the new one, before those that are newer: a rebuilt catalog
    /// numbers packs in the order in which indexes have them. Says how many indexes are lost, which is one or none.
    fn take_over(&self, old: &ObjectRef, sections: &mut Vec<Vec<u8>>) -> Result<u64, VaultError> {
        match self.sections_of(old) {
            Ok(found) => drop(sections.splice(..0, found)),
            Err(error) if error.is_of_object() => {
                tracing::warn!(index = %old.hash, %error, "an index is lost");
                return Ok(1);
            }
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    /// The encoded sections of an index of an earlier run, which this writer can open. Those of packs that are gone are
    /// left out: no new snapshot can lean on them, and earlier ones have indexes of their own.
    fn sections_of(&self, old: &ObjectRef) -> Result<Vec<Vec<u8>>, VaultError> {
        let writer = &self.place.writer;
        let key = layout::index(&writer.name, &old.hash);
        let sealed = self.runtime.block_on(fetch::by_hash(
            &*self.place.store,
            &key,
            old.version.as_deref(),
            &old.hash,
            SEALED_LIMIT,
        ))?;
        let plain = writer.catalog.open(&sealed, INDEX_LIMIT)?;
        let mut sections = Vec::new();
        let signer = &writer.certificate.signing_key;
        index::open(&plain, writer.descriptor.vault, &writer.name, signer, |section, encoded| {
            // A run that stores anew looks at no earlier pack.
            if self.retention.full || self.listed.contains_key(&section.pack) {
                sections.push(encoded.to_vec());
            }
            Ok::<_, FormatError>(())
        })?;
        Ok(sections)
    }

    fn put_index(
        &self,
        catalog: &mut Catalog,
        sections: &[Vec<u8>],
        closure: &mut Closure,
    ) -> Result<ObjectRef, VaultError> {
        let writer = &self.place.writer;
        let binding = Binding { vault: writer.descriptor.vault, writer: writer.name.clone(), seq: self.heads.next_seq };
        let sections = sections.iter().map(Vec::as_slice);
        let sealed = index::seal(&binding, sections, &writer.signing_key, &writer.index_sealer)?;
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

/// Whether the newest of `live` indexes, of `bytes`, is to be written again together with `size` bytes of sections. Never
/// if they don't fit into one: that would be done again every day.
fn due(bytes: u64, size: usize, live: usize) -> bool {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let small = bytes <= size.saturating_mul(2);
    bytes.saturating_add(size) <= INDEX_TARGET && (small || live >= KEEP_LIVE)
}

/// Splits sections into runs of about [`INDEX_TARGET`] bytes.
fn parts(sections: &[Vec<u8>]) -> Vec<&[Vec<u8>]> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, section) in sections.iter().enumerate() {
        if bytes > 0 && bytes + section.len() > INDEX_TARGET {
            parts.extend(sections.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += section.len();
    }
    parts.extend(sections.get(from..).filter(|rest| !rest.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_split_and_none_is_lost() {
        let sections: Vec<Vec<u8>> = (0..9).map(|i| vec![i; 20 << 20]).collect();
        let split = parts(&sections);
        assert_eq!(split.iter().map(|p| p.len()).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
        assert_eq!(split.concat(), sections);
        assert!(parts(&[]).is_empty());
        assert_eq!(parts(&[vec![0; 60 << 20]]).len(), 1);
    }

    /// What merging does to a writer whose first run makes `first` bytes of sections and each of a year's others `daily`:
    /// the most indexes that are live, and how often each byte is written.
    fn year(first: usize, daily: usize) -> (usize, usize) {
        const SECTION: usize = 64 << 10;
        let sections: Vec<Vec<u8>> = vec![vec![0; SECTION]; INDEX_TARGET / SECTION];
        let fill = |bytes: usize| -> Vec<usize> {
            let mut all = vec![INDEX_TARGET; bytes / INDEX_TARGET];
            let rest = sections.get(..bytes % INDEX_TARGET / SECTION).unwrap();
            all.extend(parts(rest).iter().map(|part| part.len() * SECTION));
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
