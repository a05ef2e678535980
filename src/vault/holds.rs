//! Holds: snapshots that a keeper or the root keeps, whatever their expiry, and the releases that lift holds.
//!
//! A hold counts by its signature and by what the store says of its time. Nothing that a writer can sign makes, lifts or
//! shortens one.

use super::{
    Result, Vault, VaultError, VaultErrorKind,
    approvers::{Listed, Lists},
    copies::Copies,
    evidence::OWNER,
    members::Members,
    signed,
};
use crate::{
    codec::sign::PublicKey,
    format::{
        approval::{Action, Request, Vote},
        certificate::Role,
        dsse::{Document, Envelope},
        hold::{Hold, Release},
        layout::{self, ObjectName},
    },
    model::{Finding, Findings, Hash, Key, Name, Severity, SnapshotId, Span, Time},
};

/// A hold that a keeper or the root signed.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where it is kept.
    pub key: Key,
    /// The hash of its bytes, by which it is named.
    pub hash: Hash,
    /// What it says.
    pub hold: Hold,
    /// Since when it counts.
    pub since: Time,
    /// Since when it is in this place: what was there by then of a base's journal is held with it, also in a copy that got it
    /// later than the first place did.
    pub there: Time,
    /// Since when it is lifted, and by what.
    pub released: Option<(Time, Key)>,
    /// Whether its keeper was revoked from a time before it. Then it holds nothing.
    pub suspect: bool,
}

impl Held {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        !self.suspect && self.released.is_none() && self.hold.until > now
    }
}

/// All holds of a vault.
#[derive(Debug, Default)]
pub struct Holds {
    /// Those that a keeper or the root signed, oldest first.
    pub all: Vec<Held>,
    /// The documents that lift them.
    pub releases: Vec<(Key, Hash, Time)>,
    /// What stands under the name of a hold and can't be read or is damaged, so that nobody knows what it holds.
    pub unread: Vec<Key>,
    /// What stands under these names and counts for nothing.
    pub findings: Vec<Finding>,
}

