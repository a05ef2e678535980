//! Questions that have no good answer: each gets its exit code, one error that names what is wrong, and a way out.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::lab::{Lab, chmod, noise, tree};

#[test]
fn where_no_vault_is() {
    let lab = Lab::bare();
    fs::create_dir(lab.path("photos")).unwrap();
    fs::write(lab.path("photos/cat.jpg"), "meow").unwrap();
    fs::write(lab.path("file"), "no directory").unwrap();
    let identity = lab.path("safe/id");
    fs::write(&identity, "no identity").unwrap();
    chmod(&identity, 0o600);
    for (place, code) in [("nowhere", 10), ("photos", 10), ("home", 10)] {
        let url = format!("file://{}", lab.text(place));
        for args in [&["snapshots"][..], &["verify"], &["verify", "--depth", "read"]] {
            lab.run(lab.program(args).args(["--vault", &url])).fails(code, &[&lab.text(place), "vault", "hint: "]);
        }
        let document = lab.run(&mut lab.program(["snapshots", "--json", "--vault", &url])).code(code).json();
        assert_eq!(document["error"]["kind"], "no-vault");
        assert_eq!(document["result"], json!(null));
    }
    assert!(!lab.path("nowhere").exists(), "looking for a vault makes none");
    assert_eq!(tree(&lab.path("photos")), ["cat.jpg"], "looking leaves nothing");
    let url = format!("file://{}", lab.text("file"));
    lab.run(&mut lab.program(["snapshots", "--vault", &url])).fails(2, &["not a directory", &lab.text("file")]);
}

#[test]
fn init_makes_no_vault_among_other_things() {
    let lab = Lab::bare();
    fs::create_dir(lab.path("photos")).unwrap();
    fs::write(lab.path("photos/cat.jpg"), "meow").unwrap();
    let url = format!("file://{}", lab.text("photos"));
    let mut init = lab.program(["init", "--vault", &url, "--out", &lab.text("etc")]);
    lab.run(&mut init).fails(2, &["cat.jpg", "hint: "]);
    assert_eq!(tree(&lab.path("photos")), ["cat.jpg"]);
    assert!(!lab.path("etc").exists(), "no keys of a vault that is not there");

    let lab = Lab::new();
    let before = tree(&lab.path(""));
    let again = |out: &str| lab.run(&mut lab.program(["init", "--vault", &lab.url(), "--out", &lab.text(out)]));
    again("etc").fails(2, &["writer.key", "already exists"]);
    again("other").fails(2, &["already a vault"]);
    again("vault/keys").fails(2, &["--out lies within the vault"]);
    assert_eq!(tree(&lab.path("")), before, "nothing was made or changed");
}

#[test]
fn a_wrong_identity_opens_nothing() {
    let (lab, other) = (Lab::new(), Lab::new());
    lab.backup("x", b"bytes");
    let to = lab.text("out");
    let restore = |identity: &std::path::Path| {
        let mut command = lab.program(["restore", "latest", "--source", "x", "--vault", &lab.url(), "--to", &to]);
        lab.run(command.arg("-i").arg(identity))
    };
    // An identity names its vault, so another vault's is found out before it is tried.
    restore(&other.identity()).fails(4, &["a different vault"]);
    let text = fs::read_to_string(other.identity()).unwrap();
    let (plain, noted) = text.split_once("# strongroom-vault").unwrap();
    let bare = lab.path("safe/bare");
    fs::write(&bare, format!("{plain}{}", noted.split_once('\n').unwrap().1)).unwrap();
    chmod(&bare, 0o600);
    restore(&bare).fails(12, &["identit", "hint: "]);
    let mut verify = lab.program(["verify", "--depth", "decrypt", "--vault", &lab.url(), "--json"]);
    let document = lab.run(verify.arg("-i").arg(&bare)).code(12).json();
    assert_eq!(document["error"]["kind"], "no-identity");
    for (text, what) in [("", "empty"), ("a shopping list\n", "no key"), ("AGE-SECRET-KEY-1QQQQ\n", "a cut one")] {
        fs::write(&bare, text).unwrap();
        let run = restore(&bare).fails(2, &[]);
        assert!(run.stderr.contains("identity"), "{what}: {}", run.stderr);
        assert!(
            !run.stderr.contains("shopping"),
            "a file that is not an identity may be another secret: {}",
            run.stderr
        );
    }
    restore(&lab.path("safe/none")).fails(2, &["safe/none"]);
    let none = lab.run(&mut lab.program(["restore", "latest", "--source", "x", "--vault", &lab.url(), "--to", &to]));
    none.fails(2, &["STRONGROOM_IDENTITY"]);
    assert!(!lab.path("out").exists());
}

