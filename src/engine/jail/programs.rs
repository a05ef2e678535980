//! What programs need of the file system: the system's libraries, and what belongs to those that are installed elsewhere.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The system's programs and libraries, and what these look up.
pub(super) const SYSTEM: [&str; 36] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/libexec",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/libexec",
    "/usr/local/share",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/gnu/store",
    "/nix/store",
    "/etc/alternatives",
    "/etc/crypto-policies",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/perl",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/sys/devices/system/cpu",
];

/// What finds and trusts hosts where there is a network, and where servers have their sockets by default.
pub(super) const NETWORK: [&str; 14] = [
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/krb5.conf",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/run/mysqld",
    "/run/postgresql",
    "/var/lib/mysql/mysql.sock",
];

/// Where a path leads, as it is and without links; nowhere if there is nothing.
pub(super) fn real_of(path: &Path) -> Vec<PathBuf> {
    let real = path.canonicalize().ok();
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    let own = parent.zip(path.file_name()).map(|(parent, name)| parent.join(name));
    // A link is shown, and what it leads to.
    real.into_iter()
        .flat_map(|real| std::iter::once(real.clone()).chain(own.clone().filter(|own| *own != real)))
        .collect()
}

/// The path of a program, without links in the directories that lead there.
pub(super) fn find(program: &OsStr) -> Option<PathBuf> {
    let within = |path: &Path| -> Option<PathBuf> {
        let parent = path.parent()?.canonicalize().ok()?;
        path.is_file().then(|| parent.join(path.file_name().unwrap_or_default()))
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return within(Path::new(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).filter(|dir| dir.is_absolute()).find_map(|dir| within(&dir.join(program)))
}

/// What belongs to a program that is installed elsewhere than the system's: the parts that programs and libraries have of
/// its prefix, such as a version's below `/opt` or a Python environment. Where `engine` is set, any directory counts as a
/// prefix that is not a home, whose other directories may hold anything. Of others nothing but the program is its own.
pub(super) fn installed_at(program: &Path, engine: bool, home: Option<&Path>) -> Vec<PathBuf> {
    const PARTS: [&str; 8] = ["bin", "sbin", "lib", "lib32", "lib64", "libexec", "share", "pyvenv.cfg"];
    let real = program.canonicalize().ok();
    let is_prefix = |dir: &&Path| {
        let above = dir.parent();
        let of_home = home.is_some_and(|home| home.starts_with(dir)) || dir.ends_with(".local");
        let own = above.is_some_and(|above| above.starts_with("/opt") || above == Path::new("/usr/local"));
        above.is_some() && !of_home && (engine || own || dir.join("pyvenv.cfg").is_file())
    };
    let dirs = real.iter().map(PathBuf::as_path).chain([program]).filter_map(Path::parent);
    let bins = dirs.filter(|dir| dir.file_name().is_some_and(|name| name == "bin" || name == "sbin"));
    let shared = bins.clone().filter(|_| engine).filter_map(shared_by_version);
    let beside = bins.filter_map(Path::parent).filter(is_prefix).flat_map(|above| PARTS.map(|part| above.join(part)));
    let all = beside.chain(shared).filter(|path| path.exists()).flat_map(|path| real_of(&path));
    all.chain(real.clone()).collect()
}

/// Debian has what a version of PostgreSQL shares beside `lib`, and not below that version's own prefix.
fn shared_by_version(bin: &Path) -> Option<PathBuf> {
    let version = bin.parent()?;
    let all = version.parent().filter(|all| all.ends_with("lib/postgresql"))?;
    Some(all.parent()?.parent()?.join("share/postgresql").join(version.file_name()?))
}

/// The files that must be run to run a program: itself and what loads it. `None` for scripts, which run others.
pub(super) fn needed_to_run(program: &Path) -> Option<Vec<PathBuf>> {
    let loader = loader(&mut File::open(program).ok()?)?;
    Some(real_of(program).into_iter().chain(loader.iter().flat_map(|path| real_of(path))).collect())
}

/// What loads a program of the usual format, which is one file or none; `None` if it has another format.
fn loader(file: &mut File) -> Option<Vec<PathBuf>> {
    const SIXTY_FOUR_BITS_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    const LOADER: u64 = 3;
    const MOST: u64 = 4096;
    let mut at = |from: u64, bytes: u64| -> Option<Vec<u8>> {
        let mut read = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        file.by_ref().take(bytes.min(MOST)).read_to_end(&mut read).ok()?;
        Some(read)
    };
    let number = |bytes: &[u8], from: usize, length: usize| -> Option<u64> {
        let bytes = bytes.get(from..from.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    let head = at(0, 64)?;
    if !head.starts_with(SIXTY_FOUR_BITS_LITTLE_ENDIAN) {
        return None;
    }
    let (table, size, count) = (number(&head, 32, 8)?, number(&head, 54, 2)?, number(&head, 56, 2)?);
    for n in 0..count {
        let entry = at(table.checked_add(n * size)?, size)?;
        if number(&entry, 0, 4)? == LOADER {
            let path = at(number(&entry, 8, 8)?, number(&entry, 32, 8)?)?;
            let path = String::from_utf8(path).ok()?;
            return Some(vec![PathBuf::from(path.trim_end_matches('\0'))]);
        }
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_told_from_a_script() {
        let own = env::current_exe().unwrap();
        let run = needed_to_run(&own).unwrap();
        assert!(run.len() >= 2 && run.iter().any(|path| path.to_string_lossy().contains("ld")), "{run:?}");
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert_eq!(needed_to_run(&script), None);
    }

    #[test]
    fn a_home_is_no_prefix_of_programs() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let (program, share) = (home.join("bin/check"), home.join("share"));
        fs::create_dir_all(&share).unwrap();
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(&program, "").unwrap();
        assert!(installed_at(&program, true, None).contains(&share));
        assert_eq!(installed_at(&program, true, Some(&home)), std::slice::from_ref(&program));
        assert_eq!(installed_at(&program, false, None), [program]);
    }
}