impl Holds {
    /// Reads all holds and what lifts them, hidden ones included.
    ///
    /// # Errors
    /// If the store can't be listed or read, or the lists of approvers can't be.
    pub async fn of(vault: &Vault) -> Result<Self> {
        let hash = |object: &ObjectName| match object {
            ObjectName::Hold(_, hash) => Some(*hash),
            _ => None,
        };
        let (named, unlisted) = signed::below(vault, layout::HOLDS, limit::<Hold>(), hash).await?;
        let mut holds = Self::default();
        if named.is_empty() {
            return Ok(holds);
        }
        let mut findings = Findings::default();
        findings.extend(unlisted);
        let members = Members::of(vault).await?;
        for one in named {
            match opened(vault, &members, one) {
                Ok(held) => holds.all.push(held),
                Err((key, error)) => {
                    let damaged = error.kind == VaultErrorKind::Damaged && error.object.is_some();
                    if damaged || !matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) {
                        let what = format!("what this holds is not known: {}", error.what);
                        findings.push(Finding::new(Severity::Warning, "hold.unread", what).on(&key));
                        holds.unread.push(key);
                    } else {
                        let what = format!("no hold of a keeper or the root, so it holds nothing: {}", error.what);
                        findings.push(Finding::new(Severity::Warning, "hold.foreign", what).on(&key));
                    }
                }
            }
        }
        holds.came_along(vault, &members).await?;
        holds.all.sort_by(|a, b| (a.since, &a.key).cmp(&(b.since, &b.key)));
        holds.lift(vault, &members, &mut findings).await?;
        holds.findings = findings.into_vec();
        Ok(holds)
    }

    /// A hold that was copied here counts by its own time: in the first place it was there before its keeper was revoked, or
    /// it had not been copied. Nothing but headers and holds that a copy brings is believed so, and a hold only keeps.
    async fn came_along(&mut self, vault: &Vault, members: &Members) -> Result<()> {
        if !vault.store.traits().trusted_time || !self.all.iter().any(|held| held.suspect) {
            return Ok(());
        }
        let there = self.all.iter().filter(|held| held.suspect).map(|held| held.there).collect::<Vec<_>>();
        let copies = Copies::of(&*vault.store).await?.proven(vault, Some(there)).await?;
        for held in self.all.iter_mut().filter(|held| held.suspect && copies.cover(held.there)) {
            held.since = held.hold.at.min(held.since);
            held.suspect = members.revoked_from(&held.hold.member).is_some_and(|from| held.since >= from);
        }
        Ok(())
    }

    /// Reads the releases, and lifts what they lift.
    async fn lift(&mut self, vault: &Vault, members: &Members, findings: &mut Findings) -> Result<()> {
        let hash = |object: &ObjectName| match object {
            ObjectName::Release(_, hash) => Some(*hash),
            _ => None,
        };
        let (named, _) = signed::below(vault, layout::RELEASES, limit::<Release>(), hash).await?;
        if named.is_empty() {
            return Ok(());
        }
        let lists = Lists::of(vault).await?;
        findings.extend(lists.findings.iter().cloned());
        for one in named {
            let (key, hash) = (one.key.clone(), one.hash);
            let judged = one.read.map_err(|error| error.what).and_then(|(bytes, stored)| {
                let release = release(vault, members, &one.object, &key, &bytes).map_err(|error| error.what)?;
                let since = signed::since(vault, stored, release.at);
                let revoked = members.revoked_from(&release.member).is_some_and(|from| since >= from);
                if revoked {
                    return Err(format!("{} was revoked from a time before it", release.member));
                }
                // Within one second nobody knows whether the list or the release came first.
                let before = Time::from_unix(since.unix().saturating_sub(1));
                agreed(vault, lists.at(since)?, &release, since)
                    .or_else(|why| agreed(vault, lists.at(before)?, &release, since).map_err(|_| why))?;
                Ok((release.hold, since))
            });
            match judged {
                Ok((hold, since)) => {
                    self.releases.push((key.clone(), hash, since));
                    let lifted = self.all.iter_mut().find(|held| held.hash == hold && held.released.is_none());
                    if let Some(held) = lifted {
                        held.released = Some((since, key));
                    }
                }
                Err(why) => {
                    let what = format!("this lifts no hold: {why}");
                    findings.push(Finding::new(Severity::Warning, "release.refused", what).on(&key));
                }
            }
        }
        Ok(())
    }

    /// Those that hold at `now`.
    pub fn active(&self, now: Time) -> impl Iterator<Item = &Held> {
        self.all.iter().filter(move |held| held.holds(now))
    }

    /// Whether a hold keeps a snapshot at `now`, or did until less than `grace` ago.
    #[must_use]
    pub fn kept(&self, snapshot: &SnapshotId, now: Time, grace: Span) -> bool {
        let lasts = |held: &&Held| {
            let ends = held.released.as_ref().map_or(held.hold.until, |(at, _)| held.hold.until.min(*at));
            !held.suspect && ends + grace > now
        };
        self.all.iter().filter(lasts).any(|held| held.hold.snapshots.contains(snapshot))
    }

    /// Whether this is the key of a hold that counts, or of what lifts one: while a hold would last, both are needed.
    #[must_use]
    pub fn names(&self, key: &Key, now: Time) -> bool {
        let lasting = || self.all.iter().filter(|held| !held.suspect && held.hold.until > now);
        lasting().any(|held| held.key == *key || held.released.as_ref().is_some_and(|(_, by)| by == key))
    }

    /// Until when a snapshot is held at `now`, by the hold that holds it longest.
    #[must_use]
    pub fn until(&self, snapshot: &SnapshotId, now: Time) -> Option<Time> {
        let of = self.active(now).filter(|held| held.hold.snapshots.contains(snapshot));
        of.map(|held| held.hold.until).max()
    }
}

