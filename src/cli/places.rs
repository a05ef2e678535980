//! Whether two places of a vault are one, however each is spelled, or one lies within the other: whatever befalls one befalls
//! both then.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use crate::{format::layout, store::VaultUrl};

/// So many links are followed that lead to what is not there.
const LINKS: usize = 40;

/// How one place lies to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// They are one.
    Same,
    /// The first lies within the second.
    Within,
    /// The second lies within the first.
    Contains,
}

impl Overlap {
    const fn of(first_has_second: bool, second_has_first: bool) -> Option<Self> {
        match (first_has_second, second_has_first) {
            (true, true) => Some(Self::Same),
            (false, true) => Some(Self::Within),
            (true, false) => Some(Self::Contains),
            (false, false) => None,
        }
    }

    /// How it is said of the first.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "is",
            Self::Within => "lies within",
            Self::Contains => "contains",
        }
    }
}

/// A place: its URL and, of a bucket, its server.
pub type At<'a> = (&'a VaultUrl, Option<&'a str>);

/// How two places lie to each other by their names alone: nothing is looked at.
#[must_use]
pub fn by_name(first: At<'_>, second: At<'_>) -> Option<Overlap> {
    match (first, second) {
        ((VaultUrl::Local(first), _), (VaultUrl::Local(second), _)) => {
            Overlap::of(second.starts_with(first), first.starts_with(second))
        }
        (
            (VaultUrl::S3 { bucket: first, prefix: ours }, from),
            (VaultUrl::S3 { bucket: second, prefix: theirs }, to),
        ) if first == second && server(from) == server(to) => {
            let within = |outer: &str, inner: &str| {
                outer.is_empty()
                    || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            Overlap::of(within(ours, theirs), within(theirs, ours))
        }
        _ => None,
    }
}

/// How two places lie to each other. Directories are looked at: links and mounts are followed, and of what is not there yet the
/// longest part that is.
///
/// # Errors
/// If a directory can't be looked at, with its path.
pub fn overlap(first: At<'_>, second: At<'_>) -> Result<Option<Overlap>, (PathBuf, io::Error)> {
    let ((VaultUrl::Local(ours), _), (VaultUrl::Local(theirs), _)) = (first, second) else {
        return Ok(by_name(first, second));
    };
    let of_ours = upwards(ours).map_err(|error| (ours.clone(), error))?;
    let of_theirs = upwards(theirs).map_err(|error| (theirs.clone(), error))?;
    let within = |outer: &[Step], inner: &[Step]| outer.first().is_some_and(|own| inner.contains(own));
    Ok(Overlap::of(within(&of_ours, &of_theirs), within(&of_theirs, &of_ours)))
}

/// A directory, whatever it is called: device and number of what is there, and the way below it to what is not.
#[derive(Debug, PartialEq, Eq)]
struct Step(u64, u64, PathBuf);

/// A directory and those above it.
fn upwards(path: &Path) -> io::Result<Vec<Step>> {
    let (there, below) = resolve(path)?;
    let mut found = Vec::new();
    let data = there.metadata()?;
    let mut rest = below.as_path();
    while !rest.as_os_str().is_empty() {
        found.push(Step(data.dev(), data.ino(), rest.to_owned()));
        rest = rest.parent().unwrap_or(Path::new(""));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let elsewhere = unbound(&there, &mounts).filter(|other| same_file(other, &data));
    for directory in there.ancestors().chain(elsewhere.iter().flat_map(|other| other.ancestors())) {
        let data = directory.metadata()?;
        found.push(Step(data.dev(), data.ino(), PathBuf::new()));
    }
    Ok(found)
}

fn same_file(path: &Path, data: &fs::Metadata) -> bool {
    path.metadata().is_ok_and(|other| (other.dev(), other.ino()) == (data.dev(), data.ino()))
}

/// Where else a directory is that is mounted here from within a file system, if that is mounted further up as well.
fn unbound(path: &Path, mounts: &str) -> Option<PathBuf> {
    // Number, parent, device, directory in the file system, where it is mounted.
    let all = || {
        mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(2);
            Some((words.next()?, plain(words.next()?), plain(words.next()?)))
        })
    };
    let (device, root, at) =
        all().filter(|(.., at)| path.starts_with(at)).max_by_key(|(.., at)| at.as_os_str().len())?;
    let within = root.join(path.strip_prefix(&at).ok()?);
    let further =
        |(other, top, _): &(&str, PathBuf, PathBuf)| *other == device && root != *top && root.starts_with(top);
    let (_, top, at) = all().filter(further).min_by_key(|(_, top, _)| top.as_os_str().len())?;
    Some(at.join(within.strip_prefix(top).ok()?))
}

