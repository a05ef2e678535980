//! What the account may see. What it may not, the tools leave out without a word.

use super::{
    super::Result,
    Databases,
    session::{Session, identifier},
    words::Words,
};

/// One warning for each kind of thing that the dump may lack.
pub(super) fn warnings(session: &mut Session, wanted: &Databases, databases: &[String]) -> Result<Vec<String>> {
    let rights = Rights::of(session)?;
    let mut found = Vec::new();
    if *wanted == Databases::All && !rights.may(&["SELECT", "SHOW DATABASES"], None) {
        found.push(
            "the account sees only databases that it has rights on, so others may exist that are not in the backup: GRANT SHOW DATABASES ON *.* or SELECT"
                .to_owned(),
        );
    }
    for database in databases {
        let quoted = identifier(database);
        if !rights.may(&["SELECT"], Some(database)) {
            found.push(format!(
                "the account may read single tables of {database} only, so others may exist that are not in the backup: GRANT SELECT ON {quoted}.*"
            ));
        }
        if !rights.may(&["TRIGGER"], Some(database)) {
            found.push(format!(
                "the account may not see the triggers of {database}, so they are not in the backup: GRANT TRIGGER ON \
                 {quoted}.*"
            ));
        }
    }
    let anywhere = rights.may(&["SELECT"], Some("mysql")) || rights.on_table("mysql", "proc", "SELECT");
    let may = |database: &String| rights.may(&["SHOW_ROUTINE", "SHOW CREATE ROUTINE"], Some(database));
    if !anywhere && !databases.iter().all(may) {
        found.push(
            "the account may not see procedures and functions that others defined, so they may not be in the backup: \
             GRANT SELECT ON mysql.proc (MySQL: SHOW_ROUTINE)"
                .to_owned(),
        );
    }
    Ok(found)
}

/// What privileges are on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Level {
    Server,
    /// Databases whose names fit a pattern.
    Database(String),
    /// A database and a table.
    Table(String, String),
    /// A database and a routine, called as in [`Contents`](super::print::Contents).
    Routine(String, String),
    /// Something else, such as a role.
    Other,
}

#[derive(Debug)]
struct Grant {
    /// As the server spells them, in capitals.
    privileges: Vec<String>,
    level: Level,
}

/// What the account may, with the roles that it has been given on connecting.
#[derive(Debug, Default)]
struct Rights {
    granted: Vec<Grant>,
    /// Exceptions from what is granted on the server (MySQL).
    revoked: Vec<Grant>,
}

impl Rights {
    fn of(session: &mut Session) -> Result<Self> {
        let mut sql = "SHOW GRANTS".to_owned();
        if !session.value("SELECT VERSION()")?.contains("MariaDB") {
            // There, what roles bring is told only if they are named.
            let roles = session.value("SELECT CURRENT_ROLE()")?;
            if roles != "NONE" {
                sql = format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}");
            }
        }
        let lines: Vec<String> = session.rows(&sql)?.into_iter().map(|row| row.join("\t")).collect();
        Ok(Self::read(&lines))
    }

    fn read(lines: &[String]) -> Self {
        let mut rights = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("GRANT", rest)) => rights.granted.extend(grant(rest)),
                Some(("REVOKE", rest)) => rights.revoked.extend(grant(rest)),
                _ => {}
            }
        }
        rights
    }

    /// Whether it has one of `privileges` on a whole database, or on the whole server.
    fn may(&self, privileges: &[&str], database: Option<&str>) -> bool {
        let revoked = |privilege: &str| self.revoked.iter().any(|grant| grant.covers(privilege, database));
        privileges.iter().any(|privilege| {
            self.granted
                .iter()
                .any(|grant| grant.covers(privilege, database) && (grant.level != Level::Server || !revoked(privilege)))
        })
    }

    fn on_table(&self, database: &str, table: &str, privilege: &str) -> bool {
        let level = Level::Table(database.to_owned(), table.to_owned());
        self.granted.iter().any(|grant| grant.level == level && grant.brings(privilege))
    }
}

