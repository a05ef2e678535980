//! The files that `init` and `member add` leave with people. They are written under other names first, get their own right before the
//! vault comes to be, and are taken back if it does not.

use std::{
    borrow::Cow,
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use zeroize::Zeroizing;

use super::{error::CliError, shell};
use crate::{
    format::certificate::Role,
    model::{Name, Span, VaultId},
    ops::{init::Prepared, member::NewMember},
    store::s3::Checksum,
    vault::Vault,
};

/// The configuration for the writer.
pub const CONFIG: &str = "strongroom.toml";
/// The writer's key.
pub const WRITER_KEY: &str = "writer.key";
/// The identity that opens the backups.
pub const RECOVERY_KEY: &str = "recovery.key";
/// What to do at three in the morning.
pub const RECOVERY_KIT: &str = "recovery-kit.txt";

/// How a vault in a bucket is reached.
pub struct Access {
    /// The server, if it is not AWS.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether the bucket's name goes into the path.
    pub path_style: bool,
    /// What puts send along for the server to verify.
    pub checksum: Checksum,
    /// Whether the server has conditional puts.
    pub conditional_put: bool,
    /// Where the writer, or another member, gets its credentials, as it was typed.
    pub member: Option<String>,
}

impl Access {
    /// The lines of `[vault]`.
    fn config(&self) -> String {
        let line = |key: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!("{key} = {}\n", quoted(value)))
        };
        let style = if self.path_style { "path_style = true\n" } else { "" };
        let credentials = match &self.member {
            Some(spec) => format!("credentials = {}\n", quoted(spec)),
            None => "# Where its own credentials come from, never the owner's: file:PATH, profile:NAME, \
                     process:CMD,\n# systemd:NAME, web-identity or ambient.\n# credentials = \"file:writer-s3.toml\"\n"
                .to_owned(),
        };
        let usual = Checksum::default();
        let checksum = line("checksum", &(self.checksum != usual).then(|| self.checksum.to_string()));
        let condition = if self.conditional_put { "" } else { "conditional_put = false\n" };
        let (endpoint, region) = (line("endpoint", &self.endpoint), line("region", &self.region));
        format!("{endpoint}{region}{style}{checksum}{condition}{credentials}")
    }

    /// The options of a reader.
    fn options(&self) -> String {
        let option = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!(" {name} '{}'", value.replace('\'', "'\\''")))
        };
        let style = if self.path_style { " --path-style" } else { "" };
        let (endpoint, region) = (option("--endpoint", &self.endpoint), option("--region", &self.region));
        format!(" \\\n        --credentials file:READER.toml{endpoint}{region}{style}")
    }
}

/// A file to leave.
pub struct NewFile {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its text.
    pub text: Zeroizing<Vec<u8>>,
}

/// Files that are on the disk under other names.
pub struct Staged {
    /// Where they are now, where they will be, and whether they are.
    files: Vec<(PathBuf, PathBuf, bool)>,
    kept: bool,
}

/// Fails if any of `names` is in `dir` already.
///
/// # Errors
/// `FileExists`.
pub fn must_be_free(dir: &Path, names: &[&str]) -> Result<(), CliError> {
    match names.iter().map(|name| dir.join(name)).find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(CliError::FileExists { path }),
        None => Ok(()),
    }
}

impl Staged {
    /// Writes `files` into `dir`, which is made if it is missing, readable by their owner alone.
    ///
    /// # Errors
    /// If one can't be written. Then none is left.
    pub fn write(dir: &Path, files: &[NewFile]) -> Result<Self, CliError> {
        let failed = |source| CliError::Io { what: "can't make", path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mut staged = Self { files: Vec::new(), kept: false };
        for file in files {
            let to = dir.join(&*file.name);
            let from = dir.join(format!(".{}.{}", file.name, std::process::id()));
            let failed = |source| CliError::Io { what: "can't write", path: to.clone(), source };
            let mut out = File::options().write(true).create_new(true).mode(0o600).open(&from).map_err(failed)?;
            staged.files.push((from, to.clone(), false));
            out.write_all(&file.text).and_then(|()| out.sync_all()).map_err(failed)?;
        }
        Ok(staged)
    }

    /// Gives the files their names, replacing nothing.
    ///
    /// # Errors
    /// If a name is taken or can't be given. Then no file is left.
    pub fn place(&mut self) -> Result<(), CliError> {
        for (from, to, placed) in &mut self.files {
            rename_new(from, to).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => CliError::FileExists { path: to.clone() },
                _ => CliError::Io { what: "can't write", path: to.clone(), source },
            })?;
            *placed = true;
        }
        if let Some(dir) = self.files.first().and_then(|(_, to, _)| to.parent()) {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(|source| CliError::Io { what: "can't write to", path: dir.to_owned(), source })?;
        }
        Ok(())
    }

    /// Leaves the files for good; returns where they are.
    #[must_use]
    pub fn keep(mut self) -> Vec<PathBuf> {
        self.kept = true;
        self.files.iter().map(|(_, to, _)| to.clone()).collect()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (from, to, placed) in &self.files {
            let _ = fs::remove_file(from);
            if *placed && !self.kept {
                let _ = fs::remove_file(to);
            }
        }
    }
}

