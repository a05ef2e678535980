//! `freeze` and `release`: snapshots that stay whatever their expiry, until somebody lifts that.

use serde::Serialize;

use super::{
    OpsError, Result,
    snapshots::{Wanted, choose},
};
use crate::{
    codec::seal::Opener,
    format::member_key::Member,
    guard::{
        approvals::Papers,
        holds::{self, Signer},
    },
    model::{Cancel, Finding, Hash, Name, Progress, SnapshotId, Span, Time},
    vault::{
        Vault,
        holds::{Held, Holds},
        snapshots::{self, Summary},
    },
};

/// How long a hold lasts if nothing else is said. A lock never gets shorter, so a slip must not cost years.
const LASTING: Span = Span::days(90);

/// Which snapshots are to be held.
#[derive(Debug)]
pub enum Chosen {
    /// These.
    Some(Vec<Wanted>),
    /// All, or all of these sources, but for those that are suspect.
    All(Vec<Name>),
}

/// What is to be held, until when and why.
#[derive(Debug)]
pub struct FreezeRequest {
    /// The snapshots.
    pub chosen: Chosen,
    /// Until when, if that is said.
    pub until: Option<Time>,
    /// Else for how long; else for 90 days, or as long as the root lets a lock be.
    pub lasting: Option<Span>,
    /// Why.
    pub reason: Option<String>,
}

/// A snapshot that is held.
#[derive(Debug, Clone, Serialize)]
pub struct HeldLine {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// Who wrote it.
    pub writer: Name,
    /// When its run started.
    pub created_at: Time,
}

/// What `freeze` did.
#[derive(Debug, Serialize)]
pub struct FreezeReport {
    /// The hold, by its hash.
    pub hold: Hash,
    /// Where it is kept.
    pub key: String,
    /// Who signed it.
    pub member: Name,
    /// Until when it holds.
    pub until: Time,
    /// Why.
    pub reason: Option<String>,
    /// The snapshots.
    pub snapshots: Vec<HeldLine>,
    /// Objects that they and the vault itself need.
    pub objects: u64,
    /// Locks that were extended.
    pub extended: u64,
    /// Bytes of the objects whose locks were extended.
    pub bytes: u64,
    /// When the first lock ends among all that is needed, as it was read back.
    pub locked_until: Option<Time>,
}

/// Holds snapshots.
///
/// # Errors
/// If nobody is here who may hold, a snapshot is not there, or the vault can't be read.
pub async fn freeze(
    vault: &Vault,
    (member, identity): (Option<Member>, Option<&Opener>),
    request: FreezeRequest,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(FreezeReport, Vec<Finding>)> {
    let signer = Signer::find(vault, member, identity).await?;
    progress.phase("reading headers", None);
    let listing = snapshots::list(vault).await?;
    let chosen = chosen(&listing.snapshots, &request.chosen)?;
    let now = vault.store.server_time().await?;
    let span = request.lasting.unwrap_or(LASTING.min(vault.descriptor.lock.max_lock));
    let until = request.until.unwrap_or(now + span);
    let frozen = holds::freeze(vault, &signer, &chosen, (until, request.reason), progress, cancel).await?;
    let mut findings = listing.findings;
    findings.extend(frozen.renewed.findings.into_vec());
    let report = FreezeReport {
        hold: frozen.hash,
        key: frozen.key.to_string(),
        member: frozen.hold.member,
        until: frozen.hold.until,
        reason: frozen.hold.reason,
        snapshots: chosen.iter().map(|snapshot| line(snapshot)).collect(),
        objects: frozen.renewed.objects,
        extended: frozen.renewed.updates,
        bytes: frozen.renewed.bytes,
        locked_until: frozen.renewed.weakest_lock.map(|weakest| weakest.min(frozen.locked_until)),
    };
    Ok((report, findings))
}

fn line(snapshot: &Summary) -> HeldLine {
    let header = &snapshot.header;
    let (source, writer) = (header.source.clone(), header.writer.clone());
    HeldLine { id: snapshot.id, source, writer, created_at: header.started_at }
}

fn chosen<'a>(all: &'a [Summary], chosen: &Chosen) -> Result<Vec<&'a Summary>> {
    let mut found: Vec<&Summary> = Vec::new();
    match chosen {
        Chosen::Some(wanted) => {
            for one in wanted {
                let id = choose(all.to_vec(), one)?.snapshot.id;
                let known = found.iter().any(|snapshot| snapshot.id == id);
                found.extend(all.iter().filter(|snapshot| snapshot.id == id && !known));
            }
        }
        Chosen::All(sources) => {
            for source in sources {
                let known = all.iter().map(|snapshot| &snapshot.header.source);
                crate::vault::standing::must_be_known("source", source, known)?;
            }
            let of = |s: &&Summary| sources.is_empty() || sources.contains(&s.header.source);
            found.extend(all.iter().filter(of).filter(|s| !s.standing.suspect));
        }
    }
    if found.is_empty() {
        return Err(OpsError::NoSnapshot { what: "there is no snapshot to hold".to_owned() });
    }
    Ok(found)
}

