//! What people do wrong, and what goes wrong around them: each error through the program, with the words kept in
//! `errors.txt`. Each names its object, says why, and says what to do next. `STRONGROOM_KEEP_WORDS=1` writes the words anew.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, path::Path, sync::Mutex, thread};

use crate::sandbox::Sandbox;

/// What is typed, with what must stand in the message: the thing that is wrong.
type Case = (&'static str, &'static str);

/// A configuration: the name of its file, and what stands behind `[vault]` and `[writer]` in it.
const CONFIGS: &[(&str, &str)] = &[
    ("unknown-key", "[limits]\nuplaod = \"1MiB\"\n"),
    ("unknown-kind", "[[source]]\nname = \"a\"\nkind = \"oracle\"\n"),
    ("no-name", "[[source]]\nkind = \"sqlite\"\npath = \"/x\"\n"),
    ("bad-name", "[[source]]\nname = \"Or ders\"\nkind = \"sqlite\"\npath = \"/x\"\n"),
    (
        "two-of-a-name",
        "[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/x\"\n[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/y\"\n",
    ),
    ("bad-every", "[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/x\"\nevery = \"daily\"\n"),
    ("no-dsn", "[[source]]\nname = \"a\"\nkind = \"postgres\"\n"),
    ("bad-check", "[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/x\"\n[[source.check]]\nname = \"c\"\n"),
    ("no-upload", "[limits]\nupload = \"0\"\n"),
    ("bad-nice", "[limits]\nnice = 40\n"),
    ("no-time", "[limits]\ndeadline = \"0s\"\n"),
    ("bad-hook", "[[hook]]\nname = \"h\"\non = \"before\"\ncommand = [\"/bin/true\"]\n"),
    ("bad-ping", "[ping]\nbackup = \"hc-ping.com/x\"\n"),
    ("bad-metrics", "[metrics]\nfile = \"x.txt\"\n"),
    ("nobody", "[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/x\"\n[request]\nsources = { a = \"1h\" }\n"),
    ("no-copy", "[[copy]]\nname = \"c\"\nurl = \"file:///c\"\nnewest = 0\n"),
    ("half", "[limits\n"),
    ("shop", "[[source]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"PLACEshop.db\"\n"),
    ("gone", "[[source]]\nname = \"gone\"\nkind = \"sqlite\"\npath = \"PLACEgone.db\"\n"),
];

