//! `key list`, `check`, `add-recipient` and `rotate`, and revocations that are taken back: by an owner alone, or by as many people
//! as the root asks for.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    ssh::Key,
};

/// Runs the program as the owner.
fn owner(sandbox: &Sandbox, args: &[&str]) -> Run {
    let identity = sandbox.identity();
    person(sandbox, &identity.display().to_string(), args)
}

/// Runs the program with somebody's identity.
fn person(sandbox: &Sandbox, identity: &str, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    sandbox.finish(command.args(["--vault", &sandbox.url()]).args(args).args(["-i", identity]))
}

/// A new identity in a file, and its recipient.
fn identity(sandbox: &Sandbox, name: &str) -> (String, String) {
    let (text, recipient) = strongroom::codec::seal::generate_identity();
    let path = sandbox.path(name);
    fs::write(&path, text.expose()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    (path.display().to_string(), recipient.to_string())
}

/// The vault's own recovery identity's recipient.
fn recovery(sandbox: &Sandbox) -> String {
    let text = fs::read_to_string(sandbox.identity()).unwrap();
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();
    strongroom::codec::seal::recipient_of(line).unwrap().to_string()
}

fn restore(sandbox: &Sandbox, identity: &str, id: &str) -> Run {
    person(sandbox, identity, &["restore", id, "--to", "-"])
}

#[test]
fn a_person_is_let_in_by_one_small_record_and_left_out_of_the_next_epoch() {
    let sandbox = Sandbox::with_vault();
    let first = sandbox.backup("orders", b"of the first epoch");
    let (carol, to_carol) = identity(&sandbox, "carol.key");
    restore(&sandbox, &carol, &first).code(12);
    let checked = person(&sandbox, &carol, &["key", "check", "--json"]).code(12).json();
    assert_eq!((&checked["result"]["root"], &checked["result"]["closed"]), (&false.into(), &1.into()), "{checked}");
    person(&sandbox, &carol, &["key", "add-recipient", &to_carol]).code(12).says("only an owner's");
    owner(&sandbox, &["key", "add-recipient", "age1nonsense"]).code(2);
    let bytes = |sandbox: &Sandbox| -> u64 {
        walk(&sandbox.path("vault/packs")).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    };
    let before = bytes(&sandbox);
    let added = owner(&sandbox, &["key", "add-recipient", &to_carol, "--json"]).ok().json();
    assert_eq!(added["result"]["epochs"], serde_json::json!([1]));
    assert_eq!(restore(&sandbox, &carol, &first).ok().stdout, b"of the first epoch");
    assert_eq!(bytes(&sandbox), before, "no backup is stored anew");
    let checked = person(&sandbox, &carol, &["key", "check", "--json"]).ok().json();
    assert_eq!((&checked["result"]["root"], &checked["result"]["epochs"][0]["opens"]), (&false.into(), &true.into()));
    // Whoever opened it before still does, also for what needs the keys of the epoch.
    owner(&sandbox, &["key", "check"]).ok();
    let out = sandbox.path("second").display().to_string();
    owner(&sandbox, &["writer", "add", "second", "--out", &out]).ok();
    owner(&sandbox, &["verify", "--depth", "decrypt"]).ok();

    // The next epoch is opened by whoever is named, and by nobody else.
    owner(&sandbox, &["key", "rotate", "--recipient", &to_carol]).code(2).says("would not open the new epoch");
    let (us, dave) = (recovery(&sandbox), identity(&sandbox, "dave.key"));
    let rotated = owner(&sandbox, &["key", "rotate", "--recipient", &us, "--recipient", &dave.1, "--json"]).ok().json();
    assert_eq!(
        (&rotated["result"]["epoch"], &rotated["result"]["writers"]),
        (&2.into(), &serde_json::json!(["second", "writer"]))
    );
    let out = sandbox.path("third").display().to_string();
    owner(&sandbox, &["writer", "add", "third", "--out", &out]).ok();
    let mut command = sandbox.command();
    command.arg("--config").arg(sandbox.path("third/strongroom.toml"));
    let run =
        sandbox.finish(command.args(["backup", "--name", "orders", "--stdin", "--json"]).write_stdin("of the second"));
    let second = run.ok().json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    restore(&sandbox, &carol, &second).code(12);
    assert_eq!(
        restore(&sandbox, &carol, &first).ok().stdout,
        b"of the first epoch",
        "what was sealed before stays open"
    );
    assert_eq!(restore(&sandbox, &dave.0, &second).ok().stdout, b"of the second");
    restore(&sandbox, &dave.0, &first).code(12);
    let told = person(&sandbox, &carol, &["key", "check", "--json"]).code(12).json();
    assert_eq!(told["result"]["closed"], 1, "{told}");
    let listed = sandbox.reader(&["key", "list", "--json"]).ok().json();
    let snapshots: Vec<&Value> =
        listed["result"]["epochs"].as_array().unwrap().iter().map(|line| &line["snapshots"]).collect();
    assert_eq!(snapshots, [1, 1], "{listed}");
    owner(&sandbox, &["verify", "--depth", "decrypt"]).ok();
    // The old writer goes on with its epoch, and is heard.
    sandbox.backup("orders", b"of the first, later");
    owner(&sandbox, &["verify", "--depth", "decrypt"]).ok();
}

/// Two approvers, and their keys.
struct People {
    sandbox: Sandbox,
    keys: [Key; 2],
}

impl People {
    fn new(needs: &[&str]) -> Self {
        let sandbox = Sandbox::with_vault();
        let dir = sandbox.path("keys");
        fs::create_dir(&dir).unwrap();
        let keys = ["alice", "bob"].map(|name| Key::new(&dir, name, "ed25519"));
        let [a, b] =
            [("alice", &keys[0]), ("bob", &keys[1])].map(|(name, key)| format!("{name}={}", key.file().display()));
        let needs: Vec<&str> = needs.iter().flat_map(|need| ["--need", need]).collect();
        owner(&sandbox, &[&["approvers", "set", "--approver", &a, "--approver", &b], &needs[..]].concat()).ok();
        Self { sandbox, keys }
    }

    /// The options that hand in a request, signed by the first so many.
    fn papers(&self, ask: &[&str], signers: usize) -> Vec<String> {
        let request = self.sandbox.path("request.json");
        let bytes = self.sandbox.reader(&[&["approve", "new"], ask].concat()).ok().stdout;
        fs::write(&request, &bytes).unwrap();
        let mut words = vec!["--approved".to_owned(), request.display().to_string()];
        for (at, key) in self.keys.iter().take(signers).enumerate() {
            let path: PathBuf = self.sandbox.path(&format!("{at}.sig"));
            fs::write(&path, key.sign(&bytes)).unwrap();
            words.extend(["--signature".to_owned(), path.display().to_string()]);
        }
        words
    }

    fn with(&self, args: &[&str], papers: &[String]) -> Run {
        let papers: Vec<&str> = papers.iter().map(String::as_str).collect();
        owner(&self.sandbox, &[args, &papers].concat())
    }
}

#[test]
fn a_revocation_is_taken_back_in_part_or_whole_by_those_whom_the_root_names() {
    let people = People::new(&["revoke-undo=2"]);
    let sandbox = &people.sandbox;
    sandbox.backup("orders", b"good");
    owner(sandbox, &["writer", "unrevoke", "writer"]).code(2).says("is not revoked");
    owner(sandbox, &["writer", "unrevoke", "nobody"]).code(2).says("no member nobody");
    let revoke = ["writer", "revoke", "writer", "--from"];
    let early = [&revoke[..], &["2020-01-01T00:00:00Z"]].concat();
    owner(sandbox, &early).ok();
    let latest = ["restore", "latest", "--source", "orders", "--to", "-"];
    owner(sandbox, &latest).code(1).says("suspect");
    // To make more suspect needs nobody, and uses no approval up; to make less suspect does, however it is spelled.
    let papers = people.papers(&["revoke-undo", "member=writer"], 2);
    people.with(&[&revoke[..], &["2019-01-01T00:00:00Z"]].concat(), &papers).code(2).says("needs no approval");
    owner(sandbox, &[&revoke[..], &["2019-01-01T00:00:00Z"]].concat()).ok();
    owner(sandbox, &[&revoke[..], &["2100-01-01T00:00:00Z"]].concat()).code(8).says("needs the approval of 2");
    let undo = ["writer", "unrevoke", "writer"];
    owner(sandbox, &undo).code(8).says("approve new revoke-undo");
    let one = people.papers(&["revoke-undo", "member=writer"], 1);
    people.with(&undo, &one).code(8).says("1 of 2");
    let later = people.papers(&["revoke-undo", "member=writer", "from=2020-01-01T00:00:00Z"], 2);
    people.with(&undo, &later).code(8).says("it is for");
    people.with(&[&revoke[..], &["2100-01-01T00:00:00Z"]].concat(), &later).code(8).says("it is for");
    owner(sandbox, &latest).code(1).says("suspect");
    people.with(&early, &later).ok();
    owner(sandbox, &latest).code(1).says("suspect");
    let both = people.papers(&["revoke-undo", "member=writer"], 2);
    let done = people.with(&[&undo[..], &["--json"]].concat(), &both).ok().json();
    assert_eq!(done["result"]["approved_by"], serde_json::json!(["alice", "bob"]));
    assert!(done["result"]["revoked_from"].is_null() && done["result"]["suspect"] == 0, "{done}");
    assert_eq!(owner(sandbox, &latest).ok().stdout, b"good");
    sandbox.backup("orders", b"more");
    owner(sandbox, &early).ok();
    people.with(&undo, &both).code(8).says("used already");
    sandbox.reader(&["approve", "new", "revoke-undo"]).code(2).says("member=NAME");
    sandbox.reader(&["approve", "new", "revoke-undo", "member=writer", "other=x"]).code(2).says("no parameter");
}

#[test]
fn nobody_is_left_out_of_an_epoch_on_fewer_than_the_root_names() {
    let people = People::new(&["remove-recipient=2"]);
    let sandbox = &people.sandbox;
    let (us, dave) = (recovery(sandbox), identity(sandbox, "dave.key").1);
    let rotate = ["key", "rotate", "--recipient", &us];
    owner(sandbox, &rotate).code(8).says("approve new remove-recipient");
    // Who is removed is not who stays, and to remove somebody is the same as to name all others.
    owner(sandbox, &["key", "remove-recipient", &dave, "--recipient", &us])
        .code(8)
        .says("approve new remove-recipient");
    let both = ["key", "remove-recipient", &dave, "--recipient", &us, "--recipient", &dave];
    owner(sandbox, &both).code(2).says("is to be removed, and stands among those who stay");
    sandbox.reader(&["approve", "new", "remove-recipient"]).code(2).says("who is to open");
    let one = people.papers(&["remove-recipient", &format!("recipients={us}")], 1);
    people.with(&rotate, &one).code(8).says("1 of 2");
    // Who is named is what was approved: not one more.
    let both = people.papers(&["remove-recipient", &format!("recipients={us}")], 2);
    people.with(&[&rotate[..], &["--recipient", &dave]].concat(), &both).code(8).says("it is for");
    assert_eq!(sandbox.reader(&["key", "list", "--json"]).ok().json()["result"]["epochs"].as_array().unwrap().len(), 1);
    let done = people.with(&[&rotate[..], &["--json"]].concat(), &both).ok().json();
    assert_eq!(
        (&done["result"]["epoch"], &done["result"]["approved_by"]),
        (&2.into(), &serde_json::json!(["alice", "bob"]))
    );
    people.with(&rotate, &both).code(8).says("used already");
}

fn walk(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(walk(&entry)) } else { files.push(entry) }
    }
    files
}
