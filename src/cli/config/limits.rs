//! `[limits]`: how much of the machine a backup takes.

use serde::Deserialize;
use toml::Spanned;

use super::Fault;

/// `[limits]` as it stands there.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    nice: Option<Spanned<i64>>,
}

/// How nice a backup's own work is, from 0 to 19.
pub(super) fn parse(raw: &RawLimits) -> Result<Option<i32>, Fault> {
    let Some(nice) = &raw.nice else { return Ok(None) };
    let number = i32::try_from(*nice.get_ref()).ok().filter(|number| (0..=19).contains(number));
    number.map(Some).ok_or_else(|| Fault::new(nice, "nice is 0 to 19: 19 gives way to everything else"))
}
