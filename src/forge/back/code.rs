//! The code of a repository, or its wiki, back into a forge: LFS objects by the forge's API, then branches and tags by git.

use std::path::Path;

use serde_json::json;

use super::{
    super::{LfsObjects, RepositoryRows},
    Back, BackError, BackResult, Owned, Report, RepositoryBack, lab,
    writer::Writer,
};
use crate::{
    forge::{Provider, link},
    model::Cancel,
    source::git::{Login, lfs_objects, push},
};

impl Back {
    /// The same with the repository's own name apart, which a place of code ends with.
    fn of_code(&self) -> BackResult<(Self, String)> {
        let split = if self.spoken() == Provider::Gitlab {
            link::origin(&self.url).map(|(host, path)| (host, path.trim_matches('/').to_owned()))
        } else {
            self.url.rsplit_once('/').map(|(host, owner)| (host.to_owned(), owner.to_owned()))
        };
        let (url, owner) =
            split.filter(|(host, owner)| !owner.is_empty() && !host.ends_with('/')).ok_or_else(|| {
                BackError::Wrong {
                    what: format!("{} names no repository with its owner, into which code could go", self.place()),
                    next: "say gitea:https://HOST/OWNER/NAME, or github: or gitlab: likewise".to_owned(),
                }
            })?;
        Ok((Self { url, owner, ..self.clone() }, self.owner.trim_end_matches(".git").to_owned()))
    }

    /// Looks whether code can go there; nothing is made.
    ///
    /// # Errors
    /// If it can't.
    pub fn look_for_code(&self, cancel: Cancel) -> BackResult<()> {
        let (back, _) = self.of_code()?;
        back.owned(&mut back.client(cancel)?).map(drop)
    }

    /// Sends the repository at `dir`, which was restored as `name`, to the place that this names. It is made if it is not there.
    ///
    /// # Errors
    /// If the forge refuses it or is down.
    pub fn code(&self, dir: &Path, name: &str, cancel: Cancel) -> BackResult<Report> {
        let (back, called) = self.of_code()?;
        let mut client = back.client(cancel)?;
        let owned = back.owned(&mut client)?;
        // A wiki is there with its repository.
        let of = called.strip_suffix(".wiki").unwrap_or(&called);
        let one = RepositoryRows { name: name.to_owned(), id: 0, kinds: Vec::new(), code: None, wiki: None };
        let report =
            RepositoryBack { name: name.to_owned(), into: format!("{}/{of}", back.owner), ..Default::default() };
        let mut writer = Writer::new((&back, &mut client), (dir, &one), report);
        // A wiki's branch is none of its repository's.
        let branch = if called == of { default_branch(dir) } else { String::new() };
        let fresh = match owned {
            Owned::At(listing) => writer.repository(&listing, &json!({ "default_branch": branch }))?,
            Owned::In(namespace, _) => lab::project(&mut writer, namespace)?,
        };
        let mut report = std::mem::take(&mut writer.report);
        report.into = format!("{}/{called}", back.owner);
        let url = format!("{}/{}/{called}.git", back.url, back.owner);
        let objects = lfs_objects(dir)?;
        if !objects.is_empty() {
            // Before the code: a forge may refuse pointers to what it has not.
            let given = LfsObjects::new(back.spoken(), &url, back.token.clone(), back.patience).give(&objects)?;
            report.count("lfs_objects", (given.made, given.there));
            for (id, why) in given.refused {
                report.lacks("lfs_objects", &id, &format!("the forge does not take it: {why}"));
            }
        }
        let login = match &back.token {
            None => None,
            Some(token) => Some(Login::new(&back.url, back.spoken().git_user(), &token.now()?)?),
        };
        let pushed = push(dir, &url, login.as_ref())?;
        report.count("refs", (pushed.made, pushed.there));
        for (name, why) in pushed.refused {
            report.lacks("refs", &name, &format!("the forge does not take it: {why}"));
        }
        // GitHub and GitLab take the first that comes for the default, unless they are told.
        if fresh && !branch.is_empty() && back.spoken() != Provider::Gitea {
            writer.report = RepositoryBack { into: format!("{}/{of}", back.owner), ..report };
            let url = writer.url("");
            writer.found = writer.find(&url)?;
            writer.settings(&json!({ "default_branch": branch }))?;
            report = std::mem::take(&mut writer.report);
        }
        Ok(Report {
            repositories: vec![report],
            owner: Vec::new(),
            calls: client.calls,
            waited_s: client.waited.as_secs(),
        })
    }
}

/// The branch that the HEAD of the repository at `dir` names; nothing where it names none.
fn default_branch(dir: &Path) -> String {
    let head = std::fs::read_to_string(dir.join("HEAD")).unwrap_or_default();
    head.trim().strip_prefix("ref: refs/heads/").unwrap_or_default().to_owned()
}

impl RepositoryBack {
    /// Notes how many were made, and were there.
    fn count(&mut self, kind: &'static str, (made, there): (u64, u64)) {
        for (all, n) in [(&mut self.made, made), (&mut self.there, there)] {
            if n > 0 {
                *all.entry(kind).or_default() += n;
            }
        }
    }
}
