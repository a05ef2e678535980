//! `incident`.

use std::{fs, path::Path, process::Command};

use rusqlite::Connection;
use serde_json::Value;

use crate::{sandbox::Sandbox, shop::Shop};

/// Runs a command as it is printed, by a shell in an empty directory, and returns that directory.
fn typed(sandbox: &Sandbox, command: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin("strongroom");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", command]).env_clear().env("PATH", path).env("HOME", sandbox.path("home")).current_dir(dir.path());
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    dir
}

fn commands(of: &Value) -> Vec<String> {
    of["commands"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap().to_owned()).collect()
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).next().unwrap()
}

#[test]
fn a_table_is_emptied_and_the_page_says_what_to_type() {
    let shop = Shop::open(6);
    let (good, held) = (shop.backup(), shop.count());
    let files = ["html", "md", "json"].map(|end| shop.sandbox.path(&format!("page.{end}")));
    let words: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let report = words.iter().flat_map(|file| ["--report", file.as_str()]);
    let calm = shop.responder(&["incident", "--json"].into_iter().chain(report).collect::<Vec<_>>()).ok().json();
    let written: Value = serde_json::from_slice(&fs::read(&files[2]).unwrap()).unwrap();
    assert_eq!(written, calm["result"]);
    let text = |at: usize| fs::read_to_string(&files[at]).unwrap();
    assert!(text(0).contains("<html") && text(1).contains("shop") && !text(1).contains("<html"));
    assert_eq!(calm["result"]["sources"][0]["state"], "calm", "{calm}");
    assert_eq!(calm["result"]["sources"][0]["last_good"]["id"], good.as_str());

    shop.db.execute_batch("DELETE FROM orders; INSERT INTO notes VALUES('a'), ('b')").unwrap();
    let bad = shop.backup();
    shop.backup();
    let seen = shop.sandbox.path("seen.json").display().to_string();
    shop.watch(&[]).code(7);
    let run = shop.responder(&["incident", "--json", "--checkpoint", &seen]).code(7);
    let page = &run.json()["result"]["sources"][0];
    assert_eq!(page["state"], "alarm", "{page}");
    assert_eq!(page["last_good"]["id"], good.as_str());
    assert_eq!(page["first_bad"]["id"], bad.as_str());
    assert!(page["headline"].as_str().unwrap().contains("table orders is empty and held"), "{page}");
    let row = |table: &str| page["loses"]["rows"].as_array().unwrap().iter().find(|row| row["table"] == table).unwrap();
    assert_eq!((&row("orders")["comes_back"], &row("orders")["newest"]), (&held.into(), &0.into()));
    assert_eq!((&row("notes")["goes"], &row("notes")["good"]), (&2.into(), &0.into()));
    let last = page["timeline"].as_array().unwrap();
    let changed = last.iter().find(|row| row["id"] == bad.as_str()).unwrap();
    assert!(changed["changes"].to_string().contains("orders"), "{changed}");
    assert_eq!(last.last().unwrap()["stand"], "still");

    // Every command that is printed works as it is printed.
    let commands = commands(page);
    assert!(commands.iter().all(|command| command.starts_with("strongroom ")), "{commands:?}");
    let done: Vec<_> = commands.iter().map(|command| typed(&shop.sandbox, command)).collect();
    let back = done[0].path().join(format!("restored-shop-{}", &good[..12])).join("shop");
    let rows: i64 =
        Connection::open(only_file(&back)).unwrap().query_row("SELECT count(*) FROM orders", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, held);
    for word in ["restore", "verify", "drill", "watch"] {
        assert!(
            commands.iter().any(|command| command.contains(&format!("strongroom {word} "))),
            "{word}: {commands:?}"
        );
    }
    // The last of them acknowledged the alarm.
    shop.responder(&["incident", "--json", "--checkpoint", &seen]).ok();
    shop.responder(&["incident", "--json"]).code(7);
    let whole = &run.json()["result"];
    typed(&shop.sandbox, whole["commands"][0]["command"].as_str().unwrap());

    // Without an identity there are sizes and times, and the page says so.
    let mut plain = shop.sandbox.command();
    let run = shop.sandbox.finish(plain.args(["incident", "--vault", &shop.sandbox.url()]));
    assert!(run.out().contains("only sizes and times were checked"), "{}", run.out());
}

