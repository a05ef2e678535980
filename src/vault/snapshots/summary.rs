//! What is kept of a header once it was verified. Whoever holds a writer's key can sign as many headers as it likes, of
//! 256 KiB each: a listing keeps what choosing and judging need, and the whole of one is read again when it is needed.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream};

use crate::{
    codec::hash,
    format::{
        header::{HEADER_LIMIT, Standing, Totals, VerifiedHeader},
        layout,
    },
    model::{Hash, Key, LockPolicy, Name, SnapshotId, SourceKind, Time, journal::Start},
    signal::{Level, NOT_WHOLE},
    vault::{Result, Vault, VaultError, VaultErrorKind, fetch, members},
};

/// Headers of at most so many stored bytes may be kept whole. Those of an ordinary run have less.
const SMALL: usize = 64 << 10;
/// So many stored bytes of headers are kept whole, of all together; they take about as many in memory.
const KEPT: usize = 24 << 20;
/// So many predecessors are kept of all headers together, beyond the first few of each: 16 MiB.
const KEPT_PREV: usize = 512 << 10;
/// So many predecessors of each header are kept always.
const FEW_PREV: usize = 2;
/// How many whole headers are read at once.
const AT_ONCE: usize = 8;
/// Whole headers are handed out in windows of so many, or of so many stored bytes.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 8 << 20;

/// What a header says of its snapshot, without what it names and embeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// The writer that signed it.
    pub writer: Name,
    /// The writer's sequence number.
    pub seq: u64,
    /// The writer's newest headers when this one was made; of very many, the first.
    pub prev: Vec<SnapshotId>,
    /// The source's name.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// When the run started, by the store's clock.
    pub started_at: Time,
    /// When the header was made, by the writer's own clock: a claim.
    pub claimed_at: Time,
    /// Until when all that the snapshot needs was locked when it was committed, at least.
    pub floor_until: Time,
    /// Until when the snapshot is to be kept.
    pub expires_at: Time,
    /// Where in its source's log it stands, if it is a base of a journal.
    pub journal: Option<Start>,
    /// What its writer found odd about what it backed up, if anything.
    pub signal: Option<Level>,
    /// Whether it has all of its source, as far as its writer says.
    pub whole: bool,
    /// What it amounts to.
    pub totals: Totals,
}

/// A verified header, in short. [`Vault::whole`] reads the whole of it.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// What the header says.
    pub header: Brief,
    /// Since when the certificate that it embeds is valid.
    pub certified_from: Time,
    /// The epoch record that it embeds, by the hash of what that seals.
    pub epoch: Hash,
    /// How it stands with the store and the members.
    pub standing: Standing,
    /// Its stored bytes.
    pub(in crate::vault) bytes: usize,
    whole: Option<Arc<VerifiedHeader>>,
}

impl Summary {
    /// What is kept of a header that has `bytes` stored bytes.
    #[must_use]
    pub fn of(found: &VerifiedHeader, bytes: usize) -> Self {
        let header = &found.header;
        let standing = members::certified(&found.certificate, &header.source, found.standing);
        let epoch = hash::hash(found.epoch.sealed.as_bytes());
        let brief = Brief {
            writer: header.writer.clone(),
            seq: header.seq,
            prev: header.prev.clone(),
            source: header.source.clone(),
            kind: header.kind,
            started_at: header.started_at,
            claimed_at: header.claimed_at,
            floor_until: header.floor_until,
            expires_at: header.expires_at,
            journal: header.journal.clone(),
            signal: header.signals.iter().filter(|flag| flag.rule != NOT_WHOLE).map(|flag| flag.level).max(),
            whole: !header.signals.iter().any(|flag| flag.rule == NOT_WHOLE),
            totals: header.totals,
        };
        Self::from_parts(found.id, brief, (found.certificate.valid_from, epoch, standing), bytes)
    }

    /// One of these parts: since when the certificate is valid, the epoch, and how it stands.
    pub(in crate::vault) fn from_parts(
        id: SnapshotId,
        header: Brief,
        (certified_from, epoch, standing): (Time, Hash, Standing),
        bytes: usize,
    ) -> Self {
        Self { id, header, certified_from, epoch, standing, bytes, whole: None }
    }

    /// Where the header is stored.
    #[must_use]
    pub fn key(&self) -> Key {
        layout::header(&self.header.writer, self.header.seq, &self.id)
    }

