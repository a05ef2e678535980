//! What the file system says, in the words of a store.

use std::io;

use rustix::io::Errno;

use super::super::{StoreError, StoreErrorKind as Kind};

/// The calls that read one object, or the record of its lock.
const READS: [&str; 3] = ["get", "head", "read the lock"];

/// The store's error for a failed system call, about `object`.
pub(super) fn failed(call: &str, object: &str, error: impl Into<io::Error>) -> StoreError {
    let error: io::Error = error.into();
    let (kind, words) = match meaning(&error) {
        (Kind::Other, _) if READS.contains(&call) && is_of_disk(&error) => {
            (Kind::Corrupt, "the disk can't read it: a bad sector, or a disk that is failing or gone")
        }
        other => other,
    };
    StoreError::new(kind, format!("{call}: {words}")).on(object).because(error)
}

/// Whether the error says that nothing has this name.
pub(super) fn is_absent(error: &io::Error) -> bool {
    // A name too long for the file system, or one beneath a file, can't be there.
    matches!(errno(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG))
}

/// Whether the disk, or a checksum of the file system, says that what is stored there is lost: damage of one object, however
/// many others are well.
fn is_of_disk(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::ILSEQ | Errno::REMOTEIO))
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

fn meaning(error: &io::Error) -> (Kind, &'static str) {
    match errno(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => (Kind::NotFound, "there is no such object"),
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            (Kind::Full, "no room left in the vault's directory; free some space or raise the quota, then try again")
        }
        Some(Errno::ROFS) => (Kind::Denied, "the vault's file system is mounted read-only"),
        Some(Errno::ACCESS | Errno::PERM) => {
            (Kind::Denied, "the file system does not allow it; check owner and mode of the vault's directory")
        }
        Some(Errno::LOOP) => {
            (Kind::Corrupt, "a symbolic link stands where an object or a directory belongs; links are not followed")
        }
        Some(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
            (Kind::Corrupt, "a directory stands where an object belongs; look what it is, and move it away")
        }
        Some(Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::AGAIN) => {
            (Kind::Unreachable, "the vault's file system does not answer")
        }
        Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV) => {
            (Kind::Unsupported, "the vault's file system can't do what a vault needs")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => (Kind::Corrupt, "the file is shorter than it said"),
        _ => (Kind::Other, "the file system failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            let error = failed("put", "packs/w1/ab/cd", errno);
            assert_eq!(error.kind, Kind::Full);
            let text = error.to_string();
            assert!(text.contains("no room left") && text.contains("packs/w1/ab/cd"), "{text}");
        }
        assert_eq!(failed("get", "a", Errno::NOENT).kind, Kind::NotFound);
        assert_eq!(failed("get", "a", Errno::ACCESS).kind, Kind::Denied);
        assert_eq!(failed("put", "a", Errno::IO).kind, Kind::Other);
        assert_eq!(failed("list", "a", Errno::IO).kind, Kind::Other);
    }
}
