//! Every golden vault is listed, verified and restored, byte for byte, from a copy that nobody may write to; by the program
//! and by stock tools.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    sync::Arc,
};

use serde_json::{Map, Value, json};
use strongroom::{
    model::{Cancel, Severity, Silent, Span, Time},
    store::local::LocalStore,
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
    },
};

use crate::{
    store_support::HandClock,
    vaults::{GOLDEN, Golden, sha256},
};

/// What findings tell that depends on the day: ends of locks, and how old backups and proofs are.
pub const OF_TODAY: [&str; 3] = ["lock.", "source.", "lock-proof."];

macro_rules! golden {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn restores() {
                super::restores(stringify!($name));
            }
            #[test]
            fn restores_without_strongroom() {
                super::restores_without_strongroom(stringify!($name));
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn is_sound_on_any_day() {
                super::is_sound_on_any_day(stringify!($name)).await;
            }
            #[test]
            fn can_be_written_to() {
                crate::written::goes_on(stringify!($name));
            }
        })*
    };
}

golden! { streams deltas merged tiers revoked git databases people bucket held cut journal forges }

#[test]
fn every_golden_vault_is_tested() {
    assert_eq!(TESTED, GOLDEN.map(|(name, _)| name));
}

fn restores(name: &str) {
    let golden = Golden::copy(name).read_only();
    let before = golden.files();
    let document = golden.sandbox.reader(&["snapshots", "--json"]).ok().json();
    let listed = document["result"].as_array().unwrap();
    assert_eq!(listed.len(), golden.snapshots().len());
    for (line, expected) in listed.iter().zip(golden.snapshots()) {
        let told = expected.as_object().unwrap().iter().filter(|(field, _)| line.get(field.as_str()).is_some());
        assert!(told.clone().count() >= 10, "{expected}");
        for (field, value) in told {
            assert_eq!(line[field], *value, "{field} of {line}");
        }
    }
    verified(&golden);
    for expected in golden.snapshots() {
        came_back(&golden, expected);
    }
    assert!(golden.files() == before, "reading changed the vault");
}

/// Whatever the day, no damage is found, and what is found otherwise is what was found on the first day.
fn verified(golden: &Golden) {
    let report = golden.verify();
    let findings = report["findings"].as_array().unwrap();
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    codes.retain(|code| !OF_TODAY.iter().any(|begin| code.starts_with(begin)));
    codes.sort_unstable();
    codes.dedup();
    let expected = &golden.expected["verify"];
    assert_eq!(json!(codes), expected["findings"], "{report}");
    assert!(findings.iter().all(|finding| finding["severity"] != "error"), "{report}");
    for count in ["snapshots", "objects"] {
        assert_eq!(report["result"][count], expected[count], "{count}: {report}");
    }
}

/// Restores one snapshot and holds it against what is expected.
pub fn came_back(golden: &Golden, expected: &Value) {
    let (id, source) = (expected["id"].as_str().unwrap(), expected["source"].as_str().unwrap());
    let out = golden.restore(id);
    if expected.get("git").is_some() {
        assert_repository(&expected["git"], &out.join(format!("{source}.git")));
    } else {
        assert_files(&expected["files"], &out.join(source));
    }
    fs::remove_dir_all(out).unwrap();
}

/// What is below a directory is what is expected there, and nothing else.
fn assert_files(expected: &Value, top: &Path) {
    let expected = expected.as_object().unwrap();
    let found = found(top);
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{}", top.display());
    for (path, wanted) in expected {
        for (field, value) in wanted.as_object().unwrap() {
            assert!(found[path].get(field) == Some(value), "{path}: {wanted}, not {:?}", found[path]);
        }
    }
}

/// Everything below a directory, described as `expected.json` does.
fn found(top: &Path) -> BTreeMap<String, Map<String, Value>> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        let below = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        let about = fs::symlink_metadata(&path).unwrap();
        let described = if about.is_symlink() {
            json!({ "link": fs::read_link(&path).unwrap().to_str().unwrap() })
        } else if about.is_dir() {
            let entries: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            let empty = entries.is_empty();
            waiting.extend(entries);
            if !empty {
                continue;
            }
            json!({ "dir": true })
        } else {
            let (mode, bytes) = (about.permissions().mode() & 0o7777, fs::read(&path).unwrap());
            let mtime = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
            let mtime = i64::try_from(mtime).unwrap();
            json!({ "bytes": bytes.len(), "sha256": sha256(&bytes), "mode": mode, "mtime_ns": mtime })
        };
        all.insert(below, described.as_object().unwrap().clone());
    }
    all
}

