//! The policies of identities.

use super::{Document, Policy, PolicyRequest, PolicyRole, Provider, Statement, days};
use crate::{
    format::layout,
    model::{LockBy, Span},
};

/// What can be asked of the bucket itself.
const BUCKET_READS: &[&str] = &[
    "s3:ListBucket",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetEncryptionConfiguration",
];
const READ: &[&str] = &["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"];
const DELETE: &[&str] = &["s3:DeleteObject", "s3:DeleteObjectVersion"];
const LIFT: &[&str] = &["s3:BypassGovernanceRetention", "s3:PutObjectLegalHold"];
const LOCK: &str = "s3:PutObjectRetention";
const PUT: &str = "s3:PutObject";
/// What would undo a bucket's protection for what comes after.
pub(super) const CONFIGURE: &[&str] = &[
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:DeleteBucket",
];
/// The statement by which puts replace nothing.
pub(super) const ONLY_NEW: &str = "OnlyNewNames";
/// What Ceph knows no action for, and refuses the whole document over.
pub(super) const NOT_ON_CEPH: [&str; 2] = ["s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration"];
/// What shares an object with others. On Ceph whoever puts an object owns it, and an owner needs no permission.
const SHARE: &[&str] = &["s3:PutObjectAcl", "s3:PutObjectVersionAcl"];
/// What would undo a bucket's policy.
pub(super) const POLICY: &[&str] = &["s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];

pub(super) fn policy(request: &PolicyRequest) -> Policy {
    let statements = match request.role {
        PolicyRole::Writer => writer(request),
        PolicyRole::Keeper => keeper(request),
        PolicyRole::Driller | PolicyRole::Auditor => witness(request),
        PolicyRole::Pruner => pruner(request),
        PolicyRole::Copier => copier(request),
        PolicyRole::Gate => gate(request),
        PolicyRole::Reader | PolicyRole::Bucket => {
            [read_all(request), vec![never(request, "NeverWrite", &[&[PUT, LOCK], DELETE, LIFT].concat())]].concat()
        }
    };
    let mut statements = [statements, common(request)].concat();
    if request.provider == Provider::Ceph {
        statements.extend(owners(request));
        for statement in &mut statements {
            statement.action.retain(|action| !NOT_ON_CEPH.contains(action));
        }
    }
    let document = Document::new(statements);
    Policy { document, gaps: gaps(request) }
}

fn own(request: &PolicyRequest, kinds: &[&str]) -> Vec<String> {
    let patterns: Vec<String> = kinds.iter().map(|kind| format!("{}*", layout::own(kind, &request.member))).collect();
    request.objects(&patterns)
}

fn never(request: &PolicyRequest, sid: &'static str, actions: &[&'static str]) -> Statement {
    Statement::deny(sid, actions, request.everything())
}

fn writer(request: &PolicyRequest) -> Vec<Statement> {
    let text = [layout::INDEXES, layout::LISTS, layout::SNAPSHOTS];
    let data = [&[layout::PACKS, layout::JOURNALS][..], &text].concat();
    let all = [&data[..], &[layout::CANARIES]].concat();
    let trust = [layout::DESCRIPTOR.to_owned(), format!("{}*", layout::MEMBERS), format!("{}*", layout::EVIDENCE)];
    let mut statements = vec![
        Statement::allow("WriteOwn", &[PUT, "s3:GetObjectRetention"], own(request, &all)),
        Statement::allow("ReadOwnTextAndTrust", READ, [own(request, &text), request.objects(&trust)].concat()),
        Statement::allow("LookAtBucket", BUCKET_READS, request.bucket()),
    ];
    if request.by == LockBy::Explicit {
        statements.push(Statement::allow("LockOwn", &[LOCK], own(request, &all)));
        // A day more than it asks for: how the days are rounded is the server's affair.
        statements.extend(lock_bounds(request, request.keep + request.window + Span::days(1)));
        if request.sees_locks() {
            let least = Statement::deny("NoShortLocks", lockers(request), own(request, &data));
            statements.push(least.when("NumericLessThan", REMAINING, request.keep.as_seconds() / 86_400));
        }
        statements.push(never(request, "NeverDestroy", &[DELETE, LIFT].concat()));
    } else {
        statements.push(never(request, "NeverDestroy", &[DELETE, LIFT, &[LOCK]].concat()));
    }
    statements.extend(put_rules(request));
    statements
}

/// What is taken from whoever owns objects since it put them.
fn owners(request: &PolicyRequest) -> Vec<Statement> {
    let mut statements = vec![never(request, "NeverShare", SHARE)];
    if request.role == PolicyRole::Writer {
        let data = [layout::PACKS, layout::JOURNALS, layout::KEYS].map(|kind| format!("{kind}*"));
        let read = ["s3:GetObject", "s3:GetObjectVersion"];
        statements.push(Statement::deny("NeverReadData", &read, request.objects(&data)));
    }
    statements
}

