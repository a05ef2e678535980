//! What git says, line by line, and what it is asked by such a file.

use std::{
    io::{BufRead, BufWriter, Read as _, Write},
    path::Path,
    process::Stdio,
};

use super::{Oid, Result, SourceError, open_own};

/// How much of a path git gets as a hint for finding similar objects.
const HINT: u64 = 1024;
/// The file in the scratch repository that says what is new: what is wanted, and what is held.
const REVISIONS: &str = "revisions";

/// Reads a line without its end into `line`, but not more of it than is needed: names in a tree have no limit.
pub(super) fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    if from.by_ref().take(HINT).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.pop_if(|b| *b == b'\n').is_none() {
        from.skip_until(b'\n')?;
    }
    Ok(true)
}

/// Writes down what is to be read: what can be reached from `wanted` and not from `held`.
pub(super) fn write_revisions(scratch: &Path, wanted: &[Oid], held: &[Oid]) -> Result<()> {
    let lines = wanted.iter().map(|oid| ("", oid)).chain(held.iter().map(|oid| ("^", oid)));
    write_lines(&scratch.join(REVISIONS), lines)
}

/// What [`write_revisions`] wrote.
pub(super) fn revisions(scratch: &Path) -> Result<Stdio> {
    Ok(Stdio::from(open_own(&scratch.join(REVISIONS))?))
}

/// Writes names of objects, each with what stands before it.
pub(super) fn write_lines<'a>(path: &Path, lines: impl Iterator<Item = (&'a str, &'a Oid)>) -> Result<()> {
    let failed = |e| SourceError::at("can't write a temporary file", path, e);
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    for (sign, oid) in lines {
        writeln!(file, "{sign}{}", oid.as_str()).map_err(failed)?;
    }
    file.flush().map_err(failed)
}
