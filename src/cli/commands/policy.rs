//! `policy`.

use super::{Context, Done};
use crate::{
    cli::{
        args::{By, Mode, PolicyArgs, PolicyRoleArg, ProviderArg},
        error::CliError,
        render::Output,
        settings::{Settings, real_env},
    },
    model::{Finding, LockBy, LockMode, LockPolicy, Name, Severity, Span},
    ops::policy::{PolicyRequest, PolicyRole, Provider, policy},
    store::VaultUrl,
};

/// The promise that `init` makes if nothing else is said.
const KEEP: Span = Span::days(35);

/// Makes it. Asks no server, and needs no credentials.
pub(super) fn run(context: &Context, args: PolicyArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let VaultUrl::S3 { bucket, prefix } = settings.vault()?.clone() else {
        let hint = "give --vault s3://bucket/prefix; a directory is protected by the rights of its files";
        return Err(CliError::usage("policies are for buckets", hint));
    };
    let config = settings.config.as_ref();
    let region = settings.region().unwrap_or_default();
    let request = PolicyRequest {
        role: role(args.role),
        provider: match args.provider {
            ProviderArg::Aws => Provider::Aws,
            ProviderArg::Seaweedfs => Provider::SeaweedFs,
            ProviderArg::Ceph => Provider::Ceph,
            ProviderArg::Minio => Provider::Minio,
        },
        partition: match region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        },
        bucket,
        prefix,
        member: member(&settings, &args)?,
        mode: match args.mode {
            Mode::Compliance => LockMode::Compliance,
            Mode::Governance => LockMode::Governance,
        },
        by: match args.lock_by {
            By::BucketDefault => LockBy::BucketDefault,
            By::Explicit => LockBy::Explicit,
        },
        keep: args.keep.or(config.and_then(|config| config.lock.keep)).unwrap_or(KEEP),
        window: LockPolicy::DEFAULT_WINDOW,
        max_lock: args.max_lock,
        tls: !settings.endpoint().is_some_and(|endpoint| endpoint.starts_with("http://")),
        admins: args.admin,
        pruners: args.pruner,
        account: args.account,
    };
    let mut made = policy(&request)?;
    if !settings.conditional_put() {
        made = made.without_conditional_puts();
    }
    let told = |gap: &&'static str| Finding::new(Severity::Info, "policy.gap", *gap);
    context.found(made.gaps.iter().map(told).collect());
    Ok((Output::Policy(made.document), None))
}

fn role(role: PolicyRoleArg) -> PolicyRole {
    match role {
        PolicyRoleArg::Writer => PolicyRole::Writer,
        PolicyRoleArg::Keeper => PolicyRole::Keeper,
        PolicyRoleArg::Reader => PolicyRole::Reader,
        PolicyRoleArg::Driller => PolicyRole::Driller,
        PolicyRoleArg::Auditor => PolicyRole::Auditor,
        PolicyRoleArg::Pruner => PolicyRole::Pruner,
        PolicyRoleArg::Copier => PolicyRole::Copier,
        PolicyRoleArg::Gate => PolicyRole::Gate,
        PolicyRoleArg::Bucket => PolicyRole::Bucket,
    }
}

/// Whose prefixes the policy opens.
fn member(settings: &Settings, args: &PolicyArgs) -> Result<Name, CliError> {
    let configured = || settings.config.as_ref()?.writer.as_ref()?.name.clone();
    let usual = |name: &str| name.parse().map_err(|_| CliError::usage("the role has no name", "give --member NAME"));
    match (&args.member, args.role) {
        (Some(name), _) => Ok(name.clone()),
        (None, PolicyRoleArg::Writer) => configured().ok_or_else(|| {
            CliError::usage("which writer is the policy for?", "give --writer NAME, or its configuration with --config")
        }),
        (None, PolicyRoleArg::Driller) => usual("driller"),
        (None, PolicyRoleArg::Auditor) => usual("auditor"),
        (None, PolicyRoleArg::Pruner) => usual("pruner"),
        (None, PolicyRoleArg::Keeper) => usual("keeper"),
        // They have nothing of their own.
        (None, PolicyRoleArg::Reader | PolicyRoleArg::Copier | PolicyRoleArg::Gate | PolicyRoleArg::Bucket) => {
            usual("nobody")
        }
    }
}