#[test]
fn urls_with_typos() {
    let lab = Lab::new();
    let path = lab.text("vault");
    for (url, meant) in [
        (path.as_str(), format!("file://{path}")),
        (&format!("file:/{path}"), "file:///".into()),
        (&path.replacen('/', "file://", 1), format!("file://{path}")),
        ("file://./vault", "file:///vault".into()),
        ("s3:/bucket/prefix", "s3://".into()),
        ("s4://bucket", "s4".into()),
        ("S3://bucket", "s3://".into()),
        ("s3://Bucket", "bucket".into()),
        ("", "--vault".into()),
    ] {
        let run = lab.run(&mut lab.program(["snapshots", "--vault", url])).fails(2, &[&meant]);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        let mut command = lab.program(["snapshots"]);
        if !url.is_empty() {
            lab.run(command.env("STRONGROOM_VAULT", url)).fails(2, &["STRONGROOM_VAULT", &meant]);
        }
    }
}

#[test]
fn keys_that_others_can_read() {
    let lab = Lab::new();
    lab.backup("x", b"bytes");
    let objects = lab.objects();
    for mode in [0o640, 0o604, 0o660, 0o777] {
        chmod(&lab.path("etc/writer.key"), mode);
        let hint = format!("chmod 600 {}", lab.text("etc/writer.key"));
        lab.feed(&mut lab.writer(["backup", "--name", "x", "--stdin"]), b"more").fails(2, &[&hint]);
        lab.run(&mut lab.writer(["catalog", "rebuild"])).fails(2, &[&hint]);
        chmod(&lab.identity(), mode);
        let hint = format!("chmod 600 {}", lab.text("safe/recovery.key"));
        let restore = ["restore", "latest", "--source", "x", "--to", "-"];
        lab.run(&mut lab.reader(restore)).fails(2, &[&hint]);
        lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).fails(2, &[&hint]);
    }
    assert_eq!(lab.objects(), objects);
    for mode in [0o600, 0o400] {
        chmod(&lab.path("etc/writer.key"), mode);
        chmod(&lab.identity(), mode);
        lab.backup("x", b"more");
        assert_eq!(lab.bytes_of(lab.ids().last().unwrap()), b"more");
    }
}

#[test]
fn configurations_that_say_something_else() {
    let lab = Lab::new();
    let good = fs::read_to_string(lab.config()).unwrap();
    let after = good.lines().count() + 1;
    for (text, line, column, names) in [
        ("[writr]\nname = \"w\"\n", 0, 2, "writr"),
        ("[[source]]\nname = \"x\"\nkind = \"path\"\npaht = \"/x\"\n", 3, 1, "paht"),
        ("[[source]]\nname = \"X Y\"\nkind = \"path\"\npath = \"/x\"\n", 1, 8, "is not a valid name"),
        ("[[source]]\nname = \"x\"\nkind = \"pth\"\n", 2, 8, "pth"),
        ("[[source]]\nname = \"x\"\nkind = \"git\"\npath = \"/x\"\n", 3, 8, "path"),
        ("[[source]]\nname = \"x\"\nkind = \"command\"\ncommand = []\n", 3, 11, "command"),
        ("[local]\nimmutable = \"yes\"\n", 1, 13, "boolean"),
        ("[[source]\n", 0, 10, "]"),
    ] {
        fs::write(lab.config(), format!("{good}{text}")).unwrap();
        let place = format!("strongroom.toml:{}:{column}:", after + line);
        for args in [&["snapshots"][..], &["backup"], &["verify"]] {
            lab.run(&mut lab.writer(args)).fails(2, &[&place, names, "hint: "]);
        }
    }
    for (from, to, names) in [
        ("key = \"writer.key\"", "key = \"gone.key\"", "gone.key"),
        ("key = \"writer.key\"", "key = \"../safe/recovery.key\"", "recovery.key"),
        ("key = \"writer.key\"", "key = \"strongroom.toml\"", "strongroom.toml"),
        ("name = \"writer\"", "name = \"db1\"", "db1"),
        ("keep = \"35d\"", "keep = \"36d\"", "36d"),
        ("keep = \"35d\"", "keep = \"a month\"", "a month"),
        ("[writer]", "[writer]\nname = \"twice\"", "duplicate key"),
    ] {
        assert!(good.contains(from));
        fs::write(lab.config(), good.replacen(from, to, 1)).unwrap();
        lab.feed(&mut lab.writer(["backup", "--name", "x", "--stdin"]), b"bytes").fails(2, &[names]);
    }
    fs::write(lab.config(), good).unwrap();
    let backup = lab.program(["backup", "--name", "x", "--stdin", "--vault", &lab.url()]);
    lab.feed(&mut { backup }, b"bytes").fails(2, &["configuration", "--config"]);
    lab.run(&mut lab.program(["snapshots", "--config", &lab.text("etc/none.toml")])).fails(2, &["none.toml"]);
    assert!(lab.ids().is_empty() && !lab.path("vault/packs").exists());
}

