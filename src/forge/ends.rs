//! Whether a list comes to an end, or its pages lead in a circle or go on with nothing in them.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The most pages of one list.
pub(super) const PAGES: usize = 100_000;
/// The most pages in a row without an entry. A server that leaves out what a token may not see gives some.
const EMPTY: usize = 200;

/// The pages of a list so far.
#[derive(Default)]
pub(super) struct Ends {
    seen: HashSet<u64>,
    empty: usize,
}

impl Ends {
    /// Takes note of a page with so many entries, after which `next` comes. Tells why that is not read.
    pub(super) fn after(&mut self, entries: usize, next: &str) -> Option<String> {
        self.empty = if entries == 0 { self.empty + 1 } else { 0 };
        let mut hasher = DefaultHasher::new();
        next.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return Some("its pages lead in a circle".to_owned());
        }
        if self.empty >= EMPTY {
            return Some(format!("it goes on after {EMPTY} pages without an entry"));
        }
        (self.seen.len() >= PAGES).then(|| format!("it has more than {PAGES} pages"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_do_not_end_are_told() {
        let mut ends = Ends::default();
        assert!(ends.after(1, "b").is_none() && ends.after(1, "c").is_none());
        assert!(ends.after(1, "b").unwrap().contains("circle"));
        let mut ends = Ends::default();
        let told = (0..PAGES).find_map(|page| ends.after(0, &page.to_string()));
        assert!(told.unwrap().contains("without an entry"));
        let mut ends = Ends::default();
        let told = (0..=PAGES).find_map(|page| ends.after(usize::from(page % 100 == 0), &page.to_string()));
        assert!(told.unwrap().contains("more than"));
    }
}
