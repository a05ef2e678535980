//! The server's side. It reads one line from a peer that the kernel names, has what the configuration allows backed up or
//! looked at, and says how it went; it does nothing else. Whoever says too much, too little or nothing is left behind.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    peers::{Allowed, Peer},
    runner::{Runner, Unmade},
};
use crate::{
    cli::wiring::SystemClock,
    model::{Cancel, Clock as _, Name, Span, Time, visible},
    ops::request::{Answer, Ask, Heard, LINE, Made, PAUSE, Question, Requested, State, unknown},
};

/// So many requests are heard at once, and so many of one user: those that wait for their turn, too.
const AT_ONCE: usize = 128;
const OF_ONE: usize = 64;
/// How long a request may take to come in, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// What is told of each request, for the log.
pub type Say = dyn Fn(&str) + Send + Sync;

/// What may be asked by whom.
pub struct Rules {
    /// Who may ask.
    pub allowed: Allowed,
    /// For what, and how young a snapshot must be to be answered instead.
    pub sources: BTreeMap<Name, Span>,
}

struct Shared {
    rules: Rules,
    runner: Box<dyn Runner>,
    say: Box<Say>,
    /// One backup at a time.
    turn: Mutex<BTreeMap<Name, Known>>,
    /// One look at a time.
    look: Mutex<()>,
    busy: AtomicUsize,
    of: Mutex<BTreeMap<u32, usize>>,
    done: AtomicUsize,
}

/// What is known of a source.
#[derive(Clone, Default)]
struct Known {
    made: Option<Made>,
    failed: Option<(Time, String)>,
}

/// Serves until somebody asks to stop, and gives how many requests were heard.
///
/// # Errors
/// If the socket can't be used.
pub fn serve(
    listener: &UnixListener,
    rules: Rules,
    runner: Box<dyn Runner>,
    say: Box<Say>,
    cancel: &Cancel,
) -> io::Result<usize> {
    listener.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        rules,
        runner,
        say,
        turn: Mutex::default(),
        look: Mutex::default(),
        busy: AtomicUsize::new(0),
        of: Mutex::default(),
        done: AtomicUsize::new(0),
    });
    while !cancel.is_cancelled() {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        let Ok(peer) = Peer::of(&stream) else { continue };
        let (shared, cancel) = (Arc::clone(&shared), cancel.clone());
        if let Some(place) = Place::take(&shared, peer.uid) {
            thread::spawn(move || {
                shared.hear(stream, &peer, &cancel);
                drop(place);
            });
        } else {
            // Told without waiting for anything.
            let _ = stream.set_write_timeout(Some(POLL));
            let _ = answer(&stream, &Answer::no(None, State::Busy, "too many ask at once; try again"));
        }
    }
    // What was begun comes to its end: the runs were asked to stop.
    while shared.busy.load(Ordering::SeqCst) > 0 {
        thread::sleep(POLL);
    }
    Ok(shared.done.load(Ordering::SeqCst))
}

/// A place among those that are heard.
struct Place {
    shared: Arc<Shared>,
    uid: u32,
}

impl Place {
    fn take(shared: &Arc<Shared>, uid: u32) -> Option<Self> {
        let mut of = shared.of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(uid).or_default();
        if *count >= OF_ONE || shared.busy.load(Ordering::SeqCst) >= AT_ONCE {
            return None;
        }
        *count += 1;
        shared.busy.fetch_add(1, Ordering::SeqCst);
        Some(Self { shared: Arc::clone(shared), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.shared.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.uid);
            }
        }
        self.shared.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(mut stream: &UnixStream, answer: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).and_then(|()| stream.flush())
}

/// One line, within its limits.
fn line(mut stream: &UnixStream) -> Result<Vec<u8>, &'static str> {
    let until = Instant::now() + PATIENCE;
    let late = "the request did not come in whole in time";
    let mut line = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(late);
        }
        let n = match stream.read(&mut part) {
            Ok(0) => return Err("the request ended before its line did"),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(late),
        };
        let read = part.get(..n).unwrap_or_default();
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(read.get(..end).unwrap_or_default());
            return if line.len() > LINE { Err("the request is longer than it may be") } else { Ok(line) };
        }
        line.extend_from_slice(read);
        if line.len() > LINE {
            return Err("the request is longer than it may be");
        }
    }
}

