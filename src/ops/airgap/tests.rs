use super::*;
use crate::{
    model::Time,
    ops::airgap::{Entry, State},
};

/// A way that behaves as it is told to.
struct Fake {
    name: &'static str,
    open: bool,
    /// Whether cutting it has an effect.
    works: bool,
    /// Whether its command says that it failed.
    fails: bool,
    /// What the probe says whatever is so.
    probe: Option<Result<Through, String>>,
}

impl Fake {
    fn new(name: &'static str) -> Self {
        Self { name, open: true, works: true, fails: false, probe: None }
    }
}

impl Gate for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn disconnect(&mut self) -> Result<(), String> {
        self.open &= !self.works;
        if self.fails { Err("exit code 1".to_owned()) } else { Ok(()) }
    }

    fn connect(&mut self) -> Result<(), String> {
        self.open = true;
        Ok(())
    }

    fn probe(&mut self) -> Result<Through, String> {
        if let Some(said) = &self.probe {
            return said.clone();
        }
        Ok(if self.open { Through::Open } else { Through::Cut("refused".to_owned()) })
    }

    fn probed_by(&self) -> String {
        "probe".to_owned()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(10)
    }
}

#[derive(Default)]
struct Paper {
    entries: Vec<Entry>,
    full: bool,
}

impl Journal for Paper {
    fn note(&mut self, event: Event) -> Result<(), String> {
        if self.full {
            return Err("no space".to_owned());
        }
        self.entries.push(Entry { at: Time::from_unix(7), event });
        Ok(())
    }

    fn read(&mut self) -> Result<State, String> {
        Ok(State::of(self.entries.iter().cloned()))
    }
}

fn now() -> Trip {
    Trip { id: "t1".to_owned(), at: Time::from_unix(7), by: "typed".to_owned(), reason: "test".to_owned() }
}

#[test]
fn all_steps_run_whatever_fails_and_only_a_proof_counts() {
    let lies = Fake { works: false, ..Fake::new("lies") };
    let fails = Fake { fails: true, ..Fake::new("fails") };
    let broken = Fake { probe: Some(Err("no such program".to_owned())), ..Fake::new("broken") };
    let always = Fake { probe: Some(Ok(Through::Cut("always".to_owned()))), ..Fake::new("always") };
    let mut gates: Vec<Box<dyn Gate>> =
        vec![Box::new(lies), Box::new(fails), Box::new(broken), Box::new(always), Box::new(Fake::new("good"))];
    let mut paper = Paper::default();
    let report = trip(now(), &mut gates, &mut paper);
    let of = |name: &str| report.steps.iter().find(|step| step.step == name).unwrap();
    assert_eq!(report.open, ["lies", "broken", "always"]);
    assert!(of("lies").disconnected && of("lies").told.contains("STILL OPEN"));
    assert!(!of("fails").disconnected && of("fails").proved && of("fails").told.contains("exit code 1"));
    assert!(of("broken").told.contains("NOT PROVED") && of("always").told.contains("never seen to succeed"));
    assert!(of("good").proved);
    let first = &paper.entries[0].event;
    assert!(matches!(first, Event::Trip { .. }), "noted before anything was done");
    assert!(matches!(paper.entries.last().unwrap().event, Event::Tripped { .. }));

    // Once more: nothing is undone, and what was seen to be open needs no second look.
    let again = trip(Trip { id: "t2".to_owned(), ..now() }, &mut gates, &mut paper);
    assert!(again.again && again.open == report.open, "{again:?}");
    let state = paper.read().unwrap();
    assert_eq!(state.tripped.as_ref().map(|(id, _)| id.as_str()), Some("t2"));
    assert_eq!(state.ended.as_deref(), Some(&again.open[..]));
}

#[test]
fn a_disk_that_is_full_hinders_nobody_from_cutting() {
    let mut gates: Vec<Box<dyn Gate>> = vec![Box::new(Fake::new("good"))];
    let report = trip(now(), &mut gates, &mut Paper { full: true, ..Paper::default() });
    assert!(report.open.is_empty() && report.unnoted.iter().all(|why| why == "no space"), "{report:?}");
    assert!(!report.unnoted.is_empty());
}

#[test]
fn a_trip_that_was_killed_is_unfinished_and_a_window_ends() {
    let mut paper = Paper::default();
    let mut gates: Vec<Box<dyn Gate>> = vec![Box::new(Fake::new("good"))];
    paper.note(Event::Trip { id: "t0".to_owned(), by: "typed".to_owned(), reason: String::new() }).unwrap();
    let told = status(&mut gates, &mut paper, (false, Time::from_unix(9))).unwrap();
    assert!(told.unfinished && told.open == ["good"] && told.steps[0].seen_open, "{told:?}");
    trip(now(), &mut gates, &mut paper);
    let told = status(&mut gates, &mut paper, (false, Time::from_unix(9))).unwrap();
    assert!(!told.unfinished && told.open.is_empty() && told.steps[0].state == "cut", "{told:?}");
    let opened = open("two people".to_owned(), &mut gates, &mut paper).unwrap();
    assert!(opened.failed.is_empty() && opened.connected == ["good"]);
    let told = status(&mut gates, &mut paper, (false, Time::from_unix(9))).unwrap();
    assert!(told.tripped_at.is_none() && told.open.is_empty() && told.steps[0].state == "open");
    // Where it should be closed, what is open outside a window is told.
    assert_eq!(status(&mut gates, &mut paper, (true, Time::from_unix(9))).unwrap().open, ["good"]);
    paper.note(Event::Window { id: "w".to_owned(), pid: 1, until: Time::from_unix(100) }).unwrap();
    assert!(status(&mut gates, &mut paper, (true, Time::from_unix(9))).unwrap().open.is_empty());
    assert_eq!(status(&mut gates, &mut paper, (true, Time::from_unix(101))).unwrap().open, ["good"], "overdue");
    let end = close("w", "run", &mut gates, &mut paper);
    assert!(end.open.is_empty() && paper.read().unwrap().window.is_none());
}
