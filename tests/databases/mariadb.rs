//! MariaDB, as a server that the tests start, while others write to it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
};

use strongroom::{
    codec::seal::{NoPrompt, Opener},
    model::Fingerprint,
    ops,
    source::{
        mariadb::{Client, Depth, Flavour, Login, print},
        scratch::Scratch,
    },
    store::local::LocalStore,
    vault::reader::Snapshot,
};

use crate::{
    sandbox::{Run, Sandbox},
    server::Server,
};

const PASSWORD: &str = "pass#w\"ord \\ with 'all'";

/// A server with two databases, and an account that may back them up.
fn server() -> Server {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE DATABASE `odd ``-name` CHARACTER SET utf8mb4; USE shop;
         CREATE TABLE account(id INT PRIMARY KEY, balance BIGINT) ENGINE=InnoDB;
         INSERT INTO account VALUES (1, 1000000), (2, 1000000);
         CREATE TABLE log(id INT AUTO_INCREMENT PRIMARY KEY, amount INT, note TEXT) ENGINE=InnoDB;
         CREATE TABLE kinds(id INT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(20,3), b BLOB, g GEOMETRY, bits BIT(9),
           ts TIMESTAMP(6) NULL, tm TIME(3), y YEAR, e ENUM('x','\u{e9}'), s SET('a','b'), j JSON, u UUID, i6 INET6,
           latin VARCHAR(20) CHARACTER SET latin1, dt DATETIME(6), big LONGTEXT, bin VARBINARY(9),
           twice INT AS (id * 2) VIRTUAL, thrice INT AS (id * 3) STORED, `odd ``\"' col` INT) ENGINE=InnoDB;
         INSERT INTO kinds(id, f, d, n, b, g, bits, ts, tm, y, e, s, j, u, i6, latin, dt, big, bin, `odd ``\"' col`) VALUES
           (1, 1.25, 1.1234567890123456, 1.5, x'00ff0a5c', POINT(1, 2), b'101010101', NOW(6), '12:01:02.5', 2020,
            '\u{e9}', 'a,b', '{\"a\": 1}', UUID(), '::1', '\u{e9}', NOW(6), REPEAT('x', 3000000), x'ff00', 7),
           (2, -1e-30, 1e308, -0.001, '', NULL, b'0', NULL, '-12:00:00', NULL, NULL, '', NULL, NULL, NULL, '', NULL, '',
            '', NULL);
         CREATE SEQUENCE seq START WITH 5;
         CREATE VIEW rich AS SELECT id FROM account WHERE balance > 0;
         DELIMITER //
         CREATE PROCEDURE pay(n INT) BEGIN UPDATE account SET balance = balance - n WHERE id = 1; END //
         CREATE TRIGGER guard BEFORE INSERT ON log FOR EACH ROW BEGIN SET NEW.note = CONCAT(NEW.note, '!'); END //
         CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log WHERE id < 0 //
         DELIMITER ;
         USE `odd ``-name`; CREATE TABLE `t ``/ x`(`a ``b` VARCHAR(10)) ENGINE=InnoDB;
         INSERT INTO `t ``/ x` VALUES ('\u{1F980}'), (NULL), (''), ('N');",
    );
    grant(&server, "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, PROCESS");
    server
}

fn grant(server: &Server, privileges: &str) {
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
    server.sql(&format!(
        "CREATE OR REPLACE USER backup@localhost IDENTIFIED BY '{password}'; GRANT {privileges} ON *.* TO backup@localhost"
    ));
}

/// A vault with a configured source for `server`, and more lines for the source.
fn vault(server: &Server, more: &str) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let file = sandbox.path("safe/password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"mariadb\"\nsocket = {:?}\nuser = \"backup\"\npassword_file = {:?}\n{more}\n",
        server.socket().to_str().unwrap(),
        file.to_str().unwrap()
    ));
    sandbox
}

