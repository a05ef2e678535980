//! Files that commands leave where they were told to: whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::error::CliError;

/// The largest file that is read back, in bytes.
const LIMIT: u64 = 64 << 20;

/// Fails now if a file can't be written here later: nobody wants to hear that after an hour's work.
///
/// # Errors
/// If its directory is missing, or it is a directory itself or a link that leads nowhere.
pub fn must_be_writable(path: &Path) -> Result<(), CliError> {
    let place = Place::of(path)?;
    let kind = match &place {
        Place::File(path) if !parent(path).is_dir() => io::ErrorKind::NotFound,
        Place::File(path) if path.is_dir() => io::ErrorKind::IsADirectory,
        Place::File(_) | Place::Device(_) => return Ok(()),
    };
    Err(CliError::Io { what: "can't write", path: path.to_owned(), source: kind.into() })
}

/// Fails if what is here can't be read again and replaced: pipes, terminals and devices hold nothing.
///
/// # Errors
/// As [`must_be_writable`], and if it is no file.
pub fn must_be_a_file(path: &Path) -> Result<(), CliError> {
    must_be_writable(path)?;
    match Place::of(path)? {
        Place::File(_) => Ok(()),
        Place::Device(_) => {
            let what = format!("{} is not a regular file", path.display());
            Err(CliError::usage(what, "give a file that is read at the next run and replaced, or one to be made"))
        }
    }
}

/// Puts `bytes` at `path`, in place of what is there, in one step; into a device or a pipe as they come. A link stays,
/// and what it leads to is replaced.
///
/// # Errors
/// If the file can't be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Unwritten { path: path.to_owned(), source };
    let path = match Place::of(path)? {
        Place::Device(path) => {
            let mut file = fs::File::options().write(true).open(path).map_err(failed)?;
            return file.write_all(bytes).map_err(failed);
        }
        Place::File(path) => path,
    };
    let mut file = tempfile::NamedTempFile::new_in(parent(&path)).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    // So that the new name outlives a power cut.
    fs::File::open(parent(&path)).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// As [`replace`], a file that everybody may read: what other programs collect.
///
/// # Errors
/// As there.
pub fn replace_readable(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Unwritten { path: path.to_owned(), source };
    let path = match Place::of(path)? {
        Place::Device(_) => return replace(path, bytes),
        Place::File(path) => path,
    };
    let made = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(parent(&path));
    let mut file = made.map_err(failed)?;
    // Not as it is created: the umask of a service would take it back.
    let readable = file.as_file().set_permissions(fs::Permissions::from_mode(0o644));
    readable.and_then(|()| file.write_all(bytes)).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map(drop).map_err(|error| failed(error.error))
}

/// What is, or will be, where a path leads.
enum Place {
    /// A file, or nothing yet.
    File(PathBuf),
    /// Something that is written to and can't be replaced.
    Device(PathBuf),
}

impl Place {
    fn of(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Io { what: "can't write", path: path.to_owned(), source };
        let path = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::File(path.to_owned())),
            Err(error) => return Err(failed(error)),
            Ok(meta) if meta.is_symlink() => fs::canonicalize(path).or_else(|error| {
                // What descriptors of this process lead to may have no path; opening the link finds it.
                if fs::metadata(path).is_ok() { Ok(path.to_owned()) } else { Err(failed(error)) }
            })?,
            Ok(_) => path.to_owned(),
        };
        let meta = fs::metadata(&path).map_err(failed)?;
        Ok(if meta.is_file() || meta.is_dir() { Self::File(path) } else { Self::Device(path) })
    }
}

/// The bytes at `path`; `None` if nothing is there.
///
/// # Errors
/// If it can't be read, or is unreasonably large.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    read_up_to(path, LIMIT)
}

/// As [`read`], with a limit of its own.
///
/// # Errors
/// If it can't be read, or is larger.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CliError> {
    let failed = |source| CliError::Io { what: "can't read", path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(meta) if meta.len() > limit => {
            Err(failed(io::Error::other(format!("it is larger than {} MiB", limit >> 20))))
        }
        Ok(_) => fs::read(path).map(Some).map_err(failed),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_stays_and_a_device_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        must_be_a_file(&link).unwrap();

        let full = dir.path().join("full");
        symlink("/dev/full", &full).unwrap();
        must_be_writable(&full).unwrap();
        assert!(matches!(must_be_a_file(&full), Err(CliError::Usage { .. })));
        assert!(matches!(replace(&full, b"x"), Err(CliError::Unwritten { .. })), "a full disk is told");
        assert!(fs::symlink_metadata(&full).unwrap().is_symlink());
        replace(Path::new("/dev/null"), b"x").unwrap();

        symlink("nowhere", dir.path().join("dangling")).unwrap();
        assert!(must_be_writable(&dir.path().join("dangling")).is_err());
        assert!(must_be_writable(dir.path()).is_err());
    }
}
