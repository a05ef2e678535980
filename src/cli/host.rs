//! What `doctor` looks at on the host itself: who can read the files that hold keys, and whether an identity lies here.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::{
    error::CliError,
    hunt, identity,
    settings::{Settings, real_env},
    sources, wiring,
};
use crate::{
    model::size,
    ops::doctor::{Check, Role, hunt::Judge},
    source::{
        scratch::{self, Scratch},
        spool,
    },
    store::credentials::CredentialsSpec,
};

/// Looks at the files that the settings name.
///
/// # Errors
/// If a directory can't be listed.
pub fn check(settings: &Settings, role: Role) -> Result<Vec<Check>, CliError> {
    let mut checks = Vec::new();
    if let Some(config) = &settings.config {
        checks.push(file("config-file", &config.path, 0o022, "change"));
    }
    if let Some(writer) =
        settings.config.as_ref().and_then(|config| config.writer.as_ref()).filter(|_| role == Role::Writer)
    {
        checks.push(file("writer-key-file", &writer.key, 0o077, "read or change"));
        if writer.state.exists() {
            checks.push(file("state-folder", &writer.state, 0o022, "change"));
        }
    }
    if let Some(member) = settings.config.as_ref().and_then(|config| config.member.as_ref()) {
        checks.push(file("member-key-file", &member.key, 0o077, "read or change"));
    }
    match settings.credentials() {
        Some(CredentialsSpec::File(path)) => checks.push(file("credentials-file", path, 0o077, "read or change")),
        Some(CredentialsSpec::Ambient) => checks.push(Check::failed(
            "credentials-source",
            "the credentials are ambient: what this tool picks up by itself, whoever breaks into this host picks up too. \
             Name a file that only the writer's user reads, or systemd:NAME",
        )),
        Some(other) => checks.push(Check::ok("credentials-source", format!("{other} was named, nothing is discovered"))),
        None => {}
    }
    if role == Role::Writer {
        checks.push(identities(settings)?);
    }
    Ok(checks)
}

/// Whether only its owner, who is this user or root, can do to a file what `bits` stand for.
fn file(name: &'static str, path: &Path, bits: u32, does: &str) -> Check {
    let shown = path.display();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return Check::could_not_run(name, format!("{shown}: {error}")).must(),
    };
    let (mode, owner, us) = (meta.mode() & 0o7777, meta.uid(), rustix::process::geteuid().as_raw());
    if mode & bits != 0 {
        let safe = mode & !bits;
        return Check::failed(
            name,
            format!("others can {does} {shown} (its mode is {mode:04o}): chmod {safe:o} {shown}"),
        );
    }
    if owner != us && owner != 0 {
        let detail =
            format!("{shown} belongs to user {owner}, who can {does} it, and this is user {us}: chown {us} {shown}");
        return Check::failed(name, detail);
    }
    Check::ok(name, format!("{shown} has mode {mode:04o} and belongs to user {owner}"))
}

/// Whether a backup finds room, and may write, where it keeps its memory and what it works with.
#[must_use]
pub fn room(state: &Path) -> Vec<Check> {
    let shown = state.display();
    // What is not there yet is made below what is.
    let there = state.ancestors().find(|path| path.exists()).unwrap_or(state);
    let may = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK);
    let of_state = match (may, scratch::free(there)) {
        (Ok(()), Ok(free)) => enough("state-room", &format!("{shown} has"), free),
        (Err(error), _) => Check::failed(
            "state-room",
            format!("{shown} can't be written to by this user: {error}. `state` in [writer] names the directory"),
        ),
        (_, Err(error)) => Check::could_not_run("state-room", format!("{shown}: {error}")).must(),
    };
    let of_scratch = match Scratch::new().and_then(|scratch| scratch.free()) {
        Ok(free) => enough("scratch-room", &format!("{} has", std::env::temp_dir().display()), free),
        Err(error) => Check::failed("scratch-room", format!("{error}; TMPDIR names the directory")),
    };
    vec![of_state, of_scratch]
}

