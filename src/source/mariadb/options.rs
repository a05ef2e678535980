//! Option files: of one that somebody gave, only what says how to connect is taken. The tools read much more from such a
//! file, and some of it empties a dump or changes the shape of what is asked.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::super::{Result, SourceError};

/// The most that is read of a file.
const LIMIT: u64 = 1 << 20;
/// How deep files include others.
const DEPTH: u32 = 10;
/// Groups in which clients of all kinds look.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// What says how to connect.
const CONNECTION: [&str; 33] = [
    "host",
    "port",
    "socket",
    "user",
    "password",
    "protocol",
    "connect-timeout",
    "compress",
    "bind-address",
    "ssl",
    "ssl-ca",
    "ssl-capath",
    "ssl-cert",
    "ssl-key",
    "ssl-cipher",
    "ssl-crl",
    "ssl-crlpath",
    "ssl-mode",
    "ssl-fp",
    "ssl-fplist",
    "ssl-passphrase",
    "ssl-verify-server-cert",
    "ssl-fips-mode",
    "tls-version",
    "tls-ciphersuites",
    "tls-fp",
    "tls-fplist",
    "default-auth",
    "plugin-dir",
    "server-public-key-path",
    "get-server-public-key",
    "compression-algorithms",
    "enable-cleartext-plugin",
];
/// What changes nothing, since the tools are told otherwise or talk to nobody.
const HARMLESS: [&str; 9] = [
    "default-character-set",
    "character-sets-dir",
    "max-allowed-packet",
    "net-buffer-length",
    "quick",
    "no-beep",
    "progress-reports",
    "reconnect",
    "secure-auth",
];

/// Settings, by names with dashes. A value may be missing, as in `ssl`.
pub(super) type Settings = BTreeMap<String, Option<Zeroizing<String>>>;

/// What the file at `path` says of connecting.
///
/// # Errors
/// If it can't be read, or says something in `[client]` that is not about connecting.
pub(super) fn connection(path: &Path) -> Result<Settings> {
    let mut settings = Settings::new();
    read(path, DEPTH, &mut settings)?;
    Ok(settings)
}

fn read(path: &Path, depth: u32, settings: &mut Settings) -> Result<()> {
    let shown = path.display().to_string();
    let failed = |e| SourceError::at("can't read the option file", path, e);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o002 != 0 {
        return Err(SourceError::new("can be written to by everybody, so nothing in it is believed", shown));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
    let mut group = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end().trim_end_matches(']').trim().clone_into(&mut group);
        } else if let Some(rest) = line.strip_prefix("!includedir") {
            include_all(&beside(path, rest.trim()), depth, settings)?;
        } else if let Some(rest) = line.strip_prefix("!include") {
            include(&beside(path, rest.trim()), depth, settings)?;
        } else if GROUPS.contains(&group.as_str()) && !line.is_empty() && !line.starts_with(['#', ';']) {
            setting(line, &group, &shown, settings)?;
        }
    }
    Ok(())
}

fn beside(path: &Path, other: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).join(other)
}

fn include(path: &Path, depth: u32, settings: &mut Settings) -> Result<()> {
    if depth == 0 {
        return Err(SourceError::new("option files include each other too deeply", path.display().to_string()));
    }
    read(path, depth - 1, settings)
}

fn include_all(dir: &Path, depth: u32, settings: &mut Settings) -> Result<()> {
    let failed = |e| SourceError::at("can't list the option files in", dir, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "cnf") {
            files.push(path);
        }
    }
    files.sort_unstable();
    files.iter().try_for_each(|path| include(path, depth, settings))
}

