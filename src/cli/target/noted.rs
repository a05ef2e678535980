//! A file that remembers why writing to it failed.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ops::OpsError;

/// Why the last write failed, if it did.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<OpsError>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<OpsError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: OpsError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

pub(super) struct Noted {
    file: File,
    path: PathBuf,
    failure: Failure,
}

impl Noted {
    pub(super) fn new(file: File, path: PathBuf, failure: &Failure) -> Self {
        Self { file, path, failure: failure.clone() }
    }
}

impl Write for Noted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf).inspect_err(|error| {
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
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
