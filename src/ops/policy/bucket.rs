//! The policy of the bucket: denials alone, which hold whatever somebody is allowed elsewhere.

use super::{Document, Policy, PolicyRequest, Provider, Statement, roles};

pub(super) fn policy(request: &PolicyRequest) -> Policy {
    let everything = request.everything();
    let both = [request.bucket(), everything.clone()].concat();
    let mut statements = Vec::new();
    if request.tls {
        statements.push(roles::only_tls(request));
    }
    statements.extend(roles::put_rules(request));
    statements.extend(roles::lock_bounds(request, request.max_lock));
    let lift = ["s3:BypassGovernanceRetention", "s3:PutObjectLegalHold"];
    statements.push(Statement::deny("NobodyLiftsOrHolds", &lift, everything.clone()));
    let mut gaps = Vec::new();
    if request.provider == Provider::Aws {
        if request.tls {
            let old = Statement::deny("OnlyModernTls", &["s3:*"], both.clone());
            statements.push(old.when("NumericLessThan", "s3:TlsVersion", "1.2"));
        }
        let deleters = [&request.admins[..], &request.pruners].concat();
        let delete = ["s3:DeleteObject", "s3:DeleteObjectVersion"];
        statements.push(Statement::deny("OnlyThePrunerDeletes", &delete, everything).unless(&deleters));
        if let Some(account) = &request.account {
            let foreign = Statement::deny("OnlyThisAccount", &["s3:*"], both);
            let foreign = foreign.when("StringNotEquals", "aws:PrincipalAccount", account);
            statements.push(foreign.when("BoolIfExists", "aws:PrincipalIsAWSService", "false"));
        }
        if request.pruners.is_empty() {
            gaps.push("nobody may delete: name the pruner's role with --pruner ARN before `prune` is to work");
        }
        if !request.admins.is_empty() {
            let policy = Statement::deny("OnlyAdminsChangeThis", roles::POLICY, request.bucket());
            statements.push(policy.unless(&request.admins));
        }
    } else if request.provider == Provider::Ceph {
        gaps.push(
            "Ceph is asked for no exemption by principal: who may delete is decided by the policies of its users alone",
        );
    } else {
        gaps.push(
            "SeaweedFS knows no exemption by principal: who may delete is decided by the policies of identities alone",
        );
    }
    let configure = Statement::deny("NobodyReconfigures", roles::CONFIGURE, request.bucket());
    statements.push(configure.unless(&request.admins));
    let mut statements: Vec<Statement> = statements.into_iter().map(Statement::for_everybody).collect();
    if request.provider == Provider::Ceph {
        for statement in &mut statements {
            statement.action.retain(|action| !roles::NOT_ON_CEPH.contains(action));
        }
    }
    Policy { document: Document::new(statements), gaps }
}
