//! `[limits]`: how much of the machine and of the line a backup takes, and for how long.

use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::model::{Span, size::ByteSize};

/// What a backup is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsConfig {
    /// Bytes a second that go to the vault.
    pub upload: Option<u64>,
    /// How long a run may take in all.
    pub deadline: Option<Span>,
    /// How nice its own work is, from 0 to 19.
    pub nice: Option<i32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    upload: Option<Spanned<String>>,
    deadline: Option<Spanned<Span>>,
    nice: Option<Spanned<i64>>,
}

/// What it means.
pub(super) fn parse(raw: &RawLimits) -> Result<LimitsConfig, Fault> {
    let upload = match &raw.upload {
        Some(text) => match text.get_ref().parse::<ByteSize>() {
            Ok(ByteSize(0)) => return Err(Fault::new(text, "`upload` is 0; leave it out for no limit")),
            Ok(ByteSize(rate)) => Some(rate),
            Err(why) => return Err(Fault::new(text, why)),
        },
        None => None,
    };
    let deadline = match &raw.deadline {
        Some(span) if *span.get_ref() == Span::ZERO => {
            return Err(Fault::new(span, "`deadline` is 0; leave it out for no limit"));
        }
        Some(span) => Some(*span.get_ref()),
        None => None,
    };
    let nice = match &raw.nice {
        Some(nice) => {
            let number = i32::try_from(*nice.get_ref()).ok().filter(|number| (0..=19).contains(number));
            Some(number.ok_or_else(|| Fault::new(nice, "nice is 0 (normal) to 19 (lowest priority)"))?)
        }
        None => None,
    };
    Ok(LimitsConfig { upload, deadline, nice })
}
