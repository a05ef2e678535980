//! Reading files that hold secrets: only their owner may, and what they hold is wiped from memory.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use super::error::CliError;
use crate::store::credentials::is_passed_by_systemd;

/// The largest key or identity file, in bytes.
const LIMIT: u64 = 1 << 20;

/// The bytes of the key or identity file at `path`, called `what` in errors.
///
/// # Errors
/// If it can't be read, is far too large, or others can read it.
pub fn read(path: &Path, what: &'static str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |source| CliError::Io { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let mode = meta.permissions().mode() & 0o7777;
    if is_passed_by_systemd(path) {
        return bounded(file).map_err(failed);
    }
    // A pipe has no readers but us, whatever its mode says.
    if meta.is_file() && mode & 0o077 != 0 {
        return Err(CliError::Exposed { path: path.to_owned(), mode });
    }
    if meta.is_file() && !is_trusted(meta.uid(), rustix::process::geteuid().as_raw()) {
        return Err(CliError::ForeignOwner { path: path.to_owned(), owner: meta.uid() });
    }
    bounded(file).map_err(failed)
}

/// Whether a file of `owner` is safe from others for user `us`. Root reads on behalf of whoever owns a file, and who
/// becomes root can read it anyway.
const fn is_trusted(owner: u32, us: u32) -> bool {
    owner == us || owner == 0 || us == 0
}

/// All that `reader` gives.
///
/// # Errors
/// If it can't be read or is far too large.
pub fn bounded(reader: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    let mut reader = reader.take(LIMIT + 1);
    let mut piece = Zeroizing::new([0_u8; 4096]);
    loop {
        let n = match reader.read(piece.as_mut_slice()) {
            Ok(0) => return Ok(bytes),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if u64::try_from(bytes.len() + n).unwrap_or(u64::MAX) > LIMIT {
            return Err(io::Error::other("it is larger than 1 MiB, so it is not a key"));
        }
        if bytes.capacity() < bytes.len() + n {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 4));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_its_owner_may_read_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path, "read"), Err(CliError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(&**read(&path, "read").unwrap(), b"secret");
    }

    #[test]
    fn a_key_belongs_to_its_user_or_to_root() {
        for (owner, us, trusted) in [(7, 7, true), (0, 7, true), (7, 0, true), (8, 7, false)] {
            assert_eq!(is_trusted(owner, us), trusted, "{owner} {us}");
        }
    }

    #[test]
    fn nothing_huge_is_taken_for_a_key() {
        assert_eq!(bounded(&vec![7; 300_000][..]).unwrap().len(), 300_000);
        assert!(bounded(io::repeat(7)).is_err());
    }
}
