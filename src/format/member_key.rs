//! The key file of a member that writes no backups: a driller, an auditor or a pruner. What it can do is sign evidence.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    FORMAT, FormatError, Result,
    certificate::{Certificate, Role},
    descriptor::Descriptor,
    dsse::Envelope,
    text,
};
use crate::{
    codec::sign::SigningKey,
    model::{Name, VaultId},
};

const WHAT: &str = "member key";
const LIMIT: usize = 64 << 10;

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct File {
    comment: String,
    format: String,
    #[zeroize(skip)]
    vault: VaultId,
    signing_key: String,
    #[zeroize(skip)]
    descriptor: Envelope,
    #[zeroize(skip)]
    certificate: Envelope,
}

/// A member: who it is and what it signs with.
pub struct Member {
    /// Its name, which is the prefix of its evidence and canaries.
    pub name: Name,
    /// What its signature is good for.
    pub role: Role,
    /// The vault that it belongs to.
    pub descriptor: Descriptor,
    /// Its certificate.
    pub certificate: Certificate,
    /// What it signs with.
    pub signing_key: SigningKey,
}

/// Encodes the key file of a member that is no writer.
///
/// # Errors
/// If encoding fails.
pub fn encode(
    certificate: &Certificate,
    key: &SigningKey,
    descriptor: &Envelope,
    signed: &Envelope,
) -> Result<Zeroizing<Vec<u8>>> {
    let (name, role) = (&certificate.name, certificate.role);
    let file = File {
        comment: format!(
            "Key of strongroom {role} {name}. It signs what {name} finds, and opens no backup. Keep it 0600."
        ),
        format: FORMAT.to_owned(),
        vault: certificate.vault,
        signing_key: key.to_hex().to_string(),
        descriptor: descriptor.clone(),
        certificate: signed.clone(),
    };
    let plain = serde_json::to_vec_pretty(&file).map_err(|e| FormatError::damaged(WHAT, e.to_string()))?;
    Ok(Zeroizing::new(plain))
}

/// Opens a member's key file and checks that all of it belongs together. A writer's key file, which holds the same and
/// more, is one too.
///
/// # Errors
/// If it is no key file, was altered, or is of another format version.
pub fn open(bytes: &[u8]) -> Result<Member> {
    let file: File = text::decode(WHAT, bytes, LIMIT)?;
    let descriptor = Descriptor::open(&file.descriptor)?;
    if descriptor.vault != file.vault {
        return Err(FormatError::untrusted(WHAT, "its descriptor is of another vault"));
    }
    let certificate: Certificate = file.certificate.open(&descriptor.root, file.vault)?;
    let signing_key = SigningKey::from_hex(&file.signing_key)?;
    if certificate.signing_key != signing_key.public() {
        return Err(FormatError::untrusted(WHAT, "its key is not that of its certificate"));
    }
    Ok(Member { name: certificate.name.clone(), role: certificate.role, descriptor, certificate, signing_key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::hash::hash,
        model::{LockBy, LockMode, LockPolicy, Span, Time},
    };

    /// A driller's key file whose certificate `by` signed, or the root if nobody else is given.
    fn made(by: Option<&SigningKey>) -> Result<Member> {
        let (root, key, now) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap(), Time::from_unix(9));
        let lock = LockPolicy {
            mode: LockMode::Compliance,
            by: LockBy::Explicit,
            keep: Span::days(5),
            window: Span::days(2),
            max_lock: Span::days(9),
        };
        let descriptor = Descriptor::new(root.public(), hash(b"nonce"), now, Vec::new(), lock);
        let certificate = Certificate {
            format: FORMAT.to_owned(),
            vault: descriptor.vault,
            name: "ci".parse().unwrap(),
            rev: 1,
            role: Role::Driller,
            signing_key: key.public(),
            catalog_recipient: None,
            valid_from: now,
            revoked_from: None,
            sources: Vec::new(),
        };
        let signed = Envelope::sign(&certificate, by.unwrap_or(&root)).unwrap();
        open(&encode(&certificate, &key, &Envelope::sign(&descriptor, &root).unwrap(), &signed).unwrap())
    }

    #[test]
    fn only_the_root_makes_members() {
        let member = made(None).unwrap();
        assert_eq!((member.name.as_str(), member.role), ("ci", Role::Driller));
        assert!(matches!(made(Some(&SigningKey::generate().unwrap())), Err(FormatError::Untrusted { .. })));
    }
}
