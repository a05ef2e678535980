//! The record of a lock, in a file beside the object that it is about.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
};

use super::{
    super::{Result, StoreError, StoreErrorKind as Kind},
    dir,
    fail::{failed, is_absent},
};
use crate::model::{Key, Lock};

/// What the name of a record ends in; what comes before is the object's name.
pub(super) const SUFFIX: &str = ".lock";
/// Stands for a slash in temporary names, and before the key there; no key has it.
const MARK: &str = "%";
/// No record is longer, in bytes.
const MAX: u64 = 4096;

/// The name of the record of the lock of `object`.
pub(super) fn name(object: &str) -> String {
    format!("{object}{SUFFIX}")
}

/// What the temporary name of the record for `key` ends in, so that whoever finds it knows whose it is.
pub(super) fn mark(key: &Key) -> String {
    format!("{MARK}{}", key.as_str().replace('/', MARK))
}

/// The key for which a file of this temporary name is the record.
pub(super) fn marked(name: &str) -> Option<Key> {
    name.split_once(MARK)?.1.replace(MARK, "/").parse().ok()
}

/// The bytes of a record.
pub(super) fn encode(lock: Lock) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&lock)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The lock recorded for `object` in `dir`. `key` is for messages.
///
/// A record that can't be read is an error, never the absence of a lock.
pub(super) fn read(parent: &OwnedFd, object: &str, key: &str) -> Result<Option<Lock>> {
    read_as(parent, &name(object), key)
}

/// The same, of a file of that name.
pub(super) fn read_as(parent: &OwnedFd, name: &str, key: &str) -> Result<Option<Lock>> {
    let mut bytes = Vec::new();
    let got = dir::open_object(parent, name).and_then(|file| file.take(MAX).read_to_end(&mut bytes));
    match got {
        Ok(_) => {}
        Err(e) if is_absent(&e) => return Ok(None),
        Err(e) => return Err(failed("read the lock", key, e)),
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let what =
            format!("read the lock: the record {name} beside the object is damaged; the object counts as locked");
        StoreError::new(Kind::Corrupt, what).on(key).because(e)
    })
}
