//! The server's own client as a connection: statements go in, rows come out.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

use zeroize::Zeroizing;

use super::{
    super::{
        Result, SourceError,
        child::{Alive, Running},
        redact::Known,
        scratch::{self, Scratch},
    },
    Flavour, Login,
};

/// What ends the answer to a statement.
const MARK: &str = "strongroom-end-of-answer";
/// Rows of one answer; none that is asked for here is as long.
const ROWS: usize = 1_000_000;

/// One row; `NULL` and the text `NULL` look alike.
pub type Row = Vec<String>;

/// How the server is reached: a file with the password that children are told the path of.
#[derive(Clone)]
pub struct Client {
    flavour: Flavour,
    options: PathBuf,
    home: PathBuf,
    known: Known,
}

impl Client {
    /// Writes the file into `scratch`, where it stays until that is removed.
    ///
    /// # Errors
    /// If it can't be written, or something in `login` can't be written into such a file.
    pub fn new(flavour: Flavour, login: &Login, scratch: &Scratch) -> Result<Self> {
        Self::within(flavour, login, scratch.path())
    }

    /// The same with a private directory that somebody else removes.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn within(flavour: Flavour, login: &Login, dir: &Path) -> Result<Self> {
        let password = login.password_file.as_deref().map(secret).transpose()?;
        let options = scratch::write(dir, "client.cnf", options(login, password.as_ref())?.as_bytes())?;
        let mut known = Known::default();
        if let Some(password) = &password {
            known.add(password);
        }
        Ok(Self { flavour, options, home: dir.to_owned(), known })
    }

    /// Which server's tools are used.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The file of options, which holds the password.
    #[must_use]
    pub fn options(&self) -> &Path {
        &self.options
    }

    /// The dump's program.
    #[must_use]
    pub fn dump_program(&self) -> &'static str {
        self.flavour.dump()
    }

    /// A command of the client's tools that reads this file of options and no other, and nothing of the environment.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut file = std::ffi::OsString::from("--defaults-file=");
        file.push(&self.options);
        let mut command = Command::new(program);
        command.arg(file).env_clear().current_dir(&self.home).env("HOME", &self.home).env("LC_ALL", "C.UTF-8");
        for keep in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(keep) {
                command.env(keep, value);
            }
        }
        command
    }

    /// Starts such a command, and keeps the password out of what it says.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(&self, command: &mut Command, program: &str) -> Result<Running> {
        Running::start(command, program, self.known.clone())
    }

    /// Connects.
    ///
    /// # Errors
    /// If the client can't be started, or the server does not let it in.
    pub fn connect(&self) -> Result<Session> {
        let program = self.flavour.client();
        let mut command = self.command(program);
        command.args(["--batch", "--skip-column-names", "--unbuffered", "--default-character-set=utf8mb4"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = self.start(&mut command, program)?;
        let (input, output) = (running.stdin()?, BufReader::new(running.stdout()?));
        let mut session = Session { running: Some(running), input, output, program };
        // Times and texts have one form, whatever the server is set to.
        session.run("SET SESSION time_zone = '+00:00', sql_mode = ''")?;
        Ok(session)
    }
}

/// A connection. It ends when it is dropped, and with the first statement that fails.
pub struct Session {
    running: Option<Running>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    program: &'static str,
}

impl Session {
    /// What ends it from another thread.
    #[must_use]
    pub(crate) fn alive(&self) -> Option<Alive> {
        self.running.as_ref().map(Running::alive)
    }

    /// Runs a statement that gives no rows that matter.
    ///
    /// # Errors
    /// If it fails. Then nothing more can be asked.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.rows(sql).map(drop)
    }

    /// The rows that a statement gives.
    ///
    /// # Errors
    /// If it fails. Then nothing more can be asked.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        let asked = writeln!(self.input, "{sql};\nSELECT '{MARK}';").and_then(|()| self.input.flush());
        let mut rows = Vec::new();
        let mut line = Vec::new();
        while asked.is_ok() {
            line.clear();
            let read = self.output.read_until(b'\n', &mut line);
            if read.is_err() || line.pop() != Some(b'\n') {
                break;
            }
            if line == MARK.as_bytes() {
                return Ok(rows);
            }
            if rows.len() >= ROWS {
                return Err(SourceError::new("gives more rows than can be handled", shortened(sql)));
            }
            rows.push(line.split(|b| *b == b'\t').map(unescaped).collect());
        }
        // Gone. What it said at last tells why.
        let Some(mut running) = self.running.take() else {
            return Err(SourceError::new("the connection has ended", self.program));
        };
        let said = running.reap().map(|_| running.said())?;
        let said = said.trim_start_matches("; it said: ");
        let what = if said.is_empty() { "the connection to the server was lost" } else { said };
        Err(SourceError::new(what, shortened(sql)))
    }

    /// The one value that a statement gives.
    ///
    /// # Errors
    /// If it fails, or gives none.
    pub fn value(&mut self, sql: &str) -> Result<String> {
        let row = self.rows(sql)?.into_iter().next().and_then(|row| row.into_iter().next());
        row.ok_or_else(|| SourceError::new("gave no answer", shortened(sql)))
    }
}

