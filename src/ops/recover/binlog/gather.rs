//! Gathers the log behind a dump, transaction by transaction, until the point is found or there is no more.

use super::{
    super::{
        super::{OpsError, Result},
        gather::Ended,
        legs::{Along, Choice, Leg},
        point::{Point, Target, time, unreachable, within},
    },
    Based, Replay,
    search::{Verdict, judge},
    times::{Times, Told, Unclear},
};
use crate::{
    model::{
        Cancel, Finding, Progress, Severity, Time,
        journal::{Position, Span},
    },
    source::mariadb::binlog::{Group, Groups, beginning, opening, position, split},
    vault::{
        VaultError,
        journal::{LineListing, Opened, Reader},
    },
};

/// So many pieces are opened at once, of so many bytes as they are stored.
const AT_ONCE: usize = 32;
const TOGETHER: u64 = 48 << 20;
/// Where the first event of a file begins.
const FIRST: u64 = 4;

/// The log that a dump can be gone on with.
pub(super) struct Way<'a> {
    reader: &'a Reader<'a>,
    line: Option<&'a LineListing>,
    along: Along,
    based: &'a Based,
}

/// What was gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Up to where the log was read.
    pub(super) until: Position,
    pub(super) ended: Ended,
    /// The last transaction that comes back, and the first that does not.
    pub(super) last: Option<Group>,
    pub(super) stop: Option<Group>,
    /// Where the last one ends, in the server's log and in the files that were laid out.
    at: Option<Position>,
    pub(super) cut: Option<(String, u64)>,
    /// Where a time lies.
    times: Times,
    /// Before when all that was committed is in what was read, as far as a piece of it says so.
    covers: Option<Time>,
    pub(super) bytes: u64,
    pub(super) pieces: u64,
    pub(super) findings: Vec<Finding>,
}

/// The file that is being read.
struct File {
    number: u32,
    name: String,
    groups: Groups,
}

impl Gathered {
    /// Where what comes back ends.
    pub(super) fn end(&self, based: &Based) -> Position {
        self.at.unwrap_or(based.start.from)
    }

    /// Fails if the point is not in the log, and says how near one can get.
    pub(super) fn must_be_there(&self, target: &Target, based: &Based) -> Result<()> {
        let point = &target.point;
        let quiet = |us: i64| self.covers.is_some_and(|at| at.unix().saturating_mul(1_000_000) > us);
        let there = self.ended == Ended::Found
            || based.is_at(target)
            || match point {
                Point::Latest => true,
                Point::File { number, offset, .. } => within(*number, *offset) <= self.until,
                // Nothing lies between the last transaction and the point.
                Point::Time(us) => quiet(*us),
                _ => false,
            };
        if let Some(unclear) = self.times.unclear().filter(|_| there) {
            return Err(self.says_not(point, unclear));
        }
        if there {
            return Ok(());
        }
        let near = match self.last {
            Some(last) => {
                let gtid = last.gtid.map_or_else(String::new, |gtid| format!(" is {gtid} and"));
                format!(
                    "the last transaction before that{gtid} was committed at {}",
                    time(i64::from(last.at) * 1_000_000)
                )
            }
            None => "no transaction was committed before that since the dump".to_owned(),
        };
        let until = based.say(self.until);
        Err(match &self.ended {
            Ended::Gap { to, why } => {
                let to = to.map_or_else(|| "its end".to_owned(), |to| based.say(to));
                let why = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                let what = format!(
                    "{point} can't be reached: the log is missing or damaged from {until} to {to}{why}, and the point is not \
                     before it; {near}"
                );
                let next = "--recover-to latest goes up to the gap. A dump behind it can be gone on from: give a point that lies \
                            behind that dump";
                unreachable(what, next)
            }
            Ended::Nothing | Ended::Found => {
                let what = format!("{point} is not in the log, which the vault has up to {until}; {near}");
                let next = "--recover-to latest goes there; what is younger was not in the vault when it was listed";
                unreachable(what, next)
            }
        })
    }
}

