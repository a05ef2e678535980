//! `renew` and `prune`.

use super::{Context, Done, guard::Handed};
use crate::{
    cli::{
        args::{PruneArgs, RenewArgs},
        error::CliError,
        failure::Failure,
        identity,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    ops::{self, Pin, prune::PruneRequest, renew::Prices},
};

/// `renew`.
pub(super) async fn renew(context: &Context, args: RenewArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let vault = super::open(&settings, identities.as_ref()).await?;
    let prices = Prices { updates: args.price_updates, reads: args.price_reads, gib_month: args.price_gib_month };
    let done = ops::renew::renew(&vault, args.dry_run, prices, &*context.bars, &context.cancel).await;
    let (report, findings) = done?;
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((Output::Renew(report), failure))
}

/// `prune`.
pub(super) async fn prune(context: &Context, args: PruneArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let mut pins: Vec<Pin> = settings.pins.clone();
    pins.extend(identities.into_iter().flat_map(|identities| identities.pins));
    let examined = wiring::examined_store(&settings).await?;
    let vault = ops::open_vault(&examined.store, &pins).await?;
    let deleter = (args.yes && !args.dry_run).then_some(&*examined.deleter);
    let request = PruneRequest { grace: args.grace, clock_is_right: args.clock_is_right };
    let asked = (request, handed.papers());
    let done = ops::prune::prune(&vault, deleter, asked, &*context.bars, &context.cancel).await;
    let (report, findings) = done?;
    let failure = Failure::of_prune(&report).or_else(|| Failure::of_findings(&findings));
    context.found(findings);
    Ok((Output::Prune(report), failure))
}