/// A statement for a message.
fn shortened(sql: &str) -> String {
    let one: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if one.chars().count() <= 120 { one } else { one.chars().take(119).chain(['…']).collect() }
}

/// What the client wrote as `\t`, `\n`, `\0` and `\\`.
fn unescaped(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        });
    }
    out
}

/// A name as SQL quotes it.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL quotes it, for sessions whose `sql_mode` is empty.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Opens a file that may hold a password, and that only its owner may read.
fn private(path: &Path) -> Result<File> {
    let failed = |e| SourceError::at("can't read the file that says how to log in", path, e);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    let others = mode & 0o077;
    if others == 0 {
        return Ok(file);
    }
    let what = format!("can be read by others (its mode is {mode:04o}): chmod 600 it");
    Err(SourceError::new(what, path.display().to_string()))
}

/// The password in a file, without the end of its line.
fn secret(path: &Path) -> Result<Zeroizing<String>> {
    let failed = |e| SourceError::at("can't read the password", path, e);
    let mut text = Zeroizing::new(String::with_capacity(4096));
    private(path)?.take(4096).read_to_string(&mut text).map_err(failed)?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// The text of an option file.
fn options(login: &Login, password: Option<&Zeroizing<String>>) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let quoted = |value: &str| -> Result<Zeroizing<String>> {
        if value.chars().any(char::is_control) {
            let what = "holds a control character, such as the end of a line, which an option file can't";
            return Err(SourceError::new(what, "host, socket, user or password"));
        }
        Ok(Zeroizing::new(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))))
    };
    let path = |path: &Path| {
        let told = path.to_str().ok_or_else(|| SourceError::new("is not UTF-8", path.display().to_string()))?;
        Ok::<_, SourceError>(told.to_owned())
    };
    if let Some(file) = &login.defaults_file {
        let file = path(&std::path::absolute(file).unwrap_or_else(|_| file.clone()))?;
        // The client ignores an include that it can't read.
        drop(private(Path::new(&file))?);
        let _ = writeln!(text, "!include {file}");
    }
    text.push_str("[client]\n");
    let socket = login.socket.as_deref().map(path).transpose()?;
    let port = login.port.map(|port| port.to_string());
    for (key, value) in [
        ("host", login.host.as_deref()),
        ("port", port.as_deref()),
        ("socket", socket.as_deref()),
        ("user", login.user.as_deref()),
        ("password", password.map(|p| p.as_str())),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{key}={}", quoted(value)?.as_str());
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ so"), "'it''s \\\\ so'");
        assert_eq!(unescaped(b"a\\tb\\\\n\\n\\0c"), "a\tb\\n\n\0c");
        assert_eq!(shortened(&"select  1,\n".repeat(60)).chars().count(), 120);
    }

    #[test]
    fn an_option_file_holds_what_is_given_and_nothing_else() {
        let login = Login { host: Some("db".into()), port: Some(3307), user: Some("app".into()), ..Login::default() };
        let text = options(&login, Some(&Zeroizing::new("a\"b\\c#d".into()))).unwrap();
        assert_eq!(text.as_str(), "[client]\nhost=\"db\"\nport=\"3307\"\nuser=\"app\"\npassword=\"a\\\"b\\\\c#d\"\n");
        let evil = Login { user: Some("x\npager=sh".into()), ..Login::default() };
        assert!(options(&evil, None).is_err());
        let missing = Login { defaults_file: Some("/no/such/file".into()), ..Login::default() };
        assert!(options(&missing, None).unwrap_err().to_string().contains("/no/such/file"));
    }
}
