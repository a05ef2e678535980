//! Where the store's credentials come from: said by the user, never discovered.
//!
//! What a tool picks up by itself, an intruder on the host picks up too. So each source has a name here, and without
//! one there are no credentials.

use std::{
    fmt, fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use zeroize::Zeroizing;

use crate::model::Time;

/// The largest credentials file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The choices, as they are shown to whoever made none or a wrong one.
const CHOICES: &str = "choose one with --credentials, `credentials` in the configuration, or STRONGROOM_CREDENTIALS:
  file:PATH      a TOML file, or one as AWS tools write it, that only its owner may read
  profile:NAME   a profile of ~/.aws
  process:CMD    a command that prints credentials as JSON (the AWS credential_process format)
  systemd:NAME   a credential that systemd passes (LoadCredential=, LoadCredentialEncrypted=)
  web-identity   the token and role that AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN name
  ambient        whatever is found: environment, ~/.aws, instance metadata";

/// Why there are no credentials. Never shows what a credentials file holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No source was chosen.
    #[error("this vault needs credentials, and none were named; {CHOICES}")]
    Missing,
    /// The text names no source.
    #[error("{0:?} is not a way to get credentials; {CHOICES}")]
    Unknown(String),
    /// The file cannot serve.
    #[error("credentials in {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// systemd passed no credentials to this process.
    #[error(
        "systemd passed no credential {0:?}: the unit needs a LoadCredential= line for it, and must be started by systemd"
    )]
    NotPassed(String),
}

/// A source of credentials, as the command line and the configuration spell it.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialsSpec {
    /// A file with one pair of keys.
    File(PathBuf),
    /// A profile of the AWS configuration files.
    Profile(String),
    /// A command that prints credentials.
    Process(String),
    /// A credential that systemd passes, in the form of a file.
    Systemd(String),
    /// A web identity token, exchanged for a role.
    WebIdentity,
    /// Whatever the SDK discovers.
    Ambient,
}

impl FromStr for CredentialsSpec {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, CredentialsError> {
        let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let spec = match text.split_once(':') {
            Some(("file", path)) => given(path).map(|path| Self::File(path.into())),
            Some(("profile", name)) => given(name).map(Self::Profile),
            Some(("process", command)) => given(command).map(Self::Process),
            Some(("systemd", name)) => given(name).filter(|name| is_file_name(name)).map(Self::Systemd),
            None if text == "web-identity" => Some(Self::WebIdentity),
            None if text == "ambient" => Some(Self::Ambient),
            _ => None,
        };
        spec.ok_or_else(|| CredentialsError::Unknown(shown(text)))
    }
}

impl CredentialsSpec {
    /// The same source, a relative path taken from `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }
}

impl fmt::Display for CredentialsSpec {
    /// The spec without a command's arguments, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Profile(name) => write!(f, "profile:{name}"),
            Self::Process(command) => write!(f, "process:{}", command.split_whitespace().next().unwrap_or_default()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::WebIdentity => f.write_str("web-identity"),
            Self::Ambient => f.write_str("ambient"),
        }
    }
}

impl fmt::Debug for CredentialsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a wrong spec may show of itself: no more than a scheme, in case somebody pasted a key.
fn shown(text: &str) -> String {
    match text.split_once(':') {
        Some((scheme, _)) if scheme.len() <= 16 => format!("{scheme}:…"),
        _ if text.len() <= 16 => text.to_owned(),
        _ => "…".to_owned(),
    }
}

fn is_file_name(name: &str) -> bool {
    !name.contains(['/', '\0']) && name != "." && name != ".."
}

/// Whether a file is one that systemd passed to this process (`LoadCredential=`). The directory is the service's alone; the
/// files' own bits and owners differ between versions of systemd.
#[must_use]
pub fn is_passed_by_systemd(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| {
        let dir = Path::new(&dir);
        dir.is_absolute() && path.parent() == Some(dir) && is_plain(path)
    })
}

/// A link may lead to a file that others can read.
fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// A pair of keys. Wiped on drop, and shown nowhere.
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// The secret access key.
    pub secret: Zeroizing<String>,
    /// The session token, if the keys belong to a session.
    pub token: Option<Zeroizing<String>>,
    /// When they end, if the file says so.
    pub expires: Option<Time>,
}

impl Keys {
    /// Reads a file of keys that nobody but its owner may read.
    ///
    /// # Errors
    /// `File`, with the reason; never with what the file holds.
    pub fn from_file(path: &Path) -> Result<Self, CredentialsError> {
        Self::read(path, !is_passed_by_systemd(path))
    }

