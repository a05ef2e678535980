//! Users, roles, grants and servers of other servers, as SQL that a new server takes, with its default settings and as
//! often as it likes.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    super::Result,
    Client,
    account::{self, Level},
    print::{Contents, OWN},
    session::{Session, identifier, literal},
};

/// What is taken of a server besides its databases.
pub(super) struct Globals {
    pub(super) sql: Vec<u8>,
    pub(super) warnings: Vec<String>,
}

/// The statements that bring users and grants back. They hold hashes of passwords. `contents` is what is dumped: a grant on
/// a table that isn't there would stop whoever loads this.
pub(super) fn take(client: &Client, contents: &Contents) -> Result<Globals> {
    let mut session = client.connect()?;
    let mut all = Statements::default();
    if contents.version.contains("MariaDB") {
        all.of_mariadb(&mut session)?;
    } else {
        all.of_mysql(&mut session)?;
    }
    servers(&mut session, &mut all, contents)?;
    let mut warnings = Vec::new();
    let functions: Vec<String> = session.rows("SELECT name FROM mysql.func")?.into_iter().flatten().collect();
    if !functions.is_empty() {
        warnings.push(format!(
            "functions of loadable libraries are not in the backup: {}; install them on a new server yourself",
            functions.join(", ")
        ));
    }
    let (sql, off) = all.written(contents);
    if off > 0 {
        warnings.push(format!(
            "{off} grants on single tables and routines that are not in this backup stand in globals.sql as comments, \
             since a server that lacks these refuses them"
        ));
    }
    Ok(Globals { sql: sql.into_bytes(), warnings })
}

/// Statements in the order in which they can be run.
#[derive(Default)]
struct Statements {
    before: Vec<String>,
    accounts: Vec<String>,
    grants: Vec<String>,
    after: Vec<String>,
}

impl Statements {
    fn of_mariadb(&mut self, session: &mut Session) -> Result<()> {
        let accounts = session.rows("SELECT user, host, is_role FROM mysql.user ORDER BY is_role DESC, user, host")?;
        for account in accounts {
            let [user, host, role] = account.as_slice() else { continue };
            let name = match role.as_str() {
                "Y" if user == "PUBLIC" => "PUBLIC".to_owned(),
                "Y" => identifier(user),
                _ => format!("{}@{}", identifier(user), identifier(host)),
            };
            if user == "mariadb.sys" {
                // The server makes its own.
                continue;
            }
            if role != "Y" {
                self.create(session, &name)?;
            } else if name != "PUBLIC" {
                self.accounts.push(format!("CREATE ROLE IF NOT EXISTS {name}"));
            }
            self.grants_of(session, &name)?;
        }
        let plugins = "SELECT plugin_name, plugin_library FROM information_schema.plugins \
                       WHERE plugin_type = 'AUTHENTICATION' AND plugin_library IS NOT NULL";
        for row in session.rows(plugins)? {
            let [plugin, library] = row.as_slice() else { continue };
            if self.accounts.iter().any(|sql| sql.contains(&format!(" {plugin}"))) {
                let library = literal(library);
                self.before.push(format!("INSTALL PLUGIN IF NOT EXISTS {} SONAME {library}", identifier(plugin)));
            }
        }
        Ok(())
    }

    fn of_mysql(&mut self, session: &mut Session) -> Result<()> {
        for account in session.rows("SELECT user, host FROM mysql.user ORDER BY user, host")? {
            let [user, host] = account.as_slice() else { continue };
            if user.starts_with("mysql.") {
                continue;
            }
            let name = format!("{}@{}", identifier(user), identifier(host));
            self.create(session, &name)?;
            self.grants_of(session, &name)?;
        }
        Ok(())
    }

