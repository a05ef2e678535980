//! All tables locked for the moment in which transactions begin that are to be of one instant.

use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    super::{SourceError, child::Alive},
    Client,
    session::Session,
};

/// How long the lock of all tables is waited for, in seconds; while it is waited for, writers wait too.
const LOCK_WAIT: u32 = 5;
/// How long it is held at most.
const LOCK_HELD: Duration = Duration::from_secs(10);

/// All tables locked, for a moment.
pub(super) struct Lock {
    session: Session,
    off: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

impl Lock {
    /// Locks them.
    pub(super) fn take(client: &Client) -> std::result::Result<Self, String> {
        let take = || {
            let mut session = client.connect()?;
            session.run(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}"))?;
            session.run("FLUSH TABLES WITH READ LOCK")?;
            Ok::<_, SourceError>(session)
        };
        let session = take().map_err(|e| e.to_string())?;
        let (off, called_off) = mpsc::channel::<()>();
        let alive = session.alive();
        // Nobody may keep a server's writers waiting for long. The server lets go when the connection ends.
        let thread = thread::spawn(move || {
            let late = called_off.recv_timeout(LOCK_HELD) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                alive.iter().for_each(Alive::stop);
            }
            late
        });
        Ok(Self { session, off, thread })
    }

    /// Lets go of it, and tells whether it was held until now.
    pub(super) fn released_in_time(self) -> bool {
        let Self { mut session, off, thread } = self;
        let released = session.run("UNLOCK TABLES");
        drop(off);
        thread.join().is_ok_and(|late| !late) && released.is_ok()
    }
}