fn setting(line: &str, group: &str, file: &str, settings: &mut Settings) -> Result<()> {
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value)),
        None => (line.split('#').next().unwrap_or_default().trim(), None),
    };
    let full = name.replace('_', "-").to_ascii_lowercase();
    let plain = full.strip_prefix("loose-").unwrap_or(&full);
    let (plain, off) = ["skip-", "disable-"]
        .iter()
        .find_map(|prefix| plain.strip_prefix(prefix))
        .map_or((plain, false), |plain| (plain, true));
    let plain = plain.strip_prefix("enable-").filter(|rest| CONNECTION.contains(rest)).unwrap_or(plain);
    // As the tools have it, a name may be shortened as long as it can only mean one thing.
    let meant: Vec<&str> = CONNECTION.iter().chain(&HARMLESS).copied().filter(|k| k.starts_with(plain)).collect();
    let short = match meant.as_slice() {
        [one] if plain.len() >= 3 => Some(*one),
        _ => None,
    };
    let known = meant.iter().copied().find(|k| *k == plain).or(short);
    match known {
        Some(known) if CONNECTION.contains(&known) => {
            let value = if off { Some(Zeroizing::new("0".to_owned())) } else { value.map(unquoted) };
            settings.insert(known.to_owned(), value);
            Ok(())
        }
        Some(_) => Ok(()),
        None => {
            let what = format!(
                "{name:?} in [{group}] is not a setting of a connection, and may change what is dumped: move it into the \
                 group of the program that it is for, which a backup does not read"
            );
            Err(SourceError::new(what, file))
        }
    }
}

/// A value without quotes, the comment behind it, and the file's own escapes.
fn unquoted(text: &str) -> Zeroizing<String> {
    let text = text.trim();
    let inner = ['"', '\''].iter().find_map(|q| text.strip_prefix(*q).and_then(|rest| rest.rsplit_once(*q)));
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = match inner {
        Some((inner, _)) => inner,
        // A hash begins a comment in the middle of a line too.
        None => text.split('#').next().unwrap_or_default().trim_end(),
    }
    .chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('s') => out.push(' '),
            Some(c @ ('\\' | '"' | '\'')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> std::result::Result<Vec<(String, Option<String>)>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("more")).unwrap();
        std::fs::write(dir.path().join("more/a.cnf"), "[client]\nport=3307\n").unwrap();
        std::fs::write(dir.path().join("more/b.txt"), "[client]\nvertical\n").unwrap();
        let path = dir.path().join("o.cnf");
        std::fs::write(&path, text).unwrap();
        let settings = connection(&path).map_err(|e| e.to_string())?;
        Ok(settings.into_iter().map(|(k, v)| (k, v.map(|v| v.to_string()))).collect())
    }

    #[test]
    fn only_what_connects_is_taken() {
        let text = "user=nobody\n[mysqldump]\nno-data\nwhere=1=0\nignore-table=a.b\n[mysql]\ntable\nsafe-updates\n\
                    [client]\nuser = app # me\npassword=\"a#b\\\\c\\\"d\"\nssl_ca=/x\nssl\nskip-ssl-verify-server-cert\n\
                    default-character-set=utf8\nloose-compress\n!includedir more\n[client-mariadb]\nhos=db\n\
                    [mariadb-dump]\nxml\n[mariadb-client]\nvertical\n";
        let settings = told(text).unwrap();
        let shown: Vec<String> = settings.iter().map(|(k, v)| format!("{k}={}", v.as_deref().unwrap_or("-"))).collect();
        assert_eq!(
            shown,
            [
                "compress=-",
                "host=db",
                "password=a#b\\c\"d",
                "port=3307",
                "ssl=-",
                "ssl-ca=/x",
                "ssl-verify-server-cert=0",
                "user=app"
            ]
        );
    }

    #[test]
    fn what_changes_a_dump_is_refused_by_name() {
        for line in
            ["vertical", "loose-no-data", "loose_where='1=0'", "init-command=SET x", "skip-triggers", "tab=/tmp"]
        {
            let error = told(&format!("[client]\nuser=a\n{line}\n")).unwrap_err();
            let name = line.split('=').next().unwrap();
            assert!(error.contains(name) && error.contains("[client]"), "{error}");
        }
        assert!(told("!include o.cnf\n").unwrap_err().contains("too deeply"));
    }
}
