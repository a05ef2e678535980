//! The day on a real object-lock server with roles apart: a schema is dropped in a real database, and nobody is awake.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    place::{Place, server},
    postgres::Postgres,
    sandbox::Run,
    seaweed::write_private,
};

/// The writer's side and the vault's, each with what it holds.
struct Day {
    place: Place<'static>,
    database: Postgres,
}

impl Day {
    fn new() -> Self {
        let database = Postgres::start();
        database.create("shop");
        database.sql(
            "shop",
            "create schema sales; create table sales.customers(id int primary key, name text not null);
             create table sales.orders(id bigint generated always as identity, customer int not null, cents int not null);
             insert into sales.customers select n, 'c' || n from generate_series(1, 100) n;
             insert into sales.orders(customer, cents) select n % 100, n from generate_series(1, 2000) n",
        );
        let place = Place::with_vault(server());
        let source =
            format!("\n[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = \"{}\"\n", database.dsn("shop"));
        place.sandbox.configure(&source);
        Self { place, database }
    }

    fn path(&self, name: &str) -> String {
        self.place.sandbox.path(name).display().to_string()
    }

    fn owner(&self, args: &[&str]) -> Run {
        let identity = self.place.sandbox.identity().display().to_string();
        self.place.run_as("admin", &[args, &["-i", &identity]].concat()).ok()
    }

    /// The keeper's machine: its own credentials, the guard's for the cut alone, and another writer's for the proof.
    fn keeper_comes(&self) {
        let out = self.path("keeper");
        let spec = format!("file:{}", server().credentials("keeper").display());
        self.owner(&["member", "add", "keeper", "--role", "keeper", "--member-credentials", &spec, "--out", &out]);
        let config = self.place.sandbox.path("keeper/strongroom.toml");
        let file = |who: &str| format!("file:{}", server().credentials(who).display());
        let more = format!(
            "\n[[watch.react]]\nname = \"hold\"\nbuiltin = \"freeze\"\n[[watch.react]]\nname = \"cut\"\n\
             builtin = \"airgap-trip\"\n[airgap]\njournal = \"journal\"\n[[airgap.step]]\nname = \"bucket\"\n\
             builtin = \"bucket-deny-puts\"\nallow = [\"admin\", \"keeper\"]\ncredentials = \"{}\"\n\
             probe_credentials = \"{}\"\nprobe_member = \"w2\"\n",
            file("gate"),
            file("w2"),
        );
        let text = fs::read_to_string(&config).unwrap() + &more;
        write_private(&config, &text);
    }

    fn keeper(&self, args: &[&str]) -> Run {
        let mut command = self.place.sandbox.command();
        command.arg("--config").arg(self.place.sandbox.path("keeper/strongroom.toml")).args(args);
        self.place.finish(&mut command)
    }

    fn writer(&self, args: &[&str]) -> Run {
        let mut command = self.place.sandbox.command();
        command.arg("--config").arg(self.place.sandbox.config()).args(args);
        self.place.finish(&mut command)
    }

    fn watch(&self) -> Run {
        let (seen, identity) = (self.path("seen.json"), self.place.sandbox.identity().display().to_string());
        self.keeper(&["watch", "--react", "--checkpoint", &seen, "-i", &identity])
    }

    /// Whether the writer's credentials put anything.
    fn writer_puts(&self) -> bool {
        let raw = self.place.raw("w1");
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"junk");
        let put = raw.client().put_object().bucket(&self.place.bucket).key("prod/packs/w1/junk").body(body);
        tokio::runtime::Runtime::new().unwrap().block_on(put.send()).is_ok()
    }
}

fn person(path: &str) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", path]).output().unwrap();
    assert!(made.status.success());
}

fn sign(request: &str, key: &str) -> String {
    let copy = format!("{key}-request");
    fs::copy(request, &copy).unwrap();
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", "strongroom-approval", "-f", key, &copy]);
    assert!(sign.output().unwrap().status.success());
    format!("{copy}.sig")
}

#[test]
fn a_dropped_schema_is_noticed_held_cut_off_and_brought_back_as_the_screen_says() {
    let day = Day::new();
    let [ada, bob] = ["ada", "bob"].map(|name| day.path(name));
    for key in [&ada, &bob] {
        person(key);
    }
    day.keeper_comes();
    let (a, b) = (format!("ada={ada}.pub"), format!("bob={bob}.pub"));
    day.owner(&["approvers", "set", "--approver", &a, "--approver", &b, "--need", "open=2"]);
    day.writer(&["backup"]).ok();
    let good: Value = day.writer(&["snapshots", "--json"]).json();
    let good = good["result"][0]["id"].as_str().unwrap().to_owned();
    assert!(day.watch().ok().out().contains("no alarm is open"));
    day.keeper(&["airgap", "status"]).ok();
    let before = day.database.sql("shop", "select count(*), sum(cents) from sales.orders");

    day.database.sql("shop", "set client_min_messages = error; drop schema sales cascade");
    day.writer(&["backup"]).ok();
    let run = day.watch().code(7);
    let screen = run.out();
    for told in ["no table is left of 2", "reaction hold", "reaction cut", &good[..12]] {
        assert!(screen.contains(told), "{told} in {screen}");
    }
    assert!(!screen.contains("failed"), "{screen}");
    assert!(!day.writer_puts(), "the writer is cut off");
    day.writer(&["backup"]).code(1).says("403");
    let holds = day.keeper(&["snapshots", "--holds", "--json"]).ok().json().to_string();
    assert!(holds.contains(&good), "{holds}");

    // What stands on the screen is typed in a shell, in another home.
    let typed = screen.lines().map(str::trim).find(|line| line.starts_with("strongroom restore")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin("strongroom");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let shell = Command::new("sh").args(["-c", typed]).current_dir(home.path()).env("PATH", path).output().unwrap();
    assert!(shell.status.success(), "{typed}\n{}", String::from_utf8_lossy(&shell.stderr));
    let dump = only_dump(&home.path().join("restored-shop/shop"));
    let mut back = day.database.tool("pg_restore", "shop");
    // What every database has is there already.
    let back = back.args(["-d", "shop", "--no-owner", "--section=pre-data", "--section=data"]).arg(dump).output();
    drop(back.unwrap());
    assert_eq!(day.database.sql("shop", "select count(*), sum(cents) from sales.orders"), before);

    let told = day.keeper(&["airgap", "status", "--json"]).json();
    let trip = format!("trip={}", told["result"]["trip"].as_str().unwrap());
    let request = day.path("request.json");
    fs::write(&request, day.keeper(&["--quiet", "approve", "new", "open", &trip]).ok().stdout).unwrap();
    let (by_ada, by_bob) = (sign(&request, &ada), sign(&request, &bob));
    let open = ["airgap", "open", "--approved", &request, "--signature", &by_ada];
    day.keeper(&open).code(8).says("1 of 2");
    assert!(!day.writer_puts(), "one of two opens nothing");
    day.keeper(&[&open[..], &["--signature", &by_bob]].concat()).ok();
    day.writer(&["backup"]).ok();
}

fn only_dump(dir: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "dump")).unwrap()
}
