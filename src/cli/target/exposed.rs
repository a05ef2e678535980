//! Whether others than its owner have a say in a directory that is restored into.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::model::{Finding, Severity};

/// Others may do in a directory as they like, and only what is theirs.
const EVERYBODY: u32 = 0o002;
const GROUP: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// What is wrong with the directory `to`, or the nearest above it that is there, and those on the way to it: who owns
/// one, or may write there, can swap what is restored.
#[must_use]
pub fn exposed(to: &Path) -> Vec<Finding> {
    let Ok(path) = std::path::absolute(to) else { return Vec::new() };
    let Some(there) = path.ancestors().find_map(|dir| fs::canonicalize(dir).ok()) else { return Vec::new() };
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let told = there.ancestors().find_map(|dir| {
        let why = whose(&fs::metadata(dir).ok()?, user, group)?;
        let message = format!(
            "{why}, and can read or swap what is restored below it: restore into a directory of your own, such as one \
             from `mktemp -d`, and move what is needed afterwards"
        );
        Some(Finding::new(Severity::Warning, "target.exposed", message).on(dir.display()))
    });
    told.into_iter().collect()
}

fn whose(meta: &Metadata, user: u32, group: u32) -> Option<String> {
    judge(meta.uid(), meta.gid(), meta.mode(), user, group)
}

fn judge(owner: u32, of: u32, mode: u32, user: u32, group: u32) -> Option<String> {
    if owner != user && owner != 0 {
        return Some(format!("it belongs to user {owner}, who can change it"));
    }
    let open = mode & STICKY == 0;
    if open && mode & EVERYBODY != 0 {
        return Some(format!("everybody may write there (its mode is {:04o})", mode & 0o7777));
    }
    let shared = mode & GROUP != 0 && of != group && of != 0;
    (open && shared).then(|| format!("group {of} may write there (its mode is {:04o})", mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_of_others_is_told() {
        for (owner, of, mode, told) in [
            (7, 7, 0o700, false),
            (0, 0, 0o755, false),
            (8, 8, 0o700, true),
            (0, 0, 0o1777, false),
            (0, 0, 0o777, true),
            (7, 7, 0o775, false),
            (7, 9, 0o775, true),
            (8, 8, 0o1777, true),
        ] {
            assert_eq!(judge(owner, of, mode, 7, 7).is_some(), told, "{owner}:{of} {mode:o}");
        }
    }

    #[test]
    fn the_way_to_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir_all(open.join("mine")).unwrap();
        assert!(exposed(&open.join("mine/new/er")).is_empty());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        for to in ["", "mine", "mine/new/er"] {
            let found = exposed(&open.join(to));
            assert!(matches!(&*found, [one] if one.message.contains("0777")), "{to}: {found:?}");
        }
    }
}
