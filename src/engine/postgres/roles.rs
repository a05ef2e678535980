//! `globals.sql`, statement by statement: only what makes roles is run. It is never given to `psql` as a script, where a
//! line with a backslash would be a command of its own.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::{EngineError, Result};
use crate::source::postgres::Session;

/// What may be run; settings of the session are harmless and left out.
const RUN: [&str; 4] = ["CREATE ROLE ", "ALTER ROLE ", "GRANT ", "COMMENT ON ROLE "];

/// Those that are about one role.
const OF_ROLE: [&str; 3] = ["CREATE ROLE ", "ALTER ROLE ", "COMMENT ON ROLE "];
/// What stands for whoever is there, or for all.
const SOMEBODY: [&str; 6] = ["all", "current_role", "current_user", "none", "public", "session_user"];
/// Of a longer name a server takes the beginning, in bytes.
const LONGEST: usize = 63;

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
    for statement in statements(globals).into_iter().filter(|statement| !is_setting(statement)) {
        if !may_run(&statement) || role_of(&statement).is_none_or(|role| there.contains(&role)) {
            loaded.left_out += 1;
            continue;
        }
        run(session, &statement)?;
        loaded.run += 1;
    }
    Ok(loaded)
}

/// Whether it is a setting of the script's own session.
fn is_setting(statement: &str) -> bool {
    statement.starts_with("SET ") || statement.starts_with("SELECT pg_catalog.set_config")
}

fn may_run(statement: &str) -> bool {
    let known = RUN.iter().any(|start| statement.starts_with(start));
    known && !statement.contains(" ON TABLESPACE ") && is_plain(statement)
}

/// Whether a server sees one statement here, as it is seen here: what `pg_dumpall` writes has no comments, no dollars outside of
/// quotes, and no quote that begins within a word. In such a thing another statement could be hidden.
fn is_plain(statement: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut chars = statement.chars().peekable();
    let (mut before, mut last, mut marked) = (' ', ' ', false);
    while let Some(c) = chars.next() {
        match (quote, c) {
            // Of a string with a mark, the parts that follow may be taken in either way.
            (Some(_), '\\') if marked && chars.peek() == Some(&'\'') => return false,
            (Some('\\'), '\\') => {
                chars.next();
            }
            (Some('\\' | '\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'') if matches!(last, 'E' | 'e') && !is_of_word(before) => {
                (quote, marked) = (Some('\\'), true);
            }
            (None, '\'' | '"') if is_of_word(last) || last == '&' => return false,
            (None, '\'' | '"') => quote = Some(c),
            (None, '$' | ';' | '\\') => return false,
            (None, '/') if chars.peek() == Some(&'*') => return false,
            (None, '-') if chars.peek() == Some(&'-') => return false,
            _ => {}
        }
        (before, last) = (last, c);
    }
    quote.is_none()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

/// The role that a statement makes, changes, or makes a member of another; none if it may be more than one, or another than it
/// looks like.
fn role_of(statement: &str) -> Option<String> {
    if let Some(rest) = statement.strip_prefix("CREATE ROLE ") {
        // With options it could take up others.
        return name(rest).filter(|(_, rest)| rest.is_empty()).map(|(name, _)| name);
    }
    if let Some(rest) = ["ALTER ROLE ", "COMMENT ON ROLE "].iter().find_map(|start| statement.strip_prefix(start)) {
        return name(rest).map(|(name, _)| name);
    }
    let (_, rest) = name(statement.strip_prefix("GRANT ")?)?;
    let (member, rest) = name(rest.strip_prefix(" TO ")?)?;
    let alone = rest.is_empty() || rest.starts_with(" WITH ") || rest.starts_with(" GRANTED BY ");
    alone.then_some(member)
}

/// The name at the beginning of a text as the server understands it, and what follows it. None where it stands for whoever is
/// there, or is written in another way than `pg_dumpall` does.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let name = name.to_ascii_lowercase();
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        return (plain && name.len() <= LONGEST && !SOMEBODY.contains(&name.as_str())).then_some((name, rest));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '"' {
            if chars.peek().is_some_and(|(_, next)| *next == '"') {
                chars.next();
            } else {
                let rest = quoted.get(at + 1..)?;
                let ends = rest.is_empty() || rest.starts_with(' ');
                return (ends && name.len() <= LONGEST).then_some((name, rest));
            }
        }
        name.push(c);
    }
    None
}

/// Makes the roles of `globals`, but for `superuser`, who is there and works here: nothing is set for him.
pub(super) fn load(session: &mut Session, globals: &str, superuser: &str) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for statement in statements(globals).into_iter().filter(|statement| !is_setting(statement)) {
        let of_role = OF_ROLE.iter().any(|start| statement.starts_with(start));
        let role = role_of(&statement);
        if of_role && role.as_deref() == Some(superuser) {
            continue;
        }
        if !may_run(&statement) || (of_role && role.is_none()) {
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
            ("GRANT admin TO app WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres", Some("app")),
            ("ALTER ROLE POSTGRES NOSUPERUSER", Some("postgres")),
            ("GRANT SELECT ON t TO app", None),
            // Another role than it looks like, or more than one.
            ("ALTER ROLE U&\"postgres\" NOSUPERUSER", None),
            ("ALTER ROLE CURRENT_USER NOSUPERUSER", None),
            ("ALTER ROLE ALL SET x TO y", None),
            ("ALTER ROLE \"x\"\" NOLOGIN", None),
            ("GRANT admin TO app, postgres", None),
            ("GRANT admin TO app , postgres", None),
            ("GRANT admin TO \"app\",postgres", None),
            ("CREATE ROLE app ADMIN postgres", None),
            ("CREATE TABLESPACE t LOCATION '/x'", None),
        ] {
            assert_eq!(role_of(statement).as_deref(), role, "{statement}");
        }
    }

    #[test]
    fn a_statement_that_may_hide_another_is_not_run() {
        for plain in [
            "ALTER ROLE x PASSWORD 'SCRAM$4096:a--b/*;'",
            "COMMENT ON ROLE x IS E'a''; b\\\\ '",
            "ALTER ROLE \"a;\"\"b\" SET y TO 'it''s'",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for hidden in [
            "ALTER ROLE x /* ' */; DROP ROLE y; /* ' */",
            "ALTER ROLE x SET y TO $$ ' $$; DROP ROLE y; '",
            "ALTER ROLE x PASSWORDe'\\'; DROP ROLE y --'",
            "ALTER ROLE U&\"x\" NOLOGIN",
            "ALTER ROLE x PASSWORD 'a",
            "COMMENT ON ROLE x IS E'''\\' ' ; DROP ROLE y; ' '",
            "ALTER ROLE x -- '\n; DROP ROLE y; '",
        ] {
            assert!(!is_plain(hidden), "{hidden}");
        }
    }

    #[test]
    fn a_statement_can_t_leave_its_quotes() {
        let guarded = guarded("ALTER ROLE x SET y TO '$s0$; \\! id $s1$'");
        assert!(guarded.contains("execute $s2$ALTER") && guarded.contains("'$s2$;"), "{guarded}");
        assert!(guarded.starts_with("do $t2$"), "{guarded}");
    }
}
