//! Bytes: streams that collapsed, growth, and data that does not shrink.

use std::collections::BTreeMap;

use super::{
    ENOUGH, Facts, Found, Fresh, History, Level, Verdict, files, percent, rules,
    stats::{Unusual, lost, median, real, spread, steps, unusual},
    tables::shape,
    together,
};

/// Streams of fewer bytes say little by their size.
const SMALL: u64 = 4 << 10;
/// Less new data says little by how far it shrinks.
const LITTLE: u64 = 1 << 20;
/// Growth to less is not worth a word.
const MUCH: u64 = 10 << 20;

pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let past = history.facts();
    let mut verdicts = together(&rules::DATA_COLLAPSED, collapsed(&past, now));
    verdicts.extend(together(&rules::DATA_GROWN, grown(&past, now).into_iter().collect()));
    verdicts.extend(together(&rules::DATA_OPAQUE, opaque(&past, now).into_iter().collect()));
    verdicts
}

/// Whether what is in the streams is known by better means than their size.
fn is_understood(facts: &Facts) -> bool {
    facts.tables.is_some()
        || facts.refs.is_some()
        || facts.files.as_ref().is_some_and(|files| files.count >= files::FEW)
}

/// The bytes of each stream, those put together whose names differ in numbers alone.
fn parts(facts: &Facts) -> BTreeMap<String, u64> {
    let mut parts = BTreeMap::new();
    for (name, bytes) in &facts.parts {
        let all: &mut u64 = parts.entry(shape(name)).or_default();
        *all = all.saturating_add(*bytes);
    }
    if parts.is_empty() {
        parts.insert(String::new(), facts.bytes);
    }
    parts
}

fn collapsed(past: &[&Facts], now: &Facts) -> Vec<Found> {
    let Some(last) = past.last() else { return Vec::new() };
    if is_understood(now) || is_understood(last) {
        return Vec::new();
    }
    let all: Vec<BTreeMap<String, u64>> = past.iter().map(|facts| parts(facts)).collect();
    let is_of = parts(now);
    let mut found = Vec::new();
    for (name, was) in parts(last).iter().filter(|(_, was)| **was >= SMALL) {
        // Of runs of which less is known, no stream is known by name.
        let Some(is) = is_of.get(name).copied().or_else(|| (!now.parts.is_empty()).then_some(0)) else { continue };
        let share = lost(*was, is);
        if share < 0.2 {
            continue;
        }
        let size = |facts: &Facts| {
            let at = past.iter().position(|one| std::ptr::eq(*one, facts))?;
            all.get(at)?.get(name).copied()
        };
        let (steps, same_day) = steps(past, now, |a, b| Some(lost(size(a)?, size(b)?)));
        let level = match unusual(share, &steps, &same_day) {
            _ if past.len() < ENOUGH && share >= 0.95 => Level::Alarm,
            _ if past.len() < ENOUGH => continue,
            Unusual::New if share >= 0.5 => Level::Alarm,
            Unusual::New => Level::Notice,
            Unusual::Known | Unusual::No => continue,
        };
        let what = if name.is_empty() { "the backup".to_owned() } else { format!("stream {name}") };
        let most = steps.iter().copied().fold(0.0, f64::max);
        let words = format!(
            "{what} has {is} bytes and had {was} in the run before: {} are gone, and it never lost more than {} at once",
            percent(share),
            percent(most)
        );
        found.push(Found { level, subject: if name.is_empty() { "all".to_owned() } else { name.clone() }, words });
    }
    found
}

fn grown(past: &[&Facts], now: &Facts) -> Option<Found> {
    let sizes: Vec<f64> = past.iter().map(|facts| real(facts.bytes)).collect();
    let (usual, last) = (median(&sizes)?, past.last()?);
    let much = now.bytes >= MUCH && real(now.bytes) >= usual * 3.0 && real(last.bytes) < usual * 3.0;
    let words =
        format!("the source has {} bytes, {:.1} times as many as usual", now.bytes, real(now.bytes) / usual.max(1.0));
    (past.len() >= ENOUGH && much).then(|| Found { level: Level::Notice, subject: "all".to_owned(), words })
}

fn opaque(past: &[&Facts], now: &Facts) -> Option<Found> {
    let ratio = |fresh: &Fresh| real(fresh.stored) / real(fresh.bytes.max(1));
    let (fresh, last) = (now.fresh.as_ref()?, past.last()?);
    let before: Vec<f64> =
        past.iter().filter_map(|f| f.fresh.as_ref()).filter(|f| f.bytes >= LITTLE / 16).map(ratio).collect();
    let new = real(fresh.bytes) / real(now.bytes.max(1));
    if before.len() < ENOUGH || fresh.bytes < LITTLE || new < 0.2 {
        return None;
    }
    let (is, usual) = (ratio(fresh), median(&before)?);
    if is <= usual + (6.0 * spread(&before)).max(0.25) {
        return None;
    }
    // What was there was replaced, and nothing was added.
    let replaced = real(now.bytes) <= real(last.bytes) * 1.25 && new >= 0.5;
    let words = format!(
        "{} bytes are new, {} of all, and they shrink to {} of their size where new data usually shrinks to {}, as encrypted \
         data would",
        fresh.bytes,
        percent(new),
        percent(is),
        percent(usual)
    );
    let level = if replaced { Level::Alarm } else { Level::Notice };
    Some(Found { level, subject: "all".to_owned(), words })
}
