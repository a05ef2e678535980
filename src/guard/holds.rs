//! Making holds, and lifting them. A keeper holds alone and without any identity; lifting a hold takes the root, or the
//! people whom the root's list of approvers names.

use super::{
    GuardError, Result,
    approvals::{self, Deed, Papers, Passed},
};
use crate::{
    codec::{hash, seal::Opener, sign::SigningKey},
    format::{
        FORMAT, Public,
        approval::Action,
        certificate::Role,
        dsse::Envelope,
        hold::{Hold, REASON, Release, SNAPSHOTS},
        layout,
        member_key::Member,
    },
    model::{Cancel, Finding, Findings, Hash, Key, Lock, LockBy, Name, Progress, Severity, Time},
    store::{Payload, Put},
    vault::{
        Vault, VaultErrorKind,
        evidence::OWNER,
        holds::{Held, Holds, parameters},
        keys,
        members::Members,
        snapshots::Summary,
        upkeep::renew,
    },
};

/// What a store's own default lock may fall short of ours, in seconds.
const SLACK: i64 = 86_400;

/// Who signs a hold or a release.
pub struct Signer {
    /// A keeper, or `owner` for the root.
    pub name: Name,
    key: SigningKey,
    root: bool,
}

impl Signer {
    /// The keeper whose key is at hand, else the root if an identity opens it.
    ///
    /// # Errors
    /// If there is neither, or the keeper was revoked.
    pub async fn find(vault: &Vault, member: Option<Member>, identity: Option<&Opener>) -> Result<Self> {
        let keeper = "`strongroom member add NAME --role keeper -i OWNER` makes a keeper's key for [member]; or give an \
                      owner's identity with -i";
        if let Some(member) = member {
            if member.descriptor.vault != vault.descriptor.vault {
                let what = format!("the key of {} {} is of another vault", member.role, member.name);
                return Err(GuardError::request(what, "give the key of a keeper of this vault in [member]"));
            }
            if member.role == Role::Keeper {
                if let Some(from) = Members::of(vault).await?.revoked_from(&member.name) {
                    let what =
                        format!("keeper {} was revoked: what it signs from {from} on counts for nothing", member.name);
                    return Err(GuardError::request(what, keeper));
                }
                return Ok(Self { name: member.name, key: member.signing_key, root: false });
            }
            if identity.is_none() {
                let what = format!("{} is a {}, which holds nothing", member.name, member.role);
                return Err(GuardError::request(what, keeper));
            }
        }
        let Some(identity) = identity else {
            return Err(GuardError::request("nobody is here who may hold: no keeper's key and no identity", keeper));
        };
        Self::root(vault, identity).await
    }

    /// The root, which an owner's identity opens.
    ///
    /// # Errors
    /// If it does not.
    pub async fn root(vault: &Vault, identity: &Opener) -> Result<Self> {
        let key = keys::root_key(vault, identity).await?;
        let name = OWNER.parse().map_err(|_| GuardError::request("the owner's name", ""))?;
        Ok(Self { name, key, root: true })
    }
}

/// A hold that was made.
#[derive(Debug)]
pub struct Frozen {
    /// Where it is kept.
    pub key: Key,
    /// Its hash, by which `release` names it.
    pub hash: Hash,
    /// What it says.
    pub hold: Hold,
    /// Until when the hold itself can't be deleted.
    pub locked_until: Time,
    /// What was extended.
    pub renewed: renew::Renewed,
}

/// Extends the locks of everything that these snapshots and their journals need, reads them back, and then holds them. What
/// could not be locked is a finding, and the hold is made all the same, so that `renew` tries again and `prune` keeps all.
///
/// # Errors
/// If the vault can't be read, or the hold can't be put. Then there is none, and what was extended stays so.
pub async fn freeze(
    vault: &Vault,
    signer: &Signer,
    snapshots: &[&Summary],
    (until, reason): (Time, Option<String>),
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Frozen> {
    if snapshots.is_empty() || snapshots.len() > SNAPSHOTS {
        return Err(GuardError::request(
            format!("a hold names between one and {SNAPSHOTS} snapshots, and not {}", snapshots.len()),
            "choose them by --source, or freeze in several runs",
        ));
    }
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON) {
        return Err(GuardError::request(format!("the reason has more than {REASON} bytes"), "give a shorter --reason"));
    }
    let at = vault.store.server_time().await?;
    if until <= at {
        return Err(GuardError::request(format!("{until} is over: it is {at} now"), "give a later --until"));
    }
    let wanted: Vec<(&Summary, Time)> = snapshots.iter().map(|snapshot| (*snapshot, until)).collect();
    let mut renewed = renew::freeze(vault, &wanted, progress, cancel).await?;
    let hold = Hold {
        format: FORMAT.to_owned(),
        vault: vault.descriptor.vault,
        member: signer.name.clone(),
        at,
        until,
        snapshots: snapshots.iter().map(|snapshot| snapshot.id).collect(),
        reason,
    };
    let document = Envelope::sign(&hold, &signer.key)?.encode()?;
    let hash = hash::hash(document.bytes());
    let key = layout::hold(&signer.name, at, &hash);
    let locked_until = put(vault, &key, document, (at, until), &mut renewed.findings).await?;
    Ok(Frozen { key, hash, hold, locked_until, renewed })
}

