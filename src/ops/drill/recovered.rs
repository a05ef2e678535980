//! A drill that goes on from a base with the log behind it.

use std::path::Path;

use super::{Drill, Place};
use crate::{
    engine::{Cluster, Log, Restored, RestoredStream},
    model::{SourceKind, Time},
    ops::{
        OpsError, Result,
        recover::{self, LOG, Point, RecoverRequest, Target},
        snapshots::Wanted,
    },
    vault::{journal, snapshots::Summary, standing::AHEAD},
};

/// Lays out the cluster of a base below `dir`, or a dump and its log,, as far as its log goes or to the point that was asked for. Nothing if it is no
/// base, or the vault has no log of it.
///
/// # Errors
/// As for a recovery.
pub(super) async fn fetch(
    place: &Place<'_>,
    (all, found): (&[Summary], &Summary),
    (dir, now): (&Path, Time),
    drill: &mut Drill,
) -> Result<Option<Restored>> {
    let header = &found.header;
    let dump = header.kind == SourceKind::Mariadb;
    let Some(start) = header.journal.as_ref().filter(|_| dump || header.kind == SourceKind::Postgres) else {
        return Ok(None);
    };
    let asked = place.request.recover_to.clone();
    if dump && is_lent(place, drill)? {
        return Ok(None);
    }
    if asked.is_none() {
        let log = journal::list(place.vault, Some(&header.writer), &header.source).await?;
        let same = |line: &journal::LineListing| line.line == start.line || start.line.may_become(&line.line);
        if !log.lines.iter().any(same) {
            return Ok(None);
        }
    }
    let wanted = match &asked {
        Some(_) if place.request.snapshot.is_none() => {
            let (source, writer) = (header.source.clone(), Some(header.writer.clone()));
            Wanted::Latest { source, writer, at: None }
        }
        _ => Wanted::Id(found.id.to_string()),
    };
    let target = asked.unwrap_or(Target { point: Point::Latest, inclusive: true });
    let request = RecoverRequest { wanted, target, timeline: None, fetch: None };
    let seeking = recover::Seeking {
        vault: place.vault,
        opener: place.opener,
        request: &request,
        progress: place.progress,
        cancel: place.cancel,
    };
    let make = if dump { &place.request.replay } else { &place.request.cluster };
    let mut files = make(dir.to_owned());
    let laid = Box::pin(recover::lay_out(&seeking, all.to_vec(), &mut *files)).await?;
    drill.streams = laid.carried.streams(&laid.plan);
    let known = &laid.snapshot.header.header;
    drill.snapshot = Some(laid.snapshot.header.id);
    drill.created_at = Some(known.started_at);
    drill.bytes = laid.plan.bytes.saturating_add(laid.recovery.log_bytes);
    // How old what comes back is: the last transaction, where there is one.
    let since = laid.last_us.map_or(known.started_at, |us| Time::from_unix(us.div_euclid(1_000_000)));
    drill.rpo_s = (since <= now + AHEAD).then(|| now.since(since).as_seconds());
    let data = dir.join(known.source.as_str());
    if dump {
        return Ok(Some(replayed(laid, &data, drill)));
    }
    let cluster = Cluster {
        data,
        tablespaces: dir.join(format!("{}.tablespaces", known.source)),
        later: laid.recovery.tablespaces.clone(),
        settings: laid.recovery.settings.clone(),
        stop: laid.recovery.stop.clone(),
        last_xid: laid.recovery.last_commit_xid,
        gap: laid.recovery.gap.clone(),
    };
    drill.recovery = Some(laid.recovery);
    Ok(Some(Restored {
        source: known.source.clone(),
        kind: known.kind,
        streams: Vec::new(),
        repository: None,
        details: laid.plan.details,
        fingerprints: Vec::new(),
        cluster: Some(cluster),
        log: None,
    }))
}

/// Whether the server is somebody's, where a log would reach other databases than those that were made for the drill.
fn is_lent(place: &Place<'_>, drill: &mut Drill) -> Result<bool> {
    if place.request.servers.mariadb.is_none() {
        return Ok(false);
    }
    if place.request.recover_to.is_some() {
        return Err(OpsError::Request {
            what: "--recover-to needs a server of the drill's own: a log is replayed on all of a server".to_owned(),
            next: "leave [drill] mariadb out".to_owned(),
        });
    }
    drill.not_tested.push("the log behind the dump: it is replayed on servers of the drill's own alone".to_owned());
    Ok(true)
}

/// A dump in `data`, and the log that is to be replayed on it.
fn replayed(laid: recover::Laid, data: &Path, drill: &mut Drill) -> Restored {
    let known = &laid.snapshot.header.header;
    let streams = laid.plan.entries.into_iter().map(|entry| RestoredStream {
        file: data.join(entry.path()),
        name: entry.stream.name,
        bytes: entry.stream.bytes,
        blake3: entry.stream.blake3,
        meta: entry.stream.meta,
    });
    let log = Log {
        dir: data.join(LOG),
        database: laid.database,
        until: laid.recovery.stop.clone().unwrap_or_default(),
        gap: laid.recovery.gap.clone(),
    };
    drill.recovery = Some(laid.recovery);
    Restored {
        source: known.source.clone(),
        kind: known.kind,
        streams: streams.collect(),
        repository: None,
        details: laid.plan.details,
        fingerprints: laid.fingerprints,
        cluster: None,
        log: Some(log),
    }
}
