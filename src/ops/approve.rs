//! `approvers` and `approve`: who has to agree to what, and how a request stands.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{OpsError, Result, publish::Publisher};
use crate::{
    codec::{hash, seal::Opener, ssh::SshKey},
    format::{
        approval::{self, Action, Approver, Request, Vote},
        dsse::Envelope,
        layout,
    },
    guard::{
        GuardError,
        approvals::{self, Deed, Papers},
        holds,
    },
    model::{Finding, Hash, Name, Span, Time, VaultId},
    store::Payload,
    vault::{
        Vault,
        approvers::{Listed, Lists},
        holds::{Holds, parameters},
        keys,
    },
};

/// One approver, as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub struct ApproverLine {
    /// Who.
    pub name: Name,
    /// The fingerprints of the keys.
    pub keys: Vec<String>,
}

/// A list of approvers, as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub struct ApproversReport {
    /// The vault.
    pub vault_id: VaultId,
    /// Where the list is kept.
    pub key: String,
    /// Its revision.
    pub rev: u32,
    /// Since when it counts.
    pub since: Time,
    /// The people.
    pub people: Vec<ApproverLine>,
    /// How many of them each action needs.
    pub needs: BTreeMap<String, u32>,
}

impl ApproversReport {
    fn of(listed: &Listed) -> Self {
        let Listed { key, list, since } = listed;
        let line = |person: &Approver| ApproverLine {
            name: person.name.clone(),
            keys: person.keys.iter().map(SshKey::fingerprint).collect(),
        };
        Self {
            vault_id: list.vault,
            key: key.to_string(),
            rev: list.rev,
            since: *since,
            people: list.people.iter().map(line).collect(),
            needs: list.needs.clone(),
        }
    }
}

/// Signs a new list of approvers, which counts from now on in place of every other.
///
/// # Errors
/// If the list contradicts itself, or `owner` does not open the root key.
pub async fn set(
    vault: &Vault,
    owner: &Opener,
    people: Vec<Approver>,
    needs: BTreeMap<String, u32>,
) -> Result<(ApproversReport, Vec<Finding>)> {
    let lists = Lists::of(vault).await?;
    let rev = lists.iter().map(|listed| listed.list.rev).max().unwrap_or_default();
    let rev = rev.checked_add(1).ok_or(OpsError::Defect("the numbers of the lists of approvers"))?;
    let root = keys::root_key(vault, owner).await?;
    let at = vault.store.server_time().await?;
    let list = approval::list(vault.descriptor.vault, rev, at, people, needs);
    list.check().map_err(|error| OpsError::Request {
        what: error.to_string(),
        next: "give each approver once, with --approver NAME=FILE, and no more of them with --need than there are"
            .to_owned(),
    })?;
    let document = Envelope::sign(&list, &root)?.encode()?;
    let key = layout::approvers(rev, &hash::hash(document.bytes()));
    let publisher = Publisher::new(&*vault.store, &vault.descriptor.lock, at);
    publisher.put(&key, &Payload::Public(document)).await?;
    Ok((ApproversReport::of(&Listed { key, list, since: at }), lists.findings))
}

/// The list of approvers that counts; nothing if the root signed none.
///
/// # Errors
/// If the vault can't be read, or the root signed two of one revision.
pub async fn list(vault: &Vault) -> Result<(Option<ApproversReport>, Vec<Finding>)> {
    let lists = Lists::of(vault).await?;
    let newest = lists.newest().map_err(|what| GuardError::NotApproved {
        what,
        next: "sign a newer list with `strongroom approvers set`".to_owned(),
    })?;
    Ok((newest.map(ApproversReport::of), lists.findings))
}

/// A request for approvers to sign.
#[derive(Debug, Clone, Serialize)]
pub struct RequestReport {
    /// The text that is signed, byte for byte.
    pub request: String,
    /// What is to be done.
    pub action: Action,
    /// With what.
    pub parameters: BTreeMap<String, String>,
    /// Its number.
    pub nonce: Hash,
    /// Until when it can be used.
    pub not_after: Time,
}

