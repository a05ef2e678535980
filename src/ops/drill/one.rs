//! One drill: fetch, load, check, and away with it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Asked, Drill, Place, What, is_everybodys, recovered};
use crate::{
    engine::{self, Check, Engine, EngineError, Restored, RestoredStream, Status},
    format::header::VerifiedHeader,
    model::{SourceKind, Time},
    ops::{OpsError, Result, restore},
    source::scratch::Scratch,
    vault::{VaultErrorKind, reader::Snapshot, snapshots::Summary, standing::AHEAD},
};

/// How often an engine that works is asked to stop.
const POLL: Duration = Duration::from_millis(50);
/// So long a check may take even where the recovery has already taken longer than it may.
const LEAST: Duration = Duration::from_secs(1);
/// What an answer may look like that counts as true.
const TRUE: [&str; 4] = ["t", "true", "yes", "on"];

/// What ends an engine that works.
type Stopper = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Drills one snapshot. What goes wrong with it is a check that could not be run.
///
/// # Errors
/// If what goes wrong would go wrong with every snapshot.
pub(super) async fn run(
    place: &Place<'_>,
    (all, found): (&[Summary], &Summary),
    now: Time,
    drill: &mut Drill,
) -> Result<()> {
    let header = place.vault.whole(found).await?;
    let known = &header.header;
    drill.snapshot = Some(header.id);
    drill.kind = Some(known.kind);
    drill.writer = Some(known.writer.clone());
    drill.created_at = Some(known.started_at);
    // What is of a time that is not yet has no age.
    drill.rpo_s = (known.started_at <= now + AHEAD).then(|| now.since(known.started_at).as_seconds());
    // What is in it is gone when this ends, and after a kill with the next.
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => {
            drill.checks.push(Check::error("a place to restore to", error.to_string()));
            return Ok(());
        }
    };
    let began = (place.request.elapsed)();
    let dir = scratch.path().join("restored");
    let recovered = Box::pin(recovered::fetch(place, (all, found), (&dir, now), drill)).await;
    let restored = match recovered.transpose() {
        Some(recovered) => recovered,
        None => fetch(place, header, &scratch, drill).await,
    };
    drill.parts.fetch_s = (place.request.elapsed)().saturating_sub(began).as_secs_f64();
    match restored {
        Ok(restored) => work(place, &scratch, restored, drill).await,
        Err(error) if is_everybodys(&error) => Err(error),
        Err(error) => {
            drill.damaged = is_damage(&error);
            drill.checks.push(Check::error("restore", error.to_string()));
            Ok(())
        }
    }
}

/// Whether it says that what was stored is not what it should be: its bytes, or the packs of a repository.
fn is_damage(error: &OpsError) -> bool {
    match error {
        OpsError::Vault(error) => error.kind == VaultErrorKind::Damaged,
        OpsError::Source(error) => error.source.is_none(),
        _ => false,
    }
}

/// Restores it below the scratch directory.
async fn fetch(place: &Place<'_>, header: VerifiedHeader, scratch: &Scratch, drill: &mut Drill) -> Result<Restored> {
    let mut snapshot = Snapshot::open(place.vault, header, place.opener).await?;
    let fingerprints = std::mem::take(&mut snapshot.body.fingerprints);
    let plan = restore::planned(&mut snapshot, restore::Part::default()).await?;
    let known = &snapshot.header.header;
    let dir = scratch.path().join("restored");
    let mut target = (place.request.target)(dir.clone());
    let told = restore::carry_out(&snapshot, &plan, &mut *target, (place.progress, place.cancel), None).await?;
    drill.bytes = plan.bytes;
    drill.streams = told.streams(&plan);
    let git = known.kind == SourceKind::Git;
    let root = dir.join(known.source.as_str());
    let details = plan.details.clone();
    // Taken apart as it goes: a hostile snapshot has 80 MiB of paths, and once is enough.
    let streams = plan.entries.into_iter().filter(|_| !git).map(|entry| RestoredStream {
        file: root.join(entry.path()),
        name: entry.stream.name,
        bytes: entry.stream.bytes,
        blake3: entry.stream.blake3,
        meta: entry.stream.meta,
    });
    Ok(Restored {
        source: known.source.clone(),
        kind: known.kind,
        streams: streams.collect(),
        repository: git.then(|| dir.join(format!("{}.git", known.source))),
        details,
        fingerprints,
        cluster: None,
        log: None,
    })
}

/// What an engine found.
#[derive(Default)]
struct Worked {
    engine: String,
    load_s: f64,
    check_s: f64,
    checks: Vec<Check>,
    not_tested: Vec<String>,
    lacking: Vec<String>,
}