fn read_all(request: &PolicyRequest) -> Vec<Statement> {
    vec![
        Statement::allow("Read", READ, request.objects(&["*".to_owned()])),
        Statement::allow("LookAtBucket", &[BUCKET_READS, &["s3:ListBucketVersions"]].concat(), request.bucket()),
    ]
}

fn keeper(request: &PolicyRequest) -> Vec<Statement> {
    let mut statements = read_all(request);
    statements.push(Statement::allow("ExtendLocks", &[LOCK], request.objects(&["*".to_owned()])));
    statements.extend(lock_bounds(request, request.max_lock));
    let holds = own(request, &[layout::HOLDS, layout::RELEASES]);
    statements.push(Statement::allow("Hold", &[PUT], [holds, approvals(request)].concat()));
    statements.push(never(request, "NeverDestroy", &[DELETE, LIFT].concat()));
    statements.extend(put_rules(request));
    statements
}

/// Where whoever acts on an approval says that it is used.
fn approvals(request: &PolicyRequest) -> Vec<String> {
    request.objects(&[format!("{}*", layout::APPROVALS)])
}

/// Whoever leaves evidence and nothing else.
fn witness(request: &PolicyRequest) -> Vec<Statement> {
    let evidence = own(request, &[layout::EVIDENCE]);
    let mut statements = read_all(request);
    statements.push(Statement::allow("WriteEvidence", &[PUT], evidence.clone()));
    statements.extend(lock_own(request, evidence));
    let lock: &[&str] = if request.by == LockBy::Explicit { &[] } else { &[LOCK] };
    statements.push(never(request, "NeverDestroy", &[DELETE, LIFT, lock].concat()));
    statements.extend(put_rules(request));
    statements
}

fn pruner(request: &PolicyRequest) -> Vec<Statement> {
    let data = [layout::PACKS, layout::INDEXES, layout::LISTS, layout::SNAPSHOTS, layout::JOURNALS];
    let kinds = [&data[..], &[layout::EVIDENCE, layout::CANARIES]].concat();
    let data = request.objects(&kinds.iter().map(|kind| format!("{kind}*")).collect::<Vec<_>>());
    let proof = [own(request, &[layout::CANARIES, layout::EVIDENCE]), approvals(request)].concat();
    let mut statements = read_all(request);
    statements.push(Statement::allow("DeleteWhatNoLockProtects", DELETE, data));
    statements.push(Statement::allow("WriteProof", &[PUT], proof.clone()));
    statements.extend(lock_own(request, proof));
    let lock: &[&str] = if request.by == LockBy::Explicit { &[] } else { &[LOCK] };
    statements.push(never(request, "NeverLiftLocks", &[LIFT, lock].concat()));
    let kept = [layout::KEYS, layout::MEMBERS, layout::HOLDS, layout::RELEASES, layout::APPROVERS, layout::APPROVALS];
    let trust: Vec<String> =
        kept.iter().map(|kind| format!("{kind}*")).chain([layout::DESCRIPTOR.to_owned()]).collect();
    statements.push(Statement::deny("NeverDeleteTrust", DELETE, request.objects(&trust)));
    statements.extend(put_rules(request));
    statements
}

/// Whoever puts a copy there: everything but what a writer of the copy or its people put themselves.
fn copier(request: &PolicyRequest) -> Vec<Statement> {
    let everything = request.objects(&["*".to_owned()]);
    let mut statements = read_all(request);
    statements.push(Statement::allow("WriteCopy", &[PUT], everything.clone()));
    if request.by == LockBy::Explicit {
        statements.push(Statement::allow("LockCopy", &[LOCK], everything));
        statements.extend(lock_bounds(request, request.max_lock));
    }
    let lock: &[&str] = if request.by == LockBy::Explicit { &[] } else { &[LOCK] };
    statements.push(never(request, "NeverDestroy", &[DELETE, LIFT, lock].concat()));
    statements.extend(put_rules(request));
    statements
}

/// Whoever may deny all puts, and lift that again. What it reads and puts itself is nothing.
fn gate(request: &PolicyRequest) -> Vec<Statement> {
    let actions = [&["s3:GetBucketPolicy"], POLICY].concat();
    let objects = [&[PUT, LOCK], READ, DELETE, LIFT].concat();
    vec![Statement::allow("ChangePolicy", &actions, request.bucket()), never(request, "NoObjects", &objects)]
}

/// Where puts ask for their locks, a member may lock its own.
fn lock_own(request: &PolicyRequest, own: Vec<String>) -> Vec<Statement> {
    if request.by != LockBy::Explicit {
        return Vec::new();
    }
    let mut statements = vec![Statement::allow("LockOwn", &[LOCK], own)];
    statements.extend(lock_bounds(request, request.keep + request.window + Span::days(1)));
    statements
}

