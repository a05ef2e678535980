//! The step between strongroom and a program that handles what is not trusted: strongroom itself, run again, gives up what
//! the program must not have and becomes that program. It needs a process of its own, since nothing of it can be undone.
//! What was given up is looked at once more before anything is started, and told.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    env,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, Write},
    net::UdpSocket,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    fs::Mode,
    process::{Gid, Signal, Uid, set_parent_process_death_signal, umask},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use super::{
    programs, root, rules,
    spec::{Held, Spec, Way},
};

/// The word that starts it.
pub const WORD: &str = "jail";
/// The first version of Landlock that refuses signals to processes outside.
const REFUSES_SIGNALS: i32 = 6;
/// Kinds of namespaces, as the kernel calls them.
pub(super) const KINDS: [&str; 5] = ["user", "mnt", "pid", "ipc", "net"];

/// What a step came to: what held it, if it was to become nothing.
pub type Step = Result<String, String>;

/// Confines this process by the description that comes first in `words`, and becomes the program that follows after `--`.
/// Without one it tells what holds it.
///
/// # Errors
/// If it can't: then nothing was started.
pub fn step(words: &[OsString]) -> Step {
    let usage = || "this is for strongroom's own use".to_owned();
    let (description, program) = match words {
        [description, mark, program @ ..] if mark == "--" => (description, program),
        _ => return Err(usage()),
    };
    let spec: Spec = description.to_str().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(usage)?;
    // Whoever started this takes it along, whatever ends him.
    die_along()?;
    // What was left open by whoever started strongroom may be a secret.
    close_fds::set_fds_cloexec(3, &[]);
    if spec.apart.is_empty() {
        let (held, program) = confine(&spec, program)?;
        let Some((first, arguments)) = program.split_first() else {
            return serde_json::to_string(&held).map_err(|e| e.to_string());
        };
        return become_it(Command::new(first).args(arguments), first).map(|never| match never {});
    }
    let own = env::current_exe().map_err(|e| format!("can't find strongroom itself: {e}"))?;
    let rest = Spec { apart: Vec::new(), ..spec.clone() };
    let rest = serde_json::to_string(&rest).map_err(|e| e.to_string())?;
    let mut command = Command::new("unshare");
    command.args(&spec.apart).arg("--").arg(own).args([WORD, rest.as_str(), "--"]).args(program);
    become_it(&mut command, OsStr::new("unshare")).map(|never| match never {})
}

fn die_along() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| format!("can't be tied to strongroom: {e}"))
}

fn become_it(command: &mut Command, program: &OsStr) -> Result<Infallible, String> {
    let e = command.exec();
    let program = program.display();
    Err(match e.kind() {
        ErrorKind::NotFound => format!("{program} was not found within the jail"),
        _ => format!("{program} can't be started within the jail: {e}"),
    })
}

/// Confines this process, and gives the program by its path.
fn confine(spec: &Spec, program: &[OsString]) -> Result<(Held, Vec<OsString>), String> {
    let begin = env::current_dir().map_err(|e| format!("can't tell where it is: {e}"))?;
    let mut program = program.to_vec();
    // Opened while they can be: what this process is, and where that is told.
    let mut status = File::open("/proc/self/status").map_err(|e| format!("can't look at itself: {e}"))?;
    let mut report = spec.report.as_ref().map(|path| OpenOptions::new().append(true).open(path)).transpose();
    let report = report.as_mut().map_err(|e| format!("can't tell what holds it: {e}"))?;
    let namespaces = of_its_own(&spec.outside);
    let mut reads: Vec<PathBuf> = programs::SYSTEM.map(PathBuf::from).to_vec();
    if spec.way == Way::Network {
        reads.extend(programs::NETWORK.iter().flat_map(|path| programs::real_of(Path::new(path))));
    }
    reads.extend(spec.reads.iter().flat_map(|path| programs::real_of(path)));
    let libraries = env::var_os("LD_LIBRARY_PATH");
    reads.extend(libraries.iter().flat_map(env::split_paths).flat_map(|path| programs::real_of(&path)));
    let mut runs = None;
    if let Some(first) = program.first_mut() {
        let path =
            programs::find(first).ok_or_else(|| format!("{} was not found in PATH; install it", first.display()))?;
        *first = path.clone().into_os_string();
        reads.extend(programs::installed_at(&path, spec.engine, spec.person.as_deref()));
        runs = spec.alone.then(|| programs::needed_to_run(&path)).flatten();
        reads.push(path);
    }
    let mut writes: Vec<PathBuf> =
        std::iter::once(&spec.home).chain(&spec.writes).flat_map(|path| programs::real_of(path)).collect();
    if spec.view {
        // Directories on the way are for others to pass through.
        umask(Mode::from_raw_mode(0o022));
        let devices = rules::DEVICES.map(PathBuf::from);
        let more = runs.iter().flatten();
        let visible: Vec<PathBuf> = reads.iter().chain(&writes).chain(&devices).chain(more).cloned().collect();
        if root::replace(&spec.home, &visible, &spec.links)? {
            // That of its own process namespace.
            reads.push("/proc".into());
        }
        env::set_current_dir(&begin).map_err(|e| format!("can't go to {}: {e}", begin.display()))?;
        umask(Mode::from_raw_mode(0o077));
    }
    writes.dedup();
    let files = rules::Files { reads: &reads, writes: &writes, runs: runs.as_deref() };
    let landlock = rules::landlock(&files, spec.way)?;
    give_up(spec.user)?;
    let sees_others = !namespaces.contains("pid") && landlock < REFUSES_SIGNALS;
    rules::seccomp(spec.way, sees_others.then(std::process::id))?;
    let name = program.first().and_then(|path| Path::new(path).file_name());
    let mut held = Held {
        program: name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        landlock,
        seccomp: false,
        no_new_privileges: false,
        network: spec.way == Way::Network,
        namespaces,
        user: rustix::process::getuid().as_raw(),
    };
    confirm(spec, &mut held, &mut status)?;
    if let Some(report) = report {
        let line = serde_json::to_string(&held).map_err(|e| e.to_string())? + "\n";
        report.write_all(line.as_bytes()).map_err(|e| format!("can't tell what holds it: {e}"))?;
    }
    Ok((held, program))
}

