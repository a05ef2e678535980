//! `doctor --as agent` and `doctor --hunt`: what lies about where an agent works.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
};

use assert_cmd::Command;
use serde_json::Value;

use crate::{
    doctor::{of, statuses},
    http::{Backend, Request, Response, Server},
    place::{Place, server},
    sandbox::Run,
};

/// The metadata services of a container and of an instance, which give the keys of an identity.
struct Metadata(&'static str);

impl Backend for Metadata {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let path = request.target.split('?').next().unwrap();
        let keys = || {
            let (id, secret) = (self.0, server().secret(self.0));
            format!(
                "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"LastUpdated\":\"2026-01-01T00:00:00Z\",\
                 \"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\",\"Token\":\"\",\
                 \"Expiration\":\"2099-01-01T00:00:00Z\"}}"
            )
        };
        Ok(match (request.method.as_str(), path) {
            ("PUT", "/latest/api/token") => {
                Response::new(200, "token").with("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            }
            ("GET", "/container" | "/latest/meta-data/iam/security-credentials/role") => Response::new(200, keys()),
            ("GET", path) if path.starts_with("/latest/meta-data/iam/security-credentials") => {
                Response::new(200, "role")
            }
            _ => Response::new(404, ""),
        })
    }
}

/// The program where an agent works: without anything of strongroom's.
fn agent(place: &Place<'_>) -> Command {
    let mut command = place.sandbox.command();
    command.args(["--endpoint", &server().endpoint(), "--path-style", "--vault", &place.url(), "--json"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").args(["doctor", "--as", "agent"]);
    command
}

fn keys(command: &mut Command, identity: &str, secret: &str) {
    command.env("AWS_ACCESS_KEY_ID", identity).env("AWS_SECRET_ACCESS_KEY", secret);
}

/// The verbs that were let through, by place.
fn allowed(run: &Run) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let verbs = ["list-versions", "list", "get-pack", "get-key", "get", "put-pack", "put", "delete"];
    for name in of(&statuses(run), "allowed") {
        let verb = verbs.iter().find(|verb| name.ends_with(&format!("-{verb}"))).unwrap();
        let place = name.strip_suffix(&format!("-{verb}")).unwrap();
        places.entry(place.to_owned()).or_default().push((*verb).to_owned());
    }
    places
}

#[test]
fn credentials_that_do_not_reach_the_vault_are_told_so() {
    let place = Place::with_vault(server());
    let none = place.finish(&mut agent(&place)).ok();
    let checks = statuses(&none);
    assert_eq!(of(&checks, "could-not-run"), ["instance-metadata-usable"]);
    assert_eq!(checks["anonymous-get"], "refused");
    let mut with = agent(&place);
    keys(&mut with, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let run = place.finish(&mut with).ok();
    for verb in ["list", "list-versions", "get", "get-pack", "get-key", "put", "put-pack", "delete"] {
        assert_eq!(statuses(&run)[&format!("environment-{verb}")], "refused", "{verb}");
    }
    assert!(!run.out().contains("wJalr") && !run.stderr.contains("wJalr"));
}

#[test]
fn credentials_of_the_vault_are_found_wherever_they_lie() {
    let place = Place::with_vault(server());
    let mut with = agent(&place);
    keys(&mut with, "reader", server().secret("reader"));
    let run = place.finish(&mut with).code(5);
    let reads = ["get", "get-key", "get-pack", "list", "list-versions"];
    assert_eq!(allowed(&run), [("environment".to_owned(), reads.map(str::to_owned).to_vec())].into());

    let aws = place.sandbox.path("home/.aws");
    fs::create_dir(&aws).unwrap();
    let pair = |name: &str| format!("aws_access_key_id = {name}\naws_secret_access_key = {}\n", server().secret(name));
    let helper = place.sandbox.path("home/helper");
    let secret = server().secret("pruner");
    let script =
        format!("#!/bin/sh\necho '{{\"Version\":1,\"AccessKeyId\":\"pruner\",\"SecretAccessKey\":\"{secret}\"}}'\n");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).unwrap();
    let broken = "aws_access_key_id = x\naws_secret_access_key = xxxxxxxxxxxxxxxxxxxx\n";
    fs::write(aws.join("credentials"), format!("[default]\n{broken}[old]\n{}", pair("w1"))).unwrap();
    fs::write(aws.join("config"), format!("[profile tool]\ncredential_process = {}\n", helper.display())).unwrap();
    let run = place.finish(&mut agent(&place)).code(5);
    let found = allowed(&run);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["profile-old", "profile-tool"]);
    assert_eq!(found["profile-old"], ["get", "list"]);
    assert!(found["profile-tool"].contains(&"delete".to_owned()), "{found:?}");
    assert_eq!(statuses(&run)["profile-default-get"], "refused");

    // A helper that gives nothing now may give something to whoever waits.
    fs::write(&helper, "#!/bin/sh\necho wait >&2\nexit 1\n").unwrap();
    fs::remove_file(aws.join("credentials")).unwrap();
    let run = place.finish(&mut agent(&place)).code(1);
    assert_eq!(of(&statuses(&run), "could-not-run"), ["instance-metadata-usable", "profile-tool-usable"]);
    fs::remove_dir_all(&aws).unwrap();

    let metadata = Server::start(Metadata("w1"));
    let mut with = agent(&place);
    with.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", metadata.endpoint()));
    with.env_remove("AWS_EC2_METADATA_DISABLED").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.endpoint());
    let run = place.finish(&mut with).code(5);
    assert_eq!(allowed(&run).keys().collect::<Vec<_>>(), ["container", "instance-metadata"], "{}", run.out());

    let mut with = agent(&place);
    with.arg("--credentials").arg(format!("file:{}", server().credentials("w1").display()));
    let run = place.finish(&mut with).code(5);
    assert_eq!(allowed(&run).keys().collect::<Vec<_>>(), ["strongroom"]);
}

fn hits(run: &Run) -> Vec<(String, u64, String)> {
    let document = run.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hits = document["result"]["hunt"]["hits"].as_array().unwrap();
    hits.iter().map(|hit| (text(&hit["path"]), hit["line"].as_u64().unwrap(), text(&hit["kind"]))).collect()
}

#[test]
fn keys_that_lie_about_are_found_and_not_shown() {
    let place = Place::with_vault(server());
    let srv = place.sandbox.path("srv");
    fs::create_dir_all(srv.join("app/.git")).unwrap();
    let hunt = |args: &[&str]| {
        let mut command = place.sandbox.command();
        command.args(["doctor", "--json", "--hunt"]).arg(&srv).args(args);
        place.finish(&mut command)
    };
    fs::write(srv.join("app/README.md"), "An identity begins with AGE-SECRET-KEY-1 and belongs into a safe.\n")
        .unwrap();
    let clean = hunt(&[]).ok();
    assert_eq!((hits(&clean), statuses(&clean)["hunted"].as_str()), (vec![], "ok"));

    let identity = fs::read_to_string(place.sandbox.identity()).unwrap();
    let key = identity.lines().find(|line| line.starts_with("AGE-")).unwrap();
    fs::write(srv.join("app/.env"), format!("A=1\nSTRONGROOM_IDENTITY={key}\n")).unwrap();
    fs::copy(place.sandbox.path("etc/writer.key"), srv.join("writer.key.bak")).unwrap();
    symlink(place.sandbox.path("etc"), srv.join("etc")).unwrap();
    fs::write(srv.join("deploy.sh"), format!("export AWS_SECRET_ACCESS_KEY='{}'\n", server().secret("w1"))).unwrap();
    let run = hunt(&[]).code(5);
    let found: Vec<_> = hits(&run)
        .into_iter()
        .map(|(path, line, kind)| (path.strip_prefix(srv.to_str().unwrap()).unwrap().to_owned(), line, kind))
        .collect();
    let expected =
        [("/app/.env", "age-identity"), ("/deploy.sh", "secret-access-key"), ("/writer.key.bak", "writer-key")];
    assert_eq!(found.iter().map(|(path, _, kind)| (path.as_str(), kind.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(found[0].1, 2);
    assert!(run.out().contains("everybody on this host can read"), "{}", run.out());
    // With the configuration at hand it is known whose key that is.
    let spec = format!("file:{}", server().credentials("w1").display());
    let run = hunt(&["--credentials", &spec]).code(5);
    assert!(hits(&run).iter().any(|(path, _, kind)| path.ends_with("deploy.sh") && kind == "vault-access-key"));
    // For people, too, nothing is shown; `finish` looks for secrets.
    let mut plain = place.sandbox.command();
    let run = place.finish(plain.args(["doctor", "--hunt"]).arg(&srv)).code(5);
    assert!(run.out().contains("age-identity") && !run.out().contains(key));
    // Where the configuration has them, keys are in their place.
    let mut own = place.sandbox.command();
    own.arg("--config").arg(place.sandbox.config()).args(["doctor", "--json", "--hunt"]).arg(place.sandbox.path("etc"));
    place.finish(&mut own).ok();
    let mut missing = place.sandbox.command();
    place.finish(missing.args(["doctor", "--hunt", "/no/such/folder"])).code(2).says("/no/such/folder");
}
