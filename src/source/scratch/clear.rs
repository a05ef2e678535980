//! Removes a tree that somebody else shaped: of any depth, with two directories open at a time, and through modes that
//! nobody can list by. The standard library keeps every directory on the way down open, which a tree of two thousand
//! levels turns into more files than a process may have, and the plaintext in it would stay.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};

/// How directories are called that were moved up.
const MOVED: &str = ".strongroom-moved-";

/// Removes `root` with all that is in it. What lies deeper than one level is moved up to `root` before.
pub(super) fn clear(root: &Path) -> io::Result<()> {
    let top = open(CWD, root)?;
    let mut moved = 0;
    loop {
        let mut empty = true;
        for (name, is_dir) in entries(&top)? {
            empty = false;
            if is_dir {
                flatten(&top, &name, &mut moved)?;
            }
            let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            gone(rustix::fs::unlinkat(&top, &name, flags))?;
        }
        if empty {
            return fs::remove_dir(root);
        }
    }
}

/// Empties a directory of `top`: its files go, its directories are moved up.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let dir = match open(top, name) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            allow(top, name)?;
            open(top, name)?
        }
        // Another thread removes it, too. Only where the root is gone, nothing is left to do.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    rustix::fs::fchmod(&dir, Mode::RWXU)?;
    loop {
        let children = entries(&dir)?;
        if children.is_empty() {
            return Ok(());
        }
        for (child, is_dir) in children {
            if is_dir {
                move_up(&dir, &child, top, moved)?;
            } else {
                gone(rustix::fs::unlinkat(&dir, &child, AtFlags::empty()))?;
            }
        }
    }
}

fn move_up(dir: &OwnedFd, child: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    // Who moves a directory writes into it: what lies above it changes.
    allow(dir, child)?;
    loop {
        *moved += 1;
        match rustix::fs::renameat(dir, child, top, format!("{MOVED}{moved}")) {
            // The tree has such a name itself.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            other => return gone(other),
        }
    }
}

fn open<P: rustix::path::Arg>(at: impl AsFd, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn allow(at: &OwnedFd, name: &CStr) -> io::Result<()> {
    // Linux knows no change of mode that follows no link; what is a link by now has no directory behind it that is ours.
    match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?)
        }
        Ok(_) => Ok(()),
        Err(e) => gone(Err(e)),
    }
}

/// The names in a directory, some thousands at a time, and which of them are directories.
fn entries(dir: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    /// As many as are held in memory; the rest is read when these are gone.
    const BATCH: usize = 4096;
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            known => known,
        };
        found.push((name.to_owned(), kind == FileType::Directory));
        if found.len() == BATCH {
            break;
        }
    }
    Ok(found)
}

/// What somebody else removed is gone as well.
fn gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn trees_of_any_depth_width_and_mode_go_and_what_links_lead_to_stays() {
        let base = tempfile::tempdir().unwrap();
        let (root, outside) = (base.path().join("root"), base.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        // Made from within, each level moved below the next, as one would that is deeper than a path can be long.
        let (mut deep, at) = (base.path().join("level"), base.path().join("next"));
        fs::create_dir(&deep).unwrap();
        for _ in 0..600 {
            fs::create_dir(&at).unwrap();
            fs::rename(&deep, at.join("d")).unwrap();
            deep = base.path().join("level");
            fs::rename(&at, &deep).unwrap();
        }
        fs::rename(&deep, root.join("deep")).unwrap();
        fs::create_dir_all(root.join("wide/below/more")).unwrap();
        for n in 0..5000 {
            fs::write(root.join(format!("wide/{n}")), "").unwrap();
        }
        fs::create_dir_all(root.join(format!("{MOVED}1/{MOVED}2/x"))).unwrap();
        fs::write(root.join(format!("{MOVED}3")), "").unwrap();
        symlink(&outside, root.join("wide/link")).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        for shut in ["wide/below/more", "wide/below", "wide"] {
            fs::set_permissions(root.join(shut), fs::Permissions::from_mode(0o0)).unwrap();
        }
        clear(&root).unwrap();
        assert!(!root.exists() && outside.join("kept").exists());
        assert_eq!(clear(&root).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
