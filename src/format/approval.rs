//! `approvers/<rev>-<hash>.json`: who has to agree to what, signed by the root; what they sign; and
//! `approvals/<nonce>.json`, which says that an approval was used.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{FORMAT, FormatError, Public, Result, dsse::Document, text};
use crate::{
    codec::ssh::{self, SshKey},
    model::{Hash, Name, Time, VaultId},
};

/// What `ssh-keygen -Y sign -n` is given.
pub const NAMESPACE: &str = "strongroom-approval";
/// The largest request, in bytes.
pub const REQUEST_LIMIT: usize = 16 << 10;
/// So many signatures are looked at.
pub const SIGNATURES: usize = 64;
/// So many approvers there may be.
const PEOPLE: usize = 64;
/// So many keys one may have.
const KEYS: usize = 8;

/// What can need approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Deleting what no snapshot needs.
    Prune,
    /// Lifting a hold.
    Release,
    /// Opening the air gap again.
    Open,
    /// Taking a revocation back.
    RevokeUndo,
    /// Leaving somebody out of the next epoch.
    RemoveRecipient,
    /// Restoring into a server.
    RestoreInto,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Prune, Self::Release, Self::Open, Self::RevokeUndo, Self::RemoveRecipient, Self::RestoreInto];

    /// As documents and the command line spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prune => "prune",
            Self::Release => "release",
            Self::Open => "open",
            Self::RevokeUndo => "revoke-undo",
            Self::RemoveRecipient => "remove-recipient",
            Self::RestoreInto => "restore-into",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let all = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or_else(|| format!("the actions are {all}"))
    }
}

/// A person who may approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who it is.
    pub name: Name,
    /// The keys that this person signs with; several count as one person.
    pub keys: Vec<SshKey>,
}

/// Who has to agree to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvers {
    /// The format version of this document.
    pub format: String,
    /// The vault that it is about.
    pub vault: VaultId,
    /// Which revision this is; the highest counts.
    pub rev: u32,
    /// When the root signed it, by the store's clock.
    pub at: Time,
    /// The people.
    pub people: Vec<Approver>,
    /// How many of them an action needs. What is not named here needs none.
    pub needs: BTreeMap<String, u32>,
}

impl Document for Approvers {
    const WHAT: &'static str = "list of approvers";
    const TYPE: &'static str = "application/vnd.strongroom.approvers+json";
    const LIMIT: usize = 256 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

/// What one signature counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// It is by this approver.
    Of(Name),
    /// It is by nobody who counts.
    Nobody(String),
}

impl Approvers {
    /// How many people this action needs.
    #[must_use]
    pub fn needs(&self, action: Action) -> u32 {
        self.needs.get(action.as_str()).copied().unwrap_or_default()
    }

    /// Fails if the list contradicts itself, so that it could not be obeyed or one person could count twice.
    ///
    /// # Errors
    /// `Damaged`, which says why.
    pub fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(FormatError::damaged(Self::WHAT, why));
        if self.people.len() > PEOPLE {
            return wrong(format!("it names more than {PEOPLE} people"));
        }
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for person in &self.people {
            if !names.insert(&person.name) {
                return wrong(format!("{} stands there twice", person.name));
            }
            if person.keys.is_empty() || person.keys.len() > KEYS {
                return wrong(format!("{} must have between one and {KEYS} keys", person.name));
            }
            for key in &person.keys {
                if !keys.insert(key.to_string()) {
                    return wrong(format!("the key {} stands there twice", key.fingerprint()));
                }
            }
        }
        for (action, needed) in &self.needs {
            if usize::try_from(*needed).unwrap_or(usize::MAX) > self.people.len() {
                return wrong(format!("{action} needs {needed} people, and there are {}", self.people.len()));
            }
        }
        Ok(())
    }

    /// What each signature of `request` counts for. One person counts once, whatever the number of keys.
    pub fn votes<S: AsRef<[u8]>>(&self, request: &[u8], signatures: &[S]) -> Vec<Vote> {
        let mut seen = BTreeSet::new();
        let mut vote = |signature: &S| {
            let key = match ssh::signer(signature.as_ref(), NAMESPACE, request) {
                Ok(key) => key,
                Err(error) => return Vote::Nobody(error.to_string()),
            };
            let Some(person) = self.people.iter().find(|person| person.keys.contains(&key)) else {
                return Vote::Nobody(format!("the key {} is not an approver's", key.fingerprint()));
            };
            if seen.insert(person.name.clone()) {
                Vote::Of(person.name.clone())
            } else {
                Vote::Nobody(format!("{} signed more than once, and counts once", person.name))
            }
        };
        signatures.iter().take(SIGNATURES).map(&mut vote).collect()
    }
}

/// What people sign: one action with all that it is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The format version of this document.
    pub format: String,
    /// The vault that it is about.
    pub vault: VaultId,
    /// What is to be done.
    pub action: Action,
    /// With what exactly.
    pub parameters: BTreeMap<String, String>,
    /// Why, for those who sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision of the list of approvers that it was made for.
    pub approvers: u32,
    /// Random: no two requests have the same.
    pub nonce: Hash,
    /// When it was made, by the store's clock.
    pub made_at: Time,
    /// When it ends, by the store's clock.
    pub not_after: Time,
}

const REQUEST: &str = "request for approval";

impl Request {
    /// The request as people sign it: lines that can be read.
    ///
    /// # Errors
    /// If it is larger than a request may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| FormatError::damaged(REQUEST, e.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() > REQUEST_LIMIT {
            return Err(FormatError::TooLarge { what: REQUEST, limit: REQUEST_LIMIT });
        }
        Ok(bytes)
    }

    /// Reads a request that is spelled as [`encode`](Self::encode) spells it: what people read is what is done.
    ///
    /// # Errors
    /// If it is spelled in another way, or is none.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let request: Self = text::decode(REQUEST, bytes, REQUEST_LIMIT)?;
        if request.encode()? != bytes {
            return Err(FormatError::damaged(REQUEST, "it was changed after `approve new` made it"));
        }
        Ok(request)
    }
}

/// A request with what people signed, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The request, byte for byte.
    pub request: String,
    /// The signatures, as `ssh-keygen` wrote them.
    pub signatures: Vec<String>,
}

/// An approval that was used. It stands under its nonce, so it can be used once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The format version of this document.
    pub format: String,
    /// The vault that it is about.
    pub vault: VaultId,
    /// When it was used, by the store's clock.
    pub at: Time,
    /// What was approved, and by whom.
    #[serde(flatten)]
    pub approval: Approval,
    /// Random: of two runs that use one approval at once, one finds its own here.
    pub run: Hash,
}

const SPENT: &str = "used approval";
/// The largest used approval, in bytes.
pub const SPENT_LIMIT: usize = 2 << 20;

impl Spent {
    /// The record as it is stored.
    ///
    /// # Errors
    /// If it is larger than one may be.
    pub fn encode(&self) -> Result<Public> {
        let bytes = text::encode(SPENT, self)?;
        if bytes.len() > SPENT_LIMIT {
            return Err(FormatError::TooLarge { what: SPENT, limit: SPENT_LIMIT });
        }
        Ok(Public(bytes.into()))
    }

    /// Reads one. Nothing in it is to be believed but for what its signatures cover.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        text::decode(SPENT, bytes, SPENT_LIMIT)
    }
}

/// A new list of approvers.
#[must_use]
pub fn list(vault: VaultId, rev: u32, at: Time, people: Vec<Approver>, needs: BTreeMap<String, u32>) -> Approvers {
    Approvers { format: FORMAT.to_owned(), vault, rev, at, people, needs }
}
