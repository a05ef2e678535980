//! What a server needs on its way through the log that its base does not tell: settings as large as its origin had them later, and
//! the places of tablespaces that were made since.

use std::collections::BTreeMap;

use crate::{
    model::journal::Position,
    source::postgres::{
        Base,
        wal::{AS_LARGE, Record, What},
    },
};

/// So many tablespaces are kept; nobody makes more between two bases.
const KEPT: usize = 1024;

/// What the log up to the point was seen to need.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    settings: [u32; AS_LARGE.len()],
    tablespaces: BTreeMap<u32, String>,
}

impl Needs {
    /// Looks at a record that the server will go through.
    pub(super) fn see(&mut self, record: &Record, from: Position) {
        match &record.what {
            What::Settings(values) => {
                for (most, value) in self.settings.iter_mut().zip(values) {
                    *most = (*most).max(*value);
                }
            }
            What::Tablespace(oid, path)
                if record.start >= from && !path.is_empty() && self.tablespaces.len() < KEPT =>
            {
                self.tablespaces.insert(*oid, path.clone());
            }
            _ => {}
        }
    }

    /// The settings that the origin had larger, later, than when the base was taken. A server that has them smaller goes no further
    /// than to where they changed, and waits there.
    pub(super) fn larger(&self, base: &Base) -> Vec<(&'static str, String)> {
        let had = |name: &str| base.settings.get(name).and_then(|value| value.parse::<u32>().ok()).unwrap_or(0);
        let all = AS_LARGE.iter().zip(self.settings);
        all.filter(|(name, value)| *value > had(name)).map(|(name, value)| (*name, value.to_string())).collect()
    }

    /// The tablespaces that were made since the base: their numbers, and where.
    pub(super) fn tablespaces(&self) -> Vec<(u32, String)> {
        self.tablespaces.iter().map(|(oid, path)| (*oid, path.clone())).collect()
    }
}
