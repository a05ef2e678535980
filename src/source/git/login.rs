//! A token that git logs in with. It stands in no argument, no variable, no setting and no file that has a name: git is told
//! of a helper which reads it out of this process's memory.

use std::{
    fs::File,
    io::Write,
    os::{fd::AsRawFd, unix::fs::FileExt},
    process::{Command, id},
    sync::Arc,
    time::Duration,
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
        let text = printed(user, token);
        held.write_all(text.as_bytes()).map_err(|e| failed("there is no place for its token").because(e))?;
        let (scheme, rest) = url.split_once("://").ok_or_else(|| failed("is no URL"))?;
        let host = rest.split('/').next().unwrap_or_default();
        Ok(Self { place: format!("{scheme}://{host}"), held: Arc::new(held) })
    }

    /// Has it log in with what `next` gives from then on, asked every second for as long as anybody logs in with it. Git asks
    /// for a login again and again in a long transfer, and so does what moves large files.
    pub fn renewed_by(&self, user: &'static str, mut next: impl FnMut() -> Option<Zeroizing<String>> + Send + 'static) {
        let held = Arc::downgrade(&self.held);
        std::thread::spawn(move || {
            let mut known: Option<Zeroizing<String>> = None;
            loop {
                // Not a wait for anything: a token lasts for long.
                std::thread::sleep(Duration::from_secs(1));
                let Some(held) = held.upgrade() else { return };
                let Some(token) = next().filter(|token| !token.contains(char::is_control)) else { continue };
                if known.as_ref().is_some_and(|known| **known == *token) {
                    continue;
                }
                let mut text = printed(user, &token);
                // One that is shorter is filled up with empty lines, behind which nothing is read.
                let length = held.metadata().map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(0));
                while text.len() < length {
                    text.push('\n');
                }
                // At once, so that no reader sees the half of each.
                if held.write_at(text.as_bytes(), 0).is_ok() {
                    known = Some(token);
                }
            }
        });
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

/// What the helper prints.
fn printed(user: &str, token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("username={user}\npassword={token}\n"))
}
