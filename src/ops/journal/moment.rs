//! Up to when the log is known to be whole: a time that the server told before it told where its log ends. Whatever reaches that
//! end holds all that was committed before that time. When something is put tells nothing of the kind: what waited is put late.

use std::time::Duration;

use super::{board::Board, covered::Moment, keeper::Keeper, log::Log, replica::Replica, ship::Shipper};
use crate::model::Time;

/// So long the shipper waits for a server to answer, while what it has could be put.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the server for a moment from now on; says whether it told one.
fn ask(board: &Board) -> bool {
    {
        let mut notes = board.notes();
        if !notes.receiving || !notes.moments.may_ask() {
            return false;
        }
        notes.moments.want();
    }
    board.wake();
    board.wait_for(PATIENCE, |notes| !notes.moments.is_wanted()) && board.notes().moments.may_ask()
}

impl<L: Log> Shipper<L> {
    /// Asks the server for a moment from now on; says whether it told one, and more may have come since.
    pub(super) fn ask_for_moment(&self) -> bool {
        ask(&self.board)
    }

    /// Before when all that was committed is in a piece that ends at `to`, and those before it.
    pub(super) fn covers(&self, timeline: u32, to: u64) -> Option<Time> {
        self.board.notes().moments.covered(timeline, to)
    }
}

impl Keeper {
    /// Asks the server, if that is wanted.
    pub(super) fn tell_moment(&self) {
        if !self.board.notes().moments.is_wanted() {
            return;
        }
        let own = |system| Some(system) == self.system;
        let told = self.server.moment().filter(|told| own(told.system));
        let moment = told.map(|told| Moment { at: told.at, timeline: told.timeline, to: told.end });
        self.board.notes().moments.told(moment);
        self.board.wake();
    }
}

impl Replica {
    /// Asks the server, if that is wanted.
    pub(super) fn tell_moment(&self) {
        if !self.board.notes().moments.is_wanted() {
            return;
        }
        let told = self.server.moment().ok().flatten().filter(|(_, log)| Some(&log.line) == self.line.as_ref());
        let moment = told.map(|(at, log)| Moment { at, timeline: 0, to: log.newest });
        self.board.notes().moments.told(moment);
        self.board.wake();
    }
}
