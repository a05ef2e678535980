//! A static site of what was read of a forge, for a person to read offline: an index, each issue with its thread, each pull
//! request with its reviews, releases. Nothing in it runs, is fetched, or leads to another place: what others wrote is shown
//! as text.

mod page;
mod projects;
mod thread;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader},
    path::{Component, Path, PathBuf},
};

use self::page::{Page, esc, own, text};
use super::{MANIFEST, Manifest, RepositoryRows, Status, lines::Lines, provider::is_repository};

/// A site that was made.
#[derive(Debug)]
pub struct Made {
    /// Where it begins.
    pub index: PathBuf,
    /// How many pages it has.
    pub pages: u64,
    /// Links that lead nowhere.
    pub dead: Vec<String>,
}

/// Makes the site of the streams below `from` in `to`, which must not be there.
///
/// # Errors
/// If `from` has no manifest, or `to` can't be written.
pub fn make(from: &Path, to: &Path) -> io::Result<Made> {
    let manifest: Manifest = serde_json::from_reader(BufReader::new(File::open(from.join(MANIFEST))?))?;
    if let Some(above) = to.parent() {
        fs::create_dir_all(above)?;
    }
    fs::create_dir(to)?;
    let github = manifest.provider == "github";
    let mut site = Site { from, to, pages: 0, links: BTreeSet::new(), github };
    for one in manifest.repositories.iter().filter(|one| is_repository(&one.name)) {
        site.repository(one)?;
    }
    site.index(&manifest)?;
    let dead = site.links.iter().filter(|link| !to.join(link).exists() && !link.is_empty()).cloned().collect();
    Ok(Made { index: to.join("index.html"), pages: site.pages, dead })
}

/// A site in the making.
struct Site<'a> {
    from: &'a Path,
    to: &'a Path,
    pages: u64,
    /// What is linked to, from the root of the site.
    links: BTreeSet<String>,
    /// Whether discussions are those of GitHub, and not threads of merge requests.
    github: bool,
}

/// An entry of a list of issues or the like.
struct Listed {
    number: i64,
    title: String,
    state: String,
    author: String,
    made: String,
    /// Whether it is a pull request.
    pull: bool,
}

