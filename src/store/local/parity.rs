//! The files of parity, in a directory of their own beside the objects.

use std::{
    io,
    ops::Range,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType};

use super::{
    super::{Result, StoreError, StoreErrorKind as Kind},
    LocalStore,
    dir::{self, PARITY, Unplaced},
    fail::{failed, is_absent},
    naming,
};

fn told(name: &str) -> String {
    format!("{PARITY}/{name}")
}

impl LocalStore {
    fn parity_dir(&self, call: &str) -> Result<Option<OwnedFd>> {
        let root = self.open_root(call)?;
        match dir::open_in(&root, PARITY) {
            Ok(parity) => Ok(Some(parity)),
            Err(e) if is_absent(&e) => match dir::stat_in(&root, PARITY) {
                Ok(stat) if dir::kind_of(&stat) != FileType::Directory => {
                    let what =
                        format!("{call}: something that is no directory stands where the files of parity belong");
                    Err(StoreError::new(Kind::Corrupt, what).on(PARITY))
                }
                _ => Ok(None),
            },
            Err(e) => Err(failed(call, PARITY, e)),
        }
    }

    fn parity_file(&self, call: &str, name: &str) -> Result<std::fs::File> {
        let absent = || StoreError::new(Kind::NotFound, format!("{call}: there is no such file")).on(told(name));
        let parity = self.parity_dir(call)?.ok_or_else(absent)?;
        dir::open_object(&parity, name).map_err(|e| failed(call, &told(name), e))
    }

    pub(super) fn parity_files(&self) -> Result<Vec<(String, Option<u64>)>> {
        const CALL: &str = "list";
        let fail = |e: io::Error| failed(CALL, PARITY, e);
        let Some(parity) = self.parity_dir(CALL)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&parity).map_err(|e| fail(e.into()))? {
            let entry = entry.map_err(|e| fail(e.into()))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let stat = match dir::stat_in(&parity, name) {
                Err(e) if is_absent(&e) => continue,
                other => other.map_err(fail)?,
            };
            if !matches!(name, "." | "..") {
                let is_file = dir::kind_of(&stat) == FileType::RegularFile;
                found.push((name.to_owned(), is_file.then(|| dir::size(&stat))));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn read_parity(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        const CALL: &str = "get";
        let file = self.parity_file(CALL, name)?;
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if wanted as u64 > super::MAX_OBJECT {
            return Err(StoreError::new(Kind::BadRange, "get: more than a file of parity has").on(told(name)));
        }
        let mut bytes = vec![0; wanted];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| failed(CALL, &told(name), e))?;
        Ok(bytes.into())
    }

    pub(super) fn put_parity(&self, name: &str, bytes: &Bytes) -> Result<()> {
        const CALL: &str = "put parity";
        let fail = |e: io::Error| failed(CALL, &told(name), e);
        let root = self.open_root(CALL)?;
        let parity = dir::ensure(&root, std::iter::once(PARITY), false).map_err(fail)?;
        let tmp = self.tmp(CALL, &root)?;
        let file = Unplaced::write(&tmp, bytes, self.clock.now()).map_err(fail)?;
        file.replace(&parity, name).map_err(fail)?;
        naming::settle(&tmp, &parity).map_err(fail)
    }

    pub(super) fn remove_parity(&self, name: &str) -> Result<()> {
        const CALL: &str = "remove parity";
        let fail = |e: io::Error| failed(CALL, &told(name), e);
        let Some(parity) = self.parity_dir(CALL)? else { return Ok(()) };
        match rustix::fs::unlinkat(&parity, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => other.map_err(|e| fail(e.into())),
        }?;
        rustix::fs::fsync(&parity).map_err(|e| fail(e.into()))
    }
}
