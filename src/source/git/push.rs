//! A restored repository is sent to a server: its branches, tags and notes. Nothing that is there is overwritten.

use std::{io::Read, path::Path};

use super::{Result, SourceError, login::Login, mirror};
use crate::source::{
    child::Running,
    redact::{Known, redact},
};

/// What is sent: all that is a person's own. Other refs are a server's.
const SENT: [&str; 3] = ["refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*", "refs/notes/*:refs/notes/*"];

/// What came of sending a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Refs that were made or moved on.
    pub made: u64,
    /// Refs that were there as they are.
    pub there: u64,
    /// Refs that the server did not take, with why.
    pub refused: Vec<(String, String)>,
}

/// Sends the repository at `dir`, which a restore made, to `url`.
///
/// # Errors
/// If the server can't be reached or refuses the login.
pub fn push(dir: &Path, url: &str, login: Option<&Login>) -> Result<Pushed> {
    let mut command = mirror::git(Some(dir));
    if let Some(login) = login {
        login.hand_to(&mut command);
    }
    command.args(["push", "--porcelain", "--no-progress", "--no-verify", "--", url]).args(SENT);
    let mut running = Running::start(&mut command, "git push", Known::default())?;
    let mut text = String::new();
    let failed = |e| SourceError::new("can't be sent to", redact(url)).because(e);
    running.stdout()?.take(64 << 20).read_to_string(&mut text).map_err(failed)?;
    let ended = running.finish();
    let pushed = told(&text);
    match ended {
        Err(e) if pushed.refused.is_empty() => Err(SourceError::new(format!("can't be pushed to ({e})"), redact(url))),
        _ => Ok(pushed),
    }
}

/// What git says of each ref: a sign, what goes where, and a summary.
fn told(text: &str) -> Pushed {
    let mut pushed = Pushed::default();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(sign), Some(refs), Some(summary)) = (words.next(), words.next(), words.next()) else { continue };
        match sign {
            "=" => pushed.there += 1,
            "!" => {
                let name = refs.rsplit(':').next().unwrap_or_default();
                pushed.refused.push((name.to_owned(), summary.to_owned()));
            }
            _ => pushed.made += 1,
        }
    }
    pushed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_of_refs_is_understood() {
        let text = "To https://h/r\n*\trefs/heads/a:refs/heads/a\t[new branch]\n=\trefs/heads/b:refs/heads/b\t[up to date]\n\
                    !\trefs/tags/v:refs/tags/v\t[rejected] (already exists)\nDone\n";
        let refused = vec![("refs/tags/v".to_owned(), "[rejected] (already exists)".to_owned())];
        assert_eq!(told(text), Pushed { made: 1, there: 1, refused });
    }
}