/// One hold, as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub struct HoldLine {
    /// Its hash.
    pub hold: Hash,
    /// Where it is kept.
    pub key: String,
    /// Who signed it.
    pub member: Name,
    /// Since when.
    pub since: Time,
    /// Until when.
    pub until: Time,
    /// Since when it is lifted.
    pub released: Option<Time>,
    /// Whether its keeper was revoked before, so that it holds nothing.
    pub suspect: bool,
    /// Whether it holds now.
    pub holds: bool,
    /// Why.
    pub reason: Option<String>,
    /// The snapshots.
    pub snapshots: Vec<SnapshotId>,
}

/// A hold as scripts read it, at `now`.
#[must_use]
pub fn hold_line(held: &Held, now: Time) -> HoldLine {
    HoldLine {
        hold: held.hash,
        key: held.key.to_string(),
        member: held.hold.member.clone(),
        since: held.since,
        until: held.hold.until,
        released: held.released.as_ref().map(|(at, _)| *at),
        suspect: held.suspect,
        holds: held.holds(now),
        reason: held.hold.reason.clone(),
        snapshots: held.hold.snapshots.clone(),
    }
}

/// All holds of a vault, oldest first.
///
/// # Errors
/// If the vault can't be read.
pub async fn list(vault: &Vault) -> Result<(Vec<HoldLine>, Vec<Finding>)> {
    let now = vault.store.server_time().await?;
    let holds = Holds::of(vault).await?;
    Ok((holds.all.iter().map(|held| hold_line(held, now)).collect(), holds.findings))
}

/// What `release` did.
#[derive(Debug, Serialize)]
pub struct ReleaseReport {
    /// The hold, by its hash.
    pub hold: Hash,
    /// The release's place in the vault.
    pub key: String,
    /// Who signed the release.
    pub member: Name,
    /// Who approved it.
    pub approved_by: Vec<Name>,
    /// The snapshots that were held.
    pub snapshots: Vec<SnapshotId>,
}

/// Lifts a hold.
///
/// # Errors
/// If it may not be lifted, or there is no such hold.
pub async fn release(
    vault: &Vault,
    (member, identity): (Option<Member>, Option<&Opener>),
    hold: &str,
    papers: Option<Papers<'_>>,
) -> Result<(ReleaseReport, Vec<Finding>)> {
    // With an owner's identity the root signs, also where a keeper's key is at hand.
    let signer = match identity {
        Some(identity) => Signer::root(vault, identity).await?,
        None => Signer::find(vault, member, None).await?,
    };
    let done = holds::release(vault, &signer, hold, papers).await?;
    let report = ReleaseReport {
        hold: done.held.hash,
        key: done.key.to_string(),
        member: signer.name,
        approved_by: done.people,
        snapshots: done.held.hold.snapshots,
    };
    Ok((report, done.findings))
}
