//! What was read, as streams: lines of JSON, a stream for each kind and repository; files; and the manifest, which comes last.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    vec,
};

use serde_json::json;

use super::{
    FILES, ForgeOptions, Listed, MANIFEST, Manifest, Result, Row, SourceError, Status,
    client::Client,
    files::{self, Attached},
    memory::{FIRST, Memory, Place},
};
use crate::{
    codec::hash::hash,
    model::{Cancel, FileMeta, Name},
    source::{Before, Facts, Incoming, Members, Reading},
};

/// The path of the stream that has what the forge said of each repository.
const LISTING: &str = "repositories.jsonl";
/// How much of a hash a stream's name has.
const DIGITS: usize = 20;

/// A stream of lines.
struct Lines {
    repo: i64,
    kind: String,
    path: String,
}

/// See [`super::ForgeSource`].
pub(super) struct ForgeReading {
    options: ForgeOptions,
    listed: Arc<Listed>,
    client: Client,
    cancel: Cancel,
    memory: Arc<Mutex<Memory>>,
    manifest: Manifest,
    warnings: Vec<String>,
    lines: vec::IntoIter<Lines>,
    /// Files that have to be fetched.
    fetched: vec::IntoIter<Attached>,
    /// Streams of files that the last snapshot has.
    carried: Vec<Name>,
    /// All files that this snapshot has, by stream.
    held: Vec<Name>,
    left: Left,
    /// How many files texts of a repository link that are not there.
    dead: BTreeMap<usize, u64>,
}

/// What is given at last.
enum Left {
    Listing,
    Manifest,
    Nothing,
}

impl ForgeReading {
    pub(super) fn begin(
        (options, listed): (ForgeOptions, Arc<Listed>),
        (client, cancel): (Client, Cancel),
        memory: Memory,
        (mut manifest, before): (Manifest, Option<Before>),
    ) -> Result<Self> {
        let lines = streams_of(&mut manifest);
        let mut warnings = listed.warnings.clone();
        let (mut carried, mut fetched) = (Vec::new(), Vec::new());
        for (at, one) in listed.repositories.iter().enumerate() {
            let Some(rows) = manifest.repositories.get_mut(at) else { continue };
            if options.exclude.contains(FILES) {
                rows.kinds.push(Row::new(FILES, Status::Excluded));
                continue;
            }
            let found = files::of(&options, &memory, (at, one))?;
            if found.elsewhere > 0 {
                let what = "files that its releases or issues name lie on other servers or are none of the forge's files, or not had by its API, and were not fetched";
                warnings.push(format!("{}: {} {what}", one.name, found.elsewhere));
            }
            let mut row = Row::new(FILES, Status::Read);
            for file in found.files {
                // What a snapshot has carried along keeps the path that it came with.
                if before.as_ref().is_some_and(|before| before.streams.contains_key(&file.stream)) {
                    carried.push(file.stream.clone());
                    row.got += 1;
                } else {
                    fetched.push(file);
                }
            }
            rows.kinds.push(row);
        }
        carried.sort_unstable();
        let (memory, held) = (Arc::new(Mutex::new(memory)), carried.clone());
        let (lines, fetched) = (lines.into_iter(), fetched.into_iter());
        Ok(Self {
            options,
            listed,
            client,
            cancel,
            memory,
            manifest,
            warnings,
            lines,
            fetched,
            carried,
            held,
            left: Left::Listing,
            dead: BTreeMap::new(),
        })
    }

