//! What [`LocalStore`] does on the disk, blocking.

use std::{
    fs::File,
    io,
    ops::Range,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    sync::PoisonError,
};

use bytes::Bytes;
use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Stat},
    io::Errno,
};

use super::{
    LocalStore,
    dir::{self, TMP, Unplaced},
    fail::failed,
    immutable,
    naming::{self, Way},
    sidecar,
};
use crate::{
    model::{Key, Lock},
    store::{
        Head, Put, Result, StoreError, StoreErrorKind as Kind,
        rules::{MAX_OBJECT, clip, extended},
    },
};

/// The longest segment of a key, in bytes: with the suffix of a lock's record it is as long as file names may be.
const MAX_SEGMENT: usize = 255 - sidecar::SUFFIX.len();

/// The longest mark, in bytes, that leaves room for the rest of a temporary name.
const MAX_MARK: usize = 220;

/// The directories of a key, and its name in the last of them.
fn split(key: &Key) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Makes the vault's directory and those above it, durably.
pub(super) fn make_root(path: &Path) -> Result<()> {
    let told = path.display().to_string();
    match std::fs::create_dir_all(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(no_directory("create", path)),
        Err(e) => return Err(failed("create the vault's directory", &told, e)),
    }
    for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        // Those above ours may be closed to us; then they are older than this call.
        if let Ok(directory) = File::open(above) {
            directory.sync_all().map_err(|e| failed("create the vault's directory", &told, e))?;
        }
    }
    Ok(())
}

fn no_directory(call: &str, path: &Path) -> StoreError {
    let what = format!("{call}: the vault's path is not a directory; give the path of a directory");
    StoreError::new(Kind::Invalid, what).on(path.display())
}