    /// Reads the keys that systemd passed under this name.
    ///
    /// # Errors
    /// `NotPassed` or `File`.
    pub fn from_systemd(name: &str) -> Result<Self, CredentialsError> {
        let folder =
            std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| CredentialsError::NotPassed(name.to_owned()))?;
        let path = Path::new(&folder).join(name);
        if !path.exists() {
            return Err(CredentialsError::NotPassed(name.to_owned()));
        }
        // The directory is the service's alone; the files' own bits differ between versions of systemd.
        Self::read(&path, false)
    }

    fn read(path: &Path, private: bool) -> Result<Self, CredentialsError> {
        let wrong = |reason: String| CredentialsError::File { path: path.to_owned(), reason };
        let file = fs::File::open(path).map_err(|error| wrong(format!("cannot be opened: {error}")))?;
        let facts = file.metadata().map_err(|error| wrong(format!("cannot be looked at: {error}")))?;
        if !facts.is_file() {
            return Err(wrong("is not a file".to_owned()));
        }
        let mode = facts.permissions().mode();
        if private && mode & 0o077 != 0 {
            let may = mode & 0o777;
            return Err(wrong(format!(
                "others may read or change it (mode {may:03o}); run: chmod 600 {}",
                path.display()
            )));
        }
        let (owner, us) = (facts.uid(), rustix::process::geteuid().as_raw());
        if private && owner != us && owner != 0 && us != 0 {
            return Err(wrong(format!(
                "belongs to user {owner}, who may read and change it; run: chown {us} {}",
                path.display()
            )));
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(MAX_FILE).read_to_string(&mut text);
        read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(wrong)
    }

    /// Reads `key = value` lines, quoted or not, as TOML and AWS files have them; of several sections only `default`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Self { id: String::new(), secret: Zeroizing::default(), token: None, expires: None };
        let (mut ours, mut sections) = (true, 0);
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                sections += 1;
                let name = name.trim_end_matches(']').trim();
                ours = sections == 1 || name == "default";
                if sections > 1 && ours {
                    keys = Self { id: String::new(), secret: Zeroizing::default(), token: None, expires: None };
                }
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| format!("line {} is no `key = value`", at + 1))?;
            if ours {
                keys.set(name.trim(), unquoted(value)).map_err(|reason| format!("line {}: {reason}", at + 1))?;
            }
        }
        if keys.id.is_empty() || keys.secret.is_empty() {
            return Err("needs access_key_id and secret_access_key".to_owned());
        }
        Ok(keys)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.strip_prefix("aws_").unwrap_or(name) {
            "access_key_id" => value.clone_into(&mut self.id),
            "secret_access_key" => value.clone_into(&mut self.secret),
            "session_token" | "security_token" => self.token = Some(Zeroizing::new(value.to_owned())),
            "expiration" | "expires_at" => {
                self.expires = Some(value.parse().map_err(|_| format!("{name} is not a time"))?);
            }
            // AWS files hold regions and more; none of it is a credential.
            _ => {}
        }
        Ok(())
    }
}

/// A value without its quotes, or without the comment after it.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner;
        }
    }
    value.split(" #").next().unwrap_or(value).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_name() {
        for text in ["file:/x", "profile:p", "systemd:s3", "web-identity", "ambient"] {
            assert_eq!(text.parse::<CredentialsSpec>().unwrap().to_string(), text);
        }
        let process: CredentialsSpec = "process:vault read --token s3cr3t".parse().unwrap();
        assert_eq!(process, CredentialsSpec::Process("vault read --token s3cr3t".to_owned()));
        assert_eq!(format!("{process} {process:?}"), "process:vault process:vault");
        let file: CredentialsSpec = "file:w1.toml".parse().unwrap();
        assert_eq!(file.relative_to(Path::new("/etc/strongroom")).to_string(), "file:/etc/strongroom/w1.toml");
    }

    #[test]
    fn a_wrong_spec_lists_the_choices_and_does_not_repeat_a_pasted_key() {
        let pasted = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI";
        for text in ["", "file:", "profile:", "env", "ambient:x", "systemd:../x", "systemd:a/b", pasted] {
            let told = text.parse::<CredentialsSpec>().unwrap_err().to_string();
            for choice in ["file:PATH", "profile:NAME", "process:CMD", "systemd:NAME", "web-identity", "ambient"] {
                assert!(told.contains(choice), "{text}: {told}");
            }
            assert!(!told.contains("wJalr") && !told.contains("AKIA"), "{told}");
        }
        assert!(CredentialsError::Missing.to_string().contains("ambient"));
    }

    #[test]
    fn both_forms_of_file_are_read() {
        let forms = [
            "access_key_id = \"w1\"\nsecret_access_key = \"s=cr#t/+\" # the writer's\nsession_token = 'tok'\n",
            "[default]\naws_access_key_id = w1\naws_secret_access_key=s=cr#t/+\naws_session_token = tok # until noon\nregion = x\n",
            "[other]\naws_access_key_id = no\naws_secret_access_key = no\n; no\n[default]\naws_access_key_id = w1\n\
             aws_secret_access_key = s=cr#t/+\naws_session_token = tok\n[third]\naws_access_key_id = no\n",
            "[strongroom]\naccess_key_id = w1\nsecret_access_key = s=cr#t/+\nsession_token = tok\n\
             [other]\naccess_key_id = no\n",
        ];
        for form in forms {
            let keys = Keys::parse(form).map_err(|reason| panic!("{reason}: {form}")).unwrap();
            assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("w1", "s=cr#t/+"));
            assert_eq!(keys.token.as_deref().map(String::as_str), Some("tok"));
        }
        let expiring = "access_key_id = a\nsecret_access_key = b\nexpiration = 2026-11-22T21:51:00Z\n";
        assert_eq!(Keys::parse(expiring).ok().and_then(|keys| keys.expires).unwrap().unix(), 1_795_384_260);
    }

    #[test]
    fn a_bad_file_is_told_without_its_secrets() {
        for text in ["", "access_key_id = \"a\"\n", "s3cr3t\n", "secret_access_key = s3cr3t\nexpires_at = s3cr3t\n"] {
            let reason = Keys::parse(text).err().unwrap();
            assert!(!reason.contains("s3cr3t"), "{reason}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w1.toml");
        fs::write(&path, "access_key_id = a\nsecret_access_key = b\n").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = Keys::from_file(&path).err().unwrap().to_string();
            assert!(told.contains("chmod 600") && told.contains("w1.toml"), "{told}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Keys::from_file(&path).ok().unwrap().id, "a");
        assert!(Keys::from_file(dir.path()).err().unwrap().to_string().contains("not a file"));
        assert!(Keys::from_file(&dir.path().join("none")).err().unwrap().to_string().contains("none"));
    }
}