const STORAGE: &str = "s3:x-amz-storage-class";
pub(super) const REMAINING: &str = "s3:object-lock-remaining-retention-days";
pub(super) const MODE: &str = "s3:object-lock-mode";

/// The actions whose lock the provider tells to conditions on its days.
pub(super) fn lockers(request: &PolicyRequest) -> &'static [&'static str] {
    match request.provider {
        // MinIO holds a put with a lock against the permission to lock, and knows the days there only.
        Provider::Minio => &[LOCK],
        Provider::Aws | Provider::SeaweedFs | Provider::Ceph => &[PUT, LOCK],
    }
}

/// The bounds of locks, where the provider sees them.
pub(super) fn lock_bounds(request: &PolicyRequest, longest: Span) -> Vec<Statement> {
    if !request.sees_locks() {
        return Vec::new();
    }
    let everything = request.everything();
    vec![
        Statement::deny("OnlyThisLockMode", &[PUT, LOCK], everything.clone()).when(
            "StringEquals",
            MODE,
            request.other_mode(),
        ),
        Statement::deny("NoEndlessLocks", lockers(request), everything).when(
            "NumericGreaterThan",
            REMAINING,
            days(longest),
        ),
    ]
}

/// What every put must be, where the provider sees it.
pub(super) fn put_rules(request: &PolicyRequest) -> Vec<Statement> {
    let rule = |sid, key, null: &str| never(request, sid, &[PUT]).when("Null", key, null);
    let mut statements = Vec::new();
    if request.provider == Provider::Aws {
        statements.push(rule(ONLY_NEW, "s3:if-none-match", "true"));
    }
    // Where a condition's key is not there, Ceph takes the condition for met.
    if request.provider == Provider::Ceph {
        return statements;
    }
    if request.provider != Provider::SeaweedFs || request.role == PolicyRole::Bucket {
        statements.push(rule("NoCustomerKeys", "s3:x-amz-server-side-encryption-customer-algorithm", "false"));
        // What lies in an archive can't be read by anybody for hours. Where a put names no class, there is no key.
        let archived = rule("OnlyStandardStorage", STORAGE, "false");
        statements.push(archived.when("StringNotEquals", STORAGE, "STANDARD"));
    }
    if request.provider != Provider::SeaweedFs {
        statements.push(rule("NoOtherKmsKeys", "s3:x-amz-server-side-encryption-aws-kms-key-id", "false"));
    }
    statements
}

/// What no role may do, and how none may come.
fn common(request: &PolicyRequest) -> Vec<Statement> {
    let policy = if request.role == PolicyRole::Gate { &[] } else { POLICY };
    let mut statements = vec![Statement::deny("NeverReconfigure", &[CONFIGURE, policy].concat(), request.bucket())];
    if request.tls && request.provider != Provider::SeaweedFs {
        statements.push(only_tls(request));
    }
    statements
}

pub(super) fn only_tls(request: &PolicyRequest) -> Statement {
    let both = [request.bucket(), request.everything()].concat();
    Statement::deny("OnlyOverTls", &["s3:*"], both).when("Bool", "aws:SecureTransport", "false")
}

/// Whether a role puts objects.
const fn puts(role: PolicyRole) -> bool {
    !matches!(role, PolicyRole::Reader | PolicyRole::Bucket | PolicyRole::Gate)
}

fn gaps(request: &PolicyRequest) -> Vec<&'static str> {
    let mut gaps = Vec::new();
    let explicit = request.by == LockBy::Explicit || request.role == PolicyRole::Keeper;
    match request.provider {
        Provider::Aws => {}
        Provider::SeaweedFs => {
            gaps.push(
                "SeaweedFS shows the policies of identities no header of a put: conditional puts can't be required, \
                 and what encrypts by a customer's key or goes into an archive is refused by `policy bucket` alone",
            );
            if explicit {
                gaps.push(
                    "SeaweedFS can't bound locks by policy: whoever holds these credentials can lock for centuries",
                );
            }
        }
        Provider::Ceph => {
            gaps.push(
                "Ceph can't tell a put's headers to conditions: conditional puts can't be required, nor what encrypts by a \
                 customer's key or goes into an archive refused",
            );
            if explicit || puts(request.role) {
                gaps.push(
                    "Ceph lets whoever may put lock what it puts, though PutObjectRetention is denied, and bounds no lock: \
                     whoever holds these credentials can lock for centuries",
                );
            }
        }
        Provider::Minio => gaps.push("MinIO has no condition on If-None-Match: conditional puts can't be required"),
    }
    if request.role == PolicyRole::Gate {
        gaps.push(
            "whoever changes the bucket's policy can let others in by it, though it lifts no lock: keep these credentials \
             with the air gap alone, and name them with --admin where `policy bucket` lets only admins change it",
        );
    }
    if !request.tls {
        gaps.push("the endpoint is http://, so TLS is not required");
    }
    gaps
}
