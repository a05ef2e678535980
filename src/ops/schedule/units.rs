//! The text of units.

use std::path::Path;

use super::{
    Entry, ScheduleRequest, Task, Unit,
    spelling::{literal, program, quoted},
};
use crate::ops::OpsError;

/// What the configuration is called among what systemd hands over.
pub const SECRET_CONFIG: &str = "strongroom.toml";
/// What the identity is called there.
const SECRET_IDENTITY: &str = "identity";
/// The state of everything that runs here.
const STATE: &str = "/var/lib/strongroom";

/// What every service has.
const HARDENED: &str = "\
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
";

/// What services have that start no server and make no jail of their own.
const CLOSED: &str = "\
RestrictNamespaces=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
";

/// A drill confines what it loads, by namespaces, Landlock and seccomp, and starts database servers. `capset` gives up
/// capabilities; there are none to be had but those of a user namespace.
const DRILLING: &str = "\
RestrictNamespaces=user mnt pid net ipc
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=@mount setrlimit prlimit64 capset
SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
";

/// The words of a command, with the configuration and the identity as they are called there.
pub(super) fn words(entry: &Entry, config: &str, identity: Option<&str>) -> String {
    let identity = identity.map(|identity| format!(" -i {identity}")).unwrap_or_default();
    let seen = format!("{STATE}/watch.json");
    let rest = match entry.task {
        Task::Backup => "backup".to_owned(),
        Task::Doctor => "doctor".to_owned(),
        Task::Journal => "journal run".to_owned(),
        Task::Request => "request serve".to_owned(),
        Task::Renew => "renew".to_owned(),
        Task::Prune => "prune --yes".to_owned(),
        Task::Verify => format!("verify --checkpoint {STATE}/verify.json"),
        Task::Watch => format!("watch{identity} --checkpoint {seen}{}", if entry.reacts { " --react" } else { "" }),
        Task::Status => "status".to_owned(),
        Task::Drill => format!("drill{identity}"),
        Task::Replicate => entry.copy.as_ref().map_or("replicate".to_owned(), |copy| format!("replicate {copy}")),
    };
    format!("--config {config} --no-progress {rest}")
}

/// The service and its timer.
pub(super) fn of(entry: &Entry, request: &ScheduleRequest) -> Result<Vec<Unit>, OpsError> {
    let name = format!("strongroom-{}", entry.name());
    let mut units = vec![Unit { name: format!("{name}.service"), text: service(entry, request)? }];
    if let Some(socket) = &entry.socket {
        units.push(Unit { name: format!("{name}.socket"), text: listens(socket)? });
    } else if entry.task != Task::Journal {
        units.push(Unit { name: format!("{name}.timer"), text: timer(entry) });
    }
    Ok(units)
}