/// A transaction, and the time that it says.
fn says(group: &Group) -> String {
    let gtid = group.gtid.map_or_else(|| "a transaction without a number".to_owned(), |gtid| gtid.to_string());
    format!("{gtid} ({})", time(i64::from(group.at) * 1_000_000))
}

impl Gathered {
    /// A time does not tell where to end; which transactions there are to choose from.
    fn says_not(&self, point: &Point, unclear: Unclear) -> OpsError {
        let before = self.last.as_ref().map_or_else(|| "none since the dump".to_owned(), says);
        let what = match unclear {
            Unclear::Ahead(group) => format!(
                "{point} is not clear: {} says a time that had not come when it was stored (SET TIMESTAMP, or a clock that was \
                 wrong), and may have been committed before the point or after it. The last one that surely was before it: {before}",
                says(&group)
            ),
            Unclear::Back(first, last) => format!(
                "{point} is not clear: the log's times do not rise. {} says a time after the point, and {}, which was committed later, \
                 one before it (a clock that was set back, or SET TIMESTAMP). The last one before both: {before}",
                says(&first),
                says(&last)
            ),
        };
        unreachable(
            what,
            "name the transaction: --recover-to gtid:… goes up to it, with --exclusive to just before it. Recover to latest, and look with \
             `mariadb-binlog --verbose` at the files in binlog/ which it is",
        )
    }

    /// Tells of transactions whose times were not believed.
    fn tell_times(&mut self, target: &Target) {
        let mut tell = |what: String| self.findings.push(Finding::new(Severity::Warning, "journal.times", what));
        if let Some(group) = &self.times.passed {
            tell(format!(
                "{} says a time that had not come when it was stored, and comes back: it stands before what was committed before {}",
                says(group),
                target.point
            ));
        }
        if let Some((first, last)) = &self.times.late {
            let to = if first == last { String::new() } else { format!(", and others up to {}", says(last)) };
            tell(format!(
                "{}{to} say a time before {} and do not come back: they were committed after what says a later one. A time in this log is when \
                 a statement began; --recover-to gtid:… names a transaction",
                says(first),
                target.point
            ));
        }
    }
}

impl<'a> Way<'a> {
    pub(super) fn new(reader: &'a Reader<'a>, line: Option<&'a LineListing>, based: &'a Based) -> Self {
        let legs = [Leg { timeline: 0, from: Position(0), to: Position(u64::MAX) }];
        let along = Along::new(&legs, 1, |_| {
            let objects = line.into_iter().flat_map(|line| line.objects.iter().enumerate());
            objects.filter_map(|(at, one)| Some((at, one.span?, one.stored_at))).collect()
        });
        Self { reader, line, along, based }
    }

    /// The end of all that the vault has of it, and when it got that.
    pub(super) fn newest(&self) -> Option<(Position, Time)> {
        let (one, span) = self.line?.pieces().max_by_key(|(_, span)| span.to)?;
        Some((span.to, one.stored_at))
    }