/// Puts a document and locks it as far as what it says lasts, or as the root lets it be.
async fn put(
    vault: &Vault,
    key: &Key,
    document: Public,
    (at, until): (Time, Time),
    findings: &mut Findings,
) -> Result<Time> {
    let policy = &vault.descriptor.lock;
    let explicit = policy.by == LockBy::Explicit || vault.store.traits().explicit_locks;
    let new = policy.lock_from(at);
    let version = match vault.store.put_new(key, &Payload::Public(document), explicit.then_some(new)).await? {
        Put::Created { version } => version,
        // Its name holds its hash, so what is there is the same.
        Put::AlreadyThere => None,
    };
    let wanted = Lock { mode: policy.mode, until: until.min(at + policy.max_lock).max(new.until) };
    let lock = match vault.store.extend_lock(key, version.as_ref(), wanted).await {
        Ok(lock) => Some(lock),
        Err(error) if error.kind == crate::store::StoreErrorKind::Unreachable => return Err(error.into()),
        Err(error) => {
            let what = format!("its lock could not be extended: {error}");
            findings.push(Finding::new(Severity::Weak, "lock.refused", what).on(key));
            return Ok(vault.store.lock_of(key, version.as_ref()).await?.map_or(at, |lock| lock.until));
        }
    };
    let ends = lock.map_or(at, |lock| lock.until);
    if ends.unix().saturating_add(SLACK) < wanted.until.unix() {
        let what = format!("this lock was to be extended until {}, and ends {ends}", wanted.until);
        findings.push(Finding::new(Severity::Weak, "lock.short", what).on(key));
    }
    Ok(ends)
}

/// A hold that was lifted.
#[derive(Debug)]
pub struct Released {
    /// The hold.
    pub held: Held,
    /// Where the release is kept.
    pub key: Key,
    /// Who approved it, where that was needed.
    pub people: Vec<Name>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The hold whose hash begins so, among those that hold at `now`.
///
/// # Errors
/// If none does, or several do.
pub fn named<'a>(holds: &'a Holds, prefix: &str, now: Time) -> Result<&'a Held> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let list = "`strongroom snapshots --holds` lists them";
    if prefix.len() < 8 || !prefix.bytes().all(hex) {
        let shown: String = prefix.chars().take(80).collect();
        return Err(GuardError::request(format!("{shown:?} names no hold: give 8 or more digits of its hash"), list));
    }
    let mut found = holds.active(now).filter(|held| held.hash.to_string().starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(held), None) => Ok(held),
        (Some(_), Some(_)) => Err(GuardError::request(format!("several holds begin with {prefix}"), list)),
        (None, _) => match holds.all.iter().find(|held| held.hash.to_string().starts_with(prefix)) {
            Some(held) => {
                let why = match &held.released {
                    Some((at, _)) => format!("was lifted at {at}"),
                    None if held.suspect => "was signed by a keeper who was revoked before".to_owned(),
                    None => format!("ended at {}", held.hold.until),
                };
                Err(GuardError::request(format!("the hold {prefix} holds nothing any more: it {why}"), list))
            }
            None => Err(GuardError::request(format!("there is no hold {prefix}"), list)),
        },
    }
}

/// Lifts a hold: locks that were extended for it stay as they are, since no lock gets shorter, and are extended no more.
///
/// # Errors
/// `NotApproved`, or if there is no such hold, or the root's list of approvers asks for nothing and no root is here.
pub async fn release(vault: &Vault, signer: &Signer, prefix: &str, papers: Option<Papers<'_>>) -> Result<Released> {
    let holds = Holds::of(vault).await?;
    let at = vault.store.server_time().await?;
    let held = named(&holds, prefix, at)?.clone();
    let deed = Deed { action: Action::Release, parameters: parameters(&held.hash) };
    let (approval, people) = match approvals::spend(vault, &deed, papers).await? {
        Passed::NotNeeded if !signer.root => {
            return Err(GuardError::not_approved(
                "a keeper alone lifts no hold, and this vault's root puts it under nobody else",
                "give an owner's identity with -i; or sign a list of approvers with `strongroom approvers set`",
            ));
        }
        Passed::NotNeeded => (None, Vec::new()),
        Passed::Spent { people, approval, .. } => (Some(approval), people),
    };
    let release = Release {
        format: FORMAT.to_owned(),
        vault: vault.descriptor.vault,
        member: signer.name.clone(),
        at,
        hold: held.hash,
        approval,
    };
    let document = Envelope::sign(&release, &signer.key)?.encode()?;
    let key = layout::release(&signer.name, at, &hash::hash(document.bytes()));
    let mut findings = Findings::default();
    findings.extend(holds.findings.iter().cloned());
    put(vault, &key, document, (at, held.hold.until), &mut findings).await?;
    // What others will see of it is what counts.
    let after = Holds::of(vault).await?;
    let lifted = after.all.iter().any(|one| one.hash == held.hash && one.released.is_some());
    if !lifted {
        let told: Vec<String> =
            after.findings.into_iter().filter(|f| f.code == "release.refused").map(|f| f.message).collect();
        return Err(GuardError::Vault(crate::vault::VaultError::new(
            VaultErrorKind::Failed,
            format!("the release was stored and lifts nothing: {}", told.join("; ")),
        )));
    }
    Ok(Released { held, key, people, findings: findings.into_vec() })
}