    /// The next file that can be had.
    fn file(&mut self) -> Result<Option<Incoming>> {
        for file in self.fetched.by_ref() {
            let got = files::fetch(&mut self.client, &self.options, &file)?;
            let rows = self.manifest.repositories.get_mut(file.repository);
            let row = rows.and_then(|rows| rows.kinds.iter_mut().find(|row| row.kind == FILES));
            match got {
                Ok(spool) => {
                    if let Some(row) = row {
                        row.got += 1;
                        row.given += 1;
                    }
                    self.held.push(file.stream.clone());
                    let (name, path, expected) = (file.stream, Some(file.path), file.size);
                    return Ok(Some(Incoming {
                        name,
                        path,
                        meta: FileMeta::default(),
                        expected,
                        reader: Box::new(spool),
                    }));
                }
                // A text may link anything.
                Err(bad) if file.linked && bad.http == Some(404) => *self.dead.entry(file.repository).or_default() += 1,
                Err(bad) => {
                    if let Some(row) = row.filter(|row| row.status.is_whole()) {
                        let said = format!("{}: {}", file.path, bad.said);
                        (row.status, row.http, row.said) = (bad.status, bad.http, said);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tells of links that lead to nothing, unless the server gives no such file at all.
    fn dead_links(&mut self) -> Result<()> {
        if self.dead.is_empty() {
            return Ok(());
        }
        let gives = files::gives_uploads(&mut self.client, &self.options)?;
        for (at, count) in std::mem::take(&mut self.dead) {
            let Some(rows) = self.manifest.repositories.get_mut(at) else { continue };
            if gives {
                let what = "files that its texts link are not there (404)";
                self.warnings.push(format!("{}: {count} {what}", rows.name));
            } else if let Some(row) = rows.kinds.iter_mut().find(|row| row.kind == FILES && row.status.is_whole()) {
                let said = format!("{count} files that texts link; GitLab gives these by its API since 17.4");
                (row.status, row.http, row.said) = (Status::Refused, Some(404), said);
            }
        }
        Ok(())
    }

    fn manifest(&mut self) -> Result<Incoming> {
        self.dead_links()?;
        self.manifest.calls = self.client.calls;
        self.manifest.waited_s = self.client.waited.as_secs();
        let failed = |_| SourceError::new("can't be written down", MANIFEST);
        let mut text = serde_json::to_vec_pretty(&self.manifest).map_err(failed)?;
        text.push(b'\n');
        whole(MANIFEST, text)
    }
}

/// A stream that is at hand.
fn whole(path: &str, text: Vec<u8>) -> Result<Incoming> {
    let (name, path, expected) = (stream_name(path)?, Some(path.to_owned()), Some(text.len() as u64));
    Ok(Incoming { name, path, meta: FileMeta::default(), expected, reader: Box::new(io::Cursor::new(text)) })
}

/// The streams that there are to give, whose paths go into the manifest.
fn streams_of(manifest: &mut Manifest) -> Vec<Lines> {
    let mut lines = Vec::new();
    let mut add = |repo: i64, row: &mut Row, path: String| {
        if row.got > 0 {
            row.path = Some(path.clone());
            lines.push(Lines { repo, kind: row.kind.clone(), path });
        }
    };
    for row in manifest.owner_kinds.iter_mut().filter(|row| row.kind != super::LISTING) {
        let path = format!("{}.jsonl", row.kind);
        add(0, row, path);
    }
    for one in &mut manifest.repositories {
        for row in &mut one.kinds {
            let path = format!("{}/{}.jsonl", one.name, row.kind);
            add(one.id, row, path);
        }
    }
    lines
}

/// The name of the stream at `path`.
fn stream_name(path: &str) -> Result<Name> {
    let named = path.parse::<Name>().or_else(|_| {
        let digits = hash(path.as_bytes()).to_string();
        let digits = digits.get(..DIGITS).unwrap_or_default();
        let end = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        format!("{end}-{digits}").parse()
    });
    named.map_err(|e| SourceError::new(e.to_string(), path))
}

impl Reading for ForgeReading {
    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let cancel = self.cancel.clone();
        Some(Box::new(move || cancel.cancel()))
    }

    fn carried(&mut self) -> Option<Vec<Name>> {
        Some(self.carried.clone())
    }

    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        if let Some(Lines { repo, kind, path }) = self.lines.next() {
            let memory = Arc::clone(&self.memory);
            let reader = Box::new(LineReader { memory, repo, kind, place: FIRST, line: Vec::new(), at: 0 });
            let (name, path) = (stream_name(&path)?, Some(path));
            return Ok(Some(Incoming { name, path, meta: FileMeta::default(), expected: None, reader }));
        }
        if let Some(file) = self.file()? {
            return Ok(Some(file));
        }
        match std::mem::replace(&mut self.left, Left::Nothing) {
            Left::Listing => {
                self.left = Left::Manifest;
                let mut text = Vec::new();
                for one in &self.listed.repositories {
                    text.extend_from_slice(&one.json);
                    text.push(b'\n');
                }
                whole(LISTING, text).map(Some)
            }
            Left::Manifest => self.manifest().map(Some),
            Left::Nothing => Ok(None),
        }
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.begin()?;
        memory.set_word("open", "")?;
        for one in &self.listed.repositories {
            memory.set_word(&format!("id of {}", one.name), &one.id.to_string())?;
        }
        if self.manifest.full {
            memory.set_word("last full", &self.manifest.began_at.to_string())?;
        }
        memory.commit()?;
        drop(memory);
        let mut entries = BTreeMap::<String, u64>::new();
        let counted = self.manifest.rows().filter(|(_, row)| row.kind != super::LISTING);
        for (whose, row) in counted.filter(|(_, row)| row.status.is_whole() || row.got > 0) {
            if !matches!(row.status, Status::Excluded | Status::Off) {
                entries.insert(format!("{whose} {}", row.kind), row.got);
            }
        }
        let findings = self.manifest.findings();
        let details = json!({
            "provider": self.manifest.provider,
            "url": self.manifest.url,
            "owner": self.manifest.owner,
            "full": self.manifest.full,
            "repositories": self.manifest.repositories.len(),
            "entries": entries,
            "unread": findings.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>(),
        });
        let taken: Vec<String> = self.listed.repositories.iter().map(|one| one.name.clone()).collect();
        // Where code is taken too, its sources tell of repositories that are gone.
        let alone = self.listed.sources.is_empty();
        let members = alone.then_some(Members { what: "repository", taken, left_out: Vec::new() });
        let note = Some(json!({ "files": self.held }));
        Ok(Facts { details, warnings: self.warnings, findings, note, members, ..Facts::default() })
    }
}

/// The entries of a kind, one line each.
struct LineReader {
    memory: Arc<Mutex<Memory>>,
    repo: i64,
    kind: String,
    place: Place,
    line: Vec<u8>,
    at: usize,
}

impl Read for LineReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let found = memory.following(self.repo, &self.kind, &self.place).map_err(io::Error::other)?;
            let Some((place, line)) = found else { return Ok(0) };
            (self.place, self.line, self.at) = (place, line, 0);
            self.line.push(b'\n');
        }
        let left = self.line.get(self.at..).unwrap_or_default();
        let n = left.len().min(buf.len());
        let (Some(to), Some(from)) = (buf.get_mut(..n), left.get(..n)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.at += n;
        Ok(n)
    }
}
