//! `[[source.expect]]`: a change that is announced, so that nobody is alarmed by it.

use serde::Deserialize;

use crate::{
    model::{Name, Time},
    ops::signals::Expected,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    /// Rules that may speak, by name; `rows.*` is all that begin so.
    rules: Vec<String>,
    until: Time,
    reason: String,
}

/// What it means for `source`.
pub(super) fn parse(source: &Name, raw: Vec<RawExpect>) -> Vec<Expected> {
    let one = |RawExpect { rules, until, reason }| Expected { source: source.clone(), rules, until, reason };
    raw.into_iter().map(one).collect()
}
