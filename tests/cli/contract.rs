//! Help, exit codes, JSON on failure, completions and the manual page.

use crate::sandbox::Sandbox;

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    let sandbox = Sandbox::new();
    let long = sandbox.run(&["--help"]).ok().out();
    for word in ["init", "backup", "snapshots", "restore", "verify", "watch", "catalog", "completions", "man"] {
        assert!(long.contains(word), "{word}");
    }
    for code in
        ["  0  done", "  2  ", "  3  ", "  4  damage", "  5  ", " 10  no vault", " 12  ", " 75  try again", "130  "]
    {
        assert!(long.contains(code), "{code:?} is not in\n{long}");
    }
    assert!(long.contains("STRONGROOM_IDENTITY") && long.contains("Examples"));
    for command in ["init", "backup", "restore", "verify"] {
        let help = sandbox.run(&[command, "--help"]).ok().out();
        assert!(help.contains("Examples") && help.contains("--json"), "{command}");
    }
    sandbox.run(&[]).code(2);
    sandbox.run(&["--version"]).ok();
}

#[test]
fn a_build_says_what_it_is() {
    let sandbox = Sandbox::new();
    let version = sandbox.run(&["--version"]).ok().out();
    for args in [["--version", "--json"], ["--json", "--version"]] {
        let build = sandbox.run(&args).ok().json()["result"].clone();
        assert_eq!(format!("strongroom {}\n", build["version"].as_str().unwrap()), version);
        let full = cfg!(feature = "full");
        assert_eq!(build["features"].as_array().unwrap().contains(&"full".into()), full, "{build}");
        assert_eq!((&build["format"], &build["commit"]), (&"1".into(), &option_env!("STRONGROOM_COMMIT").into()));
    }
}

#[test]
fn commands_that_do_not_exist_yet_are_usage_errors() {
    let sandbox = Sandbox::new();
    for command in ["key", "request"] {
        sandbox.run(&[command]).code(2).says(command);
    }
}

#[test]
fn usage_errors_are_documents_too() {
    let sandbox = Sandbox::new();
    for (args, command) in [
        (&["--json", "restore"][..], Some("restore")),
        (&["backup", "--json", "--nope"], Some("backup")),
        (&["nope", "--json"], None),
        (&["verify", "--json", "--depth", "x"], Some("verify")),
    ] {
        let document = sandbox.run(args).code(2).json();
        assert_eq!(document["command"].as_str(), command);
        assert_eq!(document["error"]["kind"], "usage");
        assert!(!document["error"]["message"].as_str().unwrap().is_empty());
    }
    // Behind `--` everything belongs to the command that is backed up.
    let run = sandbox.run(&["backup", "--", "dump", "--json"]).code(2);
    assert!(run.stdout.is_empty(), "{}", run.out());
}

#[test]
fn no_vault_is_ten() {
    let sandbox = Sandbox::new();
    let nowhere = format!("file://{}", sandbox.path("nowhere").display());
    let empty = format!("file://{}", sandbox.path("home").display());
    for url in [&nowhere, &empty] {
        let document = sandbox.run(&["snapshots", "--vault", url, "--json"]).code(10).json();
        assert_eq!(document["error"]["kind"], "no-vault");
        assert!(document["error"]["hint"].as_str().is_some());
    }
    assert!(!sandbox.path("nowhere").exists(), "looking makes nothing");
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.run(&["completions", shell]).ok().out().contains("snapshots"));
    }
    let page = sandbox.run(&["man"]).ok().out();
    assert!(page.contains(".TH") && page.contains("STRONGROOM RESTORE") && page.contains("130"));
    let document = sandbox.run(&["man", "--json"]).ok().json();
    assert_eq!(document["result"].as_str(), Some(page.as_str()));
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let sandbox = Sandbox::new();
    for args in [&["man"][..], &["--help"], &["completions", "bash"]] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("strongroom"))
            .args(args)
            .current_dir(sandbox.path("home"))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn logs_show_no_secret() {
    let sandbox = Sandbox::with_vault();
    // The sandbox searches every output for secrets; here it is as talkative as it gets.
    sandbox.writer_with(&["backup", "--name", "x", "--stdin", "-vv"], b"bytes").ok();
    sandbox.reader(&["restore", "latest", "--source", "x", "--to", "-", "-vv"]).ok();
    sandbox.reader(&["verify", "--depth", "decrypt", "-vv"]).ok();
    let noisy = "echo password=hunter2hunter2 >&2; echo postgres://u:hunter2hunter2@h/d >&2; exit 1";
    let run = sandbox.writer(&["backup", "--name", "x", "-vv", "--", "sh", "-c", noisy]).code(1);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn a_result_that_can_not_be_written_is_a_failure() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"bytes");
    let full = |args: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.args(["--vault", &sandbox.url(), "--config"]).arg(sandbox.config()).args(args);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.current_dir(sandbox.path("home")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let backup = ["backup", "--name", "y", "--allow-empty", "--", "true"];
    for args in [
        &["snapshots"][..],
        &["verify"],
        &["man"],
        &["--help"],
        &["completions", "bash"],
        &["policy", "--help"],
        &backup,
    ] {
        for json in [&[][..], &["--json"]] {
            let (code, err) = full(&[json, args].concat());
            assert_eq!(code, Some(1), "{args:?} {json:?}: {err}");
            assert!(err.contains("could not be written") || args.contains(&"--help"), "{args:?}: {err}");
        }
    }
    // What failed otherwise ends as it would.
    assert_eq!(full(&["restore", "--json"]).0, Some(2));
    let report = sandbox.path("safe/full.json");
    std::os::unix::fs::symlink("/dev/full", &report).unwrap();
    sandbox.reader(&["verify", "--report", report.to_str().unwrap()]).code(1).says("can't write");
    assert!(std::fs::symlink_metadata(&report).unwrap().is_symlink(), "a link stays");
}

#[test]
fn what_data_says_begins_no_line_of_its_own() {
    let sandbox = Sandbox::with_vault();
    let tree = sandbox.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), "text").unwrap();
    let odd = tree.join("f\n::warning::x\u{202e} ##vso[task.x]");
    assert!(std::process::Command::new("mkfifo").arg(&odd).status().unwrap().success());
    let path = tree.to_str().unwrap();
    let told = |run: crate::sandbox::Run, raw: bool| {
        let text = run.out() + &run.stderr;
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\r']) && !text.contains("##vso["), "{text}");
        assert!(raw || text.contains("\\n::"), "{text}");
        run
    };
    told(sandbox.writer(&["backup", "--name", "x", "--path", path]).ok(), false);
    told(sandbox.writer(&["backup", "--name", "x", "--path", path, "-vv"]).ok(), false);
    let run = told(sandbox.writer(&["backup", "--name", "x", "--path", path, "--json"]).ok(), true);
    let warning = run.json()["result"]["snapshots"][0]["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains(odd.to_str().unwrap()), "documents keep it: {warning:?}");
    let out = sandbox.path("back");
    told(sandbox.reader(&["restore", "latest", "--source", "x", "--to", out.to_str().unwrap()]).ok(), false);
    let noisy = "printf 'one\\n::error::two\\033[2J\\n##vso[x]\\n' >&2; exit 1";
    told(sandbox.writer(&["backup", "--name", "y", "--", "sh", "-c", noisy]).code(1), false);
    told(sandbox.run(&["snapshots", "--vault", "nope:\n::error::x"]).code(2), false);
    told(sandbox.run(&["snapshots", "x\n::error::\u{202e}"]).code(2), false);
    told(sandbox.writer(&["snapshots", "--source", "x\n::error::"]).code(2), false);
}