/// The most stored bytes that a document has.
const fn limit<T: Document>() -> usize {
    T::LIMIT * 4 / 3 + 4096
}

fn opened(vault: &Vault, members: &Members, one: signed::Named) -> std::result::Result<Held, (Key, VaultError)> {
    let signed::Named { key, object, hash, read } = one;
    let hold = || -> Result<Held> {
        let (bytes, stored) = read?;
        let envelope = Envelope::decode::<Hold>(&bytes)?;
        let claimed: Hold = envelope.claims()?;
        let hold: Hold = envelope.open(&signer(vault, members, &claimed.member)?, vault.descriptor.vault)?;
        let named = matches!(&object, ObjectName::Hold(member, _) if *member == hold.member);
        if !named || layout::hold(&hold.member, hold.at, &hash) != key {
            return Err(signed::misnamed(&key));
        }
        let since = signed::since(vault, stored, hold.at);
        let suspect = members.revoked_from(&hold.member).is_some_and(|from| since >= from);
        let there = since.max(stored);
        Ok(Held { key: key.clone(), hash, hold, since, there, released: None, suspect })
    };
    hold().map_err(|error| (key.clone(), error))
}

fn release(vault: &Vault, members: &Members, object: &ObjectName, key: &Key, bytes: &[u8]) -> Result<Release> {
    let envelope = Envelope::decode::<Release>(bytes)?;
    let claimed: Release = envelope.claims()?;
    let release: Release = envelope.open(&signer(vault, members, &claimed.member)?, vault.descriptor.vault)?;
    match object {
        ObjectName::Release(member, hash)
            if *member == release.member && layout::release(member, release.at, hash) == *key =>
        {
            Ok(release)
        }
        _ => Err(signed::misnamed(key)),
    }
}

/// The key that must have signed: the root's, or a keeper's.
fn signer(vault: &Vault, members: &Members, member: &Name) -> Result<PublicKey> {
    if member.as_str() == OWNER {
        return Ok(vault.descriptor.root);
    }
    let untrusted = |what: String| VaultError::new(VaultErrorKind::Untrusted, what);
    let certificate = members.get(member).ok_or_else(|| untrusted(format!("there is no member {member}")))?;
    if certificate.role != Role::Keeper {
        return Err(untrusted(format!("a {} holds nothing and lifts no hold", certificate.role)));
    }
    Ok(certificate.signing_key)
}

/// Fails unless those agreed who had to by the list that counted when it was stored.
pub(super) fn agreed(
    vault: &Vault,
    listed: Option<&Listed>,
    release: &Release,
    since: Time,
) -> std::result::Result<(), String> {
    let needed = listed.map(|listed| &listed.list).filter(|list| list.needs(Action::Release) > 0);
    let Some(list) = needed else {
        let own = release.member.as_str() == OWNER;
        return if own { Ok(()) } else { Err("only the root lifts a hold here, and a keeper signed it".to_owned()) };
    };
    let approval = release.approval.as_ref().ok_or("nobody approved it")?;
    let request = Request::decode(approval.request.as_bytes()).map_err(|error| error.to_string())?;
    let of = (request.vault, request.action, request.approvers);
    if of != (vault.descriptor.vault, Action::Release, list.rev)
        || request.parameters != parameters(&release.hold)
        || since > request.not_after
    {
        return Err("what was approved is something else, or its time was over".to_owned());
    }
    let votes = list.votes(approval.request.as_bytes(), &approval.signatures);
    let (have, need) = (votes.iter().filter(|vote| matches!(vote, Vote::Of(_))).count(), list.needs(Action::Release));
    if u64::try_from(have).unwrap_or(u64::MAX) < u64::from(need) {
        return Err(format!("{have} people approved it, and {need} have to"));
    }
    Ok(())
}

/// The parameters of a request to lift a hold.
#[must_use]
pub fn parameters(hold: &Hash) -> std::collections::BTreeMap<String, String> {
    std::iter::once(("hold".to_owned(), hold.to_string())).collect()
}