fn service(entry: &Entry, request: &ScheduleRequest) -> Result<String, OpsError> {
    let task = entry.task;
    let (runs, asked) = (task == Task::Journal, task == Task::Request);
    let (time, memory) = task.limits();
    let program = program(&request.program)?;
    let config = format!("%d/{SECRET_CONFIG}");
    let identity = entry.identity.as_ref().map(|_| format!("%d/{SECRET_IDENTITY}"));
    let words = words(entry, &config, identity.as_deref());
    let mut text = format!(
        "# Made by `strongroom schedule`. Change it by a drop-in: systemctl edit strongroom-{}.service\n[Unit]\n\
         Description=Strongroom: {}\nWants=network-online.target\n\
         After=network-online.target\n",
        entry.name(),
        described(entry)
    );
    if runs {
        text.push_str("StartLimitIntervalSec=0\n");
    } else {
        text.push_str("OnFailure=strongroom-failed@%n.service\nStartLimitIntervalSec=6h\nStartLimitBurst=6\n");
    }
    for path in &entry.mounts {
        add(&mut text, &format!("RequiresMountsFor={}\n", quoted("", path)?));
    }
    add(&mut text, &format!("\n[Service]\nUser={0}\nGroup={0}\n", request.user));
    if asked {
        // Its socket starts it, and is its standard input. What it started ends in good order.
        text.push_str(
            "Type=exec\nStandardInput=socket\nStandardOutput=journal\nStandardError=journal\nTimeoutStopSec=10min\n",
        );
    } else if runs {
        text.push_str("Type=notify\nRestart=always\nRestartSec=10\nWatchdogSec=60\nTimeoutStopSec=60\n");
    } else {
        // What the store or another run of this writer was in the way of is tried again, and only then is it a failure. Services
        // of type oneshot can't have that, nor a limit that ends in a failure and no new start.
        add(&mut text, &format!("Type=exec\nRestartForceExitStatus=75\nRestartSec=10min\nRuntimeMaxSec={time}\n"));
    }
    add(&mut text, &format!("ExecStart={program} {words}\n"));
    let folder = entry.config.parent().unwrap_or(Path::new("/"));
    add(&mut text, &format!("LoadCredential={SECRET_CONFIG}:{}\n", literal("LoadCredential=", &entry.config)?));
    for secret in &entry.secrets {
        add(&mut text, &format!("LoadCredential={secret}:{}\n", literal("LoadCredential=", &folder.join(secret))?));
    }
    if let Some(identity) = &entry.identity {
        add(&mut text, &format!("LoadCredential={SECRET_IDENTITY}:{}\n", literal("LoadCredential=", identity)?));
    }
    text.push_str("StateDirectory=strongroom\nStateDirectoryMode=0700\nEnvironment=HOME=/var/lib/strongroom\n");
    // Proxies and the like, for all units of a host at once; nothing if there is no such file.
    text.push_str("EnvironmentFile=-/etc/default/strongroom\n");
    // A directory that is missing keeps no service from starting: what writes there says so. What is below the service's own
    // state can be written anyway.
    for path in entry.writes.iter().chain(&entry.state).filter(|path| !path.starts_with(STATE)) {
        add(&mut text, &format!("ReadWritePaths={}\n", quoted("-", path)?));
    }
    text.push_str(if entry.homes { "ProtectHome=read-only\n" } else { "ProtectHome=yes\n" });
    text.push_str(HARDENED);
    text.push_str(if task == Task::Drill { DRILLING } else { CLOSED });
    add(
        &mut text,
        &format!("MemoryMax={memory}\nTasksMax=1024\nNice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\n"),
    );
    if runs {
        text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    }
    Ok(text)
}

/// The socket of requests. Everybody may connect: who may ask is decided by who the kernel says they are.
fn listens(socket: &Path) -> Result<String, OpsError> {
    Ok(format!(
        "# Made by `strongroom schedule`. Change it by a drop-in: systemctl edit strongroom-request.socket\n[Unit]\n\
         Description=Strongroom: {}\n\n[Socket]\nListenStream={}\nSocketMode=0666\nAccept=no\n\n\
         [Install]\nWantedBy=sockets.target\n",
        Task::Request.describe(),
        literal("ListenStream=", socket)?
    ))
}

fn timer(entry: &Entry) -> String {
    let (calendar, _, delay) = entry.task.calendar(entry.every);
    format!(
        "# Made by `strongroom schedule`. Change it by a drop-in: systemctl edit strongroom-{0}.timer\n[Unit]\n\
         Description=Strongroom: {1}\n\n[Timer]\nOnCalendar={calendar}\nRandomizedDelaySec={delay}\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n",
        entry.name(),
        described(entry)
    )
}

/// For `Description=`.
fn described(entry: &Entry) -> String {
    let what = entry.task.describe();
    entry.copy.as_ref().map_or_else(|| what.to_owned(), |copy| format!("{what} to {copy}"))
}

fn add(text: &mut String, more: &str) {
    text.push_str(more);
}

/// What is started when a run fails.
pub(super) fn failed() -> Unit {
    let text = "# Made by `strongroom schedule`. A line in the journal, of priority crit, is all that it does: let it page somebody by a\n\
                # drop-in, systemctl edit strongroom-failed@.service, with an empty ExecStart= before your own.\n\
                [Unit]\nDescription=Strongroom: say that %i failed\n\n\
                [Service]\nType=oneshot\nDynamicUser=yes\n\
                ExecStart=/usr/bin/logger -p daemon.crit -t strongroom \"%i failed: see journalctl -u %i\"\n\
                ProtectHome=yes\nPrivateNetwork=yes\nIPAddressDeny=any\nRestrictNamespaces=yes\nMemoryDenyWriteExecute=yes\n\
                SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\nTimeoutStartSec=1min\n";
    let own = HARDENED.replace("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictAddressFamilies=AF_UNIX");
    Unit { name: "strongroom-failed@.service".to_owned(), text: format!("{text}{own}") }
}

/// Who runs it, for systemd-sysusers.
pub(super) fn user(name: &str) -> Unit {
    let text =
        format!("# Made by `strongroom schedule`, for /usr/lib/sysusers.d.\nu {name} - \"Strongroom\" {STATE}\n");
    Unit { name: "strongroom-sysusers.conf".to_owned(), text }
}
