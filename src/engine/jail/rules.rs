//! What a confined program may not do, by the kernel's word: files, TCP, signals and abstract sockets by Landlock, other
//! sockets and ways out by filters of system calls.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json, sock_filter};
use serde_json::{Value, json};

use super::spec::Way;

/// The newest that is known here; what the kernel does not know of it is left out.
const NEWEST: ABI = ABI::V10;
/// Devices that anybody may use.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// `AF_UNIX`.
const UNIX: u64 = 1;
/// `EPERM`.
const REFUSED: u32 = 1;
/// `ENOSYS`: what a program takes for a reason to use something older.
const UNKNOWN: u32 = 38;
/// What no engine needs, and what would lead around the rules, into other processes or into the kernel.
const NEVER: [&str; 55] = [
    // Other processes.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "kcmp",
    "migrate_pages",
    "move_pages",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    // Keys.
    "keyctl",
    "add_key",
    "request_key",
    // Another view of files.
    "unshare",
    "setns",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "open_by_handle_at",
    "fanotify_init",
    "quotactl",
    "quotactl_fd",
    // The kernel and the machine.
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "personality",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "acct",
    "swapon",
    "swapoff",
    "reboot",
    "syslog",
    "settimeofday",
    "clock_settime",
];
/// What can't be told by its arguments, or goes past Landlock and filters: as if the kernel did not have it.
const ABSENT: [&str; 4] = ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"];
/// The flags of `clone` that make namespaces.
const NAMESPACES: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
/// `TIOCSTI` and `TIOCLINUX`: typing on somebody's terminal.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// System calls of the x32 variant of x86-64 have numbers from here on. Filters by number would not see them.
const X32: u32 = 0x4000_0000;

/// What of the file system a program gets.
pub(super) struct Files<'a> {
    /// To read, and to run.
    pub(super) reads: &'a [PathBuf],
    /// To read and to write.
    pub(super) writes: &'a [PathBuf],
    /// If some are named, only these can be run.
    pub(super) runs: Option<&'a [PathBuf]>,
}

/// Holds this thread, and what it becomes, to these files. Gives the version of Landlock; 0 if there is none.
pub(super) fn landlock(files: &Files<'_>, way: Way) -> Result<i32, String> {
    let all = AccessFs::from_all(NEWEST);
    let held = || -> Result<_, landlock::RulesetError> {
        let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(NEWEST))?;
        if way != Way::Network {
            rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
        }
        let device = AccessFs::ReadFile | AccessFs::WriteFile;
        let (read, write) = match files.runs {
            Some(_) => (AccessFs::from_read(NEWEST) & !AccessFs::Execute, all & !AccessFs::Execute),
            None => (AccessFs::from_read(NEWEST), all),
        };
        rules
            .create()?
            .add_rules(path_beneath_rules(files.reads, read))?
            .add_rules(path_beneath_rules(files.writes, write))?
            .add_rules(path_beneath_rules(files.runs.unwrap_or_default(), AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(DEVICES.map(Path::new), device))?
            .restrict_self()
    };
    let status = held().map_err(|e| format!("Landlock refuses its rules: {e}"))?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            effective_abi as i32
        }
        _ => 0,
    })
}

/// Refuses system calls. `own` is the number of this process where it sees those of others.
pub(super) fn seccomp(way: Way, own: Option<u32>) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("system calls can't be filtered: {e}");
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| failed(&e))?;
    for filter in [refusing(way, own), absent()] {
        let compiled = compile_from_json(filter.to_string().as_bytes(), arch).map_err(|e| failed(&e))?;
        let program = compiled.get("all").ok_or("system calls can't be filtered: there is no filter")?;
        apply_filter(program).map_err(|e| failed(&e))?;
    }
    if arch == TargetArch::x86_64 {
        apply_filter(&no_x32()).map_err(|e| failed(&e))?;
    }
    Ok(())
}

fn condition(index: u8, kind: &str, op: &Value, value: u64) -> Value {
    json!({"index": index, "type": kind, "op": op, "val": value})
}

fn refusing(way: Way, own: Option<u32>) -> Value {
    let mut rules: Vec<Value> = NEVER.iter().map(|name| json!({"syscall": name})).collect();
    let mut rule = |name: &str, args: &[Value]| rules.push(json!({"syscall": name, "args": args}));
    for flag in NAMESPACES {
        rule("clone", &[condition(0, "qword", &json!({"masked_eq": flag}), flag)]);
    }
    for request in TYPING {
        rule("ioctl", &[condition(1, "dword", &json!("eq"), request)]);
    }
    // Limits of other processes.
    rule("prlimit64", &[condition(0, "dword", &json!("ne"), 0)]);
    if let Some(own) = own.map(u64::from) {
        // Processes that were there before, one by one, all at once and by their groups.
        let negative = (1 << 32) - own;
        for name in ["kill", "tkill", "tgkill"] {
            rule(name, &[condition(0, "dword", &json!("ge"), 1), condition(0, "dword", &json!("lt"), own)]);
            rule(name, &[condition(0, "dword", &json!("gt"), negative)]);
        }
    }
    if way != Way::Network {
        for name in ["socket", "socketpair"] {
            rule(name, &[condition(0, "dword", &json!("ne"), UNIX)]);
        }
    }
    if way == Way::Server {
        // What is sent to no address goes to who connected.
        rule("sendto", &[condition(4, "qword", &json!("ne"), 0)]);
        rules.extend(["connect", "sendmsg", "sendmmsg"].map(|name| json!({"syscall": name})));
    }
    json!({"all": {"mismatch_action": "allow", "match_action": {"errno": REFUSED}, "filter": rules}})
}

fn absent() -> Value {
    let rules: Vec<Value> = ABSENT.iter().map(|name| json!({"syscall": name})).collect();
    json!({"all": {"mismatch_action": "allow", "match_action": {"errno": UNKNOWN}, "filter": rules}})
}

/// Loads the number of the call, and answers what is beyond with `ENOSYS`.
fn no_x32() -> BpfProgram {
    const LOAD: u16 = 0x20;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![step(LOAD, 0, 0, 0), step(AT_LEAST, 0, 1, X32), step(RETURN, 0, 0, ERRNO | UNKNOWN), step(RETURN, 0, 0, ALLOW)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_understood_on_every_architecture() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64, TargetArch::riscv64] {
            for way in [Way::Server, Way::Client, Way::Network] {
                for filter in [refusing(way, None), refusing(way, Some(4711)), absent()] {
                    let compiled = compile_from_json(filter.to_string().as_bytes(), arch);
                    assert!(compiled.is_ok_and(|all| !all["all"].is_empty()), "{arch:?} {way:?}");
                }
            }
        }
    }
}