/// How far a dump may run ahead of the backup of it, which may be less than asked for and is no fault.
#[must_use]
pub fn spool(state: &Path, most: u64) -> Option<Check> {
    let dir = state.join(sources::SPOOLS);
    if most == 0 {
        return None;
    }
    Some(match spool::room(&dir) {
        Ok((room, left)) => Check::ok(
            "spool-room",
            format!(
                "up to {} of a dump can be buffered in {} (limit {}; {} of the disk stay free); beyond that a dump is slowed to the backup's speed",
                size::human(room.min(most)),
                dir.display(),
                size::human(most),
                size::human(left)
            ),
        ),
        Err(error) => Check::could_not_run("spool-room", format!("{}: {error}", dir.display())).must(),
    })
}

fn enough(name: &'static str, has: &str, free: u64) -> Check {
    const LEAST: u64 = 64 << 20;
    let told = format!("{has} {} free", size::human(free));
    if free < LEAST { Check::failed(name, format!("{told}, which is too little")) } else { Check::ok(name, told) }
}

/// What an agent can do to a vault in a directory on its own host.
#[must_use]
pub fn directory_as_agent(path: &Path) -> Vec<Check> {
    use rustix::io::Errno;
    let tries =
        [("directory-read", Access::READ_OK, "read"), ("directory-write", Access::WRITE_OK, "change and delete in")];
    let check = |(name, access, does): (&'static str, Access, &str)| match rustix::fs::access(path, access) {
        Ok(()) => Check::allowed(
            name,
            format!("this user can {does} {}: keep the vault where production has no right", path.display()),
        ),
        Err(error @ (Errno::ACCESS | Errno::NOENT | Errno::ROFS | Errno::PERM)) => {
            Check::refused(name, format!("{}: {error}", path.display()))
        }
        Err(error) => Check::could_not_run(name, format!("{}: {error}", path.display())),
    };
    tries.into_iter().map(|tried| check(tried).must()).collect()
}

/// The record of the epoch that the configured writer seals to, as its key file has it.
#[must_use]
pub fn sealed_epoch(settings: &Settings) -> Vec<Vec<u8>> {
    let config = settings.config.as_ref().and_then(|config| config.writer.as_ref());
    let writer = config.and_then(|config| wiring::writer(config).ok());
    writer.and_then(|writer| writer.epoch.sealed().ok()).into_iter().collect()
}

/// A writer's host is to hold nothing that opens the backups.
fn identities(settings: &Settings) -> Result<Check, CliError> {
    const NAME: &str = "no-identity-here";
    if real_env("STRONGROOM_IDENTITY").is_some() {
        let detail = "STRONGROOM_IDENTITY is set: whoever takes this host can read every backup. Unset it here";
        return Ok(Check::failed(NAME, detail));
    }
    let config = settings.config.as_ref();
    let mut folders: Vec<PathBuf> = config.map(|config| config.dir().to_owned()).into_iter().collect();
    folders.extend(config.and_then(|config| config.writer.as_ref()).map(|writer| writer.state.clone()));
    folders.extend(real_env("HOME").into_iter().flat_map(|home| {
        let home = PathBuf::from(home);
        [home.join(".config/age"), home.join(".config/strongroom"), home.join(".age")]
    }));
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        if let Some(path) = identity::lying_in(folder, &config.map(wiring::app_keys).unwrap_or_default())? {
            let detail = format!(
                "{} opens the backups: whoever takes this host can read them all. Move it away",
                path.display()
            );
            return Ok(Check::failed(NAME, detail));
        }
    }
    // What a person's ssh key is for, only the vault's records tell.
    let judge = Judge::new(sealed_epoch(settings));
    let home = real_env("HOME").map(PathBuf::from);
    for folder in folders.iter().cloned().chain(home.into_iter().flat_map(|home| [home.join(".ssh"), home])) {
        if let Some(path) = hunt::opening_in(&folder, &judge) {
            let writers = config.and_then(|config| config.writer.as_ref()).is_some_and(|writer| writer.key == path);
            if !writers {
                let detail = format!(
                    "{} opens the backups: whoever takes this host can read them all. Move it away, or make a vault for \
                     another recipient",
                    path.display()
                );
                return Ok(Check::failed(NAME, detail));
            }
        }
    }
    let looked: Vec<String> =
        folders.iter().filter(|f| f.is_dir()).map(|folder| folder.display().to_string()).collect();
    Ok(Check::ok(
        NAME,
        format!("no identity in {}, nor an ssh key that opens the backups in ~/.ssh", looked.join(", ")),
    ))
}
