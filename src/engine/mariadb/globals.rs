//! `globals.sql`: it is loaded by an account that may do everything, so it may hold nothing but what makes accounts.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::super::{EngineError, RestoredStream, Result as Done};
use crate::source::mariadb::{GLOBALS, session::Session};

/// The file of what the server takes.
const ADAPTED: &str = "accounts.sql";
/// The ways to log in that a server knows by itself, and those that it was started with.
const PLUGINS: &str = "SELECT LOWER(plugin_name) FROM information_schema.plugins \
                       WHERE plugin_type = 'AUTHENTICATION' AND plugin_status = 'ACTIVE'";

/// What its statements begin with.
const ACCOUNTS: [&str; 7] =
    ["CREATE USER ", "CREATE ROLE ", "ALTER USER ", "GRANT ", "SET DEFAULT ROLE ", "CREATE SERVER ", "INSTALL PLUGIN "];

/// What the server is to load, in a file in `dir`, and the accounts that were made so that nobody can use them.
///
/// # Errors
/// If it holds something else than what makes accounts.
pub(super) fn adapted(
    stream: &RestoredStream,
    session: &mut Session,
    dir: &Path,
) -> Done<(RestoredStream, Vec<String>)> {
    let text = fs::read(&stream.file).map_err(|e| EngineError::at("can't read", &stream.file, e))?;
    let plugins: Vec<String> = session.rows(PLUGINS)?.into_iter().flatten().collect();
    let found = adapt(&String::from_utf8_lossy(&text), &plugins);
    let found = found.map_err(|found| EngineError::new(format!("holds what makes no account: {found}"), GLOBALS))?;
    let file = dir.join(ADAPTED);
    // Hashes of passwords.
    let opened = File::options().write(true).create_new(true).mode(0o600).open(&file);
    let written = opened.and_then(|mut to| to.write_all(found.script.as_bytes()));
    written.map_err(|e| EngineError::at("can't write", &file, e))?;
    Ok((RestoredStream { file, ..stream.clone() }, found.locked))
}

/// What makes accounts, as this server takes it.
#[derive(Debug, PartialEq, Eq)]
struct Accounts {
    script: String,
    /// Accounts that log in by what this server does not have. They are made so that nobody can use them.
    locked: Vec<String>,
}

/// The script for a server that knows these ways to log in. No library is loaded for one that it does not know: a dump that was
/// tampered with could name any, and what some of them do reaches far.
///
/// # Errors
/// With the beginning of the first statement that makes no account, if there is one. Comments other than lines, which a server
/// may take for statements, count as such.
fn adapt(script: &str, plugins: &[String]) -> Result<Accounts, String> {
    let mut all = Accounts { script: String::new(), locked: Vec::new() };
    for statement in statements(script)? {
        if statement.starts_with("INSTALL PLUGIN ") {
            continue;
        }
        let unknown = log_in(&statement).filter(|(_, by)| by.iter().any(|by| !plugins.contains(by)));
        if let Some((account, by)) = unknown {
            all.locked.push(format!("{} ({})", named(account), by.join(", ")));
            all.script.push_str(account);
            all.script.push_str(" ACCOUNT LOCK;\n");
        } else {
            all.script.push_str(&statement);
            all.script.push_str(";\n");
        }
    }
    Ok(all)
}

/// The beginning of the first statement that makes no account, if there is one.
pub(super) fn stranger(script: &str) -> Option<String> {
    statements(script).err()
}

fn statements(script: &str) -> Result<Vec<String>, String> {
    let (mut all, mut now) = (Vec::new(), String::new());
    let mut quote: Option<char> = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\'' | '"'), '\\') => {
                now.push(c);
                now.extend(chars.next());
                continue;
            }
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '#') => {
                chars.by_ref().find(|c| *c == '\n');
                now.push('\n');
                continue;
            }
            (None, '-') if chars.peek() == Some(&'-') => {
                chars.by_ref().find(|c| *c == '\n');
                now.push('\n');
                continue;
            }
            (None, '/') if chars.peek() == Some(&'*') => return Err(format!("{now}/*").trim_start().to_owned()),
            (None, '\\') => return Err(format!("{now}\\").trim_start().to_owned()),
            (None, ';') => {
                all.extend(ours(&std::mem::take(&mut now))?);
                continue;
            }
            _ => {}
        }
        now.push(c);
    }
    all.extend(ours(&now)?);
    Ok(all)
}

