//! Which page of a list comes next. GitHub and GitLab name it. Gitea does for some lists, tells of others how long they are, and of
//! timelines neither. A proxy may take away what names it, so a full page that names none is not taken for the last.

use super::{client::Page, ends::Ends};

/// What asks for so many entries, by forge.
const SIZES: &[&str] = &["limit=", "per_page="];
/// So many entries of a timeline are no page that ends it: what the forge leaves out stands on it besides.
const SOME: u64 = 20;

/// What comes after a page.
pub(super) enum Turn {
    /// That page.
    Next(String),
    /// Nothing.
    End,
    /// More, which is not read.
    Cut(String),
}

impl Turn {
    /// The next page, where there is one that is read.
    pub(super) fn next(&self) -> Option<String> {
        if let Self::Next(next) = self { Some(next.clone()) } else { None }
    }
}

/// The pages of a list so far.
#[derive(Default)]
pub(super) struct Pages {
    /// How many entries were on them.
    had: u64,
    /// The first entry of the last page.
    first: Option<String>,
    /// For a list that is told neither to go on nor how long it is: how many entries are left out of it at least.
    hidden: Option<u64>,
    ends: Ends,
}

impl Pages {
    /// Those of a list that is gone on with, of which so many entries were read.
    pub(super) fn behind(had: u64) -> Self {
        Self { had, ..Self::default() }
    }

    /// Those of a list that is told neither to go on nor how long it is, and of which so many entries are left out.
    pub(super) fn untold(hidden: u64) -> Self {
        Self { hidden: Some(hidden), ..Self::default() }
    }

    /// How many entries were on them.
    pub(super) const fn had(&self) -> u64 {
        self.had
    }

    /// What comes after `page`, which was read from `url` and had so many entries, the first of that name.
    pub(super) fn after(&mut self, url: &str, page: &Page, (entries, first): (usize, Option<String>)) -> Turn {
        self.had += entries as u64;
        let next = match (&page.next, page.number) {
            (Some(next), _) => next.clone(),
            (None, Some(number)) => numbered(url, number),
            (None, None) => match self.unnamed(url, page.total, entries as u64) {
                // One that is given again, whatever number is asked for, is no other.
                Some(next) if first.is_none() || first != self.first => next,
                _ => return Turn::End,
            },
        };
        self.first = first;
        match self.ends.after(entries, &next) {
            Some(said) => Turn::Cut(said),
            None => Turn::Next(next),
        }
    }

    /// The next page where none is named and there may be one.
    fn unnamed(&self, url: &str, total: Option<u64>, entries: u64) -> Option<String> {
        let size = SIZES.iter().find_map(|name| number(url, name)).filter(|size| *size > 0)?;
        let at = number(url, "page=").unwrap_or(1);
        let more = match (self.hidden, total) {
            (Some(hidden), _) => entries >= SOME.min(size) || self.had + hidden + size / 2 > at.saturating_mul(size),
            (None, Some(total)) => entries > 0 && self.had < total,
            (None, None) => entries >= size,
        };
        more.then(|| numbered(url, at + 1))
    }
}

/// Where the value of `name` stands in the query of `url`.
fn place(url: &str, name: &str) -> Option<(usize, usize)> {
    let begin = url.find('?')? + 1;
    let mut at = begin;
    for part in url.get(begin..)?.split('&') {
        if part.starts_with(name) {
            return Some((at + name.len(), at + part.len()));
        }
        at += part.len() + 1;
    }
    None
}

fn number(url: &str, name: &str) -> Option<u64> {
    let (from, to) = place(url, name)?;
    url.get(from..to)?.parse().ok()
}

/// `url` with that number of a page.
fn numbered(url: &str, page: u64) -> String {
    match place(url, "page=") {
        Some((from, to)) => {
            let (before, behind) = (url.get(..from).unwrap_or_default(), url.get(to..).unwrap_or_default());
            format!("{before}{page}{behind}")
        }
        None => format!("{url}&page={page}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next: Option<&str>, total: Option<u64>) -> Page {
        Page { next: next.map(str::to_owned), total, ..Page::default() }
    }

    fn next(pages: &mut Pages, url: &str, of: &Page, entries: usize, first: &str) -> Option<String> {
        match pages.after(url, of, (entries, Some(first.to_owned()))) {
            Turn::Next(url) => Some(url),
            Turn::End => None,
            Turn::Cut(said) => panic!("{said}"),
        }
    }

    #[test]
    fn a_page_that_nobody_names_is_asked_for_where_there_may_be_one() {
        let (one, two) = ("https://h/x?limit=50", "https://h/x?limit=50&page=2");
        let named = page(Some("https://h/y"), Some(9));
        assert_eq!(next(&mut Pages::default(), one, &named, 3, "1").as_deref(), Some("https://h/y"));
        // As long as it is told to be, whatever a page of the server holds.
        let mut pages = Pages::default();
        let told = page(None, Some(61));
        assert_eq!(next(&mut pages, one, &told, 30, "1").as_deref(), Some(two));
        assert_eq!(next(&mut pages, two, &told, 30, "31").as_deref(), Some("https://h/x?limit=50&page=3"));
        assert_eq!(next(&mut pages, "https://h/x?limit=50&page=3", &told, 1, "61"), None);
        assert_eq!(next(&mut Pages::behind(30), two, &told, 31, "31"), None);
        assert_eq!(next(&mut Pages::default(), one, &told, 0, ""), None, "an empty page is the last");
        // A full one of a list that tells nothing; a server that knows no pages gives it again.
        let mut pages = Pages::default();
        let full = |pages: &mut Pages, url: &str, first: &str| next(pages, url, &page(None, None), 100, first);
        let url = "https://h/x?since=1&per_page=100";
        assert_eq!(full(&mut pages, url, "1").as_deref(), Some("https://h/x?since=1&per_page=100&page=2"));
        assert_eq!(full(&mut pages, "https://h/x?since=1&per_page=100&page=2", "1"), None);
        assert_eq!(next(&mut Pages::default(), url, &page(None, None), 99, "1"), None);
        assert_eq!(next(&mut Pages::default(), "https://h/x", &page(None, None), 500, "1"), None, "it has no pages");
    }

    #[test]
    fn a_timeline_goes_on_behind_what_is_left_out_of_it() {
        let told = page(None, Some(1));
        let url = |n: u64| format!("https://h/timeline?limit=50&page={n}");
        assert_eq!(next(&mut Pages::untold(0), &url(1), &told, 1, "1"), None);
        assert!(next(&mut Pages::untold(0), &url(1), &told, 20, "1").is_some());
        // 120 comments on lines, of which it shows none.
        let mut pages = Pages::untold(120);
        assert_eq!(next(&mut pages, &url(1), &told, 1, "1"), Some(url(2)));
        assert_eq!(next(&mut pages, &url(2), &told, 0, ""), Some(url(3)));
        assert_eq!(next(&mut pages, &url(3), &told, 2, "2"), None);
    }
}