/// Loads and checks it on a thread that may block.
async fn work(place: &Place<'_>, scratch: &Scratch, restored: Restored, drill: &mut Drill) -> Result<()> {
    place.progress.phase(&format!("loading and checking {}", restored.source), None);
    let asked = place.request.checks.get(&restored.source).cloned().unwrap_or_default();
    let (elapsed, dir) = (Arc::clone(&place.request.elapsed), scratch.path().join("restored"));
    // What the recovery may take still.
    let before = Duration::try_from_secs_f64(drill.parts.list_s + drill.parts.fetch_s).unwrap_or_default();
    let left = place.request.max_rto.map(|max| max.as_duration().saturating_sub(before));
    let warden = match place.request.warden.logged(scratch.path().join("confined")) {
        Ok(warden) => warden,
        Err(error) => {
            drill.checks = unloaded(&error, &asked);
            return Ok(());
        }
    };
    let of_engine = engine::Place {
        dir: scratch.path().join("engine"),
        servers: place.request.servers.clone(),
        warden: warden.clone(),
        allowed: place.request.allowed.clone(),
    };
    let stopper: Stopper = Arc::default();
    let given = Arc::clone(&stopper);
    let mut working = tokio::task::spawn_blocking(move || {
        engine_work(&restored, &asked, &of_engine, &dir, (&*elapsed, left), &given)
    });
    let worked = loop {
        tokio::select! {
            worked = &mut working => break worked,
            () = tokio::time::sleep(POLL) => {
                if place.cancel.is_cancelled() {
                    if let Some(stop) = stopper.lock().unwrap_or_else(PoisonError::into_inner).take() {
                        stop();
                    }
                    // Ends what runs in it, too: nobody waits for that.
                    scratch.remover().remove();
                    warden.end_strays();
                    return Err(OpsError::Interrupted);
                }
            }
        }
    };
    let worked = worked.map_err(|_| OpsError::Defect("the thread of the engine"))?;
    drill.confinement = warden.told();
    drill.engine = worked.engine;
    drill.parts.load_s = worked.load_s;
    drill.parts.check_s = worked.check_s;
    drill.checks.extend(worked.checks);
    drill.not_tested = worked.not_tested;
    drill.lacking = worked.lacking;
    Ok(())
}

fn engine_work(
    restored: &Restored,
    asked: &[Asked],
    place: &engine::Place,
    dir: &Path,
    (elapsed, left): (&dyn Fn() -> Duration, Option<Duration>),
    stopper: &Stopper,
) -> Worked {
    let mut worked = Worked::default();
    let began = elapsed();
    let mut engine = match engine::for_kind(restored.kind, place) {
        Ok(engine) => engine,
        Err(error) => {
            worked.checks = unloaded(&error, asked);
            return worked;
        }
    };
    *stopper.lock().unwrap_or_else(PoisonError::into_inner) = engine.stopper();
    let loaded = engine.load(restored);
    worked.engine = engine.describe();
    let ready = elapsed();
    worked.load_s = ready.saturating_sub(began).as_secs_f64();
    if let Err(error) = loaded {
        worked.checks = unloaded(&error, asked);
    } else {
        worked.checks = engine.check(restored);
        for asked in asked {
            let left = left.map(|left| left.saturating_sub(elapsed().saturating_sub(began)).max(LEAST));
            let asked = &Asked { timeout: left.map_or(asked.timeout, |left| left.min(asked.timeout)), ..asked.clone() };
            worked.checks.push(configured(&mut *engine, asked, (place, dir), restored));
        }
        worked.not_tested = engine.not_tested(restored);
        worked.lacking = engine.lacking(restored);
    }
    worked.check_s = elapsed().saturating_sub(ready).as_secs_f64();
    // What was backed up must not stay on somebody's server unnoticed.
    for (what, error) in engine.leave() {
        worked.checks.push(Check::error(format!("{what} is dropped"), error.to_string()));
    }
    drop(engine);
    place.warden.end_strays();
    worked
}

/// None is left out: each of them could not be run.
fn unloaded(error: &EngineError, asked: &[Asked]) -> Vec<Check> {
    let load = Check::error("load", error.to_string());
    let asked = asked.iter().map(|asked| Check::error(&asked.name, "the engine was not loaded"));
    std::iter::once(load).chain(asked).collect()
}

/// Runs a check that the configuration asks for.
fn configured(
    engine: &mut dyn Engine,
    asked: &Asked,
    (place, dir): (&engine::Place, &Path),
    restored: &Restored,
) -> Check {
    let answer = match &asked.what {
        What::Sql { database, sql } => engine.query(database.as_deref(), sql, asked.timeout),
        What::Command { argv } => {
            let mut access = engine.access();
            access.push(("STRONGROOM_DRILL_DIR".to_owned(), dir.display().to_string()));
            access.push(("STRONGROOM_DRILL_SOURCE".to_owned(), restored.source.to_string()));
            engine::command::run(place, argv, dir, (engine.reach(), &access), asked.timeout)
        }
    };
    let actual = match answer {
        Ok(actual) => actual,
        Err(error) => {
            let expected = asked.expected.clone();
            return Check { expected, ..Check::error(&asked.name, error.to_string()) };
        }
    };
    match (&asked.expected, &asked.what) {
        (Some(expected), _) => Check::compare(&asked.name, expected.as_str(), actual),
        (None, What::Command { .. }) => Check::done(&asked.name, Ok(actual)),
        (None, What::Sql { .. }) => {
            let status = if is_true(&actual) { Status::Pass } else { Status::Fail };
            Check { name: asked.name.clone(), expected: Some("true".to_owned()), actual: Some(actual), status }
        }
    }
}

/// Whether an answer means yes: a word for it, or a number that is not zero.
fn is_true(answer: &str) -> bool {
    let answer = answer.trim().to_ascii_lowercase();
    TRUE.contains(&answer.as_str()) || answer.parse::<f64>().is_ok_and(|n| n != 0.0 && !n.is_nan())
}

#[cfg(test)]
mod tests {
    use super::is_true;

    #[test]
    fn an_answer_is_true_or_it_is_not() {
        for yes in ["t", "TRUE", "1", "42", " 0.5 ", "yes"] {
            assert!(is_true(yes), "{yes}");
        }
        for no in ["", "f", "false", "0", "0.0", "NULL", "nan", "maybe"] {
            assert!(!is_true(no), "{no}");
        }
    }
}
