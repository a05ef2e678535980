//! The deepest check: indexes are opened and held against the packs, and every stream is read as a restore would read
//! it, and thrown away. A stream that a later snapshot has unchanged, in the same packs, is read once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    objects::{Openers, ReadBack, in_sample, stop_if_asked},
    packs,
};
use crate::{
    codec::{hash, seal::Opener},
    format::{body::StreamRecord, epoch::EpochKeys, header::VerifiedHeader, layout},
    model::{Cancel, Finding, Findings, Hash, Progress, Severity, SourceKind},
    vault::{
        Result, Vault, VaultError, keys,
        reader::{self, Snapshot},
        snapshots::Summary,
    },
};

/// The keys of epochs, each opened once: a hardware key is touched for each.
#[derive(Default)]
pub(super) struct Keys(HashMap<Hash, EpochKeys>);

impl Keys {
    pub(super) async fn of(&mut self, vault: &Vault, snapshot: &VerifiedHeader, people: &Opener) -> Result<&EpochKeys> {
        let record = hash::hash(snapshot.epoch.sealed.as_bytes());
        match self.0.entry(record) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(free) => {
                Ok(free.insert(keys::epoch_keys(vault, &snapshot.epoch, people).await?))
            }
        }
    }

    async fn of_listed(&mut self, vault: &Vault, snapshot: &Summary, people: &Opener) -> Result<&EpochKeys> {
        if !self.0.contains_key(&snapshot.epoch) {
            let whole = vault.whole(snapshot).await?;
            return self.of(vault, &whole, people).await;
        }
        self.0.get(&snapshot.epoch).ok_or_else(|| VaultError::stage_gone("opening an epoch"))
    }

    /// What opens the packs of each snapshot.
    pub(super) async fn openers(&mut self, vault: &Vault, snapshots: &[&Summary], people: &Opener) -> Result<Openers> {
        let mut openers = Openers::new();
        for snapshot in snapshots {
            openers.insert(snapshot.id, self.of_listed(vault, snapshot, people).await?.opener.clone());
        }
        Ok(openers)
    }
}

/// A snapshot's streams are read up to this many times what all of its packs hold, and this many bytes in any case.
const REPEATED: u64 = 16;
const FREE: u64 = 4 << 30;

/// Of so many damaged streams it is remembered why.
const DAMAGED: usize = 10_000;

/// So many indexes and streams are remembered that were read; of more, some are read again.
const OPENED: usize = 1 << 18;
const SEEN: usize = (1 << 20) / 8 * 7;

/// A stream as it is remembered: half of its hash. Whoever would find two streams of one of these would have found two only to
/// have one of them not looked at.
type Likeness = [u8; 16];

/// What is verified besides objects.
pub(super) struct Deep<'a> {
    pub(super) vault: &'a Vault,
    pub(super) sample: Option<(u32, u32)>,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
    pub(super) findings: &'a mut Findings,
    /// Streams that were read, by what they are and where, and how those came out that are damaged.
    seen: HashSet<Likeness>,
    damaged: HashMap<Likeness, String>,
    /// Indexes that were opened.
    opened: HashSet<Hash>,
    /// Streams of all snapshots.
    pub(super) streams: u64,
    /// Bytes of those that were read.
    pub(super) plain: u64,
}

impl<'a> Deep<'a> {
    pub(super) fn new(
        vault: &'a Vault,
        sample: Option<(u32, u32)>,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a Cancel,
        findings: &'a mut Findings,
    ) -> Self {
        Self {
            vault,
            sample,
            progress,
            cancel,
            findings,
            seen: HashSet::new(),
            damaged: HashMap::new(),
            opened: HashSet::new(),
            streams: 0,
            plain: 0,
        }
    }

    /// Opens each index once and holds it against the packs' own directories.
    pub(super) async fn indexes(
        &mut self,
        snapshots: &[VerifiedHeader],
        keys: &mut Keys,
        people: &Opener,
        read: &ReadBack,
    ) -> Result<()> {
        for snapshot in snapshots {
            for index in &snapshot.header.indexes {
                let key = layout::index(&snapshot.header.writer, &index.hash);
                let known = self.opened.contains(&index.hash);
                if known || !in_sample(index.hash.as_bytes(), self.sample) {
                    continue;
                }
                if self.opened.len() < OPENED {
                    self.opened.insert(index.hash);
                }
                stop_if_asked(self.cancel)?;
                let opener = keys.of(self.vault, snapshot, people).await?.opener.clone();
                let error =
                    |what: String| Finding::new(Severity::Error, "index.contents", what).on(&key).of(snapshot.id);
                let mut others = Vec::new();
                let read = reader::sealed(&*self.vault.store, snapshot, index).await.and_then(|sealed| {
                    reader::sections(&sealed, &opener, snapshot, |section| {
                        let pack = Hash::from_bytes(*section.pack.as_bytes());
                        if read.differs(&pack, &hash::hash(section.directory)) {
                            others.push(section.pack);
                        }
                        Ok(())
                    })
                });
                self.findings.extend(others.into_iter().map(|pack| {
                    error(format!(
                        "this index says other things of pack {pack} than the pack says of itself; a restore that the index \
                         misleads falls back to the pack"
                    ))
                }));
                match read {
                    Ok(()) => {}
                    // Whether it is there, and its bytes, were judged before.
                    Err(failed) if failed.what.starts_with("no version of") || failed.what.ends_with("is missing") => {}
                    Err(failed) if is_damage(&failed) => {
                        self.findings.push(error(format!("this index can't be opened: {}", failed.what)));
                    }
                    Err(failed) => return Err(failed),
                }
            }
        }
        Ok(())
    }

