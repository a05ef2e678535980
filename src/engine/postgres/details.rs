//! What a backup tells of its server.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::{EngineError, Restored, Result};
use crate::source::postgres::{DatabaseStreams, Tool, Tools, Version};

/// The superuser of a new cluster, where the backup tells no other: no dump makes a role of this name.
const SUPERUSER: &str = "strongroom-drill";

/// What the source told.
#[derive(Deserialize)]
pub(super) struct Details {
    pub(super) server: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) physical: bool,
    #[serde(default)]
    pub(super) databases: Vec<DatabaseStreams>,
    #[serde(default)]
    pub(super) pg_dump: Option<String>,
    /// The roles that there were, where no stream makes them.
    #[serde(default)]
    pub(super) roles: Vec<String>,
}

impl Details {
    pub(super) fn version(&self) -> Result<Version> {
        let number = self.get("server_version_num").parse();
        let number =
            number.map_err(|_| EngineError::new("the backup does not record the version of its server", "details"))?;
        Ok(Version::of_server(number, self.get("server_version")))
    }

    pub(super) fn get(&self, key: &str) -> &str {
        self.server.get(key).map(String::as_str).unwrap_or_default()
    }

    /// The superuser that made the cluster: what others were granted, it was that granted it.
    pub(super) fn superuser(&self) -> &str {
        match self.get("superuser") {
            "" => SUPERUSER,
            name if name.starts_with("pg_") => SUPERUSER,
            name => name,
        }
    }

    /// What the server told of this database, or of itself.
    pub(super) fn server_of<'a>(&'a self, restored: &'a Restored, database: &str) -> &'a BTreeMap<String, String> {
        let print = restored.fingerprints.iter().find(|print| print.database == database);
        print.map_or(&self.server, |print| &print.server)
    }

    /// What reads its archives: a program that is not older than the one that wrote them.
    pub(super) fn restore(&self) -> Result<Tool> {
        let wrote = self.pg_dump.as_deref().and_then(Version::read).map_or_else(|| self.version(), Ok)?;
        Tools::default().nearest("pg_restore", &wrote).ok_or_else(|| {
            let what = format!("no pg_restore of version {wrote} or newer is installed here; install it");
            EngineError::new(what, "pg_restore")
        })
    }
}
