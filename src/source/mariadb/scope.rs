//! What of a server is dumped: which databases, and what in them is left out because somebody said so.

use std::collections::BTreeSet;

use super::{
    super::{Members, Result, SourceError, pattern},
    Databases,
    print::{Contents, OWN, Table},
    session::{Session, literal},
};

/// How a server calls a directory that it took for a database.
const STRAY: &str = "#mysql50#";

/// What is to be dumped.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) databases: Vec<String>,
    /// Tables and views that are left out as asked.
    pub(super) without: BTreeSet<Table>,
    /// Databases that are left out as asked.
    pub(super) databases_without: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// Whether all are wanted that are there.
    pub(super) all: bool,
}

impl Scope {
    /// Looks what is there, wanted, and not excluded.
    ///
    /// # Errors
    /// If something that is wanted is not there, or in a state in which no tool dumps it.
    pub(super) fn find(session: &mut Session, wanted: &Databases, exclude: &[String]) -> Result<Self> {
        let mut scope = Self { all: *wanted == Databases::All, ..Self::default() };
        let mut used = BTreeSet::new();
        let (of_tables, of_databases): (Vec<&String>, Vec<&String>) = exclude.iter().partition(|p| p.contains('.'));
        let mut excluded = |patterns: &[&String], name: &str| {
            let fit: Vec<&String> = patterns.iter().copied().filter(|p| pattern::fits(p, name)).collect();
            used.extend(fit.iter().map(|p| (*p).clone()));
            !fit.is_empty()
        };
        for name in databases(session, wanted)? {
            if excluded(&of_databases, &name) {
                scope.databases_without.push(name);
            } else if name.starts_with(STRAY) && *wanted == Databases::All {
                scope.stray(session, &name)?;
            } else {
                scope.databases.push(name);
            }
        }
        if scope.databases.is_empty() {
            let what = "there is no database that this account can see and `exclude` does not leave out";
            return Err(SourceError::new(what, "databases"));
        }
        let mut sick = Vec::new();
        // Views are opened, and their comment tells how that went, only where the options are asked for.
        let sql = format!(
            "SELECT table_schema, table_name, table_type, COALESCE(engine, ''), COALESCE(table_comment, ''), \
             COALESCE(create_options, '') \
             FROM information_schema.tables WHERE table_schema {}",
            within(&scope.databases)
        );
        for row in session.rows(&sql)? {
            let [database, name, kind, engine, comment, _] = row.as_slice() else { continue };
            let full = format!("{database}.{name}");
            if excluded(&of_tables, &full) {
                scope.without.insert((database.clone(), name.clone()));
            } else if (kind == "VIEW" && comment != "VIEW") || (kind == "BASE TABLE" && engine.is_empty()) {
                sick.push((full, comment.clone()));
            }
        }
        if !sick.is_empty() {
            return Err(told(&sick));
        }
        let unused: Vec<&str> = exclude.iter().filter(|p| !used.contains(*p)).map(String::as_str).collect();
        if !unused.is_empty() {
            scope.warnings.push(format!("nothing fits these of `exclude`: {}", unused.join(", ")));
        }
        Ok(scope)
    }

    /// A directory in the server's own that no statement made, such as `lost+found` of a file system.
    fn stray(&mut self, session: &mut Session, name: &str) -> Result<()> {
        let sql = format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {}", literal(name));
        let shown = name.trim_start_matches(STRAY);
        if session.value(&sql)? != "0" {
            let what = format!(
                "the directory {shown} in the server's data directory holds tables and has a name that no dump can bring \
                 back: ALTER DATABASE `{name}` UPGRADE DATA DIRECTORY NAME, or leave it out with exclude = [\"{name}\"]"
            );
            return Err(SourceError::new(what, name));
        }
        self.warnings.push(format!(
            "{shown} in the server's data directory is not a database, though the server lists it as {name}, and was skipped"
        ));
        Ok(())
    }

    /// Takes what is left out from `contents`.
    pub(super) fn narrow(&self, session: &mut Session, contents: &mut Contents) -> Result<()> {
        if self.without.is_empty() {
            return Ok(());
        }
        contents.tables.retain(|table, _| !self.without.contains(table));
        contents.unsafe_tables.retain(|table, _| !self.without.contains(table));
        contents.floats.retain(|table, _| !self.without.contains(table));
        let mut gone: BTreeSet<(String, String)> = BTreeSet::new();
        for (database, name) in &self.without {
            for kind in ["view", "sequence"] {
                gone.insert((database.clone(), format!("{kind} {name}")));
            }
        }
        let sql = format!(
            "SELECT trigger_schema, trigger_name, event_object_table FROM information_schema.triggers \
             WHERE trigger_schema {}",
            within(&self.databases)
        );
        for row in session.rows(&sql)? {
            let [database, name, table] = row.as_slice() else { continue };
            if self.without.contains(&(database.clone(), table.clone())) {
                gone.insert((database.clone(), format!("trigger {name}")));
            }
        }
        for (database, objects) in &mut contents.objects {
            objects.retain(|name, _| !gone.contains(&(database.clone(), name.clone())));
        }
        Ok(())
    }

    /// The databases, where all are wanted that are there.
    pub(super) fn members(&self) -> Option<Members> {
        let (taken, left_out) = (self.databases.clone(), self.databases_without.clone());
        self.all.then_some(Members { what: "database", taken, left_out })
    }

    /// The names of what is left out.
    pub(super) fn left_out(&self) -> Vec<String> {
        let tables = self.without.iter().map(|(database, name)| format!("{database}.{name}"));
        self.databases_without.iter().cloned().chain(tables).collect()
    }
}

/// An error that names what stops every dump, and says how to get one all the same.
fn told(sick: &[(String, String)]) -> SourceError {
    const SHOWN: usize = 5;
    let comments: Vec<&str> = sick.iter().take(SHOWN).map(|(_, comment)| comment.as_str()).collect();
    let names: Vec<String> = sick.iter().map(|(name, _)| name.clone()).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let what = format!(
        "the server itself can't read this, and a dump would stop there: {}. Mend or drop it, or leave it out with \
         exclude = [{}]",
        comments.join("; "),
        quoted.join(", ")
    );
    SourceError::new(what, names.join(", "))
}

/// `IN (…)` with these names.
pub(super) fn within(databases: &[String]) -> String {
    let list: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    format!("IN ({})", list.join(", "))
}

/// The databases that are there and wanted.
fn databases(session: &mut Session, wanted: &Databases) -> Result<Vec<String>> {
    let there: Vec<String> = session.rows("SHOW DATABASES")?.into_iter().flatten().collect();
    match wanted {
        Databases::All => {
            let found: Vec<String> = there.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect();
            if found.is_empty() {
                return Err(SourceError::new("there is no database that this account can see", "databases = \"*\""));
            }
            Ok(found)
        }
        Databases::Named(names) => {
            if let Some(missing) = names.iter().find(|name| !there.contains(name)) {
                let what = "there is no such database, or this account may not see it";
                return Err(SourceError::new(what, missing.clone()));
            }
            Ok(names.clone())
        }
    }
}
