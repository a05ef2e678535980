//! Opening pieces of a log: what is believed hangs on a signature that leads to root.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::task::JoinHandle;

use super::list::{LineListing, Listed};
use crate::{
    codec::Opener,
    format::{
        certificate::{Certificate, Role},
        journal::{self, HistoryRecord, Origin, Record, SEALED_LIMIT},
    },
    model::{Finding, Findings, Hash, Key, Name, Severity, Span as Duration, Time},
    vault::{
        Result, Vault, VaultError, VaultErrorKind, copies::Copies, fetch, keys, members::Members, snapshots::Summary,
    },
};

/// How far a piece's own time may be off the store's.
const SLACK: Duration = Duration::seconds(3600);

/// A piece whose every claim holds.
#[derive(Debug)]
pub struct Opened {
    /// What its writer signed.
    pub record: Record,
    /// The log.
    pub log: Vec<u8>,
}

/// A piece that is being fetched and opened. Ends when dropped.
pub struct Opening {
    key: Key,
    of: Listed,
    writer: Certificate,
    task: Task,
}

struct Task(JoinHandle<Result<(Record, Vec<u8>)>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens the journals of a vault: knows what opens its epochs and who its writers are.
pub struct Reader<'a> {
    vault: &'a Vault,
    epochs: Opener,
    writers: BTreeMap<Name, Certificate>,
    /// Whether the store's times say when something was put here, and not only when it was copied here.
    witness: bool,
    /// When objects were copied here: of these they don't.
    copies: Copies,
    /// What was found while it was made.
    pub findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// A reader for `people`. `snapshots` are those of the vault: their headers embed the epochs and certificates that the
    /// vault's own documents may have lost.
    ///
    /// # Errors
    /// `NoIdentity` if no epoch opens; or the store's error.
    pub async fn new(vault: &'a Vault, people: &Opener, snapshots: &[Summary]) -> Result<Self> {
        let mut findings = Findings::default();
        let mut writers: BTreeMap<Name, Certificate> = BTreeMap::new();
        match Members::of(vault).await {
            Ok(members) => {
                findings.extend(members.findings.iter().cloned());
                let all = members.iter().filter(|one| one.role == Role::Writer);
                writers.extend(all.map(|one| (one.name.clone(), one.clone())));
            }
            Err(error) if error.is_of_object() => {
                let what = "members/ can't be read, so nobody knows which writers were revoked";
                findings.push(Finding::new(Severity::Warning, "members.unread", what));
            }
            Err(error) => return Err(error),
        }
        let (mut openers, mut refused) = match keys::openers(vault, people).await {
            Ok(openers) => (openers, None),
            Err(error) if error.is_of_object() => (Vec::new(), Some(error)),
            Err(error) => return Err(error),
        };
        let mut epochs: BTreeSet<Hash> = BTreeSet::new();
        for snapshot in snapshots {
            let known = writers.contains_key(&snapshot.header.writer);
            if known && epochs.contains(&snapshot.epoch) || snapshot.standing.outside {
                continue;
            }
            let whole = match vault.whole(snapshot).await {
                Ok(whole) => whole,
                Err(error) if error.is_of_object() => continue,
                Err(error) => return Err(error),
            };
            writers.entry(whole.header.writer.clone()).or_insert(whole.certificate);
            if epochs.insert(snapshot.epoch) {
                match keys::epoch_keys(vault, &whole.epoch, people).await {
                    Ok(keys) => openers.push(keys.opener),
                    Err(error) if error.is_of_object() || error.kind == VaultErrorKind::NoIdentity => {
                        refused.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if openers.is_empty() {
            let none = || VaultError::new(VaultErrorKind::NoIdentity, "no identity given opens an epoch of this vault");
            return Err(refused.unwrap_or_else(none));
        }
        let witness = vault.store.traits().trusted_time && snapshots.iter().any(|s| s.standing.stored_at.is_some());
        // Only of whom it was taken it matters when something was put.
        let revoked = writers.values().any(|writer| writer.revoked_from.is_some());
        let copies =
            if revoked { Copies::of(&*vault.store).await?.proven(vault, None).await? } else { Copies::default() };
        Ok(Self { vault, epochs: Opener::merge(openers), writers, witness, copies, findings: findings.into_vec() })
    }

    /// Opens a piece that was listed: whichever of its versions has the right bytes.
    ///
    /// # Errors
    /// `Damaged` if none has, or it can't be opened; `Untrusted` if its record is not its writer's, is of something else
    /// than its name, or was made when its writer was no member; `Denied` if it can't be read.
    pub async fn open(&self, line: &LineListing, of: &Listed) -> Result<Opened> {
        self.opened(self.begin(line, of)?).await
    }

    /// Begins to fetch and open a piece, which goes on whatever else this thread does; [`opened`](Self::opened) gives it.
    ///
    /// # Errors
    /// `Untrusted` if its writer may not have written it.
    pub fn begin(&self, line: &LineListing, of: &Listed) -> Result<Opening> {
        let key = line.key(of);
        let Some(piece) = line.piece(of) else {
            return Err(VaultError::new(VaultErrorKind::Invalid, "this is a history and no piece").on(key));
        };
        let writer = self.writer(line, &key)?.clone();
        let (epochs, vault, public) = (self.epochs.clone(), self.vault.descriptor.vault, writer.signing_key);
        let (store, named) = (Arc::clone(&self.vault.store), key.clone());
        let task = tokio::spawn(async move {
            let bytes = fetch::by_hash(&*store, &named, None, &piece.hash, SEALED_LIMIT).await?;
            let opened = blocking(&named, move || {
                let plain = epochs.open(&bytes, SEALED_LIMIT)?;
                drop(bytes);
                Ok(journal::open(&plain, vault, &piece, &public)?)
            });
            opened.await
        });
        Ok(Opening { key, of: *of, writer, task: Task(task) })
    }

    /// A piece that was begun with, once it is open.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn opened(&self, Opening { key, of, writer, mut task }: Opening) -> Result<Opened> {
        let (record, log) = (&mut task.0).await.map_err(|_| VaultError::stage_gone("opening"))??;
        self.timely(&writer, &key, &of, record.at)?;
        Ok(Opened { record, log })
    }

    /// Opens several at once, and gives them in their order. All of them are in memory then.
    pub async fn open_together(&self, all: &[(&LineListing, &Listed)]) -> Vec<Result<Opened>> {
        futures::future::join_all(all.iter().map(|(line, of)| self.open(line, of))).await
    }

    /// Opens the history of a line's timeline.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn history(&self, line: &LineListing, of: &Listed) -> Result<Vec<u8>> {
        let key = line.key(of);
        let (bytes, writer) = (self.bytes(&key, of).await?, self.writer(line, &key)?);
        let (epochs, public) = (self.epochs.clone(), writer.signing_key);
        let origin = Origin {
            vault: self.vault.descriptor.vault,
            writer: line.writer.clone(),
            source: line.source.clone(),
            line: line.line.clone(),
        };
        let opened = blocking(&key, move || {
            let plain = epochs.open(&bytes, SEALED_LIMIT)?;
            Ok(journal::open_history(&plain, &origin, &public)?)
        });
        let (HistoryRecord { at, .. }, history) = opened.await?;
        self.timely(writer, &key, of, at)?;
        Ok(history)
    }

    /// The first of a line's histories that opens, with what is wrong with others that were tried.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn history_of(&self, line: &LineListing) -> Result<(Option<Vec<u8>>, Vec<VaultError>)> {
        let mut wrong = Vec::new();
        let mut all: Vec<&Listed> = line.histories().collect();
        // What was there first was there before anybody could answer it.
        all.sort_by_key(|one| one.stored_at);
        for one in all.into_iter().take(TRIED) {
            match self.history(line, one).await {
                Ok(history) => return Ok((Some(history), wrong)),
                Err(error) if error.is_of_object() => wrong.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok((None, wrong))
    }

    async fn bytes(&self, key: &Key, of: &Listed) -> Result<bytes::Bytes> {
        fetch::by_hash(&*self.vault.store, key, None, &of.hash, SEALED_LIMIT).await
    }

    /// The certificate of whoever should have signed something of a line.
    fn writer(&self, line: &LineListing, key: &Key) -> Result<&Certificate> {
        let refused = |what: String| VaultError::new(VaultErrorKind::Untrusted, what).on(key);
        let writer = &line.writer;
        let Some(certificate) = self.writers.get(writer) else {
            return Err(refused(format!("this vault's root certified no writer {writer}")));
        };
        if !certificate.may_write(&line.source) {
            return Err(refused(format!("the certificate of writer {writer} does not let it write {}", line.source)));
        }
        Ok(certificate)
    }

    /// Fails if its writer was no member when this was put: since when it is there, as far as can be known.
    fn timely(&self, writer: &Certificate, key: &Key, of: &Listed, claimed: Time) -> Result<()> {
        let since = if self.witness && !self.copies.cover(of.stored_at) { of.stored_at } else { claimed };
        let refused = |what: String| Err(VaultError::new(VaultErrorKind::Untrusted, what).on(key));
        if let Some(from) = writer.revoked_from.filter(|from| since >= *from) {
            return refused(format!("writer {} was revoked from {from}, and this is of {since}", writer.name));
        }
        if since + SLACK < writer.valid_from {
            return refused(format!("writer {} is certified only since {}", writer.name, writer.valid_from));
        }
        Ok(())
    }
}

/// So many histories of one line are tried.
const TRIED: usize = 16;

/// Opening and decompressing is work for a core of its own. Errors of the bytes are told of the object.
async fn blocking<T: Send + 'static>(key: &Key, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| VaultError::stage_gone("opening"))?;
    done.map_err(|error| match error.kind {
        // Sealed to somebody else, by whoever put it.
        VaultErrorKind::NoIdentity => VaultError::new(VaultErrorKind::Untrusted, error.what).on(key),
        _ => error.on(key),
    })
}
