//! Locks of others: a backup waits for them for a while, lets go of its own meanwhile, and says whose they are.
//!
//! Who holds locks here and waits for one there can bring everything to a stop: a change of a table waits for our session,
//! `pg_dump` waits behind that change, and our session waits for `pg_dump`. The server sees no circle, since the last
//! of these is no lock. So nothing of ours waits for long while it holds anything.

use std::{
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use rustix::io::ioctl_fionread;
use serde::Deserialize;

use super::{
    super::{Result, SourceError, child::Running},
    Place,
    session::Session,
};

/// How long one lock is waited for, before all is let go and begun again.
pub(super) const ONCE: Duration = Duration::from_secs(2);
/// How long later sessions wait for one: then the backup fails, rather than hold others up.
pub(super) const LATER: Duration = Duration::from_secs(30);
/// How long others get between two attempts, at first and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often it is looked whether `pg_dump` is held up.
const LOOK: Duration = Duration::from_millis(100);
/// How often a table may vanish between the list and the lock.
const VANISHED: u32 = 20;

/// `lock_not_available`, and what a table that was dropped in between gives.
const NOT_AVAILABLE: &str = "55P03";
const GONE: [&str; 3] = ["42P01", "3F000", "XX000"];

/// What holds a lock, or waits for one before us.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Blocker {
    pid: i64,
    user: String,
    program: String,
    does: String,
    on: String,
    /// It waits for us in turn.
    #[serde(default)]
    circle: bool,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, user, program, does, on, .. } = self;
        let on = if on.is_empty() { "a table" } else { on };
        if *pid == 0 {
            return write!(f, "a lock on {on} that a prepared transaction holds (see pg_prepared_xacts)");
        }
        write!(
            f,
            "a lock on {on} that process {pid} (user {user}, {program}{}{does}) has or waits for",
            if does.is_empty() { "" } else { ": " }
        )
    }
}

/// What a blocker is called; `b` is its line in `pg_stat_activity`. Of its statement only the first two words, since the
/// others may hold anything.
const WHO: &str = r"'user', coalesce(b.usename::text, '?'), 'program', coalesce(nullif(b.application_name, ''), 'unnamed'),
  'does', coalesce(upper(substring(b.query from '^\s*([A-Za-z]+(\s+[A-Za-z]+)?)')), '')";

/// Who holds up the processes that show the mark.
fn holding_up(mark: &str) -> String {
    format!(
        "select json_build_object('pid', x.pid, {WHO}, 'on', coalesce((select l.relation::regclass::text from pg_locks l \
         where l.pid = a.pid and not l.granted limit 1), ''), 'circle', exists(select from unnest(pg_blocking_pids(x.pid)) p(pid) \
         where p.pid = pg_backend_pid() or p.pid in (select m.pid from pg_stat_activity m where m.application_name = '{mark}'))) \
         from pg_stat_activity a cross join lateral unnest(pg_blocking_pids(a.pid)) x(pid) \
         left join pg_stat_activity b on b.pid = x.pid where a.application_name = '{mark}' limit 1"
    )
}

/// Who has, or waits for, a lock that keeps readers out of this database.
fn keeping_out() -> String {
    format!(
        "select json_build_object('pid', coalesce(l.pid, 0), {WHO}, 'on', l.relation::regclass::text) from pg_locks l \
         join pg_class c on c.oid = l.relation left join pg_stat_activity b on b.pid = l.pid \
         where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and c.relpersistence <> 't' and c.oid >= 16384 \
         and l.database = (select oid from pg_database where datname = current_database()) \
         and l.pid is distinct from pg_backend_pid() order by l.granted desc limit 1"
    )
}

/// Whether a statement of this session failed for want of a lock.
pub(super) fn in_vain(session: &Session) -> bool {
    session.state() == Some(NOT_AVAILABLE)
}

/// Lets the session wait for a lock no longer than this.
pub(super) fn limit(session: &mut Session, to: Duration) -> Result<()> {
    let sql = format!("select json_build_object('set', set_config('lock_timeout', '{}', false))", to.as_millis());
    session.run("limit how long locks are waited for", &sql)
}

