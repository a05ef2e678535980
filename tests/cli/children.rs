//! What the programs that strongroom starts see of its environment.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use crate::sandbox::Sandbox;

/// A program called `name` that notes its environment, and goes on as `then` says.
fn program(dir: &Path, name: &str, then: &str) {
    let path = dir.join(name);
    let seen = dir.join("seen");
    let script = format!("#!/bin/sh\n/usr/bin/env >\"{}/{name}.$$\"\n{then}\n", seen.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn children_see_nothing_of_what_opens_or_reaches_the_vault() {
    let sandbox = Sandbox::with_vault();
    let dir = sandbox.path("bin");
    fs::create_dir_all(dir.join("seen")).unwrap();
    program(&dir, "git", "exec /usr/bin/git \"$@\"");
    program(&dir, "dump", "echo data");
    for name in ["psql", "pg_dump", "pg_dumpall", "pg_basebackup"] {
        program(&dir, name, &format!("[ \"$1\" = --version ] && echo '{name} (PostgreSQL) 99.0'; exit 1"));
    }
    for name in ["mariadb", "mariadb-dump"] {
        program(&dir, name, "exit 1");
    }
    let repo = sandbox.path("repo");
    assert!(std::process::Command::new("git").args(["init", "-q", "--bare"]).arg(&repo).status().unwrap().success());
    let repo = repo.display().to_string();
    let planted = [
        ("STRONGROOM_IDENTITY", "planted-identity"),
        ("STRONGROOM_CREDENTIALS", "file:/planted-credentials"),
        ("AWS_SECRET_ACCESS_KEY", "planted-secret"),
        ("AWS_ACCESS_KEY_ID", "planted-id"),
        ("AWS_SESSION_TOKEN", "planted-token"),
    ];
    for source in [
        &["--", "dump"][..],
        &["--git", &repo],
        &["--git", "http://127.0.0.1:9/x.git"],
        &["--postgres", "host=127.0.0.1 port=9"],
        &["--mariadb", "mysql://127.0.0.1:9/"],
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let mut command = sandbox.command();
            command.env("PATH", format!("{}:/usr/bin:/bin", dir.display())).envs(planted);
            command.env("HTTP_PROXY", "http://127.0.0.1:9").env("KEPT", "by-commands");
            command.arg("--config").arg(sandbox.config()).args(["backup", "--name", "x", "--allow-empty"]);
            sandbox.finish(command.args(more).args(source));
        }
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(dir.join("seen")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let ours: Vec<&str> =
            text.lines().filter(|line| line.starts_with("STRONGROOM_") || line.starts_with("AWS_")).collect();
        assert!(ours.is_empty() && !text.contains("planted"), "{name} saw {ours:?}");
        // A command is somebody's own, and has the rest of this environment.
        assert!(name != "dump" || text.contains("KEPT=by-commands"), "{text}");
        *kinds.entry(name).or_default() += 1;
    }
    for kind in ["dump", "git", "psql", "mariadb"] {
        assert!(kinds.contains_key(kind), "{kind} was not started: {kinds:?}");
    }
    let proxied = fs::read_dir(dir.join("seen")).unwrap().flatten();
    let proxied = proxied.filter(|entry| fs::read_to_string(entry.path()).unwrap().contains("http_proxy=http://127"));
    assert!(proxied.count() > 0, "git is told of the proxy as it understands it");
}

#[test]
fn plugins_of_age_get_what_they_need_and_nothing_of_ours() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("bin");
    fs::create_dir_all(&dir).unwrap();
    let plugin = dir.join("age-plugin-stub");
    fs::write(&plugin, include_str!("plugin.py")).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let identity = sandbox.identity();
    fs::write(&identity, "AGE-PLUGIN-STUB-1WD682CSWJUACL\n").unwrap();
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    let run = |args: &[&str], input: &[u8]| {
        let mut command = sandbox.command();
        command.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
        command.env("AWS_SECRET_ACCESS_KEY", "planted-secret").env("STRONGROOM_PASSWORD_OF_MINE", "planted-too");
        command.env("PGPASSWORD", "planted-third").env("AGE_PLUGIN_STUB_DEVICE", "kept").env("LC_ALL", "C.UTF-8");
        sandbox.finish(command.args(args).write_stdin(input))
    };
    let (url, etc, config) = (sandbox.url(), sandbox.path("etc"), sandbox.config());
    let (etc, config) = (etc.to_str().unwrap(), config.to_str().unwrap());
    run(&["init", "--vault", &url, "--out", etc, "--recipient", "age1stub1wd682cs39fx9v"], b"").ok();
    run(&["--config", config, "backup", "--name", "x", "--stdin"], b"some bytes").ok();
    let restore =
        ["--vault", &url, "restore", "latest", "--source", "x", "--to", "-", "-i", identity.to_str().unwrap()];
    assert_eq!(run(&restore, b"").ok().stdout, b"some bytes");
    for mode in ["recipient-v1", "identity-v1"] {
        let seen = fs::read_to_string(dir.join(format!("seen-{mode}"))).unwrap();
        assert!(!seen.contains("planted") && seen.contains("PATH=") && seen.contains("HOME="), "{mode}: {seen}");
        assert!(seen.contains("AGE_PLUGIN_STUB_DEVICE=kept") && seen.contains("LC_ALL=C.UTF-8"), "{mode}: {seen}");
    }
    // What a plugin says of its failure arrives.
    fs::write(dir.join("broken"), "").unwrap();
    run(&restore, b"").code(1).says("the key was unplugged");
    fs::remove_file(plugin).unwrap();
    run(&restore, b"").code(2).says("age-plugin-stub");
}
