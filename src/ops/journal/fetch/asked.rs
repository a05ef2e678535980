//! What is known of what a server asks for, where the vault does not have it: how long its segments are, and whether the vault
//! has anything of that server at all.

use super::{
    super::super::{OpsError, Result},
    FetchRequest, Place,
};
use crate::{
    model::{
        Name,
        journal::{Line, Position, Span},
    },
    source::postgres::journal::{Geometry, SegmentName},
    vault::{
        Vault,
        journal::{LineListing, Listed, Windows},
        snapshots,
        standing::must_be_known,
    },
};

/// Sizes that segments may have, the usual one first.
const SIZES: [u64; 11] =
    [16 << 20, 64 << 20, 32 << 20, 128 << 20, 256 << 20, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 512 << 20, 1 << 30];
/// The smallest of them: each segment begins at a multiple of it.
const SMALLEST: u64 = 1 << 20;
/// So many pieces that may begin a segment are opened to learn its size: nearly each that may does.
const LOOKED: usize = 16;

/// The size of a line's segments.
pub(super) enum Size {
    Known(u64),
    /// No piece says it.
    Unknown {
        /// Where the segment begins if segments are as large as they can be.
        last: u64,
    },
}

impl Place<'_> {
    /// The size of segments, as the log itself says: where this one may begin, else where any does.
    pub(super) async fn size(&self, name: SegmentName) -> Result<Size> {
        if let Some(size) = self.request.ahead.size(self.line.as_str()) {
            return Ok(Size::Known(size));
        }
        for start in SIZES.iter().filter_map(|size| name.start(*size)) {
            let span = Span { from: Position(start), to: Position(start + 1) };
            for listing in self.within(span).await? {
                for (listed, span) in listing.pieces().filter(|(_, span)| span.contains(Position(start))) {
                    if let Some(size) = self.said(&listing, listed, start - span.from.0).await {
                        return Ok(Size::Known(size));
                    }
                }
            }
        }
        for writer in &self.writers {
            let mut windows = Windows::of(&*self.vault.store, writer, &self.request.source);
            let mut looked = 0;
            while let Some(window) = windows.next().await?.filter(|_| looked < LOOKED) {
                for listing in window.lines.iter().filter(|line| line.line == *self.line) {
                    let begins = listing.pieces().filter(|(_, span)| span.from.0.is_multiple_of(SMALLEST));
                    for (listed, _) in begins.take(LOOKED) {
                        looked += 1;
                        if let Some(size) = self.said(listing, listed, 0).await {
                            return Ok(Size::Known(size));
                        }
                    }
                }
            }
        }
        let last = SIZES.iter().filter_map(|size| name.start(*size)).max();
        Ok(Size::Unknown { last: last.unwrap_or_default() })
    }

    /// What a piece says of the size, if a segment begins so many bytes behind where it does.
    async fn said(&self, listing: &LineListing, listed: &Listed, skip: u64) -> Option<u64> {
        let at = listed.span?.from.0 + skip;
        // One that can't be had is told of where its log is wanted.
        let opened = self.reader.open(listing, listed).await.ok()?;
        let head = opened.log.get(usize::try_from(skip).ok()?..)?;
        let geometry = Geometry::read(head).ok().flatten().filter(|_| Geometry::address(head) == at)?;
        self.request.ahead.note_size(self.line.as_str(), geometry.segment);
        Some(geometry.segment)
    }
}

/// Fails if the vault has nothing of the source, the writer or the cluster that was asked for: whoever mistyped one of them is
/// not at the end of his log.
///
/// # Errors
/// Also if the store can't be listed.
pub(super) async fn must_be_there(vault: &Vault, request: &FetchRequest, writers: &[Name]) -> Result<()> {
    let FetchRequest { source, system, ahead, .. } = request;
    let mark = format!("known-{}-{source}-{system:016x}", request.writer.as_ref().map_or("any", Name::as_str));
    let mark = format!("{mark}-{}", vault.descriptor.vault);
    if ahead.is_known(&mark) {
        return Ok(());
    }
    let mut lines: Vec<Line> = Vec::new();
    for writer in writers {
        let mut windows = Windows::of(&*vault.store, writer, source);
        while let Some(window) = windows.next().await? {
            lines.extend(window.lines.into_iter().map(|listing| listing.line));
        }
    }
    let snapshots = snapshots::list(vault).await?.snapshots;
    let by = |writer: &Name| request.writer.as_ref().is_none_or(|wanted| wanted == writer);
    let own = snapshots.iter().filter(|s| s.header.source == *source && by(&s.header.writer));
    let based = own.clone().filter_map(|s| s.header.journal.as_ref()).map(|start| start.line.clone());
    let (mut systems, any) = (Vec::new(), !lines.is_empty() || own.clone().next().is_some());
    systems.extend(lines.iter().cloned().chain(based).filter_map(|line| line.postgres_parts()).map(|(id, _)| id));
    systems.sort_unstable();
    systems.dedup();
    if any && (systems.is_empty() || systems.contains(system)) {
        ahead.know(&mark);
        return Ok(());
    }
    if any {
        let known: Vec<String> = systems.iter().map(u64::to_string).collect();
        let what = format!(
            "the vault has no log of cluster {system}: that of {source} is of system identifier {}",
            known.join(", ")
        );
        let next = "give the source of this server with --source, or --system as pg_controldata prints it; a server that was \
                    set up anew (initdb, pg_upgrade) has no log in the vault before its journal has begun";
        return Err(OpsError::Request { what, next: next.to_owned() });
    }
    must_be_known("source", source, snapshots.iter().map(|s| &s.header.source))?;
    let whose = request.writer.as_ref().map_or_else(|| "any writer".to_owned(), |writer| format!("writer {writer}"));
    let what = format!("the vault has no snapshot and no journal of source {source} by {whose}");
    let next = "see `strongroom snapshots` and `strongroom journal list`, and correct --source, --writer or --vault";
    Err(OpsError::Request { what, next: next.to_owned() })
}
