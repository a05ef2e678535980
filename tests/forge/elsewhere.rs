//! Files that a forge has on another server: it is asked by https, by its own certificate, and without the token.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, TOKEN, holding, manifest, restored, row},
    http::{Backend, Request, Response},
    lfs::{pointer, repository},
    sandbox::{Run, Sandbox},
    tls::TlsServer,
};

/// What lets in to the store, for whoever has the URL.
const SIGNED: &str = "Expires=300&Signature=s1gNedF0rYou";

/// A store of files that gives one after another of these answers, and the last of them for ever. It writes down what it is asked.
#[derive(Clone)]
struct Store {
    answers: Arc<Mutex<Vec<Response>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Store {
    fn of(answers: Vec<Response>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Backend for Store {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        self.asked.lock().unwrap().push(request.clone());
        let mut answers = self.answers.lock().unwrap();
        let one = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Ok(one.with("Connection", "close"))
    }
}

/// What the one asset of the forge is.
fn data() -> Vec<u8> {
    b"asset 0 ".repeat(100)
}

/// A forge whose files are all in the store, and a vault.
fn forge(kind: &str, server: &TlsServer) -> (Fake, Sandbox) {
    let fake = Fake::start(&["--repos", "1", "--issues", "1", "--releases", "1"]);
    fake.tell("raw", &json!({"assets": format!("{}/store/1?{SIGNED}", server.endpoint())}));
    let exclude = if kind == "github" { "exclude = [\"discussions\", \"projects\"]" } else { "" };
    let sandbox = fake.vault(kind, &format!("code = false\npatience = \"1s\"\n{exclude}"));
    fs::write(sandbox.path("store.pem"), server.certificate()).unwrap();
    (fake, sandbox)
}

/// A run that trusts the store as well.
fn backup(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    command.env("SSL_CERT_FILE", sandbox.path("store.pem")).arg("--config").arg(sandbox.config());
    sandbox.finish(command.args(args))
}

/// What the store was asked is what it has to know and no more.
fn knows_little(asked: &[Request]) {
    for request in asked {
        assert_eq!((request.method.as_str(), &*request.target), ("GET", &*format!("/store/1?{SIGNED}")));
        let mut names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        assert_eq!(names, ["accept", "host", "user-agent"], "{request:?}");
        assert!(!format!("{request:?}").contains(TOKEN));
    }
}

fn files(sandbox: &Sandbox, to: &str) -> Value {
    row(&manifest(&restored(sandbox, to)), "acme/app", "files").clone()
}

#[test]
fn files_come_from_another_server_which_is_not_told_the_token() {
    for kind in ["github", "gitea", "gitlab"] {
        let store = Store::of(vec![Response::new(200, data())]);
        let server = TlsServer::start(store.clone());
        let (_fake, sandbox) = forge(kind, &server);
        let told = backup(&sandbox, &["--json", "-vvv", "backup"]).ok();
        let asked = store.asked();
        assert_eq!(asked.len(), 1, "{kind}");
        knows_little(&asked);
        // Nor does anybody else read what lets in there.
        let text = format!("{}{}", told.out(), told.stderr);
        assert!(!text.contains("s1gNed") && !text.contains(TOKEN), "{text}");
        assert!(holding(&sandbox.path(""), b"s1gNed").is_empty());
        assert_eq!(files(&sandbox, "one")["got"], 1);
        let dir = sandbox.path("one/acme/acme/app/files");
        let path = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read(path).unwrap(), data(), "{kind}");
        // Once it is there, nobody asks again.
        backup(&sandbox, &["backup"]).ok();
        assert!(store.asked().is_empty());
    }
}

#[test]
fn another_server_that_can_not_be_trusted_or_does_not_give_it_costs_the_file_alone() {
    let store = Store::of(vec![Response::new(200, data())]);
    let server = TlsServer::start(store.clone());
    let (fake, sandbox) = forge("github", &server);
    // Its certificate is nobody's.
    sandbox.writer(&["backup"]).code(3).says("files");
    assert_eq!(files(&sandbox, "one")["status"], "failed");
    assert!(store.asked().is_empty());
    // A URL that ended meanwhile: the forge is asked for another.
    *store.answers.lock().unwrap() = vec![Response::new(403, "Request has expired"), Response::new(200, data())];
    fake.ask("log");
    backup(&sandbox, &["backup"]).ok();
    assert_eq!(fake.ask("log").to_string().matches("/assets/").count(), 2);
    let asked = store.asked();
    assert_eq!((asked.len(), &files(&sandbox, "two")["status"]), (2, &json!("read")));
    knows_little(&asked);
    // One that gives more than there is, and one that leads back, where the token would go along.
    let longer = Response::new(200, data().repeat(2));
    for (longer, said) in [(Some(longer), "another length"), (None, "from there back")] {
        let (fake, sandbox) = forge("github", &server);
        let back = format!("{}/api/v3/user/emails", fake.url());
        let answer = longer.unwrap_or_else(|| Response::new(302, "").with("Location", back));
        *store.answers.lock().unwrap() = vec![answer];
        backup(&sandbox, &["backup"]).code(3).says(said);
        assert!(!fake.ask("log").to_string().contains("emails"));
        knows_little(&store.asked());
    }
}

#[test]
fn lfs_objects_come_from_another_server_which_is_not_told_the_token() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("acme")).unwrap();
    let fake = Fake::start(&["--repos", "1", "--git", place.path().to_str().unwrap()]);
    let text = String::from_utf8(data()).unwrap();
    let id = fake.tell("lfs", &json!({"repo": "acme/app", "data": text})).as_str().unwrap().to_owned();
    repository(place.path(), "app", &[pointer(&id, text.len())]);
    let store = Store::of(vec![Response::new(200, data())]);
    let server = TlsServer::start(store.clone());
    fake.tell("raw", &json!({"lfs": format!("{}/store/1?{SIGNED}", server.endpoint())}));
    let sandbox = fake.vault("github", "");
    fs::write(sandbox.path("store.pem"), server.certificate()).unwrap();
    let told = backup(&sandbox, &["--json", "-vv", "backup", "acme.acme.app"]).ok();
    let all = format!("{}{}", told.out(), told.stderr);
    assert!(!all.contains("LFS object") && !all.contains("s1gNed") && !all.contains(TOKEN), "{all}");
    let asked = store.asked();
    assert_eq!(asked.len(), 1);
    knows_little(&asked);
}
