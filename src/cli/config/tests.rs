use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/strongroom/strongroom.toml"))
}

fn told(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(
        r#"
        [vault]
        url = "file:///srv/vault"
        [writer]
        name = "db1"
        key = "writer.key"
        state = "/var/lib/strongroom"
        [lock]
        keep = "35d"
        [[source]]
        name = "files"
        kind = "path"
        path = "dumps"
        exclude = ["*.tmp"]
        [[source]]
        name = "code"
        kind = "git"
        repo = "/srv/code.git"
        allow_empty = true
        [[source]]
        name = "orders"
        kind = "command"
        command = ["pg_dump", "-Z0", "orders"]
        timeout = "2h"
        min_bytes = 1000
        trailer = "dump complete"
        stream = "orders.sql"
        "#,
    )
    .unwrap();
    let writer = config.writer.unwrap();
    assert_eq!(writer.key, Path::new("/etc/strongroom/writer.key"));
    assert_eq!(writer.state, Path::new("/var/lib/strongroom"));
    assert_eq!(config.lock.keep, Some(Span::days(35)));
    let inputs: Vec<_> = config.sources.iter().map(|s| (s.name.as_str(), &s.input, s.allow_empty)).collect();
    assert_eq!(
        inputs[0],
        ("files", &Input::Path { path: "/etc/strongroom/dumps".into(), exclude: vec!["*.tmp".into()] }, false)
    );
    assert_eq!(
        inputs[1],
        ("code", &Input::Git(GitInput { repos: vec!["/srv/code.git".into()], ..GitInput::default() }), true)
    );
    assert!(matches!(&inputs[2].1, Input::Command { argv, timeout: Some(_), .. } if argv.len() == 3));
}

#[test]
fn deltas_are_on_and_bounded_unless_the_file_says_otherwise() {
    let cache = |head: &str, writer: &str| {
        let text = format!("{head}\n[writer]\nkey = \"k\"\nstate = \"s\"\n{writer}\n");
        parse(&text).map(|config| config.writer.unwrap().delta_cache).map_err(|e| e.to_string())
    };
    assert_eq!(cache("", "").unwrap(), Some(20 << 30));
    assert_eq!((cache("delta = false", "").unwrap(), cache("", "delta = false").unwrap()), (None, None));
    for (head, writer) in
        [("delta.cache = \"3MiB\"", ""), ("[delta]\ncache = \"3MiB\"", ""), ("", "delta.cache = \"3 MiB\"")]
    {
        assert_eq!(cache(head, writer).unwrap(), Some(3 << 20), "{head}{writer}");
    }
    assert_eq!(cache("delta = true", "").unwrap(), cache("[delta]", "").unwrap());
    for (head, writer, place, word) in [
        ("delta.cache = \"3\\u00b5B\"", "", ":1:15: ", "not a size"),
        ("delta = 3", "", ":1:9: ", "true, false, or a table"),
        ("[delta]\ncash = \"1GiB\"", "", ":2:1: ", "cash"),
        ("delta = true", "delta = false", ":5:9: ", "twice"),
    ] {
        let told = cache(head, writer).unwrap_err();
        assert!(told.contains(place) && told.contains(word), "{told}");
    }
}

#[test]
fn compression_is_as_usual_unless_the_file_says_otherwise() {
    let read = |line: &str| {
        let text = format!("[writer]\nkey = \"k\"\nstate = \"s\"\n{line}\n");
        parse(&text).map(|config| config.writer.unwrap().compression).map_err(|e| e.to_string())
    };
    assert_eq!(read("").unwrap(), Compression::Usual);
    assert_eq!(read("compression = \"usual\"").unwrap(), Compression::Usual);
    assert_eq!(read("compression = \"auto\"").unwrap(), Compression::Auto);
    for (wrong, word) in
        [("\"Auto\"", "\"usual\" or \"auto\""), ("\"12\"", "\"auto\""), ("12", "string"), ("true", "string")]
    {
        let told = read(&format!("compression = {wrong}")).unwrap_err();
        assert!(told.contains(":4:15: ") && told.contains(word), "{told}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        ("[vault]\nurll = \"x\"\n", ":2:1: ", "urll"),
        ("[vault]\nurl = \"/srv/vault\"\n", ":2:7: ", "file:///srv/vault"),
        ("[vault]\nid = \"xyz\"\n", ":2:6: ", "hex"),
        ("[lock]\nkeep = \"35\"\n", ":2:8: ", "span"),
        ("[[source]]\nname = \"A\"\nkind = \"path\"\n", ":2:8: ", "valid name"),
        ("[[source]]\nname = \"a\"\nkind = \"pathh\"\n", ":3:8: ", "pathh"),
        ("[[source]]\nname = \"a\"\nkind = \"path\"\n", ":1:1: ", "\"path\""),
        ("[[source]]\nname = \"a\"\nkind = \"path\"\npath = \"x\"\nmin_bytes = 10\n", ":5:13: ", "command"),
        ("[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = []\n", ":4:11: ", "program"),
        (
            "[[source]]\nname = \"a\"\nkind = \"path\"\npath = \"x\"\n[[source]]\nname = \"a\"\nkind = \"path\"\npath = \"y\"\n",
            ":6:8: ",
            "two sources",
        ),
        ("[[source]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"x\"\nexclude = [\"t\"]\n", ":5:11: ", "\"path\""),
        ("[[source]]\nname = \"a\"\nkind = \"path\"\npath = \"x\"\nexclude = [\"\"]\n", ":5:11: ", "empty"),
        ("x = é", ":1:5: ", ""),
        ("[writer]\nkey = \"k\"\n", ":1:1: ", "state"),
    ];
    for (text, place, word) in cases {
        let told = told(text);
        assert!(told.contains(place) && told.contains(word), "{text:?}: {told}");
    }
}

