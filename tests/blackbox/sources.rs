//! Sources that fail, lie, hang or come twice: no false success (G7).

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    process::Stdio,
};

use crate::{
    lab::{Lab, Run, chmod, must_be, noise, tree},
    mount::without_privilege,
};

fn command(lab: &Lab, script: &str) -> Run {
    lab.run(&mut lab.writer(["backup", "--name", "x", "--", "sh", "-c", script]))
}

#[test]
fn a_tree_whose_files_are_gone_is_no_backup() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("tree/a/b")).unwrap();
    fs::create_dir(lab.path("tree/c")).unwrap();
    fs::write(lab.path("tree/c/file"), "x").unwrap();
    let tree = |more: &[&str]| lab.run(lab.writer(["backup", "--name", "x", "--path", &lab.text("tree")]).args(more));
    tree(&[]).ok();
    fs::remove_file(lab.path("tree/c/file")).unwrap();
    tree(&[]).fails(1, &["--allow-empty", "no data"]);
    fs::write(lab.path("tree/a/nothing in it"), "").unwrap();
    tree(&[]).fails(1, &["--allow-empty"]);
    tree(&["--allow-empty"]).ok();
    std::os::unix::fs::symlink("nowhere", lab.path("tree/link")).unwrap();
    tree(&[]).ok();
}

#[test]
fn an_empty_stream_is_a_dead_producer() {
    let lab = Lab::new();
    lab.run(&mut lab.writer(["backup", "--name", "x", "--stdin"])).fails(1, &["--allow-empty", "no snapshot"]);
    command(&lab, "true").fails(1, &["--allow-empty"]);
    fs::write(lab.path("empty"), "").unwrap();
    fs::create_dir(lab.path("folder")).unwrap();
    fs::create_dir_all(lab.path("skeleton/a/b")).unwrap();
    fs::create_dir(lab.path("skeleton/c")).unwrap();
    for path in ["empty", "folder", "skeleton"] {
        let mut backup = lab.writer(["backup", "--name", "x", "--path", &lab.text(path)]);
        lab.run(&mut backup).fails(1, &["--allow-empty"]);
    }
    // What `false | strongroom backup --stdin` looks like from inside.
    let backup = lab.writer(["backup", "--name", "x", "--stdin"]);
    let mut pipe = lab.around("sh");
    pipe.args(["-c", "false | \"$@\"", "sh"]).arg(backup.get_program()).args(backup.get_args());
    lab.run(&mut pipe).fails(1, &["--allow-empty"]);
    assert!(lab.ids().is_empty());

    lab.run(&mut lab.writer(["backup", "--name", "x", "--stdin", "--allow-empty"])).ok();
    let id = lab.ids().pop().unwrap();
    assert_eq!(lab.bytes_of(&id), b"");
    lab.run(&mut lab.reader(["restore", &id, "--to", &lab.text("out")])).ok();
    assert_eq!(fs::read(lab.path("out/x/stdin")).unwrap(), b"");
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
}

#[test]
fn commands_that_fail() {
    let lab = Lab::new();
    lab.backup("x", b"earlier");
    let earlier = lab.ids();
    for (script, names) in [
        ("exit 1", "exit status 1"),
        ("echo some; echo the disk is on fire >&2; exit 3", "the disk is on fire"),
        ("echo some; kill -9 $$", "signal 9"),
        ("echo some; kill -TERM $$", "signal 15"),
        ("echo some; exec no-such-program", "exit status 127"),
    ] {
        let run = command(&lab, script).fails(1, &[names, "no snapshot"]);
        assert!(!run.stderr.contains("some;"), "{}", run.stderr);
    }
    for (argv, names) in
        [("no-such-program", "PATH"), ("/no/such/program", "does not exist"), ("/etc", "may not be run")]
    {
        lab.run(&mut lab.writer(["backup", "--name", "x", "--", argv])).fails(1, &[argv, names]);
    }
    lab.configure(
        "[[source]]\nname = \"slow\"\nkind = \"command\"\ncommand = [\"sleep\", \"1000\"]\ntimeout = \"1s\"\n\
         [[source]]\nname = \"short\"\nkind = \"command\"\ncommand = [\"echo\", \"x\"]\nmin_bytes = 1000\n\
         [[source]]\nname = \"cut\"\nkind = \"command\"\ncommand = [\"echo\", \"x\"]\ntrailer = \"complete\"\n",
    );
    lab.run(&mut lab.writer(["backup", "slow"])).fails(1, &["1 s", "sleep"]);
    lab.run(&mut lab.writer(["backup", "short"])).fails(1, &["1000"]);
    lab.run(&mut lab.writer(["backup", "cut"])).fails(1, &["complete"]);
    assert_eq!(lab.ids(), earlier, "no snapshot was made");
    assert_eq!(lab.still_running(), [""; 0]);
}

