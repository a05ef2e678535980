//! `journal fetch`: a file of the log, for a server that recovers.

mod asked;

use std::path::PathBuf;

use futures::future::join_all;
use serde::Serialize;

use super::super::{
    OpsError, Result,
    recover::legs::{Along, Leg},
};
use crate::{
    model::{
        Name,
        journal::{Line, Position, Span},
    },
    source::postgres::journal::{Ahead, LogFile, SegmentName, lies_beside, write_file},
    vault::{
        Vault,
        journal::{LineListing, Listed, Reader, Windows, list_histories, list_within},
        members::Members,
    },
};
use asked::Size;

/// What to fetch.
pub struct FetchRequest {
    /// The file as the server names it.
    pub name: String,
    /// Where it wants it.
    pub path: PathBuf,
    /// The source.
    pub source: Name,
    /// The writers whose journal is taken; all that may write the source if none is named.
    pub writer: Option<Name>,
    /// The cluster.
    pub system: u64,
    /// Where what is read ahead is kept.
    pub ahead: Ahead,
    /// How many segments are read ahead.
    pub read_ahead: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Fetched {
    /// The file.
    pub file: String,
    /// Whether it is there: nothing was written if not.
    pub found: bool,
    /// Whether the server has it itself, as a base brings what it needs to be consistent.
    pub beside: bool,
    /// Whether it was read ahead by an earlier call.
    pub from_ahead: bool,
    /// Up to where it holds the log, where it is a segment; the rest is zeros.
    pub to: Option<Position>,
}

impl Fetched {
    fn new(request: &FetchRequest, found: bool) -> Self {
        Self { file: request.name.clone(), found, beside: false, from_ahead: false, to: None }
    }
}

/// A segment as far as the vault has it.
struct Assembled {
    bytes: Vec<u8>,
    /// Up to where it is covered without a gap.
    to: u64,
    end: u64,
    /// Where the log goes on beyond that, in the same segment.
    beyond: Option<u64>,
}

/// Fetches a file.
///
/// # Errors
/// If what is there can't be had, or lies behind a gap. That it is not there, and nothing beyond it is, is no error.
pub async fn fetch(vault: &Vault, reader: &Reader<'_>, request: &FetchRequest) -> Result<Fetched> {
    let fetched = match LogFile::read(&request.name) {
        Some(LogFile::Segment(name)) => match segment(vault, reader, request, name).await {
            Err(OpsError::JournalGap { .. }) if lies_beside(&request.path, &request.name) => {
                return Ok(Fetched { beside: true, ..Fetched::new(request, false) });
            }
            other => other?,
        },
        Some(LogFile::History(timeline)) => history(vault, reader, request, timeline).await?,
        Some(LogFile::Partial(_) | LogFile::Backup(..)) | None => Fetched::new(request, false),
    };
    if !fetched.found {
        if matches!(LogFile::read(&request.name), Some(LogFile::Segment(_))) {
            request.ahead.forget();
        }
        // Of what was never there everything is missing, and that is no end of a log.
        asked::must_be_there(vault, request, &writers(vault, request).await?).await?;
    }
    Ok(fetched)
}

/// Takes what an earlier call read ahead, if it did. Needs no vault.
///
/// # Errors
/// If it is there and can't be written.
pub fn from_ahead(request: &FetchRequest) -> Result<Option<Fetched>> {
    let Some(LogFile::Segment(name)) = LogFile::read(&request.name) else { return Ok(None) };
    let Some(bytes) = request.ahead.take(&request.name) else { return Ok(None) };
    write_file(&request.path, &bytes)?;
    let size = bytes.len() as u64;
    let to = name.start(size).map(|start| Position(start + size));
    Ok(Some(Fetched { from_ahead: true, to, ..Fetched::new(request, true) }))
}

async fn writers(vault: &Vault, request: &FetchRequest) -> Result<Vec<Name>> {
    if let Some(writer) = &request.writer {
        return Ok(vec![writer.clone()]);
    }
    let members = Members::of(vault).await?;
    let may = members.iter().filter(|one| one.may_write(&request.source));
    Ok(may.map(|one| one.name.clone()).collect())
}

async fn history(vault: &Vault, reader: &Reader<'_>, request: &FetchRequest, timeline: u32) -> Result<Fetched> {
    let line = Line::postgres(request.system, timeline);
    let mut wrong = None;
    for writer in writers(vault, request).await? {
        let listed = list_histories(vault, &writer, &request.source, &line).await?;
        let (found, errors) = reader.history_of(&listed).await?;
        if let Some(bytes) = found {
            write_file(&request.path, &bytes)?;
            return Ok(Fetched::new(request, true));
        }
        wrong = wrong.or_else(|| errors.into_iter().next());
    }
    // That it is there and can't be had is another matter than that it is not there.
    wrong.map_or_else(|| Ok(Fetched::new(request, false)), |error| Err(error.into()))
}

async fn segment(vault: &Vault, reader: &Reader<'_>, request: &FetchRequest, name: SegmentName) -> Result<Fetched> {
    let line = Line::postgres(request.system, name.timeline);
    let place = Place { vault, reader, request, line: &line, writers: writers(vault, request).await? };
    let size = match place.size(name).await? {
        Size::Known(size) => size,
        // Whatever the size is, this segment is not there. What lies before each place that it could have does not follow it.
        Size::Unknown { last } => {
            place.must_be_the_end(last).await?;
            return Ok(Fetched::new(request, false));
        }
    };
    let start = name.start(size).ok_or_else(|| place.strange("the name fits no segment of this log"))?;
    let Assembled { bytes, to, end, beyond } = place.assemble(start, size).await?;
    if to < end {
        if let Some(next) = beyond {
            return Err(place.gap(to, next));
        }
        place.must_be_the_end(to).await?;
        if to == start {
            return Ok(Fetched::new(request, false));
        }
    } else {
        place.read_ahead(end, size).await;
    }
    write_file(&request.path, &bytes)?;
    Ok(Fetched { to: Some(Position(to)), ..Fetched::new(request, true) })
}

/// A line, and who may have written it.
struct Place<'a> {
    vault: &'a Vault,
    reader: &'a Reader<'a>,
    request: &'a FetchRequest,
    line: &'a Line,
    writers: Vec<Name>,
}

