//! The `.gitattributes` of a history, at any level of any branch. They are met on walks that are made anyway.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::{Oid, Result, SourceError, lines::next_line, open_own, run};

const NAME: &[u8] = b".gitattributes";
/// What stands in them for files that LFS keeps.
const LFS: &[u8] = b"filter=lfs";
/// As git has it: larger ones count for nothing.
const LARGEST: u64 = 100 << 20;

/// The object that a line of a list is about, `<name> <path>`, if it is such a file.
pub(super) fn listed(line: &[u8], hex_len: usize) -> Option<Oid> {
    let path = line.get(hex_len + 1..)?;
    if path != NAME && !(path.ends_with(NAME) && path.iter().rev().nth(NAME.len()) == Some(&b'/')) {
        return None;
    }
    std::str::from_utf8(line.get(..hex_len)?).ok().and_then(Oid::parse)
}

/// Those that the lines of a file name.
pub(super) fn in_list(path: &Path, hex_len: usize) -> Result<Vec<Oid>> {
    let failed = |e| SourceError::at("can't list what is new", path, e);
    let mut from = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while next_line(&mut from, &mut line).map_err(failed)? {
        found.extend(listed(&line, hex_len));
    }
    Ok(found)
}

/// Whether one of `files` says that LFS keeps something. `path` is a file to work with.
pub(super) fn speak_of_lfs(git: impl Fn(&[&str]) -> Command, path: &Path, files: &[Oid]) -> Result<bool> {
    if files.is_empty() {
        return Ok(false);
    }
    let failed = |e| SourceError::at("can't look at .gitattributes", path, e);
    let mut list = BufWriter::new(File::create(path).map_err(failed)?);
    files.iter().try_for_each(|oid| writeln!(list, "{}", oid.as_str())).and_then(|()| list.flush()).map_err(failed)?;
    let mut command = git(&["cat-file", "--batch", "--buffer"]);
    let mut reading = run::start(command.stdin(Stdio::from(open_own(path)?)), "git cat-file")?;
    let mut from = BufReader::with_capacity(1 << 16, reading.stdout()?);
    let (mut found, mut line) = (false, String::new());
    while from.read_line(&mut line).map_err(failed)? > 0 {
        let size = line.split_whitespace().nth(2).and_then(|size| size.parse::<u64>().ok());
        let size = size.ok_or_else(|| SourceError::new(format!("said {:?}", line.trim_end()), "git cat-file"))?;
        let mut text = from.by_ref().take(size);
        found |= size <= LARGEST && says_lfs(&mut text).map_err(failed)?;
        std::io::copy(&mut text, &mut std::io::sink()).map_err(failed)?;
        std::io::copy(&mut from.by_ref().take(1), &mut std::io::sink()).map_err(failed)?;
        line.clear();
    }
    reading.finish()?;
    Ok(found)
}

/// Whether attributes say that LFS keeps something.
pub(super) fn says_lfs(from: &mut impl Read) -> std::io::Result<bool> {
    let (mut part, mut kept) = (vec![0; 1 << 16], Vec::new());
    loop {
        let n = from.read(&mut part)?;
        if n == 0 {
            return Ok(false);
        }
        kept.extend_from_slice(part.get(..n).unwrap_or_default());
        if kept.windows(LFS.len()).any(|some| some == LFS) {
            return Ok(true);
        }
        kept.drain(..kept.len().saturating_sub(LFS.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_at_any_level_and_nothing_else_is() {
        let oid = "a1".repeat(20);
        for (path, is) in [
            (".gitattributes", true),
            ("a b/c/.gitattributes", true),
            ("x.gitattributes", false),
            (".gitattributes/x", false),
            ("", false),
        ] {
            assert_eq!(listed(format!("{oid} {path}").as_bytes(), 40).is_some(), is, "{path}");
        }
        assert_eq!(listed(oid.as_bytes(), 40), None);
        let far = [&vec![b'x'; (1 << 16) - 3][..], b"*.bin filter=lfs diff=lfs"].concat();
        assert!(says_lfs(&mut &far[..]).unwrap() && !says_lfs(&mut &far[..1 << 16]).unwrap());
    }
}
