//! G8: no key, password or token in any output, in the arguments or the environment of any child, however much is said.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::lab::{Lab, Run, chmod};

const PASSWORD: &str = "hunter2-correct-horse";
/// Writes down how it was called and becomes the real one.
const WRAPPER: &str = "#!/bin/sh\n{ echo \"$0 $*\"; env; } >> LOG\nPATH=REST exec \"$(basename \"$0\")\" \"$@\"\n";

/// A connection string with the password in it.
fn dsn() -> String {
    format!("postgres://app:{PASSWORD}@db.example/orders")
}

/// A lab, all that it must never show, and a place where its children are written down.
struct Watched {
    lab: Lab,
    secrets: Vec<String>,
}

impl Watched {
    fn new() -> Self {
        let lab = Lab::new();
        let mut secrets = lab.secrets();
        let identity = fs::read_to_string(lab.identity()).unwrap();
        secrets.extend(identity.lines().filter(|line| line.starts_with("AGE-")).map(str::to_owned));
        secrets.push(PASSWORD.to_owned());
        assert_eq!(secrets.len(), 6);
        let bin = lab.path("bin");
        fs::create_dir(&bin).unwrap();
        let script = WRAPPER.replace("LOG", &lab.text("children")).replace("REST", env!("PATH"));
        fs::write(bin.join("git"), script).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { lab, secrets }
    }

    /// The same with a snapshot of `x`, and the identity that opens it.
    fn with_snapshot() -> (Self, String) {
        let watched = Self::new();
        watched.lab.backup("x", b"bytes");
        let identity = fs::read_to_string(watched.lab.identity()).unwrap();
        let key = identity.lines().find(|line| line.starts_with("AGE-")).unwrap().to_owned();
        (watched, key)
    }

    fn must_hide(&self, text: &str, what: &str) {
        let folded = text.to_lowercase();
        for secret in &self.secrets {
            assert!(!folded.contains(&secret.to_lowercase()), "{what} shows {secret}:\n{text}");
        }
    }

    /// Runs it plainly, at -vv and with --json; returns the last.
    fn run(&self, command: &Command) -> Run {
        let mut last = None;
        for more in [&[][..], &["-vv"], &["--json", "-vv"]] {
            let mut again = self.lab.around(command.get_program());
            // Behind `--` options are another's.
            let args: Vec<_> = command.get_args().collect();
            let at = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
            again.args(&args[..at]).args(more).args(&args[at..]);
            again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            again.env("RUST_BACKTRACE", "1").env("RUST_LOG", "trace");
            again.env("PATH", format!("{}:{}", self.lab.text("bin"), env!("PATH")));
            let run = self.lab.run(&mut again);
            self.must_hide(&run.said(), &format!("{command:?} {more:?}"));
            last = Some(run);
        }
        last.unwrap()
    }
}