/// What `pg_dump` shows of itself, so that it can be told from others.
pub(super) fn mark(session: &mut Session) -> Result<String> {
    #[derive(Deserialize)]
    struct Own {
        pid: i64,
    }
    let Own { pid } = session.one("ask which process it is", "select json_build_object('pid', pg_backend_pid())")?;
    Ok(format!("strongroom-{}-{pid}", std::process::id()))
}

/// Waits for the first byte of a `pg_dump`, by when it has all its locks. `Some` if somebody holds it up: then it was
/// ended at the server, where it would wait on without us.
pub(super) fn first_byte(
    session: &mut Session,
    mark: &str,
    running: &Running,
    output: impl AsFd,
) -> Result<Option<Blocker>> {
    let mut since: Option<Instant> = None;
    let mut looked = Instant::now();
    loop {
        if ioctl_fionread(&output).is_ok_and(|held| held > 0) || running.has_ended() {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let fresh = "select json_build_object('fresh', pg_stat_clear_snapshot()::text)";
        session.run("look afresh", fresh)?;
        let Some(blocker) = session.ask::<Blocker>("look for locks", &holding_up(mark))?.pop() else {
            since = None;
            continue;
        };
        if blocker.circle || since.get_or_insert_with(Instant::now).elapsed() > ONCE {
            let end = format!(
                "select json_build_object('ended', pg_terminate_backend(pid)) from pg_stat_activity where application_name = '{mark}'"
            );
            session.run("end the dump that is held up", &end)?;
            return Ok(Some(blocker));
        }
    }
}

/// Whether somebody wants a table of this database for itself, which a `pg_dump` of all of them keeps from it.
pub(super) fn waited_for(session: &mut Session) -> Result<bool> {
    #[derive(Deserialize)]
    struct Waited {
        waits: bool,
    }
    let sql = "select json_build_object('waits', exists(select from pg_locks where not granted and locktype = 'relation' \
               and mode = 'AccessExclusiveLock' and database = (select oid from pg_database where datname = current_database())))";
    session.one::<Waited>("look who waits", sql).map(|waited| waited.waits)
}

/// How long is waited in all, and for whom.
pub(super) struct Patience {
    began: Instant,
    most: Duration,
    pause: Duration,
    vanished: u32,
    last: Option<String>,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self { began: Instant::now(), most, pause: PAUSE, vanished: 0, last: None }
    }

    /// After an attempt that failed in `session`: waits, if another may succeed.
    pub(super) fn after(
        &mut self,
        failed: SourceError,
        state: Option<&str>,
        place: &Place,
        database: &str,
    ) -> Result<()> {
        match state {
            Some(NOT_AVAILABLE) => self.wait(None, place, database),
            // A table was dropped between the list and the lock: in what begins now it is not.
            Some(state) if GONE.contains(&state) && self.vanished < VANISHED => {
                self.vanished += 1;
                Ok(())
            }
            Some(state) if GONE.contains(&state) => Err(SourceError {
                what: format!(
                    "{}; in {VANISHED} attempts a table was dropped between the list and its lock: back up at another hour",
                    failed.what
                ),
                ..failed
            }),
            _ => Err(failed),
        }
    }

    /// Waits until those who were held up are through; an error once that has been too long.
    pub(super) fn wait(&mut self, blocker: Option<Blocker>, place: &Place, database: &str) -> Result<()> {
        let blocker = blocker.map_or_else(|| ask(place, database), |blocker| Some(blocker.to_string()));
        let told = blocker.unwrap_or_else(|| "a lock that somebody has".to_owned());
        if self.began.elapsed() + self.pause > self.most {
            let what = format!(
                "waited {} s for {told}; end that transaction, raise lock_timeout, or back up at another time",
                self.began.elapsed().as_secs()
            );
            return Err(SourceError::new(what, database));
        }
        tracing::warn!(%database, "waiting for {told}");
        self.last = Some(told);
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// What to say of it once it is over.
    pub(super) fn told(self, database: &str) -> Option<String> {
        let seconds = self.began.elapsed().as_secs_f64();
        self.last.map(|last| format!("{database}: the backup began {seconds:.0} s late, since it waited for {last}"))
    }
}

/// Who keeps readers out, asked by a session that holds nothing.
fn ask(place: &Place, database: &str) -> Option<String> {
    let mut session = Session::open(&place.psql, &place.info, Some(database)).ok()?;
    session.ask::<Blocker>("look for locks", &keeping_out()).ok()?.pop().map(|blocker| blocker.to_string())
}