/// Makes a request.
///
/// # Errors
/// If the action needs no approvals, or its parameters make no sense.
pub async fn new(
    vault: &Vault,
    action: Action,
    typed: BTreeMap<String, String>,
    (reason, lasting): (Option<String>, Span),
) -> Result<(RequestReport, Vec<Finding>)> {
    let deed = deed(vault, action, typed).await?;
    let (request, findings) = approvals::request(vault, deed, reason, lasting).await?;
    let bytes = request.encode()?;
    let text = String::from_utf8(bytes).map_err(|_| OpsError::Defect("the encoding of the request"))?;
    let Request { action, parameters, nonce, not_after, .. } = request;
    Ok((RequestReport { request: text, action, parameters, nonce, not_after }, findings))
}

/// What an action's parameters mean, spelled as the acting command spells them.
async fn deed(vault: &Vault, action: Action, mut typed: BTreeMap<String, String>) -> Result<Deed> {
    let refuse = |what: String, next: &str| OpsError::Request { what, next: next.to_owned() };
    match action {
        Action::Prune => {
            let grace = typed.remove("grace").unwrap_or_else(|| super::prune::GRACE.to_string());
            let grace: Span = grace.parse().map_err(|e| refuse(format!("grace: {e}"), "give grace=7d"))?;
            let clock = typed.remove("clock-is-right").is_some();
            if let Some(name) = typed.keys().next() {
                return Err(refuse(format!("prune has no parameter {name:?}"), "give grace=SPAN or nothing"));
            }
            Ok(super::prune::deed(&super::prune::PruneRequest { grace, clock_is_right: clock }))
        }
        Action::Release => {
            let hold = typed.remove("hold").filter(|_| typed.is_empty()).ok_or_else(|| {
                refuse(
                    "which hold is to be lifted?".to_owned(),
                    "give hold=HASH, as `strongroom snapshots --holds` has it",
                )
            })?;
            let (holds, now) = (Holds::of(vault).await?, vault.store.server_time().await?);
            let found = holds::named(&holds, &hold, now)?;
            Ok(Deed { action, parameters: parameters(&found.hash) })
        }
        Action::RevokeUndo => super::member::undoing_typed(typed),
        Action::RemoveRecipient => {
            let names = typed.remove("recipients").filter(|_| typed.is_empty()).unwrap_or_default();
            let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            super::people::deed(&names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>())
        }
        Action::Open | Action::RestoreInto => Ok(Deed { action, parameters: typed }),
    }
}

/// How a request stands.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// What is to be done.
    pub action: Action,
    /// With what.
    pub parameters: BTreeMap<String, String>,
    /// Why.
    pub reason: Option<String>,
    /// Until when it can be used.
    pub not_after: Time,
    /// How many people have to sign.
    pub needed: u32,
    /// Who did.
    pub signed_by: Vec<Name>,
    /// What is wrong with other signatures.
    pub refused: Vec<String>,
    /// Whether it would be let through now.
    pub approved: bool,
    /// What is missing, if something is.
    pub why_not: String,
}

/// Looks how a request stands, without using it.
///
/// # Errors
/// If it is no request, or the vault can't be read.
pub async fn check(vault: &Vault, papers: Papers<'_>) -> Result<(CheckReport, Vec<Finding>)> {
    let (judged, findings) = approvals::judge(vault, None, papers).await?;
    let refused = judged.votes.iter().filter_map(|vote| match vote {
        Vote::Nobody(why) => Some(why.clone()),
        Vote::Of(_) => None,
    });
    let report = CheckReport {
        action: judged.request.action,
        parameters: judged.request.parameters.clone(),
        reason: judged.request.reason.clone(),
        not_after: judged.request.not_after,
        needed: judged.needed,
        signed_by: judged.people().cloned().collect(),
        refused: refused.collect(),
        approved: judged.holds(),
        why_not: judged.why_not(),
    };
    Ok((report, findings))
}