#[test]
fn g8_commands_that_succeed() {
    let watched = Watched::new();
    let lab = &watched.lab;
    let dsn = dsn();
    // The identity is at hand in the environment, as a careless owner would have it.
    let identity = fs::read_to_string(lab.identity()).unwrap();
    let with_identity = |mut command: Command| {
        command.env("STRONGROOM_IDENTITY", &identity).env("PGPASSWORD", PASSWORD);
        command
    };
    let script = "env | sort > \"$1\"; tr '\\0' ' ' < /proc/$PPID/cmdline >> \"$1\"; echo data";
    let told = lab.text("told");
    let args = ["backup", "--name", "c", "--", "sh", "-c", script, "sh", &told, &dsn];
    watched.run(&with_identity(lab.writer(args))).ok();
    let told = fs::read_to_string(told).unwrap();
    assert!(told.contains("PGPASSWORD="), "a command keeps the environment that it was given");
    assert!(!told.contains("STRONGROOM_"), "{told}");
    assert!(!told.contains("AGE-SECRET-KEY"), "{told}");

    for args in [&["init", "-q", "-b", "main", "repo"][..], &["-C", "repo", "remote", "add", "origin"]] {
        let mut git = lab.around("git");
        git.current_dir(lab.path("")).args(args);
        if args.contains(&"remote") {
            git.arg(format!("https://user:{PASSWORD}@git.example/r.git"));
        }
        assert!(git.status().unwrap().success());
    }
    let mut commit = lab.around("git");
    commit.current_dir(lab.path("repo")).args(["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"]);
    assert!(commit.arg("--allow-empty").status().unwrap().success());
    watched.run(&with_identity(lab.writer(["backup", "--name", "git", "--git", &lab.text("repo")]))).ok();
    watched.run(&lab.writer(["backup", "--name", "p", "--path", &lab.text("etc/strongroom.toml")])).ok();
    watched.run(&with_identity(lab.writer(["catalog", "rebuild"]))).ok();
    let as_reader = |args: &[&str]| with_identity(lab.program([args, &["--vault", &lab.url()]].concat()));
    watched.run(&as_reader(&["snapshots"])).ok();
    for depth in ["locks", "read", "decrypt"] {
        watched.run(&as_reader(&["verify", "--depth", depth])).ok();
    }
    for (no, source) in ["c", "git", "p"].into_iter().enumerate() {
        for more in ["", "v", "j"] {
            let to = lab.text(format!("out{no}{more}"));
            let mut restore = as_reader(&["restore", "latest", "--source", source, "--to", &to]);
            restore.args(match more {
                "v" => &["-vv"][..],
                "j" => &["--json", "-vv"],
                _ => &[],
            });
            restore.env("PATH", format!("{}:{}", lab.text("bin"), env!("PATH")));
            let run = lab.run(&mut restore).ok();
            watched.must_hide(&run.said(), &format!("the restore of {source}"));
        }
    }
    let settings = fs::read_to_string(lab.path("out1/git.git/config.from-backup")).unwrap_or_default();
    watched.must_hide(&settings, "the settings of the restored repository");
    let children = fs::read_to_string(lab.path("children")).unwrap();
    assert!(children.contains("index-pack") && children.contains("pack-objects"), "git was watched: {children}");
    watched.must_hide(&children, "what git was given");

    let other = Lab::bare();
    for (no, more) in [&[][..], &["-vv"], &["--json", "-vv"]].into_iter().enumerate() {
        let url = format!("file://{}", other.text(format!("vault{no}")));
        let mut init = other.program(["init", "--vault", &url, "--out", &other.text(format!("etc{no}"))]);
        let run = lab.run(init.args(more)).ok();
        let key = fs::read_to_string(other.path(format!("etc{no}/writer.key"))).unwrap();
        let key: serde_json::Value = serde_json::from_str(&key).unwrap();
        for field in ["signing_key", "catalog_identity", "chunk_id_key"] {
            assert!(!run.said().contains(key[field].as_str().unwrap()), "{field}");
        }
    }
}

#[test]
fn g8_commands_that_fail() {
    let (watched, key) = Watched::with_snapshot();
    let (lab, key, dsn) = (&watched.lab, key.as_str(), dsn());
    for script in [
        "echo \"could not connect to $1\" >&2; exit 1",
        "echo \"PGPASSWORD is $PGPASSWORD\" >&2; exit 1",
        "echo \"$1\" | tr : '\\n' >&2; exit 1",
        "echo data; echo \"$0 $*\" >&2; kill -9 $$",
    ] {
        let mut backup = lab.writer(["backup", "--name", "c", "--", "sh", "-c", script, "sh", &dsn]);
        watched.run(backup.env("PGPASSWORD", PASSWORD)).code(1);
    }
    watched.run(&lab.writer(["backup", "--name", "c", "--", "no-such-program", &dsn])).code(1);
    let git = format!("https://user:{PASSWORD}@git.example/r.git");
    watched.run(&lab.writer(["backup", "--name", "g", "--git", &git]));

    // Secrets in the wrong place.
    let url = lab.url();
    for args in [
        &["restore", "latest", "--source", "x", "--vault", &url, "--to", "-", "-i", key][..],
        &["restore", "latest", "--source", "x", "--vault", &url, "--to", "-", &format!("--identity={key}")],
        &["restore", key, "--vault", &url, "--to", "-"],
        &["snapshots", key],
        &["snapshots", "--vault-id", key, "--vault", &url],
        &["snapshots", "--source", key, "--vault", &url],
        &["verify", "--snapshot", key, "--vault", &url],
        &[key],
        &["snapshots", "--vault", &format!("s3://AKIA:{PASSWORD}@bucket/prefix")],
        &["snapshots", "--vault", &format!("https://user:{PASSWORD}@bucket/prefix")],
        &["snapshots", "--vault", &format!("file://user:{PASSWORD}@host/prefix")],
        &["init", "--vault", &url, "--out", &lab.text("o"), "--recipient", key],
    ] {
        let run = watched.run(&lab.program(args));
        assert!(run.code == Some(2), "{args:?}: {}", run.said());
    }
    let mut by_variable = lab.program(["restore", "latest", "--source", "x", "--vault", &url, "--to", "-"]);
    for value in [&key[..40], &key.to_lowercase(), &format!("{key}x"), &format!(" {key}")] {
        watched.run(by_variable.env("STRONGROOM_IDENTITY", value));
    }
}

