//! `--limit-upload` and `--deadline`, and `[limits]`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::sandbox::{Sandbox, noise};

#[test]
fn a_backup_takes_no_more_of_the_line_than_it_may() {
    let sandbox = Sandbox::with_vault();
    let bytes = noise(36 << 20, 3);
    let begun = Instant::now();
    // Three packs: the second and the third wait for what was put before them.
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "8MiB"], &bytes).ok();
    assert!(begun.elapsed() >= Duration::from_secs(3), "32 MiB before the last pack take 4 s: {:?}", begun.elapsed());
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "0"], b"x").code(2);
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "fast"], b"x").code(2);
}

#[test]
fn a_run_ends_with_its_deadline_and_the_next_goes_on() {
    let sandbox = Sandbox::with_vault();
    sandbox.configure("\n[limits]\nupload = \"1MiB\"\ndeadline = \"3s\"\n");
    let bytes = noise(40 << 20, 4);
    let late = sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--json"], &bytes).code(1).json();
    assert_eq!(late["error"]["kind"], "deadline", "{late}");
    assert!(late["error"]["message"].as_str().unwrap().contains("3s"), "{late}");
    // What is typed comes before what is configured.
    sandbox
        .writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "1GiB", "--deadline", "1h"], &bytes)
        .ok();
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len(), 1);
    let text = fs::read_to_string(sandbox.config()).unwrap();
    for wrong in ["upload = \"0\"", "upload = \"quick\"", "deadline = \"0s\"", "speed = 1"] {
        fs::write(sandbox.config(), text.replace("upload = \"1MiB\"", wrong).replace("deadline = \"3s\"", "")).unwrap();
        sandbox.writer_with(&["backup", "--name", "big", "--stdin"], b"x").code(2);
    }
}

/// How nice each thread of a process is.
fn niceness(pid: u32) -> BTreeSet<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeSet::new() };
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
    // Behind the name, which may hold anything: state, then fifteen numbers, then how nice it is.
    let of = |stat: String| stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok();
    tasks.filter_map(|task| stat(task.ok()?)).filter_map(of).collect()
}

#[test]
fn what_a_backup_computes_gives_way_as_it_was_told() {
    let sandbox = Sandbox::with_vault();
    let plain = fs::read_to_string(sandbox.config()).unwrap();
    for (text, wanted) in [("", 0), ("\n[limits]\nnice = 13\n", 13)] {
        fs::write(sandbox.config(), format!("{plain}{text}")).unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.env_clear().env("HOME", sandbox.path("home")).arg("--config").arg(sandbox.config());
        command.args(["backup", "--name", "big", "--stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // More than what is held before the first is sealed, so that its workers are there.
        input.write_all(&noise(24 << 20, 5)).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        let seen = loop {
            let seen = niceness(child.id());
            if wanted == 0 || seen.contains(&wanted) || Instant::now() > until {
                break seen;
            }
            thread::sleep(Duration::from_millis(20)); // nothing tells when its workers have begun
        };
        drop(input);
        assert!(child.wait().unwrap().success());
        assert!(seen.contains(&own), "what reads and puts is as nice as it was: {seen:?}");
        assert_eq!(seen.contains(&13), wanted == 13, "{seen:?}");
    }
    fs::write(sandbox.config(), format!("{plain}\n[limits]\nnice = 20\n")).unwrap();
    sandbox.writer_with(&["backup", "--name", "big", "--stdin"], b"x").code(2).says("0 (normal) to 19");
}
