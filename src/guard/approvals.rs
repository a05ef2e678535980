//! Approvals: an action that the root put under several people happens only with a request that they signed, for exactly
//! that action, in time, and once.
//!
//! [`spend`] is the gate: it either takes the approval for good, or says why not. The record of a used approval stands
//! under the request's nonce and is put where nothing may be yet, so of two runs with one approval the store lets one through.

use std::collections::BTreeMap;

use super::{GuardError, Result};
use crate::{
    codec::{hash, sign::SigningKey},
    format::{
        FORMAT,
        approval::{Action, Approval, Request, SIGNATURES, SPENT_LIMIT, Spent, Vote},
        layout,
    },
    model::{Finding, Hash, Key, Lock, LockBy, LockPolicy, Name, Span, Time},
    store::{ObjectStore, Payload, Put, Version},
    vault::{
        Vault,
        approvers::{Listed, Lists},
    },
};

/// How far ahead a request may end, or less where records are locked for less.
pub const LONGEST: Span = Span::days(7);
/// What a store's own default lock may fall short of ours, in seconds: it counts whole days.
const SLACK: u64 = 86_400;

/// What somebody wants to do, with all that decides what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub action: Action,
    /// With what, by name, as `approve new` was given it.
    pub parameters: BTreeMap<String, String>,
}

impl Deed {
    /// An action with these parameters.
    pub fn new<N: Into<String>, V: Into<String>>(action: Action, parameters: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { action, parameters: parameters.into_iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    fn spelled(&self) -> String {
        let list: Vec<String> = self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", self.action, list.join(" ")).trim_end().to_owned()
    }
}

/// What was handed in: the bytes of the request's file, and those of the signatures'.
#[derive(Debug, Clone, Copy)]
pub struct Papers<'a> {
    /// The request.
    pub request: &'a [u8],
    /// The signatures.
    pub signatures: &'a [Vec<u8>],
}

/// How a request stands.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The request.
    pub request: Request,
    /// How many people have to sign it.
    pub needed: u32,
    /// Who did, in the order of the signatures, and what is wrong with the others.
    pub votes: Vec<Vote>,
    /// What else keeps it from being used.
    pub against: Vec<String>,
}

impl Judged {
    /// Who signed.
    pub fn people(&self) -> impl Iterator<Item = &Name> {
        self.votes.iter().filter_map(|vote| match vote {
            Vote::Of(name) => Some(name),
            Vote::Nobody(_) => None,
        })
    }

    /// Whether it would be let through now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.against.is_empty() && self.people().count() >= usize::try_from(self.needed).unwrap_or(usize::MAX)
    }

    /// What is missing, in words.
    #[must_use]
    pub fn why_not(&self) -> String {
        let mut why = self.against.clone();
        let people: Vec<&str> = self.people().map(Name::as_str).collect();
        if people.len() < usize::try_from(self.needed).unwrap_or(usize::MAX) {
            let by = if people.is_empty() { "nobody".to_owned() } else { people.join(", ") };
            why.push(format!("{} of {} approvals: signed by {by}", people.len(), self.needed));
            why.extend(self.votes.iter().filter_map(|vote| match vote {
                Vote::Nobody(why) => Some(why.clone()),
                Vote::Of(_) => None,
            }));
        }
        why.join("; ")
    }
}

/// That an action may go on.
#[derive(Debug, Clone)]
pub enum Passed {
    /// The root asks for no approvals of this action.
    NotNeeded,
    /// Enough people agreed, and their approval is used up.
    Spent {
        /// Who.
        people: Vec<Name>,
        /// Where the record is.
        key: Key,
        /// What they signed.
        approval: Approval,
    },
}

/// Lets an action through if the root asks for no approvals of it, or if enough people approved exactly it. The approval is
/// used up before this returns, whatever becomes of the action.
///
/// # Errors
/// `NotApproved` says what is missing. Anything else means that it could not be judged, and nothing may go on.
pub async fn spend(vault: &Vault, deed: &Deed, papers: Option<Papers<'_>>) -> Result<Passed> {
    let (listed, _) = in_force(vault).await?;
    let needed = listed.as_ref().map_or(0, |listed| listed.list.needs(deed.action));
    let Some(listed) = listed.filter(|_| needed > 0) else { return Ok(Passed::NotNeeded) };
    let Some(papers) = papers else {
        return Err(GuardError::not_approved(
            format!("{} needs the approval of {needed} people, and there is none", deed.spelled()),
            format!(
                "`strongroom approve new {}` prints a request; {needed} of the approvers sign it, and --approved and \
                 --signature hand it in",
                deed.spelled()
            ),
        ));
    };
    let now = vault.store.server_time().await?;
    let judged = judge_by(vault, &listed, &papers, Some(deed), now)?;
    if !judged.holds() {
        return Err(refused(&judged.why_not()));
    }
    let approval = kept(&papers)?;
    let key = take(vault, &judged.request, approval.clone(), now).await?;
    Ok(Passed::Spent { people: judged.people().cloned().collect(), key, approval })
}

