//! A directory has no clock but its host's. It has a past: what was made there before.

use tokio::runtime::Handle;

use super::{Result, Vault, VaultError, VaultErrorKind, fetch, snapshots::Summary, standing::AHEAD, writer::Workplace};
use crate::{
    catalog::Catalog,
    format::{
        header::{HEADER_LIMIT, VerifiedHeader},
        layout::{self, ObjectName},
    },
    model::{Hash, SnapshotId, Span, Time},
};

/// How long after the last snapshot a clock is believed without a word. A clock that is wrong is so by hours, or by
/// years: an empty battery, a machine that was set back, a wrong digit. And after a quarter without any backup somebody
/// should look.
const PAUSE: Span = Span::days(90);
/// How many headers are looked at for the newest, where the catalog knows none.
const LOOK_BACK: usize = 16;

/// Fails if the clock of a vault's directory contradicts what was made there before: then a snapshot would be of a false
/// time, and so would be its locks.
///
/// # Errors
/// `Clock`, or the store's or the catalog's.
pub fn refuse(place: &Workplace, runtime: &Handle, catalog: &mut Catalog) -> Result<()> {
    if place.store.traits().trusted_time {
        return Ok(());
    }
    let (now, writer) = (runtime.block_on(place.store.server_time())?, &place.writer);
    let last = match catalog.runs(None, 1)?.pop() {
        Some(run) => Some(run.finished),
        None => runtime.block_on(newest(place))?,
    };
    let begun = writer.descriptor.created_at.max(writer.certificate.valid_from);
    let (since, what) =
        last.map_or((begun, "this vault's writer was made"), |last| (last, "its last snapshot was made"));
    judge(now, since, what, PAUSE.max(writer.descriptor.lock.keep))
}

/// The order of numbers counts, not that of times: whoever went on after a clock was set right said so.
async fn newest(place: &Workplace) -> Result<Option<Time>> {
    let (store, writer) = (&*place.store, &place.writer);
    let mut names: Vec<(u64, SnapshotId)> = Vec::new();
    let mut look = |entry: crate::store::Entry| {
        if let Some(ObjectName::Header(_, seq, id)) = layout::parse(&entry.key) {
            names.push((seq, id));
        }
    };
    store.list(&layout::own(layout::SNAPSHOTS, &writer.name), &mut look).await?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    for (seq, id) in names.into_iter().take(LOOK_BACK) {
        let key = layout::header(&writer.name, seq, &id);
        let wanted = Hash::from_bytes(*id.as_bytes());
        let Ok(bytes) = fetch::by_hash(store, &key, None, &wanted, HEADER_LIMIT).await else { continue };
        if let Ok(found) = VerifiedHeader::open(&bytes, writer.descriptor.vault) {
            return Ok(Some(found.header.started_at));
        }
    }
    Ok(None)
}

/// Why nothing should be deleted by the clock of a vault's directory, if so: its last snapshot is longer ago than anybody
/// pauses. A clock that is behind deletes less.
#[must_use]
pub(super) fn runs_ahead(vault: &Vault, now: Time, snapshots: &[Summary]) -> Option<String> {
    if vault.store.traits().trusted_time {
        return None;
    }
    let descriptor = &vault.descriptor;
    let times = snapshots.iter().map(|s| s.header.started_at).filter(|started| *started <= now);
    let last = times.fold(descriptor.created_at, Time::max);
    (now > last + PAUSE.max(descriptor.lock.keep)).then(|| {
        format!(
            "this host's clock says {now}, and the last snapshot was made at {last}: a vault in a directory has no other \
             clock, and by a false one everything but the newest has ended. If the clock is right, say so with \
             --clock-is-right"
        )
    })
}

fn judge(now: Time, since: Time, what: &str, pause: Span) -> Result<()> {
    let why = if now + AHEAD < since {
        format!("this host's clock says {now}, and {what} at {since}: the clock goes wrong now, or did then")
    } else if now > since + pause {
        format!("this host's clock says {now}, and {what} at {since}, which is more than {pause} ago")
    } else {
        return Ok(());
    };
    let what = format!(
        "{why}. A vault in a directory has no other clock, and a snapshot of a false time is kept too short or hides those \
         that come after it. If the clock is right now, say so once with --clock-is-right"
    );
    Err(VaultError::new(VaultErrorKind::Clock, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_held_against_the_past() {
        let since = Time::from_unix(1_800_000_000);
        let at = |seconds: i64| judge(Time::from_unix(1_800_000_000 + seconds), since, "it was made", PAUSE);
        for fine in [-300, 0, 86_400, 90 * 86_400] {
            assert!(at(fine).is_ok(), "{fine}");
        }
        for wrong in [-301, -6 * 365 * 86_400, 90 * 86_400 + 1, 3650 * 86_400] {
            let error = at(wrong).unwrap_err();
            assert!(error.kind == VaultErrorKind::Clock && error.what.contains("--clock-is-right"), "{wrong}: {error}");
        }
    }
}
