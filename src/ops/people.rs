//! `key list`, `add-recipient`, `rotate` and `check`: who opens the backups of a vault. Each of them is one small record; no
//! backup is stored anew.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{OpsError, Result, publish::Publisher};
use crate::{
    codec::{
        hash::{self, ChunkIdKey},
        seal::{self, Opener, Recipient, Sealer},
        sign::SigningKey,
    },
    format::{approval::Action, certificate::Role, dsse::Envelope, epoch::EpochRecord, layout},
    guard::approvals::{self, Deed, Papers, Passed},
    model::{Finding, Hash, Name, Time, VaultId},
    store::Payload,
    vault::{
        Vault, VaultErrorKind,
        keys::{self, Record},
        members::Members,
        snapshots,
    },
};

/// An epoch, as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub struct EpochLine {
    /// Its number.
    pub epoch: u32,
    /// What its packs are sealed to.
    pub recipient: String,
    /// Where its records are, each sealed to people of its own, the oldest first.
    pub records: Vec<String>,
    /// Snapshots of it.
    pub snapshots: u64,
    /// Whether the identities given open it; nothing where none was given.
    pub opens: Option<bool>,
}

/// What `key list` and `key check` find.
#[derive(Debug, Clone, Serialize)]
pub struct KeysReport {
    /// The vault.
    pub vault_id: VaultId,
    /// Its epochs, the oldest first.
    pub epochs: Vec<EpochLine>,
    /// Whether the identities given open the root key; nothing where none was given.
    pub root: Option<bool>,
    /// Snapshots in epochs that they do not open.
    pub closed: u64,
}

/// Looks at the epochs, and which of them `people` open.
///
/// # Errors
/// If the vault can't be read.
pub async fn list(vault: &Vault, people: Option<&Opener>) -> Result<(KeysReport, Vec<Finding>)> {
    let (mut epochs, mut sealed) = (BTreeMap::<u32, EpochLine>::new(), BTreeMap::<Hash, u32>::new());
    for Record { key, record, .. } in keys::records(vault).await?.into_iter().rev() {
        let line = epochs.entry(record.epoch).or_insert_with(|| EpochLine {
            epoch: record.epoch,
            recipient: record.recipient.clone(),
            records: Vec::new(),
            snapshots: 0,
            opens: people.map(|_| false),
        });
        line.records.push(key.to_string());
        sealed.insert(hash::hash(record.sealed.as_bytes()), record.epoch);
        if let (Some(people), Some(false)) = (people, line.opens) {
            line.opens = Some(record.is_opened_by(people)?);
        }
    }
    let listing = snapshots::list(vault).await?;
    for summary in &listing.snapshots {
        if let Some(line) = sealed.get(&summary.epoch).and_then(|epoch| epochs.get_mut(epoch)) {
            line.snapshots += 1;
        }
    }
    let root = match people {
        Some(people) => match keys::root_key(vault, people).await {
            Err(error) if error.kind == VaultErrorKind::Plugin => return Err(error.into()),
            opened => Some(opened.is_ok()),
        },
        None => None,
    };
    let epochs: Vec<EpochLine> = epochs.into_values().collect();
    let closed = epochs.iter().filter(|line| line.opens == Some(false)).map(|line| line.snapshots).sum();
    Ok((KeysReport { vault_id: vault.descriptor.vault, epochs, root, closed }, listing.findings))
}

/// Somebody was added.
#[derive(Debug, Clone, Serialize)]
pub struct AddedReport {
    /// The vault.
    pub vault_id: VaultId,
    /// Who.
    pub recipients: Vec<String>,
    /// The epochs that they open now.
    pub epochs: Vec<u32>,
    /// Epochs that they don't, since the identity given opens them neither.
    pub left_out: Vec<u32>,
    /// Where the new records are.
    pub records: Vec<String>,
    /// Until when these can't be deleted.
    pub locked_until: Time,
}

