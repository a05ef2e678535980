//! A drill that goes on from a base with the log behind it.

use std::path::Path;

use super::{Drill, one::Place};
use crate::{
    engine::{Cluster, Restored},
    model::{SourceKind, Time},
    ops::{
        Result,
        recover::{self, Point, RecoverRequest, Target, WAL},
        snapshots::Wanted,
    },
    vault::{journal, snapshots::Summary, standing::AHEAD},
};

/// Lays out the cluster of a base below `dir`, as far as its log goes or to the point that was asked for. Nothing if it is no
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
    let Some(start) = header.journal.as_ref().filter(|_| header.kind == SourceKind::Postgres) else { return Ok(None) };
    let asked = place.request.recover_to.clone();
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
    let mut files = (place.request.cluster)(dir.to_owned());
    let laid = Box::pin(recover::lay_out(&seeking, all.to_vec(), &mut *files)).await?;
    let known = &laid.snapshot.header.header;
    drill.snapshot = Some(laid.snapshot.header.id);
    drill.created_at = Some(known.started_at);
    drill.bytes = laid.plan.bytes.saturating_add(laid.recovery.log_bytes);
    drill.streams = super::streams(&laid.carried.streams);
    // How old what comes back is: the last transaction, where there is one.
    let since = laid.last_us.map_or(known.started_at, |us| Time::from_unix(us.div_euclid(1_000_000)));
    drill.rpo_s = (since <= now + AHEAD).then(|| now.since(since).as_seconds());
    let data = dir.join(known.source.as_str());
    let cluster = Cluster {
        wal: data.join(WAL),
        data,
        tablespaces: dir.join(format!("{}.tablespaces", known.source)),
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
    }))
}
