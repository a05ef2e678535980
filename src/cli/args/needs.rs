//! Options that go with another. clap passes over `requires` where what is required conflicts with something that is given.

#[cfg(feature = "full")]
use super::{FromArgs, TargetArgs};
use super::{IntoArgs, RecoverArgs};
use crate::cli::error::CliError;

/// Refuses the first of `options` that is given, unless `needed` is.
fn go_with(needed: (&str, bool), options: &[(&str, bool)]) -> Result<(), CliError> {
    let (needed, has_it) = needed;
    let stray = options.iter().find(|(_, given)| *given && !has_it);
    stray.map_or(Ok(()), |(name, _)| {
        Err(CliError::usage(format!("{name} goes with {needed}"), format!("add {needed}, or leave {name} out")))
    })
}

impl IntoArgs {
    /// Whether no option is given that would have no effect.
    ///
    /// # Errors
    /// Which one is.
    pub fn must_have_effect(&self) -> Result<(), CliError> {
        go_with(
            ("--into", self.into.is_some()),
            &[
                ("--token", self.token.is_some()),
                ("--repo", !self.repo.is_empty()),
                ("--table", self.table.is_some()),
                ("--database", self.database.is_some()),
                ("--clean", self.clean),
                ("--no-roles", self.no_roles),
            ],
        )
    }
}

impl RecoverArgs {
    /// Whether no option is given that would have no effect.
    ///
    /// # Errors
    /// Which one is.
    pub fn must_have_effect(&self) -> Result<(), CliError> {
        go_with(
            ("--recover-to", self.recover_to.is_some()),
            &[
                ("--inclusive", self.inclusive),
                ("--exclusive", self.exclusive),
                ("--timeline", self.timeline.is_some()),
                ("--wal", self.wal.is_some()),
            ],
        )?;
        go_with(
            ("--recover-to or --data-directory", self.recover_to.is_some() || self.data_directory),
            &[("--delta", self.delta), ("--tablespace-map", !self.tablespace_map.is_empty())],
        )
    }
}

#[cfg(feature = "full")]
impl TargetArgs {
    /// Whether no option is given that would have no effect.
    ///
    /// # Errors
    /// Which one is.
    pub fn must_have_effect(&self, to: bool, parity: bool) -> Result<(), CliError> {
        go_with(
            ("--to", to),
            &[
                ("--to-credentials", self.to_credentials.is_some()),
                ("--to-endpoint", self.to_endpoint.is_some()),
                ("--to-region", self.to_region.is_some()),
                ("--to-path-style", self.to_path_style),
                ("--to-checksum", self.to_checksum.is_some()),
                ("--to-no-conditional-put", self.to_no_conditional_put),
                ("--parity", parity),
            ],
        )
    }
}

#[cfg(feature = "full")]
impl FromArgs {
    /// Whether no option is given that would have no effect.
    ///
    /// # Errors
    /// Which one is.
    pub fn must_have_effect(&self, from: bool) -> Result<(), CliError> {
        go_with(
            ("--from", from),
            &[
                ("--from-credentials", self.from_credentials.is_some()),
                ("--from-endpoint", self.from_endpoint.is_some()),
                ("--from-region", self.from_region.is_some()),
                ("--from-path-style", self.from_path_style),
            ],
        )
    }
}
