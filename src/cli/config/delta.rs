//! `delta`: whether chunks are stored as deltas of others, and how much disk that may use.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::Fault;
use crate::model::size::ByteSize;

/// How large the cache of bases grows if nothing is said.
const USUAL: u64 = 20 << 30;

/// `delta = false`, or a table.
#[derive(Debug)]
pub(super) enum RawDelta {
    Switch(bool),
    Table(RawTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    cache: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for RawDelta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawDelta;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false, or a table such as `cache = \"20GiB\"`")
            }
            fn visit_bool<E>(self, on: bool) -> Result<RawDelta, E> {
                Ok(RawDelta::Switch(on))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawDelta, A::Error> {
                RawTable::deserialize(MapAccessDeserializer::new(map)).map(RawDelta::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How many bytes the cache may hold; `None` for no deltas. It stands for itself or under `[writer]`, not both.
pub(super) fn parse(top: Option<&Spanned<RawDelta>>, writer: Option<&Spanned<RawDelta>>) -> Result<Option<u64>, Fault> {
    if let (Some(_), Some(twice)) = (top, writer) {
        return Err(Fault::new(twice, "delta is set twice: for itself and in [writer]; keep one"));
    }
    match top.or(writer).map(Spanned::get_ref) {
        None | Some(RawDelta::Switch(true) | RawDelta::Table(RawTable { cache: None })) => Ok(Some(USUAL)),
        Some(RawDelta::Switch(false)) => Ok(None),
        Some(RawDelta::Table(RawTable { cache: Some(size) })) => {
            let parsed: ByteSize = size.get_ref().parse().map_err(|e| Fault::new(size, e))?;
            Ok(Some(parsed.0))
        }
    }
}
