//! Drills of a sandbox's vault, and backups of sources that lie.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use strongroom::{
    format::writer_key,
    model::{Cancel, Clock, Silent, SourceKind, Tiers, Time},
    ops::backup::{BackupRequest, Job, backup},
    source::{Facts, FileMeta, Incoming, Reading, Result, Source},
    store::local::LocalStore,
    vault::writer::Workplace,
};

use crate::sandbox::{Run, Sandbox};

/// Runs a drill with a temporary directory of its own, and checks that nothing is left there.
pub fn drill(sandbox: &Sandbox, args: &[&str]) -> Run {
    let tmp = sandbox.path("tmp");
    let _ = fs::create_dir(&tmp);
    // The server of a drill has a user of its own, who must get to its directory.
    for open in [sandbox.path(""), tmp.clone()] {
        fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    }
    let mut command = sandbox.command();
    command.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config()).arg("drill");
    let run = sandbox.finish(command.arg("-i").arg(sandbox.identity()).args(args));
    assert_eq!(left(&tmp), [""; 0], "{}", run.stderr);
    run
}

/// What is in a directory.
pub fn left(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The drill of `source` in a document.
pub fn of<'a>(document: &'a Value, source: &str) -> &'a Value {
    let drills = document["result"]["drills"].as_array().unwrap();
    drills.iter().find(|drill| drill["source"] == source).unwrap()
}

/// The checks of a drill that did not pass: names and status.
pub fn failed(drill: &Value) -> Vec<(String, String)> {
    let checks = drill["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|check| check["status"] != "pass");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    bad.map(|check| (text(&check["name"]), text(&check["status"]))).collect()
}

/// Drills `source` with a script called `program` in place of the real one, which the script itself finds; gives the checks
/// that did not pass.
pub fn tampered(sandbox: &Sandbox, source: &str, program: &str, script: &str) -> Vec<(String, String)> {
    let bin = sandbox.path("between");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join(program), format!("#!/bin/sh\nPATH='{}'\n{script}\n", env!("PATH"))).unwrap();
    fs::set_permissions(bin.join(program), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = sandbox.command();
    command.env("PATH", format!("{}:{}", bin.display(), env!("PATH"))).arg("--config").arg(sandbox.config());
    // Confined, the script could change nothing of what was restored.
    let run =
        sandbox.finish(command.args(["drill", source, "--json", "--unconfined", "-i"]).arg(sandbox.identity())).code(6);
    failed(of(&run.json(), source))
}

/// A source with one stream of these bytes.
pub struct Made {
    pub kind: SourceKind,
    pub stream: &'static str,
    pub bytes: Vec<u8>,
    pub facts: Facts,
}

impl Source for Made {
    fn kind(&self) -> SourceKind {
        self.kind
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let bytes = Some(std::mem::take(&mut self.bytes));
        Ok(Box::new(MadeReading { stream: self.stream, bytes, facts: std::mem::take(&mut self.facts) }))
    }
}

struct MadeReading {
    stream: &'static str,
    bytes: Option<Vec<u8>>,
    facts: Facts,
}

impl Reading for MadeReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        Ok(self.bytes.take().map(|bytes| Incoming {
            name: self.stream.parse().unwrap(),
            path: None,
            meta: FileMeta::default(),
            expected: None,
            reader: Box::new(std::io::Cursor::new(bytes)),
        }))
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        Ok(self.facts)
    }
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Time::from_unix(since.as_secs().try_into().unwrap())
    }
}

/// Backs a source up with the sandbox's writer, as a writer that was taken over could.
pub fn back_up(sandbox: &Sandbox, name: &str, source: Made) {
    let key = fs::read(sandbox.path("etc/writer.key")).unwrap();
    let place = Workplace {
        store: Arc::new(LocalStore::open(sandbox.path("vault"), Arc::new(Now)).unwrap()),
        writer: Arc::new(writer_key::open(&key).unwrap()),
        clock: Arc::new(Now),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let request = BackupRequest {
        expected: Vec::new(),
        jobs: vec![Job {
            name: name.parse().unwrap(),
            source: Box::new(source),
            allow_empty: false,
            group: None,
            timeout: None,
        }],
        keep: None,
        tiers: Tiers::default(),
        full_every: None,
        adapts: false,
        delta_cache: None,
        state: sandbox.path("etc/state"),
        pins: Vec::new(),
        clock_is_right: false,
        acknowledge: false,
        no_rebuild: false,
        requested: None,
        elapsed: Box::new(|| Duration::ZERO),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let report = backup(&place, runtime.handle(), request).unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
}