#[test]
fn a_command_that_fails_late() {
    let lab = Lab::new();
    lab.backup("x", b"earlier");
    let earlier = lab.ids();
    fs::write(lab.path("head"), noise(2, 24 << 20)).unwrap();
    let script = format!("cat {}; head -c 100M /dev/zero; exit 1", lab.text("head"));
    command(&lab, &script).fails(1, &["exit status 1", "no snapshot"]);
    assert_eq!(lab.ids(), earlier);
    assert_eq!(lab.still_running(), [""; 0]);
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
    // What it had uploaded is used when it comes again.
    let run = lab.run(&mut lab.writer(["backup", "--name", "x", "--json", "--", "cat", &lab.text("head")])).ok();
    let new = run.json()["result"]["snapshots"][0]["bytes_new"].as_u64().unwrap();
    assert!(new < 12 << 20, "{new} bytes were stored again");
}

#[test]
fn two_runs_at_once() {
    let lab = Lab::new();
    let fifo = lab.path("fifo");
    assert!(lab.around("mkfifo").arg(&fifo).status().unwrap().success());
    let begin = || {
        let mut first = lab.writer(["backup", "--name", "x", "--json", "--", "cat"]);
        let child = first.arg(&fifo).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Opening it waits for the command, which the first run starts when it has its lock.
        (child, File::options().write(true).open(&fifo).unwrap())
    };
    let (first, mut pipe) = begin();
    let pid = first.id().to_string();
    for args in [&["backup", "--name", "y", "--stdin"][..], &["catalog", "rebuild"]] {
        lab.feed(&mut lab.writer(args), b"second").fails(75, &["another run", &pid, "hint: "]);
    }
    let document = lab.feed(&mut lab.writer(["backup", "--name", "y", "--stdin", "--json"]), b"second").code(75).json();
    assert_eq!(document["error"]["kind"], "busy");
    // Who only reads is not kept out.
    assert!(lab.ids().is_empty());
    pipe.write_all(b"first").unwrap();
    drop(pipe);
    let made = lab.wait(first).ok().json();
    assert_eq!(lab.bytes_of(made["result"]["snapshots"][0]["id"].as_str().unwrap()), b"first");

    let (mut dead, pipe) = begin();
    dead.kill().unwrap();
    dead.wait().unwrap();
    drop(pipe);
    let lock = tree(&lab.path("etc/state")).into_iter().find(|name| name.ends_with(".lock")).unwrap();
    let left = fs::read_to_string(lab.path("etc/state").join(lock)).unwrap();
    assert_eq!(left, format!("pid {}\n", dead.id()), "the dead run left its mark");
    lab.backup("x", b"third");
    assert_eq!(lab.ids().len(), 2);
}

#[test]
fn files_that_cannot_be_read() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("data/deep")).unwrap();
    fs::write(lab.path("data/good"), "good").unwrap();
    fs::write(lab.path("data/secret"), "for others").unwrap();
    let backup = |path: &str| {
        let command = lab.writer(["backup", "--name", "x", "--path", path]);
        lab.run(&mut without_privilege(&lab, &command))
    };
    chmod(&lab.path("data/secret"), 0);
    backup(&lab.text("data")).fails(1, &["data/secret", "ermission denied", "no snapshot"]);
    backup(&lab.text("data/secret")).fails(1, &["data/secret", "ermission denied"]);
    fs::remove_file(lab.path("data/secret")).unwrap();
    chmod(&lab.path("data/deep"), 0);
    backup(&lab.text("data")).fails(1, &["data/deep", "ermission denied"]);
    fs::remove_dir(lab.path("data/deep")).unwrap();
    backup(&lab.text("data/none")).fails(1, &["data/none"]);
    // A file that exists, can be opened, and fails when it is read.
    backup("/proc/self/mem").fails(1, &["/proc/self/mem"]);
    symlink("nowhere", lab.path("dangling")).unwrap();
    backup(&lab.text("dangling")).fails(1, &["dangling"]);
    backup("/dev/null").fails(1, &["/dev/null"]);
    let run = lab.run(&mut lab.writer(["backup", "--name", "x", "--git", &lab.text("data")]));
    run.fails(1, &[&lab.text("data")]);
    assert!(lab.ids().is_empty());
    backup(&lab.text("data")).ok();
}

#[test]
fn some_sources_fail_and_others_do_not() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "a file").unwrap();
    lab.configure(&format!(
        "[[source]]\nname = \"bad\"\nkind = \"command\"\ncommand = [\"false\"]\n\
         [[source]]\nname = \"good\"\nkind = \"path\"\npath = {:?}\n",
        lab.text("file")
    ));
    let document = lab.run(&mut lab.writer(["backup", "--json"])).code(3).json();
    assert_eq!(document["result"]["snapshots"][0]["source"], "good");
    assert_eq!(document["findings"][0]["object"], "bad");
    assert_eq!(lab.ids().len(), 1);
    let run = lab.run(&mut lab.writer(["backup"])).code(3).says(&["bad", "1 of 2"]);
    assert!(String::from_utf8_lossy(&run.stdout).contains("good: snapshot"), "{}", run.said());
    lab.run(&mut lab.writer(["backup", "good"])).ok();
}

#[test]
fn a_long_stream_through_a_slow_pipe_is_whole() {
    let lab = Lab::new();
    let bytes = noise(3, 9 << 20);
    fs::write(lab.path("bytes"), &bytes).unwrap();
    // Short writes of odd sizes.
    let script = format!("dd if={} bs=4099 2>/dev/null", lab.text("bytes"));
    command(&lab, &script).ok();
    must_be(&lab.bytes_of(&lab.ids()[0]), &bytes, "a command's output");
}