#[test]
fn g8_files_that_are_not_what_they_should_be() {
    let (watched, key) = Watched::with_snapshot();
    let (lab, key, dsn) = (&watched.lab, key.as_str(), dsn());
    let url = lab.url();
    let file = lab.path("safe/odd");
    let writer_key = fs::read_to_string(lab.path("etc/writer.key")).unwrap();
    for text in [
        key[..50].to_owned(),
        format!("{key}{key}"),
        format!("{key} # mine"),
        format!("{{\"key\": \"{key}\"}}"),
        writer_key.clone(),
        writer_key.replace("AGE-SECRET", "AGE-SECRAT"),
    ] {
        fs::write(&file, text).unwrap();
        chmod(&file, 0o600);
        let mut restore = lab.program(["restore", "latest", "--source", "x", "--vault", &url, "--to", "-", "-i"]);
        watched.run(restore.arg(&file));
    }
    let secret = |field: &str| {
        let value: serde_json::Value = serde_json::from_str(&writer_key).unwrap();
        value[field].as_str().unwrap().to_owned()
    };
    for field in ["signing_key", "catalog_identity", "chunk_id_key"] {
        let value = secret(field);
        for other in [format!("{value}00"), value.replace('A', "B").replace('0', "1"), value.to_uppercase()] {
            fs::write(lab.path("etc/writer.key"), writer_key.replace(&value, &other)).unwrap();
            watched.run(&lab.writer(["backup", "--name", "x", "--path", "/etc/hostname"]));
        }
        fs::write(lab.path("etc/writer.key"), writer_key.replace(&format!("\"{value}\""), &format!("\"{value}")))
            .unwrap();
        watched.run(&lab.writer(["backup", "--name", "x", "--path", "/etc/hostname"])).code(2);
        fs::write(lab.path("etc/writer.key"), writer_key.replace(&format!("\"{field}\""), &format!("\"{value}\"")))
            .unwrap();
        watched.run(&lab.writer(["backup", "--name", "x", "--path", "/etc/hostname"])).code(2);
    }
    fs::write(lab.path("etc/writer.key"), &writer_key).unwrap();
    let config = fs::read_to_string(lab.config()).unwrap();
    for text in [
        format!("[[source]]\nname = \"x\"\nkind = \"command\"\npassword = \"{PASSWORD}\"\ncommand = [\"x\"]\n"),
        format!("[[source]]\nname = \"x\"\nkind = \"command\"\ncommand = \"pg_dump {dsn}\"\n"),
        format!("[[source]]\nname = \"{dsn}\"\nkind = \"command\"\ncommand = [\"x\"]\n"),
        format!("password = {PASSWORD}\n"),
    ] {
        fs::write(lab.config(), format!("{config}{text}")).unwrap();
        let run = watched.run(&lab.writer(["backup"]));
        assert_eq!(run.code, Some(2), "{}", run.said());
    }
}
