//! A real `PostgreSQL` server for tests, of the version that is installed, with an empty directory of its own. It listens
//! on a socket there, and on a free port of loopback. A server that can't start fails the test.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Runs the server as its child and ends it when told to, or when whoever started it is gone, however it went. A line
/// on its input names a signal to send at once; the end of its input ends the server and removes the directory.
const KEEPER: &str = r#"
cd "$1" && shift
"$@" >server.log 2>&1 & pid=$!
echo $pid >server.pid
while read -r signal; do kill -"$signal" $pid 2>/dev/null; done
kill -INT $pid 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.2
done
kill -QUIT $pid 2>/dev/null
wait $pid
rm -rf "$PWD"
"#;

/// How long the server may take to be ready on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server, whose superuser is `postgres`. Ends with its handle, or with the process that started it.
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    keeper: Option<Child>,
    /// The server is no longer the keeper's child.
    detached: bool,
}

impl Postgres {
    /// Starts an empty server. Roles other than `postgres` need their passwords.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings of its own.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_as(&[], settings)
    }

    /// The same with options of `initdb`, too.
    pub fn start_as(options: &[&str], settings: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("strongroom-pg-").tempdir().unwrap().keep();
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres:").arg(&dir));
        }
        let mut init = as_server(bin("initdb"));
        init.args(["-U", "postgres", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        // Everybody may come in through the socket as the superuser, who has no password.
        run(init.args(options).arg("--auth-local=trust").arg("-D").arg(dir.join("data")).env("LC_ALL", "C.UTF-8"));
        let rules = "local all postgres trust\nlocal replication postgres trust\nlocal all all scram-sha-256\n\
                     host all,replication all 127.0.0.1/32 scram-sha-256\n";
        fs::write(dir.join("data/pg_hba.conf"), rules).unwrap();
        let mut server = Self { dir, port: 0, keeper: None, detached: false };
        // Another process may take a port between the look and the start.
        let started = (0..3).any(|_| {
            server.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            server.launch(settings)
        });
        assert!(started, "postgres did not start:\n{}", server.log());
        server
    }

    /// What reaches `database` as the superuser, through the socket.
    pub fn dsn(&self, database: &str) -> String {
        format!("host={} port={} user=postgres dbname='{database}'", self.dir.display(), self.port)
    }

    /// The directory of its socket.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of its data.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL, a script or a statement, and returns what it gives.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.tool("psql", database);
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let start: String = sql.chars().take(200).collect();
        assert!(output.status.success(), "{start}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A client program that is told where the server is and which database is meant.
    pub fn tool(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(bin(program));
        command.env("PGHOST", &self.dir).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command.env("PGDATABASE", database);
        command
    }

    /// Creates an empty database without anything of a template.
    pub fn create(&self, database: &str) {
        self.sql("postgres", &format!("create database \"{}\" template template0", database.replace('"', "\"\"")));
    }

    /// Sends the server a signal.
    pub fn signal(&mut self, name: &str) {
        let keeper = self.keeper.as_mut().unwrap();
        writeln!(keeper.stdin.as_mut().unwrap(), "{name}").unwrap();
    }

    /// Stops the server; its directory stays.
    pub fn stop(&mut self) {
        run(as_server(bin("pg_ctl")).args(["-w", "-m", "fast", "stop", "-D"]).arg(self.data()));
    }

    /// Starts it again, after stopping it if it runs.
    pub fn restart(&mut self) {
        if self.tool("pg_isready", "postgres").stdout(Stdio::null()).status().unwrap().success() {
            self.stop();
        }
        // The keeper would remove the directory; what it kept is gone, so it is left to end by itself.
        let mut command = as_server(bin("pg_ctl"));
        command.args(["-w", "-D"]).arg(self.data()).arg("-l").arg(self.data().join("again.log")).arg("-o");
        let options =
            format!("-h 127.0.0.1 -c fsync=off -c max_wal_senders=4 -p {} -k {}", self.port, self.dir.display());
        command.arg(options).arg("start").stdout(Stdio::null());
        run(&mut command);
        self.detached = true;
    }

    /// The end of what the server said.
    pub fn log(&self) -> String {
        let text = fs::read(self.dir.join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned()
    }

    fn launch(&mut self, settings: &[&str]) -> bool {
        let server = as_server(bin("postgres"));
        let mut command = Command::new("sh");
        command.arg("-c").arg(KEEPER).arg("keeper").arg(&self.dir).arg(server.get_program()).args(server.get_args());
        command.args(["-D", "data", "-h", "127.0.0.1", "-c", "fsync=off", "-c", "max_wal_senders=4", "-p"]);
        command.arg(self.port.to_string()).arg("-k").arg(&self.dir);
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever interrupts the tests as a group must not end the keeper before it has cleared away.
        self.keeper = Some(command.process_group(0).spawn().expect("sh"));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let ready = self.tool("pg_isready", "postgres").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if ready.is_ok_and(|status| status.success()) {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.detached {
            let mut stop = as_server(bin("pg_ctl"));
            let _ = stop.args(["-w", "-m", "immediate", "stop", "-D"]).arg(self.data()).output();
        }
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A program of the newest version that is installed.
pub fn bin(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    newest.map_or_else(|| program.into(), |version| format!("/usr/lib/postgresql/{version}/bin/{program}").into())
}

/// A command as the user whom a server may run as: not root.
pub fn as_server(program: impl AsRef<OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program).current_dir("/");
    command
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}
