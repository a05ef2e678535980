use std::{
    fmt::Write as _,
    fs,
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::codec::seal::{Sealer, generate_identity};

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn kinds(text: &[u8], known: &[&str]) -> Vec<(usize, Kind)> {
    let known = Known::new(known.iter().map(|secret| Zeroizing::new((*secret).to_owned())));
    search(text, &known, &Judge::default()).hits
}

fn run(program: &str, dir: &std::path::Path, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, value) in [("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b"), ("GIT_COMMITTER_NAME", "a")] {
        command.env(name, value);
    }
    assert!(command.env("GIT_COMMITTER_EMAIL", "a@b").status().unwrap().success(), "{program} {args:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn wide(text: &str) -> Vec<u8> {
    [b"\xff\xfe".to_vec(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat()
}

fn wrapped(text: &str, at: usize) -> String {
    text.as_bytes().chunks(at).map(|part| std::str::from_utf8(part).unwrap()).collect::<Vec<_>>().join("\n")
}

/// One identity in every kind of place; each is found, and nothing else is.
#[test]
fn an_identity_is_found_in_whatever_holds_it() {
    let (identity, _) = generate_identity();
    let key = identity.expose();
    let once = BASE64_STANDARD.encode(format!("{key}\n"));
    let twice = BASE64_STANDARD.encode(format!("apiVersion: v1\ndata:\n  key: {once}\n"));
    let spaced: String = key.chars().flat_map(|c| [c, ' ']).collect();
    let file = format!("# created: 2026-01-01\n# public key: age1…\n{key}\n");
    let mut places: Vec<(&str, Vec<u8>)> = vec![
        ("plain", file.clone().into()),
        ("small letters", key.to_lowercase().into()),
        ("env", format!("A=1\nexport STRONGROOM_IDENTITY='{key}'\n").into()),
        ("history", format!(": 1700000000:0;echo {key} > /tmp/k\n").into()),
        ("json", format!("{{\"outputs\":{{\"k\":{{\"value\":\"# x\\n{key}\\n\"}}}}}}").into()),
        ("base64", format!("kind: Secret\ndata:\n  age.key: {once}\n").into()),
        ("base64 twice", format!("data: {twice}").into()),
        ("base64 wrapped", wrapped(&BASE64_STANDARD.encode(&file), 76).into()),
        ("gzip", gzip(file.as_bytes())),
        ("gzip in base64", BASE64_STANDARD.encode(gzip(file.as_bytes())).into()),
        ("utf-16", wide(&file)),
        ("wrapped", wrapped(key, 32).into()),
        ("wrapped in yaml", format!("key: >-\n  {}\n", wrapped(key, 20).replace('\n', "\n  ")).into()),
        ("spaced", spaced.into()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("id.txt"), &file).unwrap();
    run("tar", dir.path(), &["-cf", "a.tar", "id.txt"]);
    run("tar", dir.path(), &["-czf", "a.tgz", "id.txt"]);
    let database = rusqlite::Connection::open(path("a.db")).unwrap();
    database.execute_batch("CREATE TABLE t (k)").unwrap();
    database.execute("INSERT INTO t VALUES (?1)", [key]).unwrap();
    run("git", dir.path(), &["init", "-q", "r"]);
    fs::write(path("r/id.txt"), &file).unwrap();
    run("git", &path("r"), &["add", "id.txt"]);
    run("git", &path("r"), &["commit", "-qm", "x"]);
    let objects = |under: &str| {
        let mut waiting = vec![path("r/.git/objects").join(under)];
        let mut files = Vec::new();
        while let Some(next) = waiting.pop() {
            if next.is_dir() {
                waiting.extend(fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push(fs::read(next).unwrap());
            }
        }
        files
    };
    let found = |files: &[Vec<u8>]| files.iter().flat_map(|file| kinds(file, &[])).count();
    assert_eq!(found(&objects("")), 1, "a loose object");
    run("git", &path("r"), &["gc", "-q"]);
    assert_eq!(found(&objects("pack")), 1, "a pack");
    for name in ["a.tar", "a.tgz", "a.db"] {
        places.push((name, fs::read(path(name)).unwrap()));
    }
    places.push(("zip", zipped(file.as_bytes())));
    for (name, bytes) in places {
        let hits = kinds(&bytes, &[]);
        assert!(!hits.is_empty() && hits.iter().all(|(_, kind)| *kind == Kind::AgeIdentity), "{name}: {hits:?}");
    }
}

/// A zip file with one deflated member.
fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    let packed = encoder.finish().unwrap();
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
    for len in [packed.len(), bytes.len()] {
        zip.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    }
    zip.extend_from_slice(b"\x01\0\0\0a");
    zip.extend_from_slice(&packed);
    zip
}

#[test]
fn the_keys_of_stores_are_found_in_the_files_of_their_tools() {
    let id = "AKIAIOSFODNN7EXAMPLE";
    for (name, text) in [
        ("aws", format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET_KEY}\n")),
        ("environment", format!("export AWS_SECRET_ACCESS_KEY=\"{SECRET_KEY}\"\n")),
        ("json", format!("{{\n  \"SecretAccessKey\": \"{SECRET_KEY}\",\n}}")),
        ("yaml", format!("secret_access_key: '{SECRET_KEY}'")),
        ("s3cfg", format!("[default]\naccess_key = {id}\nsecret_key = {SECRET_KEY}\n")),
        ("mc", format!("{{\"aliases\":{{\"a\":{{\"accessKey\":\"x\",\"secretKey\":\"{SECRET_KEY}\"}}}}}}")),
        ("passwd-s3fs", format!("{id}:{SECRET_KEY}\n")),
        ("rclone", format!("[v]\ntype = s3\nsecret_access_key = {SECRET_KEY}\n")),
        ("terraform", format!("{{\"attributes\":{{\"id\":\"{id}\",\"secret\":\"{SECRET_KEY}\",\"user\":\"w\"}}}}")),
    ] {
        let hits = kinds(text.as_bytes(), &[]);
        assert!(matches!(hits.as_slice(), [(_, Kind::SecretAccessKey)]), "{name}: {hits:?}");
        let auth = BASE64_STANDARD.encode(&text);
        assert!(!kinds(auth.as_bytes(), &[]).is_empty(), "{name} in base64");
        assert!(kinds(text.as_bytes(), &[SECRET_KEY]).iter().any(|(_, kind)| *kind == Kind::VaultAccessKey), "{name}");
    }
    assert_eq!(kinds(format!("a\nb {SECRET_KEY} c").as_bytes(), &[SECRET_KEY]), [(2, Kind::VaultAccessKey)]);
    let once = BASE64_STANDARD.encode(SECRET_KEY);
    assert_eq!(kinds(format!("a: {once}").as_bytes(), &[SECRET_KEY]), [(1, Kind::VaultAccessKey)]);
}

#[test]
fn key_files_are_one_thing() {
    let (identity, _) = generate_identity();
    let writer = format!(
        "{{\n \"signing_key\": \"{}\",\n \"catalog_identity\": \"{}\",\n \"chunk_id_key\": \"{0}\"\n}}",
        "ab".repeat(32),
        identity.expose()
    );
    assert_eq!(kinds(writer.as_bytes(), &[]), [(2, Kind::WriterKey)]);
    let member = format!("{{\"signing_key\":\"{}\"}}", "ab".repeat(32));
    assert_eq!(kinds(member.as_bytes(), &[]), [(1, Kind::MemberKey)]);
    // A certificate is public, and key files carry theirs.
    let certificate =
        format!("{{\"rev\":1,\"signing_key\":\"{}\",\"valid_from\":\"2026-01-01T00:00:00Z\"}}", "ab".repeat(32));
    assert_eq!(kinds(certificate.as_bytes(), &[]), []);
    let both = format!("{writer}\n\"payload\": \"{}\"", BASE64_STANDARD.encode(&certificate));
    assert_eq!(kinds(both.as_bytes(), &[]), [(2, Kind::WriterKey)]);
}

#[test]
fn what_only_looks_like_a_key_is_none() {
    let (identity, recipient) = generate_identity();
    let mut wrong = identity.expose().to_owned();
    let last = if wrong.ends_with('Q') { 'P' } else { 'Q' };
    wrong.pop();
    wrong.push(last);
    let mut random = String::new();
    for round in 0..2000_u32 {
        let _ = writeln!(random, "{}", hex::encode(seal::sha256(&round.to_le_bytes())));
        let _ = writeln!(random, "sha512-{}", BASE64_STANDARD.encode([seal::sha256(&round.to_be_bytes()); 2].concat()));
    }
    for line in [
        "an identity begins with AGE-SECRET-KEY-1",
        "AGE-SECRET-KEY-1... goes into a safe",
        "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
        "AGE-PLUGIN-YUBIKEY-1... is not a secret",
        "aws_secret_access_key = $SECRET",
        "AWS_SECRET_ACCESS_KEY is not set",
        "secret_key: {{ vault }}",
        "let signing_key = SigningKey::generate();",
        "{ \"signing_key\": null }",
        "AKIAIOSFODNN7EXAMPLE is a name and no secret",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        "",
        &wrong,
        &recipient.to_string(),
        &random,
    ] {
        assert_eq!(kinds(line.as_bytes(), &["w1"]), [], "{line:.80}");
    }
}

#[test]
fn the_vaults_records_say_which_ssh_keys_and_identities_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, recipient) = generate_identity();
    let mut recipients = vec![recipient];
    for (name, args) in [
        ("plain", &["-t", "ed25519", "-N", ""][..]),
        ("locked", &["-t", "ed25519", "-N", "a passphrase"]),
        ("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]),
        ("stranger", &["-t", "ed25519", "-N", ""]),
    ] {
        run("ssh-keygen", dir.path(), &[&["-q", "-f", name], args].concat());
        if name != "stranger" {
            let line = fs::read_to_string(dir.path().join(format!("{name}.pub"))).unwrap();
            recipients.push(line.parse().unwrap());
        }
    }
    let judge = Judge::new(vec![Sealer::new(recipients).seal(b"keys").unwrap().bytes().to_vec()]);
    let found = |bytes: &[u8]| search(bytes, &Known::default(), &judge);
    for name in ["plain", "locked", "rsa"] {
        let key = fs::read(dir.path().join(name)).unwrap();
        assert_eq!(found(&key).hits, [(1, Kind::SshKey)], "{name}");
        let text = String::from_utf8(key.clone()).unwrap().replace('\n', "\\n");
        assert_eq!(found(format!("{{\"key\": \"{text}\"}}").as_bytes()).hits, [(1, Kind::SshKey)], "{name} in JSON");
        assert_eq!(found(BASE64_STANDARD.encode(&key).as_bytes()).hits, [(1, Kind::SshKey)], "{name} in base64");
    }
    let stranger = fs::read(dir.path().join("stranger")).unwrap();
    assert_eq!(found(&stranger).hits, []);
    // Without records nobody can say.
    let unjudged = search(&stranger, &Known::default(), &Judge::default());
    assert_eq!((unjudged.hits.len(), unjudged.ssh_unjudged), (0, 1));
    assert_eq!(found(ours.expose().as_bytes()).hits, [(1, Kind::AgeIdentity)]);
    assert_eq!(found(generate_identity().0.expose().as_bytes()).hits, [(1, Kind::OtherIdentity)]);
}

#[test]
fn what_a_passphrase_opens_and_what_is_not_looked_at_is_told() {
    let scrypt = "age-encryption.org/v1\n-> scrypt c2FsdHNhbHRzYWx0c2FsdA 18\nAAAA\n--- AAAA\nxxxxxxxx";
    assert_eq!(kinds(scrypt.as_bytes(), &[]), [(1, Kind::EncryptedIdentity)]);
    let armored = format!(
        "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n",
        wrapped(&BASE64_STANDARD.encode(scrypt), 64)
    );
    assert!(kinds(armored.as_bytes(), &[]).contains(&(1, Kind::EncryptedIdentity)));
    let bomb = gzip(&vec![0; unpack::LARGEST + 1]);
    assert!(search(&bomb, &Known::default(), &Judge::default()).cut);
    assert!(search(b"\xfd7zXZ\0rest", &Known::default(), &Judge::default()).cut);
}
