//! Where a server lives that hostile dumps are loaded into: another user where strongroom is root, and no network and no
//! other process in sight where the system allows that.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::{EngineError, Result};
use crate::source::postgres::Guest;

/// Users that own nothing of worth, in this order. The user `postgres` may own a server that is in use here, so it is the
/// last choice.
const USERS: [&str; 2] = ["nobody", "postgres"];
/// Namespaces without a network, other processes or shared memory. What is in them ends with their first process.
const APART: [&str; 5] = ["--net", "--pid", "--ipc", "--fork", "--kill-child"];
/// How scratch directories are called, which may be opened to be passed through.
const SCRATCH: &str = "strongroom-scratch-";

/// How processes of an engine are run.
pub(super) struct Jail {
    home: PathBuf,
    user: Option<(u32, u32)>,
    /// Arguments of `unshare`, if it can be used.
    apart: Option<Vec<&'static str>>,
}

impl Jail {
    /// Finds out what there is; `home` is where everything happens.
    pub(super) fn new(home: &Path) -> Result<Self> {
        fs::create_dir_all(home).map_err(|e| EngineError::at("can't make a directory", home, e))?;
        let user = if rustix::process::geteuid().is_root() { Some(somebody()?) } else { None };
        let mut arguments = APART.to_vec();
        if user.is_none() {
            arguments.extend(["--user", "--map-current-user"]);
        }
        let mut jail = Self { home: home.to_owned(), user, apart: Some(arguments) };
        let tried = jail.apart(Path::new("true")).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !tried.is_ok_and(|status| status.success()) {
            jail.apart = None;
        }
        if user.is_some() {
            passable(home)?;
        }
        Ok(jail)
    }

    /// Whether there is no network in it.
    pub(super) fn is_apart(&self) -> bool {
        self.apart.is_some()
    }

    /// What tools run as.
    pub(super) fn guest(&self) -> Guest {
        Guest { user: self.user, home: self.home.clone() }
    }

    /// A tool that talks to the server.
    pub(super) fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.guest().confine(&mut command);
        command.stdin(Stdio::null());
        command
    }

    /// The server itself, or whatever else needs no way out.
    pub(super) fn apart(&self, program: &Path) -> Command {
        let Some(arguments) = &self.apart else { return self.tool(program) };
        let mut command = Command::new("unshare");
        // The user is changed within: making namespaces takes root's rights.
        Guest { user: None, home: self.home.clone() }.confine(&mut command);
        command.args(arguments).arg("--").stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.arg("setpriv").arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
            command.args(["--clear-groups", "--no-new-privs", "--"]);
        }
        command.arg(program);
        command
    }

    /// Makes a directory that the jail's user owns and nobody else looks into.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf> {
        let dir = self.home.join(name);
        let made = fs::create_dir(&dir).and_then(|()| fs::set_permissions(&dir, Permissions::from_mode(0o700)));
        made.map_err(|e| EngineError::at("can't make a directory", &dir, e))?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Lets the jail's user read a file that was restored.
    pub(super) fn lend(&self, file: &Path) -> Result<()> {
        if self.user.is_some() {
            passable(file.parent().unwrap_or(file))?;
        }
        self.give(file)
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.user else { return Ok(()) };
        chown(path, Some(user), Some(group))
            .map_err(|e| EngineError::at("can't hand over to the engine's user", path, e))
    }
}

/// A user without rights, and its group.
fn somebody() -> Result<(u32, u32)> {
    let path = Path::new("/etc/passwd");
    let text =
        fs::read_to_string(path).map_err(|e| EngineError::at("can't look for a user without rights", path, e))?;
    let find = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse::<u32>().ok());
        ids.next().zip(ids.next()).filter(|(user, _)| *user != 0)
    };
    USERS.iter().find_map(|name| find(name)).ok_or_else(|| {
        let what = format!("no server is run as root, and there is none of the users {}", USERS.join(", "));
        EngineError::new(what, "/etc/passwd")
    })
}

/// Lets other users pass through the directories on the way to `dir`, of which only our own are changed.
fn passable(dir: &Path) -> Result<()> {
    let ours = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SCRATCH));
    let within = dir.ancestors().any(ours);
    for (at, path) in dir.ancestors().enumerate() {
        let meta = fs::metadata(path).map_err(|e| EngineError::at("can't look at", path, e))?;
        if meta.mode() & 0o001 != 0 {
            continue;
        }
        if !(at == 0 || within && path.ancestors().any(ours)) {
            let what = "no other user may pass through, so no server without rights can work in it; let TMPDIR name a \
                        directory that all may pass through";
            return Err(EngineError::new(what, path.display().to_string()));
        }
        let mode = Permissions::from_mode(meta.mode() & 0o7777 | 0o011);
        fs::set_permissions(path, mode).map_err(|e| EngineError::at("can't open the way to", path, e))?;
    }
    Ok(())
}