#[test]
fn a_repository_is_pushed_over() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("repo");
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&repo).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]);
        let output = command.args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::create_dir(&repo).unwrap();
    git(&["init", "-q", "-b", "main"]);
    let backup = || sandbox.writer(&["backup", "--name", "code", "--git", repo.to_str().unwrap()]).ok();
    for n in 0..5 {
        git(&["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
        git(&["branch", &format!("b{n}")]);
        backup();
    }
    git(&["reset", "-q", "--hard", "HEAD~3"]);
    git(&["commit", "-q", "--allow-empty", "-m", "other"]);
    git(&["branch", "new"]);
    backup();
    let mut command = sandbox.command();
    command.args(["incident", "--json", "--vault", &sandbox.url(), "-i"]).arg(sandbox.identity());
    let page = sandbox.finish(&mut command).code(7).json()["result"]["sources"][0].clone();
    let refs = page["loses"]["refs"].as_array().unwrap();
    let of = |name: &str| refs.iter().find(|one| one["ref"] == name).unwrap();
    assert!(of("refs/heads/main")["good"] != of("refs/heads/main")["newest"], "{refs:?}");
    assert!(of("refs/heads/new")["good"].is_null() && refs.len() == 2, "{refs:?}");
    let dir = typed(&sandbox, &commands(&page)[0]);
    let id: String = page["last_good"]["id"].as_str().unwrap().chars().take(12).collect();
    assert!(dir.path().join(format!("restored-code-{id}/code.git/HEAD")).exists());
}

#[test]
fn hostile_names_steer_neither_terminal_nor_browser_nor_markdown() {
    let shop = Shop::open(0);
    let hostile = "x<script>alert(1)</script>\u{202e}\u{1b}[2J|`**[a](javascript:1)\n::error::\n```";
    let create = |rows: usize| {
        let quoted = hostile.replace('"', "\"\"");
        shop.db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS \"{quoted}\"(t TEXT)")).unwrap();
        for _ in 0..rows {
            shop.db.execute_batch(&format!("INSERT INTO \"{quoted}\" VALUES(hex(randomblob(9)))")).unwrap();
        }
    };
    for _ in 0..6 {
        create(20);
        shop.backup();
    }
    shop.db.execute_batch(&format!("DELETE FROM \"{}\"", hostile.replace('"', "\"\""))).unwrap();
    shop.backup();
    let file = shop.sandbox.path("incident.html");
    let run = shop.responder(&["incident", "--html", file.to_str().unwrap()]).code(7);
    let html = fs::read_to_string(&file).unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(html.contains("default-src 'none'") && !html.contains("http-equiv=\"refresh\""));
    let hidden = |text: &str| text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'));
    for text in [&html, &run.out(), &run.stderr] {
        assert!(!hidden(text), "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    }
    let markdown = shop.responder(&["incident", "--markdown"]).code(7).out();
    let links = markdown.replace("\\]", "").contains("](");
    assert!(!hidden(&markdown) && !markdown.contains("<script") && !links, "{markdown}");
    // As many fences as there are commands, each opened and closed.
    let fences = markdown.lines().filter(|line| line.starts_with("```")).count();
    assert!(fences > 0 && fences % 2 == 0, "{markdown}");
    // No identity and no key is on the page.
    let key = fs::read_to_string(shop.sandbox.identity()).unwrap();
    let secret = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    assert!(!html.contains(secret) && !markdown.contains(secret));
    // Where it can't be written, that is said, and the page is on the terminal all the same.
    let nowhere = shop.sandbox.path("no/such/dir.html").display().to_string();
    shop.responder(&["incident", "--html", &nowhere]).code(2);
}
