//! The server's own client as a connection: statements go in, rows come out.

pub(super) mod variables;

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
        cell::Cell,
        child::{Alive, Running},
        redact::Known,
        scratch::{self, Scratch},
    },
    Flavour, Login,
    options::{self, Settings},
};

/// The client's option of that name.
const PATIENCE: &str = "connect-timeout";
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
    /// How long a server that takes the connection may say nothing, in seconds. An option of the client alone.
    patience: String,
    cell: Option<Cell>,
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
        let mut settings = settings(login, login.password_file.as_deref().map(secret).transpose()?)?;
        let patience = settings.remove(PATIENCE).flatten().map_or_else(|| "60".to_owned(), |value| value.to_string());
        let options = scratch::write(dir, "client.cnf", text(&settings)?.as_bytes())?;
        let mut known = Known::default();
        for key in ["password", "ssl-passphrase"] {
            if let Some(Some(secret)) = settings.get(key) {
                known.add(secret);
            }
        }
        Ok(Self { flavour, options, home: dir.to_owned(), known, patience, cell: None })
    }

    /// The same, whose commands run in `cell`.
    #[must_use]
    pub(crate) fn in_cell(self, cell: Cell) -> Self {
        Self { cell: Some(cell), ..self }
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
        let program = Path::new(program);
        self.equipped(self.cell.as_ref().map_or_else(|| Command::new(program), |cell| cell.command(program)))
    }

    /// Gives a command for one of the client's tools, which has no arguments of that yet, this file of options, and takes
    /// the environment from it.
    pub(super) fn equipped(&self, mut command: Command) -> Command {
        let mut file = std::ffi::OsString::from("--defaults-file=");
        file.push(&self.options);
        command
            .arg(file)
            .env_clear()
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .env("TMPDIR", &self.home)
            .env("LC_ALL", "C.UTF-8");
        for keep in ["PATH", "LD_LIBRARY_PATH"] {
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
        let mut session = self.begin()?;
        variables::settle(&mut session).map_err(|mut error| {
            if password_unused() {
                error.what.push_str("; ");
                error.what.push_str(PASSWORD_UNUSED);
            }
            error
        })?;
        Ok(session)
    }

    /// Whether the dump's tool has this option.
    pub(super) fn dump_takes(&self, option: &str) -> bool {
        let output = self.command(self.dump_program()).arg("--help").stdin(Stdio::null()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(option))
    }

    /// A connection as the server gives it, with whatever it sets for whoever connects.
    fn begin(&self) -> Result<Session> {
        let program = self.flavour.client();
        let mut command = self.command(program);
        command.args(["--batch", "--skip-column-names", "--unbuffered", "--quick", "--default-character-set=utf8mb4"]);
        command.arg("--max-allowed-packet=1G").arg(format!("--{PATIENCE}={}", self.patience));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = self.start(&mut command, program)?;
        let (input, output) = (running.stdin()?, BufReader::new(running.stdout()?));
        Ok(Session { running: Some(running), input, output, program, asked: String::new() })
    }
}

/// A connection. It ends when it is dropped, and with the first statement that fails.
pub struct Session {
    running: Option<Running>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    program: &'static str,
    /// The statement that was asked last, for messages.
    asked: String,
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
        self.ask(sql)?;
        let mut rows = Vec::new();
        while let Some(row) = self.answer()? {
            if rows.len() >= ROWS {
                return Err(SourceError::new("gives more rows than can be handled", shortened(sql)));
            }
            rows.push(row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect());
        }
        Ok(rows)
    }

    /// The row that a query gives, or none if what it reads is no longer what it was when the transaction began. Only servers
    /// of MariaDB know how to go on after that.
    ///
    /// # Errors
    /// If it fails otherwise. Then nothing more can be asked.
    pub(super) fn row_unless_changed(&mut self, sql: &str) -> Result<Option<Row>> {
        const END: &str = "$strongroom$";
        self.asked = shortened(sql);
        // Another definition, no such table, no such column.
        let asked = writeln!(
            self.input,
            "DELIMITER {END}\nBEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1412, 1146, 1054 SELECT 'changed'; {sql}; END{END}\n\
             DELIMITER ;\nSELECT '{MARK}';"
        );
        if asked.and_then(|()| self.input.flush()).is_err() {
            return Err(self.gone());
        }
        let mut found = None;
        while let Some(row) = self.answer()? {
            found = Some(row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect());
        }
        Ok(found.filter(|row: &Row| row.len() > 1))
    }

    /// Asks, and leaves the answer to [`Session::answer`], which is to be called until there is no more.
    ///
    /// # Errors
    /// If the connection is gone.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<()> {
        self.asked = shortened(sql);
        let asked = writeln!(self.input, "{sql};\nSELECT '{MARK}';").and_then(|()| self.input.flush());
        if asked.is_ok() { Ok(()) } else { Err(self.gone()) }
    }

    /// The next row of the answer.
    ///
    /// # Errors
    /// If the statement failed. Then nothing more can be asked.
    pub(crate) fn answer(&mut self) -> Result<Option<Vec<Vec<u8>>>> {
        let mut line = Vec::new();
        let read = self.output.read_until(b'\n', &mut line);
        if read.is_err() || line.pop() != Some(b'\n') {
            return Err(self.gone());
        }
        if line == MARK.as_bytes() {
            return Ok(None);
        }
        Ok(Some(line.split(|b| *b == b'\t').map(unescaped).collect()))
    }

    /// The connection is gone. What the client said at last tells why.
    fn gone(&mut self) -> SourceError {
        let Some(mut running) = self.running.take() else {
            return SourceError::new("the connection has ended", self.program);
        };
        let said = match running.reap() {
            Ok(_) => running.said(),
            Err(error) => return error,
        };
        // Before the error, the client repeats the statement.
        let said = said.trim_start_matches("; it said: ");
        let said = said.rfind("\nERROR ").and_then(|at| said.get(at + 1..)).unwrap_or(said);
        let what = if said.is_empty() { "the connection to the server was lost" } else { said };
        SourceError::new(what, &self.asked)
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
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(other) => other,
                None => b'\\',
            },
            byte => byte,
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

