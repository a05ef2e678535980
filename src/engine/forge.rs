//! What was read of a forge: each stream must hold as many entries as its manifest says, each a line of JSON, and make a site
//! whose links lead somewhere.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Check, Engine, EngineError, Place, Restored, Result, streams::Streams};
use crate::forge::{MANIFEST, Manifest, site};

/// No server: files.
pub struct Forge {
    dir: PathBuf,
    site: Option<site::Made>,
}

impl Forge {
    /// An engine that works in `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { dir: place.dir.clone(), site: None }
    }
}

/// The directory that the streams were restored into.
fn root(restored: &Restored) -> Result<PathBuf> {
    let manifest = restored.streams.iter().find(|stream| stream.name.as_str() == MANIFEST);
    let found = manifest.and_then(|stream| stream.file.parent().map(Path::to_path_buf));
    found.ok_or_else(|| EngineError::new("is not among the streams", MANIFEST))
}

fn manifest(restored: &Restored) -> Result<Manifest> {
    let failed = |why: String| EngineError::new(format!("can't be read: {why}"), MANIFEST);
    let text = fs::read(root(restored)?.join(MANIFEST)).map_err(|e| failed(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| failed(e.to_string()))
}

impl Engine for Forge {
    fn describe(&self) -> String {
        "forge".to_owned()
    }

    fn load(&mut self, restored: &Restored) -> Result<()> {
        let made = site::make(&root(restored)?, &self.dir.join("site"));
        self.site = Some(made.map_err(|e| EngineError::new(format!("can't be made: {e}"), "the static site"))?);
        Ok(())
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let mut checks = Streams.check(restored);
        let manifest = match manifest(restored) {
            Ok(manifest) => manifest,
            Err(error) => {
                checks.push(Check::error("manifest", error.to_string()));
                return checks;
            }
        };
        let (mut all, mut right) = (0_u64, 0_u64);
        for (_, row) in manifest.rows() {
            let Some(path) = &row.path else { continue };
            all += 1;
            let counted = root(restored).map_err(|e| e.to_string()).and_then(|root| {
                if site::stays(path) {
                    count(&root.join(path)).map_err(|e| e.to_string())
                } else {
                    Err("it would lie elsewhere".to_owned())
                }
            });
            let check = match counted {
                Ok(lines) => Check::compare(format!("entries of {path}"), row.got.to_string(), lines.to_string()),
                Err(why) => Check::error(format!("entries of {path}"), why),
            };
            right += u64::from(check.passed());
            if !check.passed() {
                checks.push(check);
            }
        }
        checks.push(Check::compare("kinds with as many entries as were read", all.to_string(), right.to_string()));
        if let Some(made) = &self.site {
            let dead: Vec<&str> = made.dead.iter().map(String::as_str).take(5).collect();
            checks.push(Check::compare(
                "links of the static site that lead nowhere",
                "none",
                if dead.is_empty() { "none".to_owned() } else { dead.join(", ") },
            ));
        }
        checks
    }

    fn query(&mut self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String> {
        Streams.query(database, sql, limit)
    }

    fn access(&self) -> Vec<(String, String)> {
        self.site.iter().map(|made| ("STRONGROOM_SITE".to_owned(), made.index.display().to_string())).collect()
    }

    fn lacking(&self, restored: &Restored) -> Vec<String> {
        let unread = manifest(restored).map(|manifest| manifest.findings()).unwrap_or_default();
        unread.into_iter().map(|finding| finding.message).collect()
    }

    fn not_tested(&self, _restored: &Restored) -> Vec<String> {
        vec!["whether a forge takes any of it back".to_owned()]
    }
}

/// How many lines a file has, all of which are objects of JSON.
fn count(path: &Path) -> std::io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut lines, mut line) = (0, Vec::new());
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(lines);
        }
        #[allow(clippy::zero_sized_map_values)] // Whether there are any is all that is asked.
        let object: std::collections::BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(&line)?;
        lines += u64::from(!object.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        engine::RestoredStream,
        model::{FileMeta, SourceKind},
    };

    /// What is planted, and how.
    type Plant<'a> = (&'a str, &'a dyn Fn(&Path));

    /// The manifest alone among the streams.
    fn restored(file: PathBuf) -> Restored {
        let bytes = fs::read(&file).unwrap();
        let (length, blake3) = (bytes.len() as u64, crate::codec::hash::hash(&bytes));
        let stream =
            RestoredStream { name: MANIFEST.parse().unwrap(), file, bytes: length, blake3, meta: FileMeta::default() };
        let (source, kind, details) = ("acme".parse().unwrap(), SourceKind::Github, serde_json::Value::Null);
        let (fingerprints, streams) = (Vec::new(), vec![stream]);
        Restored { source, kind, streams, repository: None, details, fingerprints, cluster: None, log: None }
    }

    /// What a drill finds wrong with streams in a directory, of which `plant` changes something before, and with links that lead nowhere.
    fn failed(plant: impl FnOnce(&Path), dead: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("in");
        fs::create_dir_all(root.join("acme/app")).unwrap();
        let row = |kind: &str, got: u64| json!({"kind": kind, "status": "read", "got": got, "given": got, "path": format!("acme/app/{kind}.jsonl")});
        let manifest = json!({"format": 1, "provider": "github", "url": "https://h", "owner": "acme", "began_at": "2026-01-01T00:00:00Z",
            "full": true, "calls": 1, "waited_s": 0, "owner_kinds": [], "repositories": [
                {"name": "acme/app", "id": 1, "kinds": [row("issues", 2), row("labels", 1)]}]});
        fs::write(root.join(MANIFEST), manifest.to_string()).unwrap();
        fs::write(root.join("acme/app/issues.jsonl"), "{\"number\":1}\n{\"number\":2}\n").unwrap();
        fs::write(root.join("acme/app/labels.jsonl"), "{\"name\":\"bug\"}\n").unwrap();
        plant(&root);
        let restored = restored(root.join(MANIFEST));
        let mut engine = Forge { dir: dir.path().to_owned(), site: None };
        if let Err(error) = engine.load(&restored) {
            return vec![error.to_string()];
        }
        engine.site.as_mut().unwrap().dead.extend(dead.iter().map(|link| (*link).to_owned()));
        engine.check(&restored).into_iter().filter(|check| !check.passed()).map(|check| format!("{check:?}")).collect()
    }

    #[test]
    fn what_does_not_fit_the_manifest_is_found() {
        let write =
            |root: &Path, kind: &str, text: &str| fs::write(root.join(format!("acme/app/{kind}.jsonl")), text).unwrap();
        assert_eq!(failed(|_| {}, &[]), Vec::<String>::new());
        let plants: [Plant<'_>; 7] = [
            ("one fewer", &|root| write(root, "issues", "{\"number\":1}\n")),
            ("one more", &|root| write(root, "issues", "{\"number\":1}\n{\"number\":2}\n{\"number\":3}\n")),
            ("no JSON", &|root| write(root, "issues", "{\"number\":1}\n{\"number\":2\n")),
            ("no object", &|root| write(root, "issues", "{\"number\":1}\n[2]\n")),
            ("nothing in it", &|root| write(root, "issues", "{\"number\":1}\n{}\n")),
            ("no stream", &|root| fs::remove_file(root.join("acme/app/labels.jsonl")).unwrap()),
            ("a path that leaves", &|root| {
                let text = fs::read_to_string(root.join(MANIFEST)).unwrap();
                fs::write(root.join(MANIFEST), text.replace("acme/app/labels.jsonl", "../../labels.jsonl")).unwrap();
            }),
        ];
        for (what, plant) in plants {
            assert_eq!(
                failed(plant, &[]).len(),
                2,
                "{what}: the stream, and that not all are as they should be: {:?}",
                failed(plant, &[])
            );
        }
        assert_eq!(
            failed(|root| fs::write(root.join(MANIFEST), "{}").unwrap(), &[]).len(),
            1,
            "a manifest that is none"
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let found = failed(|_| {}, &["acme/app/issues/9.html"]);
        assert!(found.len() == 1 && found[0].contains("issues/9.html"), "{found:?}");
    }
}
