//! A root directory of its own, which holds what a confined program may see and nothing else: sockets of others can't be
//! named in it. Made within a mount namespace.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount},
    process::pivot_root,
};

/// Where the root directory of before is in the meantime.
const BEFORE: &str = "/.before";

/// Replaces the root directory by one that holds `visible`, which are absolute and go through no links but the last part.
/// `links` lead from other places to such. `over` is a directory that is covered in the meantime. Tells whether there is a `/proc`: that of a process namespace of
/// its own, or none.
pub(super) fn replace(over: &Path, visible: &[PathBuf], links: &[(PathBuf, PathBuf)]) -> Result<bool, String> {
    let failed = |what: &str, e: io::Error| format!("{what}: {e}");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("strongroom", over, "tmpfs", flags, c"mode=0755").map_err(|e| failed("no new root can be made", e.into()))?;
    let before = over.join(BEFORE.trim_start_matches('/'));
    fs::create_dir(&before).map_err(|e| failed("no new root can be made", e))?;
    pivot_root(over, &before).map_err(|e| failed("the root can't be changed", e.into()))?;
    std::env::set_current_dir("/").map_err(|e| failed("the root can't be changed", e))?;
    let mut sorted: Vec<&PathBuf> = visible.iter().collect();
    // What lies within something else comes after that, which would cover it.
    sorted.sort_by_key(|path| path.components().count());
    for path in sorted {
        show(path).map_err(|e| failed(&format!("{} can't be shown", path.display()), e))?;
    }
    for (path, to) in links {
        lay(Path::new("/"), path, to).map_err(|e| failed(&format!("{} can't be made", path.display()), e))?;
    }
    // Not everywhere, such as within a container that hides parts of its own: then there is none, not even of others.
    let proc =
        fs::create_dir("/proc").is_ok() && mount("proc", "/proc", "proc", flags | MountFlags::NOEXEC, None).is_ok();
    unmount(BEFORE, UnmountFlags::DETACH).map_err(|e| failed("the old root can't be left", e.into()))?;
    fs::remove_dir(BEFORE).map_err(|e| failed("the old root can't be left", e))?;
    Ok(proc)
}

/// Lays a link in `root`. What it is called may come out of a hostile log, and what is shown is the host's: so nothing on the way may
/// be a link or of another file system.
fn lay(root: &Path, path: &Path, to: &Path) -> io::Result<()> {
    let own = fs::symlink_metadata(root)?.dev();
    let within = path.strip_prefix("/").unwrap_or(path);
    let mut at = root.to_owned();
    for part in within.parent().into_iter().flat_map(Path::components) {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() && meta.dev() == own => {}
            Ok(_) => return Err(io::Error::other("it lies within what the host has there")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir(&at)?,
            Err(e) => return Err(e),
        }
    }
    symlink(to, root.join(within))
}

/// Shows what is at `path` in the root of before; nothing, if there is nothing.
fn show(path: &Path) -> io::Result<()> {
    let from = Path::new(BEFORE).join(path.strip_prefix("/").unwrap_or(path));
    let Ok(meta) = fs::symlink_metadata(&from) else { return Ok(()) };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if meta.is_symlink() {
        return match symlink(fs::read_link(&from)?, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        };
    }
    if meta.is_dir() {
        fs::create_dir_all(path)?;
    } else if fs::symlink_metadata(path).is_err() {
        File::create(path)?;
    }
    Ok(mount_bind_recursive(&from, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_laid_through_what_is_shown() {
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(host.path(), root.path().join("lib")).unwrap();
        lay(root.path(), Path::new("/srv/ts/one"), Path::new("/home/made")).unwrap();
        assert_eq!(fs::read_link(root.path().join("srv/ts/one")).unwrap(), Path::new("/home/made"));
        for path in ["/lib/one", "/lib/deep/one", "/srv/ts/one", "/srv/ts/one/two"] {
            assert!(lay(root.path(), Path::new(path), Path::new("/home/made")).is_err(), "{path}");
        }
        assert!(fs::read_dir(host.path()).unwrap().next().is_none(), "the host has nothing of it");
        // Of another file system: what is shown is mounted there.
        assert!(lay(Path::new("/"), Path::new("/proc/strongroom/one"), Path::new("/home/made")).is_err());
    }
}
