//! Bytes that are kept while a command runs, such as where the chunks of a snapshot are: in memory while they are few, else in a file without a name, which is gone
//! with the process, however that ends.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf};

/// So many bytes are written to the file at once.
const STEP: usize = 256 << 10;

/// Where such files are.
pub(crate) fn place() -> PathBuf {
    std::env::temp_dir()
}

/// Bytes in the order in which they came.
pub(crate) struct Scratch {
    /// What the file does not have: all, or the end.
    memory: Vec<u8>,
    file: Option<File>,
    /// How many bytes the file has.
    filed: u64,
    /// So many are kept in memory.
    limit: usize,
}

impl Scratch {
    /// None yet. Beyond `limit` bytes they go to a file.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { memory: Vec::new(), file: None, filed: 0, limit }
    }

    /// `len` zeros, to be [written over](Self::write_at).
    ///
    /// # Errors
    /// If there is no room for the file.
    pub(crate) fn zeros(len: u64, limit: usize) -> io::Result<Self> {
        match usize::try_from(len) {
            Ok(len) if len <= limit => Ok(Self { memory: vec![0; len], ..Self::new(limit) }),
            _ => {
                let file = tempfile::tempfile()?;
                file.set_len(len)?;
                Ok(Self { memory: Vec::new(), file: Some(file), filed: len, limit })
            }
        }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.filed + self.memory.len() as u64
    }

    pub(crate) const fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Adds bytes at the end, and says where they begin.
    ///
    /// # Errors
    /// If the file can't be made or written.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.len();
        let most = if self.file.is_some() { STEP } else { self.limit };
        if self.memory.len() + bytes.len() > most && !self.memory.is_empty() {
            if self.file.is_none() {
                self.file = Some(tempfile::tempfile()?);
            }
            if let Some(file) = &self.file {
                file.write_all_at(&self.memory, self.filed)?;
            }
            self.filed = at;
            self.memory.clear();
            self.memory.shrink_to(STEP);
        }
        self.memory.extend_from_slice(bytes);
        Ok(at)
    }

    /// Reads what begins at `at`, all of `out`.
    ///
    /// # Errors
    /// If there is less, or the file can't be read.
    pub(crate) fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let from_file = usize::try_from(self.filed.saturating_sub(at)).unwrap_or(usize::MAX).min(out.len());
        let (filed, rest) = out.split_at_mut(from_file);
        if let (Some(file), false) = (&self.file, filed.is_empty()) {
            file.read_exact_at(filed, at)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let from = usize::try_from((at + from_file as u64).saturating_sub(self.filed)).unwrap_or(usize::MAX);
        let kept = self.memory.get(from..).and_then(|kept| kept.get(..rest.len()));
        rest.copy_from_slice(kept.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Reads all bytes from the first on.
    pub(crate) const fn reader(&self) -> Reading<'_> {
        Reading { scratch: self, at: 0 }
    }

    /// Writes over what is there from `at` on.
    ///
    /// # Errors
    /// If there is less, or the file can't be written.
    pub(crate) fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at + bytes.len() as u64 > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let to_file = usize::try_from(self.filed.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        let (filed, rest) = bytes.split_at(to_file);
        if let (Some(file), false) = (&self.file, filed.is_empty()) {
            file.write_all_at(filed, at)?;
        }
        let from = usize::try_from((at + to_file as u64).saturating_sub(self.filed)).unwrap_or(usize::MAX);
        if let Some(kept) = self.memory.get_mut(from..).and_then(|kept| kept.get_mut(..rest.len())) {
            kept.copy_from_slice(rest);
        }
        Ok(())
    }

    /// Gives all bytes to `each`, in pieces of `record` bytes times some.
    ///
    /// # Errors
    /// If the file can't be read, or `each` fails.
    pub(crate) fn each_piece(&self, record: usize, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.is_in_memory() {
            return each(&self.memory);
        }
        let step = (STEP / record).max(1) * record;
        let mut piece = vec![0; step];
        let mut at = 0;
        while at < self.len() {
            let n = usize::try_from(self.len() - at).unwrap_or(usize::MAX).min(step);
            let part = piece.get_mut(..n).unwrap_or_default();
            self.read_at(at, part)?;
            each(part)?;
            at += n as u64;
        }
        Ok(())
    }
}

/// The bytes of a [`Scratch`], read one after the other.
pub(crate) struct Reading<'a> {
    scratch: &'a Scratch,
    at: u64,
}

impl io::Read for Reading<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.scratch.len() - self.at).unwrap_or(usize::MAX).min(out.len());
        self.scratch.read_at(self.at, out.get_mut(..n).unwrap_or_default())?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In memory or in a file, it is one run of bytes.
        #[test]
        fn what_was_written_is_read(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..40),
            over in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..500)), 0..10),
            limit in 0_usize..20_000,
        ) {
            let mut scratch = Scratch::new(limit);
            let mut all = Vec::new();
            for part in &parts {
                prop_assert_eq!(scratch.append(part).unwrap(), all.len() as u64);
                all.extend_from_slice(part);
            }
            prop_assert_eq!(scratch.len(), all.len() as u64);
            prop_assert!(scratch.is_in_memory() || all.len() > limit);
            for (at, bytes) in &over {
                let at = at.index(all.len() + 1);
                let done = scratch.write_at(at as u64, bytes);
                prop_assert_eq!(done.is_ok(), at + bytes.len() <= all.len());
                if done.is_ok() {
                    all[at..at + bytes.len()].copy_from_slice(bytes);
                }
                let mut read = vec![0; bytes.len()];
                prop_assert_eq!(scratch.read_at(at as u64, &mut read).is_ok(), done.is_ok());
                prop_assert!(done.is_err() || read == *bytes);
            }
            let mut pieces = Vec::new();
            scratch.each_piece(1, |piece| { pieces.extend_from_slice(piece); Ok(()) }).unwrap();
            prop_assert_eq!(&pieces, &all);
            let mut read = Vec::new();
            io::Read::read_to_end(&mut scratch.reader(), &mut read).unwrap();
            prop_assert_eq!(&read, &all);
        }
    }

    #[test]
    fn zeros_are_written_over_wherever_they_lie() {
        for limit in [0, 1 << 20] {
            let mut scratch = Scratch::zeros(1000, limit).unwrap();
            assert_eq!((scratch.len(), scratch.is_in_memory()), (1000, limit > 0));
            scratch.write_at(990, &[7; 10]).unwrap();
            assert!(scratch.write_at(991, &[7; 10]).is_err());
            let mut read = [1; 12];
            scratch.read_at(988, &mut read).unwrap();
            assert_eq!(read, [0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        }
    }
}
