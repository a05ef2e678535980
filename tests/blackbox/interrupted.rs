//! Ctrl-C and SIGTERM: an end in good order, soon, with nothing left running and nothing half done.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Lab, Run, noise, tree};

/// Starts `command` and waits until its log says `word`.
fn begun(command: &mut Command, word: &str) -> (Child, String) {
    let mut child =
        command.arg("-v").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Byte by byte: what is read ahead would be missing in what is read later.
    let mut errors = child.stderr.take().unwrap();
    let mut log = String::new();
    while !log.lines().any(|line| line.contains(word)) || !log.ends_with('\n') {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "it ended before it said {word:?}: {log}");
        log.push(char::from(byte[0]));
    }
    child.stderr = Some(errors);
    (child, log)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What an interrupted run says to people, the log of -v aside.
fn must_be_interrupted(run: &Run) {
    assert_eq!(run.code, Some(130), "{}", run.said());
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", run.said());
    assert!(errors[0].contains("interrupted"), "{}", run.said());
    assert!(run.stdout.is_empty(), "{}", run.said());
}

#[test]
fn a_command_that_hangs() {
    let lab = Lab::new();
    let earlier = vec![lab.backup("x", b"earlier")["id"].as_str().unwrap().to_owned()];
    for (what, script) in [
        ("one that says nothing", "exec sleep 1000"),
        ("one with a child", "sleep 1000; true"),
        ("one that hears no signal", "trap '' INT TERM; while :; do sleep 1000; done"),
        ("one that wrote something", "head -c 3000000 /dev/urandom; exec sleep 1000"),
        ("one that closed its output", "echo some; exec >&-; sleep 1000; exec sleep 1000"),
    ] {
        for kind in [Signal::INT, Signal::TERM] {
            let fifo = lab.path("ready");
            assert!(lab.around("mkfifo").arg(&fifo).status().unwrap().success());
            let script = format!("echo > {}; {script}", fifo.display());
            let mut backup = lab.writer(["backup", "--name", "x", "-v", "--", "sh", "-c", &script]);
            backup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = backup.spawn().unwrap();
            // The command is there when somebody answers.
            BufReader::new(File::open(&fifo).unwrap()).read_line(&mut String::new()).unwrap();
            signal(&child, kind);
            must_be_interrupted(&lab.wait(child));
            assert_eq!(lab.still_running(), [""; 0], "{what}");
            fs::remove_file(fifo).unwrap();
        }
    }
    assert_eq!(lab.ids(), earlier, "no snapshot was made, and the earlier one is there");
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
    lab.backup("x", b"later");
}

#[test]
fn a_backup_that_is_under_way() {
    let lab = Lab::new();
    let bytes = noise(1, 120 << 20);
    let (mut child, _) = begun(&mut lab.writer(["backup", "--name", "x", "--stdin"]), "backing up x");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).unwrap();
    signal(&child, Signal::INT);
    must_be_interrupted(&lab.wait(child));
    drop(stdin);
    assert!(lab.ids().is_empty());
    assert_eq!(lab.unfinished(), [""; 0]);
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
    let again = lab.backup("x", &bytes);
    assert!(again["bytes_new"].as_u64().unwrap() < 110 << 20, "what was uploaded is used: {again}");
}

#[test]
fn several_sources_of_which_one_was_done() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "a file").unwrap();
    lab.configure(&format!(
        "[[source]]\nname = \"one\"\nkind = \"path\"\npath = {:?}\n\
         [[source]]\nname = \"two\"\nkind = \"command\"\ncommand = [\"sleep\", \"1000\"]\n\
         [[source]]\nname = \"three\"\nkind = \"path\"\npath = {:?}\n",
        lab.text("file"),
        lab.text("file")
    ));
    let (child, _) = begun(&mut lab.writer(["backup", "--json"]), "backing up two");
    signal(&child, Signal::INT);
    let document = lab.wait(child).code(130).json();
    assert_eq!(document["error"]["kind"], "interrupted");
    let made: Vec<_> = document["result"]["snapshots"].as_array().unwrap().iter().map(|s| &s["source"]).collect();
    assert_eq!(made, ["one"]);
    assert_eq!(lab.ids().len(), 1);
    assert_eq!(lab.still_running(), [""; 0]);
}

#[test]
fn a_restore_whose_reader_sleeps() {
    let lab = Lab::new();
    let id = lab.backup("x", &noise(2, 30 << 20))["id"].as_str().unwrap().to_owned();
    let (child, _) = begun(&mut lab.reader(["restore", &id, "--to", "-"]), "restoring x");
    // Nobody reads its output, so it waits in a write. The second signal need not wait.
    signal(&child, Signal::INT);
    let (mut child, mut errors) = {
        let mut child = child;
        let errors = child.stderr.take().unwrap();
        (child, errors)
    };
    let mut log = String::new();
    while !log.contains("signal again") {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{log}");
        log.push(char::from(byte[0]));
    }
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_restore_leaves_no_half_file() {
    let lab = Lab::new();
    let bytes = noise(3, 60 << 20);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    let out = lab.path("out");
    for _ in 0..3 {
        let (child, _) = begun(&mut lab.reader(["restore", &id, "--to", out.to_str().unwrap()]), "restoring x");
        signal(&child, Signal::INT);
        let run = lab.wait(child);
        if run.code == Some(0) {
            assert_eq!(tree(&out), ["x/", "x/stdin"]);
            fs::remove_dir_all(&out).unwrap();
            continue;
        }
        must_be_interrupted(&run);
        assert!(run.stderr.contains("the same command goes on"), "{}", run.stderr);
        // The mark and what it is gone on with, and nothing under its name.
        let named =
            |name: &String| !name.ends_with('/') && !name.split('/').any(|part| part.starts_with(".strongroom-"));
        assert_eq!(tree(&out).into_iter().filter(named).collect::<Vec<_>>(), [""; 0]);
    }
    lab.run(&mut lab.reader(["restore", &id, "--to", out.to_str().unwrap()])).ok();
    assert_eq!(tree(&out), ["x/", "x/stdin"]);
    assert!(fs::read(out.join("x/stdin")).unwrap() == bytes);
}
