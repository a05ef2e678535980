//! What a keeper looks at now and then: how far the server is ahead, how its slot is, whether the receiver still hears
//! anything, and whether there is room.

use std::time::{Duration, Instant};

use super::{
    super::Result,
    ear::{Deaf, Seen},
    keeper::{Keeper, SOUND},
};
use crate::{
    model::{
        Severity,
        journal::{Line, Position},
        size,
    },
    source::{
        journal::OnMaxLag,
        postgres::journal::{Identity, SlotState},
    },
};

/// How often the server is asked how it is.
const CHECK: Duration = Duration::from_secs(20);
/// So many segments fit in a spool at least: one that grows, the one before, and two to come.
const LEAST: u64 = 4;

impl Keeper {
    /// How many bytes of segments of `size` the spool may hold.
    pub(super) fn room(&self, size: u64) -> u64 {
        self.options.spool.max(LEAST * size)
    }

    /// Whether the spool has no room for another segment. Each file is as long as it will ever be.
    pub(super) fn look_at_room(&mut self) -> Result<bool> {
        let Some(size) = self.board.notes().server.as_ref().map(|server| server.segment) else { return Ok(false) };
        let most = self.room(size);
        if most > self.options.spool {
            let message = format!(
                "`spool` ({}) is too little for this server, whose segments have {}: {} are used",
                size::human(self.options.spool),
                size::human(size),
                size::human(most)
            );
            self.tell_now_and_then("spool-raised", Severity::Warning, "", message);
        }
        let held = self.spool.segments(size)?.len() as u64 * size;
        let was = self.state.full;
        self.state.full = held >= most || was && held > most / 2;
        if self.state.full != was {
            let held = size::human(held);
            let (event, severity, message) = if was {
                ("resumed", Severity::Info, format!("{held} are left in the spool: receiving again"))
            } else {
                let what = "which is all that `spool` allows: the slot holds the rest on the server";
                ("paused", Severity::Warning, format!("{held} of the log wait in the spool, {what}"))
            };
            // A store that is slower than the server makes it go to and fro.
            self.tell_now_and_then(event, severity, "", message);
            self.state.checked = None;
        }
        Ok(self.state.full)
    }

    /// Looks what the server holds for this journal, if it is time for it.
    pub(super) fn check_now_and_then(&mut self) {
        if self.state.checked.is_some_and(|at| at.elapsed() < CHECK) {
            return;
        }
        let asked = Instant::now();
        let identity = self.server.identify();
        self.hear(identity.as_ref().ok(), asked.elapsed());
        if let Ok(identity) = identity
            && Some(identity.system) == self.system
        {
            self.check(&identity);
        }
        self.state.checked = Some(Instant::now());
    }

    /// Ends a receiver that hears nothing: one that waits on a connection that is gone, which nobody told it.
    fn hear(&mut self, identity: Option<&Identity>, took: Duration) {
        if self.state.receiver.is_none() {
            self.state.ear.forget();
            return;
        }
        let (touched, flushed) = (self.spool.touched(), identity.map(|identity| identity.flushed));
        let message = match self.state.ear.hear(&Seen { touched, flushed, took }, Instant::now()) {
            None => return,
            Some(Deaf::Mute) => {
                "neither the receiver nor a new connection hears anything of the server: the receiver is ended"
            }
            Some(Deaf::Unheard) => {
                "the receiver hears nothing of what the server writes: its connection is gone, and it is started again"
            }
        };
        self.tell("receiver-deaf", Severity::Warning, message.to_owned());
        self.stop();
    }

    fn check(&mut self, identity: &Identity) {
        {
            let mut notes = self.board.notes();
            (notes.server, notes.heard) = (Some(identity.clone()), Some(Instant::now()));
        }
        self.state.received |= self.state.receiver.as_ref().is_some_and(|receiver| receiver.age() > SOUND);
        let (shipped, waiting, away) = {
            let notes = self.board.notes();
            (notes.shipped, notes.unshipped, notes.away)
        };
        if self.state.released {
            // What was lost is lost; it begins anew once the vault has all that is here.
            self.state.released = waiting > 0 || away;
            return;
        }
        if !self.state.blind {
            match self.server.slot_state(&self.options.slot) {
                Some(state) => self.judge(&state),
                // A role for replication alone need not be let into a database, and is not to knock every minute.
                None => self.state.blind = true,
            }
        }
        let lag = shipped.map_or(0, |shipped| identity.flushed.saturating_sub(shipped.to));
        if lag >= self.options.max_lag {
            let newest = shipped.map_or_else(String::new, |shipped| {
                Line::postgres(identity.system, shipped.timeline).say(Position(shipped.to))
            });
            let message = format!(
                "{} of the log are not in the vault yet, more than `max_lag` ({}): the newest there is {newest}, the server \
                 is at {}",
                size::human(lag),
                size::human(self.options.max_lag),
                Line::postgres(identity.system, identity.timeline).say(Position(identity.flushed))
            );
            self.too_much(&message);
        }
    }

    fn too_much(&mut self, message: &str) {
        if self.state.lost {
            let more =
                "the server gave up what the slot held, so there will be a gap: take a new base when the vault is back";
            return self.tell_now_and_then("lag", Severity::Error, "lost", format!("{message}; {more}"));
        }
        if self.options.on_max_lag == OnMaxLag::Wait {
            let more = "the slot retains it, and the server's disk may fill up: restore access to the vault, or set on_max_lag \
                        = \"gap\"";
            return self.tell_now_and_then("lag", Severity::Error, "", format!("{message}; {more}"));
        }
        self.stop();
        match self.server.drop_slot(&self.options.slot) {
            Ok(()) => {
                self.state.released = true;
                let message = format!("{message}; the slot was let go of, as on_max_lag says");
                self.tell("released", Severity::Error, message);
            }
            // The server may not have noticed yet that its receiver is gone. It is tried again.
            Err(error) => {
                let message = format!("{message}; the slot is to be let go of, and could not be yet: {error}");
                self.tell_now_and_then("lag", Severity::Error, "held", message);
            }
        }
    }

    fn judge(&mut self, state: &SlotState) {
        let slot = &self.options.slot;
        self.state.lost = state.wal_status.as_deref() == Some("lost");
        match state.wal_status.as_deref() {
            Some("unreserved") => {
                let left = state.safe_wal_size.map_or(0, |left| u64::try_from(left).unwrap_or(0));
                let message = format!(
                    "the slot {slot} is about to be lost: the server keeps no more than max_slot_wal_keep_size, and {} \
                     are left",
                    size::human(left)
                );
                self.tell_now_and_then("slot-unreserved", Severity::Error, "", message);
            }
            Some("lost") => {
                let message = format!("the server invalidated the slot {slot}");
                self.tell_now_and_then("slot-lost", Severity::Error, "", message);
                // It ends by itself as soon as it notices; then all begins anew.
                self.stop();
            }
            _ => {}
        }
    }
}