/// Of `@` words, see [`words`].
const CASES: &[Case] = &[
    // What is typed.
    ("backup --nope", "--nope"),
    ("restroe", "restroe"),
    ("@reader restore latest --source dump", "--to"),
    ("@reader restore --to x", "SNAPSHOT"),
    ("@reader verify --depth deep", "deep"),
    ("snapshots --vault-id zz", "zz"),
    ("completions fisch", "fisch"),
    ("@reader drill --max-rto soon", "soon"),
    ("@writer backup --deadline fast --name a --stdin", "fast"),
    ("@writer backup --limit-upload 0 --name a --stdin", "--limit-upload"),
    ("@writer backup --name A! --stdin", "A!"),
    ("@writer backup --stdin", "--name"),
    ("@owner member add robot --role boss --out @/boss", "boss"),
    ("@reader verify --sample 0/5", "0/5"),
    ("@reader verify --report @/report.pdf", "report.pdf"),
    ("@owner policy emperor", "emperor"),
    ("@writer doctor --as nobody", "nobody"),
    // Where the vault is.
    ("snapshots", "vault"),
    ("snapshots --vault ftp://host/vault", "ftp"),
    ("snapshots --vault file://relative/path", "relative"),
    ("snapshots --vault file://@/nowhere", "nowhere"),
    ("snapshots --vault file://@/home", "home"),
    ("snapshots --vault s3://bucket/x", "credentials"),
    ("snapshots --vault s3://bucket/x --credentials magic:1", "magic"),
    ("snapshots --vault s3://bucket/x --region r --credentials file:@/no.toml", "no.toml"),
    ("snapshots --vault s3://bucket/x --region r --credentials file:@/garbage", "garbage"),
    ("snapshots --vault s3://bucket/x --region r --credentials profile:nosuch", "nosuch"),
    ("snapshots --vault s3://bucket/x --region r --credentials systemd:nosuch", "nosuch"),
    ("snapshots --vault s3://bucket/x --credentials file:@/s3.toml", "region"),
    (
        "snapshots --vault s3://bucket/x --region r --path-style --endpoint http://127.0.0.1:1 --credentials file:@/s3.toml",
        "127.0.0.1:1",
    ),
    ("snapshots --vault s3://bucket/x --credentials file:@/s3.toml --endpoint nonsense", "nonsense"),
    ("@reader snapshots --vault-id 0000000000000000000000000000000000000000000000000000000000000000", "vault"),
    // The configuration.
    ("snapshots --config @/nope.toml", "nope.toml"),
    ("@:unknown-key backup", "uplaod"),
    ("@:unknown-kind backup", "oracle"),
    ("@:no-name backup", "name"),
    ("@:bad-name backup", "bad-name.toml:38:8"),
    ("@:two-of-a-name backup", "a"),
    ("@:bad-every backup", "daily"),
    ("@:no-dsn backup", "dsn"),
    ("@:bad-check backup", "check"),
    ("@:no-upload backup", "upload"),
    ("@:bad-nice backup", "nice"),
    ("@:no-time backup", "deadline"),
    ("@:bad-hook backup", "before"),
    ("@:bad-ping backup", "ping"),
    ("@:bad-metrics backup", "metrics"),
    ("@:nobody backup", "[request]"),
    ("@:no-copy backup", "newest"),
    ("@:half backup", "half.toml"),
    ("backup --config @/open.toml", "open.toml"),
    ("backup --config @/keyless.toml --name a --path @/shop.db", "no.key"),
    ("backup --config @/wrong-key.toml --name a --path @/shop.db", "garbage"),
    ("backup --config @/open-key.toml --name a --path @/shop.db", "open.key"),
    ("backup --vault file://@/vault --name a --path @/shop.db", "writer's configuration"),
    ("backup --config @/beside/strongroom.toml --name a --path @/shop.db", "owner.key"),
    // Sources.
    ("@writer backup", "[[source]]"),
    ("@writer backup nosuch", "nosuch"),
    ("@writer backup --name a --stdin", "a"),
    ("@writer backup --name a -- sh -c @exit", "sh"),
    ("@writer backup --name a -- /no/such/program", "/no/such/program"),
    ("@writer backup --name a -- sh -c true", "a"),
    ("@writer backup --name a --path @/gone", "gone"),
    ("@writer backup --name a --git @/home", "home"),
    ("@writer backup --name a --git @/gone.git", "gone.git"),
    ("@writer backup --name a --sqlite @/garbage", "garbage"),
    ("@writer backup --name a --sqlite @/gone.db", "gone.db"),
    ("@writer backup --name a --sqlite @/empty", "empty"),
    ("@writer backup --name a --path @/vault", "vault"),
    ("@writer backup --name a --postgres colour=blue", "--postgres"),
    ("@:gone backup", "gone"),
    ("@:gone backup --dry-run", "gone"),
    // Snapshots.
    ("@reader restore 4f1c0 --to @/out", "4f1c0"),
    ("@reader restore 4f1c0a9b --to @/out", "4f1c0a9b"),
    ("@reader restore latest --to @/out", "--source"),
    ("@reader restore latest --source dmup --to @/out", "dmup"),
    ("@reader restore latest --source dump --writer nobody --to @/out", "nobody"),
    ("@reader restore latest --source dump --at tomorrow --to @/out", "tomorrow"),
    ("@reader restore latest --source dump --at yesterday --to @/out", "dump"),
    ("@reader restore latest --source tree --stream b.txt --to @/out", "b.txt"),
    ("@reader restore latest --source tree --include b.txt --to @/out", "b.txt"),
    ("@reader restore latest --source tree --to -", "--to -"),
    ("@reader restore latest --source tree --to @/full", "a.txt"),
    ("@reader restore latest --source dump --to @/garbage", "garbage"),
    ("@reader restore latest --source dump --ref main --to @/out", "--ref"),
    ("@reader restore latest --source dump --recover-to latest --to @/out", "dump"),
    ("@reader restore latest --source dump --recover-to teatime --to @/out", "teatime"),
    ("@reader restore latest --source dump --into sqlite:@/new.db", "dump"),
    ("@reader restore latest --source shop --into sqlite:", "sqlite"),
    ("@reader restore latest --source shop --into sqlite:@/shop.db", "shop.db"),
    ("@reader restore latest --source shop --into sqlite:@/new.db --table odrers", "odrers"),
    ("@reader restore latest --source shop --into postgresql://u:p@h/x", "--into"),
    ("@reader restore last-good --source dump --checkpoint @/nope.json --to @/out", "nope.json"),
    ("@reader show 4f1c0a9b", "4f1c0a9b"),
    ("@reader diff 4f1c0a9b 5e2d1b8c", "4f1c0a9b"),
    // Keys and people.
    ("restore latest --source dump --to @/out --vault file://@/vault", "identity"),
    ("restore latest --source dump --to @/out --vault file://@/vault -i @/nope.key", "nope.key"),
    ("restore latest --source dump --to @/out --vault file://@/vault -i @/garbage", "garbage"),
    ("restore latest --source dump --to @/out --vault file://@/vault -i @/keys/other.key", "identity"),
    ("restore latest --source dump --to @/out --vault file://@/vault -i @/open.key", "open.key"),
    ("init --vault file://@/vault --out @/again", "vault"),
    ("init --vault file://@/new --out @/etc", "etc"),
    ("init --vault file://@/new --out @/new-etc --keep 0d", "keep"),
    ("init --vault file://@/full --out @/new-etc", "full"),
    ("init --vault file://@/new --out @/new-etc --recipient nonsense", "nonsense"),
    ("@owner writer add writer --out @/w2", "writer"),
    ("@owner member revoke nobody --from 2026-01-01T00:00:00Z", "nobody"),
    ("@owner writer unrevoke writer", "writer"),
    ("writer revoke writer --from 2026-01-01T00:00:00Z --vault file://@/vault", "identity"),
    ("@owner key split --shares 2 --threshold 3 --out @/shares", "3"),
    ("key combine @/garbage --out @/combined", "garbage"),
    ("@owner key add-recipient nonsense", "nonsense"),
    ("@owner approvers set --need prune=1 --approver a=@/nope.pub", "nope.pub"),
    ("@owner approve check --approved @/garbage", "list of approvers"),
    ("@owner approve new fly", "fly"),
    ("@owner freeze 4f1c0a9b", "4f1c0a9b"),
    ("@owner release 4f1c0a9b", "4f1c0a9b"),
    // What is asked, and what runs.
    ("@reader verify --checkpoint @/garbage", "garbage"),
    ("@reader verify --snapshot 4f1c0a9b", "4f1c0a9b"),
    ("@reader drill nosuch", "nosuch"),
    ("@reader drill 0000000000000000000000000000000000000000000000000000000000000000", "not a valid name"),
    ("drill dump --vault file://@/vault", "identity"),
    ("@writer watch --checkpoint @/garbage", "garbage"),
    ("@writer ready dmup", "dmup"),
    ("@writer ready dump --checkpoint @/nope.json", "nope.json"),
    ("@writer ready dump --via @/nope.sock", "nope.sock"),
    ("@writer ready --via @/nope.sock", "source"),
    ("@writer ready dump", "dump"),
    ("@writer status --source dmup", "dmup"),
    ("@reader incident --source dmup", "dmup"),
    ("request shop --socket @/nope.sock", "nope.sock"),
    ("@writer request serve", "[request]"),
    ("@writer schedule --role writer --systemd @/units", "state"),
    ("@writer schedule --role writer --systemd @/units --user x;y", "--user"),
    ("@writer doctor --as agent --hunt @/gone", "gone"),
    ("@reader replicate --to file://@/vault", "vault"),
    ("@writer replicate", "copy"),
    ("@reader replicate --to file://@/full", "full"),
    ("@reader repair --from file://@/other", "other"),
    ("@writer airgap status", "[airgap]"),
    ("@writer journal run", "journal"),
    ("@writer journal push --source shop @/gone", "shop"),
    ("catalog rebuild --vault file://@/vault", "writer's configuration"),
    // Damage.
    ("restore latest --source dump --to @/out --vault file://@/hollow -i @/safe/recovery.key", "pack"),
    ("verify --vault file://@/hollow", "damage"),
    ("snapshots --vault file://@/forged", "vault descriptor"),
];

