//! Checks that are commands of whoever runs the drill.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::{
    EngineError, Place, Reach, Result,
    jail::{Jail, Way},
    watchdog::Watchdog,
};
use crate::source::{child::Running, redact::Known};

/// The most that is kept of what a command writes.
const OUTPUT: u64 = 64 << 10;

/// Runs `argv` in `dir`, which it is given, with `access` as its environment, and gives what it writes, without blanks
/// around it. It is confined as engines are, and reaches what it must to ask the engine; files below the configuration's
/// directory that it names by their absolute paths it can read.
///
/// # Errors
/// If it can't be started, fails, or has not ended after `timeout`; if it names what it must not be shown.
pub fn run(
    place: &Place,
    argv: &[String],
    dir: &Path,
    (reach, access): (Reach, &[(String, String)]),
    timeout: Duration,
) -> Result<String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(EngineError::new("no command was given", "check"));
    };
    let jail = Jail::new(&place.warden, &place.dir)?;
    let way = match reach {
        Reach::Nothing => Way::Server,
        Reach::Lent => Way::Network,
        Reach::Socket if place.warden.hides_sockets() => Way::Client,
        Reach::Socket => {
            let what = "was not run: to reach the drill's server it would have to be let to every socket of this host. Use \
                        a check with `sql`, or a host with namespaces or Linux 7.1; or say --unconfined";
            return Err(EngineError::new(what, program));
        }
    };
    let mut reads = if place.warden.own_program().is_some() {
        place.allowed.reads(arguments, &[dir, &place.dir])?
    } else {
        Vec::new()
    };
    if reach == Reach::Lent {
        reads.extend(of_lender(access, &place.dir));
    }
    let mut command = jail.command(way, &reads, dir)?.command(Path::new(program));
    command.args(arguments).current_dir(dir).env("HOME", dir).env("LC_ALL", "C.UTF-8");
    command.envs(access.iter().map(|(name, value)| (name, value))).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut known = Known::default();
    for (name, value) in access {
        known.add_variable(OsStr::new(name), OsStr::new(value));
    }
    let mut running = Running::start(&mut command, program, known)?;
    let mut out = running.stdout()?;
    let alive = running.alive();
    let watchdog = Watchdog::start(timeout, move || alive.stop());
    let mut text = Vec::new();
    let read =
        out.by_ref().take(OUTPUT).read_to_end(&mut text).and_then(|_| std::io::copy(&mut out, &mut std::io::sink()));
    running.wait_for_end();
    watchdog.call_off(program)?;
    read.map_err(|e| EngineError::new(format!("can't be read: {e}"), program))?;
    running.finish()?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Where a lent server's passwords, certificates and socket are: what `access` names, and what the file of options names
/// that the drill wrote into `home`.
fn of_lender(access: &[(String, String)], home: &Path) -> Vec<PathBuf> {
    let mut values: Vec<String> = access.iter().map(|(_, value)| value.clone()).collect();
    for options in access.iter().map(|(_, value)| Path::new(value)).filter(|path| path.starts_with(home)) {
        let text = std::fs::read_to_string(options).unwrap_or_default();
        let named = text.lines().filter_map(|line| line.split_once('='));
        values.extend(named.map(|(_, value)| value.trim().trim_matches('"').to_owned()));
    }
    values.into_iter().map(PathBuf::from).filter(|path| path.is_absolute() && path.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What confines is tested through the program.
    fn place(dir: &Path) -> Place {
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(dir, all).unwrap();
        Place { dir: dir.join("engine"), ..Place::default() }
    }

    fn sh(script: &str) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let argv = ["sh", "-c", script].map(str::to_owned);
        let access = [("WHERE".to_owned(), "there".to_owned())];
        run(&place(dir.path()), &argv, dir.path(), (Reach::Nothing, &access), Duration::from_secs(5))
    }

    #[test]
    fn a_command_tells_by_its_exit_status() {
        assert_eq!(sh("echo \" $WHERE \"").unwrap(), "there");
        assert!(sh("echo no; echo because >&2; exit 3").unwrap_err().to_string().contains("because"));
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(
            run(&place, &["no-such-program".to_owned()], dir.path(), (Reach::Nothing, &[]), Duration::from_secs(5))
                .is_err()
        );
        let argv = ["sleep", "1000"].map(str::to_owned);
        let late = run(&place, &argv, dir.path(), (Reach::Nothing, &[]), Duration::from_millis(50)).unwrap_err();
        assert!(late.to_string().contains("had not ended"));
    }
}
