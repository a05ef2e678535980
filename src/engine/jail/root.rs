//! A root directory of its own, which holds what a confined program may see and nothing else: sockets of others can't be
//! named in it. Made within a mount namespace.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
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
        lay(path, to).map_err(|e| failed(&format!("{} can't be made", path.display()), e))?;
    }
    // Not everywhere, such as within a container that hides parts of its own: then there is none, not even of others.
    let proc =
        fs::create_dir("/proc").is_ok() && mount("proc", "/proc", "proc", flags | MountFlags::NOEXEC, None).is_ok();
    unmount(BEFORE, UnmountFlags::DETACH).map_err(|e| failed("the old root can't be left", e.into()))?;
    fs::remove_dir(BEFORE).map_err(|e| failed("the old root can't be left", e))?;
    Ok(proc)
}

/// Lays a link; none over what is shown.
fn lay(path: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    symlink(to, path)
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
