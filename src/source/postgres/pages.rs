//! Pages whose checksum is wrong. `pg_dump` says of such a page that it is invalid, and keeps to itself what the server warned
//! of; the server counts them.

use std::time::Duration;

use serde::Deserialize;

use super::{Place, session::Session};

/// Servers before version 12 don't count them. The clocks of both are not compared: it is all by the server's.
const COUNTED: &str = "select json_build_object('failures', coalesce((to_json(d)->>'checksum_failures')::bigint, 0), \
    'ago', extract(epoch from now() - (to_json(d)->>'checksum_last_failure')::timestamptz)::float8) \
    from pg_stat_database d where d.datname = current_database()";
/// Counts of older servers come a moment later, and the last page may have been read just before the dump began.
const AROUND: f64 = 10.0;

#[derive(Deserialize)]
struct Counted {
    failures: u64,
    ago: Option<f64>,
}

/// What there is to say of a dump that failed after it had run for so long, if the server found such pages meanwhile.
pub(super) fn found(place: &Place, database: &str, ran: Duration) -> Option<String> {
    let mut session = Session::open(&place.psql, &place.info, Some(database)).ok()?;
    let counted: Counted = session.one("ask for damaged pages", COUNTED).ok()?;
    counted.ago.filter(|ago| counted.failures > 0 && *ago <= ran.as_secs_f64() + AROUND)?;
    Some(format!(
        "the server found pages of this database with a wrong checksum meanwhile ({} since its statistics began): its disk or its \
         memory changed them. pg_checksums --check names the files; an earlier snapshot has what they held",
        counted.failures
    ))
}