/// Whether a request would be let through, without using it: for who hands it in, if that is said, or for whatever it asks.
///
/// # Errors
/// If it is no request, or the vault can't be read.
pub async fn judge(vault: &Vault, deed: Option<&Deed>, papers: Papers<'_>) -> Result<(Judged, Vec<Finding>)> {
    let (listed, findings) = in_force(vault).await?;
    let Some(listed) = listed else {
        return Err(GuardError::request(
            "this vault has no list of approvers, so nothing in it needs approvals",
            "`strongroom approvers set` signs one, with an owner's identity",
        ));
    };
    let now = vault.store.server_time().await?;
    let mut judged = judge_by(vault, &listed, &papers, deed, now)?;
    if is_there(vault, &layout::spent(&judged.request.nonce)).await? {
        judged.against.push("it was used already".to_owned());
    }
    Ok((judged, findings))
}

/// A new request, for approvers to sign.
///
/// # Errors
/// If the root asks for no approvals of this action, the request is too long, or the vault can't be read.
pub async fn request(
    vault: &Vault,
    deed: Deed,
    reason: Option<String>,
    lasting: Span,
) -> Result<(Request, Vec<Finding>)> {
    let (listed, findings) = in_force(vault).await?;
    let list = listed.map(|listed| listed.list).filter(|list| list.needs(deed.action) > 0);
    let Some(list) = list else {
        return Err(GuardError::request(
            format!("{} needs no approvals in this vault", deed.action),
            "run it; `strongroom approvers list` shows what needs approvals",
        ));
    };
    let longest = longest(&vault.descriptor.lock);
    if lasting > longest || lasting == Span::ZERO {
        return Err(GuardError::request(
            format!("an approval lasts {longest} at most in this vault, and not {lasting}"),
            "give a shorter --for",
        ));
    }
    let now = vault.store.server_time().await?;
    let request = Request {
        format: FORMAT.to_owned(),
        vault: vault.descriptor.vault,
        action: deed.action,
        parameters: deed.parameters,
        reason,
        approvers: list.rev,
        nonce: random()?,
        made_at: now,
        not_after: now + lasting,
    };
    request.encode()?;
    Ok((request, findings))
}

/// The list that counts now, and what was found on the way.
async fn in_force(vault: &Vault) -> Result<(Option<Listed>, Vec<Finding>)> {
    let lists = Lists::of(vault).await?;
    let newest = lists.newest().map_err(|why| refused(&why))?.cloned();
    Ok((newest, lists.findings))
}

fn refused(why: &str) -> GuardError {
    GuardError::not_approved(
        format!("not approved: {why}"),
        "`strongroom approve check` says how a request stands; `strongroom approve new` makes another one",
    )
}

pub(super) fn judge_by(
    vault: &Vault,
    listed: &Listed,
    papers: &Papers<'_>,
    deed: Option<&Deed>,
    now: Time,
) -> Result<Judged> {
    if papers.signatures.len() > SIGNATURES {
        return Err(GuardError::request(
            format!("more than {SIGNATURES} signatures were given"),
            "give those of the approvers, once each",
        ));
    }
    let request = Request::decode(papers.request).map_err(|error| refused(&error.to_string()))?;
    let mut against = Vec::new();
    if request.vault != vault.descriptor.vault {
        against.push(format!("it is for vault {}, and this is {}", request.vault, vault.descriptor.vault));
    }
    if let Some(deed) = deed {
        let asked = Deed { action: request.action, parameters: request.parameters.clone() };
        if asked != *deed {
            against.push(format!("it is for `{}`, and this is `{}`", asked.spelled(), deed.spelled()));
        }
    }
    if request.approvers != listed.list.rev {
        let (old, new) = (request.approvers, listed.list.rev);
        against.push(format!("it was made for revision {old} of the list of approvers, and revision {new} counts now"));
    }
    if now > request.not_after {
        against.push(format!("its time was over at {}", request.not_after));
    } else if request.not_after > now + longest(&vault.descriptor.lock) {
        let longest = longest(&vault.descriptor.lock);
        against.push(format!("it would last until {}, and no approval lasts longer than {longest}", request.not_after));
    }
    let votes = listed.list.votes(papers.request, papers.signatures);
    let needed = listed.list.needs(request.action);
    Ok(Judged { request, needed, votes, against })
}

