//! A token that git logs in with. It stands in no argument, no variable, no setting and no file that has a name: git is told
//! of a helper which reads it out of this process's memory.

use std::{
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    process::{Command, id},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{Result, SourceError};

/// A user and a token for one server.
#[derive(Clone)]
pub struct Login {
    place: String,
    /// A file in memory that holds what a credential helper prints.
    held: Arc<File>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Login {
    /// A login at the server of `url`, which is one of http.
    ///
    /// # Errors
    /// If the token can be none, or there is no memory for it.
    pub fn new(url: &str, user: &str, token: &str) -> Result<Self> {
        let failed = |what: &str| SourceError::new(what, url);
        if token.contains(char::is_control) || url.contains(['\'', '"', ' ', '\n']) {
            return Err(failed("its token holds signs that no token has"));
        }
        let memory = rustix::fs::memfd_create("login", rustix::fs::MemfdFlags::CLOEXEC);
        let memory = memory.map_err(|e| failed("there is no place for its token").because(e.into()))?;
        let mut held = File::from(memory);
        let text = Zeroizing::new(format!("username={user}\npassword={token}\n"));
        held.write_all(text.as_bytes()).map_err(|e| failed("there is no place for its token").because(e))?;
        let (scheme, rest) = url.split_once("://").ok_or_else(|| failed("is no URL"))?;
        let host = rest.split('/').next().unwrap_or_default();
        Ok(Self { place: format!("{scheme}://{host}"), held: Arc::new(held) })
    }

    /// Has git log in with it, and keeps it from every other server and helper: one that stores what it hears would write
    /// it down.
    pub(super) fn hand_to(&self, command: &mut Command) {
        let path = format!("/proc/{}/fd/{}", id(), self.held.as_raw_fd());
        let helper = format!("!f() {{ if test \"$1\" = get; then cat {path}; fi; }}; f");
        for setting in [
            "credential.helper=".to_owned(),
            format!("credential.{}.helper=", self.place),
            format!("credential.{}.helper={helper}", self.place),
            // To another server it would follow without a login, and back up who knows what.
            "http.followRedirects=false".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
    }
}
