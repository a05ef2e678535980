//! What a server is told so that it stops at the point, and nowhere before it in silence.

use super::{
    super::Result,
    Recovery,
    gather::{Ended, Gathered, Way},
    point::{Point, Target, lsn, time, unreachable},
};
use crate::{
    model::{Name, journal::Position, size},
    source::postgres::Base,
};

/// A server that recovers wants a command that fetches the log. One that has nothing leaves it to what lies in its own
/// directory of log, where it looks next.
const NOTHING: &str = "false";

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The timeline at the point.
    pub(super) timeline: u32,
    /// The record that it stops at.
    pub(super) stop: Option<Position>,
    /// The settings.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Settled {
    /// Decides how the point is called, or why it can't be had.
    ///
    /// A server that does not find its point fails, from version 13 on. So `latest`, and whatever is behind the last record,
    /// becomes the position of that record: recovery can't end before it unnoticed.
    pub(super) fn new(
        (base, target): (&Base, &Target),
        way: &Way<'_>,
        gathered: &Gathered,
        fetch: Option<String>,
    ) -> Result<Self> {
        let found = gathered.ended == Ended::Found;
        // Nothing lies between the last record and the point: a piece says so, or the point is when the last was committed. When a
        // piece was put says nothing: what waited for long is put late.
        let covered = |us: i64| gathered.covers.is_some_and(|at| at.unix().saturating_mul(1_000_000) > us);
        let quiet = |us: i64| covered(us) || gathered.commit.as_ref().is_some_and(|commit| commit.at_us == us);
        let last = match &target.point {
            _ if found => None,
            Point::Latest => Some(gathered.last),
            Point::Lsn(at) if *at <= gathered.end => Some(gathered.last),
            Point::Time(us) if quiet(*us) => Some(gathered.last),
            _ => return Err(Self::beyond(target, gathered)),
        };
        let stop = match last {
            None => gathered.stop.map(|stop| stop.at),
            Some(last) => last.filter(|last| *last >= base.end),
        };
        let (name, value) = match (last, stop) {
            // Nothing was logged behind the base.
            (Some(_), None) => ("recovery_target", "immediate".to_owned()),
            (Some(_), stop) => target.setting(stop),
            (None, _) => target.setting(None),
        };
        let inclusive = if last.is_some() || target.inclusive { "on" } else { "off" };
        let timeline = way.legs.last().map_or(1, |leg| leg.timeline);
        let restore = fetch.unwrap_or_else(|| NOTHING.to_owned());
        let mut settings = vec![("restore_command", restore), (name, value)];
        if !matches!(name, "recovery_target" | "recovery_target_name") {
            settings.push(("recovery_target_inclusive", inclusive.to_owned()));
        }
        settings.extend([
            ("recovery_target_timeline", timeline.to_string()),
            ("recovery_target_action", "promote".to_owned()),
            ("recovery_end_command", String::new()),
            ("archive_cleanup_command", String::new()),
            ("primary_conninfo", String::new()),
            ("primary_slot_name", String::new()),
            ("recovery_min_apply_delay", "0".to_owned()),
            ("archive_mode", "off".to_owned()),
        ]);
        settings.extend(gathered.needs.larger(base));
        Ok(Self { timeline, stop, settings })
    }

    /// Why a point can't be had, and how near one can get.
    fn beyond(target: &Target, gathered: &Gathered) -> super::super::OpsError {
        let point = &target.point;
        let end = gathered.end;
        let near = match gathered.commit {
            Some(commit) => format!("the last transaction before that was committed at {}", time(commit.at_us)),
            None => "no transaction was committed before that since the base".to_owned(),
        };
        match &gathered.ended {
            Ended::Gap { to, why } => {
                let from = lsn(gathered.until);
                let to = to.map_or_else(|| "its end".to_owned(), lsn);
                let why = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                let what = format!(
                    "{point} can't be reached: the log is missing or damaged from {from} to {to}{why}, and the point is not \
                     before it; {near}"
                );
                let next = "--recover-to latest goes up to the gap. A base behind it can be gone on from: give a point that \
                            lies behind that base";
                unreachable(what, next)
            }
            Ended::Nothing | Ended::Found => {
                let what = format!("{point} is not in the log, which the vault has up to {}; {near}", lsn(end));
                unreachable(
                    what,
                    "--recover-to latest goes there; what is younger was not in the vault when it was listed",
                )
            }
        }
    }

    /// What was chosen, and what is lost, for people.
    pub(super) fn told(&self, source: &Name, recovery: &Recovery) -> String {
        let Recovery { point, base_end, log_bytes, pieces, .. } = recovery;
        let at = recovery.base_at.as_ref().map_or_else(String::new, |at| format!(", done {at}"));
        let comes = recovery.last_commit_at.as_ref().map_or_else(
            || "no transaction of the log is restored".to_owned(),
            |at| format!("the last restored transaction was committed {at}"),
        );
        let stop = recovery.stop.as_deref().unwrap_or(base_end);
        let newest = recovery.newest.as_ref().zip(recovery.newest_at).filter(|_| recovery.leaves_some());
        let lost = newest.map_or_else(String::new, |(newest, at)| {
            format!(
                "; the vault has the log up to {newest} (stored {at}), and anything after the point is not restored"
            )
        });
        format!(
            "recovering {source} to {point}: from the base that ends at {base_end}{at}, with {} of log in {pieces} pieces, to \
             {stop} in timeline {}; {comes}{lost}",
            size::human(*log_bytes),
            self.timeline
        )
    }
}
