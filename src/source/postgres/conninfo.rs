//! Where a server is: libpq's connection strings, taken apart so that a password never becomes an argument.

mod read;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use super::super::{
    cell::Cell,
    redact::{Known, MASK, given},
};

/// What is wrong with a connection string. Never shows any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// It can't be read.
    #[error("the connection string can't be understood: {0}")]
    Malformed(&'static str),
    /// It holds something that could only be passed on in plain sight.
    #[error("{0}")]
    Refused(&'static str),
}

/// A connection string in libpq's form: `service=orders`, `host=db user=app`, or a `postgresql://` URL.
///
/// What it does not say is libpq's to find: `PGHOST` and the like, the service file, the password file. A password in it
/// goes to the tools through their environment, which only the same user can read; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Conninfo {
    params: Vec<(String, String)>,
    password: Option<String>,
    cell: Option<Cell>,
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| MASK);
        f.debug_struct("Conninfo").field("params", &self.params).field("password", &password).finish_non_exhaustive()
    }
}

impl std::str::FromStr for Conninfo {
    type Err = ConninfoError;

    fn from_str(text: &str) -> Result<Self, ConninfoError> {
        // Also when it can't be understood: then nobody knows which part of it is the password.
        given(text);
        if !text.contains("://") {
            // One whose beginning was left out.
            given(&format!("://{text}"));
        }
        let all = read::pairs(text)?;
        let (secret, params): (Vec<_>, Vec<_>) = all.into_iter().partition(|(key, _)| key == "password");
        let password = secret.into_iter().next_back().map(|(_, value)| value).filter(|value| !value.is_empty());
        Ok(Self { params, password, cell: None })
    }
}

impl Conninfo {
    /// A server of ours, whose socket is in `dir`, as `user` with these options; tools that talk to it run in `cell`.
    pub(crate) fn of_engine(dir: &Path, user: &str, options: &str, cell: Cell) -> Self {
        let pairs = [("host", dir.to_string_lossy().into_owned()), ("user", user.to_owned())];
        let pairs = pairs.into_iter().chain([("options", options.to_owned())]);
        let pairs = pairs.chain([("port", "5432".to_owned()), ("dbname", "postgres".to_owned())]);
        let params = pairs.map(|(key, value)| (key.to_owned(), value)).collect();
        Self { params, password: None, cell: Some(cell) }
    }

    /// The user in it; empty if none is.
    #[must_use]
    pub fn user(&self) -> &str {
        self.get("user").unwrap_or_default()
    }

