//! What to do next about files: restores that can't go on, keys that others can read.

use std::path::Path;

use super::{Exit, Failure, quoted};
use crate::{model::Finding, ops::evidence::UNSTORED};

impl Failure {
    /// The same where the command is one that a server calls: what helps a backup does not help it.
    #[must_use]
    pub fn of_command(self, name: &str) -> Self {
        let hint = match (self.kind, name) {
            ("source", "journal push") => PUSHED,
            ("source", "journal fetch") => FETCHED,
            _ => return self,
        };
        Self { hint: Some(hint.to_owned()), ..self }
    }

    /// What it means that signed evidence could not be stored.
    #[must_use]
    pub fn of_unstored(findings: &[Finding]) -> Option<Self> {
        let found = findings.iter().find(|finding| finding.code == UNSTORED)?;
        let hint = "there is no record that it passed: fix the cause above, and run it again".to_owned();
        let message = found.message.clone();
        Some(Self { exit: Exit::Weak, kind: "evidence-unstored", message, hint: Some(hint) })
    }
}

/// Credentials that were not named, or can't be had.
pub(super) const CREDENTIALS: &str =
    "name them with --credentials, such as file:/etc/strongroom/s3.toml; this user must be able to read that file";
/// A file that can't be read or written.
pub(super) const FILE: &str = "check the path, and this user's permissions";
/// A source that gave nothing whole.
pub(super) const SOURCE: &str = "fix the cause above; `strongroom backup --dry-run` checks a source without storing anything. Earlier snapshots are safe";
/// A file of the log that was not taken.
const PUSHED: &str = "fix the cause above; archive_command hands over %p, in the data directory. PostgreSQL keeps the file and \
                      calls again, and pg_stat_archiver counts failures";
/// A file of the log that could not be left.
const FETCHED: &str = "fix the cause above; restore_command hands over %f %p, as the server's user. PostgreSQL stops here, and \
                       goes on from here when it is started again";
/// What reads standard output has gone.
pub(super) const READER: &str = "see why the command behind the pipe ended";
/// Somebody asked to stop.
pub(super) const INTERRUPTED: &str = "run the same command again to continue";
/// An option or a setting that can't be.
pub(super) const INVALID: &str = "correct the option, or the setting of that name in the configuration";
/// What no other word fits.
pub(super) const FAILED: &str = "run it again with -vv, which logs each step up to this one";
/// Bytes that are not those that were signed.
pub(super) const DAMAGED: &str = "`strongroom verify --depth read` finds all damage; earlier snapshots may be intact";
/// Signatures that do not lead to the vault's root.
pub(super) const UNTRUSTED: &str = "do not trust it. Compare the id with the recovery kit; if the vault was replaced, \
                                    look for its older versions and its copies";
/// A server that did not take it.
pub(super) const SERVER: &str =
    "remove the cause above, and run it again; the snapshot is unchanged. A server's log may say more";
/// Something is where a file should go.
pub(super) const TARGET_EXISTS: &str = "restore into another directory, or move it away. To continue an earlier restore of this snapshot use --resume; for a data directory, --delta";
/// Something else is.
pub(super) const TARGET_DIFFERS: &str = "move it away and give the command again, or restore into another directory";
/// A file system can't have names.
pub(super) const UNPLACED: &str = "restore into a directory of another file system (ext4, XFS, APFS), or those streams one by \
                                   one with --to - --stream NAME";

/// A restore of another snapshot was not finished.
pub(super) fn unfinished(snapshot: &str) -> String {
    format!("finish it with `strongroom restore {snapshot}` and the same --to, or restore into another directory")
}

/// A key that others can read.
pub(super) fn exposed(path: &Path) -> String {
    let path_of = quoted(path);
    if keeps_modes(path) {
        return format!("chmod 600 {path_of}");
    }
    format!(
        "where a file system keeps no modes (FAT, exFAT and the like), chmod does nothing: give an identity as \
         `-i - < {path_of}`, or copy the file to a disk that does: install -m 600 {path_of} ~/"
    )
}

/// Whether the file system of a file keeps modes, as far as its kind tells.
#[cfg(target_os = "linux")]
fn keeps_modes(path: &Path) -> bool {
    // FAT, exFAT, NTFS, NTFS3, what FUSE mounts from a disk, CIFS, SMB2, 9P and the shared folders of machines.
    const PLAIN: [u64; 10] = [
        0x4d44,
        0x2011_bab0,
        0x5346_544e,
        0x7366_746e,
        0x6573_5546,
        0xff53_4d42,
        0xfe53_4d42,
        0x0102_1997,
        0x786f_4256,
        0xbacb_acbc,
    ];
    let Ok(stat) = rustix::fs::statfs(path) else { return true };
    u64::try_from(stat.f_type).map_or(true, |kind| !PLAIN.contains(&(kind & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn keeps_modes(_path: &Path) -> bool {
    true
}
