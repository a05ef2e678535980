//! The evidence of a vault: what its members and its root signed about it.

use futures::{StreamExt, stream};

use super::{Result, Vault, VaultError, VaultErrorKind, fetch, members::Members};
use crate::{
    codec::sign::PublicKey,
    format::{
        dsse::Envelope,
        evidence::Evidence,
        layout::{self, ObjectName},
    },
    model::{Finding, Findings, Hash, Key, Name, Severity, Time},
};

/// The member whose name stands under what the root itself signs.
pub const OWNER: &str = "owner";
/// How many pieces are fetched at once.
const AT_ONCE: usize = 4;
/// The most stored bytes that a piece has.
const LARGEST: usize = 6 << 20;

/// A piece of evidence whose signature leads to the vault's root.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    /// Where it is kept.
    pub key: Key,
    /// What was signed.
    pub evidence: Evidence,
    /// Since when the store has it, where its time is a witness.
    pub stored_at: Option<Time>,
    /// Whether its member was revoked from a time before it.
    pub suspect: bool,
}

/// All evidence of a vault, oldest first, and what stands under its names and is none. With `member`, only what that
/// one signed.
///
/// # Errors
/// If the store can't be listed or read.
pub async fn list(vault: &Vault, member: Option<&Name>) -> Result<(Vec<Signed>, Vec<Finding>)> {
    let members = Members::of(vault).await?;
    let prefix = member.map_or_else(|| layout::EVIDENCE.to_owned(), |name| layout::own(layout::EVIDENCE, name));
    let listed = fetch::listed(&*vault.store, &prefix).await?;
    let mut findings = Findings::default();
    findings.extend(listed.finding());
    let mut found = Vec::new();
    let mut refused = None;
    let names = listed.keys.into_iter().filter_map(|(text, versions)| match layout::parse(&text) {
        Some(ObjectName::Evidence(member, hash)) => {
            Some((text.parse::<Key>().ok()?, member, hash, versions.first()?.modified))
        }
        _ => None,
    });
    let opened: Vec<_> = stream::iter(names)
        .map(|(key, member, hash, stored)| {
            let members = &members;
            async move { (one(vault, members, &key, &member, &hash).await, key, stored) }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (opened, key, stored) in opened {
        match opened {
            Ok(evidence) => {
                let stored_at = vault.store.traits().trusted_time.then_some(stored);
                let since = stored_at.map_or(evidence.at, |stored| stored.max(evidence.at));
                let suspect = members.revoked_from(&evidence.member).is_some_and(|from| since >= from);
                found.push(Signed { key, evidence, stored_at, suspect });
            }
            Err(error) if is_foreign(&error) => {
                let what =
                    format!("no evidence that this vault's root vouches for, so it is passed over: {}", error.what);
                findings.push(Finding::new(Severity::Warning, "evidence.foreign", what).on(&key));
            }
            // Whoever may add some can make one that nobody reads.
            Err(error) if error.kind == VaultErrorKind::Denied => {
                let what = format!("this evidence can't be read, so it is passed over: {}", error.what);
                findings.push(Finding::new(Severity::Warning, "evidence.unread", what).on(&key));
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refused.filter(|_| found.is_empty()) {
        return Err(error);
    }
    found.sort_by(|a, b| (a.evidence.at, &a.key).cmp(&(b.evidence.at, &b.key)));
    Ok((found, findings.into_vec()))
}

/// Evidence that was not looked at before.
#[derive(Debug, Default)]
pub struct Newer {
    /// What is well signed of it, the newest [`MOST`] at most.
    pub signed: Vec<Signed>,
    /// The newest is of this time, by the store.
    pub until: Option<Time>,
    /// The keys of that time.
    pub keys: Vec<String>,
}

/// So many pieces are looked at once at most.
pub const MOST: usize = 256;

/// The evidence that the store has since `since` but for `seen`; nothing if these credentials may not read it. What is none
/// is passed over: whoever audits tells of that.
///
/// # Errors
/// If the store can't be listed or read.
pub async fn newer(vault: &Vault, since: Option<Time>, seen: &[String]) -> Result<Option<Newer>> {
    let denied = |kind: VaultErrorKind| kind == VaultErrorKind::Denied;
    let (mut found, mut until) = (Vec::new(), since);
    let mut newer = Newer { until, keys: seen.to_vec(), signed: Vec::new() };
    let mut each = |entry: crate::store::Entry| {
        let late = since.is_none_or(|since| entry.modified >= since) && !seen.contains(&entry.key);
        if late && matches!(layout::parse(&entry.key), Some(ObjectName::Evidence(..))) {
            until = until.max(Some(entry.modified));
            found.push((entry.modified, entry.key));
        }
    };
    if let Err(error) = vault.store.list(layout::EVIDENCE, &mut each).await.map_err(VaultError::from) {
        return if denied(error.kind) { Ok(None) } else { Err(error) };
    }
    if found.is_empty() {
        return Ok(Some(newer));
    }
    if until > since {
        newer.keys.clear();
    }
    newer.until = until;
    newer.keys.extend(found.iter().filter(|(at, _)| Some(*at) == until).map(|(_, key)| key.clone()));
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(MOST);
    let members = Members::of(vault).await?;
    let names = found.into_iter().filter_map(|(at, text)| match layout::parse(&text) {
        Some(ObjectName::Evidence(member, hash)) => Some((text.parse::<Key>().ok()?, member, hash, at)),
        _ => None,
    });
    let opened: Vec<_> = stream::iter(names)
        .map(|(key, member, hash, at)| {
            let members = &members;
            async move { (one(vault, members, &key, &member, &hash).await, key, at) }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut refused = false;
    for (opened, key, stored) in opened {
        match opened {
            Ok(evidence) => {
                let stored_at = vault.store.traits().trusted_time.then_some(stored);
                let since = stored_at.map_or(evidence.at, |stored| stored.max(evidence.at));
                let suspect = members.revoked_from(&evidence.member).is_some_and(|from| since >= from);
                newer.signed.push(Signed { key, evidence, stored_at, suspect });
            }
            Err(error) if denied(error.kind) => refused = true,
            Err(error) if is_foreign(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if refused && newer.signed.is_empty() { None } else { Some(newer) })
}

/// Whatever anybody may have put there proves nothing, and must not close the list of what does.
fn is_foreign(error: &VaultError) -> bool {
    use VaultErrorKind as K;
    matches!(error.kind, K::Damaged | K::Untrusted | K::Newer | K::Draft)
}

pub(crate) async fn one(vault: &Vault, members: &Members, key: &Key, member: &Name, hash: &Hash) -> Result<Evidence> {
    let bytes = fetch::by_hash(&*vault.store, key, None, hash, LARGEST).await?;
    let envelope = Envelope::decode::<Evidence>(&bytes)?;
    let claimed: Evidence = envelope.claims()?;
    let untrusted = |what: String| VaultError::new(VaultErrorKind::Untrusted, what).on(key);
    let signer = signer(vault, members, &claimed).map_err(untrusted)?;
    let evidence: Evidence = envelope.open(&signer, vault.descriptor.vault)?;
    if evidence.member != *member || layout::evidence(member, evidence.at, hash) != *key {
        return Err(untrusted("its name is not what it says of itself".to_owned()));
    }
    Ok(evidence)
}

/// The key that must have signed it.
fn signer(vault: &Vault, members: &Members, claimed: &Evidence) -> std::result::Result<PublicKey, String> {
    if claimed.member.as_str() == OWNER {
        return Ok(vault.descriptor.root);
    }
    let certificate = members.get(&claimed.member).ok_or_else(|| format!("there is no member {}", claimed.member))?;
    if !claimed.kind.may_sign(certificate.role) {
        return Err(format!("a {} may not sign evidence of a {}", certificate.role, claimed.kind.as_str()));
    }
    Ok(certificate.signing_key)
}
