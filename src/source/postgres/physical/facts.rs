//! What a base tells of itself: where in the server's log it begins and ends, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    super::super::{Result, SourceError},
    seen::Kept,
};
use crate::model::{
    Name,
    journal::{Line, Position},
};

/// Files of a cluster that tell of it.
pub(super) const LABEL: &str = "backup_label";
pub(crate) const MANIFEST: &str = "backup_manifest";
pub(super) const CONTROL: &str = "global/pg_control";

/// What is known of a base besides its bytes: its place in the log of its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The line that it was begun in.
    pub line: Line,
    /// From where on a recovery reads the log.
    pub from: Position,
    /// From where on it is consistent: no recovery can stop before.
    pub end: Position,
    /// The timeline that it ended in.
    pub end_timeline: u32,
    /// Whether it was taken from a standby.
    #[serde(default)]
    pub standby: bool,
    /// The length of a segment of the log.
    pub segment: u64,
    /// When it was done, by the server's clock: microseconds since 1970.
    #[serde(default)]
    pub ended_us: Option<i64>,
    /// Which transactions were over then, as `pg_current_snapshot` writes it.
    #[serde(default)]
    pub xids: Option<String>,
    /// What lies elsewhere than in the data directory.
    #[serde(default)]
    pub tablespaces: Vec<Tablespace>,
    /// Settings that a server needs which goes on from it.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// A tablespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// Its number, which names its link.
    pub oid: u32,
    /// Where it was.
    pub path: String,
    /// The stream that holds it.
    pub stream: Name,
}

/// What was asked of the server.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    pub(super) segment: u64,
    /// The length of a page.
    pub(super) page: usize,
    pub(super) tablespaces: Vec<Place>,
    pub(super) settings: BTreeMap<String, String>,
}

/// Where a tablespace is.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) oid: u32,
    pub(super) path: String,
}

/// What a server tells before it is copied. A tablespace of a relative path lies in the data directory.
pub(super) const ASK: &str = "\
select json_build_object('segment', pg_size_bytes(current_setting('wal_segment_size')), 'page', current_setting('block_size')::int, 'tablespaces', \
(select coalesce(json_agg(json_build_object('oid', oid::bigint, 'path', pg_tablespace_location(oid)) order by oid), '[]') \
from pg_tablespace where pg_tablespace_location(oid) like '/%'), 'settings', \
(select json_object_agg(name, setting) from pg_settings where name in ('max_connections', 'max_worker_processes', \
'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction', 'track_commit_timestamp', \
'shared_preload_libraries', 'wal_level', 'max_wal_size')))";

/// What it tells when it was copied.
pub(super) const ENDED: &str = "\
select json_build_object('us', (extract(epoch from clock_timestamp()) * 1000000)::bigint, \
'xids', txid_current_snapshot()::text)";

/// The answer.
#[derive(Debug, Deserialize)]
pub(super) struct Ended {
    pub(super) us: i64,
    pub(super) xids: String,
}

impl Base {
    /// What a snapshot's facts tell of the base that it is, if it is one that knows its place in the log.
    #[must_use]
    pub fn of(details: &serde_json::Value) -> Option<Self> {
        let base: Self = serde_json::from_value(details.get("base")?.clone()).ok()?;
        (base.segment.is_power_of_two() && base.line.postgres_parts().is_some()).then_some(base)
    }

    /// Reads what the files of a base tell.
    pub(super) fn read(
        (label, manifest, control): (&Kept, &Kept, &Kept),
        asked: Asked,
        ended: Option<Ended>,
    ) -> Result<Self> {
        let no = |what: &str, file: &str| SourceError::new(format!("pg_basebackup succeeded, but {what}"), file);
        let system = control.head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let system = system.filter(|id| *id != 0).ok_or_else(|| no("no system identifier can be read", CONTROL))?;
        let Label { from, timeline, standby } =
            Label::read(&String::from_utf8_lossy(&label.head)).ok_or_else(|| no("it is not understood", LABEL))?;
        let (end_timeline, end) = end_of(&String::from_utf8_lossy(&manifest.tail))
            .ok_or_else(|| no("it has no end position of the log", MANIFEST))?;
        let named = |place: Place| {
            let stream = stream_of(place.oid).parse().map_err(|e| SourceError::new(format!("{e}"), &place.path))?;
            Ok(Tablespace { oid: place.oid, path: place.path, stream })
        };
        Ok(Self {
            line: Line::postgres(system, timeline),
            from,
            end,
            end_timeline,
            standby,
            segment: asked.segment,
            ended_us: ended.as_ref().map(|ended| ended.us),
            xids: ended.map(|ended| ended.xids),
            tablespaces: asked.tablespaces.into_iter().map(named).collect::<Result<_>>()?,
            settings: asked.settings,
        })
    }
}

/// How the stream of a tablespace is called, as `pg_basebackup` calls its file.
pub(super) fn stream_of(oid: u32) -> String {
    format!("{oid}.tar")
}

/// What `backup_label` says.
struct Label {
    from: Position,
    timeline: u32,
    standby: bool,
}

impl Label {
    fn read(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let from = value("START WAL LOCATION")?.split(' ').next()?;
        Some(Self {
            from: Position::from_lsn(from).ok()?,
            timeline: value("START TIMELINE")?.trim().parse().ok()?,
            standby: value("BACKUP FROM").is_some_and(|from| from.trim() == "standby"),
        })
    }
}

/// Where the log that a base needs ends, out of the end of its manifest: the timeline and the position.
fn end_of(tail: &str) -> Option<(u32, Position)> {
    let ranges = tail.rsplit_once("\"WAL-Ranges\"")?.1;
    let after = |key: &str| Some(ranges.rsplit_once(key)?.1.trim_start_matches([':', ' ', '"']));
    let timeline = after("\"Timeline\"")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let end = after("\"End-LSN\"")?.split('"').next()?;
    Some((timeline, Position::from_lsn(end).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_a_manifest_tell_where_the_log_begins_and_ends() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n\
                     BACKUP METHOD: streamed\nBACKUP FROM: standby\nSTART TIME: x\nLABEL: START TIMELINE: 9\n\
                     START TIMELINE: 3\n";
        let read = Label::read(label).unwrap();
        assert_eq!((read.from.0, read.timeline, read.standby), (0x200_0028, 3, true));
        assert!(Label::read("START TIMELINE: 3\n").is_none());
        let manifest = "\"Path\": \"WAL-Ranges\" }\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \
                        \"End-LSN\": \"0/3000000\" },\n{ \"Timeline\": 2, \"Start-LSN\": \"0/3000000\", \"End-LSN\": \
                        \"A/2000100\" }\n],\n\"Manifest-Checksum\": \"5f\"}\n";
        assert_eq!(end_of(manifest), Some((2, Position(0xa_0200_0100))));
        assert_eq!(end_of("\"WAL-Ranges\": []"), None);
    }
}
