//! Where programs run that handle what was restored, which may be hostile: they see their own directory and the system's
//! programs and libraries, reach nothing, and are nobody where strongroom is root.
//!
//! Files are refused by Landlock, sockets and ways around it by filters of system calls. Namespaces come on top where they
//! can be had: other processes, networks and files are then not even in sight. The step that becomes a program looks at what
//! holds it, starts nothing if something is missing, and tells: see [`Warden::told`].

mod check;
mod programs;
mod root;
mod rules;
mod spec;
mod step;
mod strays;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use check::Allowed;
pub(crate) use spec::Way;
pub use step::{Step, WORD, step};

use self::{
    spec::{Held, Needs, Spec},
    told::Log,
};
use super::{EngineError, Result};
use crate::source::{cell::Cell, scratch::Scratch};

/// Users that own nothing of worth, in this order. Never one whose name a server runs under.
const USERS: [&str; 2] = ["nobody", "daemon"];
/// Namespaces without a network, other processes, shared memory or files. What is in them ends with their first process.
const APART: [(&str, &str); 4] = [("--mount", "mnt"), ("--net", "net"), ("--pid", "pid"), ("--ipc", "ipc")];
/// What ends what is in them.
const ENDS: [&str; 2] = ["--fork", "--kill-child"];
/// A user namespace, for those who are not root.
const USER: [&str; 3] = ["--user", "--map-current-user", "--keep-caps"];
/// The first version of Landlock that refuses to cut files off; sockets are refused by a filter.
const REFUSES_TRUNCATION: i32 = 3;
/// The first version of Landlock that refuses sockets of the file system.
const REFUSES_SOCKETS: i32 = 9;
/// How scratch directories are called, which may be opened to be passed through.
const SCRATCH: &str = "strongroom-scratch-";

/// A user and its group.
type User = (u32, u32);

/// What confines programs on this host. Found once.
#[derive(Debug, Clone, Default)]
pub struct Warden {
    /// Strongroom's own program. None if nothing is to be confined.
    program: Option<PathBuf>,
    user: Option<(User, &'static str)>,
    /// Whether there are namespaces.
    apart: bool,
    /// The version of Landlock that was found.
    landlock: i32,
    outside: BTreeMap<String, String>,
    /// Links that programs see, and nobody else.
    links: Vec<(PathBuf, PathBuf)>,
    log: Log,
}

impl Warden {
    /// Nothing is confined, but no server is run as root.
    ///
    /// # Errors
    /// If strongroom is root and there is nobody else to run as.
    pub fn unconfined() -> Result<Self> {
        Ok(Self { user: somebody()?, ..Self::default() })
    }

    /// Finds out what there is; `program` is strongroom's own.
    ///
    /// # Errors
    /// If programs can't be confined here.
    pub fn find(program: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        Self::adopt();
        let mut warden = Self {
            program: Some(program.to_owned()),
            user: somebody()?,
            apart: true,
            landlock: 0,
            outside: step::namespaces(),
            links: Vec::new(),
            log: Log::default(),
        };
        let why = match warden.probe(scratch.path()) {
            Ok(held) => return Ok(Self { landlock: held.landlock, ..warden }),
            Err(why) => why,
        };
        tracing::info!(%why, "no namespaces");
        warden.apart = false;
        let weak = match warden.probe(scratch.path()) {
            Ok(held) => return Ok(Self { landlock: held.landlock, ..warden }),
            Err(why) => why,
        };
        let what = format!(
            "what is restored may be hostile, and what loads it can't be confined here: {weak}; with namespaces: {why}. Use \
             a kernel of 6.2 or later with Landlock, or allow namespaces"
        );
        Err(EngineError::new(what, "drill"))
    }

    /// Tries it, and tells what held.
    fn probe(&self, home: &Path) -> std::result::Result<Held, String> {
        let cell = self.cell(home, &Want::new(Way::Server)).map_err(|e| e.to_string())?;
        let (first, rest) = cell.before.split_first().ok_or("nothing to try")?;
        let mut command = Command::new(first);
        command.args(rest).env_clear().current_dir(home).stdin(Stdio::null());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let output = command.output().map_err(|e| format!("strongroom itself can't be started: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        serde_json::from_slice(&output.stdout).map_err(|_| said)
    }

    /// Strongroom's own program, if what is loaded is confined.
    pub(super) fn own_program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Whether a program that may connect to sockets of the file system reaches only those that it was given.
    pub(super) fn hides_sockets(&self) -> bool {
        self.program.is_none() || self.apart || self.landlock >= REFUSES_SOCKETS
    }

    fn cell(&self, home: &Path, want: &Want<'_>) -> Result<Cell> {
        let Some(program) = &self.program else {
            self.log.note("", "none: --unconfined");
            let user = self.user.map(|(user, _)| user).filter(|_| want.engine);
            return Ok(Cell { before: Vec::new(), user, home: home.to_owned() });
        };
        let kept = APART.iter().filter(|(word, _)| self.apart && (want.way != Way::Network || *word != "--net"));
        let (mut words, mut kinds): (Vec<&str>, BTreeSet<String>) =
            kept.map(|(word, kind)| (*word, (*kind).to_owned())).unzip();
        if self.apart {
            words.extend(ENDS);
            if self.user.is_none() {
                words.extend(USER);
                kinds.insert("user".to_owned());
            }
        }
        let spec = Spec {
            home: home.to_owned(),
            writes: want.writes.to_vec(),
            reads: want.reads.to_vec(),
            links: self.links.clone(),
            user: self.user.map(|(user, _)| user).filter(|_| want.way != Way::Network),
            apart: words.into_iter().map(str::to_owned).collect(),
            view: self.apart,
            way: want.way,
            engine: want.engine,
            person: std::env::var_os("HOME").map(PathBuf::from),
            alone: want.alone,
            outside: self.outside.clone(),
            needs: Needs { landlock: if self.apart { 1 } else { REFUSES_TRUNCATION }, namespaces: kinds },
            report: self.log.file(),
        };
        let spec = serde_json::to_string(&spec)
            .map_err(|_| EngineError::new("a path is not UTF-8", home.display().to_string()))?;
        let words = [program.as_os_str().to_owned(), WORD.into(), OsString::from(spec), "--".into()];
        Ok(Cell { before: words.to_vec(), user: None, home: home.to_owned() })
    }
}

/// What a program is to have.
struct Want<'a> {
    way: Way,
    engine: bool,
    alone: bool,
    reads: &'a [PathBuf],
    writes: &'a [PathBuf],
}

impl Want<'_> {
    fn new(way: Way) -> Self {
        Self { way, engine: true, alone: false, reads: &[], writes: &[] }
    }
}

/// Where one engine works, confined.
pub(super) struct Jail {
    warden: Warden,
    home: PathBuf,
}

impl Jail {
    /// A jail whose home is `home`.
    pub(super) fn new(warden: &Warden, home: &Path) -> Result<Self> {
        fs::create_dir_all(home).map_err(|e| EngineError::at("can't make a directory", home, e))?;
        let jail = Self { warden: warden.clone(), home: home.to_owned() };
        if jail.user().is_some() {
            passable(home)?;
        }
        Ok(jail)
    }

