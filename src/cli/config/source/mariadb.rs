//! What a source of kind `mariadb` or `mysql` says.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::{
    Fault,
    postgres::{RawDatabases, RawDepth},
};
use crate::source::{
    mariadb::{Databases, Depth, Flavour, Login},
    redact::given,
};

/// A server and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariadbInput {
    /// Which of the two servers it is.
    pub flavour: Flavour,
    /// Where it is and who asks.
    pub login: Login,
    /// The databases.
    pub databases: Databases,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// How much is looked at besides the dump.
    pub depth: Depth,
}

/// The keys of such a source.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) dsn: Option<Spanned<String>>,
    pub(super) host: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<u16>>,
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    pub(super) defaults_file: Option<Spanned<PathBuf>>,
    pub(super) databases: Option<Spanned<RawDatabases>>,
    pub(super) fingerprint: Option<Spanned<RawDepth>>,
    pub(super) exclude: Vec<String>,
}

/// What the keys mean; relative paths start from `dir`.
pub(super) fn parse(flavour: Flavour, keys: Keys, dir: &Path) -> Result<MariadbInput, Fault> {
    let mut input = match &keys.dsn {
        Some(dsn) => dsn_input(flavour, dsn.get_ref()).map_err(|why| Fault::new(dsn, why))?,
        None => empty(flavour),
    };
    let path = |path: Spanned<PathBuf>| dir.join(path.into_inner());
    input.login.host = keys.host.map(Spanned::into_inner).or(input.login.host);
    input.login.port = keys.port.map(Spanned::into_inner).or(input.login.port);
    input.login.socket = keys.socket.map(path).or(input.login.socket);
    input.login.user = keys.user.map(Spanned::into_inner).or(input.login.user);
    input.login.password_file = keys.password_file.map(path).or(input.login.password_file);
    input.login.defaults_file = keys.defaults_file.map(path).or(input.login.defaults_file);
    if let Some(names) = keys.databases {
        let span = names.span();
        input.databases = match names.into_inner() {
            RawDatabases::All(_) => Databases::All,
            RawDatabases::Named(names) => Databases::Named(names),
        };
        if matches!(&input.databases, Databases::Named(names) if names.is_empty() || names.iter().any(String::is_empty))
        {
            return Err(Fault(span, "give the names of the databases, or \"*\" for all".to_owned()));
        }
    }
    input.exclude = keys.exclude;
    if let Some(depth) = keys.fingerprint {
        input.depth = match depth.into_inner() {
            RawDepth::Hash => Depth::Hash,
            RawDepth::Rows => Depth::Rows,
            RawDepth::Off => Depth::Off,
        };
    }
    Ok(input)
}

fn empty(flavour: Flavour) -> MariadbInput {
    MariadbInput {
        flavour,
        login: Login::default(),
        databases: Databases::All,
        exclude: Vec::new(),
        depth: Depth::Hash,
    }
}

/// What `mysql://user@host:port/db1,db2?socket=/path&password-file=/path&defaults-file=/path` means. A part that is not
/// there is left to the client.
///
/// # Errors
/// If the text is anything else, or holds a password: a configuration and a command line are read by others.
pub fn dsn_input(flavour: Flavour, text: &str) -> Result<MariadbInput, String> {
    let form = "a DSN is mysql://USER@HOST:PORT/DATABASE?socket=PATH&password-file=PATH&defaults-file=PATH; every part \
                but mysql:// may be left out";
    let rest = text.strip_prefix("mysql://").or_else(|| text.strip_prefix("mariadb://")).ok_or(form)?;
    // Nothing of a DSN that is not understood is repeated: the part that is not may be a part of a password.
    given(text);
    if rest.split_once('@').is_some_and(|(user, rest)| user.contains(['/', '?', ':']) || rest.contains('@')) {
        return Err(
            "a DSN must not hold a password: put it into a file and name that with password-file; a user with a \
                    sign in it is written with %40 for @, %3A for : and %2F for /"
                .to_owned(),
        );
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut input = empty(flavour);
    let server = match server.rsplit_once('@') {
        Some((user, server)) => {
            input.login.user = Some(decoded(user)?);
            server
        }
        None => server,
    };
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !server.ends_with(']') => {
            (host, Some(port.parse().map_err(|_| format!("its port is not a number; {form}"))?))
        }
        _ => (server, None),
    };
    input.login.port = port;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    input.login.host = (!host.is_empty()).then(|| decoded(host)).transpose()?;
    let names: Vec<String> = path.split(',').filter(|name| !name.is_empty()).map(decoded).collect::<Result<_, _>>()?;
    if !names.is_empty() {
        input.databases = Databases::Named(names);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = PathBuf::from(decoded(value)?);
        match key {
            "socket" => input.login.socket = Some(value),
            "password-file" => input.login.password_file = Some(value),
            "defaults-file" => input.login.defaults_file = Some(value),
            "password" | "passwd" | "pwd" => {
                return Err(
                    "a DSN must not hold a password: put it into a file and name that with password-file".to_owned()
                );
            }
            _ => return Err(format!("a parameter in it is unknown; {form}")),
        }
    }
    Ok(input)
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].into_iter().flatten().map(|b| char::from(b).to_digit(16));
        let digits: Vec<u32> = digits.flatten().collect();
        let [high, low] = digits.as_slice() else { return Err("a % in a DSN stands before two hex digits".to_owned()) };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_says_where_and_who() {
        let read = |text: &str| dsn_input(Flavour::Mariadb, text).unwrap();
        let input = read("mysql://app@db.example:3307/shop,log%2c1?socket=/run/s%20x&defaults-file=/etc/x.cnf");
        assert_eq!(
            (input.login.user.as_deref(), input.login.host.as_deref(), input.login.port),
            (Some("app"), Some("db.example"), Some(3307))
        );
        assert_eq!(input.databases, Databases::Named(vec!["shop".into(), "log,1".into()]));
        assert_eq!(input.login.socket.as_deref(), Some(Path::new("/run/s x")));
        let input = read("mariadb://[::1]:3306");
        assert_eq!(
            (input.login.host.as_deref(), input.login.port, &input.databases),
            (Some("::1"), Some(3306), &Databases::All)
        );
        assert_eq!(read("mysql:///shop").databases, Databases::Named(vec!["shop".into()]));
    }

    #[test]
    fn a_dsn_with_a_password_is_refused_without_showing_it() {
        let error = dsn_input(Flavour::Mysql, "mysql://app:hunter2@db/shop").unwrap_err();
        assert!(error.contains("password-file") && !error.contains("hunter2"), "{error}");
        for bad in ["postgres://x", "mysql://h:port/", "mysql://h/?pager=sh", "mysql://%zz/"] {
            assert!(dsn_input(Flavour::Mysql, bad).is_err(), "{bad}");
        }
        for sign in ["", "/", "?", "@", ":", "#", "&", "%", "=", " ", "'", "\"", "\\", "[", ","] {
            for text in [
                format!("mysql://app:hun{sign}ter2@db/shop"),
                format!("mysql://app:33{sign}ter2@db:3306/shop"),
                format!("mysql://db/shop?password=hun{sign}ter2"),
                format!("mysql://db/shop?hun{sign}ter2"),
                format!("mysql://db:hun{sign}ter2/shop"),
            ] {
                let error = dsn_input(Flavour::Mysql, &text).expect_err(&text);
                assert!(!error.contains("hun") && !error.contains("ter2"), "{text}: {error}");
            }
        }
    }
}