/// A path of the list of mounts, in which blanks and the like are octal numbers.
fn plain(word: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.iter().fold(word.to_owned(), |text, (from, to)| text.replace(from, to)).into()
}

/// The longest part of a path that is there, and the way from there on. What `..` means below a directory that is not there is
/// what it means once that was made.
fn resolve(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    resolve_within(path, LINKS)
}

/// The same, following so many links to what is not there.
fn resolve_within(path: &Path, mut links: usize) -> io::Result<(PathBuf, PathBuf)> {
    let mut names: Vec<OsString> = Vec::new();
    let (mut at, mut up, mut went_up) = (path.to_owned(), 0_usize, false);
    let mut there = loop {
        match at.canonicalize() {
            Ok(there) => break there,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                // A link to a disk that is not mounted.
                let leads = at.read_link().ok().filter(|_| links > 0);
                if let Some(to) = leads.and_then(|to| Some(at.parent()?.join(to))) {
                    at = to;
                    links -= 1;
                    continue;
                }
                match at.components().next_back() {
                    Some(Component::Normal(_)) if up > 0 => up -= 1,
                    Some(Component::Normal(name)) => names.push(name.to_owned()),
                    Some(Component::ParentDir) => (up, went_up) = (up + 1, true),
                    _ => return Err(error),
                }
                at = at.parent().map(Path::to_owned).ok_or(error)?;
            }
        }
    };
    for _ in 0..up {
        there.pop();
    }
    names.reverse();
    let below: PathBuf = names.into_iter().collect();
    // Beside the directory that is not there, what follows may be there after all.
    if went_up && links > 0 && !below.as_os_str().is_empty() {
        return resolve_within(&there.join(below), links - 1);
    }
    Ok((there, below))
}

/// Where a path leads that goes up from a directory which is not there; nothing if it does not. Whoever made it would make that
/// directory as well.
///
/// # Errors
/// If it can't be looked at.
pub fn detour(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut before = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir && fs::symlink_metadata(&before).is_err() {
            let (there, below) = resolve(path)?;
            return Ok(Some(if below.as_os_str().is_empty() { there } else { there.join(below) }));
        }
        before.push(part);
    }
    Ok(None)
}

/// The vault that a directory lies within, if it does: one below another would be the outer one's junk.
#[must_use]
pub fn vault_above(path: &Path) -> Option<PathBuf> {
    let (there, below) = resolve(path).ok()?;
    // What is not there yet lies within all that is.
    let own = usize::from(below.as_os_str().is_empty());
    let is_vault = |dir: &&Path| dir.join(layout::DESCRIPTOR).is_file() && dir.join("keys").is_dir();
    there.ancestors().skip(own).find(is_vault).map(Path::to_owned)
}

/// How the server of a bucket is called. All of AWS is one, since a bucket's name is one in all of it.
fn server(endpoint: Option<&str>) -> String {
    let endpoint = endpoint.unwrap_or_default().trim().trim_end_matches('/').to_ascii_lowercase();
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint.as_str()));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = match scheme {
        "http" => ":80",
        _ => ":443",
    };
    let host = host.strip_suffix(port).unwrap_or(host).trim_end_matches('.');
    for of_aws in ["amazonaws.com", "amazonaws.com.cn"] {
        if host == of_aws || host.strip_suffix(of_aws).is_some_and(|rest| rest.ends_with('.')) {
            return if of_aws.ends_with("cn") { of_aws.to_owned() } else { String::new() };
        }
    }
    if host.is_empty() { String::new() } else { format!("{scheme}://{host}/{}", path.trim_end_matches('/')) }
}

