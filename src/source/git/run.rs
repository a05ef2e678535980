//! Git, run so that no setting but ours has a say.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{super::child::Running, super::redact::Known, ObjectFormat, Result, SourceError};

/// Makes `dir`, which exists and is empty, a bare repository without anything in it.
pub(super) fn skeleton(dir: &Path, format: ObjectFormat) -> Result<()> {
    let config = match format {
        ObjectFormat::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n",
        ObjectFormat::Sha256 => {
            "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = true\n\
             [extensions]\n\tobjectformat = sha256\n"
        }
    };
    let failed = |e| SourceError::at("can't set up a repository", dir, e);
    fs::create_dir_all(dir.join("objects/pack")).map_err(failed)?;
    fs::create_dir_all(dir.join("refs/heads")).map_err(failed)?;
    fs::write(dir.join("config"), config).map_err(failed)?;
    fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").map_err(failed)
}

/// A git command in the repository `git_dir`, which must be one that [`skeleton`] made: git reads the settings there,
/// and settings can run programs. With `objects`, objects are read from that directory instead.
pub(super) fn git(git_dir: &Path, objects: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.env_clear().current_dir(git_dir).stdin(Stdio::null()).stdout(Stdio::piped());
    for keep in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(keep) {
            command.env(keep, value);
        }
    }
    command.env("GIT_DIR", git_dir).env("HOME", git_dir).env("XDG_CONFIG_HOME", git_dir);
    for (name, value) in [
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        command.env(name, value);
    }
    if let Some(objects) = objects {
        command.env("GIT_OBJECT_DIRECTORY", objects);
    }
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        // A stale graph, index or bitmap may tell of objects that are gone, and their absence must be seen.
        "core.commitGraph=false",
        "core.multiPackIndex=false",
        "pack.useBitmaps=false",
        "gc.auto=0",
        // In a bounded amount of memory: large blobs are streamed and no deltas, and parts of packs are mapped.
        "core.bigFileThreshold=16m",
        "core.packedGitWindowSize=16m",
        "core.packedGitLimit=96m",
        "core.deltaBaseCacheLimit=32m",
        "pack.windowMemory=48m",
        "pack.deltaCacheSize=32m",
        // One thread packs the same objects into the same bytes each time, and those are stored once.
        "pack.threads=1",
    ] {
        command.args(["-c", setting]);
    }
    command.args(arguments);
    command
}

/// Starts it.
pub(super) fn start(command: &mut Command, what: &str) -> Result<Running> {
    Running::start(command, what, Known::default())
}