/// Renames without replacing.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems know no such renaming; a second link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(from, to) {
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP)) => {
                claim(from, to)
            }
            other => other,
        },
        other => Ok(other?),
    }
}

/// Renames where there are no links either: the name is taken first, by an empty file, which fails if anything has it.
fn claim(from: &Path, to: &Path) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(0o600).open(to)?;
    fs::rename(from, to).inspect_err(|_| drop(fs::remove_file(to)))
}

/// What the files of a new vault say.
#[must_use]
pub fn files(prepared: &Prepared, url: &str, keep: Span, access: Option<&Access>) -> Vec<NewFile> {
    let (vault, made) = (prepared.vault_id(), prepared.recovery.is_some());
    let whose = Whose { vault, name: prepared.writer(), role: Role::Writer, key: WRITER_KEY, keep };
    let mut files = vec![
        NewFile { name: WRITER_KEY.into(), text: prepared.writer_key.clone() },
        NewFile { name: CONFIG.into(), text: config(&whose, url, access).into_bytes().into() },
        NewFile {
            name: RECOVERY_KIT.into(),
            text: kit(vault, url, &prepared.owners, made, access).into_bytes().into(),
        },
    ];
    if let Some(identity) = &prepared.recovery {
        let owner = prepared.owners.first().map_or("", String::as_str);
        let text = Zeroizing::new(format!(
            "# created: {}\n# public key: {owner}\n# strongroom-vault: {vault}\n{}\n",
            prepared.at(),
            identity.expose()
        ));
        files.push(NewFile { name: RECOVERY_KEY.into(), text: Zeroizing::new(text.as_bytes().to_vec()) });
    }
    files
}

/// The names of the files of a new vault.
#[must_use]
pub fn names(recovery: bool) -> Vec<&'static str> {
    let mut names = vec![WRITER_KEY, CONFIG, RECOVERY_KIT];
    names.extend(recovery.then_some(RECOVERY_KEY));
    names
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Whose configuration it is.
struct Whose<'a> {
    vault: VaultId,
    name: &'a Name,
    role: Role,
    key: &'a str,
    keep: Span,
}

fn config(whose: &Whose<'_>, url: &str, access: Option<&Access>) -> String {
    let Whose { vault, name, role, key, keep } = whose;
    let member = match role {
        Role::Writer => {
            format!(
                "[writer]\nname = \"{name}\"\nkey = \"{key}\"\nstate = \"state\"\n\n[lock]\nkeep = \"{keep}\"\n\n{SOURCES}"
            )
        }
        Role::Keeper => format!("# What signs holds (`freeze`).\n[member]\nname = \"{name}\"\nkey = \"{key}\"\n"),
        _ => format!(
            "# What signs the evidence that this {role} leaves.\n[member]\nname = \"{name}\"\nkey = \"{key}\"\n"
        ),
    };
    format!(
        "# For the {role}. Relative paths are relative to this file; unknown keys are errors.

[vault]
url = {url}
id = \"{vault}\"
{access}
{member}",
        url = quoted(url),
        access = access.map(Access::config).unwrap_or_default(),
    )
}

/// The files of a new member: its configuration and its key.
#[must_use]
pub fn member_files(vault: &Vault, member: &NewMember<'_>, access: Option<&Access>) -> Vec<NewFile> {
    let key = member_key(member.name());
    let keep = vault.descriptor.lock.keep;
    let whose = Whose { vault: vault.descriptor.vault, name: member.name(), role: member.role(), key: &key, keep };
    let config = config(&whose, &vault.store.url(), access);
    vec![
        NewFile { text: member.key_file().clone(), name: key.into() },
        NewFile { name: CONFIG.into(), text: config.into_bytes().into() },
    ]
}

