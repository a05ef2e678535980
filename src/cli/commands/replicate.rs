//! `replicate`.

use std::sync::Arc;

use super::{Context, Done};
use crate::{
    cli::{
        args::{LocksArg, ReplicateArgs},
        config::{S3Config, copy::CopyConfig},
        copies::{self, Memories, Memory, Replicated},
        error::CliError,
        failure::Failure,
        identity,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    model::{Name, Time},
    ops::{
        self, Pin,
        replicate::{Limits, ReplicateReport, ReplicateRequest, place_of},
    },
    store::{ObjectStore, VaultUrl},
    vault::{Vault, copying::CopyRequest},
};

/// How many objects are moved at once, if nothing is said.
const JOBS: u16 = 8;

/// A copy that is to be made.
struct Wanted {
    name: Option<Name>,
    settings: Settings,
    removable: bool,
    request: CopyRequest,
}

/// Runs it.
pub(super) async fn run(context: &Context, args: ReplicateArgs) -> Result<Done, CliError> {
    args.target.must_have_effect(args.to.is_some(), args.parity.is_some())?;
    if let Some(read) = args.since.as_ref().and_then(|since| since.read_as("--since")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let wanted = wanted(&args, &settings)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let mut pins: Vec<Pin> = settings.pins.clone();
    pins.extend(identities.into_iter().flat_map(|identities| identities.pins));
    let config = settings.config.as_ref().filter(|_| args.to.is_none());
    config.map(copies::must_differ).transpose()?;
    for one in &wanted {
        copies::must_be_apart(&settings, &one.settings, "--to")?;
        copies::must_lie_in_no_vault(&one.settings)?;
        if args.adopt {
            copies::must_share_nothing(&settings, &one.settings)?;
        }
    }
    let store = wiring::open_store(&settings).await?;
    let from = place_of(&store.url(), settings.endpoint());
    let memories = config.map(|config| Memories::read(config, &real_env)).unwrap_or_default();
    context.found(memories.beside.iter().cloned().collect());
    let mut noted = Memory::default();
    let mut vault: Option<Vault> = None;
    let mut all = Vec::new();
    let single = wanted.len() == 1;
    for one in wanted {
        let url = one.settings.vault()?.to_string();
        if one.removable && !copies::is_there(&one.settings)? {
            let last = one.name.as_ref().and_then(|name| memories.last(name, one.settings.vault().ok()?)).cloned();
            all.push(Replicated { name: one.name, url, report: None, failure: None, last });
            continue;
        }
        let name = one.name.clone();
        let done = Box::pin(pass(context, (&store, &pins, &from), &mut vault, one, args.adopt)).await;
        let (report, failure) = match done {
            Ok((report, failure)) => (Some(report), failure),
            Err(error) if single => return Err(error),
            Err(error) => (None, Some(Failure::of(&error))),
        };
        if let (Some(name), Some(report)) = (&name, report.as_ref().filter(|report| !report.dry_run)) {
            noted.note(name, &url, report);
        }
        all.push(Replicated { name, url, report, failure, last: None });
        if context.cancel.is_cancelled() {
            break;
        }
    }
    if let Some(config) = config.filter(|_| !args.dry_run) {
        context.found(copies::write(&copies::path(&config.path, &real_env), noted).into_iter().collect());
    }
    let failure = Failure::of_copies(&all);
    Ok((Output::Replicate(all), failure))
}

/// One pass of one copy.
async fn pass(
    context: &Context,
    (store, pins, from): (&Arc<dyn ObjectStore>, &[Pin], &str),
    vault: &mut Option<Vault>,
    one: Wanted,
    adopt: bool,
) -> Result<(ReplicateReport, Option<Failure>), CliError> {
    if vault.is_none()
        && let VaultUrl::Local(path) = one.settings.vault()?
        && !path.exists()
    {
        // Nothing is made for a source that is none.
        *vault = Some(ops::open_vault(store, pins).await?);
    }
    let target = wiring::open_target(&one.settings, !one.request.dry_run).await?;
    if vault.is_none() {
        // Where nothing says which vault is meant, a copy that is there already does.
        let held = async { if pins.is_empty() { ops::replicate::vault_of(&target).await } else { Ok(None) } };
        let (held, opened) = tokio::join!(held, ops::open_vault(store, pins));
        *vault = Some(match held? {
            Some(id) => ops::open_vault(store, &[Pin::one(id, format!("the copy {}", target.url()))]).await?,
            None => opened?,
        });
    }
    let Some(source) = vault.as_ref() else { return Err(ops::OpsError::Defect("the opening of the vault").into()) };
    let to = place_of(&one.settings.vault()?.to_string(), one.settings.endpoint());
    let copy = CopyRequest { from: from.to_owned(), mark: adopt, ..one.request };
    let request = ReplicateRequest { copy, to, adopt };
    let done = ops::replicate::replicate(source, target, &request, &*context.bars, &context.cancel).await;
    let (mut report, findings) = done?;
    report.name = one.name.map(|name| name.to_string());
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((report, failure))
}

/// The copies that are meant: the one typed, or those of the configuration.
fn wanted(args: &ReplicateArgs, settings: &Settings) -> Result<Vec<Wanted>, CliError> {
    if let Some(to) = &args.to {
        let url: VaultUrl = to.parse().map_err(|source| CliError::Url { origin: "--to", source })?;
        let typed = &args.target;
        let s3 = S3Config {
            endpoint: typed.to_endpoint.clone(),
            region: typed.to_region.clone(),
            path_style: typed.to_path_style.then_some(true),
            credentials: typed.to_credentials.as_deref().map(str::parse).transpose()?,
            checksum: typed.to_checksum,
            conditional_put: typed.to_no_conditional_put.then_some(false),
        };
        copies::must_be_of_a_bucket("to", &url, &s3)?;
        if args.parity.is_some() && matches!(url, VaultUrl::S3 { .. }) {
            let hint = "leave --parity out: a bucket looks after its own disks";
            return Err(CliError::usage("parity lies beside a directory, and --to is a bucket", hint));
        }
        let settings = Settings::of_other(url, s3);
        return Ok(vec![Wanted { name: None, settings, removable: false, request: request(args, None) }]);
    }
    let configured = settings.config.iter().flat_map(|config| &config.copies);
    for name in &args.copies {
        if !configured.clone().any(|copy| copy.name == *name) {
            let what = format!("the configuration has no [[copy]] called {name}");
            return Err(CliError::usage(what, "correct the name, or add it to the configuration"));
        }
    }
    let wanted: Vec<Wanted> = configured
        .filter(|copy| args.copies.is_empty() || args.copies.contains(&copy.name))
        .map(|copy| Wanted {
            name: Some(copy.name.clone()),
            settings: Settings::of_other(copy.url.clone(), copy.s3.clone()),
            removable: copy.removable,
            request: request(args, Some(copy)),
        })
        .collect();
    if wanted.is_empty() {
        let hint = "give --to URL, or add [[copy]] with a name and a url to the configuration";
        return Err(CliError::usage("no target was given for the copy", hint));
    }
    Ok(wanted)
}

/// What is wanted of a copy: options beat the configuration.
fn request(args: &ReplicateArgs, copy: Option<&CopyConfig>) -> CopyRequest {
    let typed: Vec<Name> = args.source.clone();
    let sources = if typed.is_empty() { copy.map(|copy| copy.sources.clone()).unwrap_or_default() } else { typed };
    let as_possible = match args.locks {
        Some(locks) => locks == LocksArg::AsPossible,
        None => copy.is_some_and(|copy| copy.as_possible),
    };
    let since: Option<Time> = args.since.as_ref().map(|since| since.time);
    let newest = args.newest.or(copy.and_then(|copy| copy.newest));
    CopyRequest {
        sources,
        newest: newest.and_then(|newest| usize::try_from(newest).ok()),
        since,
        dry_run: args.dry_run,
        as_possible,
        jobs: usize::from(args.jobs.unwrap_or(JOBS)),
        limits: Limits {
            down: args.limit_download.map(|rate| rate.0).or(copy.and_then(|copy| copy.limit_download)),
            up: args.limit_upload.map(|rate| rate.0).or(copy.and_then(|copy| copy.limit_upload)),
        },
        from: String::new(),
        mark: false,
        fresh: false,
        now: None,
        last: None,
        parity: args.parity.or(copy.and_then(|copy| copy.parity)),
    }
}