/// The sandbox with what the cases need.
fn place() -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let at = |name: &str| sandbox.path(name);
    sandbox.backup("dump", &crate::sandbox::noise(40_000, 5));
    let db = rusqlite::Connection::open(at("shop.db")).unwrap();
    db.execute_batch("CREATE TABLE orders(id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1)").unwrap();
    drop(db);
    fs::create_dir_all(at("tree")).unwrap();
    for name in ["a.txt", "c.txt"] {
        fs::write(at("tree").join(name), name).unwrap();
    }
    let path = |name: &str| at(name).display().to_string();
    sandbox.writer(&["backup", "--name", "shop", "--sqlite", &path("shop.db")]).ok();
    sandbox.writer(&["backup", "--name", "tree", "--path", &path("tree")]).ok();
    let base = fs::read_to_string(sandbox.config()).unwrap();
    let private = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    for (name, text) in CONFIGS {
        let text = text.replace("PLACE", &path(""));
        private(&format!("etc/{name}.toml"), &format!("{base}\n{text}"));
    }
    private("garbage", "this is none of what it should be\n");
    private("empty", "");
    private("s3.toml", "access_key_id = \"a\"\nsecret_access_key = \"b\"\n");
    let keyed = |key: &str| base.replace("key = \"writer.key\"", &format!("key = \"{key}\""));
    private("keyless.toml", &keyed("no.key"));
    private("wrong-key.toml", &keyed("garbage"));
    private("open-key.toml", &keyed("open.key"));
    private("open.toml", &base);
    fs::copy(sandbox.path("etc/writer.key"), at("open.key")).unwrap();
    for (name, mode) in [("open.toml", 0o666), ("open.key", 0o644)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(at("full")).unwrap();
    for dir in ["full/tree", "beside", "keys"] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    fs::write(at("full/tree/a.txt"), "something else").unwrap();
    private("beside/strongroom.toml", &base.replace("writer.key", &path("etc/writer.key")));
    fs::copy(sandbox.identity(), at("beside/owner.key")).unwrap();
    // Another vault, whose identity opens nothing here.
    let args = ["init", "--vault", &format!("file://{}", path("other")), "--out", &path("other-etc")];
    sandbox.run(&args).ok();
    let key = fs::read_to_string(at("other-etc/recovery.key")).unwrap();
    let key: Vec<&str> = key.lines().filter(|line| !line.starts_with("# strongroom-vault")).collect();
    private("keys/other.key", &(key.join("\n") + "\n"));
    // A vault without its packs, and one whose descriptor is another's.
    copy(&at("vault"), &at("hollow"), &|path| path.contains("/packs/"));
    copy(&at("vault"), &at("forged"), &|path| path.ends_with("vault.json"));
    fs::write(at("forged/vault.json"), "{\"not\": \"signed\"}").unwrap();
    sandbox
}

