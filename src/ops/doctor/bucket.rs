//! Whether the bucket is what the vault's promises rest on, by its own word.

use super::{Check, DoctorReport, Patient};
use crate::{
    model::{LockMode, LockPolicy, Span},
    store::{
        Encryption, StoreError,
        s3::{S3Store, Versioning},
    },
};

/// What a new object gets in the bucket whose put asks for nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Default {
    pub(super) mode: LockMode,
    pub(super) span: Span,
}

impl Default {
    /// The lock that something put at `now` must have, allowing for a store that counts from a moment before.
    pub(super) fn until_at_least(self, now: crate::model::Time) -> crate::model::Lock {
        let span = Span::seconds(self.span.as_seconds().saturating_sub(86_400));
        crate::model::Lock { mode: self.mode, until: now + span }
    }
}

/// Looks at the bucket; returns its default retention, if it has one.
pub(super) async fn check(
    patient: &Patient<'_>,
    bucket: &S3Store,
    keep: Option<Span>,
    report: &mut DoctorReport,
) -> Option<Default> {
    let admin = bucket.admin();
    report.checks.push(match admin.versioning().await {
        Ok(Versioning::Enabled) => Check::ok("versioning", "the bucket keeps every version"),
        Ok(_) => {
            Check::failed("versioning", "the bucket keeps no versions, so whoever may write can replace what is there")
        }
        Err(error) => Check::could_not_run("versioning", error.to_string()).must(),
    });
    let default = match admin.lock().await {
        Ok(Some(lock)) => {
            report.checks.push(Check::ok("object-lock", "the bucket has object lock"));
            lock.default.map(|(mode, span)| Default { mode, span })
        }
        Ok(None) => {
            let detail = "the bucket has no object lock, so nothing in it is protected";
            report.checks.push(Check::failed("object-lock", detail));
            None
        }
        Err(error) => {
            report.checks.push(Check::could_not_run("object-lock", error.to_string()).must());
            return None;
        }
    };
    let check = retention(patient, default, keep, report);
    report.checks.push(check);
    report.checks.push(lifecycle(admin.lifecycle().await));
    report.checks.push(match admin.encryption().await {
        Ok(Encryption::Stores) => {
            Check::ok("encryption", "no key but the store's own is needed to read what is stored")
        }
        Ok(Encryption::Key { account, id }) => key(bucket, account.as_deref(), &id).await,
        Err(error) => Check::could_not_run("encryption", error.to_string()),
    });
    default
}

/// Whether new objects are locked as long as the vault promises, and what that costs.
fn retention(patient: &Patient<'_>, default: Option<Default>, keep: Option<Span>, report: &mut DoctorReport) -> Check {
    const NAME: &str = "default-retention";
    let policy = patient.vault.descriptor.lock;
    // A configuration may promise less than the vault, never more.
    let keep = keep.unwrap_or(policy.keep);
    if patient.explicit {
        let until = policy.lock_from(patient.now).until;
        (report.locked_until, report.implied_copies) = (Some(until), Some(1.0));
        if keep > policy.keep {
            return Check::failed(
                NAME,
                format!("keep = {keep} is more than the {} of the vault's policy", policy.keep),
            );
        }
        return Check::ok(
            NAME,
            format!("writers ask for their locks; what is stored now can't be deleted before {until}"),
        );
    }
    let Some(Default { mode, span }) = default else {
        let detail = "the bucket locks nothing by default, and the writers of this vault may not set locks themselves";
        return Check::failed(NAME, detail);
    };
    let until = patient.now + span;
    let copies = LockPolicy { keep, window: less(span, keep), ..policy }.implied_copies();
    report.locked_until = Some(until);
    if !mode.covers(policy.mode) {
        let (is, promised) = (mode.as_str(), policy.mode.as_str());
        return Check::failed(NAME, format!("new objects get {is} locks, and the vault promises {promised}"));
    }
    let least = keep + LockPolicy::MIN_WINDOW;
    if span < least || keep > policy.keep {
        let detail = format!(
            "new objects are locked for {span}; to keep each snapshot for {keep} it takes {least}, and the vault's policy \
             promises {}: raise the bucket's default retention, or lower `keep`",
            policy.keep
        );
        return Check::failed(NAME, detail);
    }
    report.implied_copies = Some(copies);
    let detail = format!(
        "new objects are locked for {span} ({}): what is stored now can't be deleted before {until}. With keep = {keep}, \
         unchanged data is stored again every {}, which is {copies:.1} full copies",
        mode.as_str(),
        less(span, keep)
    );
    Check::ok(NAME, detail)
}

fn less(a: Span, b: Span) -> Span {
    Span::seconds(a.as_seconds().saturating_sub(b.as_seconds()))
}

fn lifecycle(rules: Result<Vec<String>, StoreError>) -> Check {
    match rules {
        Ok(rules) if rules.is_empty() => Check::ok("lifecycle", "no rule deletes or moves objects"),
        Ok(rules) => {
            let detail = format!(
                "the bucket has rules of its own: {}. Remove them: `prune` deletes what nothing needs, and knows what is",
                rules.join("; ")
            );
            Check::failed("lifecycle", detail)
        }
        Err(error) => Check::could_not_run("lifecycle", error.to_string()),
    }
}

/// A key that somebody else holds makes every backup theirs to destroy.
async fn key(bucket: &S3Store, account: Option<&str>, id: &str) -> Check {
    const NAME: &str = "encryption";
    let Some(account) = account else {
        let key = if id.is_empty() { "the key service's own key" } else { id };
        let detail =
            format!("new objects are encrypted with {key} of the bucket's account: who deletes it destroys them");
        return Check::ok(NAME, detail);
    };
    match bucket.admin().belongs_to(account).await {
        Ok(true) => {
            Check::ok(NAME, format!("new objects are encrypted with {id} of the bucket's own account {account}"))
        }
        Ok(false) => {
            let detail = format!(
                "new objects are encrypted with {id} of account {account}, which is not the bucket's: whoever holds that \
                 account can make every backup unreadable. Set the bucket's encryption to SSE-S3"
            );
            Check::failed(NAME, detail)
        }
        Err(error) => Check::could_not_run(NAME, error.to_string()),
    }
}