impl Place<'_> {
    async fn within(&self, span: Span) -> Result<Vec<LineListing>> {
        let mut found = Vec::new();
        for writer in &self.writers {
            let listed = list_within(self.vault, writer, &self.request.source, self.line, span).await?;
            found.push(listed);
        }
        Ok(found)
    }

    /// Puts a segment together from pieces of whatever shape.
    async fn assemble(&self, start: u64, size: u64) -> Result<Assembled> {
        let end = start + size;
        let span = Span { from: Position(start), to: Position(end) };
        let listings = self.within(span).await?;
        let pieces: Vec<(&LineListing, &Listed, Span)> = listings
            .iter()
            .flat_map(|listing| listing.pieces().map(move |(listed, span)| (listing, listed, span)))
            .filter(|(_, _, span)| span.from.0 < end && span.to.0 > start)
            .collect();
        // What a recovery reads that lays the log out itself.
        let whole = [Leg { timeline: 0, from: Position(0), to: Position(u64::MAX) }];
        let along = Along::new(&whole, 1, |_| {
            let stored = pieces.iter().enumerate();
            stored.map(|(at, (_, listed, span))| (at, *span, listed.stored_at)).collect()
        });
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let (mut to, mut wrong) = (start, None);
        while to < end {
            let mut gone_on = None;
            for choice in along.go_on(Position(to)) {
                let Some((listing, listed, span)) = pieces.get(choice.piece).copied() else { continue };
                match self.reader.open(listing, listed).await {
                    Ok(opened) => {
                        gone_on = Some((opened, span, choice.use_of.to.0.min(end)));
                        break;
                    }
                    Err(error) if error.is_of_object() => drop(wrong.get_or_insert(error)),
                    Err(error) => return Err(error.into()),
                }
            }
            let Some((opened, span, upto)) = gone_on else { break };
            let within = |at: u64, from: u64| usize::try_from(at - from).unwrap_or(usize::MAX);
            let log = opened.log.get(within(to, span.from.0)..within(upto, span.from.0));
            let room = bytes.get_mut(within(to, start)..within(upto, start));
            let (Some(log), Some(room)) = (log, room) else {
                return Err(self.strange("a piece is shorter than its name says"));
            };
            room.copy_from_slice(log);
            to = upto;
            wrong = None;
        }
        // That a piece is there and can't be had is no end of the log.
        if let Some(error) = wrong {
            return Err(error.into());
        }
        let beyond = pieces.iter().map(|(_, _, span)| span.from.0).filter(|from| *from > to).min();
        Ok(Assembled { bytes, to, end, beyond })
    }

    /// Fails if anything is there beyond `at`: recovery would end before it, and nobody would know.
    async fn must_be_the_end(&self, at: u64) -> Result<()> {
        let mut next: Option<u64> = None;
        for writer in &self.writers {
            let mut windows = Windows::of(&*self.vault.store, writer, &self.request.source);
            while let Some(window) = windows.next().await? {
                let own = window.lines.iter().filter(|line| line.line == *self.line);
                let beyond = own.flat_map(LineListing::pieces).filter(|(_, span)| span.to.0 > at);
                next = next.into_iter().chain(beyond.map(|(_, span)| span.from.0.max(at)).min()).min();
            }
        }
        next.map_or(Ok(()), |next| Err(self.gap(at, next)))
    }

    fn gap(&self, from: u64, to: u64) -> OpsError {
        let (from, to) = (self.line.say(Position(from)), self.line.say(Position(to)));
        let what = format!(
            "a gap: the journal of {} has nothing from {from} to {to} in {}, and goes on behind it. Recovery must not go \
             beyond {from}",
            self.request.source, self.line
        );
        let next =
            format!("recover to a point before it: recovery_target_lsn = '{from}', or a time before what is missing");
        OpsError::JournalGap { what, next }
    }

    fn strange(&self, what: &str) -> OpsError {
        OpsError::Request { what: format!("{}: {what}", self.request.name), next: "look at journal list".to_owned() }
    }

    /// Reads the segments that follow, as far as they are complete. That one can't be had is told when it is asked for.
    async fn read_ahead(&self, end: u64, size: u64) {
        let timeline = self.line.postgres_parts().map_or(0, |(_, timeline)| timeline);
        self.request.ahead.keep_from(timeline, end, size);
        let starts = (0..self.request.read_ahead).map(|n| end + n * size);
        let missing =
            starts.filter(|start| !self.request.ahead.has(&SegmentName::of(timeline, *start, size).to_string()));
        let read = missing.map(|start| async move {
            if let Ok(whole) = self.assemble(start, size).await
                && whole.to == whole.end
            {
                self.request.ahead.put(&SegmentName::of(timeline, start, size).to_string(), &whole.bytes);
            }
        });
        join_all(read).await;
    }
}
