//! A MariaDB server of a test's own: in a temporary directory, on a socket, as a user who is not root.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running server. Dropped, it is killed.
pub struct Server {
    child: Child,
    dir: TempDir,
    options: Vec<String>,
}

impl Server {
    /// Makes the system tables and starts it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with options of the server.
    pub fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (data, tmp) = (dir.path().join("data"), dir.path().join("tmp"));
        for dir in [&data, &tmp] {
            fs::create_dir(dir).unwrap();
            if let Some((user, group)) = unprivileged() {
                chown(dir, Some(user), Some(group)).unwrap();
            }
        }
        let log = File::create(dir.path().join("log")).unwrap();
        let mut install = as_server("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--tmpdir={}", tmp.display()));
        install.arg(format!("--datadir={}", data.display())).stdout(log.try_clone().unwrap());
        let made = install.stderr(log.try_clone().unwrap()).status().unwrap();
        assert!(made.success(), "{}", fs::read_to_string(dir.path().join("log")).unwrap());
        let mut server = Self { child: launch(dir.path(), log, &options), dir, options };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let began = Instant::now();
        while !self.client().args(["-e", "SELECT 1"]).output().unwrap().status.success() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "{log}");
            assert!(began.elapsed() < Duration::from_mins(2), "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets it end in good order.
    pub fn stop(&mut self) {
        self.sql("SHUTDOWN");
        self.child.wait().unwrap();
    }

    /// Starts it again.
    pub fn again(&mut self) {
        let log = File::options().append(true).open(self.dir.path().join("log")).unwrap();
        self.child = launch(self.dir.path(), log, &self.options);
        self.wait();
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("data/s")
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The client as the server's root.
    pub fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "-u", "root", "-N", "-B", "--default-character-set=utf8mb4"]);
        client.arg("-S").arg(self.socket()).stderr(Stdio::piped());
        client
    }

    /// Runs statements and returns what they give.
    pub fn sql(&self, sql: &str) -> String {
        let mut child = self.client().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Loads a dump.
    pub fn load(&self, dump: &Path) {
        let output = self.client().stdin(File::open(dump).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(dir: &Path, log: File, options: &[String]) -> Child {
    let mut server = as_server("mariadbd");
    server.args(["--no-defaults", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
    server.args(options);
    let data = dir.join("data");
    server.arg(format!("--tmpdir={}", dir.join("tmp").display()));
    server.arg(format!("--datadir={}", data.display())).arg(format!("--socket={}", data.join("s").display()));
    server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// A program as a user who is not root: the server refuses to run as root.
fn as_server(program: &str) -> Command {
    // Where other users than root don't look by themselves.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
    let Some((user, group)) = unprivileged() else {
        let mut command = Command::new(program);
        command.env("PATH", path);
        return command;
    };
    let mut command = Command::new("setpriv");
    command.env("PATH", path);
    command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups", "--", program]);
    command
}

/// The ids of the user `mysql`, if it is root who runs the tests.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |what: &str| {
        let output = Command::new("id").args([what, "mysql"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().expect("there is a user called mysql")
    };
    Some((id("-u"), id("-g")))
}