    fn create(&mut self, session: &mut Session, name: &str) -> Result<()> {
        for created in session.rows(&format!("SHOW CREATE USER {name}"))?.into_iter().flatten() {
            let created = created.replacen("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1);
            // A role must be there before it is somebody's default (MySQL; MariaDB tells it among the grants).
            match cut(&created, &[" DEFAULT ROLE "]) {
                Some((head, role)) => {
                    let (role, rest) = cut(role, &[" REQUIRE "]).unwrap_or((role, ""));
                    self.accounts.push(format!("{head}{rest}"));
                    self.after.push(format!("ALTER USER {name}{role}"));
                }
                None => self.accounts.push(created),
            }
        }
        Ok(())
    }

    fn grants_of(&mut self, session: &mut Session, name: &str) -> Result<()> {
        for grant in session.rows(&format!("SHOW GRANTS FOR {name}"))? {
            let grant = grant.join("\t");
            if grant.starts_with("SET DEFAULT ROLE ") {
                self.after.push(grant);
                continue;
            }
            // How somebody logs in came with the account. Said again, it would change accounts that are there already.
            let (head, tail) = cut(&grant, &[" IDENTIFIED ", " REQUIRE ", " WITH "]).unwrap_or((&grant, ""));
            let with = ["GRANT OPTION", "ADMIN OPTION"].into_iter().find(|option| cut(tail, &[option]).is_some());
            self.grants.push(head.to_owned() + &with.map(|option| format!(" WITH {option}")).unwrap_or_default());
        }
        Ok(())
    }

    /// All of it, and how many grants became comments.
    fn written(self, contents: &Contents) -> (String, usize) {
        let mut sql = "-- Users, roles and grants. Load this after the databases.\n".to_owned();
        let mut seen = BTreeSet::new();
        let mut off = 0;
        for statement in self.before.into_iter().chain(self.accounts).chain(self.grants).chain(self.after) {
            // What a role brings is told of whoever has it, too.
            if !seen.insert(statement.clone()) {
                continue;
            }
            let missing = !there(&statement, contents);
            off += usize::from(missing);
            if missing {
                // One line, whatever a name holds.
                let _ = writeln!(sql, "-- not here: {};", statement.replace(['\n', '\r'], " "));
            } else {
                let _ = writeln!(sql, "{statement};");
            }
        }
        sql.push_str("-- Dump completed\n");
        (sql, off)
    }
}

/// Whether what a grant is on will be there.
fn there(statement: &str, contents: &Contents) -> bool {
    let has = |database: &str, object: &str| contents.objects.get(database).is_some_and(|all| all.contains_key(object));
    let Some(level) = statement.strip_prefix("GRANT ").and_then(account::level) else { return true };
    match level {
        Level::Table(database, _) if OWN.contains(&database.as_str()) => true,
        Level::Table(database, name) => {
            let table = contents.tables.contains_key(&(database.clone(), name.clone()));
            table || ["view", "sequence"].iter().any(|kind| has(&database, &format!("{kind} {name}")))
        }
        Level::Routine(database, name) => OWN.contains(&database.as_str()) || has(&database, &name),
        _ => true,
    }
}

fn servers(session: &mut Session, all: &mut Statements, contents: &Contents) -> Result<()> {
    let once = if contents.version.contains("MariaDB") { "IF NOT EXISTS " } else { "" };
    let sql = "SELECT server_name, wrapper, host, db, username, password, port, socket, owner FROM mysql.servers";
    for row in session.rows(sql)? {
        let [name, wrapper, host, db, user, password, port, socket, owner] = row.as_slice() else { continue };
        let mut options: Vec<String> = [
            ("HOST", host),
            ("DATABASE", db),
            ("USER", user),
            ("PASSWORD", password),
            ("SOCKET", socket),
            ("OWNER", owner),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key} {}", literal(value)))
        .collect();
        if port != "0" {
            options.push(format!("PORT {port}"));
        }
        all.after.push(format!(
            "CREATE SERVER {once}{} FOREIGN DATA WRAPPER {} OPTIONS ({})",
            identifier(name),
            identifier(wrapper),
            options.join(", ")
        ));
    }
    Ok(())
}

/// Cuts a statement before the first of these words that stands outside of quotes.
fn cut<'a>(sql: &'a str, words: &[&str]) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in sql.char_indices() {
        match quote {
            Some('\'' | '"') if escaped => escaped = false,
            Some('\'' | '"') if c == '\\' => escaped = true,
            Some(open) => {
                if c == open {
                    quote = None;
                }
            }
            None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
            None => {
                let rest = sql.get(at..).unwrap_or_default();
                if words.iter().any(|word| rest.starts_with(word)) {
                    return Some(sql.split_at(at));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_outside_of_quotes() {
        let grant = "GRANT USAGE ON *.* TO `a IDENTIFIED b`@`%` IDENTIFIED BY PASSWORD 'x\\' WITH ' REQUIRE SSL";
        let (head, tail) = cut(grant, &[" IDENTIFIED ", " REQUIRE ", " WITH "]).unwrap();
        assert_eq!(head, "GRANT USAGE ON *.* TO `a IDENTIFIED b`@`%`");
        assert!(cut(tail, &[" WITH "]).is_none() && cut(tail, &[" REQUIRE "]).is_some());
    }
}
