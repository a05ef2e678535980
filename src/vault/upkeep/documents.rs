//! The documents that a vault lives by besides its snapshots, whose locks are extended beyond everything else.

use super::{
    Everything,
    due::{Due, GENERATION, Looked, Renewed, generation},
};
use crate::{
    codec::hash,
    format::{
        approval::Approvers,
        certificate::Certificate,
        descriptor::Descriptor,
        dsse::Envelope,
        epoch::EpochRecord,
        layout::{self, ObjectName},
    },
    model::{Cancel, Finding, Severity, Time},
    vault::{Result, Vault, VaultError, fetch, holds::Holds},
};

/// None is larger, in bytes.
const DOCUMENT: u64 = 4 << 20;

/// Whether this is a document that [`metadata`] looks at, if it counts.
pub(super) const fn is_one(is: &ObjectName) -> bool {
    matches!(
        is,
        ObjectName::Descriptor
            | ObjectName::Root(_)
            | ObjectName::Epoch(..)
            | ObjectName::Certificate(..)
            | ObjectName::Approvers(..)
            | ObjectName::Hold(..)
            | ObjectName::Release(..)
    )
}

/// The descriptor, the root and epoch records, the certificates and the lists of approvers, as far as the root vouches for
/// them, and the holds that count and what lifts others: they are kept beyond everything else.
pub(super) async fn metadata(
    vault: &Vault,
    all: &Everything,
    holds: &Holds,
    (now, furthest, cap): (Time, Time, Time),
    cancel: &Cancel,
    done: &mut Renewed,
) -> Result<Vec<Due>> {
    let mut due = Vec::new();
    for (key, stored) in all {
        let wanted = |is: &ObjectName| match is {
            ObjectName::Hold(..) | ObjectName::Release(..) => holds.names(key, now),
            other => is_one(other),
        };
        let Some(is) = layout::parse(key.as_str()).filter(wanted) else { continue };
        for version in stored.iter().filter(|s| !s.marker && s.bytes <= DOCUMENT) {
            if cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            done.reads += 1;
            let lock = match vault.store.get(key, version.version.as_ref(), None).await {
                Ok(bytes) if vouched(vault, &is, &bytes) => vault.store.lock_of(key, version.version.as_ref()).await,
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            let lock = match lock {
                Err(error) if fetch::is_unreadable(error.kind) => {
                    let what = format!("this can't be read, so its lock was not extended: {error}");
                    done.findings.push(Finding::new(Severity::Weak, "lock.unread", what).on(key));
                    continue;
                }
                other => other?,
            };
            let until = generation(furthest + GENERATION).min(cap);
            let short = lock.is_none_or(|lock| lock.until < furthest.min(cap));
            let looked = Looked::Seen {
                version: version.version.clone(),
                bytes: version.bytes,
                lock,
                until: short.then_some(until),
                reads: 1,
            };
            done.take(looked, key.clone(), &mut due);
            break;
        }
    }
    Ok(due)
}

/// Whether these bytes are what this vault's root signed or named.
pub(crate) fn vouched(vault: &Vault, is: &ObjectName, bytes: &[u8]) -> bool {
    let (root, id) = (&vault.descriptor.root, vault.descriptor.vault);
    match is {
        ObjectName::Descriptor => Envelope::decode::<Descriptor>(bytes)
            .and_then(|envelope| Descriptor::open(&envelope))
            .is_ok_and(|descriptor| descriptor.vault == id),
        ObjectName::Root(hash) => hash::hash(bytes) == *hash && vault.descriptor.root_records.contains(hash),
        ObjectName::Epoch(.., hash) => {
            hash::hash(bytes) == *hash
                && Envelope::decode::<EpochRecord>(bytes).is_ok_and(|e| e.open::<EpochRecord>(root, id).is_ok())
        }
        ObjectName::Certificate(.., hash) => {
            hash::hash(bytes) == *hash
                && Envelope::decode::<Certificate>(bytes).is_ok_and(|e| e.open::<Certificate>(root, id).is_ok())
        }
        ObjectName::Approvers(_, hash) => {
            hash::hash(bytes) == *hash
                && Envelope::decode::<Approvers>(bytes).is_ok_and(|e| e.open::<Approvers>(root, id).is_ok())
        }
        // Which of them count was found out before.
        ObjectName::Hold(_, hash) | ObjectName::Release(_, hash) => hash::hash(bytes) == *hash,
        _ => false,
    }
}