/// Files of one directory that are, under the same names, files of another: hard links, of which there is only one on the disk.
/// How many, and the first. Of a file that has one name only the other directory is not asked.
///
/// # Errors
/// If the first directory can't be looked at.
pub fn shared(copy: &Path, vault: &Path) -> io::Result<(u64, Option<PathBuf>)> {
    let (mut count, mut first) = (0, None);
    linked(copy, &mut |below, data| {
        let same = |other: &fs::Metadata| (other.dev(), other.ino()) == (data.dev(), data.ino());
        if fs::symlink_metadata(vault.join(below)).is_ok_and(|other| same(&other)) {
            count += 1;
            first.get_or_insert_with(|| below.to_owned());
        }
    })?;
    Ok((count, first))
}

/// Files in a vault's directory that have another name somewhere. How many, and the first. What is being written there has two
/// for a moment, so each is looked at again.
///
/// # Errors
/// If it can't be looked at.
pub fn linked_twice(vault: &Path) -> io::Result<(u64, Option<PathBuf>)> {
    let mut found = Vec::new();
    linked(vault, &mut |below, _| found.push(below.to_owned()))?;
    found.retain(|below| fs::symlink_metadata(vault.join(below)).is_ok_and(|data| data.nlink() > 1));
    Ok((found.len() as u64, found.into_iter().min()))
}

/// Gives each file below `root` that has more than one name to `each`, unless that is a name of what is being written.
fn linked(root: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) -> io::Result<()> {
    let mut open = vec![PathBuf::new()];
    let mut writing: Option<Vec<u64>> = None;
    while let Some(below) = open.pop() {
        let entries = match fs::read_dir(root.join(&below)) {
            // It was there a moment ago, or is closed to us; whoever reads what is in it says so.
            Err(_) if !below.as_os_str().is_empty() => continue,
            other => other?,
        };
        for entry in entries.flatten() {
            let below = below.join(entry.file_name());
            if below == Path::new(".tmp") {
                continue;
            }
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                open.push(below);
            } else if data.is_file() && data.nlink() > 1 {
                let writing = writing.get_or_insert_with(|| unfinished(root));
                if data.nlink() > 2 || !writing.contains(&data.ino()) {
                    each(&below, &data);
                }
            }
        }
    }
    Ok(())
}

