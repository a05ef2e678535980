//! A cluster that was laid out for a recovery: it goes through its log to the point, in the jail, and is asked how far it came.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;

use super::{
    super::{Check, Cluster, EngineError, Result, Status, jail::Jail},
    Up,
};
use crate::source::{child::Running, postgres::Session, redact::Known};

/// What was made for the recovery and what the manifest can't know.
const MADE: [&str; 4] = ["tablespace_map", "postgresql.conf", "pg_hba.conf", "pg_ident.conf"];
/// Settings that say where a recovery stops. The others name programs, and nothing is started here but the server.
const STOPS: &str = "recovery_target";

/// Moves the cluster to where the engine works. It was unpacked by strongroom itself, with no link in it but those of
/// tablespaces, which are laid anew.
pub(super) fn settle(cluster: &Cluster, (home, jail, bin): (&Path, &mut Jail, &Path)) -> Result<(PathBuf, Check)> {
    let data = home.join("data");
    later(cluster, jail)?;
    let moved = |from: &Path, to: &Path| fs::rename(from, to).map_err(|e| EngineError::at("can't move", from, e));
    moved(&cluster.data, &data)?;
    for entry in fs::read_dir(&cluster.tablespaces).into_iter().flatten().flatten() {
        let (oid, link) = (entry.file_name(), data.join("pg_tblspc").join(entry.file_name()));
        let to = home.join(format!("tablespace-{}", oid.to_string_lossy()));
        moved(&entry.path(), &to)?;
        let laid = fs::remove_file(&link).and_then(|()| symlink(&to, &link));
        laid.map_err(|e| EngineError::at("can't lay the link", &link, e))?;
        private(jail, &to)?;
    }
    private(jail, &data)?;
    let mut verify = jail.tools(&[])?.command(&bin.join("pg_verifybackup"));
    for made in MADE {
        verify.arg("-i").arg(made);
    }
    verify.arg(&data).stdout(Stdio::null());
    let verified = Running::start(&mut verify, "pg_verifybackup", Known::default())?.finish();
    let told = verified.map(|()| "as its manifest says".to_owned()).map_err(Into::into);
    Ok((data, Check::done("pg_verifybackup", told)))
}

/// Gives tablespaces that the log makes a place where the server finds it: the log says where they are. Elsewhere than in the jail they
/// could be those of a server that works.
fn later(cluster: &Cluster, jail: &mut Jail) -> Result<()> {
    for (oid, path) in &cluster.later {
        let place = Path::new(path);
        let plain = place.is_absolute()
            && place.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let to = jail.make(&format!("made-{oid}"))?;
        if !plain || !jail.link(place, &to) {
            let what = "the log makes a tablespace here, and a drill goes there only within namespaces of its own: allow them, or take a new \
                        base, which has it";
            return Err(EngineError::new(what, path.clone()));
        }
    }
    Ok(())
}

/// Hands a directory over to the server, which wants it for itself alone.
fn private(jail: &Jail, dir: &Path) -> Result<()> {
    jail.give_all(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|e| EngineError::at("can't change", dir, e))
}

/// The lines of a server's configuration that make it recover from its own directory of log, and be open after that.
pub(super) fn lines(cluster: &Cluster) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "''");
    let stops = cluster.settings.iter().filter(|(name, _)| name.starts_with(STOPS));
    let lines: Vec<String> = stops.map(|(name, value)| format!("{name} = '{}'\n", quoted(value))).collect();
    let lines = lines.concat();
    // Nobody asks it before it is there, so it need not be as large as its origin was.
    format!("{lines}hot_standby = off\n")
}

/// How far it came.
pub(super) fn came(up: &Up, cluster: &Cluster) -> Vec<Check> {
    #[derive(Deserialize)]
    struct Came {
        at: Option<String>,
        status: Option<String>,
    }
    let mut ask = "'status', null".to_owned();
    if let Some(xid) = cluster.last_xid {
        // The newest of that number that there was.
        ask = format!(
            "'status', (select pg_xact_status((of - case when of > newest then 4294967296 else 0 end)::text::xid8) from \
             (select newest, newest / 4294967296 * 4294967296 + {xid} as of from \
             (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest) now) lifted)"
        );
    }
    let ask = format!("select json_build_object('at', pg_last_wal_replay_lsn()::text, {ask})");
    let mut checks = Vec::new();
    if let Some((from, to)) = &cluster.gap {
        let to = to.as_deref().unwrap_or("its end");
        checks.push(Check {
            name: "log without a gap".to_owned(),
            expected: Some("none".to_owned()),
            actual: Some(format!("missing or damaged from {from} to {to}")),
            status: Status::Fail,
        });
    }
    let name = "recovered to the end of its log";
    let came: Result<Came> = Session::open(&up.psql, &up.info, None)
        .and_then(|mut session| session.one("ask how far it came", &ask))
        .map_err(Into::into);
    let Came { at, status } = match came {
        Ok(came) => came,
        Err(error) => {
            checks.push(Check::error(name, error.to_string()));
            return checks;
        }
    };
    let reached = match (&cluster.stop, &at) {
        (Some(stop), Some(at)) => position(at) >= position(stop),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let there = cluster.last_xid.is_none() || status.as_deref() == Some("committed");
    let last = cluster
        .last_xid
        .map_or_else(String::new, |xid| format!(", transaction {xid} {}", status.as_deref().unwrap_or("unknown")));
    let told = format!("at {}{last}", at.as_deref().unwrap_or("no position"));
    checks.push(Check {
        name: name.to_owned(),
        expected: cluster
            .stop
            .as_ref()
            .map(|stop| format!("at {stop} or behind it, with the last transaction before it")),
        actual: Some(told),
        status: if reached && there { Status::Pass } else { Status::Fail },
    });
    checks
}

fn position(text: &str) -> Option<u64> {
    crate::model::journal::Position::from_lsn(text).ok().map(|at| at.0)
}