    /// Reads every stream of a snapshot that was not read for another.
    pub(super) async fn snapshot(&mut self, header: VerifiedHeader, keys: &EpochKeys) -> Result<()> {
        stop_if_asked(self.cancel)?;
        let (id, kind, writer) = (header.id, header.header.kind, header.header.writer.clone());
        let label = format!("decrypting {} {}", header.header.source, id.short());
        self.progress.phase(&label, Some(header.header.totals.bytes));
        let snapshot = match Snapshot::open_with(self.vault, header, keys).await {
            Ok(snapshot) => snapshot,
            Err(error) if is_damage(&error) => {
                let what = format!("this snapshot of writer {writer} can't be opened, so none of it restores: {error}");
                self.findings.push(Finding::new(Severity::Error, "body.damaged", what).of(id));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let database =
            matches!(kind, SourceKind::Postgres | SourceKind::Mariadb | SourceKind::Mysql | SourceKind::Sqlite);
        if database && snapshot.body.fingerprints.is_empty() {
            let what = format!(
                "a snapshot of kind {} without a fingerprint: no drill can hold a restore against it",
                kind.as_str()
            );
            self.findings.push(Finding::new(Severity::Warning, "fingerprint.missing", what).of(id));
        }
        // What one chunk says again and again costs nothing to sign and any time to read.
        let held = snapshot.held()?;
        let mut left = FREE.saturating_add(held.saturating_mul(REPEATED));
        for stream in &snapshot.body.streams {
            self.streams += 1;
            if !in_sample(stream.blake3.as_bytes(), self.sample) {
                continue;
            }
            let Some(rest) = left.checked_sub(stream.bytes) else {
                let what = format!(
                    "stream {} was not read: writer {} says that it has {} bytes, and all packs of the snapshot hold {}, \
                     so most of it repeats itself, or is false; a restore of it tells",
                    stream.name, snapshot.header.header.writer, stream.bytes, held
                );
                self.findings.push(Finding::new(Severity::Weak, "stream.repeats", what).of(id));
                continue;
            };
            left = rest;
            if let Err(why) = self.stream(&snapshot, stream).await? {
                let what = format!("stream {} can't be restored: {why}", stream.name);
                self.findings.push(Finding::new(Severity::Error, "stream.damaged", what).of(id));
            }
        }
        Ok(())
    }

    /// Reads a stream; the inner error is its damage.
    async fn stream(&mut self, snapshot: &Snapshot, stream: &StreamRecord) -> Result<std::result::Result<(), String>> {
        stop_if_asked(self.cancel)?;
        let likeness = match snapshot.likeness(stream, self.cancel).await {
            Ok(likeness) => likeness.as_bytes().first_chunk().copied().unwrap_or_default(),
            Err(error) if is_damage(&error) => return Ok(Err(format!("its list of chunks is lost: {error}"))),
            Err(error) => return Err(error),
        };
        if self.seen.contains(&likeness) {
            self.progress.advance(stream.bytes);
            return Ok(self.damaged.get(&likeness).map_or(Ok(()), |why| Err(why.clone())));
        }
        let (progress, cancel) = (Arc::clone(self.progress), self.cancel.clone());
        let pack = packs::Checked::of(snapshot, stream);
        let out = pack
            .as_ref()
            .map_or_else(|| Box::new(std::io::sink()) as Box<dyn std::io::Write + Send>, packs::Checked::writer);
        let read = snapshot.restore_stream(stream, out, progress, cancel).await;
        self.plain += stream.bytes;
        let outcome = match read {
            Ok(_) => pack.map_or(Ok(()), packs::Checked::finish),
            Err(error) if is_damage(&error) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        match &outcome {
            Ok(()) if self.seen.len() < SEEN => _ = self.seen.insert(likeness),
            Err(why) if self.damaged.len() < DAMAGED => {
                self.seen.insert(likeness);
                self.damaged.insert(likeness, why.clone());
            }
            // It is read again where it stands again.
            _ => {}
        }
        Ok(outcome)
    }
}

/// Whether this snapshot has it, and the others none of it.
fn is_damage(error: &VaultError) -> bool {
    error.is_of_object()
}
