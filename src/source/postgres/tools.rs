//! The client programs of `PostgreSQL`, found by version.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    super::{Result, SourceError, child::without_ours},
    Conninfo,
};

/// Where packages put the programs of one major version; `*` stands for the version.
const PLACES: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
];

/// What Debian's programs in `PATH` are links to: a script that chooses a server and a version for whoever names none, and then
/// starts the real program (`pg_wrapper(1)`). Each start of it takes longer than the program's own.
const CHOOSER: &str = "pg_wrapper";

/// A version as the programs tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What a dump must not be older than: `(15, 0)`, or `(9, 6)` before 10.
    pub major: (u32, u32),
    /// As it was told, such as `15.18`.
    pub text: String,
}

impl Version {
    /// The version that `text` begins with, such as `15.18 (Debian 15.18-0)` or `17beta1`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.split_whitespace().next()?.to_owned();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or_default());
        let (first, second) = (numbers.next()?, numbers.next().unwrap_or_default());
        (first > 0).then_some(Self { major: (first, if first < 10 { second } else { 0 }), text })
    }

    /// The version of a server, of which `number` is `server_version_num` and `text` is `server_version`.
    pub(crate) fn of_server(number: u32, text: &str) -> Self {
        let (major, minor) = (number / 10_000, number / 100 % 100);
        let text = text.split_whitespace().next().unwrap_or(text).to_owned();
        Self { major: (major, if major < 10 { minor } else { 0 }), text }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A program and its version.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

/// Looks programs up, in one directory if that was given, else in `PATH` and where packages put them.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    only: Option<PathBuf>,
    /// Nothing is left to choose for a script that would choose a server.
    direct: bool,
}

impl Tools {
    /// Programs from `only`, or from wherever they are.
    #[must_use]
    pub fn new(only: Option<PathBuf>) -> Self {
        Self { only, direct: false }
    }

    /// Programs that connect as `info` says, past a script that would only find out what is said there.
    #[must_use]
    pub fn connecting(only: Option<PathBuf>, info: &Conninfo) -> Self {
        Self { only, direct: info.is_explicit() }
    }

    /// Any version of `program`, the first that is found.
    pub(crate) fn any(&self, program: &str) -> Result<Tool> {
        self.all(program).next().ok_or_else(|| self.missing(program))
    }

    /// A version of `program` that understands a server of version `server`: the one in `PATH` if it is not older, else
    /// the oldest that is not.
    pub(crate) fn for_server(&self, program: &str, server: &Version) -> Result<Tool> {
        let mut fits: Option<Tool> = None;
        let mut older: Option<Tool> = None;
        for (at, tool) in self.all(program).enumerate() {
            if tool.version.major < server.major {
                older.get_or_insert(tool);
            } else if at == 0 {
                return Ok(tool);
            } else if fits.as_ref().is_none_or(|best| tool.version.major < best.version.major) {
                fits = Some(tool);
            }
        }
        match (fits, older) {
            (Some(tool), _) => Ok(tool),
            (None, None) => Err(self.missing(program)),
            (None, Some(tool)) => {
                let what = format!(
                    "{program} {} is older than the server, which is {server}, and may not dump it: install the client \
                     programs of version {}, or name their directory with `bin`",
                    tool.version, server.major.0
                );
                Err(SourceError::new(what, tool.path.display().to_string()))
            }
        }
    }

    /// The version of `program` that is nearest to `version` and not older.
    pub(crate) fn nearest(&self, program: &str, version: &Version) -> Option<Tool> {
        self.all(program).filter(|tool| tool.version.major >= version.major).min_by_key(|tool| tool.version.major)
    }

    fn all(&self, program: &str) -> impl Iterator<Item = Tool> + use<> {
        self.among(self.only.clone().map_or_else(everywhere, |dir| vec![dir]), program)
    }

    fn among(&self, dirs: Vec<PathBuf>, program: &str) -> impl Iterator<Item = Tool> + use<> {
        let mut paths: Vec<PathBuf> = dirs.into_iter().map(|dir| dir.join(program)).collect();
        if self.direct {
            // Last, should it be all that there is.
            paths.sort_by_key(|path| chooses(path));
        }
        paths.into_iter().filter_map(|path| ask(&path))
    }

    fn missing(&self, program: &str) -> SourceError {
        let what = match &self.only {
            Some(dir) => format!("is not in {}, where `bin` says that it is", dir.display()),
            None => "was not found in PATH, nor where packages put it; install PostgreSQL's client programs, or name \
                     their directory with `bin`"
                .to_owned(),
        };
        SourceError::new(what, program)
    }
}

/// `PATH` and the known places, the newest version of each first.
fn everywhere() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    for place in PLACES {
        let Some((before, after)) = place.split_once('*') else {
            dirs.push(place.into());
            continue;
        };
        let (parent, prefix) = before.rsplit_once('/').unwrap_or_default();
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut versions: Vec<String> = names.filter_map(|n| n.strip_prefix(prefix).map(str::to_owned)).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.parse::<u32>().unwrap_or_default()));
        dirs.extend(versions.into_iter().map(|version| PathBuf::from(format!("{before}{version}{after}"))));
    }
    dirs
}

/// Whether it is a script that chooses which program runs.
fn chooses(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path.ends_with(CHOOSER))
}

/// Asks a program for its version; nothing if it is not there or is something else.
fn ask(path: &Path) -> Option<Tool> {
    if !path.is_file() {
        return None;
    }
    let mut command = Command::new(path);
    without_ours(&mut command);
    let output = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = Version::read(text.split_once("(PostgreSQL) ")?.1)?;
    Some(Tool { path: path.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a `psql` that says it is of this version.
    fn program(dir: &Path, name: &str, version: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\necho 'psql (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_script_that_chooses_is_passed_only_where_nothing_is_left_to_choose() {
        let place = tempfile::tempdir().unwrap();
        let (bin, real) = (place.path().join("bin"), place.path().join("lib/15/bin"));
        program(&place.path().join("share"), CHOOSER, "14.1");
        program(&real, "psql", "15.2");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink("../share/pg_wrapper", bin.join("psql")).unwrap();
        let found = |dsn: &str, dirs: &[&Path]| {
            let tools = Tools::connecting(None, &dsn.parse().unwrap());
            tools.among(dirs.iter().map(|dir| dir.to_path_buf()).collect(), "psql").next().unwrap().version.text
        };
        let both: &[&Path] = &[&bin, &real];
        assert_eq!(found("host=db port=5432 dbname=app", both), "15.2");
        for open in
            ["host=db dbname=app", "port=5432 dbname=app", "host=db port=5432", "service=app host=db port=1 dbname=app"]
        {
            assert_eq!(found(open, both), "14.1", "{open}");
        }
        assert_eq!(found("host=db port=5432 dbname=app", &[&bin]), "14.1", "better that than none");
    }

    #[test]
    fn versions_are_read_as_the_programs_tell_them() {
        for (text, major) in [
            ("15.18 (Debian 15.18-0+deb12u1)\n", (15, 0)),
            ("17beta1", (17, 0)),
            ("9.6.24", (9, 6)),
            ("18devel", (18, 0)),
        ] {
            assert_eq!(Version::read(text).unwrap().major, major);
        }
        assert_eq!(Version::read("x"), None);
        assert_eq!(Version::of_server(150_018, "15.18 (Debian)"), Version::read("15.18").unwrap());
        assert_eq!(Version::of_server(90_624, "9.6.24").major, (9, 6));
    }
}