/// The name of a member's key file.
#[must_use]
pub fn member_key(name: &Name) -> String {
    format!("{name}.key")
}

/// What a new configuration says of sources.
const SOURCES: &str = "\
# What to back up. `strongroom backup` takes all of these, `strongroom backup NAME` one.
#
# [[source]]
# name = \"orders\"
# kind = \"command\"
# command = [\"pg_dump\", \"-Z0\", \"orders\"]      # run without a shell; its exit status decides
# stream = \"orders.sql\"                        # what its output is called
# timeout = \"2h\"                               # stopped and failed after that
# min_bytes = 1000                             # less is a failure
# trailer = \"PostgreSQL database dump complete\" # what the end must hold
#
# [[source]]
# name = \"code\"
# kind = \"git\"
# repo = \"/srv/git/code.git\"
#
# [[source]]
# name = \"dumps\"
# kind = \"path\"
# path = \"/var/backups/dumps\"
# allow_empty = true
";

fn kit(vault: VaultId, url: &str, owners: &[String], made: bool, access: Option<&Access>) -> String {
    let options = access.map(Access::options).unwrap_or_default();
    let reader = access.map_or("", |_| {
        "\n  - its credentials, in a file READER.toml (chmod 600):
      access_key_id = \"…\"
      secret_access_key = \"…\""
    });
    let identity = if made {
        format!(
            "It is in the file {RECOVERY_KEY}, which init made. Move that file off the machine that is backed up now:
  one copy on a disk or printed on paper in a safe, one in another place. Whoever has it
  can read every backup; without it nobody ever can."
        )
    } else {
        "It belongs to one of the recipients below and was made before this vault.".to_owned()
    };
    // On paper, quotes say where it ends.
    let quoted = shell::quoted(url);
    let place = if quoted == url { format!("'{url}'") } else { quoted };
    format!(
        "STRONGROOM RECOVERY KIT                          print this and keep it with the identity

  Vault      {url}
  Vault id   {vault}

1. What you need
  - this sheet
  - read access to the vault above; who can give it: ______________________________{reader}
  - an identity that opens the backups; where it is: ______________________________
  {identity}
  Recipients:
    {recipients}
  Nothing of the machine that was backed up is needed: use a clean one.

2. What to do
  Install strongroom on a clean machine. Then:

    strongroom snapshots --vault {place} --vault-id {vault}{options}

    strongroom restore latest --source NAME --vault {place} \\
        --vault-id {vault} -i IDENTITY --to DIR{options}

  If the newest snapshot is bad already, take an older one by its id, or `--at TIME`.
  `--to -` writes one stream to standard output, for example into psql.
  To find out whether the vault is whole:

    strongroom verify --depth read --vault {place} --vault-id {vault}{options}

  If strongroom says that the vault is another one, believe it: compare the id above.

3. Without strongroom
  The format is documented and needs age, zstd and a few lines of Python: see
  docs/format.md and scripts/restore-without-strongroom in strongroom's source.

    scripts/restore-without-strongroom VAULT_DIR IDENTITY SNAPSHOT OUT_DIR

4. Notes
  Who may decide on a restore:      ________________________________________________
  Last drill, and how long it took: ________________________________________________
  ________________________________________________________________________________
",
        recipients = owners.join("\n    "),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn two() -> [NewFile; 2] {
        [WRITER_KEY, CONFIG].map(|name| NewFile { name: name.into(), text: Zeroizing::new(name.into()) })
    }

    fn listed(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_that_are_kept_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        let mut staged = Staged::write(&out, &two()).unwrap();
        staged.place().unwrap();
        for path in staged.keep() {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(listed(&out), [CONFIG, WRITER_KEY]);
    }

    #[test]
    fn files_that_are_not_kept_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut staged = Staged::write(dir.path(), &two()).unwrap();
        staged.place().unwrap();
        drop(staged);
        assert_eq!(listed(dir.path()), Vec::<String>::new());
        fs::write(dir.path().join(CONFIG), "mine").unwrap();
        let mut staged = Staged::write(dir.path(), &two()).unwrap();
        assert!(matches!(staged.place(), Err(CliError::FileExists { .. })));
        drop(staged);
        assert_eq!(listed(dir.path()), [CONFIG]);
        assert_eq!(fs::read(dir.path().join(CONFIG)).unwrap(), b"mine");
    }
}