#[test]
fn an_identity_beside_the_writer() {
    let lab = Lab::new();
    for (name, text) in [
        ("forgotten.txt", fs::read_to_string(lab.identity()).unwrap()),
        ("id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n".to_owned()),
    ] {
        let path = lab.path("etc").join(name);
        fs::write(&path, text).unwrap();
        let moves = format!("mv {}", path.display());
        lab.feed(&mut lab.writer(["backup", "--name", "x", "--stdin"]), b"bytes").fails(2, &[&moves]);
        assert!(lab.ids().is_empty());
        fs::remove_file(path).unwrap();
    }
    fs::copy(lab.identity(), lab.path("etc/recovery.key")).unwrap();
    for _ in 0..2 {
        let mut backup = lab.writer(["backup", "--name", "x", "--stdin", "--allow-identity-here"]);
        lab.feed(&mut backup, b"bytes").ok().says(&["warning", "recovery.key", "demos"]);
    }
}

#[test]
fn what_cannot_be_meant() {
    let lab = Lab::new();
    let id = lab.backup("x", b"bytes")["id"].as_str().unwrap().to_owned();
    let to = lab.text("out");
    let unknown = if id.starts_with('0') { "1".repeat(12) } else { "0".repeat(12) };
    let upper = id.to_uppercase();
    for (args, code, names) in [
        (&["restore", &id[..7], "--to", &to][..], 2, "8"),
        (&["restore", "", "--to", &to], 2, "8"),
        (&["restore", "../../etc/passwd", "--to", &to], 2, "8"),
        (&["restore", &format!("{id}0"), "--to", &to], 2, "8"),
        (&["restore", &unknown, "--to", &to], 1, "snapshots"),
        (&["restore", "latest", "--to", &to], 2, "--source"),
        (&["restore", "latest", "--source", "y", "--to", &to], 2, "snapshots"),
        (&["snapshots", "--source", "y"], 2, "there is x"),
        (&["snapshots", "--writer", "y"], 2, "there is writer"),
        (&["verify", "--expect", "y=1h"], 2, "there is x"),
        (&["restore", "latest", "--source", "x", "--at", "2001-01-01T00:00:00Z", "--to", &to], 1, "2001"),
        (&["restore", "latest", "--source", "x", "--at", "tomorrow", "--to", &to], 2, "yesterday"),
        (&["restore", &id, "--source", "x", "--to", &to], 2, "latest"),
        (&["restore", &id, "--to", &to, "--stream", "nope"], 1, "stdin"),
        (&["restore", &id, "--to", "-", "--json"], 2, "--json"),
        (&["restore", &id], 2, "--to"),
        (&["verify", "--snapshot", &unknown], 1, "snapshots"),
        (&["verify", "--sample", "3/2", "--depth", "read"], 2, "3/20"),
        (&["snapshots", "--source", "Not A Name"], 2, "Not A Name"),
    ] {
        lab.run(&mut lab.reader(args)).code(code).says_anywhere(&[names]);
    }
    assert!(upper == id || lab.run(&mut lab.reader(["restore", &upper, "--to", &to])).code == Some(2));
    assert!(!lab.path("out").exists());
    for name in ["Bad Name", "UPPER", ".hidden", "a/b", "", "ü", &"x".repeat(64)] {
        lab.feed(&mut lab.writer(["backup", "--name", name, "--stdin"]), b"bytes").code(2).says(&["name"]);
    }
    for args in [&["backup", "--stdin"][..], &["backup", "--name", "x"], &["backup", "nope"], &["backup"], &["nope"]] {
        lab.feed(&mut lab.writer(args), b"bytes").fails(2, &["hint: "]);
    }
    assert_eq!(lab.ids().len(), 1);
    assert_eq!(lab.bytes_of(&id[..8]), b"bytes", "8 digits are enough");
}

#[test]
fn a_reader_that_leaves_early() {
    let lab = Lab::new();
    let bytes = noise(1, 3 << 20);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    let config = lab.config();
    for args in [&["--help"][..], &["man"], &["completions", "bash"], &["snapshots"], &["snapshots", "--json"]] {
        let mut command = lab.program(args);
        let mut child = command.env("STRONGROOM_CONFIG", &config).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().code().is_some(), "{args:?} was killed by a signal");
    }
    let restore = lab.reader(["restore", &id, "--to", "-"]);
    let mut pipe: Command = lab.around("sh");
    // The status of the program, and not that of head.
    pipe.args(["-c", "{ \"$@\"; echo \"status $?\" >&2; } | head -c 10", "sh"]);
    let run = lab.run(pipe.arg(restore.get_program()).args(restore.get_args())).ok();
    assert_eq!(run.stdout, &bytes[..10]);
    run.says(&["status 1\n", "error: "]);
}
