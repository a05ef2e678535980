//! `repair`.

use super::{Context, Done};
use crate::{
    cli::{
        args::{RepairArgs, RepairDepthArg},
        config::S3Config,
        copies,
        error::CliError,
        failure::Failure,
        identity,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    ops::{
        self, Pin,
        repair::{MendRequest, ParityRequest, Places},
        replicate::place_of,
    },
    store::VaultUrl,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RepairArgs) -> Result<Done, CliError> {
    args.copy.must_have_effect(args.from.is_some())?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let mut pins: Vec<Pin> = settings.pins.clone();
    pins.extend(identities.into_iter().flat_map(|identities| identities.pins));
    let Some(from) = &args.from else { return by_parity(context, &args, &settings, &pins).await };
    let url: VaultUrl = from.parse().map_err(|source| CliError::Url { origin: "--from", source })?;
    let typed = &args.copy;
    let s3 = S3Config {
        endpoint: typed.from_endpoint.clone(),
        region: typed.from_region.clone(),
        path_style: typed.from_path_style.then_some(true),
        credentials: typed.from_credentials.as_deref().map(str::parse).transpose()?,
        ..S3Config::default()
    };
    copies::must_be_of_a_bucket("from", &url, &s3)?;
    let mended = wiring::mended_store(&settings).await?;
    let other = Settings::of_other(url, s3);
    copies::must_be_apart(&settings, &other, "--from")?;
    let from = wiring::open_store(&other).await?;
    let places = Places {
        vault: place_of(&mended.store.url(), settings.endpoint()),
        from: place_of(&from.url(), other.endpoint()),
    };
    let request = MendRequest { read: args.depth == RepairDepthArg::Read, dry_run: args.dry_run };
    let told = (&*context.bars as &dyn crate::model::Progress, &context.cancel);
    let done = ops::repair::repair((mended.store, &*mended.mender), from, (&pins, places), request, told).await;
    let (report, findings) = done?;
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((Output::Repair(report), failure))
}

/// Without another copy.
async fn by_parity(context: &Context, args: &RepairArgs, settings: &Settings, pins: &[Pin]) -> Result<Done, CliError> {
    let mended = wiring::mended_store(settings).await?;
    let place = place_of(&mended.store.url(), settings.endpoint());
    let request = ParityRequest { rate: args.parity, dry_run: args.dry_run };
    let told = (&*context.bars as &dyn crate::model::Progress, &context.cancel);
    let done = ops::repair::from_parity((mended.store, &*mended.mender), (pins, place), request, told).await;
    let (report, findings) = done?;
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((Output::Repair(report), failure))
}