impl LocalStore {
    /// Opens the vault's directory anew for each call, so that an unmounted disk is noticed.
    pub(super) fn open_root(&self, call: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let told = || self.root.display().to_string();
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).map_err(|e| match e {
            Errno::NOENT => {
                let what = format!("{call}: the vault's directory does not exist; is its disk mounted?");
                StoreError::new(Kind::NoVault, what).on(self.root.display())
            }
            Errno::NOTDIR => no_directory(call, &self.root),
            e => failed(call, &told(), e),
        })?;
        let stat = rustix::fs::fstat(&root).map_err(|e| failed(call, &told(), e))?;
        // The empty directory below a disk that was pulled out takes files like any other.
        let found = (stat.st_dev, stat.st_ino);
        let first = *self.identity.get_or_init(|| found);
        // Where files have no numbers of their own, they get new ones now and then.
        if first != found && (first.0 != found.0 || !naming::is_plain(&root)) {
            let what = format!("{call}: another directory has taken the place of the vault's; was its disk unmounted?");
            return Err(StoreError::new(Kind::NoVault, what).on(told()));
        }
        Ok(root)
    }

    pub(super) fn sweep(&self) -> Result<()> {
        let root = self.open_root("open")?;
        if let Ok(tmp) = dir::open_in(&root, TMP) {
            self.finish_records(&root, &tmp);
            dir::sweep(&tmp, self.clock.now());
        }
        Ok(())
    }

    /// Names the records of locks whose process ended after it had named their objects. Does what it can: `renew` locks what
    /// has no record, too.
    fn finish_records(&self, root: &OwnedFd, tmp: &OwnedFd) {
        let pending = dir::find(tmp, sidecar::marked);
        if pending.is_empty() {
            return;
        }
        // While it is held alone, nobody is between the two.
        let Ok(_guard) = dir::guard(tmp, FlockOperation::NonBlockingLockExclusive) else { return };
        for (temporary, key) in pending {
            let (path, name) = split(&key);
            let Ok(dir) = root.try_clone().and_then(|root| dir::walk(root, segments(path))) else { continue };
            let bare = dir::stat_object(&dir, name).is_ok()
                && matches!(sidecar::read(&dir, name, key.as_str()), Ok(None))
                && matches!(sidecar::read_as(tmp, &temporary, key.as_str()), Ok(Some(_)));
            if bare
                && rustix::fs::renameat_with(tmp, &temporary, &dir, sidecar::name(name), RenameFlags::NOREPLACE).is_ok()
            {
                let _ = naming::settle(tmp, &dir);
                if self.immutable {
                    let _ = set_immutable(&dir, name);
                }
            }
        }
    }

    pub(super) fn try_immutable(&self) -> Result<()> {
        let tmp = self.tmp("set the immutable flag", &self.open_root("set the immutable flag")?)?;
        let told = self.root.display().to_string();
        let tried = Unplaced::write(&tmp, b"", self.clock.now()).and_then(|file| {
            immutable::set(&file)?;
            immutable::clear(&file)
        });
        tried.map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::PERM | Errno::ACCESS) => StoreError::new(
                Kind::Denied,
                "set the immutable flag: only root may; run as root or turn `immutable` off",
            )
            .on(told)
            .because(e),
            Some(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => StoreError::new(
                Kind::Unsupported,
                "set the immutable flag: this file system has none; turn `immutable` off",
            )
            .on(told)
            .because(e),
            _ => failed("set the immutable flag", &told, e),
        })
    }

    /// The directory of unfinished files.
    pub(super) fn tmp(&self, call: &str, root: &OwnedFd) -> Result<OwnedFd> {
        dir::ensure(root, std::iter::once(TMP), false)
            .map_err(|e| failed(call, &self.root.join(TMP).display().to_string(), e))
    }

    /// The directory of a key that must be there.
    fn parent<'a>(&self, call: &str, key: &'a Key) -> Result<(OwnedFd, &'a str)> {
        let root = self.open_root(call)?;
        let (path, name) = split(key);
        let dir = dir::walk(root, segments(path)).map_err(|e| failed(call, key.as_str(), e))?;
        Ok((dir, name))
    }

    fn stat(&self, call: &str, key: &Key) -> Result<(OwnedFd, Stat)> {
        let (dir, name) = self.parent(call, key)?;
        let stat = dir::stat_object(&dir, name).map_err(|e| failed(call, key.as_str(), e))?;
        Ok((dir, stat))
    }

    /// A lock that ends in the past protects nothing; buckets refuse it.
    fn must_last(&self, call: &str, key: &Key, lock: Lock) -> Result<()> {
        if lock.until > self.clock.now() {
            return Ok(());
        }
        let what = format!("{call}: a lock until {} has already ended", lock.until);
        Err(StoreError::new(Kind::Invalid, what).on(key))
    }

    pub(super) fn put(&self, key: &Key, bytes: &Bytes, lock: Option<Lock>) -> Result<Put> {
        let (path, name) = split(key);
        let unfit = |why: &str| Err(StoreError::new(Kind::Invalid, format!("put: {why}")).on(key));
        if name.ends_with(sidecar::SUFFIX) {
            return unfit("a directory vault keeps names that end in .lock for the records of locks");
        }
        if key.as_str().split('/').any(|segment| segment.len() > MAX_SEGMENT) {
            return unfit("a part of the key is longer than a file name may be");
        }
        if self.naming.way() != Way::Link && !naming::fits(key.as_str()) {
            return unfit("this file system, which has no hard links, does not keep such a name as it is");
        }
        if let Some(lock) = lock {
            self.must_last("put", key, lock)?;
        }
        let fail = |e: io::Error| match Errno::from_io_error(&e) {
            Some(Errno::NOTDIR) => {
                StoreError::new(Kind::Corrupt, "put: a file stands where a directory is needed").on(key).because(e)
            }
            _ => failed("put", key.as_str(), e),
        };
        let root = self.open_root("put")?;
        let dir = self.durable_dir(&root, path).map_err(fail)?;
        if dir::stat_in(&dir, name).is_ok() {
            return already_there(&dir).map_err(fail);
        }
        let tmp = self.tmp("put", &root)?;
        let now = self.clock.now();
        let mut object = Unplaced::write(&tmp, bytes, now).map_err(fail)?;
        let encoded = lock.map(sidecar::encode).transpose().map_err(fail)?;
        let mark = sidecar::mark(key);
        let mark = if mark.len() <= MAX_MARK { mark.as_str() } else { "" };
        let mut record = encoded.map(|text| Unplaced::write_for(&tmp, mark, &text, now)).transpose().map_err(fail)?;

        // Shared among puts. Whoever deletes or extends holds it alone, and so never sees an object without its lock.
        let mut way = self.naming.way();
        let mut guard = dir::guard(&tmp, way.guard()).map_err(fail)?;
        let named = loop {
            match object.name(&dir, name, way) {
                Ok(named) => break named,
                Err(e) => way = way.after(&e).ok_or_else(|| fail(e))?,
            }
            self.must_keep_names(&tmp, key)?;
            self.naming.set(way);
            drop(guard);
            guard = dir::guard(&tmp, way.guard()).map_err(fail)?;
        };
        if !named {
            return already_there(&dir).map_err(fail);
        }
        let recorded = match &mut record {
            Some(record) => record.name(&dir, &sidecar::name(name), way).map_err(|e| {
                record.leave();
                fail(e)
            })?,
            None => true,
        };
        drop(guard);
        naming::settle(&tmp, &dir).map_err(fail)?;
        drop((object, record));
        match lock {
            // A record without an object was there already. It stays, and holds at least what was asked.
            Some(lock) if !recorded => drop(self.extend(key, lock)?),
            Some(_) if self.immutable => set_immutable(&dir, name).map_err(fail)?,
            _ => {}
        }
        Ok(Put::Created { version: None })
    }

    /// Puts an object in the place of one that is damaged, or of nothing. The record of its lock stays, or is made anew
    /// where it can't be read any more.
    pub(super) fn put_over(&self, key: &Key, bytes: &Bytes, lock: Option<Lock>) -> Result<()> {
        const CALL: &str = "put again";
        let fail = |e: io::Error| match Errno::from_io_error(&e) {
            Some(Errno::NOTDIR) => {
                let what =
                    format!("{CALL}: a file stands where a directory is needed; look what it is, and move it away");
                StoreError::new(Kind::Corrupt, what).on(key).because(e)
            }
            _ => failed(CALL, key.as_str(), e),
        };
        let (path, name) = split(key);
        let root = self.open_root(CALL)?;
        let dir = self.durable_dir(&root, path).map_err(fail)?;
        let tmp = self.tmp(CALL, &root)?;
        let now = self.clock.now();
        let object = Unplaced::write(&tmp, bytes, now).map_err(fail)?;
        let guard = dir::guard(&tmp, FlockOperation::LockExclusive).map_err(fail)?;
        let record = sidecar::read(&dir, name, key.as_str());
        if let (Err(error), Some(lock)) = (&record, lock)
            && error.kind == Kind::Corrupt
        {
            self.must_last(CALL, key, lock)?;
            let text = sidecar::encode(lock).map_err(fail)?;
            let anew = Unplaced::write(&tmp, &text, now).map_err(fail)?;
            unfix(&dir, &sidecar::name(name)).map_err(fail)?;
            anew.replace(&dir, &sidecar::name(name)).map_err(fail)?;
        }
        unfix(&dir, name).map_err(fail)?;
        object.replace(&dir, name).map_err(fail)?;
        naming::settle(&tmp, &dir).map_err(fail)?;
        drop(guard);
        if let Some(lock) = lock {
            self.extend(key, lock)?;
        }
        Ok(())
    }

    /// Fails if the file system, which has no hard links, can't keep names either.
    fn must_keep_names(&self, tmp: &OwnedFd, key: &Key) -> Result<()> {
        let told = || self.root.display().to_string();
        let what = if !naming::keeps_names(tmp).map_err(|e| failed("put", &told(), e))? {
            "put: this file system cuts names off, as FAT without long names does; mount it as vfat or exfat"
        } else if !naming::fits(key.as_str()) {
            "put: this file system, which has no hard links, does not keep such a name as it is"
        } else {
            return Ok(());
        };
        Err(StoreError::new(Kind::Unsupported, what).on(key))
    }

    /// The directory at `path`, made if it is missing, and durable.
    fn durable_dir(&self, root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
        let known = self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
        let dir = dir::ensure(root, segments(path), !known)?;
        if !known {
            self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        }
        Ok(dir)
    }

    pub(super) fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes> {
        let (dir, name) = self.parent("get", key)?;
        let fail = |e| failed("get", key.as_str(), e);
        let file = dir::open_object(&dir, name).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        let part = clip(range, len).ok_or_else(|| {
            let what = format!("get: the range is empty or lies beyond the {len} bytes of the object");
            StoreError::new(Kind::BadRange, what).on(key)
        })?;
        let wanted = usize::try_from(part.end - part.start).ok();
        let Some(wanted) = wanted.filter(|_| part.end - part.start <= MAX_OBJECT) else {
            return Err(StoreError::new(Kind::Corrupt, format!("get: {len} bytes are more than an object has")).on(key));
        };
        let mut bytes = self.pool.take(wanted);
        bytes.resize(wanted, 0);
        file.read_exact_at(&mut bytes, part.start).map_err(fail)?;
        Ok(self.pool.lend(bytes))
    }

    pub(super) fn describe(&self, key: &Key) -> Result<Head> {
        let (_, stat) = self.stat("head", key)?;
        Ok(Head { bytes: dir::size(&stat), version: None, modified: dir::modified(&stat) })
    }

    pub(super) fn lock(&self, key: &Key) -> Result<Option<Lock>> {
        let (dir, _) = self.stat("lock of", key)?;
        sidecar::read(&dir, split(key).1, key.as_str())
    }

    pub(super) fn extend(&self, key: &Key, asked: Lock) -> Result<Lock> {
        const CALL: &str = "extend lock";
        let fail = |e| failed(CALL, key.as_str(), e);
        self.stat(CALL, key)?; // So that a wrong key makes no directory.
        let tmp = self.tmp(CALL, &self.open_root(CALL)?)?;
        let _guard = dir::guard(&tmp, FlockOperation::LockExclusive).map_err(fail)?;
        let (dir, _) = self.stat(CALL, key)?;
        let name = split(key).1;
        let current = sidecar::read(&dir, name, key.as_str())?;
        let wanted = extended(current, asked);
        if current != Some(wanted) {
            self.must_last(CALL, key, wanted)?;
            let text = sidecar::encode(wanted).map_err(fail)?;
            let record = Unplaced::write(&tmp, &text, self.clock.now()).map_err(fail)?;
            let record_name = sidecar::name(name);
            if current.is_some() {
                dir::open_object(&dir, &record_name).and_then(immutable::clear).map_err(fail)?;
            }
            record.replace(&dir, &record_name).map_err(fail)?;
            naming::settle(&tmp, &dir).map_err(fail)?;
        }
        if self.immutable {
            set_immutable(&dir, name).map_err(fail)?;
        }
        sidecar::read(&dir, name, key.as_str())?.ok_or_else(|| {
            StoreError::new(Kind::Corrupt, "extend lock: the record vanished as soon as it was written").on(key)
        })
    }

    pub(super) fn delete(&self, key: &Key) -> Result<()> {
        const CALL: &str = "delete";
        let fail = |e: io::Error| failed(CALL, key.as_str(), e);
        self.stat(CALL, key)?;
        let tmp = self.tmp(CALL, &self.open_root(CALL)?)?;
        let _guard = dir::guard(&tmp, FlockOperation::LockExclusive).map_err(fail)?;
        let (dir, _) = self.stat(CALL, key)?;
        let name = split(key).1;
        let lock = sidecar::read(&dir, name, key.as_str())?;
        if let Some(lock) = lock.filter(|lock| lock.until > self.clock.now()) {
            let what = format!("delete: locked until {} ({})", lock.until, lock.mode.as_str());
            return Err(StoreError::new(Kind::Locked, what).on(key));
        }
        // The record first: one that is left without its object would tell of a loss.
        if lock.is_some() {
            remove(&dir, &sidecar::name(name)).map_err(fail)?;
        }
        remove(&dir, name).map_err(fail)?;
        rustix::fs::fsync(&dir).map_err(|e| fail(e.into()))
    }
}

/// Sets the immutable flag of an object and of the record of its lock.
fn set_immutable(dir: &OwnedFd, name: &str) -> io::Result<()> {
    immutable::set(dir::open_object(dir, name)?)?;
    immutable::set(dir::open_object(dir, &sidecar::name(name))?)
}

/// Takes the immutable flag off a file, if the file is there.
fn unfix(dir: &OwnedFd, name: &str) -> io::Result<()> {
    match dir::open_object(dir, name) {
        Ok(file) => immutable::clear(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Removes a file, flagged immutable or not.
fn remove(dir: &OwnedFd, name: &str) -> io::Result<()> {
    immutable::clear(dir::open_object(dir, name)?)?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Something has the name. It may have been linked by a process that died before it was durable, and the caller may
/// take our answer for an acknowledgement, so it is made durable now.
fn already_there(dir: &OwnedFd) -> io::Result<Put> {
    rustix::fs::fsync(dir)?;
    Ok(Put::AlreadyThere)
}