/// Becomes another user, and nobody with capabilities.
fn give_up(user: Option<(u32, u32)>) -> Result<(), String> {
    let failed = |what: &str, e: rustix::io::Errno| format!("{what}: {e}");
    clear_ambient_capability_set().map_err(|e| failed("can't give up capabilities", e))?;
    if let Some((user, group)) = user {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        set_thread_groups(&[]).map_err(|e| failed("can't leave its groups", e))?;
        set_thread_res_gid(group, group, group).map_err(|e| failed("can't become another group", e))?;
        set_thread_res_uid(user, user, user).map_err(|e| failed("can't become another user", e))?;
        // Another user is tied anew.
        die_along()?;
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(|e| failed("can't give up capabilities", e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| failed("can't give up new privileges", e))
}

/// The kinds of namespaces in which this process is apart from strongroom.
fn of_its_own(outside: &BTreeMap<String, String>) -> BTreeSet<String> {
    let own = namespaces();
    // What can't be told is not its own.
    let apart = |(kind, id): &(&String, &String)| own.get(*kind).is_some_and(|own| own != *id);
    outside.iter().filter(apart).map(|(kind, _)| kind.clone()).collect()
}

/// The namespaces of this process, by their kind.
pub(super) fn namespaces() -> BTreeMap<String, String> {
    let read = |kind: &&str| {
        let id = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        Some(((*kind).to_owned(), id.to_string_lossy().into_owned()))
    };
    KINDS.iter().filter_map(read).collect()
}

/// Looks at what was given up, and tries what must be refused. Nothing is started where one of the layers is missing.
fn confirm(spec: &Spec, held: &mut Held, status: &mut File) -> Result<(), String> {
    let mut text = String::new();
    let read = status.rewind().and_then(|()| status.read_to_string(&mut text));
    read.map_err(|e| format!("can't look at itself: {e}"))?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    held.seccomp = field("Seccomp") == Some("2");
    held.no_new_privileges = field("NoNewPrivs") == Some("1");
    let capable = field("CapEff").is_none_or(|set| set.bytes().any(|digit| digit != b'0'));
    let refused = |e: std::io::Error| e.kind() == ErrorKind::PermissionDenied;
    let missing = [
        (held.landlock < spec.needs.landlock, "this kernel's Landlock is too old or not enabled"),
        // The root directory itself is nobody's to list.
        (held.landlock > 0 && !fs::read_dir("/").err().is_some_and(refused), "Landlock does not hold"),
        (!held.seccomp, "there is no filter of system calls"),
        (
            spec.way != Way::Network && !UdpSocket::bind("127.0.0.1:0").err().is_some_and(refused),
            "the filter of system calls does not hold",
        ),
        (!held.no_new_privileges, "it could gain privileges"),
        (capable, "it has capabilities"),
        (!spec.needs.namespaces.is_subset(&held.namespaces), "it is in namespaces of strongroom's own"),
        (spec.user.is_some_and(|(user, _)| user != held.user), "it is another user than it should be"),
    ];
    match missing.iter().find(|(missing, _)| *missing) {
        Some((_, what)) => Err((*what).to_owned()),
        None => Ok(()),
    }
}
