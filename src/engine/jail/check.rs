//! Which files the command of a check may read: what it names below the configuration's directory, and never what opens the
//! vault.

use std::path::{Path, PathBuf};

use super::{
    super::{EngineError, Result},
    programs::SYSTEM,
    rules::DEVICES,
};

/// What commands of checks may be shown.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The configuration's directory. Without one, a command is shown nothing of this host but programs.
    pub below: Option<PathBuf>,
    /// What no directory that is shown may hold: keys, credentials, the configuration itself, the home of whoever drills.
    pub never: Vec<PathBuf>,
    /// The vault, if it is a directory here: neither what holds it nor what is in it.
    pub vault: Option<PathBuf>,
}

impl Allowed {
    /// The files among `arguments` that the command is shown. `own` are directories that it has anyway.
    pub(in super::super) fn reads(&self, arguments: &[String], own: &[&Path]) -> Result<Vec<PathBuf>> {
        let named = |argument: &String| {
            let value = argument.split_once('=').map(|(_, value)| PathBuf::from(value));
            [Some(PathBuf::from(argument)), value]
                .into_iter()
                .flatten()
                .find(|path| path.is_absolute() && path.exists())
        };
        let mut shown = Vec::new();
        for path in arguments.iter().filter_map(named) {
            let Ok(real) = path.canonicalize() else { continue };
            let within = |dir: &Path| dir.canonicalize().is_ok_and(|dir| real.starts_with(dir));
            if SYSTEM.iter().chain(&DEVICES).map(Path::new).chain(own.iter().copied()).any(within) {
                continue;
            }
            self.judge(&path, &real)?;
            shown.push(path);
        }
        Ok(shown)
    }

    fn judge(&self, path: &Path, real: &Path) -> Result<()> {
        let refused = |why: String| Err(EngineError::new(why, path.display().to_string()));
        let real_of = |path: &PathBuf| path.canonicalize().ok();
        if self.never.iter().filter_map(real_of).any(|secret| secret.starts_with(real)) {
            return refused(
                "the check's command names it, and it holds what opens the vault, the configuration or a home; name \
                 only the files that the command needs"
                    .to_owned(),
            );
        }
        if self.vault.iter().filter_map(real_of).any(|vault| vault.starts_with(real) || real.starts_with(&vault)) {
            return refused("the check's command names it, and it holds or is part of the vault".to_owned());
        }
        match self.below.iter().find_map(real_of) {
            Some(below) if real.starts_with(&below) => Ok(()),
            Some(below) => refused(format!(
                "the check's command names it, and it is not below the configuration's directory {}, so the command \
                 can't be shown it; move it there",
                below.display()
            )),
            None => refused(
                "the check's command names it, and without a configuration there is no directory whose files it may be \
                 shown"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_command_is_shown_what_it_names_and_nothing_that_opens_the_vault() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["ci/checks", "vault/packs", "elsewhere"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["ci/strongroom.toml", "ci/keys.d", "ci/checks/a.sql", "ci/ci.key", "elsewhere/b.sql"] {
            fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), at("ci/link")).unwrap();
        let allowed = Allowed {
            below: Some(at("ci")),
            never: vec![at("ci/strongroom.toml"), at("ci/ci.key"), at("home")],
            vault: Some(at("vault")),
        };
        let reads = |argument: String| allowed.reads(&[argument], &[&at("vault/packs")]);
        let name = |name: &str| at(name).display().to_string();
        for shown in [name("ci/checks/a.sql"), format!("--file={}", name("ci/checks"))] {
            assert_eq!(reads(shown.clone()).unwrap().len(), 1, "{shown}");
        }
        for nothing in ["/usr/bin/env", "/dev/null", "/no/such/file", "a.sql", "/^x/d", &name("vault/packs")] {
            assert!(reads(nothing.to_owned()).unwrap().is_empty(), "{nothing}");
        }
        for refused in
            ["/", &name(""), &name("ci"), &name("ci/ci.key"), &name("ci/link"), &name("elsewhere/b.sql"), "/etc"]
        {
            assert!(reads((*refused).to_owned()).is_err(), "{refused}");
        }
        assert!(reads(name("vault")).is_err());
        assert!(Allowed::default().reads(&[name("elsewhere/b.sql")], &[]).is_err());
    }
}
