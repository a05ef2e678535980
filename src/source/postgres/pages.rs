//! Pages whose checksum is wrong. `pg_dump` says of such a page that it is invalid, and keeps to itself what the server warned
//! of; the server counts them. It also counts what other sessions read, some of which may pass such pages over: these stay in
//! its memory as if they were sound, and a dump reads them so.

use std::time::Duration;

use serde::Deserialize;

use super::{
    super::Result,
    Place,
    session::{Session, lenient},
};
use crate::model::{Finding, Severity};

/// The code of what is found.
const CODE: &str = "database.pages";
/// Servers before version 12 don't count them. The clocks of both are not compared: it is all by the server's. `others` are roles
/// and databases for which damaged pages are passed over.
const COUNTED: &str = "select json_build_object('failures', coalesce((to_json(d)->>'checksum_failures')::bigint, 0), \
    'ago', extract(epoch from clock_timestamp() - (to_json(d)->>'checksum_last_failure')::timestamptz)::float8, \
    'others', (select count(*) from pg_db_role_setting s cross join lateral unnest(s.setconfig) c(line) \
    where s.setdatabase in (0, d.datid) and case when split_part(c.line, '=', 1) in (NAMES) \
    then split_part(c.line, '=', 2)::boolean else false end)) \
    from pg_stat_database d where d.datname = current_database()";
/// Counts of older servers come a moment later, and the last page may have been read just before the dump began.
const AROUND: f64 = 10.0;

/// What a server counted.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Counted {
    failures: u64,
    ago: Option<f64>,
    others: u64,
}

/// Asks for it.
pub(super) fn counted(session: &mut Session) -> Result<Counted> {
    session.one("ask for damaged pages", &COUNTED.replace("NAMES", lenient::NAMES))
}

/// What there is to say of a dump that failed after it had run for so long, if the server found such pages meanwhile.
pub(super) fn found(place: &Place, database: &str, ran: Duration) -> Option<String> {
    let mut session = Session::open(&place.psql, &place.info, Some(database)).ok()?;
    let counted = counted(&mut session).ok()?;
    counted.ago.filter(|ago| counted.failures > 0 && *ago <= ran.as_secs_f64() + AROUND)?;
    Some(format!(
        "the server found pages of this database with a wrong checksum meanwhile ({} since its statistics began): its disk or its \
         memory changed them. pg_checksums --check names the files; an earlier snapshot has what they held",
        counted.failures
    ))
}

/// What there is to say of a dump that ended well. With `lenient`, its own sessions would have passed such pages over, had they
/// not been told otherwise.
pub(super) fn judge(before: Counted, now: Counted, lenient: bool, database: &str) -> Option<Finding> {
    if now.failures == 0 {
        return None;
    }
    let (grew, others) = (now.failures > before.failures, lenient || now.others > 0);
    let meanwhile = if grew {
        format!(", {} of them while the dump was made", now.failures - before.failures.min(now.failures))
    } else {
        String::new()
    };
    let may = if others {
        "Sessions here pass such pages over (zero_damaged_pages, ignore_checksum_failure), and what they read looks sound to a \
         dump: rows may be missing from it"
    } else {
        "The dump met none of them; but one that a session with zero_damaged_pages read stays in the server's memory as if it were \
         sound: restart the server, back up again, and reset its statistics once no page is damaged"
    };
    let last = now.ago.map(|ago| format!(", the last {ago:.0} s ago")).unwrap_or_default();
    let what = format!(
        "database {database}: the server counted {} pages with a wrong checksum since its statistics began{meanwhile}{last}. {may}",
        now.failures
    );
    let severity = if grew || others { Severity::Error } else { Severity::Warning };
    Some(Finding::new(severity, CODE, what).on(database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_may_have_been_passed_over_make_a_dump_that_is_not_whole() {
        let counted = |failures, others| Counted { failures, ago: Some(1.0), others };
        let judged = |before, now, lenient| judge(before, now, lenient, "a").map(|finding| finding.severity);
        assert_eq!(judged(counted(0, 0), counted(0, 1), true), None);
        assert_eq!(judged(counted(2, 0), counted(2, 0), false), Some(Severity::Warning));
        assert_eq!(judged(counted(2, 0), counted(3, 0), false), Some(Severity::Error));
        assert_eq!(judged(counted(2, 0), counted(2, 1), false), Some(Severity::Error));
        assert_eq!(judged(counted(2, 0), counted(2, 0), true), Some(Severity::Error));
    }
}