impl Site<'_> {
    /// Begins a page, whose path starts from the root.
    fn page(&mut self, path: &str, title: &str) -> io::Result<Page> {
        self.pages += 1;
        Page::begin(&self.to.join(path), title)
    }

    /// Makes a file of the streams one of the site: a name more of it, or a copy.
    fn copy(&self, path: &str) -> io::Result<()> {
        let to = self.to.join(path);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        if to.exists() {
            return Ok(());
        }
        fs::hard_link(self.from.join(path), &to).or_else(|_| fs::copy(self.from.join(path), &to).map(drop))
    }

    /// A link from the page at `page` to what is at `path`, both from the root.
    fn link(&mut self, page: &str, path: &str, words: &str) -> String {
        self.links.insert(path.to_owned());
        let up = "../".repeat(page.matches('/').count());
        format!("<a href=\"{up}{}\">{}</a>", esc(path), esc(words))
    }

    fn index(&mut self, manifest: &Manifest) -> io::Result<()> {
        let whose = manifest.owner.as_deref().unwrap_or(&manifest.url);
        let mut page = self.page("index.html", &format!("{whose} as of {}", manifest.began_at))?;
        page.line(&format!("{} of {}, read at {}.", manifest.provider, manifest.url, manifest.began_at));
        let unread = manifest.findings();
        if !unread.is_empty() {
            page.raw("<section class=\"bad\"><h2>Not all of it could be read</h2><ul>");
            for finding in unread {
                page.raw(&format!("<li>{}</li>", esc(&finding.message)));
            }
            page.raw("</ul></section>");
        }
        page.raw(
            "<table><tr><th>Repository</th><th>Issues and pull requests</th><th>Comments</th><th>Releases</th></tr>",
        );
        for one in manifest.repositories.iter().filter(|one| is_repository(&one.name)) {
            let count = |names: &[&str]| {
                let rows = one.kinds.iter().filter(|row| names.contains(&row.kind.as_str()));
                rows.map(|row| row.got).sum::<u64>()
            };
            let link = self.link("index.html", &format!("{}/index.html", one.name), &one.name);
            page.raw(&format!(
                "<tr><td>{link}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                count(&["issues", "merge_requests"]),
                count(&["comments", "issue_notes", if self.github { "discussion_comments" } else { "discussions" }]),
                count(&["releases"])
            ));
        }
        page.raw("</table>");
        let projects = projects::pages(self)?;
        if !projects.is_empty() {
            page.raw("<h2>Projects</h2><ul>");
            for (place, title) in projects {
                let link = self.link("index.html", &place, if title.is_empty() { &place } else { &title });
                page.raw(&format!("<li>{link}</li>"));
            }
            page.raw("</ul>");
        }
        page.end()
    }

    fn repository(&mut self, one: &RepositoryRows) -> io::Result<()> {
        let place = format!("{}/index.html", one.name);
        let mut page = self.page(&place, &one.name)?;
        let back = self.link(&place, "index.html", "all repositories");
        page.raw(&format!("<p>{back}</p>"));
        for source in [&one.code, &one.wiki].into_iter().flatten() {
            page.line(&format!("Its code or wiki is in the snapshots of source {source}."));
        }
        let mut kinds = vec![("issues", "Issues and pull requests"), ("merge_requests", "Merge requests")];
        kinds.extend(self.github.then_some(("discussions", "Discussions")));
        for (kind, words) in kinds {
            let listed = thread::pages(self, one, kind)?;
            if listed.is_empty() {
                continue;
            }
            page.raw(&format!(
                "<h2>{words}</h2><table class=\"list\"><tr><th>No.</th><th>Title</th><th></th><th>By</th><th>At</th></tr>"
            ));
            for item in listed.iter().rev() {
                let Listed { number, title, state, author, made, pull } = item;
                let link = self.link(&place, &format!("{}/{kind}/{number}.html", one.name), title);
                let what = if *pull { format!("pull request, {state}") } else { state.clone() };
                page.raw(&format!(
                    "<tr><td>{number}</td><td>{link}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    esc(&what),
                    esc(author),
                    esc(made)
                ));
            }
            page.raw("</table>");
        }
        if self.releases(one)? {
            let link = self.link(&place, &format!("{}/releases.html", one.name), "Releases");
            page.raw(&format!("<h2>{link}</h2>"));
        }
        page.raw("<h2>What was read</h2><table><tr><th>Kind</th><th>How</th><th>Entries</th><th></th></tr>");
        for row in &one.kinds {
            let class = if row.status.is_whole() { "" } else { " class=\"bad\"" };
            let count = if row.status == Status::Off { String::new() } else { row.got.to_string() };
            page.raw(&format!(
                "<tr{class}><td>{}</td><td>{}</td><td>{count}</td><td>{}</td></tr>",
                esc(&row.kind),
                row.status.as_str(),
                esc(&row.said)
            ));
        }
        page.raw("</table>");
        page.end()
    }

    fn releases(&mut self, one: &RepositoryRows) -> io::Result<bool> {
        let place = format!("{}/releases.html", one.name);
        let mut lines = Lines::open(&self.stream(&one.name, "releases"))?;
        let Some(mut next) = lines.next()?.map(|(_, release)| Some(release)) else { return Ok(false) };
        let mut page = self.page(&place, &format!("{}: releases", one.name))?;
        let back = self.link(&place, &format!("{}/index.html", one.name), &one.name);
        page.raw(&format!("<p>{back}</p>"));
        while let Some(release) = next {
            let name = text(&release, &["name", "tag_name"]);
            page.raw(&format!("<section><h2>{}</h2>", esc(&name)));
            page.line(&format!(
                "{} {}",
                text(&release, &["tag_name"]),
                text(&release, &["published_at", "released_at", "created_at"])
            ));
            page.body(own(&release, &["body", "description"]));
            page.raw(&thread::files(self, (&place, &one.name, "releases"), &release));
            page.raw("</section>");
            next = lines.next()?.map(|(_, release)| release);
        }
        page.end()?;
        Ok(true)
    }

    /// Where the stream of a kind is; it may not be there.
    fn stream(&self, repository: &str, kind: &str) -> PathBuf {
        self.from.join(repository).join(format!("{kind}.jsonl"))
    }
}

/// Whether `path`, of a manifest that anybody may have written, stays below the directory that it is put into.
#[must_use]
pub fn stays(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}
