//! Help, exit codes, JSON on failure, completions and the manual page.

use crate::sandbox::Sandbox;

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    let sandbox = Sandbox::new();
    let long = sandbox.run(&["--help"]).ok().out();
    for word in ["init", "backup", "snapshots", "restore", "verify", "catalog", "completions", "man"] {
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
fn commands_that_do_not_exist_yet_are_usage_errors() {
    let sandbox = Sandbox::new();
    for command in ["key", "status"] {
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
