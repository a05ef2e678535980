//! What hostile code tries, and who drills it.

use std::{
    fs,
    io::Write,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, lchown},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{lab, sandbox::Sandbox};

/// Without rights, on every Linux.
const NOBODY: u32 = 65534;

/// Code that tries everything and tells what it reached, one word each.
const PROBE: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static int out;
static void got(const char *word) {
  if (write(out, word, strlen(word)) < 0 || write(out, " ", 1) < 0) _exit(9);
}
static int can_read(const char *path) {
  char byte;
  int fd = open(path, O_RDONLY);
  return fd >= 0 && read(fd, &byte, 1) == 1;
}
static int can_connect(const char *name, int abstract) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  memcpy(to.sun_path + abstract, name, strlen(name));
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return fd >= 0 && connect(fd, (struct sockaddr *)&to, length) == 0;
}
static void probe(void) {
  if (can_read(KEY)) got("key");
  if (truncate(CUT, 0) == 0) got("truncate");
  if (open(HOME "/made", O_WRONLY | O_CREAT, 0600) >= 0) got("home");
  if (open("/tmp/" MARK, O_WRONLY | O_CREAT, 0600) >= 0) got("tmp");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(TCP), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) got("tcp");
  to.sin_port = htons(UDP);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1) got("udp");
  if (can_connect(SOCKET, 0)) got("unix");
  if (can_connect(MARK, 1)) got("abstract");
  if (kill(BYSTANDER, 0) == 0) got("signal");
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)8, 1};
  if (process_vm_readv(BYSTANDER, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT) got("memory");
  if (ptrace(PTRACE_SEIZE, BYSTANDER, 0, 0) == 0) got("ptrace");
  DIR *all = opendir("/proc");
  struct dirent *entry;
  char path[300], text[1 << 16];
  int found = 0;
  while (all && (entry = readdir(all))) {
    snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (n > 0 && memmem(text, n, "PLANTED_" MARK, strlen("PLANTED_" MARK))) found = 1;
    if (fd >= 0) close(fd);
  }
  if (found) got("environ");
  if (syscall(SYS_unshare, CLONE_NEWUSER) == 0) got("namespace");
}
#ifdef LIBRARY
__attribute__((constructor)) static void start(void) {
  if ((out = open("reached", O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0) return;
  got("ran");
  probe();
  close(out);
}
#else
int main(void) {
  out = 1;
  got("ran");
  probe();
  // One that is nobody's child any more.
  if (fork() == 0) {
    setsid();
    if (fork() == 0) {
      close(0), close(1), close(2);
      sleep(1000);
    }
    _exit(0);
  }
  return 0;
}
#endif
"#;

/// What there is to be reached, by anybody whom nothing confines.
pub struct Bait {
    pub sandbox: Sandbox,
    mark: String,
    bystander: Child,
    sockets: (TcpListener, UdpSocket, UnixListener, UnixListener),
}

/// Who drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests, as he is.
    Self_,
    /// A user without rights.
    Nobody,
    /// The same where namespaces are refused.
    Refused,
}

impl Bait {
    pub fn new() -> Self {
        let sandbox = Sandbox::with_vault();
        let open = sandbox.path("open");
        fs::create_dir(&open).unwrap();
        for (path, mode) in [(sandbox.path(""), 0o711), (open.clone(), 0o777)] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        for name in ["key", "cut"] {
            fs::write(open.join(name), "readable by all").unwrap();
            fs::set_permissions(open.join(name), PermissionsExt::from_mode(0o666)).unwrap();
        }
        let place = sandbox.path("");
        let mark = format!("bait-{}", place.file_name().unwrap().to_str().unwrap().replace('.', ""));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(open.join("socket")).unwrap();
        fs::set_permissions(open.join("socket"), PermissionsExt::from_mode(0o777)).unwrap();
        let name = SocketAddr::from_abstract_name(&mark).unwrap();
        let hidden = UnixListener::bind_addr(&name).unwrap();
        // Under the user whom the code runs as.
        let mut bystander = as_nobody(Path::new("sleep"));
        bystander.arg("1000").env("PLANTED", format!("PLANTED_{mark}"));
        let bystander = bystander.spawn().unwrap();
        Self { sandbox, mark, bystander, sockets: (tcp, udp, unix, hidden) }
    }

    /// Where anybody may write.
    pub fn open(&self) -> PathBuf {
        self.sandbox.path("open")
    }

    /// The code, as a program or as a library that runs it when it is loaded.
    pub fn probe(&self, library: bool) -> Vec<u8> {
        let out = self.sandbox.path(if library { "probe.so" } else { "etc/probe" });
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-x", "c", "-", "-o"]).arg(&out);
        if library {
            cc.args(["-shared", "-fPIC", "-DLIBRARY"]);
        }
        let open = self.open();
        let text = |name: &str, value: &str| format!("-D{name}=\"{value}\"");
        let (tcp, udp) = (self.sockets.0.local_addr().unwrap().port(), self.sockets.1.local_addr().unwrap().port());
        cc.arg(text("KEY", open.join("key").to_str().unwrap())).arg(text("CUT", open.join("cut").to_str().unwrap()));
        cc.arg(text("HOME", open.to_str().unwrap())).arg(text("MARK", &self.mark));
        cc.arg(text("SOCKET", open.join("socket").to_str().unwrap()));
        cc.arg(format!("-DTCP={tcp}")).arg(format!("-DUDP={udp}")).arg(format!("-DBYSTANDER={}", self.bystander.id()));
        let mut cc = cc.stdin(Stdio::piped()).spawn().unwrap();
        cc.stdin.take().unwrap().write_all(PROBE.as_bytes()).unwrap();
        assert!(cc.wait().unwrap().success());
        fs::read(out).unwrap()
    }

    /// Drills as each of those who can be had here, and gives what the check `name` of `source` told and how it was confined.
    pub fn drilled(&self, source: &str, name: &str) -> Vec<(Who, String, String)> {
        let mut all = Vec::new();
        for who in [Who::Self_, Who::Nobody, Who::Refused] {
            if who == Who::Nobody && !rustix::process::geteuid().is_root() {
                continue;
            }
            let document = self.drill(who, &[source, "--json"]);
            let found = lab::of(&document, source);
            all.push((who, told(found, name), found["confinement"].as_str().unwrap().to_owned()));
        }
        all
    }

    /// Drills as one of them.
    pub fn drill(&self, who: Who, args: &[&str]) -> Value {
        let sandbox = &self.sandbox;
        let tmp = sandbox.path("tmp");
        let _ = fs::create_dir(&tmp);
        fs::set_permissions(&tmp, PermissionsExt::from_mode(0o711)).unwrap();
        let root = rustix::process::geteuid().is_root();
        let owner = if root && who != Who::Self_ { NOBODY } else { rustix::process::geteuid().as_raw() };
        if root {
            give(&sandbox.path(""), owner);
        }
        let program = program(sandbox);
        let mut command = if who == Who::Self_ { Command::new(program) } else { as_nobody(&program) };
        let mut path = std::env::var("PATH").unwrap();
        if who == Who::Refused {
            // As where the kernel, AppArmor or a container's filter says no.
            let bin = sandbox.path("refusing");
            let _ = fs::create_dir(&bin);
            fs::write(bin.join("unshare"), "#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
                .unwrap();
            fs::set_permissions(bin.join("unshare"), PermissionsExt::from_mode(0o755)).unwrap();
            path = format!("{}:{path}", bin.display());
        }
        command.env_clear().env("PATH", path).env("HOME", sandbox.path("home")).env("TMPDIR", &tmp);
        command.env("AWS_SECRET_ACCESS_KEY", format!("PLANTED_{}", self.mark)).current_dir(sandbox.path("home"));
        command.arg("--config").arg(sandbox.config()).arg("drill").arg("-i").arg(sandbox.identity()).args(args);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(lab::left(&tmp), [""; 0], "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{who:?}: {e}: {said}"))
    }

    /// Processes that the code left running, which are ended.
    pub fn left_running(&self) -> usize {
        let name = self.sandbox.path("etc/probe").display().to_string();
        let ours = |entry: &fs::DirEntry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|text| text.starts_with(name.as_bytes()))
        };
        let found: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(ours)
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        for pid in &found {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        found.len()
    }

    /// The names in the directory where anybody may write, and whether the file there is whole.
    pub fn untouched(&self) -> bool {
        let mut names = lab::left(&self.open());
        names.sort();
        let whole = fs::metadata(self.open().join("cut")).unwrap().len() > 0;
        let outside = Path::new("/tmp").join(&self.mark);
        names == ["cut", "key", "socket"] && whole && !outside.exists()
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        let _ = self.bystander.kill();
        let _ = self.bystander.wait();
        let _ = fs::remove_file(Path::new("/tmp").join(&self.mark));
    }
}

/// What a check of a drill told.
pub fn told(drill: &Value, name: &str) -> String {
    let check = drill["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {drill}"));
    check["actual"].as_str().unwrap_or_default().to_owned()
}

fn as_nobody(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = NOBODY.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(program);
    command
}

/// The program, where anybody can start it.
fn program(sandbox: &Sandbox) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_strongroom"));
    let mut tried = as_nobody(&built);
    let can = tried.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if can.is_ok_and(|status| status.success()) {
        return built;
    }
    let copy = sandbox.path("strongroom");
    if !copy.exists() {
        fs::copy(&built, &copy).unwrap();
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    }
    copy
}

/// Gives a directory away, with all that is in it.
fn give(dir: &Path, user: u32) {
    lchown(dir, Some(user), Some(user)).unwrap();
    if fs::symlink_metadata(dir).unwrap().is_dir() {
        for entry in fs::read_dir(dir).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}