    /// The database in it, if one is named.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.get("dbname").filter(|name| !name.is_empty())
    }

    /// The same for another database.
    #[must_use]
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.params.retain(|(key, _)| key != "dbname");
        other.params.push(("dbname".to_owned(), name.to_owned()));
        other
    }

    /// The same with one more option of a session, which comes after those that it has. What a service says of options is not
    /// known here, and would be replaced: with a service nothing is added.
    #[must_use]
    pub(crate) fn with_option(&self, option: &str) -> Self {
        let mut other = self.clone();
        if self.has_service() || std::env::var_os("PGSERVICE").is_some() {
            return other;
        }
        let options = format!("{} {option}", self.options()).trim_start().to_owned();
        other.params.retain(|(key, _)| key != "options");
        other.params.push(("options".to_owned(), options));
        other
    }

    /// Whether it names a service, whose file may name a database.
    #[must_use]
    pub fn has_service(&self) -> bool {
        self.get("service").is_some()
    }

    /// Whether it says which server and which database are meant, so that nothing in the environment or in a file would.
    #[must_use]
    pub(crate) fn is_explicit(&self) -> bool {
        let named = |key: &str| self.get(key).is_some_and(|value| !value.is_empty());
        let service = self.has_service() || std::env::var_os("PGSERVICE").is_some();
        (named("host") || named("hostaddr")) && named("port") && named("dbname") && !service
    }

    /// The options of a session in it; empty if there are none.
    #[must_use]
    pub fn options(&self) -> &str {
        self.get("options").unwrap_or_default()
    }

    /// Whether a password stands in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Where the server is, for messages: the service, or host and port. Never a secret.
    #[must_use]
    pub fn place(&self) -> String {
        let get = |key: &str| self.get(key).filter(|value| !value.is_empty());
        match (get("service"), get("host").or_else(|| get("hostaddr")), get("port")) {
            (Some(service), ..) => format!("service {service}"),
            (None, Some(host), Some(port)) => format!("{host}:{port}"),
            (None, Some(host), None) => host.to_owned(),
            (None, None, Some(port)) => format!("port {port}"),
            (None, None, None) => "the default server".to_owned(),
        }
    }

    /// The connection string without its password, for `database` if one is given: what may be an argument.
    #[must_use]
    pub fn argument(&self, database: Option<&str>) -> String {
        let kept = self.params.iter().filter(|(key, _)| database.is_none() || key != "dbname");
        let all = kept.map(|(key, value)| (key.as_str(), value.as_str()));
        let all = all.chain(database.map(|name| ("dbname", name)));
        let pairs: Vec<String> = all.map(|(key, value)| format!("{key}={}", quoted(value))).collect();
        pairs.join(" ")
    }

    /// A tool that is to talk to it, ready for its arguments.
    pub fn tool(&self, program: &Path) -> Command {
        let mut command = self.cell.as_ref().map_or_else(|| Command::new(program), |cell| cell.command(program));
        self.equip(&mut command);
        command
    }

    /// Sets what a tool needs in its environment, and takes out what it must not have.
    pub fn equip(&self, command: &mut Command) {
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("STRONGROOM_") {
                command.env_remove(&key);
            }
        }
        // A dump is written in the database's own encoding and with the server's own settings, whatever this environment
        // likes; what the tools say is read, so it has no colours.
        command.env_remove("PGCLIENTENCODING").env_remove("PGOPTIONS").env("PG_COLOR", "never");
        command.env("LC_MESSAGES", "C").env("PGAPPNAME", "strongroom");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        // A server that does not answer must not hold a backup for ever.
        if std::env::var_os("PGCONNECT_TIMEOUT").is_none() && self.get("connect_timeout").is_none() {
            command.env("PGCONNECT_TIMEOUT", "30");
        }
    }

    /// The same where somebody asks again soon: `seconds` are enough to be let in, if nothing else was said.
    pub(crate) fn equip_hastily(&self, command: &mut Command, seconds: &str) {
        self.equip(command);
        if std::env::var_os("PGCONNECT_TIMEOUT").is_none() && self.get("connect_timeout").is_none() {
            command.env("PGCONNECT_TIMEOUT", seconds);
        }
    }

    /// What a command of somebody's own needs in its environment, besides where the server is: what libpq finds in this
    /// one. Never the service, whose database would come before the one that is meant.
    pub(crate) fn for_commands(&self) -> Vec<(String, String)> {
        let ours = std::env::vars().filter(|(name, _)| name.starts_with("PG"));
        let mut all: Vec<(String, String)> =
            ours.filter(|(name, _)| !matches!(name.as_str(), "PGSERVICE" | "PGDATABASE" | "PGHOSTADDR")).collect();
        // Where libpq looks in this home, which is not the command's.
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        for (name, file) in [("PGPASSFILE", ".pgpass"), ("PGSERVICEFILE", ".pg_service.conf")] {
            let path = home.join(file);
            if !all.iter().any(|(known, _)| known == name) && path.is_file() {
                all.push((name.to_owned(), path.to_string_lossy().into_owned()));
            }
        }
        if let Some(password) = &self.password {
            all.retain(|(name, _)| name != "PGPASSWORD");
            all.push(("PGPASSWORD".to_owned(), password.clone()));
        }
        all
    }

    /// What no message may show.
    #[must_use]
    pub fn secrets(&self) -> Known {
        let mut known = Known::default();
        for password in self.password.iter().cloned().chain(std::env::var("PGPASSWORD").ok()) {
            known.add(&password);
        }
        known
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.params.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Conninfo {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_becomes_pairs_without_the_password() {
        for (text, argument, password) in [
            ("", "", None),
            ("orders", "dbname='orders'", None),
            ("service=orders", "service='orders'", None),
            ("host = db  user='it''s'", "", None),
            (r"user=it\'s password = 'a b\'c' host=/run/pg", r"user='it\'s' host='/run/pg'", Some("a b'c")),
            (
                "postgres://app:hunter2@db:5433/orders",
                "user='app' host='db' port='5433' dbname='orders'",
                Some("hunter2"),
            ),
            ("postgresql://", "", None),
            ("postgresql:///orders?host=/run/pg&ssl=true", "dbname='orders' host='/run/pg' sslmode='require'", None),
            ("postgresql://u@[::1]:5433,b/d", "user='u' host='::1,b' port='5433,' dbname='d'", None),
            ("postgresql://u%40h:p%2Fw@h/d%20b?password=other", "user='u@h' host='h' dbname='d b'", Some("other")),
        ] {
            let Ok(info) = text.parse::<Conninfo>() else {
                assert_eq!(argument, "", "{text}");
                continue;
            };
            assert_eq!((info.argument(None).as_str(), info.password.as_deref()), (argument, password), "{text}");
        }
    }

    #[test]
    fn a_database_takes_the_place_of_the_one_in_the_string() {
        assert_eq!(read("host=h dbname=a").argument(Some(r"o'b\c")), r"host='h' dbname='o\'b\\c'");
    }

    #[test]
    fn an_option_comes_after_those_that_are_there() {
        let both = read("host=h options='-c a=b'").with_option("-c x=off");
        assert_eq!(both.argument(None), "host='h' options='-c a=b -c x=off'");
        assert_eq!(read("host=h").with_option("-c x=off").options(), "-c x=off");
        assert_eq!(read("service=s").with_option("-c x=off").argument(None), "service='s'");
    }

    #[test]
    fn no_message_shows_any_of_it() {
        let info = read("postgres://app:hunter2@db/orders");
        let shown = format!("{info:?} {}", info.place());
        assert!(!shown.contains("hunter2"), "{shown}");
        for bad in ["=hunter2", "a='hunter2", "postgres://u:hunter2%zz@h", "sslpassword=hunter2", "a b=hunter2"] {
            let told = bad.parse::<Conninfo>().unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