/// Copies a tree without the files that `without` picks.
fn copy(from: &Path, to: &Path, without: &dyn Fn(&str) -> bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, there) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &there, without);
        } else if !without(&path.display().to_string()) {
            fs::copy(&path, &there).unwrap();
        }
    }
}

/// What is typed, in the sandbox: `@writer`, `@reader` and `@owner` stand for what these give along, `@:NAME` for a
/// configuration, `@/` for the sandbox, and `@exit` for a script that fails.
fn words(sandbox: &Sandbox, typed: &str) -> Vec<String> {
    let root = sandbox.path("").display().to_string();
    let url = sandbox.url();
    let mut words = Vec::new();
    let mut behind = Vec::new();
    for word in typed.split(' ') {
        match word {
            "@writer" => words.extend(["--config".to_owned(), sandbox.config().display().to_string()]),
            "@reader" | "@owner" => {
                words.extend(["--vault".to_owned(), url.clone()]);
                let rest = typed.split(' ').nth(1).unwrap_or_default();
                let opens =
                    ["restore", "verify", "drill", "member", "writer", "freeze", "release", "show", "diff", "incident"];
                let signs = ["approvers set", "key add", "key split"];
                if opens.contains(&rest) || signs.iter().any(|words| typed.contains(words)) {
                    behind.extend(["-i".to_owned(), sandbox.identity().display().to_string()]);
                }
            }
            "@exit" => words.push("echo something; exit 3".to_owned()),
            _ if word.starts_with("@:") => {
                words.extend(["--config".to_owned(), format!("{root}etc/{}.toml", &word[2..])]);
            }
            _ => words.push(word.replace("@/", &root)),
        }
    }
    words.extend(behind);
    words
}

