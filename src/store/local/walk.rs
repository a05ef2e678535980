//! Listing: the files below a directory in the byte order of their full keys.

use std::{collections::BTreeSet, os::fd::OwnedFd};

use rustix::fs::FileType;

use super::{
    super::{Entry, Result},
    dir,
    fail::{failed, is_absent},
    sidecar,
};
use crate::model::Lock;

/// One name in a directory. A directory's ends in a slash, so that plain byte order of names is the order of keys:
/// `a.b` comes before `a/c`, and `a/c` before `a0`.
struct Item {
    name: Vec<u8>,
    entry: Entry,
}

/// Gives each object below `root` whose key begins with `prefix` to `each`, until it says that it wants no more.
///
/// Holds one sorted directory per level in memory and one directory open, however deep the tree is.
pub(super) fn walk(root: &OwnedFd, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
    let (start, rest) = prefix.rsplit_once('/').map_or(("", prefix), |(dirs, rest)| (dirs, rest));
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if prefix.contains('/') && !start.split('/').all(plain) {
        return Ok(()); // No key looks like that, and as a path it would lead elsewhere.
    }
    let path = if start.is_empty() { String::new() } else { format!("{start}/") };
    if path.split('/').next().is_some_and(|first| dir::is_apart(first.as_bytes())) {
        return Ok(());
    }
    let mut levels = vec![read(root, &path, rest)?];
    while let Some(level) = levels.last_mut() {
        match level.pop() {
            None => drop(levels.pop()),
            Some(item) if item.name.ends_with(b"/") => levels.push(read(root, &item.entry.key, "")?),
            Some(item) => {
                if !each(item.entry) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The items of the directory `path` (empty, or ending in a slash) whose names begin with `rest`, last one first.
fn read(root: &OwnedFd, path: &str, rest: &str) -> Result<Vec<Item>> {
    let fail = |e| failed("list", if path.is_empty() { "/" } else { path }, e);
    let opened = dir::walk(root, path.split('/').filter(|segment| !segment.is_empty()));
    let parent = match opened {
        Ok(parent) => parent,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut items = Vec::new();
    for found in rustix::fs::Dir::read_from(&parent).map_err(|e| fail(e.into()))? {
        let found = found.map_err(|e| fail(e.into()))?;
        let raw = found.file_name();
        if matches!(raw.to_bytes(), b"." | b"..") || !raw.to_bytes().starts_with(rest.as_bytes()) {
            continue;
        }
        if path.is_empty() && dir::is_apart(raw.to_bytes()) {
            continue;
        }
        let stat = match dir::stat_in(&parent, raw) {
            Ok(stat) => stat,
            Err(e) if is_absent(&e) => continue, // Deleted while we looked.
            Err(e) => return Err(fail(e)),
        };
        let mut name = raw.to_bytes().to_vec();
        match dir::kind_of(&stat) {
            FileType::Directory => name.push(b'/'),
            FileType::RegularFile if !name.ends_with(sidecar::SUFFIX.as_bytes()) => {}
            // Whoever passes over it takes what it stands for as gone. It can't be read under its name, and that is told.
            FileType::Symlink if !name.ends_with(sidecar::SUFFIX.as_bytes()) => {
                if dir::leads_to_directory(&parent, raw) {
                    let place = format!("{path}{}", String::from_utf8_lossy(&name));
                    return Err(failed("list", &place, rustix::io::Errno::LOOP));
                }
            }
            _ => continue, // Records of locks, pipes: none of them is an object.
        }
        let key = format!("{path}{}", String::from_utf8_lossy(&name));
        items.push(Item { name, entry: Entry { key, bytes: dir::size(&stat), modified: dir::modified(&stat) } });
    }
    items.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    Ok(items)
}

/// Gives each key below `root` that has the record of a lock and no object, until `each` wants no more; the lock is
/// `None` if its record can't be read. An object is there before its record is, and goes before it does.
pub(super) fn lost(root: &OwnedFd, each: &mut dyn FnMut((String, Option<Lock>)) -> bool) -> Result<()> {
    let mut paths = vec![String::new()];
    while let Some(path) = paths.pop() {
        let fail = |e| failed("list", if path.is_empty() { "/" } else { &path }, e);
        let parent = match dir::walk(root, path.split('/').filter(|segment| !segment.is_empty())) {
            Ok(parent) => parent,
            Err(e) if is_absent(&e) => continue,
            Err(e) => return Err(fail(e)),
        };
        let mut records = BTreeSet::new();
        for found in rustix::fs::Dir::read_from(&parent).map_err(|e| fail(e.into()))? {
            let found = found.map_err(|e| fail(e.into()))?;
            // A name that is not text was made by nobody here.
            let Ok(name) = found.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || (path.is_empty() && dir::is_apart(name.as_bytes())) {
                continue;
            }
            match dir::stat_in(&parent, name).map(|stat| dir::kind_of(&stat)) {
                Ok(FileType::Directory) => paths.push(format!("{path}{name}/")),
                Ok(FileType::RegularFile) => records.extend(name.strip_suffix(sidecar::SUFFIX).map(str::to_owned)),
                Ok(_) => {}
                Err(e) if is_absent(&e) => {} // Deleted while we looked.
                Err(e) => return Err(fail(e)),
            }
        }
        for object in records {
            let key = format!("{path}{object}");
            if dir::stat_object(&parent, &object).is_err_and(|e| is_absent(&e)) {
                let lock = sidecar::read(&parent, &object, &key).ok().flatten();
                if !each((key, lock)) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
