//! What this build is, for `--version --json`.

use serde::Serialize;

use crate::format::FORMAT;

/// See the module.
#[derive(Debug, Serialize)]
pub struct Build {
    /// The version.
    pub version: &'static str,
    /// The commit that it was built from, as `scripts/package` gives it; nothing for other builds, which don't know.
    pub commit: Option<&'static str>,
    /// The features that it was built with.
    pub features: Vec<&'static str>,
    /// The format of the vaults that it writes.
    pub format: &'static str,
    /// What it was built for.
    pub target: String,
}

/// This build.
#[must_use]
pub fn build() -> Build {
    let features = [("full", cfg!(feature = "full")), ("writer", cfg!(feature = "writer"))];
    Build {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("STRONGROOM_COMMIT").filter(|commit| !commit.is_empty()),
        features: features.into_iter().filter_map(|(name, is_on)| is_on.then_some(name)).collect(),
        format: FORMAT,
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    }
}
