//! `globals.sql`, statement by statement: only what makes roles is run. It is never given to `psql` as a script, where a
//! line with a backslash would be a command of its own.

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
        session.run("make the roles", &guarded(&statement))?;
        let asked = "select json_build_object('error', nullif(current_setting('strongroom.error', true), ''))";
        let Outcome { error } = session.one("make the roles", asked)?;
        if let Some(error) = error {
            // The statement may hold a password's verifier.
            let words: Vec<&str> = statement.split_whitespace().take(3).collect();
            return Err(EngineError::new(format!("{} failed: {error}", words.join(" ")), "globals.sql"));
        }
        loaded.run += 1;
    }
    Ok(loaded)
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
    fn a_statement_can_t_leave_its_quotes() {
        let guarded = guarded("ALTER ROLE x SET y TO '$s0$; \\! id $s1$'");
        assert!(guarded.contains("execute $s2$ALTER") && guarded.contains("'$s2$;"), "{guarded}");
        assert!(guarded.starts_with("do $t2$"), "{guarded}");
    }
}
