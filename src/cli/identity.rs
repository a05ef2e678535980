//! Identities: what opens the backups, from wherever it is kept.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{error::CliError, prompt::Terminal, secrets, settings::Env};
use crate::{
    codec::seal::{Opener, is_encrypted, pin_comments, unlocked},
    ops::Pin,
};

/// The variable that holds an identity or the path of one.
const VARIABLE: &str = "STRONGROOM_IDENTITY";
/// How every X25519 identity begins.
const AGE: &str = "AGE-SECRET-KEY-";
/// How much of a file is looked at for an identity, in bytes.
const LOOK: u64 = 64 << 10;

/// Identities that were read.
pub struct Identities {
    /// Opens what was sealed to any of them.
    pub opener: Opener,
    /// The vaults that they name.
    pub pins: Vec<Pin>,
}

/// Reads the identities that were typed, or else the one in the environment; `None` if there is none.
///
/// # Errors
/// If one can't be read, is none, or others can read it.
pub fn load(typed: &[OsString], env: Env<'_>) -> Result<Option<Identities>, CliError> {
    let mut texts = Vec::new();
    for given in typed {
        texts.push(typed_one(given)?);
    }
    if typed.is_empty()
        && let Some(value) = env(VARIABLE)
    {
        texts.push(from_variable(value)?);
    }
    if texts.is_empty() {
        return Ok(None);
    }
    let (mut openers, mut pins) = (Vec::new(), Vec::new());
    for (origin, text) in texts {
        let ids = pin_comments(&text).map_err(CliError::Identity)?;
        if !ids.is_empty() {
            pins.push(Pin { ids, origin: origin.clone() });
        }
        let opener = Opener::from_identity_text(&text, &origin, Arc::new(Terminal));
        openers.push(opener.map_err(CliError::Identity)?);
    }
    Ok(Some(Identities { opener: Opener::merge(openers), pins }))
}

type Text = (String, Zeroizing<String>);

fn typed_one(given: &OsStr) -> Result<Text, CliError> {
    if given.to_string_lossy().trim_start().starts_with(AGE) {
        let hint = format!(
            "everybody on this machine can see a command's arguments, so this identity is not secret any more. Put it \
             into a file of mode 0600, or into {VARIABLE}"
        );
        return Err(CliError::usage("--identity takes a path, not the identity itself", hint));
    }
    if given == "-" {
        let failed =
            |source| CliError::Io { what: "can't read an identity from", path: "standard input".into(), source };
        let bytes = secrets::bounded(io::stdin().lock()).map_err(failed)?;
        return named("the identity from standard input".to_owned(), &bytes);
    }
    from_file(Path::new(given))
}

fn from_file(path: &Path) -> Result<Text, CliError> {
    let bytes = secrets::read(path, "can't read the identity")?;
    named(format!("the identity {}", path.display()), &bytes)
}

/// The text of an identity; the passphrase of one that has one is asked for at the terminal.
fn named(origin: String, bytes: &[u8]) -> Result<Text, CliError> {
    let text = if is_encrypted(bytes) {
        utf8(&unlocked(bytes, &origin, &Terminal).map_err(CliError::Identity)?, &origin)?
    } else {
        utf8(bytes, &origin)?
    };
    Ok((origin, text))
}

fn from_variable(value: OsString) -> Result<Text, CliError> {
    let text = Zeroizing::new(value.to_string_lossy().into_owned());
    if is_encrypted(text.as_bytes()) {
        return named(VARIABLE.to_owned(), text.as_bytes());
    }
    if text.contains(AGE) || text.contains("PRIVATE KEY") || text.contains("AGE-PLUGIN-") {
        return Ok((VARIABLE.to_owned(), text));
    }
    from_file(&PathBuf::from(value))
}

fn utf8(bytes: &[u8], origin: &str) -> Result<Zeroizing<String>, CliError> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let hint = "give the identity that the backups were sealed to: AGE-SECRET-KEY-1…, or an ssh private key";
        CliError::usage(format!("{origin} is not text, so it holds no identity"), hint)
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The first file in `dir` that holds an identity as a person would keep one. The writer's own key does not count: what
/// it holds opens no backup; nor do `others`, private keys that the configuration names for another use.
///
/// # Errors
/// If the directory can't be listed.
pub fn lying_in(dir: &Path, others: &[&Path]) -> Result<Option<PathBuf>, CliError> {
    let failed = |source| CliError::Io { what: "can't list", path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let other = others.contains(&entry.path().as_path());
        if !other && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths.into_iter().find(|path| holds_identity(path)))
}

fn holds_identity(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    let Ok(bytes) = secrets::bounded(io::Read::take(file, LOOK)) else { return false };
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.any(|line| {
        let ssh = line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----");
        ssh || line.starts_with(AGE.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::seal::generate_identity;

    #[test]
    fn an_identity_is_never_taken_from_the_command_line() {
        let (identity, _) = generate_identity();
        let error = load(&[identity.expose().into()], &|_| None).err().unwrap();
        assert!(!error.to_string().contains(AGE), "{error}");
        assert!(load(&[], &|_| None).unwrap().is_none());
    }

    #[test]
    fn the_environment_holds_an_identity_or_its_path() {
        let (identity, _) = generate_identity();
        let id = "44".repeat(32);
        let text = format!("# strongroom-vault: {id}\n{}\n", identity.expose());
        let found = load(&[], &|_| Some(text.clone().into())).unwrap().unwrap();
        assert_eq!(found.pins[0].ids[0].to_string(), id);
        assert_eq!(found.pins[0].origin, VARIABLE);
        let error = load(&[], &|_| Some("/no/such/file".into())).err().unwrap();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[test]
    fn identities_are_found_and_the_writers_key_is_not_one() {
        let dir = tempfile::tempdir().unwrap();
        let (identity, _) = generate_identity();
        let key = format!("{{\n  \"catalog_identity\": \"{}\"\n}}", identity.expose());
        fs::write(dir.path().join("writer.key"), key).unwrap();
        assert_eq!(lying_in(dir.path(), &[]).unwrap(), None);
        let path = dir.path().join("zz");
        fs::write(&path, format!("# mine\n  {}\n", identity.expose())).unwrap();
        assert_eq!(lying_in(dir.path(), &[]).unwrap(), Some(path.clone()));
        fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n").unwrap();
        assert_eq!(lying_in(dir.path(), &[&path]).unwrap(), None, "one that is named for another use");
        assert_eq!(lying_in(dir.path(), &[]).unwrap(), Some(path));
    }
}