    /// Reads the log from the dump on; `layout` gets it.
    pub(super) async fn gather(
        &self,
        target: &Target,
        layout: &mut dyn Replay,
        (progress, cancel): (&dyn Progress, &Cancel),
    ) -> Result<Gathered> {
        let from = self.based.start.from;
        let mut all = Gathered {
            until: from,
            ended: Ended::Nothing,
            last: None,
            stop: None,
            at: None,
            cut: None,
            times: Times::default(),
            covers: None,
            bytes: 0,
            pieces: 0,
            findings: Vec::new(),
        };
        if self.based.is_at(target) {
            return Ok(all);
        }
        progress.phase("reading the log", None);
        let Some(mut file) = self.first(layout, &mut all).await? else { return Ok(all) };
        let mut ahead = std::collections::VecDeque::new();
        while all.ended == Ended::Nothing {
            if cancel.is_cancelled() {
                return Err(OpsError::Interrupted);
            }
            if ahead.is_empty() {
                ahead = self.together(all.until).await;
            }
            let Some((choice, opened)) = ahead.pop_front() else {
                all.ended = self.nothing(&all, None);
                break;
            };
            let used = match opened {
                Ok(opened) => self.take(&choice, &opened, (&mut file, target), layout, &mut all)?,
                Err(error) if error.is_of_object() => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            if let Err(why) = used {
                ahead.clear();
                if !self.another(&choice, (&mut file, target), layout, &mut all).await? {
                    all.ended = self.nothing(&all, Some(why));
                }
            }
            progress.advance(1);
        }
        all.tell_times(target);
        Ok(all)
    }

    /// Why it does not go on.
    fn nothing(&self, all: &Gathered, why: Option<String>) -> Ended {
        if all.times.found() {
            return Ended::Found;
        }
        let to = self.along.after(all.until);
        if why.is_some() || to.is_some() { Ended::Gap { to, why } } else { Ended::Nothing }
    }

    /// The file that the dump is of, ready to be gone on with. The first event of it says how those behind are to be read; that of
    /// another file says the same.
    async fn first(&self, layout: &mut dyn Replay, all: &mut Gathered) -> Result<Option<File>> {
        let (number, offset) = split(all.until);
        let name = self.based.file(number);
        if self.along.at(all.until).is_empty() {
            all.ended = self.nothing(all, None);
            return Ok(None);
        }
        if offset <= FIRST {
            all.until = Position(u64::from(number) << 32);
            return Ok(Some(File { number, name, groups: Groups::default() }));
        }
        let own = Position(u64::from(number) << 32);
        let mut tried: Vec<Choice> = self.along.at(own);
        let starts = |span: Span| span.from.0.trailing_zeros() >= 32;
        if let Some(line) = self.line {
            let others = line.pieces().filter(|(_, span)| starts(*span) && span.from > own).map(|(_, span)| span.from);
            tried.extend(others.take(AT_ONCE).flat_map(|at| self.along.at(at)));
        }
        for choice in tried {
            match self.open(&choice).await {
                Ok(opened) => {
                    // What another file says of transactions is not true of this one.
                    let own = choice.span.from == own;
                    let begin = if own { opening(&opened.log) } else { beginning(&opened.log).map(<[u8]>::to_vec) };
                    let Some(begin) = begin else { continue };
                    let mut groups = Groups::new(offset);
                    groups.prime(&begin).map_err(|_| OpsError::Defect("the first event of a log"))?;
                    layout.log(&name, &begin)?;
                    return Ok(Some(File { number, name, groups }));
                }
                Err(error) if error.is_of_object() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let why = "no piece of it has the first event of a file, without which the others can't be read".to_owned();
        all.ended = Ended::Gap { to: None, why: Some(why) };
        Ok(None)
    }

    /// Uses a piece; says why it can't be used.
    fn take(
        &self,
        choice: &Choice,
        opened: &Opened,
        (file, target): (&mut File, &Target),
        layout: &mut dyn Replay,
        all: &mut Gathered,
    ) -> Result<std::result::Result<(), String>> {
        let (number, _) = split(all.until);
        if number != file.number {
            *file = File { number, name: self.based.file(number), groups: Groups::default() };
        }
        let mut log = opened.log.as_slice();
        if file.groups.is_within() {
            // Within an event nothing tells where it goes on but the position.
            let skip = usize::try_from(all.until.0 - choice.span.from.0).unwrap_or(usize::MAX);
            log = log.get(skip..).unwrap_or_default();
        }
        let mut groups = file.groups.clone();
        let mut times = all.times.clone();
        let (before, covers) = (times.found(), opened.record.covers);
        let told = Told { stored: choice.stored_at.unix(), covers: covers.map(Time::unix) };
        times.begin(told);
        let (mut last, mut stop, mut over) = (None, None, false);
        let kept = groups.feed(log, &mut |group| {
            let Some(end) = position(number, group.end).filter(|_| !over) else { return };
            let (verdict, goes_on) = match &target.point {
                Point::Time(us) => (times.judge(*us, group), true),
                _ => (Some(judge(target, group, end)), false),
            };
            match verdict {
                None => {}
                Some(Verdict::Comes) => last = Some((*group, end)),
                Some(Verdict::Last) => (last, over) = (Some((*group, end)), true),
                // Of a time it is looked on whether what stands behind says otherwise.
                Some(Verdict::Behind) => (stop, over) = (stop.or(Some(*group)), !goes_on),
            }
        });
        let kept = match kept {
            Ok(kept) => kept,
            Err(broken) => return Ok(Err(broken.to_string())),
        };
        times.end(told);
        // What stands behind the point is only looked at.
        for range in kept.into_iter().filter(|_| !before) {
            let bytes = log.get(range).unwrap_or_default();
            layout.log(&file.name, bytes)?;
            all.bytes += bytes.len() as u64;
        }
        if let Some((group, end)) = last {
            (all.last, all.at) = (Some(group), Some(end));
            all.cut = Some((file.name.clone(), group.length));
        }
        all.stop = all.stop.or(stop);
        if over || matches!(&target.point, Point::Time(us) if times.is_over(*us)) {
            all.ended = Ended::Found;
        }
        all.times = times;
        file.groups = groups;
        all.until = choice.use_of.to;
        all.covers = all.covers.max(covers);
        all.pieces += u64::from(!before);
        Ok(Ok(()))
    }

    /// Uses any other piece than `tried` that holds what comes next; those that can't be used are told.
    async fn another(
        &self,
        tried: &Choice,
        (file, target): (&mut File, &Target),
        layout: &mut dyn Replay,
        all: &mut Gathered,
    ) -> Result<bool> {
        for choice in self.along.at(all.until) {
            let key = self.line.and_then(|line| Some(line.key(line.objects.get(choice.piece)?)));
            let used = match self.open(&choice).await {
                Ok(_) if choice.piece == tried.piece => Err("it is not a log".to_owned()),
                Ok(opened) => self.take(&choice, &opened, (&mut *file, target), layout, all)?,
                Err(error) if error.is_of_object() => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            let Err(why) = used else { return Ok(true) };
            let finding = Finding::new(Severity::Error, "journal.damaged", why);
            all.findings.push(key.map_or(finding.clone(), |key| finding.on(key)));
        }
        Ok(false)
    }

    async fn open(&self, choice: &Choice) -> std::result::Result<Opened, VaultError> {
        let mut opened = self.opened(&[*choice]).await;
        opened.pop().unwrap_or_else(|| Err(VaultError::stage_gone("opening")))
    }

    async fn opened(&self, choices: &[Choice]) -> Vec<std::result::Result<Opened, VaultError>> {
        let Some(line) = self.line else { return Vec::new() };
        let listed: Vec<_> =
            choices.iter().map_while(|choice| line.objects.get(choice.piece)).map(|one| (line, one)).collect();
        self.reader.open_together(&listed).await
    }

    /// Opens the pieces that go on from `at`, each the best of its place, as many as may be in memory together.
    async fn together(
        &self,
        at: Position,
    ) -> std::collections::VecDeque<(Choice, std::result::Result<Opened, VaultError>)> {
        let (mut choices, mut next, mut room) = (Vec::new(), at, TOGETHER);
        let stored =
            |choice: &Choice| self.line.and_then(|line| line.objects.get(choice.piece)).map_or(0, |one| one.bytes);
        while let Some(choice) = self.along.at(next).first().copied()
            && choices.len() < AT_ONCE
            && (choices.is_empty() || stored(&choice) <= room)
        {
            // What shrinks well is more than is stored of it.
            room = room.saturating_sub(stored(&choice).saturating_mul(4));
            next = choice.use_of.to;
            choices.push(choice);
        }
        let opened = self.opened(&choices).await;
        choices.into_iter().zip(opened).collect()
    }
}
