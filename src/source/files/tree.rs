//! What a tree is besides its files: what is known of directories, and which files are one under several names.

use std::{collections::HashMap, fs::Metadata, os::unix::fs::MetadataExt};

use serde_json::{Map, Value, json};

use super::mtime_ns;

/// So many directories are noted, and so many names of files that have several.
const MOST: usize = 100_000;

/// What was noted.
#[derive(Default)]
pub(super) struct Tree {
    directories: Vec<(String, u32, Option<i64>)>,
    more_directories: u64,
    /// By device and number, in the order in which they came.
    files: Vec<Vec<String>>,
    known: HashMap<(u64, u64), usize>,
    names: usize,
    more_names: u64,
}

impl Tree {
    /// A directory that holds something.
    pub(super) fn directory(&mut self, path: &str, meta: &Metadata) {
        if self.directories.len() == MOST {
            self.more_directories += 1;
        } else {
            self.directories.push((path.to_owned(), meta.mode() & 0o7777, mtime_ns(meta)));
        }
    }

    /// A file.
    pub(super) fn file(&mut self, path: &str, meta: &Metadata) {
        if meta.nlink() < 2 {
            return;
        }
        if self.names == MOST {
            self.more_names += 1;
            return;
        }
        self.names += 1;
        let next = self.files.len();
        let no = *self.known.entry((meta.dev(), meta.ino())).or_insert(next);
        match self.files.get_mut(no) {
            Some(names) => names.push(path.to_owned()),
            None => self.files.push(vec![path.to_owned()]),
        }
    }

    /// Adds it to the facts of the tree.
    pub(super) fn tell(self, details: &mut Map<String, Value>, warnings: &mut Vec<String>) {
        if !self.directories.is_empty() {
            details.insert("directories".to_owned(), json!(self.directories));
        }
        let several: Vec<Vec<String>> = self.files.into_iter().filter(|names| names.len() > 1).collect();
        if !several.is_empty() {
            details.insert("hard_links".to_owned(), json!(several));
        }
        if self.more_directories > 0 {
            warnings.push(format!(
                "modes and times of {} more directories than {MOST} are not kept: they come back for their owner alone",
                self.more_directories
            ));
        }
        if self.more_names > 0 {
            let more = self.more_names;
            warnings.push(format!("{more} more names of files than {MOST} come back as files of their own"));
        }
    }
}
