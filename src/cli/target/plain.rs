//! What the file system of a target can't keep: told once, with how many it concerns.

use std::path::Path;

use crate::model::{Finding, Severity};

/// What was not kept, by kind: the first, and how many.
#[derive(Debug, Default)]
pub(super) struct Plain([Option<(String, u64)>; 4]);

/// What may not be kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Mode,
    Time,
    Link,
    HardLink,
}

impl Plain {
    /// Counts something at `path`.
    pub(super) fn add(&mut self, what: What, path: &str) {
        if let Some(slot) = self.0.get_mut(what as usize) {
            slot.get_or_insert_with(|| (path.to_owned(), 0)).1 += 1;
        }
    }

    /// What is said of it, if anything was not kept.
    pub(super) fn told(&self, dir: &Path) -> Option<Finding> {
        const SAID: [&str; 4] = [
            "the modes of {} (others may read them)",
            "the times of {}",
            "{} symbolic links, which were left out",
            "{} hard links, which are files of their own now",
        ];
        let lost: Vec<String> = self
            .0
            .iter()
            .zip(SAID)
            .filter_map(|(slot, said)| {
                let (first, count) = slot.as_ref()?;
                Some(format!("{} (the first is {first})", said.replace("{}", &count.to_string())))
            })
            .collect();
        if lost.is_empty() {
            return None;
        }
        let message = format!(
            "every byte of every file is there, but the file system did not take all that was known of them: {}",
            lost.join("; ")
        );
        Some(Finding::new(Severity::Warning, "target.plain", message).on(dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_with_a_count() {
        let mut plain = Plain::default();
        assert!(plain.told(Path::new("/x")).is_none());
        for no in 0..3 {
            plain.add(What::Mode, &format!("f{no}"));
        }
        plain.add(What::Link, "l");
        let told = plain.told(Path::new("/x")).unwrap().message;
        assert!(
            told.contains("modes of 3") && told.contains("first is f0") && told.contains("1 symbolic links"),
            "{told}"
        );
        assert!(!told.contains("hard links") && !told.contains("times"), "{told}");
    }
}
