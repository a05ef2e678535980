//! Files that commands leave where they were told to: whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::error::CliError;

/// The largest file that is read back, in bytes.
const LIMIT: u64 = 64 << 20;

/// Fails now if a file can't be written here later: nobody wants to hear that after an hour's work.
///
/// # Errors
/// If its directory is missing, or it is a directory itself.
pub fn must_be_writable(path: &Path) -> Result<(), CliError> {
    let dir = parent(path);
    let kind = if path.is_dir() {
        io::ErrorKind::IsADirectory
    } else if !dir.is_dir() {
        io::ErrorKind::NotFound
    } else {
        return Ok(());
    };
    Err(CliError::Io { what: "can't write", path: path.to_owned(), source: kind.into() })
}

/// Puts `bytes` at `path`, in place of what is there, in one step.
///
/// # Errors
/// If the file can't be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Io { what: "can't write", path: path.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(parent(path)).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // So that the new name outlives a power cut.
    fs::File::open(parent(path)).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// The bytes at `path`; `None` if nothing is there.
///
/// # Errors
/// If it can't be read, or is unreasonably large.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    let failed = |source| CliError::Io { what: "can't read", path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(meta) if meta.len() > LIMIT => Err(failed(io::Error::other("it is larger than 64 MiB"))),
        Ok(_) => fs::read(path).map(Some).map_err(failed),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}