fn git(dir: &Path, args: &[&str], input: &str) -> String {
    let mut git = assert_cmd::Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
    git.args(["-c", "safe.directory=*"]).args(args).current_dir(dir).write_stdin(input);
    let out = git.output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A repository is whole, and its `HEAD`, refs, objects and LFS objects are those that are expected.
fn assert_repository(expected: &Value, dir: &Path) {
    git(dir, &["fsck", "--full", "--strict"], "");
    assert_eq!(git(dir, &["symbolic-ref", "HEAD"], "").trim_end(), expected["head"]);
    let refs = git(dir, &["for-each-ref", "--format=%(objectname) %(objecttype) %(refname) %(symref)"], "");
    assert_eq!(json!(refs.lines().map(str::trim_end).collect::<Vec<_>>()), expected["refs"]);
    let objects = git(dir, &["rev-list", "--objects", "--no-object-names", "--all"], "");
    let mut objects: Vec<&str> = objects.lines().collect();
    objects.sort_unstable();
    assert_eq!(objects.len(), expected["objects"]);
    assert_eq!(sha256(format!("{}\n", objects.join("\n")).as_bytes()), expected["objects_sha256"]);
    for (path, file) in expected.get("lfs").and_then(Value::as_object).into_iter().flatten() {
        assert_eq!(sha256(&fs::read(dir.join(path)).unwrap()), file["sha256"], "{path}");
    }
}

fn restores_without_strongroom(name: &str) {
    let golden = Golden::copy(name).read_only();
    for expected in golden.snapshots() {
        let id = expected["id"].as_str().unwrap();
        let out = golden.sandbox.path("without").join(id);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/restore-without-strongroom");
        let mut command = Command::new(script);
        command.arg(golden.sandbox.path("vault")).arg(golden.sandbox.identity()).arg(id).arg(&out);
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let details = fs::read(out.join("snapshot-details.json"));
        if let Some(repository) = expected.get("git") {
            let details = serde_json::from_slice(&details.unwrap()).unwrap();
            assert_repository(repository, &by_hand(&out, &details));
        } else {
            if details.is_ok() {
                fs::remove_file(out.join("snapshot-details.json")).unwrap();
            }
            assert_files(&expected["files"], &out);
        }
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Makes a repository of a snapshot's streams, as `docs/format.md` tells to.
fn by_hand(out: &Path, details: &Value) -> std::path::PathBuf {
    let repo = out.join("by-hand.git");
    let format = format!("--object-format={}", details["format"].as_str().unwrap());
    git(out, &["init", "-q", "--bare", &format, repo.to_str().unwrap()], "");
    let mut packs: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.retain(|path| path.extension().is_some_and(|end| end == "pack"));
    // Segments come last, in the order of their numbers.
    packs.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name.starts_with("segment-"), name)
    });
    for pack in packs {
        let mut index = Command::new("git");
        index.args(["index-pack", "--stdin", "--fix-thin"]).current_dir(&repo);
        let done = index.stdin(fs::File::open(&pack).unwrap()).output().unwrap();
        assert!(done.status.success(), "{}: {}", pack.display(), String::from_utf8_lossy(&done.stderr));
    }
    let refs = details["refs"].as_object().unwrap().iter();
    let updates: Vec<String> = refs.map(|(name, id)| format!("update {name} {}\n", id.as_str().unwrap())).collect();
    git(&repo, &["update-ref", "--stdin"], &updates.concat());
    for (name, target) in details["symrefs"].as_object().unwrap() {
        git(&repo, &["symbolic-ref", name, target.as_str().unwrap()], "");
    }
    git(&repo, &["symbolic-ref", "HEAD", details["head"]["symbolic"].as_str().unwrap()], "");
    if out.join("lfs").exists() {
        fs::rename(out.join("lfs"), repo.join("lfs")).unwrap();
    }
    repo
}

/// The locks of a checkout are those that were promised on the day when it was made, and a hundred years later nobody is
/// promised anything. A clock that is behind is no damage either. A copy of a bucket has no locks, and is sound once nobody
/// is promised any.
async fn is_sound_on_any_day(name: &str) {
    let golden = Golden::copy(name);
    let id = golden.expected["vault"].as_str().unwrap().parse().unwrap();
    let times = golden.snapshots().iter().map(|line| line["created_at"].as_str().unwrap().parse::<Time>().unwrap());
    let made = times.max().unwrap();
    let locked = golden.files().keys().any(|path| path.extension().is_some_and(|end| end == "lock"));
    assert_eq!(locked, name != "bucket");
    let before = Time::from_unix(made.unix() - 86_400);
    let days = [("before", before), ("after", made + Span::days(1)), ("last", made + Span::days(36_500))];
    for (day, now) in days.into_iter().filter(|(day, _)| locked || *day == "last") {
        let clock = HandClock::at(now);
        let store = Arc::new(LocalStore::open(golden.sandbox.path("vault"), clock).unwrap());
        let vault = Vault::open(store, Some(id)).await.unwrap();
        let request = VerifyRequest::new(Depth::Read);
        let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
        let bad: Vec<_> = report.findings.iter().filter(|found| found.severity >= Severity::Weak).collect();
        assert!(bad.is_empty(), "on the day {day}: {bad:?}");
        assert_eq!(report.foreign, 0);
    }
}