#[test]
fn places_count_characters() {
    assert_eq!(place("a\nb", 0), (1, 1));
    assert_eq!(place("a\nb", 2), (2, 1));
    assert_eq!(place("é=x", 2), (1, 2));
    assert_eq!(place("a", 99), (1, 2));
}

#[test]
fn servers_are_lent_without_showing_how_to_log_in() {
    let config = parse(
        "[drill]\npostgres = \"postgres://drill:hunter2@h/x\"\nmariadb = \"mariadb://drill@h?password-file=pw\"\n",
    )
    .unwrap();
    let login = config.servers.mariadb.as_ref().unwrap();
    assert_eq!(login.password_file.as_deref(), Some(Path::new("/etc/strongroom/pw")));
    assert!(config.servers.postgres.as_ref().unwrap().has_password());
    assert!(!format!("{config:?}").contains("hunter2"));
    for (text, word) in [
        ("postgres = \"a='hunter2\"", "not closed"),
        ("mariadb = \"mariadb://u:hunter2@h\"", "password-file"),
        ("mariadb = \"mariadb://u@h/shop\"", "leave the database out"),
        ("mysql = \"mysql://u@h\"", "mysql"),
    ] {
        let told = told(&format!("[drill]\n{text}\n"));
        assert!(told.contains(":2:") && told.contains(word) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_slot_is_of_one_source() {
    let of = |name: &str, dsn: &str, journal: &str| {
        format!("[[source]]\nname = \"{name}\"\nkind = \"postgres\"\ndsn = \"{dsn}\"\nphysical = true\n{journal}\n")
    };
    let first = of("a", "host=h user=r dbname=postgres", "journal = true");
    for second in ["host=h user=r dbname=postgres", "host=h user=other dbname=postgres"] {
        let told = told(&(first.clone() + &of("b", second, "journal = { flush = \"20s\" }")));
        assert!(told.contains(":8:8: ") && told.contains("a and b") && told.contains("slot"), "{told}");
    }
    for (dsn, journal) in [
        ("host=h user=r dbname=postgres", "journal = { slot = \"other\" }"),
        ("host=h user=r dbname=postgres", ""),
        ("host=h2 user=r dbname=postgres", "journal = true"),
    ] {
        assert_eq!(parse(&(first.clone() + &of("b", dsn, journal))).unwrap().sources.len(), 2, "{dsn} {journal}");
    }
}

#[test]
fn a_journal_stands_beside_a_copy_of_the_whole_cluster() {
    use crate::source::journal::{JournalOptions, OnMaxLag};
    let with = |journal: &str, physical: bool| {
        let physical = if physical { "physical = true\n" } else { "" };
        format!("[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"service=x\"\n{physical}journal = {journal}\n")
    };
    let read = |journal: &str| parse(&with(journal, true)).unwrap().sources[0].journal.clone();
    assert_eq!(read("true"), Some(JournalOptions::default()));
    assert_eq!((read("false"), read("{}")), (None, Some(JournalOptions::default())));
    let all = read("{ slot = \"s_1\", flush = \"1m\", spool = \"64MiB\", max_lag = \"1GiB\", on_max_lag = \"gap\" }")
        .unwrap();
    assert_eq!((all.slot.as_str(), all.flush.as_secs(), all.spool, all.max_lag), ("s_1", 60, 64 << 20, 1 << 30));
    assert_eq!(all.on_max_lag, OnMaxLag::Gap);
    for (journal, column, word) in [
        ("{ slot = \"S\" }", 20, "slot's name"),
        ("{ flush = \"0s\" }", 21, "1s or more"),
        ("{ flush = \"10\" }", 21, "span"),
        ("{ spool = \"1MiB\" }", 21, "64MiB"),
        ("{ spool = \"1G\" }", 21, "not a size"),
        ("{ max_lag = \"1MiB\" }", 23, "more than spool"),
        ("{ on_max_lag = \"drop\" }", 0, "unknown variant"),
        ("{ slots = \"x\" }", 0, "unknown field"),
        ("3", 11, "true, false, or a table"),
    ] {
        let told = told(&with(journal, true));
        let place = if column > 0 { format!(":6:{column}:") } else { ":6:".to_owned() };
        assert!(told.contains(&place) && told.contains(word), "{journal}: {told}");
    }
    let told = told(&with("true", false));
    assert!(told.contains(":5:") && told.contains("physical = true"), "{told}");
}

#[test]
fn a_journal_of_mariadb_has_its_own_keys_and_is_of_the_whole_server() {
    let with =
        |kind: &str, more: &str| format!("[[source]]\nname = \"shop\"\nkind = \"{kind}\"\nhost = \"db1\"\n{more}\n");
    let read = |more: &str| parse(&with("mariadb", more)).unwrap().sources[0].journal.clone().unwrap();
    assert_eq!(read("journal = true").server_id, None);
    let all =
        read("databases = [\"a\"]\njournal = { flush = \"5s\", spool = \"64MiB\", max_lag = \"1GiB\", server_id = 9 }");
    assert_eq!((all.flush.as_secs(), all.spool, all.max_lag, all.server_id), (5, 64 << 20, 1 << 30, Some(9)));
    for (kind, more, words) in [
        ("mariadb", "journal = { slot = \"x\" }", "\"slot\" belongs to journals of kind \"postgres\""),
        ("mariadb", "journal = { on_max_lag = \"gap\" }", "\"on_max_lag\" belongs to journals of kind \"postgres\""),
        ("mariadb", "journal = { server_id = 0 }", "1 or more"),
        ("mariadb", "databases = [\"a\", \"b\"]\njournal = true", "for all its databases or for one"),
        ("mariadb", "exclude = [\"tmp*\"]\njournal = true", "`exclude`"),
        ("mysql", "journal = true", "MySQL"),
    ] {
        let told = told(&with(kind, more));
        assert!(told.contains(words), "{more}: {told}");
    }
    let pg = "[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"service=x\"\nphysical = true\njournal = { server_id = 4 }\n";
    assert!(told(pg).contains("\"server_id\" belongs to journals of kind \"mariadb\""));
}

#[test]
fn copies_have_a_place_and_a_name_of_their_own() {
    let text = "[[copy]]\nname = \"paris\"\nurl = \"s3://other-vault/prod\"\ncredentials = \"file:c.toml\"\nlimit_upload = \
                \"20MB\"\nlocks = \"as-possible\"\n[[copy]]\nname = \"disk-a\"\nurl = \"file:///mnt/a\"\nremovable = true\n\
                sources = [\"orders\"]\nnewest = 3\n";
    let copies = parse(text).unwrap().copies;
    assert_eq!((copies[0].limit_upload, copies[0].as_possible, copies[0].removable), (Some(20_000_000), true, false));
    assert_eq!(copies[0].s3.credentials.as_ref().unwrap().to_string(), "file:/etc/strongroom/c.toml");
    assert_eq!((copies[1].newest, copies[1].removable, copies[1].sources.len()), (Some(3), true, 1));
    for (wrong, word) in [
        ("[[copy]]\nname = \"a\"\nurl = \"/mnt/a\"", "file:///mnt/a"),
        ("[[copy]]\nname = \"a\"\nurl = \"s3://other/a\"\nremovable = true", "not a removable disk"),
        ("[[copy]]\nname = \"a\"\nurl = \"file:///a\"\nnewest = 0", "nothing would be copied"),
        (
            "[[copy]]\nname = \"a\"\nurl = \"file:///a\"\n[[copy]]\nname = \"a\"\nurl = \"file:///b\"",
            "two copies called a",
        ),
        ("[[copy]]\nname = \"a\"\nurl = \"file:///a\"\nlimit_upload = \"fast\"", "not a size"),
        ("[[copy]]\nname = \"a\"\nurl = \"file:///a\"\nlimit_download = \"0\"", "nothing would be copied"),
        ("[copy]\nname = \"a\"\nurl = \"file:///a\"", "two brackets"),
        ("[[copy]]\nname = \"a\"\nurl = \"file:///a\"\nkeep = \"1d\"", "keep"),
    ] {
        assert!(told(wrong).contains(word), "{wrong}: {}", told(wrong));
    }
}
