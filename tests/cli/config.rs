//! Configuration, options and environment.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::sandbox::Sandbox;

#[test]
fn an_unknown_key_is_told_with_line_and_column() {
    let sandbox = Sandbox::with_vault();
    let lines = fs::read_to_string(sandbox.config()).unwrap().lines().count();
    sandbox.configure("[writr]\nname = \"x\"\n");
    let run = sandbox.writer(&["snapshots"]).code(2).says("writr");
    let place = format!("strongroom.toml:{}:2:", lines + 1);
    assert!(run.stderr.contains(&place), "{place} is not in {}", run.stderr);
    let error = &sandbox.writer(&["snapshots", "--json"]).code(2).json()["error"];
    assert_eq!(error["kind"], "config");
}

#[test]
fn a_typo_in_the_url_is_told_with_what_was_meant() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("vault");
    let path = path.to_str().unwrap();
    sandbox.run(&["snapshots", "--vault", path]).code(2).says(&format!("file://{path}"));
    sandbox.run(&["snapshots", "--vault", "file://relative"]).code(2).says("file:///relative");
    sandbox.run(&["snapshots", "--vault", "s4://bucket"]).code(2).says("s4");
    sandbox.run(&["snapshots", "--vault", "s3://bucket"]).code(2).says("credentials");
    sandbox.run(&["snapshots"]).code(2).says("--vault");
    sandbox.run(&["snapshots", "--vault", "file:///no/such/vault"]).code(10);
}

#[test]
fn the_environment_stands_in_for_options() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"bytes");
    let mut command = sandbox.command();
    sandbox.finish(command.env("STRONGROOM_VAULT", sandbox.url()).arg("snapshots")).ok();
    let mut command = sandbox.command();
    sandbox
        .finish(
            command
                .env("STRONGROOM_CONFIG", sandbox.config())
                .args(["backup", "--name", "x", "--stdin"])
                .write_stdin("x"),
        )
        .ok();
    let identity = fs::read_to_string(sandbox.identity()).unwrap();
    for value in [identity, sandbox.identity().to_str().unwrap().to_owned()] {
        let mut command = sandbox.command();
        command.env("STRONGROOM_IDENTITY", value).env("STRONGROOM_VAULT", sandbox.url());
        let run = sandbox.finish(command.args(["restore", "latest", "--source", "x", "--to", "-"])).ok();
        assert_eq!(run.stdout, b"x");
    }
    let mut command = sandbox.command();
    command.env("STRONGROOM_VAULT_ID", "11".repeat(32)).env("STRONGROOM_VAULT", sandbox.url());
    sandbox.finish(command.arg("snapshots")).code(4).says("a different vault");
}

#[test]
fn a_configuration_in_the_working_directory_is_found() {
    let sandbox = Sandbox::with_vault();
    let mut command = sandbox.command();
    sandbox.finish(command.current_dir(sandbox.path("etc")).arg("snapshots")).ok();
}

#[test]
fn keys_that_others_can_read_are_refused_with_the_remedy() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"bytes");
    let loose = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    loose(&sandbox.path("etc/writer.key"), 0o640);
    sandbox.writer(&["backup", "--name", "x", "--path", "/etc/hostname"]).code(2).says("chmod 600 /");
    loose(&sandbox.path("etc/writer.key"), 0o600);
    loose(&sandbox.identity(), 0o604);
    let args = ["restore", "latest", "--source", "x", "--to", "-"];
    let run = sandbox.reader(&args).code(2).says("chmod 600 /");
    assert!(run.stdout.is_empty());
    // A pipe has no mode that matters.
    let identity = fs::read(sandbox.identity()).unwrap();
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url()]).args(args).args(["-i", "-"]).write_stdin(identity);
    sandbox.finish(&mut command).ok();
}

#[test]
fn backup_refuses_beside_an_identity() {
    let sandbox = Sandbox::with_vault();
    fs::copy(sandbox.identity(), sandbox.path("etc/forgotten.txt")).unwrap();
    let args = ["backup", "--name", "x", "--path", "/etc/hostname"];
    let run = sandbox.writer(&args).code(2).says("mv /");
    assert!(run.stderr.contains("forgotten.txt"));
    let args = ["backup", "--name", "x", "--path", "/etc/hostname", "--allow-identity-here"];
    sandbox.writer(&args).ok().says("identity.here");
    let again =
        sandbox.writer(&["backup", "--name", "x", "--path", "/etc/hostname", "--allow-identity-here", "--json"]).ok();
    assert_eq!(again.json()["findings"][0]["code"], "identity.here", "each time");
}

#[test]
fn two_places_that_name_different_vaults_are_a_conflict() {
    let (sandbox, other) = (Sandbox::with_vault(), Sandbox::with_vault());
    sandbox.backup("x", b"bytes");
    // The key of one vault with the configuration of another.
    let config = fs::read_to_string(other.config()).unwrap();
    let key = sandbox.path("etc/writer.key");
    let config = config.replace("\"writer.key\"", &format!("{:?}", key.to_str().unwrap()));
    fs::write(other.config(), config).unwrap();
    let run = other.writer(&["backup", "--name", "x", "--path", "/etc/hostname", "--json"]).code(2);
    assert_eq!(run.json()["error"]["kind"], "pin-conflict");
    // The identity of one vault with the id of another.
    let wrong = "11".repeat(32);
    let args = ["restore", "latest", "--source", "x", "--to", "-", "--vault-id", &wrong];
    sandbox.reader(&args).code(2).says("recovery.key");
}

#[test]
fn the_writers_name_is_held_against_its_key() {
    let sandbox = Sandbox::with_vault();
    let config = fs::read_to_string(sandbox.config()).unwrap().replace("name = \"writer\"", "name = \"db1\"");
    fs::write(sandbox.config(), config).unwrap();
    sandbox.writer(&["backup", "--name", "x", "--path", "/etc/hostname"]).code(2).says("writer writer, not db1");
}
