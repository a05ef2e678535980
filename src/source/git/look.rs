//! A look at a repository before a backup.

use super::{
    super::{Look, look::program},
    GitSource, ObjectFormat, Place, Remote, Result, packs,
    refs::{self, Found},
    repo::Repo,
    run, scratch, sick, whatever_is_a_file,
};
use crate::{
    model::size,
    source::{git::left_out, read::Warnings},
};

/// Looks at the repository of `source`.
pub(super) fn look(source: &GitSource) -> Look {
    let mut look = Look::default();
    if look.step("programs", program("git".as_ref())).is_none() {
        return look;
    }
    match &source.place {
        Place::There(remote) => there(remote, &mut look),
        Place::Here(path) => {
            let found = Repo::locate(path);
            if let Some(repo) = look.step("reach", found) {
                let looked = here(source, &repo, &mut look);
                look.step("contents", looked);
            }
        }
    }
    look
}

fn there(remote: &Remote, look: &mut Look) {
    if look.step("reach", remote.answers()).is_some() {
        look.good("reach", format!("{} answers; what it has is fetched by a backup", remote.shown()));
    }
}

fn here(source: &GitSource, repo: &Repo, look: &mut Look) -> Result<()> {
    let scratch = scratch(ObjectFormat::Sha1)?;
    let mut warnings = Warnings::default();
    let survey = packs::survey(&repo.objects());
    let repo = &whatever_is_a_file(repo, &survey, scratch.path(), &mut warnings)?;
    let settings = repo.settings(scratch.path())?;
    let format = repo.check(&settings)?;
    run::skeleton(scratch.path(), format)?;
    let found: Found = refs::read_settled(repo, &mut warnings)?;
    let refs = found.refs.len();
    let (mut details, mut sick) =
        source.details(repo, found, (settings.clone(), format), scratch.path(), &mut warnings)?;
    let gone = sick::missing(scratch.path(), &repo.objects(), &details)?;
    sick.take_out(&mut details, &gone);
    sick.warn(repo, &mut warnings);
    left_out::warn(repo, scratch.path(), &details, &settings, &mut warnings)?;
    look.warnings.extend(warnings.into_vec());
    look.good("contents", format!("{}: refs: {refs}; objects: {}", repo.shown, size::human(survey.bytes)));
    Ok(())
}
