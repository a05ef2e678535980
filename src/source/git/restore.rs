//! A bare repository out of packs and details.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use super::{GitDetails, Head, Oid, Result, SourceError, lfs, restored::Restored, run, walk::start_walk};
use crate::model::Name;

/// The name of the file in the restored repository that shows the source's settings. They are not put in force: they
/// can name programs to run, and they are what a compromised writer says they are.
const SETTINGS: &str = "config.from-backup";

/// The name of the file that shows its grafts, which git does not look at either.
const GRAFTS: &str = "grafts.from-backup";

/// What stands before the name of a stream until it is a pack of the repository, and before that of a segment.
pub(super) const INCOMING: &str = "incoming-";
pub(super) const INCOMING_THIN: &str = "incoming-segment-";

/// The largest text that is written back beside the objects, in bytes.
const TEXT: usize = 1 << 20;

/// Restores into `TARGET.partial` and renames that when everything is there and proved.
///
/// Give each stream's bytes to the file from [`GitRestorer::stream`], then call [`GitRestorer::finish`]. Dropped
/// before that, `TARGET.partial` stays and shows how far it came.
pub struct GitRestorer {
    target: PathBuf,
    pub(super) partial: PathBuf,
    pub(super) details: GitDetails,
    pub(super) packs: Vec<PathBuf>,
    /// The one ref that is wanted, if not all are.
    pub(super) wanted: Option<String>,
}

