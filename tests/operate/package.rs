//! What `scripts/package` makes of the built program, and what its maintainer's scripts do. `scripts/test-package` installs it in a
//! clean root file system, which takes minutes.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {all}");
    all
}

fn packed(out: &Path) -> BTreeMap<String, String> {
    let program = assert_cmd::cargo::cargo_bin("strongroom");
    let mut command = Command::new(root().join("scripts/package"));
    command.args(["--quick", "--program"]).arg(program).arg("--out").arg(out).env("SOURCE_DATE_EPOCH", "1700000000");
    let sums = said(&mut command);
    sums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect()
}

#[test]
fn the_package_holds_what_it_should_and_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("elsewhere/two"));
    let sums = packed(&one);
    assert_eq!(sums, packed(&two), "two packages of one program differ");
    assert_eq!(sums.len(), 3, "{sums:?}");
    let deb = one.join(sums.keys().find(|name| name.rsplit('.').next() == Some("deb")).unwrap());
    let tree = dir.path().join("tree");
    said(Command::new("dpkg-deb").arg("-R").arg(&deb).arg(&tree));
    let read = |path: &str| fs::read_to_string(tree.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    for path in [
        "usr/bin/strongroom",
        "usr/share/man/man1/strongroom.1.gz",
        "usr/share/bash-completion/completions/strongroom",
        "usr/share/zsh/vendor-completions/_strongroom",
        "usr/share/fish/vendor_completions.d/strongroom.fish",
        "usr/share/doc/strongroom/copyright",
        "usr/share/doc/strongroom/changelog.gz",
        "usr/share/doc/strongroom/quickstart.md.gz",
    ] {
        assert!(fs::metadata(tree.join(path)).is_ok_and(|meta| meta.len() > 100), "{path}");
    }
    for task in ["backup", "doctor", "renew", "prune", "verify", "watch", "status", "drill"] {
        let unit = read(&format!("usr/lib/systemd/system/strongroom-{task}.service"));
        assert!(unit.contains("ExecStart=/usr/bin/strongroom --config %d/strongroom.toml"), "{unit}");
        assert!(unit.contains("LoadCredential=strongroom.toml:/etc/strongroom/"), "{unit}");
        assert!(!unit.contains("/tmp") && unit.contains("EnvironmentFile=-/etc/default/strongroom"), "{unit}");
        assert!(tree.join(format!("usr/lib/systemd/system/strongroom-{task}.timer")).exists(), "{task}");
    }
    assert!(read("usr/lib/sysusers.d/strongroom.conf").contains("u strongroom -"));
    assert_eq!(read("DEBIAN/conffiles"), "/etc/default/strongroom\n");
    let control = read("DEBIAN/control");
    for line in ["Package: strongroom", "Architecture: amd64", "Depends: libc6 (>= 2."] {
        assert!(control.contains(line), "{control}");
    }
    assert!(!control.replace("@localhost", "").contains('@'), "something was not filled in: {control}");
    // Every file but the conffile has its sum, owners are root, and nobody else may write.
    let sums = read("DEBIAN/md5sums");
    said(Command::new("md5sum").args(["--check", "--quiet", "DEBIAN/md5sums"]).current_dir(&tree));
    let listed = said(Command::new("dpkg-deb").arg("-c").arg(&deb).env("TZ", "UTC"));
    let files = listed.lines().filter(|line| line.starts_with('-')).count();
    assert_eq!(files, sums.lines().count() + 1, "{listed}");
    for line in listed.lines() {
        assert!(line.contains(" root/root ") && &line[5..6] == "-" && &line[8..9] == "-", "{line}");
        assert!(line.contains(" 2023-11-14 "), "times are those that were asked for: {line}");
    }
    // What it was made of.
    let bill: Value = serde_json::from_str(&read("usr/share/doc/strongroom/sbom.cdx.json")).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bill["components"].as_array().unwrap();
    let names: Vec<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in ["age", "aws-sdk-s3", "zstd-sys", "libsqlite3-sys", "ring"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!names.contains(&"proptest") && !names.contains(&"stateright"), "what only tests need is not a part of it");
    assert!(components.iter().all(|one| one["hashes"][0]["content"].as_str().is_some_and(|sum| sum.len() == 64)));
    assert!(components.iter().all(|one| one["licenses"][0]["expression"].is_string()), "{components:?}");
}

/// What is done with a system's users and directories, in a mount of one's own over /etc and /var/lib.
#[test]
fn the_maintainers_scripts_can_be_run_twice_and_delete_no_key() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: this takes root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let scripts = root().join("scripts/packaging");
    let script = format!(
        "set -eu; cd {dir}; mount -t tmpfs tmpfs {dir}\n\
         for at in etc var/lib; do mkdir -p up/$at work/$at; \
           mount -t overlay overlay -o lowerdir=/$at,upperdir=up/$at,workdir=work/$at /$at; done\n\
         userdel strongroom 2>/dev/null || true; rm -rf /etc/strongroom /var/lib/strongroom\n\
         sh {s}/postinst configure ''\n\
         getent passwd strongroom; stat -c '%n %U %a' /etc/strongroom /var/lib/strongroom\n\
         chmod 750 /etc/strongroom; echo key >/etc/strongroom/writer.key; echo x >/var/lib/strongroom/x\n\
         sh {s}/postinst configure 0.0.9; stat -c 'again %n %a' /etc/strongroom\n\
         sh {s}/prerm upgrade; sh {s}/prerm remove; sh {s}/postrm remove; test -e /var/lib/strongroom/x\n\
         sh {s}/postrm purge 2>&1; sh {s}/postrm purge 2>&1\n\
         cat /etc/strongroom/writer.key; test ! -e /var/lib/strongroom\n\
         rm /etc/strongroom/writer.key; sh {s}/postrm purge; test ! -e /etc/strongroom; echo whole\n",
        dir = dir.path().display(),
        s = scripts.display(),
    );
    let told = said(Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &script]));
    for part in [
        ":/var/lib/strongroom:/usr/sbin/nologin",
        "/etc/strongroom strongroom 700",
        "/var/lib/strongroom strongroom 700",
        "again /etc/strongroom 750",
        "holds keys or configurations and is left as it is",
        "\nkey\n",
        "\nwhole\n",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
}