/// The statement, if it is not empty and makes accounts.
fn ours(statement: &str) -> Result<Option<String>, String> {
    let statement = statement.trim();
    if statement.is_empty() {
        return Ok(None);
    }
    if ACCOUNTS.iter().any(|begin| statement.starts_with(begin)) {
        return Ok(Some(statement.to_owned()));
    }
    // It may hold a hash of a password, but not so early.
    Err(statement.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// The beginning of a statement that makes an account, before it says how that logs in, and by which plugins it does.
fn log_in(statement: &str) -> Option<(&str, Vec<String>)> {
    let words = words(statement);
    let is = |at: usize, word: &str| words.get(at).is_some_and(|(_, is)| is.eq_ignore_ascii_case(word));
    let found = (0..words.len()).find(|at| is(*at, "IDENTIFIED") && (is(at + 1, "VIA") || is(at + 1, "WITH")))?;
    let account = statement.get(..words.get(found)?.0)?.trim_end();
    let mut plugins = Vec::new();
    let mut at = found + 2;
    loop {
        let (_, plugin) = words.get(at)?;
        plugins.push(plugin.trim_matches(['\'', '"', '`']).to_ascii_lowercase());
        let skip = if is(at + 1, "USING") || is(at + 1, "AS") || is(at + 1, "BY") { 3 } else { 1 };
        if !is(at + skip, "OR") {
            return statement.starts_with("CREATE USER ").then_some((account, plugins));
        }
        at += skip + 1;
    }
}

/// The name of the account that a statement begins to make.
fn named(statement: &str) -> &str {
    ["CREATE USER IF NOT EXISTS ", "CREATE USER "]
        .iter()
        .find_map(|begin| statement.strip_prefix(begin))
        .unwrap_or(statement)
}

/// The words of a statement and where they begin. What stands in quotes is a word with what stands around it.
fn words(statement: &str) -> Vec<(usize, &str)> {
    let (mut words, mut from, mut quote, mut taken) = (Vec::new(), None, None, false);
    for (at, c) in statement.char_indices() {
        match (quote, c) {
            _ if taken => taken = false,
            (Some('\'' | '"'), '\\') => taken = true,
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() => {
                if let Some(from) = from.take() {
                    words.extend(statement.get(from..at).map(|word| (from, word)));
                }
                continue;
            }
            (None, '\'' | '"' | '`') => quote = Some(c),
            _ => {}
        }
        from.get_or_insert(at);
    }
    words.extend(from.and_then(|from| Some((from, statement.get(from..)?))));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accounts_are_made() {
        let fine = "-- Users; roles\nCREATE USER IF NOT EXISTS `a;b`@`%` IDENTIFIED BY PASSWORD 'x\\';/* ';\n\
                    GRANT SELECT ON `d`.`it's` TO 'a''b'@'h';\n-- not here: SET GLOBAL x = 1;\nSET DEFAULT ROLE r FOR u;\n";
        assert_eq!(adapt(fine, &[]).map(|all| all.locked), Ok(Vec::new()));
        for (hostile, told) in [
            ("GRANT USAGE ON *.* TO a@b; SET GLOBAL general_log = 1;", "SET GLOBAL general_log"),
            ("CREATE USER a /*!; SET GLOBAL x = 1 */;", "CREATE USER a /*"),
            ("DELIMITER $\nSET GLOBAL x = 1$", "DELIMITER $ SET"),
            ("\\! id", "\\"),
        ] {
            assert_eq!(adapt(hostile, &[]), Err(told.to_owned()), "{hostile}");
        }
    }

    #[test]
    fn who_logs_in_by_what_is_not_here_is_made_and_locked() {
        let script = "INSTALL PLUGIN IF NOT EXISTS `ed25519` SONAME 'auth_ed25519';\n\
                      CREATE USER IF NOT EXISTS `a IDENTIFIED VIA x`@`%` IDENTIFIED VIA ed25519 USING 'x OR y' OR unix_socket;\n\
                      CREATE USER b IDENTIFIED VIA unix_socket REQUIRE SSL;\nCREATE USER c IDENTIFIED BY PASSWORD '*1';\n\
                      CREATE USER 'd'@'h' IDENTIFIED WITH 'caching_sha2_password' AS '$A$\\'1' REQUIRE NONE;\n\
                      GRANT USAGE ON *.* TO b;\n";
        let plugins = ["mysql_native_password".to_owned(), "unix_socket".to_owned()];
        let all = adapt(script, &plugins).unwrap();
        let want = "CREATE USER IF NOT EXISTS `a IDENTIFIED VIA x`@`%` ACCOUNT LOCK;\n\
                    CREATE USER b IDENTIFIED VIA unix_socket REQUIRE SSL;\nCREATE USER c IDENTIFIED BY PASSWORD '*1';\n\
                    CREATE USER 'd'@'h' ACCOUNT LOCK;\nGRANT USAGE ON *.* TO b;\n";
        assert_eq!(all.script, want);
        assert_eq!(all.locked, ["`a IDENTIFIED VIA x`@`%` (ed25519, unix_socket)", "'d'@'h' (caching_sha2_password)"]);
    }
}