pub fn backup(sandbox: &Sandbox) -> Run {
    let tmp = sandbox.path("tmp");
    let _ = fs::create_dir(&tmp);
    let mut command = sandbox.command();
    command.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config()).args(["backup", "shop", "--json"]);
    let run = sandbox.finish(&mut command);
    assert!(!format!("{}{}", run.out(), run.stderr).contains("pass#w"), "the password was shown");
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "the file with the password was left");
    run
}

/// Asserts that no snapshot was made, for a reason that holds `why`.
pub fn fails(run: &Run, why: &str) {
    let document = run.json();
    assert_eq!(run.code, 1, "{document}");
    assert_eq!(document["result"]["snapshots"], serde_json::json!([]));
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains(why), "{why:?} is not in {message}");
}

/// The id and the warnings of the snapshot that a run made.
pub fn made(run: &Run) -> (String, Vec<String>) {
    let snapshot = &run.json()["result"]["snapshots"][0];
    let warnings = snapshot["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned());
    (snapshot["id"].as_str().unwrap().to_owned(), warnings.collect())
}

/// What the snapshot's body says that the databases held.
fn told(sandbox: &Sandbox, id: &str) -> Vec<Fingerprint> {
    struct Now;
    impl strongroom::model::Clock for Now {
        fn now(&self) -> strongroom::model::Time {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            strongroom::model::Time::from_unix(since.as_secs().try_into().unwrap())
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let identity = fs::read_to_string(sandbox.identity()).unwrap();
    let opener = Opener::from_identity_text(&identity, "test", Arc::new(NoPrompt)).unwrap();
    runtime.block_on(async {
        let store: Arc<dyn strongroom::store::ObjectStore> =
            Arc::new(LocalStore::open(sandbox.path("vault"), Arc::new(Now)).unwrap());
        let vault = ops::open_vault(&store, &[]).await.unwrap();
        let listed = strongroom::vault::snapshots::by_id(&vault, id).await.unwrap().snapshots.remove(0);
        let header = vault.whole(&listed).await.unwrap();
        Snapshot::open(&vault, header, &opener).await.unwrap().body.fingerprints
    })
}

/// What a server holds now, by the same questions.
fn holds(server: &Server, databases: &[&str]) -> Vec<Fingerprint> {
    let scratch = Scratch::new().unwrap();
    let login = Login { socket: Some(server.socket()), user: Some("root".into()), ..Login::default() };
    let mut session = Client::new(Flavour::Mariadb, &login, &scratch).unwrap().connect().unwrap();
    let databases: Vec<String> = databases.iter().map(|&name| name.to_owned()).collect();
    let contents = print::contents(&mut session, &databases).unwrap();
    let tables = print::tables(&mut session, &contents, Depth::Hash, &BTreeSet::new()).unwrap();
    print::fingerprints(&databases, &contents, &tables)
}

fn restore(sandbox: &Sandbox, id: &str, to: &str) -> PathBuf {
    let to = sandbox.path(to);
    sandbox.reader(&["restore", id, "--to", to.to_str().unwrap()]).ok();
    to.join("shop")
}

fn unequal(was: &[Fingerprint], is: &[Fingerprint]) -> Vec<String> {
    let names = |prints: &[Fingerprint]| prints.iter().map(|p| p.database.clone()).collect::<Vec<_>>();
    assert_eq!(names(was), names(is));
    let pairs = was.iter().zip(is).flat_map(|(was, is)| was.compare(is));
    pairs.filter(|c| !c.equal()).map(|c| format!("{}: {:?} {:?}", c.name, c.expected, c.actual)).collect()
}

/// Somebody who moves money all the time, until dropped.
struct Load(Child, Option<std::thread::JoinHandle<()>>);

impl Load {
    fn on(server: &Server) -> Self {
        let mut child = server.client().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || {
            let mut i = 0;
            loop {
                i += 1;
                let sql = format!(
                    "START TRANSACTION; UPDATE shop.account SET balance = balance - {i} WHERE id = 1;
                     INSERT INTO shop.log(amount, note) VALUES ({i}, REPEAT('n', 500));
                     UPDATE shop.account SET balance = balance + {i} WHERE id = 2; COMMIT;\n"
                );
                if stdin.write_all(sql.as_bytes()).is_err() {
                    return;
                }
            }
        });
        while server.sql("SELECT COUNT(*) > 20 FROM shop.log").trim() != "1" {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self(child, Some(writing))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = self.1.take().unwrap().join();
    }
}

#[test]
fn a_restored_server_holds_what_the_fingerprint_says_though_others_wrote() {
    let (server, second) = (server(), Server::start());
    let sandbox = vault(&server, "databases = \"*\"");
    let load = Load::on(&server);
    let mut last = 0;
    for round in 0..3 {
        let run = backup(&sandbox).ok();
        let (id, warnings) = made(&run);
        assert_eq!(warnings, [""; 0]);
        let streams = &run.json()["result"]["snapshots"][0]["streams"];
        assert_eq!((&streams[0]["name"], &streams[1]["name"]), (&"databases.sql".into(), &"globals.sql".into()));
        let was = told(&sandbox, &id);
        assert_eq!(was.len(), 2);
        let shop = was.iter().find(|print| print.database == "shop").unwrap();
        assert_eq!(shop.tables.len(), 3);
        for object in ["view rich", "procedure pay", "trigger guard", "event nightly", "sequence seq"] {
            assert!(shop.objects.contains_key(object), "{:?}", shop.objects);
        }
        let dir = restore(&sandbox, &id, &format!("out{round}"));
        second.sql("DROP DATABASE IF EXISTS shop; DROP DATABASE IF EXISTS `odd ``-name`");
        second.load(&dir.join("databases.sql"));
        let is = holds(&second, &["odd `-name", "shop"]);
        assert_eq!(unequal(&was, &is), [""; 0], "round {round}");
        assert_eq!(second.sql("SELECT SUM(balance) FROM shop.account").trim(), "2000000");
        assert!(shop.tables["log"].rows > last, "it is not newer than the one before");
        last = shop.tables["log"].rows;
        let globals = fs::read_to_string(dir.join("globals.sql")).unwrap();
        assert!(globals.contains("`backup`@`localhost`") && globals.contains("GRANT"), "{globals}");
    }
    drop(load);
    // One value more or less is seen, in every kind of column, and so is one object.
    let was = holds(&second, &["shop"]);
    for (sql, name) in [
        ("UPDATE shop.kinds SET f = 2.5 WHERE id = 1", "kinds"),
        ("UPDATE shop.kinds SET f = 1.23456789, big = CONCAT(big, 'y') WHERE id = 1", "kinds"),
        ("UPDATE shop.kinds SET b = NULL WHERE id = 2", "kinds"),
        ("UPDATE shop.kinds SET g = POINT(2, 2), j = NULL WHERE id = 1", "kinds"),
        ("UPDATE shop.account SET balance = balance + 1 WHERE id = 2", "account"),
        ("INSERT INTO shop.account VALUES (3, 0)", "account"),
        ("DROP TRIGGER shop.guard", "trigger guard"),
        ("DROP VIEW shop.rich", "view rich"),
    ] {
        second.sql(sql);
        let found = unequal(&was, &holds(&second, &["shop"]));
        assert!(found.iter().any(|line| line.starts_with(&format!("{name}: "))), "{sql}: {found:?}");
    }
}

#[test]
fn what_the_account_may_not_is_told() {
    let server = server();
    server.sql("CREATE TABLE shop.old(a INT) ENGINE=MyISAM; INSERT INTO shop.old VALUES (1)");
    let sandbox = vault(&server, "databases = [\"shop\"]");
    let (id, warnings) = made(&backup(&sandbox).ok());
    assert!(matches!(&warnings[..], [one] if one.contains("shop.old") && one.contains("MyISAM")), "{warnings:?}");
    assert!(told(&sandbox, &id)[0].tables.contains_key("old"), "nobody wrote to it");
    server.sql("DROP TABLE shop.old");

    // Nobody may lock the tables: what is written to in that moment has no fingerprint, and what has one is right.
    grant(&server, "SELECT, SHOW VIEW, EVENT, LOCK TABLES");
    let load = Load::on(&server);
    let (id, warnings) = made(&backup(&sandbox).ok());
    for part in ["GRANT RELOAD", "GRANT TRIGGER ON `shop`"] {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
    }
    let mut was = told(&sandbox, &id);
    assert!(was[0].tables.contains_key("kinds"), "{was:?}");
    let second = Server::start();
    second.load(&restore(&sandbox, &id, "out").join("shop.sql"));
    let mut is = holds(&second, &["shop"]);
    let left = was[0].server.get(print::LEFT_OUT).cloned().unwrap_or_default();
    is[0].tables.retain(|name, _| !left.lines().any(|line| line == name));
    is[0].objects.retain(|name, _| !name.starts_with("trigger"));
    was[0].objects.retain(|name, _| !name.starts_with("trigger"));
    assert_eq!(unequal(&was, &is), [""; 0]);
    drop(load);

    grant(&server, "RELOAD, LOCK TABLES, SHOW VIEW, EVENT, TRIGGER, SELECT");
    server.sql("REVOKE SELECT ON *.* FROM backup@localhost; GRANT SELECT, SHOW VIEW ON shop.* TO backup@localhost");
    let (id, warnings) = made(&backup(&sandbox).ok());
    assert!(warnings.iter().any(|warning| warning.contains("users and grants are not in the backup")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("procedures and functions")), "{warnings:?}");
    assert!(!restore(&sandbox, &id, "without").join("globals.sql").exists());
    // A routine that can be seen and not read would be missing in the dump, without a word.
    server.sql("GRANT EXECUTE ON shop.* TO backup@localhost");
    fails(&backup(&sandbox), "procedure pay");

    let sandbox = vault(&server, "databases = [\"nothing\"]");
    fails(&backup(&sandbox), "there is no such database");
}

#[test]
fn a_dump_that_did_not_end_well_makes_no_snapshot() {
    let mut server = server();
    let sandbox = vault(&server, "databases = [\"shop\"]");
    made(&backup(&sandbox).ok());
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let wrapped = |script: &str| {
        let path = bin.join("mariadb-dump");
        let text = format!("#!/bin/sh\nPATH={}\nBIN={}\n{script}\n", env!("PATH"), bin.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = sandbox.command();
        command.env("PATH", format!("{}:{}", bin.display(), env!("PATH")));
        command.arg("--config").arg(sandbox.config()).args(["backup", "shop", "--json"]);
        let run = sandbox.finish(&mut command);
        assert!(!format!("{}{}", run.out(), run.stderr).contains("pass#w"), "the password was shown");
        run
    };
    // Cut short, though the tool says that all is well.
    fails(&wrapped("mariadb-dump \"$@\" | head -c 2000"), "cut short");
    fails(&wrapped("mariadb-dump \"$@\"; exit 2"), "exit status 2");
    fails(&wrapped("mariadb-dump \"$@\" | head -c 2000; kill -9 $$"), "signal 9");
    fails(&wrapped("echo the password is 'secret-words' >&2; exit 1"), "exit status 1");
    // The server dies in the middle.
    let kill = format!("mariadb-dump \"$@\" | {{ head -c 1000; kill -9 {}; cat; }}", server_pid(&server));
    let message = wrapped(&kill).json()["error"]["message"].as_str().unwrap().to_owned();
    // Who notices first, the dump or the session that counts rows, is chance.
    let words = ["mariadb-dump", "Can't connect", "gone away", "Lost connection"];
    assert!(words.iter().any(|word| message.contains(word)), "{message}");
    server.kill();
    fails(&backup(&sandbox), "Can't connect");
    let listed = sandbox.reader(&["snapshots", "--json"]).ok().json();
    assert_eq!(listed["result"].as_array().unwrap().len(), 1, "only the first");
}

fn server_pid(server: &Server) -> String {
    fs::read_to_string(server.sql("SELECT @@pid_file").trim()).unwrap().trim().to_owned()
}

#[test]
fn no_secret_reaches_a_command_line_or_an_environment() {
    let server = server();
    let sandbox = vault(&server, "databases = [\"shop\"]\nfingerprint = \"rows\"");
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for tool in ["mariadb", "mariadb-dump"] {
        let script = format!(
            "#!/bin/sh\n{{ echo \"$0 $*\"; env; }} >> {}\nPATH={} exec {tool} \"$@\"\n",
            sandbox.path("children").display(),
            env!("PATH")
        );
        fs::write(bin.join(tool), script).unwrap();
        fs::set_permissions(bin.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = sandbox.command();
    command.env("PATH", format!("{}:{}", bin.display(), env!("PATH")));
    command.env("MYSQL_PWD", "wrong").env("STRONGROOM_IDENTITY", "nothing");
    command.arg("--config").arg(sandbox.config()).args(["-v", "-v", "backup", "shop"]);
    let run = sandbox.finish(&mut command).ok();
    let children = fs::read_to_string(sandbox.path("children")).unwrap();
    assert!(children.contains("--single-transaction") && children.contains("mariadb --defaults-file="), "{children}");
    // That it was not used is told; no child has it.
    assert!(!children.contains("MYSQL_PWD"), "{children}");
    for text in [&children, &run.stderr, &run.out()] {
        assert!(!text.contains("pass#w") && !text.contains("STRONGROOM_IDENTITY"), "{text}");
    }
    let (id, print) = {
        let listed = sandbox.reader(&["snapshots", "--json"]).ok().json();
        let id = listed["result"][0]["id"].as_str().unwrap().to_owned();
        let print = told(&sandbox, &id);
        (id, print)
    };
    assert!(print[0].tables["account"].hash.is_none() && print[0].tables["account"].rows == 2, "{id}");

    let file = sandbox.path("safe/password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.writer(&["backup", "shop"]).code(1).says("can be read by others").says("chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "wrong password").unwrap();
    sandbox.writer(&["backup", "shop"]).code(1).says("Access denied");
}

#[test]
fn the_tools_of_mysql_are_used_where_it_says_so() {
    let server = server();
    let sandbox = Sandbox::with_vault();
    let options = sandbox.path("safe/my.cnf");
    fs::write(&options, format!("[client]\nuser=root\nsocket={}\n", server.socket().display())).unwrap();
    fs::set_permissions(&options, fs::Permissions::from_mode(0o600)).unwrap();
    let dsn = format!("mysql:///shop?defaults-file={}", options.display());
    let run = sandbox.writer(&["backup", "--name", "shop", "--mysql", &dsn, "--json"]).ok();
    let (id, warnings) = made(&run);
    assert_eq!(
        (run.json()["result"]["snapshots"][0]["kind"].as_str(), warnings.len()),
        (Some("mysql"), 0),
        "{warnings:?}"
    );
    let dir = restore(&sandbox, &id, "out");
    let second = Server::start();
    second.load(&dir.join("shop.sql"));
    assert_eq!(unequal(&told(&sandbox, &id), &holds(&second, &["shop"])), [""; 0]);
    let globals = fs::read_to_string(dir.join("globals.sql")).unwrap();
    assert!(globals.contains("CREATE USER IF NOT EXISTS `backup`@`localhost`"), "{globals}");
    second.load(&dir.join("globals.sql"));
    sandbox.writer(&["backup", "--name", "x", "--mysql", "mysql://a:hunter2@h/"]).code(2).says("password-file");
}