impl Shared {
    fn hear(&self, stream: UnixStream, peer: &Peer, cancel: &Cancel) {
        let usable = stream.set_nonblocking(false).is_ok() && stream.set_write_timeout(Some(PATIENCE)).is_ok();
        if !usable {
            return;
        }
        let who = peer.told();
        let refuse = |why: &str| {
            (self.say)(&format!("refused {who}: {why}"));
            let _ = answer(&stream, &Answer::no(None, State::Refused, why));
        };
        if !self.rules.allowed.may(peer) {
            return refuse(&format!("uid {} may not request backups here", peer.uid));
        }
        let heard = match line(&stream).and_then(|line| Heard::read(&line)) {
            Ok(heard) => heard,
            Err(why) => return refuse(why),
        };
        let known: Vec<&Name> = self.rules.sources.keys().collect();
        let sources = match &heard {
            Heard::Backup(ask) => &ask.sources,
            Heard::Ready(question) => &question.ready,
        };
        if let Some(source) = sources.iter().find(|source| !self.rules.sources.contains_key(source)) {
            let why = unknown(source, &known);
            (self.say)(&format!("refused {who}: {why}"));
            let _ = answer(&stream, &Answer::no(Some(source.clone()), State::Refused, why));
            return;
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        match heard {
            Heard::Backup(ask) => self.back_up(stream, who, &ask, cancel),
            Heard::Ready(question) => self.look(&stream, &who, &question),
        }
    }

    /// Answers a question.
    fn look(&self, stream: &UnixStream, who: &str, question: &Question) {
        let told = {
            let _turn = self.look.lock().unwrap_or_else(PoisonError::into_inner);
            self.runner.ready(question)
        };
        let names = question.ready.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let sent = match told {
            Ok(told) => {
                (self.say)(&format!("{who} asks whether {names} is ready: exit code {}", told.exit));
                answer(stream, &told)
            }
            Err(unmade) => {
                (self.say)(&format!("{who} asks whether {names} is ready: nobody could look ({unmade:?})"));
                answer(stream, &Answer::no(None, State::Busy, "the check could not be made; see the server's log"))
            }
        };
        // Whoever does not wait for the answer has none.
        drop(sent);
    }

    /// Has what is asked for backed up.
    fn back_up(&self, stream: UnixStream, who: String, ask: &Ask, cancel: &Cancel) {
        let reason = ask.reason.as_deref().map(visible).unwrap_or_default();
        (self.say)(&format!(
            "{who} asks for {}: {reason}",
            ask.sources.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
        ));
        let mut stream = Some(stream);
        if !ask.wait {
            for source in &ask.sources {
                let accepted = Answer {
                    source: Some(source.clone()),
                    state: State::Accepted,
                    snapshot: None,
                    created_at: None,
                    why: None,
                };
                // Whoever does not wait for the answer is heeded all the same.
                if let Some(stream) = &stream {
                    drop(answer(stream, &accepted));
                }
            }
            stream = None;
        }
        let requested = Requested { reason: ask.reason.clone(), by: Some(who) };
        for source in &ask.sources {
            let done = self.turn_of(source, &requested, cancel);
            let why = done.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let id = done.snapshot.map(|id| format!(" {id}")).unwrap_or_default();
            (self.say)(&format!("{source}: {}{id}{why}", done.state.in_words()));
            if let Some(stream) = &stream {
                drop(answer(stream, &done));
            }
        }
    }

    /// Has one source backed up, when it is its turn, unless that is recent enough by then.
    fn turn_of(&self, source: &Name, requested: &Requested, cancel: &Cancel) -> Answer {
        let least = self.rules.sources.get(source).copied().unwrap_or(Span::ZERO);
        let mut known = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if cancel.is_cancelled() {
            return Answer::no(Some(source.clone()), State::Busy, "the server stops");
        }
        let known = known.entry(source.clone()).or_default();
        let now = SystemClock.now();
        if let Some(made) = known.made.filter(|made| made.is_young(now, least)) {
            return Answer::of(source.clone(), State::Fresh, made, None);
        }
        if let Some((at, why)) = known.failed.as_ref().filter(|(at, _)| now.since(*at) < PAUSE) {
            let why = format!("it failed at {at} ({why}), and is left alone for a minute");
            return Answer::no(Some(source.clone()), State::Failed, why);
        }
        // Its timer may have made one meanwhile.
        match self.runner.newest(source) {
            Ok(newest) => {
                known.made = newest.or(known.made);
                if let Some(made) = newest.filter(|made| made.is_young(now, least)) {
                    return Answer::of(source.clone(), State::Fresh, made, None);
                }
            }
            Err(Unmade::Busy) => return busy(source),
            Err(Unmade::Failed(why)) => (self.say)(&format!("{source}: its snapshots can't be listed ({why})")),
        }
        match self.runner.back_up(source, requested) {
            Ok((made, wrong)) => {
                *known = Known { made: Some(made), failed: None };
                Answer::of(source.clone(), State::Done, made, wrong)
            }
            Err(Unmade::Busy) => busy(source),
            Err(Unmade::Failed(why)) => {
                known.failed = Some((SystemClock.now(), why.clone()));
                let why = format!("no snapshot was made ({why}); the server's log says more");
                Answer::no(Some(source.clone()), State::Failed, why)
            }
        }
    }
}

fn busy(source: &Name) -> Answer {
    let why = "another run of this writer is under way, or the store is away; try again";
    Answer::no(Some(source.clone()), State::Busy, why)
}
