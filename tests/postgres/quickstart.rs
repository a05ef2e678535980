//! docs/quickstart.md, word for word, where its files lie elsewhere.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use crate::server::Postgres;

/// The blocks of a page that are marked as `language`.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mark = format!("```{language}\n");
    page.split(&mark).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn the_quick_start_works_as_it_is_written() {
    let server = Postgres::start();
    server.create("orders");
    server.sql("orders", "create table orders as select i, md5(i::text) what from generate_series(1, 1000) i");
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    for open in ["", "tmp", "git", "etc"] {
        let _ = fs::create_dir(home.path().join(open));
        fs::set_permissions(home.path().join(open), fs::Permissions::from_mode(0o711)).unwrap();
    }
    fs::remove_dir(at("etc")).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/quickstart.md")).unwrap();
    let page = page
        .replace("/var/lib/strongroom", &at("var"))
        .replace("/srv/vault", &at("vault"))
        .replace("/etc/strongroom", &at("etc"))
        .replace("/media/safe", &at("safe"))
        .replace("/srv/git", &at("git"))
        .replace("/tmp/back", &at("back"))
        .replace("/tmp/units", &at("units"));
    let program = Path::new(env!("CARGO_BIN_EXE_strongroom")).parent().unwrap();
    let run = |script: &str| {
        let mut sh = Command::new("sh");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        sh.args(["-euc", script]).current_dir(home.path()).env_clear().env("PATH", path);
        sh.env("HOME", home.path()).env("TMPDIR", at("tmp")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = sh
            .env("PGHOST", server.dir())
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", "postgres")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{said}");
        said
    };
    run(
        "git init -q --bare git/code.git && git init -q work && cd work && git -c user.name=a -c user.email=a@b commit -q \
         --allow-empty -m first && git push -q ../git/code.git HEAD:main",
    );
    let scripts = blocks(&page, "sh");
    // As root: the package, and at the end its units; scripts/test-package types those.
    let [_package, vault, backup, proof, units, _enable, status, ..] = scripts.as_slice() else {
        panic!("{scripts:?}")
    };
    fs::create_dir(at("safe")).unwrap();
    run(vault);
    let config = at("etc/strongroom.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&blocks(&page, "toml").concat());
    fs::write(&config, &text).unwrap();
    let listed = run(backup);
    assert!(listed.contains("orders") && listed.contains("code"), "{listed}");
    let proved = run(proof);
    assert!(proved.contains("passed") || proved.contains("restored"), "{proved}");
    assert!(Path::new(&at("back/code.git/HEAD")).exists());
    run(units);
    assert!(Path::new(&at("units/strongroom-backup.timer")).exists());
    // Whether something is owed is told by the exit code; that there is a screen is what counts here.
    let shown = run(&format!("{} || [ $? = 5 ]", status.trim()));
    assert!(shown.contains("orders"), "{shown}");
}