    fn user(&self) -> Option<User> {
        self.warden.user.map(|(user, _)| user)
    }

    /// For programs that start others, and need no way out.
    pub(super) fn tools(&self, reads: &[PathBuf]) -> Result<Cell> {
        self.warden.cell(&self.home, &Want { reads, ..Want::new(Way::Server) })
    }

    /// For servers, and whatever else runs what was restored: they start nothing but themselves.
    pub(super) fn server(&self, reads: &[PathBuf]) -> Result<Cell> {
        self.warden.cell(&self.home, &Want { reads, alone: true, ..Want::new(Way::Server) })
    }

    /// For tools that talk to the server.
    pub(super) fn client(&self, reads: &[PathBuf]) -> Result<Cell> {
        self.warden.cell(&self.home, &Want { reads, alone: true, ..Want::new(Way::Client) })
    }

    /// For commands of whoever runs the drill, which work in `dir`. Those that may have the network run as himself, since
    /// the passwords of a server that is lent are his; so do those that nothing confines.
    pub(super) fn command(&self, way: Way, reads: &[PathBuf], dir: &Path) -> Result<Cell> {
        if way != Way::Network && self.warden.program.is_some() {
            self.give_all(dir)?;
        }
        let writes = [dir.to_owned()];
        self.warden.cell(&self.home, &Want { reads, writes: &writes, engine: false, ..Want::new(way) })
    }

    /// Makes a directory that the jail's user owns and nobody else looks into.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf> {
        let dir = self.home.join(name);
        let made = fs::create_dir(&dir).and_then(|()| fs::set_permissions(&dir, Permissions::from_mode(0o700)));
        made.map_err(|e| EngineError::at("can't make a directory", &dir, e))?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Lets programs find `to` at `path`, where it is not. Only in a root directory of their own; says whether they have one.
    pub(super) fn link(&mut self, path: &Path, to: &Path) -> bool {
        let apart = self.warden.program.is_some() && self.warden.apart;
        if apart {
            self.warden.links.push((path.to_owned(), to.to_owned()));
        }
        apart
    }

    /// Lets the jail's user read a file that was restored. Only before anything was started that could put another there.
    pub(super) fn lend(&self, file: &Path) -> Result<()> {
        if self.user().is_some() {
            passable(file.parent().unwrap_or(file))?;
        }
        self.give(file)
    }

    /// Hands a directory over, with all that is in it. Once: whoever has it could put links there meanwhile.
    pub(super) fn give_all(&self, dir: &Path) -> Result<()> {
        let Some((user, group)) = self.user() else { return Ok(()) };
        if fs::symlink_metadata(dir).is_ok_and(|meta| meta.uid() == user) {
            return Ok(());
        }
        passable(dir)?;
        let failed = |path: &Path, e| EngineError::at("can't hand over to the engine's user", path, e);
        let mut open = vec![dir.to_owned()];
        while let Some(path) = open.pop() {
            lchown(&path, Some(user), Some(group)).map_err(|e| failed(&path, e))?;
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                for entry in fs::read_dir(&path).map_err(|e| failed(&path, e))? {
                    open.push(entry.map_err(|e| failed(&path, e))?.path());
                }
            }
        }
        Ok(())
    }

    /// Makes a file or directory that was made here the jail's user's own.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.user() else { return Ok(()) };
        lchown(path, Some(user), Some(group))
            .map_err(|e| EngineError::at("can't hand over to the engine's user", path, e))
    }
}

/// A user without rights and its name, if this one is root.
fn somebody() -> Result<Option<(User, &'static str)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let text =
        fs::read_to_string(path).map_err(|e| EngineError::at("can't look for a user without rights", path, e))?;
    let find = |name: &'static str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse::<u32>().ok());
        ids.next().zip(ids.next()).filter(|(user, _)| *user != 0).map(|ids| (ids, name))
    };
    USERS.iter().find_map(|name| find(name)).map(Some).ok_or_else(|| {
        let what = format!("nothing of it is run as root, and there is none of the users {}", USERS.join(", "));
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
