//! What a server reads when it starts on a data directory: settings, the sign that it is to recover, and the files of its
//! configuration where the base has none.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::super::{OpsError, Result, failed, manner::Manner};
use crate::{
    ops::recover::Ending,
    source::postgres::wal::{AS_LARGE, sizes},
};

/// Where a server looks last, so that it wins.
const AUTO: &str = "postgresql.auto.conf";
const MAIN: &str = "postgresql.conf";
/// The largest configuration that is changed.
const LIMIT: u64 = 16 << 20;
/// Settings of a recovery: no other may stand beside ours, since a server refuses two points.
const RECOVERY: [&str; 8] = [
    "recovery_target",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "recovery_target_action",
];
/// Before it recovers, a server makes each file of its data directory durable, one after the other: seconds for thousands of
/// them. From this version on it can be told to ask the system once for all of them.
const AT_ONCE: (u32, &str) = (14, "recovery_init_sync_method");
/// What is written where the base has no configuration, since Debian and others keep it elsewhere.
const NONE: &str = "# Made by strongroom: the base has no configuration, since its server keeps that elsewhere. A server that\n\
                    # recovers wants these as large as its origin's. Bring the rest of your configuration here.\n";
const RULES: &str = "# Made by strongroom, for the recovery: only the user who runs the server, through its socket.\nlocal all all peer\n";
/// What frames our lines.
const BEGIN: &str = "# strongroom: recovery settings. Once the server is promoted, take these lines out and restart it: archive_mode\n\
                     # strongroom: is off until then. The log is in pg_wal, unless restore_command asks for it.\n";
const END: &str = "# strongroom: end of the recovery settings\n";

/// Writes all of it. Without settings, nothing but the files of a configuration that the base has not.
pub(super) fn write(data: &Path, ending: &Ending) -> Result<()> {
    // The links are there already, and lead to where the tablespaces are now.
    remove(&data.join("tablespace_map"))?;
    configure(data, ending)?;
    if ending.settings.is_empty() {
        return Ok(());
    }
    let ours: Vec<&str> = ending.settings.iter().map(|(name, _)| *name).chain(RECOVERY).chain([AT_ONCE.1]).collect();
    let auto = data.join(AUTO);
    let old = if fs::symlink_metadata(&auto).is_ok() { read(&auto)? } else { Vec::new() };
    let mut text = without(&old, &ours).unwrap_or(old);
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(BEGIN.as_bytes());
    for (name, value) in &ending.settings {
        text.extend_from_slice(format!("{name} = {}\n", quoted(value)).as_bytes());
    }
    if syncs_at_once(data) {
        text.extend_from_slice(format!("{} = 'syncfs'\n", AT_ONCE.1).as_bytes());
    }
    text.extend_from_slice(END.as_bytes());
    replace(&auto, &text)?;
    replace(&data.join("recovery.signal"), b"")
}

/// What can't stand beside our settings goes, and what the base has none of is made.
fn configure(data: &Path, ending: &Ending) -> Result<()> {
    let main = data.join(MAIN);
    if fs::symlink_metadata(&main).is_ok() && ending.settings.is_empty() {
        // As it was copied.
    } else if fs::symlink_metadata(&main).is_ok() {
        let text = read(&main)?;
        // Of the main file only what can't stand beside ours: all else ours overrides.
        if let Some(changed) = without(&text, &RECOVERY) {
            replace(&main, &changed)?;
        }
    } else {
        let mut text = NONE.to_owned();
        for name in AS_LARGE {
            if let Some(value) =
                ending.base.settings.get(name).filter(|value| value.bytes().all(|b| b.is_ascii_digit()))
            {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        for (name, megabytes) in sizes(ending.base.segment) {
            let _ = writeln!(text, "{name} = {megabytes}MB");
        }
        if let Some(value) = ending.base.settings.get("shared_preload_libraries").filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "# The origin had: shared_preload_libraries = {}", quoted(value));
        }
        replace(&main, text.as_bytes())?;
    }
    for (name, text) in [("pg_hba.conf", RULES), ("pg_ident.conf", "# Made by strongroom.\n")] {
        let path = data.join(name);
        if fs::symlink_metadata(&path).is_err() {
            replace(&path, text.as_bytes())?;
        }
    }
    Ok(())
}

/// Whether a server of this version can, and the system would tell it of what could not be written.
fn syncs_at_once(data: &Path) -> bool {
    let version = read(&data.join("PG_VERSION")).ok().and_then(|text| String::from_utf8(text).ok());
    let knows = version.and_then(|text| text.trim().parse().ok()).is_some_and(|major: u32| major >= AT_ONCE.0);
    knows && File::open(data).is_ok_and(|dir| Manner::of(&dir.into()).together)
}

/// A text without the lines that set any of `names`; nothing if it has none.
fn without(text: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let sets = |line: &[u8]| {
        let line = line.trim_ascii_start();
        let end =
            line.iter().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'_' | b'.')).unwrap_or(line.len());
        let name = line.get(..end).unwrap_or_default();
        names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
            || line.starts_with(b"# strongroom: ")
            // As an earlier version had it.
            || line.starts_with(b"# is off until then. Then remove")
    };
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let kept: Vec<&[u8]> = lines.iter().copied().filter(|line| !sets(line)).collect();
    (kept.len() < lines.len()).then(|| kept.concat())
}

/// A value as the server's files have it.
fn quoted(value: &str) -> String {
    let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", plain.replace('\\', "\\\\").replace('\'', "''"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let meta = fs::symlink_metadata(path).map_err(|e| failed("can't look at", path, e))?;
    if !meta.is_file() || meta.len() > LIMIT {
        return Err(OpsError::UnsafePath {
            path: path.display().to_string(),
            why: "is not a configuration of a server",
        });
    }
    fs::read(path).map_err(|e| failed("can't read", path, e))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("can't remove", path, e)),
        _ => Ok(()),
    }
}

/// Writes a file anew, for its owner alone.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    remove(path)?;
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(bytes)).map_err(|e| failed("can't write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_earlier_recovery_go_and_all_others_stay() {
        let text = b"# a\nrecovery_target_xid = '5'\n  Recovery_Target='immediate' # x\nrecovery_target_xid_x = 1\nwork_mem = '4MB'";
        let kept = without(text, &RECOVERY).unwrap();
        assert_eq!(kept, b"# a\nrecovery_target_xid_x = 1\nwork_mem = '4MB'");
        assert_eq!(without(&kept, &RECOVERY), None);
        let framed = [BEGIN, "restore_command = 'x'\n", END].concat();
        assert_eq!(without(framed.as_bytes(), &["restore_command"]).unwrap(), b"");
        assert_eq!(quoted("a'b\\c\n"), "'a''b\\\\c '");
    }

    #[test]
    fn only_a_server_that_knows_of_it_is_told_to_sync_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let told = |version: &str| {
            fs::write(dir.path().join("PG_VERSION"), version).unwrap();
            syncs_at_once(dir.path())
        };
        assert!(!told("13\n") && !told("9.6\n") && !told("x"));
        assert_eq!(told("14\n"), Manner::of(&File::open(dir.path()).unwrap().into()).together);
    }
}
