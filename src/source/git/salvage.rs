//! A repository out of packs of which some are damaged: what is whole comes back, and what is not is told.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::Stdio,
};

use super::{
    GitDetails, GitRestorer, Oid, Only, RefName, Result, SourceError,
    details::log_tip,
    lfs, open_own,
    restore::{self, INCOMING, INCOMING_THIN},
    run, segments,
};
use crate::codec::git_pack::salvage::{self, Base, Whole, distance_bytes};

/// The file in a restored repository that says what is not in it.
const NOTE: &str = "INCOMPLETE.from-backup";
/// How many of a kind are named.
const NAMED: usize = 20;
/// So many refs are walked one by one, to tell which are whole.
const WALKED: usize = 50;

/// Something that did not come back: what it is, and how it is with it.
pub type Lost = (String, String);

impl GitRestorer {
    /// As [`finish`](Self::finish), but what is damaged stops nothing: every object that is whole comes back, and every ref
    /// whose own object is there. Tells what does not; if that is nothing, all was proved as `finish` does. Tells the one ref
    /// that is left, too, if only one was wanted.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn finish_salvaging(mut self) -> Result<(Vec<Lost>, Option<Only>)> {
        let mut lost = Vec::new();
        for pack in std::mem::take(&mut self.packs) {
            if let Err(why) = self.index(&pack) {
                lost.push((stream_of(&pack), salvage_pack(&self.partial, &self.details, &pack, &why)?));
            }
        }
        for id in lfs::check(&self.partial)?.1 {
            let path = self.partial.join(lfs::path_of(&id));
            fs::remove_file(&path).map_err(|e| SourceError::at("can't remove a damaged LFS object", &path, e))?;
            lost.push((
                format!("LFS object {id}"),
                "its content is not what its name says, so it was left out".to_owned(),
            ));
        }
        lost.extend(self.drop_lost_refs()?);
        self.write_refs()?;
        self.write_texts()?;
        let only = self.narrow()?;
        if let Err(why) = restore::prove(&self.partial, &self.details) {
            lost.extend(what_is_missing(&self.partial, &self.details, &why)?);
        }
        if !lost.is_empty() {
            let lines: Vec<String> = lost.iter().map(|(what, how)| format!("{what}: {how}")).collect();
            self.write(NOTE.as_ref(), (lines.join("\n") + "\n").as_bytes())?;
        }
        self.give_name()?;
        Ok((lost, only))
    }

    /// Takes out of the details what names objects that are not there: git would take such a repository for broken.
    fn drop_lost_refs(&mut self) -> Result<Vec<Lost>> {
        let all: BTreeSet<Oid> = self.details.oids().collect();
        let there = segments::existing(&self.partial, &self.partial.join("objects"), all.iter())?;
        let there: HashSet<Oid> = there.into_iter().cloned().collect();
        let gone = |oid: &Oid| !there.contains(oid);
        let lost: Vec<(RefName, Oid)> =
            self.details.refs.iter().filter(|(_, oid)| gone(oid)).map(|(n, o)| (n.clone(), o.clone())).collect();
        self.details.refs.retain(|_, oid| there.contains(oid));
        self.details.worktrees.retain(|_, oid| there.contains(oid));
        let known = |line: &String| log_tip(line).and_then(Oid::parse).is_some_and(|oid| there.contains(&oid));
        self.details.stash.retain(known);
        for lines in self.details.reflogs.values_mut() {
            lines.retain(known);
        }
        let told = |(name, oid): (RefName, Oid)| {
            (name.to_string(), format!("it was not written, since what it names, {}, is not there", oid.as_str()))
        };
        Ok(lost.into_iter().map(told).collect())
    }
}

/// The name of the stream that a file was.
fn stream_of(pack: &Path) -> String {
    let name = pack.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_prefix(INCOMING).map_or(name.clone(), str::to_owned)
}

/// Brings back what is whole in a pack, and tells how much that is.
fn salvage_pack(repository: &Path, details: &GitDetails, pack: &Path, why: &SourceError) -> Result<String> {
    let failed = |e: io::Error| SourceError::at("can't salvage a pack", pack, e);
    // Its name ends as no pack's does, so that git does not take it for one.
    let sound = pack.with_extension("salvaged");
    let (found, said) = rewrite(details, pack, &sound).map_err(failed)?;
    let before = objects(repository)?;
    let thin = pack.file_name().is_some_and(|name| name.as_bytes().starts_with(INCOMING_THIN.as_bytes()));
    let arguments: &[&str] = if thin { &["--fix-thin"] } else { &[] };
    let indexed = feed(repository, &[&["index-pack", "--stdin"], arguments].concat(), &sound)?;
    if !indexed {
        // Some of them build on what is not there: each by itself, then.
        feed(repository, &["unpack-objects", "-r", "-q"], &sound)?;
    }
    let after = objects(repository)?.saturating_sub(before);
    remove_unfinished(repository).map_err(failed)?;
    fs::remove_file(&sound).and_then(|()| fs::remove_file(pack)).map_err(failed)?;
    for left in ["idx", "rev"] {
        let _ = fs::remove_file(pack.with_extension(left));
    }
    let of = said.map_or_else(String::new, |said| format!(" of {said}"));
    let why = why.what.replace('\n', "; ");
    Ok(format!("it {why}: {found}{of} objects are whole in it, and {after} came back that were not there"))
}

