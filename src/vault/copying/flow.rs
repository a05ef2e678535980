//! What a window needs on its way: packs and indexes first, a page once its packs are there, a header once all that it needs
//! is there and the lock of each was read back. So no header is ever in the target whose closure is not there and locked, and
//! while one waits for an answer, others move.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    CopyDone, Pass, lasts,
    object::{Object, Trouble, Where},
    table::Table,
    wanted::{Wanted, leave_out},
};
use crate::{
    format::header::HEADER_LIMIT,
    model::{Hash, Time},
    store::Payload,
    vault::Result,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

/// What came of one object.
type Outcome<T = ()> = Result<std::result::Result<T, Trouble>>;

/// Until when an object must be locked, and until when it is asked to be.
#[derive(Debug, Clone, Copy)]
struct Due {
    required: Time,
    ask: Time,
    /// Whether something in the target that was put after it names it.
    trusted: bool,
}

/// Something that is over.
enum Event {
    /// The record that a header needs is in force.
    Begun(Result<()>),
    /// An object is there, and its lock was read.
    Moved(u32, Outcome),
    /// A header was read; nothing if it is there already.
    Read(usize, Outcome<Option<Payload>>),
    /// A header was put.
    Put(usize, Outcome),
    /// Its lock was read.
    Locked(usize, Outcome),
}

type Steps<'f> = FuturesUnordered<BoxFuture<'f, Event>>;

/// How far a header is.
enum Head {
    /// What it needs is not all there yet, or it is being read.
    Waits,
    Ready(Option<Payload>),
    /// It was put, or left out.
    Over,
}

/// Moves a window. Returns what is wrong with single objects.
pub(super) async fn carry(
    pass: &Pass<'_>,
    table: &Table,
    window: &[Wanted<'_>],
    done: &mut CopyDone,
) -> Result<HashMap<u32, Trouble>> {
    run(pass, table, (window, true), done).await
}

/// Moves what a window names, and no header.
pub(super) async fn close(
    pass: &Pass<'_>,
    table: &Table,
    window: &[Wanted<'_>],
    done: &mut CopyDone,
) -> Result<HashMap<u32, Trouble>> {
    run(pass, table, (window, false), done).await
}

async fn run(
    pass: &Pass<'_>,
    table: &Table,
    (window, headers): (&[Wanted<'_>], bool),
    done: &mut CopyDone,
) -> Result<HashMap<u32, Trouble>> {
    let mut flow = Flow::of(pass, table, window);
    let total = flow.due.keys().filter_map(|at| table.get(*at));
    let total = total.filter(|object| !pass.mover.place.there(&object.key())).filter_map(|object| object.bytes).sum();
    pass.mover.progress.phase("copying", Some(total));
    let mut steps = Steps::new();
    if headers && !pass.mover.mends() {
        // While packs move, so that the first header has not to wait for it.
        steps.push(async move { Event::Begun(begin(pass).await) }.boxed());
    }
    loop {
        flow.settle();
        flow.start(&mut steps);
        if headers {
            flow.heads(&mut steps, done);
        }
        let Some(event) = steps.next().await else { break };
        flow.take(event, &mut steps, done)?;
    }
    drop(steps);
    if headers && !pass.mover.mends() {
        // Also where all were left out: the record says what was to be copied last.
        begin(pass).await?;
    }
    for (at, trouble) in &flow.troubles {
        if let Some(object) = table.get(*at) {
            let is_short = matches!(trouble, Trouble::Short(_));
            done.unhealed |= pass.mover.mends() && !is_short && pass.mover.place.there(&object.key());
            done.findings.note(trouble.finding(&object.key(), pass.mover.mends()));
        }
    }
    Ok(flow.troubles)
}

/// A window that is being moved.
struct Flow<'f, 'w> {
    pass: &'f Pass<'f>,
    table: &'f Table,
    window: &'f [Wanted<'w>],
    due: HashMap<u32, Due>,
    /// What can be moved now.
    todo: VecDeque<u32>,
    /// Pages that wait for their packs, and how many of those were seen to be there.
    pages: VecDeque<(u32, Arc<[u32]>, usize)>,
    moving: usize,
    /// What is there, or will not be.
    settled: HashSet<u32>,
    troubles: HashMap<u32, Trouble>,
    heads: Vec<Head>,
    /// The next header whose closure is looked at, and the next that is put.
    closing: usize,
    turn: usize,
    putting: bool,
    /// Snapshots of which it was said already that something is wrong.
    told: HashSet<usize>,
}

impl<'f, 'w> Flow<'f, 'w> {
    fn of(pass: &'f Pass<'f>, table: &'f Table, window: &'f [Wanted<'w>]) -> Self {
        let due = due(pass, table, window);
        let (mut pages, mut named) = (VecDeque::new(), HashSet::new());
        for wanted in window {
            for (page, packs) in &wanted.pages {
                if due.contains_key(page) && named.insert(*page) {
                    pages.push_back((*page, Arc::clone(packs), 0));
                }
            }
        }
        // In the order of the table, which is that in which the packs were stored.
        let mut todo: Vec<u32> = due.keys().copied().filter(|at| !named.contains(at)).collect();
        todo.sort_unstable();
        Self {
            pass,
            table,
            window,
            due,
            todo: todo.into(),
            pages,
            moving: 0,
            settled: HashSet::new(),
            troubles: HashMap::new(),
            heads: window.iter().map(|_| Head::Waits).collect(),
            closing: 0,
            turn: 0,
            putting: false,
            told: HashSet::new(),
        }
    }

    /// Looks which pages have all of their packs now. A page says to whoever goes on that its packs were seen whole, so a copy
    /// leaves one away of which a pack is missing. A repair puts it back: without it nothing of its snapshots can be restored.
    fn settle(&mut self) {
        while let Some((page, packs, seen)) = self.pages.front_mut() {
            *seen += packs.iter().skip(*seen).take_while(|pack| self.settled.contains(*pack)).count();
            if *seen < packs.len() {
                break;
            }
            if !self.pass.mover.mends() && packs.iter().any(|pack| self.troubles.contains_key(pack)) {
                self.settled.insert(*page);
            } else {
                self.todo.push_front(*page);
            }
            self.pages.pop_front();
        }
    }

    /// Starts to move what there is room for.
    fn start(&mut self, steps: &mut Steps<'f>) {
        let most = self.pass.mover.place.store.at_once().max(self.pass.mover.jobs);
        while self.moving < most
            && let Some(at) = self.todo.pop_front()
        {
            let (Some(object), Some(due)) = (self.table.get(at), self.due.get(&at)) else {
                self.settled.insert(at);
                continue;
            };
            self.moving += 1;
            let (pass, due) = (self.pass, *due);
            steps.push(async move { Event::Moved(at, move_one(pass, object, due).await) }.boxed());
        }
    }

    /// Reads headers whose closure is there and locked, and puts them one after the other: whoever reads the copy meanwhile
    /// sees no gap in a chain.
    fn heads(&mut self, steps: &mut Steps<'f>, done: &mut CopyDone) {
        loop {
            while matches!(self.heads.get(self.turn), Some(Head::Over)) {
                self.turn += 1;
            }
            let (window, at) = (self.window, self.closing);
            let Some(wanted) = window.get(at).filter(|wanted| self.is_closed(wanted)) else { break };
            if at >= self.turn + self.pass.mover.jobs {
                break;
            }
            self.closing += 1;
            let bad: Vec<&Trouble> =
                wanted.packs().chain(wanted.texts()).filter_map(|at| self.troubles.get(&at)).collect();
            let worst = bad.iter().copied().max_by_key(|trouble| trouble.severity());
            let known = wanted.unknown.as_ref().map(|(trouble, objects)| (trouble, *objects + bad.len()));
            if let Some((trouble, objects)) = known.or(worst.map(|trouble| (trouble, bad.len()))) {
                leave_out(self.pass, wanted.summary, (trouble, objects), done);
                self.told.insert(at);
                if !self.pass.promised(wanted.summary, trouble.severity()) {
                    self.over(at);
                    continue;
                }
            }
            let pass = self.pass;
            steps.push(async move { Event::Read(at, pass.mover.ready(&header(wanted), false).await) }.boxed());
        }
        let (turn, window) = (self.turn, self.window);
        let (Some(head), Some(wanted), false) = (self.heads.get_mut(turn), window.get(turn), self.putting) else {
            return;
        };
        if let Head::Ready(payload) = head {
            let (pass, payload) = (self.pass, payload.take());
            *head = Head::Waits;
            self.putting = true;
            steps.push(async move { Event::Put(turn, put(pass, wanted, payload).await) }.boxed());
        }
    }

    /// Whether all that a snapshot needs is there, or known to be missing.
    fn is_closed(&self, wanted: &Wanted<'_>) -> bool {
        wanted.texts().all(|at| !self.due.contains_key(&at) || self.settled.contains(&at))
    }

    fn over(&mut self, at: usize) {
        if let Some(head) = self.heads.get_mut(at) {
            *head = Head::Over;
        }
    }

    fn take(&mut self, event: Event, steps: &mut Steps<'f>, done: &mut CopyDone) -> Result<()> {
        let (at, outcome) = match event {
            Event::Begun(begun) => return begun,
            Event::Moved(at, moved) => {
                self.moving -= 1;
                if let Err(trouble) = moved? {
                    self.troubles.insert(at, trouble);
                }
                self.settled.insert(at);
                return Ok(());
            }
            Event::Read(at, read) => match read? {
                Ok(payload) => {
                    if let Some(head) = self.heads.get_mut(at) {
                        *head = Head::Ready(payload);
                    }
                    return Ok(());
                }
                Err(trouble) => (at, Err(trouble)),
            },
            Event::Put(at, put) => {
                self.putting = false;
                (at, put?)
            }
            Event::Locked(at, locked) => {
                let window = self.window;
                if let (Err(trouble), Some(wanted)) = (locked?, window.get(at)) {
                    let finding = trouble.finding(&wanted.summary.key(), self.pass.mover.mends());
                    done.findings.push(finding);
                }
                return Ok(());
            }
        };
        self.over(at);
        let (pass, window) = (self.pass, self.window);
        let Some(wanted) = window.get(at) else { return Ok(()) };
        if let Err(trouble) = outcome {
            done.findings.push(trouble.finding(&wanted.summary.key(), pass.mover.mends()));
            if self.told.insert(at) {
                leave_out(pass, wanted.summary, (&trouble, 1), done);
            }
            return Ok(());
        }
        done.copied.push(wanted.summary.id);
        let (place, required) = (pass.mover.place, wanted.summary.header.floor_until);
        if pass.looks_at(required) && (!pass.request.dry_run || place.holds(&header(wanted))) {
            let lock = async move {
                let locked = place.lock(&header(wanted), required, lasts(place, wanted.summary)).await;
                Event::Locked(at, locked.map(|locked| locked.map(|_| ())))
            };
            steps.push(lock.boxed());
        }
        Ok(())
    }
}

/// The header of a snapshot.
fn header(wanted: &Wanted<'_>) -> Object {
    let hash = Hash::from_bytes(*wanted.summary.id.as_bytes());
    Object { at: Where::Other(wanted.summary.key()), hash, bytes: None, limit: HEADER_LIMIT, hint: None }
}

/// Sees to it that the record is in force without which no header may be put.
async fn begin(pass: &Pass<'_>) -> Result<()> {
    drop(pass.ready.acquire().await);
    pass.lease.hold().await
}

/// Puts a header that was read.
async fn put(pass: &Pass<'_>, wanted: &Wanted<'_>, payload: Option<Payload>) -> Outcome {
    if pass.mover.mends() {
        drop(pass.ready.acquire().await);
    } else {
        begin(pass).await?;
    }
    match payload {
        Some(payload) => pass.mover.put(&header(wanted), &payload, lasts(pass.mover.place, wanted.summary)).await,
        None => Ok(Ok(())),
    }
}

/// Brings an object, and reads back its lock, which is extended if it is short.
async fn move_one(pass: &Pass<'_>, object: &Object, due: Due) -> Outcome {
    let place = pass.mover.place;
    if !pass.mover.knows(object, due.trusted)
        && let Err(trouble) = pass.mover.bring(object, due.trusted, due.ask).await?
    {
        return Ok(Err(trouble));
    }
    pass.mover.go_on()?;
    if pass.looks_at(due.required) && (!pass.request.dry_run || place.holds(object)) {
        return Ok(place.lock(object, due.required, due.ask).await?.map(|_| ()));
    }
    Ok(Ok(()))
}

/// What a window needs, and how long each is to be locked.
fn due(pass: &Pass<'_>, table: &Table, window: &[Wanted<'_>]) -> HashMap<u32, Due> {
    let place = pass.mover.place;
    let mut due: HashMap<u32, Due> = HashMap::new();
    // Of what a page does not tell any more, a repair mends the rest.
    for wanted in window.iter().filter(|wanted| wanted.unknown.is_none() || pass.mover.mends()) {
        let (required, ask) = (wanted.summary.header.floor_until, lasts(place, wanted.summary));
        let mut add = |at: u32, trusted: bool| {
            let one = due.entry(at).or_insert(Due { required, ask, trusted });
            one.required = one.required.max(required);
            one.ask = one.ask.max(ask);
            one.trusted |= trusted;
        };
        for (page, packs) in &wanted.pages {
            let whole = table
                .get(*page)
                .is_some_and(|page| page.bytes.is_some_and(|bytes| place.lists(page.key().as_str(), &[bytes])));
            packs.iter().for_each(|pack| add(*pack, whole));
            add(*page, false);
        }
        wanted.indexes.iter().for_each(|index| add(*index, false));
    }
    due
}
