//! Packs of git on their way through a verification: bytes that were stored as they should be may have rotted before.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    codec::{git_object::GitHash, git_pack::PackCheck},
    format::body::StreamRecord,
    model::SourceKind,
    vault::reader::Snapshot,
};

/// A pack that is checked while it is read.
pub(super) struct Checked {
    check: Arc<Mutex<PackCheck>>,
}

/// What is read goes here.
struct Writer(Arc<Mutex<PackCheck>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Checked {
    /// The check of a stream, if it is a repository's pack.
    pub(super) fn of(snapshot: &Snapshot, stream: &StreamRecord) -> Option<Self> {
        let pack = snapshot.header.header.kind == SourceKind::Git
            && stream.path.is_none()
            && std::path::Path::new(stream.name.as_str()).extension() == Some("pack".as_ref());
        let format = snapshot.body.details.get("format").and_then(serde_json::Value::as_str);
        let hash = if format == Some("sha256") { GitHash::Sha256 } else { GitHash::Sha1 };
        pack.then(|| Self { check: Arc::new(Mutex::new(PackCheck::new(hash))) })
    }

    /// Where its bytes go.
    pub(super) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(Writer(Arc::clone(&self.check)))
    }

    /// Called after the last byte: what is wrong with it.
    pub(super) fn finish(self) -> Result<(), String> {
        let check = std::mem::replace(
            &mut *self.check.lock().unwrap_or_else(PoisonError::into_inner),
            PackCheck::new(GitHash::Sha1),
        );
        check.finish().map_err(|why| {
            format!(
                "it is stored as it came, and was damaged before: {why}. Mend the repository, back it up again, and drill \
                 that snapshot"
            )
        })
    }
}