impl Grant {
    fn brings(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|p| p == privilege || p == "ALL PRIVILEGES" || p == "ALL")
    }

    fn covers(&self, privilege: &str, database: Option<&str>) -> bool {
        let here = match (&self.level, database) {
            (Level::Server, _) => true,
            (Level::Database(pattern), Some(database)) => like(pattern, database),
            _ => false,
        };
        here && self.brings(privilege)
    }
}

/// What the privileges are on in what stands behind `GRANT`; nothing for one of a role.
pub(super) fn level(text: &str) -> Option<Level> {
    grant(text).map(|grant| grant.level)
}

/// What stands behind `GRANT`; nothing for one of a role.
fn grant(text: &str) -> Option<Grant> {
    let mut words = Words(text);
    let (mut privileges, mut privilege, mut depth) = (Vec::new(), String::new(), 0_u32);
    loop {
        let (word, quoted) = words.next()?;
        match word.as_str() {
            _ if quoted && depth == 0 => return None,
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth > 0 => {
                // A right on some columns is no right on the table.
                "of columns".clone_into(&mut privilege);
            }
            "ON" => break,
            "," => privileges.push(std::mem::take(&mut privilege)),
            _ => {
                if !privilege.is_empty() {
                    privilege.push(' ');
                }
                privilege.push_str(&word.to_ascii_uppercase());
            }
        }
    }
    privileges.push(privilege);
    let (mut database, mut quoted) = words.next()?;
    let mut kind = String::new();
    while !quoted && database != "*" {
        if !kind.is_empty() {
            kind.push(' ');
        }
        kind.push_str(&database.to_ascii_lowercase());
        (database, quoted) = words.next()?;
    }
    let dot = words.word()?;
    let (name, of_name) = words.next()?;
    let level = match name.as_str() {
        _ if dot != "." => Level::Other,
        "*" if !quoted && !of_name => Level::Server,
        "*" if quoted && !of_name => Level::Database(database),
        _ if !(quoted && of_name) => Level::Other,
        _ if matches!(kind.as_str(), "" | "table") => Level::Table(database, name),
        _ => Level::Routine(database, format!("{kind} {name}")),
    };
    Some(Grant { privileges, level })
}

/// Whether a name fits a pattern of `LIKE`, in which a backslash takes the meaning of what follows.
fn like(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some('%') => name
            .char_indices()
            .map(|(at, _)| at)
            .chain([name.len()])
            .any(|at| name.get(at..).is_some_and(|name| like(chars.as_str(), name))),
        Some(c) => {
            let literal = c == '\\';
            let c = if literal { chars.next().unwrap_or('\\') } else { c };
            let mut rest = name.chars();
            rest.next().is_some_and(|first| first == c || (c == '_' && !literal)) && like(chars.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_servers_write_them() {
        let rights = |lines: &[&str]| Rights::read(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>());
        let all = rights(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(all.may(&["TRIGGER"], Some("shop")) && all.may(&["SHOW DATABASES"], None));
        let role = rights(&[
            "GRANT `r2` TO `rb`@`localhost`",
            "GRANT USAGE ON *.* TO `r2`",
            "GRANT SELECT, LOCK TABLES, SHOW VIEW ON `s\\_%`.* TO `r2`",
            "GRANT SELECT, TRIGGER (`a`) ON `mysql`.`proc` TO `r2`",
            "GRANT EXECUTE ON PROCEDURE `tr`.`pp` TO `r2`",
            "SET DEFAULT ROLE `r2` FOR `rb`@`localhost`",
        ]);
        assert!(role.may(&["SELECT"], Some("s_hop")) && !role.may(&["SELECT"], Some("shop")));
        assert!(role.may(&["SHOW VIEW"], Some("s_")) && !role.may(&["TRIGGER"], Some("s_hop")));
        assert!(!role.may(&["SELECT"], None) && !role.may(&["EXECUTE"], Some("tr")));
        assert!(role.on_table("mysql", "proc", "SELECT") && !role.on_table("mysql", "proc", "TRIGGER"));
        let partial = rights(&["GRANT SELECT, TRIGGER ON *.* TO `u`@`%`", "REVOKE SELECT ON `mysql`.* FROM `u`@`%`"]);
        assert!(partial.may(&["SELECT"], Some("shop")) && !partial.may(&["SELECT"], Some("mysql")));
        assert!(partial.may(&["TRIGGER"], Some("mysql")));
    }
}
