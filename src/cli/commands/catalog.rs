//! `catalog`.

use super::{Context, Done, blocking, workplace};
use crate::{
    cli::{
        error::CliError,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    ops,
};

/// `catalog rebuild`.
pub(super) async fn rebuild(context: &Context) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (_, writer_config) = settings.writer()?;
    let writer = wiring::writer(writer_config)?;
    let place = workplace(context, &settings, writer).await?;
    let (state, pins) = (writer_config.state.clone(), settings.pins.clone());
    let done = blocking(move |runtime| ops::catalog::rebuild(&place, runtime, &state, pins)).await;
    let (report, findings) = done?;
    context.found(findings);
    Ok((Output::Rebuild(report), None))
}