fn kept(papers: &Papers<'_>) -> Result<Approval> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| refused("it is not text"));
    let signatures = papers.signatures.iter().map(|signature| text(signature)).collect::<Result<_>>()?;
    Ok(Approval { request: text(papers.request)?, signatures })
}

/// 32 random bytes.
fn random() -> Result<Hash> {
    // A new key's public half is as random as the key, and says nothing of it.
    Ok(hash::hash(SigningKey::generate()?.public().as_bytes()))
}

/// Puts the record under the nonce: whoever puts it first has the approval.
async fn take(vault: &Vault, request: &Request, approval: Approval, now: Time) -> Result<Key> {
    let used = || refused("it was used already, and no approval is used twice");
    let key = layout::spent(&request.nonce);
    // What a delete marker hides was used all the same.
    if is_there(vault, &key).await? {
        return Err(used());
    }
    let spent = Spent { format: FORMAT.to_owned(), vault: request.vault, at: now, approval, run: random()? };
    let document = spent.encode()?;
    let bytes = document.bytes().clone();
    let policy = &vault.descriptor.lock;
    let explicit = policy.by == LockBy::Explicit || vault.store.traits().explicit_locks;
    let usual = policy.lock_from(now);
    let lock = Lock { until: usual.until.max(request.not_after), ..usual };
    let put = vault.store.put_new(&key, &Payload::Public(document), explicit.then_some(lock)).await?;
    // A put that was sent twice finds itself there.
    let mine = match &put {
        Put::Created { version } => first(vault, &key, version.as_ref(), &bytes).await?,
        Put::AlreadyThere => first(vault, &key, None, &bytes).await?,
    };
    if !mine {
        return Err(used());
    }
    let version = match put {
        Put::Created { version } => version,
        Put::AlreadyThere => None,
    };
    locked(&*vault.store, &key, version.as_ref(), request.not_after).await?;
    Ok(key)
}

/// Whether the first version of this key is the one that was just put. Where a server has no conditional puts, two may be there.
async fn first(vault: &Vault, key: &Key, version: Option<&Version>, bytes: &[u8]) -> Result<bool> {
    let all = versions(vault, key).await?;
    if let (Some(oldest), Some(version)) = (all.first(), version) {
        return Ok(oldest == version);
    }
    let range = Some(0..SPENT_LIMIT as u64);
    Ok(vault.store.get(key, all.first(), range).await?.as_ref() == bytes)
}

/// The record must stay for as long as the request could be used.
async fn locked(store: &dyn ObjectStore, key: &Key, version: Option<&Version>, until: Time) -> Result<()> {
    let lock: Option<Lock> = store.lock_of(key, version).await?;
    if lock.is_some_and(|lock| lock.until >= until) {
        return Ok(());
    }
    let has = lock.map_or_else(|| "no lock".to_owned(), |lock| format!("a lock until {}", lock.until));
    Err(GuardError::Unlocked {
        what: format!("{key} has {has}, and must stay until {until}, or the approval could be used again"),
    })
}

/// Whether anything is or was under this name.
async fn is_there(vault: &Vault, key: &Key) -> Result<bool> {
    if vault.store.traits().versions {
        return Ok(!versions(vault, key).await?.is_empty());
    }
    match vault.store.head(key, None).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How far ahead a request may end: no further than its record is locked when it is used.
pub(super) fn longest(policy: &LockPolicy) -> Span {
    let locked = (policy.keep + policy.window).as_seconds().saturating_sub(SLACK);
    Span::seconds(locked.max(SLACK)).min(LONGEST)
}

/// Every version of a key, oldest first. Unlike elsewhere, who may not list them is refused: what is hidden would count as
/// never used. In a store without versions, the object itself.
async fn versions(vault: &Vault, key: &Key) -> Result<Vec<Version>> {
    let mut all = Vec::new();
    if vault.store.traits().versions {
        let mut each = |entry: crate::store::VersionEntry| {
            if entry.key == key.as_str() && !entry.delete_marker {
                all.push(entry.version);
            }
        };
        vault.store.list_versions(key.as_str(), &mut each).await?;
    }
    Ok(all)
}