    /// Whether what its predecessors promised is over at `now`, so that they may have been pruned: they were made before
    /// this one, so their promise of the same length is over when this one's is.
    pub(in crate::vault) fn predecessors_are_over(&self, policy: &LockPolicy, now: Time) -> bool {
        let keep = self.header.floor_until.since(self.header.started_at).min(policy.keep);
        self.header.started_at + keep <= now
    }

    /// Since when the snapshot is there, as far as can be known.
    #[must_use]
    pub fn since(&self) -> Time {
        self.standing.since.unwrap_or(self.header.started_at)
    }
}

/// What may still be kept of headers beyond their summaries.
pub(super) struct Budget {
    whole: usize,
    prev: usize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { whole: KEPT, prev: KEPT_PREV }
    }

    /// The summary of a header, and all of it while there is room: of an ordinary vault nothing is read twice.
    pub(super) fn keep(&mut self, digest: Digest) -> Summary {
        let Digest { mut summary, whole } = digest;
        if summary.header.prev.len() > FEW_PREV {
            match self.prev.checked_sub(summary.header.prev.len()) {
                Some(left) => self.prev = left,
                None => summary.header.prev.truncate(FEW_PREV),
            }
        }
        summary.header.prev.shrink_to_fit();
        if let Some(whole) = whole
            && let Some(left) = self.whole.checked_sub(summary.bytes)
        {
            self.whole = left;
            summary.whole = Some(Arc::new(whole));
        }
        summary
    }
}

/// What is passed on of a header that was read. The rest of a large one is let go by the thread that read it, so that
/// many of them take the memory of one.
pub(super) struct Digest {
    pub(super) summary: Summary,
    whole: Option<VerifiedHeader>,
}

impl Digest {
    /// Of a header that has `bytes` stored bytes.
    pub(super) fn of(found: VerifiedHeader, bytes: usize) -> Self {
        let summary = Summary::of(&found, bytes);
        Self { summary, whole: (bytes <= SMALL).then_some(found) }
    }
}

impl Vault {
    /// The whole header of a listed snapshot, read and verified again if it was not kept.
    ///
    /// # Errors
    /// If it can't be read any more as it was signed.
    pub async fn whole(&self, summary: &Summary) -> Result<VerifiedHeader> {
        let standing = summary.standing;
        if let Some(whole) = &summary.whole {
            return Ok(VerifiedHeader { standing, ..VerifiedHeader::clone(whole) });
        }
        let (key, wanted) = (summary.key(), Hash::from_bytes(*summary.id.as_bytes()));
        let bytes = fetch::by_hash(&*self.store, &key, None, &wanted, HEADER_LIMIT).await?;
        let vault = self.descriptor.vault;
        let opened = tokio::task::spawn_blocking(move || VerifiedHeader::open(&bytes, vault));
        let found = opened.await.map_err(|_| VaultError::stage_gone("verifying a header"))??;
        if found.header.writer != summary.header.writer || found.header.seq != summary.header.seq {
            let what = "its name is not what it says of itself";
            return Err(VaultError::new(VaultErrorKind::Untrusted, what).on(&key));
        }
        Ok(VerifiedHeader { standing, ..found })
    }

    /// The whole headers of `summaries`, in their order, a bounded number at a time.
    pub(crate) fn wholes<'a>(&'a self, summaries: impl IntoIterator<Item = &'a Summary>) -> Wholes<'a> {
        Wholes { vault: self, left: summaries.into_iter().collect() }
    }
}

/// Whole headers, window by window.
pub(crate) struct Wholes<'a> {
    vault: &'a Vault,
    left: VecDeque<&'a Summary>,
}

impl Wholes<'_> {
    /// The next ones; empty when there are no more.
    ///
    /// # Errors
    /// If one can't be read any more.
    pub(crate) async fn next(&mut self) -> Result<Vec<VerifiedHeader>> {
        let (mut window, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.left.front()
            && window.len() < WINDOW
            && (window.is_empty() || bytes + next.bytes <= WINDOW_BYTES)
        {
            bytes += next.bytes;
            window.extend(self.left.pop_front());
        }
        let reads = stream::iter(window).map(|summary| self.vault.whole(summary)).buffered(AT_ONCE);
        reads.collect::<Vec<_>>().await.into_iter().collect()
    }
}