impl GitRestorer {
    /// Begins to restore the repository that `details` tell of as `target`.
    ///
    /// # Errors
    /// If the details are not what a git source tells, or if `target` or `target.partial` exists.
    pub fn begin(target: &Path, details: &serde_json::Value) -> Result<Self> {
        // Git runs in the new repository, where a relative path would lead elsewhere.
        let target = &std::path::absolute(target).map_err(|e| SourceError::at("can't be found", target, e))?;
        let shown = target.display().to_string();
        let details: GitDetails = serde::Deserialize::deserialize(details)
            .map_err(|e| SourceError::new(format!("the snapshot does not record a git repository: {e}"), &shown))?;
        if !details.is_consistent() {
            return Err(SourceError::new("the snapshot mixes object formats or its stash log is malformed", shown));
        }
        must_have_git()?;
        let name = target.file_name().ok_or_else(|| SourceError::new("is not a name for a repository", &shown))?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = target.with_file_name(partial);
        if fs::symlink_metadata(target).is_ok() {
            return Err(SourceError::new("is there already; restore to another directory, or move it away", shown));
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| SourceError::at("can't make a directory", parent, e))?;
        }
        fs::create_dir(&partial).map_err(|e| {
            let left = e.kind() == io::ErrorKind::AlreadyExists;
            let what =
                if left { "is left from another restore; remove it and run again" } else { "can't make a directory" };
            SourceError::at(what, &partial, e)
        })?;
        run::skeleton(&partial, details.format)?;
        Ok(Self { target: target.clone(), partial, details, packs: Vec::new(), wanted: None })
    }

    /// Where the bytes of the stream `name` go, which came from `path` if it is an LFS object: a new file, and its path.
    /// It may be written in any order. Streams that are packs come in the order of the snapshot, since later ones may
    /// build on earlier ones.
    ///
    /// # Errors
    /// If it is neither a pack nor an LFS object, or was given before.
    pub fn stream(&mut self, name: &Name, path: Option<&str>) -> Result<(File, PathBuf)> {
        let pack = path.is_none() && Path::new(name.as_str()).extension() == Some("pack".as_ref());
        let place = match path {
            Some(path) if lfs::is_object_path(path) => self.partial.join(path),
            // Without an index, git does not take it for one of its packs yet.
            None if pack => self.partial.join("objects/pack").join(format!("{INCOMING}{name}")),
            _ => return Err(SourceError::new("is not a pack, so it belongs to no git repository", name.as_str())),
        };
        let failed = |e| SourceError::at("can't make a file of the repository", &place, e);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&place).map_err(failed)?;
        if pack {
            self.packs.push(place.clone());
        }
        Ok((file, place))
    }

    /// Indexes the packs, which checks every object's hash, writes the refs, checks that all they need is there, and
    /// gives the repository its name.
    ///
    /// # Errors
    /// If a pack is damaged, objects are missing or a file can't be written.
    pub fn finish(mut self) -> Result<()> {
        for pack in &self.packs {
            self.index(pack)?;
        }
        self.write_refs()?;
        self.write_texts()?;
        self.narrow()?;
        prove(&self.partial, &self.details)?;
        self.give_name()
    }

    /// Renames it from what it is called until it is done.
    pub(super) fn give_name(&self) -> Result<()> {
        let failed = |e| SourceError::at("can't give the repository its name", &self.target, e);
        for left in ["tips", "asked"] {
            let path = self.partial.join(left);
            if path.exists() {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        if fs::symlink_metadata(&self.target).is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(&self.partial, &self.target).map_err(failed)
    }

    /// Makes the index of a pack and names both by the pack's checksum, as git does. Whatever the stream was called,
    /// nothing else can come out, and a pack that came twice is kept once.
    pub(super) fn index(&self, pack: &Path) -> Result<()> {
        let failed = |e| SourceError::at("can't put a pack in its place", pack, e);
        File::open(pack).and_then(|file| file.sync_all()).map_err(failed)?;
        let mut command = run::git(&self.partial, None, &["index-pack", "--threads=0"]);
        let thin = pack.file_name().is_some_and(|name| name.as_bytes().starts_with(INCOMING_THIN.as_bytes()));
        if thin {
            // Git writes the pack once more, with what its deltas build on in earlier packs.
            command.args(["--stdin", "--fix-thin"]).stdin(File::open(pack).map_err(failed)?);
        } else {
            command.arg(pack);
        }
        let mut running = run::start(&mut command, "git index-pack")?;
        let mut out = String::new();
        running.stdout()?.take(4096).read_to_string(&mut out).map_err(failed)?;
        running
            .finish()
            .map_err(|e| SourceError::new(format!("is not a whole pack ({e})"), pack.display().to_string()))?;
        if thin {
            return fs::remove_file(pack).map_err(failed);
        }
        let checksum = out.split_whitespace().last().and_then(Oid::parse);
        let checksum = checksum.ok_or_else(|| failed(io::Error::other("git printed no checksum")))?;
        let place = pack.with_file_name(format!("pack-{}.pack", checksum.as_str()));
        let twice = place.exists();
        for extension in ["rev", "pack", "idx"] {
            let (from, to) = (pack.with_extension(extension), place.with_extension(extension));
            if twice {
                let _ = fs::remove_file(&from);
            } else if from.exists() {
                // Where modes mean nothing, git does without.
                let _ = fs::set_permissions(&from, Permissions::from_mode(0o444));
                fs::rename(&from, &to).map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(super) fn write_refs(&self) -> Result<()> {
        let mut packed = b"# pack-refs with: sorted \n".to_vec();
        for (name, oid) in &self.details.named() {
            if name.is_per_worktree() {
                self.write_loose(name.as_bytes(), oid.as_str().as_bytes())?;
            } else {
                packed.extend([oid.as_str().as_bytes(), b" ", name.as_bytes(), b"\n"].concat());
            }
        }
        self.write("packed-refs".as_ref(), &packed)?;
        for (name, target) in &self.details.symrefs {
            self.write_loose(name.as_bytes(), &[b"ref: ", target.as_bytes()].concat())?;
        }
        match &self.details.head {
            Head::Symbolic(name) => self.write_loose(b"HEAD", &[b"ref: ", name.as_bytes()].concat()),
            Head::Detached(oid) => self.write_loose(b"HEAD", oid.as_str().as_bytes()),
        }
    }

    pub(super) fn write_texts(&self) -> Result<()> {
        if !self.details.stash.is_empty() {
            let log = self.details.stash.join("\n") + "\n";
            self.write("logs/refs/stash".as_ref(), log.as_bytes())?;
        }
        for (name, lines) in &self.details.reflogs {
            let path = [b"logs/", name.as_bytes()].concat();
            self.write(Path::new(std::ffi::OsStr::from_bytes(&path)), (lines.join("\n") + "\n").as_bytes())?;
        }
        if let Some(text) = self.details.grafts.as_deref().filter(|t| t.len() <= TEXT) {
            self.write(GRAFTS.as_ref(), text.as_bytes())?;
        }
        if let Some(text) = self.details.description.as_deref().filter(|t| t.len() <= TEXT) {
            self.write("description".as_ref(), text.as_bytes())?;
        }
        if !self.details.config.is_empty() {
            let mut text =
                "# The settings of the repository that was backed up, for reading. Git does not use them.\n".to_owned();
            for (key, value) in &self.details.config {
                let line = format!("{}={}\n", key.escape_debug(), value.escape_debug());
                if text.len() + line.len() <= TEXT {
                    text.push_str(&line);
                }
            }
            self.write(SETTINGS.as_ref(), text.as_bytes())?;
        }
        Ok(())
    }

    fn write_loose(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.write(Path::new(std::ffi::OsStr::from_bytes(name)), &[value, b"\n"].concat())
    }

    /// Writes a file within the repository, which nobody else has put anything in: there are no links to follow.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let path = self.partial.join(path);
        let failed = |e| SourceError::at("can't write a file of the repository", &path, e);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, bytes).map_err(failed)
    }
}

/// Fails unless git can be run, before anything is fetched that only git can make a repository of.
fn must_have_git() -> Result<()> {
    let mut running = run::start(&mut run::git(&std::env::temp_dir(), None, &["version"]), "git")?;
    let mut version = String::new();
    let failed = |e| SourceError::new("can't tell its version", "git").because(e);
    running.stdout()?.take(4096).read_to_string(&mut version).map_err(failed)?;
    running.finish()
}

/// Fails unless all that the refs need is there.
pub(super) fn prove(repository: &Path, details: &GitDetails) -> Result<()> {
    let Some(walking) = start_walk(repository, None, details, true)? else { return Ok(()) };
    walking.finish().map_err(|e| {
        let what = format!("the restored packs do not hold all that the refs need ({e})");
        SourceError::new(what, repository.display().to_string())
    })
}

/// Whether the repository at `target` is what `details` tell of, as a restore of it leaves it: its refs and all that they need.
///
/// # Errors
/// If that can't be found out.
pub fn is_restored(target: &Path, details: &serde_json::Value) -> Result<bool> {
    let target = &std::path::absolute(target).map_err(|e| SourceError::at("can't be found", target, e))?;
    let told: GitDetails = serde::Deserialize::deserialize(details)
        .map_err(|e| SourceError::new(format!("the snapshot does not record a git repository: {e}"), "details"))?;
    let (_, _, differences) = Restored::new(target, target, details)?.refs()?;
    Ok(differences.is_empty() && prove(target, &told).is_ok())
}

/// Restores a repository from files that hold its streams. They are copied, and stay.
///
/// # Errors
/// As [`GitRestorer::begin`] and [`GitRestorer::finish`], and if a file can't be read.
pub fn restore_from_files(streams: &[(Name, PathBuf)], details: &serde_json::Value, target: &Path) -> Result<()> {
    let mut restorer = GitRestorer::begin(target, details)?;
    for (name, path) in streams {
        let failed = |e| SourceError::at("can't read a restored stream", path, e);
        let (mut into, _) = restorer.stream(name, None)?;
        io::copy(&mut File::open(path).map_err(failed)?, &mut into).map_err(failed)?;
    }
    restorer.finish()
}
