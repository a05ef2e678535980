//! `globals.sql`, statement by statement: only what makes roles is run. It is never given to `psql` as a script, where a
//! line with a backslash would be a command of its own.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::{EngineError, Result};
use crate::source::postgres::Session;

/// What may be run; settings of the session are harmless and left out.
const RUN: [&str; 4] = ["CREATE ROLE ", "ALTER ROLE ", "GRANT ", "COMMENT ON ROLE "];

#[derive(Deserialize)]
struct Outcome {
    error: Option<String>,
}

/// How many statements were run and how many left out, such as those of tablespaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) run: usize,
    pub(super) left_out: usize,
}

/// Makes those roles of `globals` that are not there yet. Nothing is set for one that is: not its password, and not what it
/// is a member of.
pub(super) fn add(session: &mut Session, globals: &str, there: &BTreeSet<String>) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for statement in statements(globals) {
        if statement.starts_with("SET ") || statement.starts_with("SELECT pg_catalog.set_config") {
            continue;
        }
        let about = role_of(&statement);
        let known = RUN.iter().any(|start| statement.starts_with(start)) && !statement.contains(" ON TABLESPACE ");
        if !known || about.is_none_or(|role| there.contains(&role)) {
            loaded.left_out += 1;
            continue;
        }
        run(session, &statement)?;
        loaded.run += 1;
    }
    Ok(loaded)
}

/// The role that a statement makes, changes, or makes a member of another.
fn role_of(statement: &str) -> Option<String> {
    let starts = ["CREATE ROLE ", "ALTER ROLE ", "COMMENT ON ROLE "];
    if let Some(rest) = starts.iter().find_map(|start| statement.strip_prefix(start)) {
        return name(rest).map(|(name, _)| name);
    }
    let (_, rest) = name(statement.strip_prefix("GRANT ")?)?;
    name(rest.strip_prefix(" TO ")?).map(|(name, _)| name)
}

/// The name at the beginning of a text, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(text.len());
        return text.split_at_checked(end).map(|(name, rest)| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '"' {
            if chars.peek().is_some_and(|(_, next)| *next == '"') {
                chars.next();
            } else {
                return Some((name, quoted.get(at + 1..)?));
            }
        }
        name.push(c);
    }
    None
}

/// Makes the roles of `globals`, but for `superuser`, who is there and works here: nothing is set for him.
pub(super) fn load(session: &mut Session, globals: &str, superuser: &str) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let names = [superuser.to_owned(), super::load::identifier(superuser)];
    let own = |statement: &str| {
        let rest = statement.strip_prefix("CREATE ROLE ").or_else(|| statement.strip_prefix("ALTER ROLE "));
        let after = |name: &String| rest?.strip_prefix(name.as_str());
        names.iter().filter_map(after).any(|after| after.is_empty() || after.starts_with(' '))
    };
    for statement in statements(globals) {
        if own(&statement) {
            continue;
        }
        if statement.starts_with("SET ") || statement.starts_with("SELECT pg_catalog.set_config") {
            continue;
        }
        if !RUN.iter().any(|start| statement.starts_with(start)) || statement.contains(" ON TABLESPACE ") {
            loaded.left_out += 1;
            continue;
        }
        run(session, &statement)?;
        loaded.run += 1;
    }
    Ok(loaded)
}

fn run(session: &mut Session, statement: &str) -> Result<()> {
    session.run("make the roles", &guarded(statement))?;
    let asked = "select json_build_object('error', nullif(current_setting('strongroom.error', true), ''))";
    let Outcome { error } = session.one("make the roles", asked)?;
    let Some(error) = error else { return Ok(()) };
    // The statement may hold a password's verifier.
    let words: Vec<&str> = statement.split_whitespace().take(3).collect();
    Err(EngineError::new(format!("{} failed: {error}", words.join(" ")), "globals.sql"))
}

/// The statement within a block that keeps what went wrong. Between dollar quotes neither `psql` nor the server sees
/// anything but text.
fn guarded(statement: &str) -> String {
    let tags = (0..).map(|n: u32| (format!("$s{n}$"), format!("$t{n}$")));
    let free = |(inner, outer): &(String, String)| !statement.contains(inner) && !statement.contains(outer);
    let (tag, around) = tags.into_iter().find(free).unwrap_or_default();
    format!(
        "do {around} begin perform pg_catalog.set_config('strongroom.error', '', false); execute {tag}{statement}{tag}; \
         exception when others then perform pg_catalog.set_config('strongroom.error', sqlerrm, false); end {around}"
    )
}

/// The statements of a script that `pg_dumpall` wrote, without comments and without lines for `psql`.
fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut now = String::new();
    let mut quote: Option<char> = None;
    let mut chars = script.chars().peekable();
    let mut line_start = true;
    while let Some(c) = chars.next() {
        let at_start = std::mem::replace(&mut line_start, c == '\n');
        match (quote, c) {
            // An E'…' string: a backslash takes the next character along.
            (Some('\\'), '\\') => {
                now.push(c);
                now.extend(chars.next());
                continue;
            }
            (Some('\\' | '\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'') => quote = Some(if now.ends_with(['E', 'e']) { '\\' } else { '\'' }),
            (None, '"') => quote = Some('"'),
            (None, '-') if chars.peek() == Some(&'-') => {
                chars.by_ref().find(|c| *c == '\n');
                line_start = true;
                continue;
            }
            (None, '\\') if at_start => {
                chars.by_ref().find(|c| *c == '\n');
                line_start = true;
                continue;
            }
            (None, ';') => {
                found.push(std::mem::take(&mut now).trim().to_owned());
                continue;
            }
            _ => {}
        }
        now.push(c);
    }
    found.retain(|statement| !statement.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_where_its_statements_end() {
        let script = "--\n-- Roles; of 'them'\n\\restrict x\nCREATE ROLE \"a;\"\"b\";\nALTER ROLE x PASSWORD 'it''s; -- \\';\n\
                      COMMENT ON ROLE x IS E'a\\'; b\\\\';\n\\! touch /tmp/x\n  GRANT a TO b;\n\n";
        let want = [
            "CREATE ROLE \"a;\"\"b\"",
            "ALTER ROLE x PASSWORD 'it''s; -- \\'",
            "COMMENT ON ROLE x IS E'a\\'; b\\\\'",
            "GRANT a TO b",
        ];
        assert_eq!(statements(script), want);
    }

    #[test]
    fn a_statement_names_the_role_that_it_is_about() {
        for (statement, role) in [
            ("CREATE ROLE app", Some("app")),
            ("ALTER ROLE \"a \"\"b\" WITH LOGIN", Some("a \"b")),
            ("GRANT admin TO app GRANTED BY postgres", Some("app")),
            ("GRANT \"x TO y\" TO \"App\" WITH ADMIN OPTION", Some("App")),
            ("COMMENT ON ROLE app IS 'x'", Some("app")),
            ("GRANT SELECT ON t TO app", None),
            ("CREATE TABLESPACE t LOCATION '/x'", None),
        ] {
            assert_eq!(role_of(statement).as_deref(), role, "{statement}");
        }
    }

    #[test]
    fn a_statement_can_t_leave_its_quotes() {
        let guarded = guarded("ALTER ROLE x SET y TO '$s0$; \\! id $s1$'");
        assert!(guarded.contains("execute $s2$ALTER") && guarded.contains("'$s2$;"), "{guarded}");
        assert!(guarded.starts_with("do $t2$"), "{guarded}");
    }
}