/// Lets people open the backups that are there and that come: one record more for each epoch that `owner` opens. They do not
/// open the root key.
///
/// # Errors
/// If `owner` does not open the root key, or opens no epoch.
pub async fn add(vault: &Vault, owner: &Opener, recipients: Vec<Recipient>) -> Result<AddedReport> {
    let root = keys::root_key(vault, owner).await?;
    let at = vault.store.server_time().await?;
    let names: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let people = Sealer::new(recipients);
    let (mut revs, mut opened) = (BTreeMap::<u32, u32>::new(), BTreeMap::<u32, EpochRecord>::new());
    for Record { record, .. } in keys::records(vault).await? {
        let rev = revs.entry(record.epoch).or_default();
        *rev = record.rev.max(*rev);
        if !opened.contains_key(&record.epoch) && record.is_opened_by(owner)? {
            opened.insert(record.epoch, record);
        }
    }
    if opened.is_empty() {
        return Err(OpsError::Request {
            what: "the identity given opens no epoch, so it can let nobody in".to_owned(),
            next: "`strongroom key check` says what an identity opens; give an owner's".to_owned(),
        });
    }
    let mut report = AddedReport {
        vault_id: vault.descriptor.vault,
        recipients: names,
        epochs: Vec::new(),
        left_out: revs.keys().filter(|epoch| !opened.contains_key(epoch)).copied().collect(),
        records: Vec::new(),
        locked_until: at,
    };
    for (epoch, record) in opened {
        let rev = revs.get(&epoch).copied().unwrap_or_default().saturating_add(1);
        let (key, until) = publish(vault, &record.reseal(owner, &people, rev)?, &root, at).await?;
        report.epochs.push(epoch);
        report.records.push(key);
        report.locked_until = until;
    }
    Ok(report)
}

/// A new epoch was made.
#[derive(Debug, Clone, Serialize)]
pub struct RotateReport {
    /// The vault.
    pub vault_id: VaultId,
    /// The new epoch.
    pub epoch: u32,
    /// Who opens it.
    pub recipients: Vec<String>,
    /// Where its record is.
    pub record: String,
    /// Until when it can't be deleted.
    pub locked_until: Time,
    /// Writers that go on sealing to epochs before it.
    pub writers: Vec<Name>,
    /// Who approved, if that was needed.
    pub approved_by: Vec<Name>,
}

/// What a rotation is, as approvers read it: who opens what comes.
///
/// # Errors
/// If nobody would.
pub fn deed(recipients: &[String]) -> Result<Deed> {
    let mut names: Vec<&str> = recipients.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(OpsError::Request {
            what: "who is to open the new epoch?".to_owned(),
            next: "name all who stay, by their recipients: whoever is not named is left out".to_owned(),
        });
    }
    Ok(Deed::new(Action::RemoveRecipient, [("recipients", names.join(", "))]))
}

/// Makes a new epoch that these people open and nobody else. Writers that are added from now on seal to it.
///
/// # Errors
/// `NotApproved` where the root asks for approvals, or if `owner` is not among the people or does not open the root key.
pub async fn rotate(
    vault: &Vault,
    owner: &Opener,
    recipients: Vec<Recipient>,
    papers: Option<Papers<'_>>,
) -> Result<(RotateReport, Vec<Finding>)> {
    let names: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let deed = deed(&names)?;
    let root = keys::root_key(vault, owner).await?;
    let records = keys::records(vault).await?;
    let epoch = records.iter().map(|each| each.record.epoch).max().unwrap_or_default().saturating_add(1);
    let (identity, _) = seal::generate_identity();
    let record = EpochRecord::seal(
        vault.descriptor.vault,
        epoch,
        &identity,
        &ChunkIdKey::generate()?,
        &Sealer::new(recipients),
    )?;
    if !record.is_opened_by(owner)? {
        return Err(OpsError::Request {
            what: "the identity given would not open the new epoch, so nobody here could add a writer to it".to_owned(),
            next: "name its recipient, too: `age-keygen -y` prints it".to_owned(),
        });
    }
    let members = Members::of(vault).await?;
    let writers = members.iter().filter(|member| member.role == Role::Writer && member.revoked_from.is_none());
    let writers = writers.map(|member| member.name.clone()).collect();
    let passed = approvals::spend(vault, &deed, papers).await?;
    let at = vault.store.server_time().await?;
    let (key, locked_until) = publish(vault, &record, &root, at).await?;
    let approved_by = match passed {
        Passed::NotNeeded => Vec::new(),
        Passed::Spent { people, .. } => people,
    };
    let report = RotateReport {
        vault_id: vault.descriptor.vault,
        epoch,
        recipients: names,
        record: key,
        locked_until,
        writers,
        approved_by,
    };
    Ok((report, members.findings))
}

async fn publish(vault: &Vault, record: &EpochRecord, root: &SigningKey, at: Time) -> Result<(String, Time)> {
    let document = Envelope::sign(record, root)?.encode()?;
    let key = layout::epoch_record(record.epoch, record.rev, &hash::hash(document.bytes()));
    let publisher = Publisher::new(&*vault.store, &vault.descriptor.lock, at);
    let Some(lock) = publisher.put(&key, &Payload::Public(document)).await? else {
        return Err(OpsError::Request {
            what: format!("{key} already exists"),
            next: "somebody else changed the keys at the same moment: look, and run the command again".to_owned(),
        });
    };
    Ok((key.to_string(), lock.until))
}
