//! What a verification says nothing of.

use super::{Depth, VerifyRequest, listing::Listed};
use crate::model::Findings;

/// What this verification says nothing of.
pub(super) fn not_checked(
    request: &VerifyRequest,
    listed: &Listed,
    suspects: usize,
    findings: &Findings,
) -> Vec<String> {
    let mut not = Vec::new();
    if suspects > 0 {
        not.push(format!(
            "{suspects} suspect snapshots of revoked writers, beyond what is listed: --snapshot ID checks one"
        ));
    }
    if request.depth < Depth::Read {
        not.push("whether the stored bytes are those that were signed: --depth read does".to_owned());
    }
    if request.depth < Depth::Decrypt {
        not.push("whether the data opens and streams are whole: --depth decrypt does, with an identity".to_owned());
    }
    if let Some((a, b)) = request.sample {
        not.push(format!("the other {} of {b} parts of the data; this was part {a}", b - 1));
    }
    if request.snapshot.is_some() {
        not.push("other snapshots, foreign objects and schedules, since one snapshot was asked for".to_owned());
    }
    if request.checkpoint.is_none() {
        not.push(
            "whether a newest snapshot or a revocation vanished since last time: --checkpoint remembers".to_owned(),
        );
    }
    if !listed.versions {
        not.push("overwrites and delete markers: this store has no versions, or they may not be listed".to_owned());
    }
    let unread = |code: &str| findings.iter().any(|f| f.code == code);
    if unread("members.unread") || unread("documents.unread") {
        not.push("documents that these credentials may not read".to_owned());
    }
    if listed.approvals > 0 {
        not.push(format!("{} used approvals, which nothing needs any more", listed.approvals));
    }
    if listed.canaries > 0 {
        not.push(format!("test objects of `init` and `doctor` ({}), which hold no data", listed.canaries));
    }
    not.push("whether the backed-up data can be used: only a drill checks that".to_owned());
    not
}
