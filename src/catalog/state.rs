//! The state directory: what its files are called, and who may read them.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::model::{Name, VaultId};

/// The file of this vault and writer with this ending. Two vaults whose ids begin alike would share a name, so
/// whoever opens the file checks the whole id.
pub(super) fn path(state: &Path, vault: VaultId, writer: &Name, ending: &str) -> PathBuf {
    let id: String = vault.to_string().chars().take(16).collect();
    state.join(format!("{id}-{writer}.{ending}"))
}

/// Makes the directory, for its owner alone, unless it is there already.
pub(super) fn make_dir(state: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)
}

/// Opens a file for reading and writing, made for its owner alone if it is new. What is in it stays.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