/// What says how to connect: what a file that was named says, and before it what was given.
fn settings(login: &Login, password: Option<Zeroizing<String>>) -> Result<Settings> {
    let path = |path: &Path| {
        let told = path.to_str().ok_or_else(|| SourceError::new("is not UTF-8", path.display().to_string()))?;
        Ok::<_, SourceError>(told.to_owned())
    };
    let mut all = Settings::new();
    if let Some(file) = &login.defaults_file {
        drop(private(file)?);
        all.extend(options::connection(file)?);
    }
    let socket = login.socket.as_deref().map(path).transpose()?;
    for (key, value) in [
        ("host", login.host.clone()),
        ("port", login.port.map(|port| port.to_string())),
        ("socket", socket),
        ("user", login.user.clone()),
    ] {
        if let Some(value) = value {
            all.insert(key.to_owned(), Some(Zeroizing::new(value)));
        }
    }
    if let Some(password) = password {
        all.insert("password".to_owned(), Some(password));
    }
    // Without a value the client would ask somebody.
    all.retain(|key, value| key != "password" || value.is_some());
    Ok(all)
}

/// The text of an option file.
fn text(settings: &Settings) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new("[client]\n".to_owned());
    for (key, value) in settings {
        let Some(value) = value else {
            let _ = writeln!(text, "{key}");
            continue;
        };
        if value.chars().any(char::is_control) {
            let what = "holds a control character, such as the end of a line, which an option file can't";
            return Err(SourceError::new(what, key));
        }
        let quoted = Zeroizing::new(value.replace('\\', "\\\\").replace('"', "\\\""));
        let _ = writeln!(text, "{key}=\"{}\"", quoted.as_str());
    }
    Ok(text)
}

/// What there is to say where [`password_unused`].
pub(super) const PASSWORD_UNUSED: &str =
    "MYSQL_PWD is set here and was not used: name a password_file, or a defaults file with a password";

/// Whether a password is in the environment, which the tools do not get.
pub(super) fn password_unused() -> bool {
    std::env::var_os("MYSQL_PWD").is_some_and(|set| !set.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ so"), "'it''s \\\\ so'");
        assert_eq!(unescaped(b"a\\tb\\\\n\\n\\0c"), b"a\tb\\n\n\0c");
        assert_eq!(shortened(&"select  1,\n".repeat(60)).chars().count(), 120);
    }

    #[test]
    fn an_option_file_holds_what_is_given_and_nothing_else() {
        let login = Login { host: Some("db".into()), port: Some(3307), user: Some("app".into()), ..Login::default() };
        let all = settings(&login, Some(Zeroizing::new("a\"b\\c#d".into()))).unwrap();
        assert_eq!(
            text(&all).unwrap().as_str(),
            "[client]\nhost=\"db\"\npassword=\"a\\\"b\\\\c#d\"\nport=\"3307\"\nuser=\"app\"\n"
        );
        let evil = Login { user: Some("x\npager=sh".into()), ..Login::default() };
        assert!(text(&settings(&evil, None).unwrap()).is_err());
        let missing = Login { defaults_file: Some("/no/such/file".into()), ..Login::default() };
        assert!(settings(&missing, None).unwrap_err().to_string().contains("/no/such/file"));
    }
}
