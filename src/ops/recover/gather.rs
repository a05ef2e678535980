//! Gathers the log behind a base, and looks for the point in it.

use std::collections::VecDeque;

use super::{
    super::{OpsError, Result},
    layout::Layout,
    legs::{Along, Choice, Leg, files},
    needs::Needs,
    point::{Commit, Search, Stop, Target},
};
use crate::{
    model::{
        Cancel, Finding, Progress, Severity, Time,
        journal::{Position, Span},
    },
    source::postgres::{Base, wal::Records},
    vault::{
        self, VaultError,
        journal::{LineListing, Listed, Opened, Opening, Reader},
    },
};

/// So many pieces are opened ahead, of so many bytes of log together: a round trip to a bucket takes longer than a piece of a
/// few seconds' log, and what comes next is opened by other cores while this one is looked through.
const AT_ONCE: usize = 32;
const TOGETHER: u64 = 48 << 20;

/// The log that a base can be gone on with.
pub(super) struct Way<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The timelines, the base's first.
    pub(super) legs: Vec<Leg>,
    /// The line of each, where the vault has any of it.
    pub(super) lines: Vec<Option<&'a LineListing>>,
    pub(super) along: Along,
    pub(super) segment: u64,
}

/// The pieces that are being opened, in the order of the log.
struct Ahead {
    opening: VecDeque<(Choice, vault::Result<Opening>)>,
    /// Where what they hold ends.
    next: Position,
    /// How much that is.
    bytes: u64,
}

impl Ahead {
    const fn from(next: Position) -> Self {
        Self { opening: VecDeque::new(), next, bytes: 0 }
    }

    fn take(&mut self) -> Option<(Choice, vault::Result<Opening>)> {
        let (choice, opening) = self.opening.pop_front()?;
        self.bytes = self.bytes.saturating_sub(choice.span.distance());
        Some((choice, opening))
    }
}

/// Why it was not gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The point was found.
    Found,
    /// There is no more.
    Nothing,
    /// There is more, and not what comes next; with the reason if it is there and damaged.
    Gap { to: Option<Position>, why: Option<String> },
}

/// What was gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) from: Position,
    /// Up to where the log was read.
    pub(super) until: Position,
    pub(super) ended: Ended,
    /// The last transaction before the point, or in all of it.
    pub(super) commit: Option<Commit>,
    pub(super) stop: Option<Stop>,
    /// Whether the log goes through the end of the base as it must; nothing if it does not go there.
    pub(super) meets: Option<bool>,
    /// Where the last whole record begins and ends.
    pub(super) last: Option<Position>,
    pub(super) end: Position,
    /// Before when all that was committed is in what was read, as far as a piece of it says so.
    pub(super) covers: Option<Time>,
    /// What a server needs on the way.
    pub(super) needs: Needs,
    pub(super) bytes: u64,
    pub(super) pieces: u64,
    pub(super) findings: Vec<Finding>,
}

