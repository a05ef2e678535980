//! A file that remembers why writing to it failed.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{Advice, fadvise};

use crate::{ops::OpsError, vault::reader::Sink};

/// Why the last write failed, if it did.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<OpsError>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<OpsError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn note(&self, error: OpsError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What may wait in memory before the disk is set to work.
const PENDING: u64 = 16 << 20;

pub(super) struct Noted {
    file: File,
    path: PathBuf,
    failure: Failure,
    pending: Option<Pending>,
}

/// What was written since the disk was last set to work.
#[derive(Default)]
struct Pending {
    from: u64,
    bytes: u64,
}

impl Noted {
    pub(super) fn new(file: File, path: PathBuf, failure: &Failure) -> Self {
        Self { file, path, failure: failure.clone(), pending: None }
    }

    /// As [`Noted::new`], of a new file that must be on the disk in the end: the disk begins while more is decoded, so
    /// that there is little left to wait for.
    pub(super) fn durable(file: File, path: PathBuf, failure: &Failure) -> Self {
        Self { pending: Some(Pending::default()), ..Self::new(file, path, failure) }
    }

    fn wrote(&mut self, bytes: usize) {
        let Some(pending) = &mut self.pending else { return };
        pending.bytes += bytes as u64;
        if pending.bytes >= PENDING {
            // Linux starts to write what is dirty of a range that is said not to be needed, and waits for none of it.
            // Unlike a sync, this takes no error away from the sync that the restore ends with.
            let _ = fadvise(&self.file, pending.from, NonZeroU64::new(pending.bytes), Advice::DontNeed);
            *pending = Pending { from: pending.from + pending.bytes, bytes: 0 };
        }
    }
}

/// What comes out of standard output is never there already.
impl Sink for Noted {
    fn read_back(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_some() { self.file.read(buf) } else { Ok(0) }
    }

    fn keep(&mut self, bytes: u64) -> io::Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        if self.file.metadata()?.len() != bytes {
            self.file.set_len(bytes)?;
        }
        self.file.seek(SeekFrom::Start(bytes))?;
        *pending = Pending { from: bytes, bytes: 0 };
        Ok(())
    }
}

impl Write for Noted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buf).inspect_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return;
            }
            let kind = error.kind();
            self.failure.note(if kind == io::ErrorKind::BrokenPipe {
                OpsError::ReaderGone
            } else {
                // An error can't be copied; its number says all of it.
                let source = error.raw_os_error().map_or_else(|| kind.into(), io::Error::from_raw_os_error);
                OpsError::Io { what: "can't write", path: self.path.clone(), source }
            });
        })?;
        self.wrote(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
