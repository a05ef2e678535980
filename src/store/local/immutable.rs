//! The immutable flag of a file, which only root may set and clear.

use std::{io, os::fd::AsFd};

#[cfg(target_os = "linux")]
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Sets the flag.
#[cfg(target_os = "linux")]
pub(super) fn set(file: impl AsFd) -> io::Result<()> {
    let flags = ioctl_getflags(&file)?;
    Ok(ioctl_setflags(&file, flags | IFlags::IMMUTABLE)?)
}

/// Clears the flag if it is set.
#[cfg(target_os = "linux")]
pub(super) fn clear(file: impl AsFd) -> io::Result<()> {
    match ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => Ok(ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?),
        // A file system without such flags has not set one.
        _ => Ok(()),
    }
}

/// Sets the flag.
#[cfg(not(target_os = "linux"))]
pub(super) fn set(_file: impl AsFd) -> io::Result<()> {
    Err(rustix::io::Errno::OPNOTSUPP.into())
}

/// Clears the flag if it is set.
#[cfg(not(target_os = "linux"))]
pub(super) fn clear(_file: impl AsFd) -> io::Result<()> {
    Ok(())
}