impl Way<'_> {
    /// Where the log must go on behind a base: the segment that the base ends in, or the next, since a primary leaves that
    /// one when the base is done, and the base has it whole.
    fn begin(&self, base: &Base) -> Position {
        let first = Position(base.end.0 / self.segment * self.segment);
        if base.standby || !self.along.at(first).is_empty() {
            return first;
        }
        Position(first.0.saturating_add(self.segment))
    }

    /// Reads the log from the end of `base` on, until the point is found or there is no more; where it is
    /// to be `here`, `layout` gets it.
    ///
    /// # Errors
    /// If the store does not answer, `layout` fails, or somebody asks to stop.
    pub(super) async fn gather(
        &self,
        (base, target): (&Base, &Target),
        (layout, here): (&mut dyn Layout, bool),
        (progress, cancel): (&dyn Progress, &Cancel),
    ) -> Result<Gathered> {
        let from = self.begin(base);
        let mut records = Records::new(from, self.segment);
        let mut search = Search::new(target, base);
        let mut all = Gathered {
            from,
            until: from,
            ended: Ended::Nothing,
            commit: None,
            stop: None,
            meets: None,
            last: None,
            end: from,
            covers: None,
            needs: Needs::default(),
            bytes: 0,
            pieces: 0,
            findings: Vec::new(),
        };
        let most = self.along.until(from).map_or(0, |until| until.0 - from.0);
        progress.phase("reading the log", Some(most));
        let mut ahead = Ahead::from(from);
        while search.stop.is_none() && !records.is_over() {
            if cancel.is_cancelled() {
                return Err(OpsError::Interrupted);
            }
            let at = all.until;
            let Some((choice, opened)) = self.next(&mut ahead, &mut all).await? else { break };
            let skip = usize::try_from(at.0 - choice.span.from.0).unwrap_or(usize::MAX);
            let take = usize::try_from(choice.use_of.to.0 - at.0).unwrap_or(usize::MAX);
            let bytes = opened.log.get(skip..).and_then(|rest| rest.get(..take));
            let bytes = bytes.ok_or(OpsError::Defect("the log of a piece"))?;
            if here {
                self.put(layout, Span { from: at, to: choice.use_of.to }, bytes)?;
            }
            records.feed(bytes, &mut |record| {
                all.needs.see(&record, base.from);
                search.see(&record)
            });
            all.until = choice.use_of.to;
            // What a server says of its own timeline is not true of one that left it, nor of a piece that is not read to its end.
            if choice.leg + 1 == self.legs.len() && choice.use_of.to == choice.span.to {
                all.covers = all.covers.max(opened.record.covers);
            }
            all.bytes += bytes.len() as u64;
            all.pieces += 1;
            progress.advance(bytes.len() as u64);
        }
        if search.stop.is_some() {
            all.ended = Ended::Found;
        } else if records.is_over() && all.ended == Ended::Nothing && self.along.until(all.until).is_some() {
            let why = format!("at {} it is not a log any more", super::point::lsn(records.end()));
            all.ended = Ended::Gap { to: None, why: Some(why) };
        }
        (all.commit, all.stop, all.meets) = (search.commit, search.stop, search.meets);
        (all.last, all.end) = (records.last(), records.end());
        Ok(all)
    }

    /// The piece that goes on from where the log was read to, if there is one that is whole.
    async fn next(&self, ahead: &mut Ahead, all: &mut Gathered) -> Result<Option<(Choice, Opened)>> {
        self.fill(ahead);
        if let Some((choice, opening)) = ahead.take() {
            let opened = match opening {
                Ok(opening) => self.reader.opened(opening).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(opened) => return Ok(Some((choice, opened))),
                Err(error) if !error.is_of_object() => return Err(error.into()),
                Err(_) => {}
            }
        }
        // Another one may have it; what follows then begins elsewhere.
        let found = self.open(all.until, all).await?;
        *ahead = Ahead::from(found.as_ref().map_or(all.until, |(choice, _)| choice.use_of.to));
        Ok(found)
    }

    /// Begins to open the pieces that go on from what is being opened, each the best of its place, as many as may be in memory
    /// together.
    fn fill(&self, ahead: &mut Ahead) {
        while ahead.opening.len() < AT_ONCE
            && let Some(choice) = self.along.go_on(ahead.next).first().copied()
            && (ahead.opening.is_empty() || ahead.bytes + choice.span.distance() <= TOGETHER)
        {
            let Some((line, listed)) = self.listed(&choice) else { break };
            ahead.bytes += choice.span.distance();
            ahead.next = choice.use_of.to;
            ahead.opening.push_back((choice, self.reader.begin(line, listed)));
        }
    }

    fn listed(&self, choice: &Choice) -> Option<(&LineListing, &Listed)> {
        let line = self.lines.get(choice.leg).copied().flatten()?;
        Some((line, line.objects.get(choice.piece)?))
    }

    /// Opens the piece that goes on at `at`. Of several, those that are damaged are told and passed over.
    async fn open(&self, at: Position, all: &mut Gathered) -> Result<Option<(Choice, Opened)>> {
        let mut why: Option<VaultError> = None;
        for choice in self.along.go_on(at) {
            let Some((line, listed)) = self.listed(&choice) else { continue };
            match self.reader.open(line, listed).await {
                Ok(opened) => return Ok(Some((choice, opened))),
                Err(error) if error.is_of_object() => {
                    let finding = Finding::new(Severity::Error, "journal.damaged", error.to_string());
                    all.findings.push(finding.on(line.key(listed)));
                    why.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let to = self.along.after(at);
        if why.is_some() || to.is_some() {
            all.ended = Ended::Gap { to, why: why.map(|error| error.to_string()) };
        }
        Ok(None)
    }

    fn put(&self, layout: &mut dyn Layout, span: Span, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        for (file, range) in files(&self.legs, self.segment, span) {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let (now, after) = rest.split_at_checked(len).ok_or(OpsError::Defect("the log of a piece"))?;
            layout.log(&file, range.start, now)?;
            rest = after;
        }
        Ok(())
    }
}
