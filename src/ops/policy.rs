//! `policy`: what each role needs of a bucket and nothing more, as the policy documents of three providers.
//!
//! Pure: nothing is asked of any server. What a provider can't express is told beside the document.

mod bucket;
mod document;
mod roles;

use super::{OpsError, Result};
use crate::model::{LockBy, LockMode, Name, Span};

pub use document::{Document, Effect, Statement};

/// Whose policy language it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// AWS IAM and S3.
    Aws,
    /// `SeaweedFS`: AWS's language. Of a request it knows the names alone, in the policies of identities.
    SeaweedFs,
    /// Ceph's object gateway: AWS's language with fewer actions; conditions on what is not there mislead it.
    Ceph,
    /// `MinIO`: AWS's language with fewer actions and conditions, and bucket policies for anonymous requests only.
    Minio,
}

/// Whom the policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyRole {
    /// Stores its own, reads its own text, and never a pack.
    Writer,
    /// Reads, extends locks, and leaves holds.
    Keeper,
    /// Reads.
    Reader,
    /// Reads, and leaves evidence of drills.
    Driller,
    /// Reads, and leaves evidence of verifications.
    Auditor,
    /// Reads, deletes what no lock protects, and proves that locks hold.
    Pruner,
    /// Puts a copy of a vault there, and replaces and deletes nothing.
    Copier,
    /// Changes the bucket's policy, and touches no object: who cuts the ways to it.
    Gate,
    /// The bucket itself, whoever comes.
    Bucket,
}

/// What a policy is made from.
#[derive(Debug, Clone)]
pub struct PolicyRequest {
    /// Whom it is for.
    pub role: PolicyRole,
    /// Whose language.
    pub provider: Provider,
    /// The ARNs' partition: `aws`, but for China and the US government.
    pub partition: &'static str,
    /// The bucket.
    pub bucket: String,
    /// The vault's prefix in it, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Whose own prefixes it opens: the writer's or the member's name.
    pub member: Name,
    /// How strongly the vault's locks are held.
    pub mode: LockMode,
    /// Who sets the locks of new objects.
    pub by: LockBy,
    /// What each snapshot is promised.
    pub keep: Span,
    /// How much longer a writer that sets locks itself locks.
    pub window: Span,
    /// What nobody may lock beyond.
    pub max_lock: Span,
    /// Whether the server is reached by TLS, so that everything else can be refused.
    pub tls: bool,
    /// ARNs that may still change the bucket; only the bucket's policy names them.
    pub admins: Vec<String>,
    /// ARNs of pruners; only the bucket's policy names them.
    pub pruners: Vec<String>,
    /// The account whose principals alone may come; only the bucket's policy names it.
    pub account: Option<String>,
}

/// A policy, and what it can't do.
#[derive(Debug)]
pub struct Policy {
    /// The document.
    pub document: Document,
    /// What this provider leaves to something else, in words.
    pub gaps: Vec<&'static str>,
}

/// Makes the policy.
///
/// # Errors
/// `Request` if the provider has no such policy, or the request contradicts itself.
pub fn policy(request: &PolicyRequest) -> Result<Policy> {
    request.check()?;
    Ok(match request.role {
        PolicyRole::Bucket => bucket::policy(request),
        _ => roles::policy(request),
    })
}

impl Policy {
    /// The same for a server without conditional puts, where a policy that wants them would refuse every put.
    #[must_use]
    pub fn without_conditional_puts(mut self) -> Self {
        let before = self.document.statement.len();
        self.document.statement.retain(|statement| statement.sid != roles::ONLY_NEW);
        if self.document.statement.len() < before {
            self.gaps.push(
                "conditional puts are switched off, so the policy does not want them: let no two writers share a name",
            );
        }
        self
    }
}

impl PolicyRequest {
    fn check(&self) -> Result<()> {
        let refuse = |what: &str, next: &str| Err(OpsError::Request { what: what.to_owned(), next: next.to_owned() });
        if self.role == PolicyRole::Bucket && self.provider == Provider::Minio {
            let next = "give each identity the policy of its role: it carries the same denials";
            return refuse("MinIO holds bucket policies against anonymous requests only", next);
        }
        if self.role == PolicyRole::Gate && self.provider == Provider::Minio {
            let next =
                "cut the ways to it by steps with commands of their own, such as one that disables the writer's user";
            return refuse(
                "MinIO holds bucket policies against anonymous requests only, so nothing is cut by one",
                next,
            );
        }
        let principals = !(self.admins.is_empty() && self.pruners.is_empty() && self.account.is_none());
        if principals && (self.role != PolicyRole::Bucket || self.provider != Provider::Aws) {
            let next = "leave --admin, --pruner and --account out, or ask for `policy bucket --provider aws`";
            return refuse("only the bucket's policy on AWS names principals", next);
        }
        if self.keep + self.window > self.max_lock {
            return refuse("--max-lock is less than keep and window", "give a longer --max-lock, or a shorter --keep");
        }
        Ok(())
    }

    /// An ARN of the bucket or of something in it.
    fn arn(&self, path: &str) -> String {
        format!("arn:{}:s3:::{}{path}", self.partition, self.bucket)
    }

    /// The bucket.
    fn bucket(&self) -> Vec<String> {
        vec![self.arn("")]
    }

    /// Everything in the bucket.
    fn everything(&self) -> Vec<String> {
        vec![self.arn("/*")]
    }

    /// Objects of the vault.
    fn objects(&self, patterns: &[String]) -> Vec<String> {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        patterns.iter().map(|pattern| self.arn(&format!("/{}{slash}{pattern}", self.prefix))).collect()
    }

    /// What the provider knows of a put's headers, in the policies of identities.
    fn sees_locks(&self) -> bool {
        !matches!(self.provider, Provider::SeaweedFs | Provider::Ceph)
    }

    /// The lock mode that nobody may set.
    fn other_mode(&self) -> &'static str {
        match self.mode {
            LockMode::Compliance => "GOVERNANCE",
            LockMode::Governance => "COMPLIANCE",
        }
    }
}

/// Whole days, rounded up.
fn days(span: Span) -> u64 {
    span.as_seconds().div_ceil(86_400)
}