/// An error as it is kept: without what differs from run to run.
fn kept(sandbox: &Sandbox, typed: &str, run: &crate::sandbox::Run) -> String {
    let document = run.json();
    let error = &document["error"];
    let text = |field: &str| error[field].as_str().unwrap_or("-").to_owned();
    let root = sandbox.path("").display().to_string();
    let tidy = |text: String| {
        let text = text.replace(&root, "@/").replace(root.trim_end_matches('/'), "@");
        without_folders(&plain(&text))
    };
    let mut out = format!("$ strongroom {typed}\n{} {}\n", run.code, text("kind"));
    for (field, name) in [("message", "error"), ("hint", "hint")] {
        for (no, line) in tidy(text(field)).trim_end().lines().enumerate() {
            writeln!(out, "{}: {line}", if no == 0 { name } else { "     " }).unwrap();
        }
    }
    out
}

/// Without the first digits of packs' names, which are folders.
fn without_folders(text: &str) -> String {
    let mut parts = text.split("packs/writer/");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + "packs/writer/XX" + part.get(2..).unwrap_or_default())
}

/// Without ids, times and numbers of processes.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let hex =
            word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit()) && word.chars().any(|c| c.is_ascii_digit());
        let time = word.len() == 20 && word.starts_with("20") && word.ends_with('Z');
        out.push_str(if time {
            "TIME"
        } else if hex && word != "4f1c0a9b" {
            "ID"
        } else {
            word
        });
        word.clear();
    };
    for c in text.chars() {
        // An id may begin as a year does; the signs of a time have their places.
        let in_time = (c == '-' && matches!(word.len(), 4 | 7)) || (c == ':' && matches!(word.len(), 13 | 16));
        if c.is_ascii_alphanumeric() || (in_time && word.starts_with("20")) {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

#[test]
fn each_error_names_its_object_its_cause_and_the_next_step() {
    let sandbox = place();
    // Of one writer one run goes on at a time; the others stand in nobody's way.
    let backs_up = |case: &&(usize, Case)| case.1.0.contains("backup ") || case.1.0.ends_with("backup");
    let all: Vec<(usize, Case)> = CASES.iter().copied().enumerate().collect();
    let (own, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(|case| backs_up(&case));
    let lanes = [own, others.iter().copied().step_by(2).collect(), others.iter().copied().skip(1).step_by(2).collect()];
    let told = Mutex::new(vec![String::new(); CASES.len()]);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| {
                for (no, (typed, object)) in lane.iter().copied() {
                    let mut command = sandbox.command();
                    command.args(words(&sandbox, typed)).arg("--json");
                    // `--json` behind `--` would belong to the command that is backed up.
                    if typed.contains(" -- ") {
                        command = sandbox.command();
                        command.arg("--json").args(words(&sandbox, typed));
                    }
                    let run = sandbox.finish(&mut command);
                    let error = if run.code == 0 { serde_json::Value::Null } else { run.json()["error"].clone() };
                    let message = error["message"].as_str().unwrap_or_default();
                    let hint = error["hint"].as_str().unwrap_or_default();
                    let flaw = if run.code == 0 {
                        "it succeeds".to_owned()
                    } else if !message.contains(object) {
                        format!("its message does not name {object:?}")
                    } else if message.len() < 20 {
                        "its message says too little".to_owned()
                    } else if hint.len() < 12 && !message.contains("help") {
                        "it does not say what to do next".to_owned()
                    } else {
                        String::new()
                    };
                    if !flaw.is_empty() {
                        wrong.lock().unwrap().push(format!("$ strongroom {typed}: {flaw}\n  {message}\n  {hint}"));
                    }
                    if run.code != 0 {
                        told.lock().unwrap()[no] = kept(&sandbox, typed, &run);
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap().join("\n");
    let wrong = wrong.into_inner().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/errors.txt");
    if std::env::var_os("STRONGROOM_KEEP_WORDS").is_some() {
        fs::write(&file, &told).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 80);
    let before = fs::read_to_string(&file).unwrap();
    let differs: Vec<String> = told
        .split("\n\n")
        .zip(before.split("\n\n"))
        .filter(|(now, then)| now != then)
        .map(|(now, then)| format!("now:\n{now}\nkept:\n{then}"))
        .collect();
    assert!(
        told == before,
        "words changed; STRONGROOM_KEEP_WORDS=1 keeps them as they are now:\n{}",
        differs.join("\n")
    );
}
