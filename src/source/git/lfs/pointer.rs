//! Pointers to LFS objects, and the names that these go by.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::super::{Result, SourceError, open_own, run};
use crate::model::Name;

/// Pointers are shorter than this, by the specification of LFS.
const POINTER: usize = 1024;

/// The SHA-256 of an LFS object, its name: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(in super::super) struct LfsId(pub(super) String);

impl LfsId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then(|| Self(text.to_owned()))
    }

    /// A stream's name is too short for all digits; its path has them.
    pub(super) fn stream(&self) -> Result<Name> {
        let name = format!("lfs-{}", self.0.get(..56).unwrap_or_default());
        name.parse().map_err(|e| SourceError::new(format!("{e}"), name))
    }

    pub(super) fn path(&self) -> String {
        let digits = |at| self.0.get(at..at + 2).unwrap_or_default();
        format!("lfs/objects/{}/{}/{}", digits(0), digits(2), self.0)
    }
}

/// The objects that pointers among some revisions name, with their sizes: `which` they are, or come from `input`. `list` is
/// a file to work with.
pub(super) fn pointers(
    git: impl Fn(&[&str]) -> Command,
    list: &Path,
    which: &[&str],
    input: Stdio,
) -> Result<BTreeMap<LfsId, u64>> {
    let failed = |e| SourceError::at("can't look for LFS pointers", list, e);
    let filter = format!("--filter=combine:object:type=blob+blob:limit={POINTER}");
    let mut command = git(&[&["rev-list", "--objects", "--no-object-names", &filter], which].concat());
    command.stdin(input);
    let mut listing = run::start(&mut command, "git rev-list")?;
    let mut small = BufWriter::new(File::create(list).map_err(failed)?);
    io::copy(&mut listing.stdout()?, &mut small).and_then(|_| small.flush()).map_err(failed)?;
    listing.finish()?;
    let mut command = git(&["cat-file", "--batch", "--buffer"]);
    let mut reading = run::start(command.stdin(Stdio::from(open_own(list)?)), "git cat-file")?;
    let mut from = BufReader::with_capacity(1 << 16, reading.stdout()?);
    let (mut found, mut line, mut text) = (BTreeMap::new(), String::new(), Vec::new());
    // `<name> <type> <size>`, the object, and a line's end.
    while from.read_line(&mut line).map_err(failed)? > 0 {
        let mut words = line.split_whitespace();
        let (kind, size) = (words.nth(1), words.next().and_then(|s| s.parse::<u64>().ok()));
        let size = size.ok_or_else(|| SourceError::new(format!("said {:?}", line.trim_end()), "git cat-file"))?;
        text.clear();
        if kind == Some("blob") && size < POINTER as u64 {
            from.by_ref().take(size).read_to_end(&mut text).map_err(failed)?;
            found.extend(pointer(&text));
        } else {
            io::copy(&mut from.by_ref().take(size), &mut io::sink()).map_err(failed)?;
        }
        io::copy(&mut from.by_ref().take(1), &mut io::sink()).map_err(failed)?;
        line.clear();
    }
    reading.finish()?;
    Ok(found)
}

/// What a pointer names, if `text` is one.
fn pointer(text: &[u8]) -> Option<(LfsId, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some("version https://git-lfs.github.com/spec/v1") {
        return None;
    }
    let mut lines = lines.filter_map(|line| line.split_once(' '));
    let id = lines.by_ref().find_map(|(key, value)| (key == "oid").then(|| value.strip_prefix("sha256:")).flatten());
    let size = lines.find_map(|(key, value)| (key == "size").then(|| value.parse().ok()).flatten());
    Some((LfsId::parse(id?)?, size?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_from_other_small_files() {
        let digits = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let good = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digits}\nsize 12345\n");
        assert_eq!(pointer(good.as_bytes()), Some((LfsId(digits.to_owned()), 12345)));
        let more = format!("version https://git-lfs.github.com/spec/v1\next-0-x y\noid sha256:{digits}\nsize 1\n");
        assert!(pointer(more.as_bytes()).is_some());
        for bad in ["", "version", &good.replace("sha256", "sha512"), &good.replace("4d7a", "4D7A"), &good[20..]] {
            assert_eq!(pointer(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