/// The numbers of the files that are being written in a vault, or were when their writer died.
fn unfinished(root: &Path) -> Vec<u64> {
    let entries = fs::read_dir(root.join(".tmp")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.ino())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(text: &str) -> VaultUrl {
        text.parse().unwrap()
    }

    #[test]
    fn buckets_are_one_however_their_server_is_spelled() {
        let same = |first: (&str, Option<&str>), second: (&str, Option<&str>)| {
            by_name((&at(first.0), first.1), (&at(second.0), second.1))
        };
        let (local, aws) = (Some("http://127.0.0.1:80"), Some("https://s3.eu-west-3.amazonaws.com"));
        for other in ["http://127.0.0.1", "HTTP://127.0.0.1/", "http://127.0.0.1:80//"] {
            assert_eq!(same(("s3://bucket/a", local), ("s3://bucket/a/", Some(other))), Some(Overlap::Same), "{other}");
        }
        assert_eq!(same(("s3://bucket/a", local), ("s3://bucket/a", Some("http://127.0.0.1:81"))), None);
        assert_eq!(
            same(("s3://bucket", Some("https://Store.example:443")), ("s3://bucket", Some("https://store.example."))),
            Some(Overlap::Same)
        );
        assert_eq!(same(("s3://bucket/a", None), ("s3://bucket/a", aws)), Some(Overlap::Same));
        assert_eq!(same(("s3://bucket/a", None), ("s3://bucket/a", Some("https://notamazonaws.com"))), None);
        assert_eq!(same(("s3://bucket/a/b", None), ("s3://bucket/a", None)), Some(Overlap::Within));
        assert_eq!(same(("s3://bucket", None), ("s3://bucket/a", None)), Some(Overlap::Contains));
        assert_eq!(same(("s3://bucket/ab", None), ("s3://bucket/a", None)), None);
        assert_eq!(same(("s3://bucket/a", None), ("s3://bucket-b/a", None)), None);
        assert_eq!(same(("file:///a/b", None), ("file:///a//b/.", None)), Some(Overlap::Same));
        assert_eq!(same(("file:///a/b", None), ("file:///a/bc", None)), None);
    }

    #[test]
    fn directories_are_one_whatever_leads_to_them_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("disk/inner")).unwrap();
        fs::create_dir(root.join("z")).unwrap();
        symlink(root.join("disk"), root.join("link")).unwrap();
        symlink("unplugged/vault", root.join("drawer")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let found = |first: &str, second: &str| {
            let url = |name: &str| VaultUrl::Local(root.join(name));
            overlap((&url(first), None), (&url(second), None)).unwrap()
        };
        for (first, second) in [
            ("disk/c", "link/c"),
            ("disk/c", "z/../disk/c"),
            ("disk/c", "none/../link/c"),
            ("disk/c", "none/deeper/../../disk/./c"),
            ("disk/c/d", "link/e/../c/d"),
            ("disk", "link"),
            ("drawer", "unplugged/vault"),
            ("drawer/x", "unplugged/y/../vault/x"),
        ] {
            assert_eq!(found(first, second), Some(Overlap::Same), "{first} {second}");
        }
        for (inner, outer) in
            [("disk/c/d", "link/c"), ("link/c", "disk"), ("disk/inner/new", "link/inner"), ("drawer/x", "unplugged")]
        {
            assert_eq!(found(inner, outer), Some(Overlap::Within), "{inner} {outer}");
            assert_eq!(found(outer, inner), Some(Overlap::Contains), "{inner} {outer}");
        }
        for (first, second) in [("disk/c", "disk/cc"), ("disk/c", "z/c"), ("none/c", "other/c"), ("disk/inner", "z")] {
            assert_eq!(found(first, second), None, "{first} {second}");
        }
        fs::create_dir(root.join("disk/keys")).unwrap();
        assert_eq!(vault_above(&root.join("link/c/d")), None);
        fs::write(root.join("disk/vault.json"), "x").unwrap();
        let disk = root.join("disk").canonicalize().unwrap();
        for name in ["link/c/d", "disk/inner", "z/../disk/c"] {
            assert_eq!(vault_above(&root.join(name)).as_ref(), Some(&disk), "{name}");
        }
        assert_eq!((vault_above(&root.join("disk")), vault_above(&root.join("z"))), (None, None));
        let looped = VaultUrl::Local(root.join("loop"));
        assert!(overlap((&looped, None), (&looped, None)).is_err());
        assert_eq!(detour(&root.join("z/../disk")).unwrap(), None);
        let led = detour(&root.join("none/../link/c")).unwrap().unwrap();
        assert_eq!(led, root.join("disk/c").canonicalize().unwrap_or(root.canonicalize().unwrap().join("disk/c")));
    }

    #[test]
    fn what_is_mounted_from_within_a_disk_is_found_on_it() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 22 8:2 / /mnt/my\\040disk rw - ext4 /dev/sdb rw\n\
                      41 22 8:2 /a/b /srv/b rw - ext4 /dev/sdb rw\n42 22 0:33 /sub /other rw - btrfs x rw\n";
        let found = |path: &str| unbound(Path::new(path), mounts);
        assert_eq!(found("/srv/b/c"), Some("/mnt/my disk/a/b/c".into()));
        assert_eq!(found("/srv/b"), Some("/mnt/my disk/a/b".into()));
        assert_eq!((found("/srv/c"), found("/mnt/my disk/a"), found("/other/x")), (None, None, None));
    }

    #[test]
    fn files_with_two_names_are_found_and_those_that_are_being_written_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let (vault, copy) = (dir.path().join("vault"), dir.path().join("copy"));
        for root in [&vault, &copy] {
            fs::create_dir_all(root.join("packs")).unwrap();
            fs::create_dir(root.join(".tmp")).unwrap();
            fs::write(root.join("packs/own"), b"x").unwrap();
        }
        fs::write(vault.join(".tmp/1-1"), b"x").unwrap();
        fs::hard_link(vault.join(".tmp/1-1"), vault.join("packs/new")).unwrap();
        assert_eq!(linked_twice(&vault).unwrap(), (0, None));
        assert_eq!(shared(&copy, &vault).unwrap(), (0, None));
        fs::hard_link(vault.join("packs/new"), copy.join("packs/new")).unwrap();
        fs::hard_link(vault.join("packs/own"), copy.join("packs/other")).unwrap();
        assert_eq!(shared(&copy, &vault).unwrap(), (1, Some("packs/new".into())));
        assert_eq!(linked_twice(&vault).unwrap().0, 2);
    }
}