/// Removes what a git that failed left among the packs.
fn remove_unfinished(repository: &Path) -> io::Result<()> {
    for entry in fs::read_dir(repository.join("objects/pack"))? {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(b"tmp_") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// How many objects a repository has.
fn objects(repository: &Path) -> Result<u64> {
    let arguments = ["cat-file", "--batch-all-objects", "--batch-check=.", "--unordered", "--buffer"];
    let mut listing = run::start(&mut run::git(repository, None, &arguments), "git cat-file")?;
    let mut lines = BufReader::with_capacity(1 << 16, listing.stdout()?);
    let mut count = 0;
    let failed = |e| SourceError::at("can't count the objects of", repository, e);
    while lines.skip_until(b'\n').map_err(failed)? > 0 {
        count += 1;
    }
    listing.finish()?;
    Ok(count)
}

/// Gives a file to a git command; tells whether it succeeded.
fn feed(repository: &Path, arguments: &[&str], file: &Path) -> Result<bool> {
    let mut command = run::git(repository, None, arguments);
    let what = format!("git {}", arguments.first().unwrap_or(&""));
    let mut running = run::start(command.stdin(Stdio::from(open_own(file)?)), &what)?;
    let failed = |e| SourceError::at("can't read what git says", repository, e);
    io::copy(&mut running.stdout()?, &mut io::sink()).map_err(failed)?;
    Ok(running.reap()?.success())
}

/// Writes what is whole in the pack at `from` as a pack at `to`: how many objects, and how many there should be.
fn rewrite(details: &GitDetails, from: &Path, to: &Path) -> io::Result<(u32, Option<u32>)> {
    let hash = details.format.hash();
    let mut pack = File::open(from)?;
    let len = pack.metadata()?.len();
    let mut start = [0; 12];
    let told = match pack.read_exact(&mut start) {
        Ok(()) if start.starts_with(b"PACK") => start.last_chunk::<4>().map(|count| u32::from_be_bytes(*count)),
        _ => None,
    };
    let mut file = File::options().read(true).write(true).create_new(true).open(to)?;
    let mut out = BufWriter::new(&mut file);
    out.write_all(b"PACK\0\0\0\x02\0\0\0\0")?;
    // Where each object was and is; in their order, so that they can be looked up.
    let (mut places, mut at): (Vec<(u64, u64)>, u64) = (Vec::new(), 12);
    let mut content = pack.try_clone()?;
    let mut count = 0_u32;
    salvage::salvage(hash, BufReader::new(File::open(from)?), len, |object: Whole| {
        let mut head = object.head;
        if let Base::At(base) = object.base {
            let found = places.binary_search_by(|(was, _)| was.cmp(&base)).ok().and_then(|at| places.get(at));
            let Some((_, is)) = found else { return Ok(()) };
            head.extend(distance_bytes(at - is));
        }
        // Of two ways to read a place, one is wrong, and nothing builds on it.
        if places.last().is_none_or(|(was, _)| *was < object.at) {
            places.push((object.at, at));
        }
        out.write_all(&head)?;
        content.seek(SeekFrom::Start(object.content))?;
        let copied = io::copy(&mut (&content).take(object.end - object.content), &mut out)?;
        at += head.len() as u64 + copied;
        count += 1;
        Ok(())
    })?;
    out.flush()?;
    drop(out);
    file.seek(SeekFrom::Start(8))?;
    file.write_all(&count.to_be_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut buffer) = (hash.begin(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    file.write_all(&hasher.finish())?;
    Ok((count, told))
}

/// What the refs that were written need and lack.
fn what_is_missing(repository: &Path, details: &GitDetails, why: &SourceError) -> Result<Vec<Lost>> {
    let arguments = ["rev-list", "--objects", "--all", "--missing=print", "--no-object-names"];
    let mut listing = run::start(&mut run::git(repository, None, &arguments), "git rev-list")?;
    let (mut some, mut count) = (Vec::new(), 0_u64);
    for line in BufReader::with_capacity(1 << 16, listing.stdout()?).lines() {
        let line = line.map_err(|e| SourceError::at("can't list what is missing in", repository, e))?;
        if let Some(oid) = line.strip_prefix('?') {
            count += 1;
            if some.len() < NAMED {
                some.push(oid.to_owned());
            }
        }
    }
    let whole = listing.reap()?.success();
    let names = some.join(", ");
    let more = if count > some.len() as u64 { " and more" } else { "" };
    let told = match (count, whole) {
        (0, _) => format!("some objects are not there ({})", why.what.replace('\n', "; ")),
        (_, true) => format!("{count} objects that refs need are not there: {names}{more}"),
        (_, false) => format!("{count} objects at least that refs need are not there: {names}{more}"),
    };
    let mut lost = vec![("history".to_owned(), told)];
    if details.refs.len() <= WALKED {
        for (name, oid) in &details.refs {
            let mut command = run::git(repository, None, &["rev-list", "--objects", "--quiet", oid.as_str()]);
            if !run::start(&mut command, "git rev-list")?.reap()?.success() {
                lost.push((
                    name.to_string(),
                    "it was written, and some of its history or files is not there".to_owned(),
                ));
            }
        }
    }
    Ok(lost)
}
