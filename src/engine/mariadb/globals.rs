//! `globals.sql`: it is loaded by an account that may do everything, so it may hold nothing but what makes accounts.

/// What its statements begin with.
const ACCOUNTS: [&str; 7] =
    ["CREATE USER ", "CREATE ROLE ", "ALTER USER ", "GRANT ", "SET DEFAULT ROLE ", "CREATE SERVER ", "INSTALL PLUGIN "];

/// The beginning of the first statement that makes no account, if there is one. Comments other than lines, which a server
/// may take for statements, count as such.
pub(super) fn stranger(script: &str) -> Option<String> {
    let mut now = String::new();
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
                continue;
            }
            (None, '-') if chars.peek() == Some(&'-') => {
                chars.by_ref().find(|c| *c == '\n');
                continue;
            }
            (None, '/') if chars.peek() == Some(&'*') => return Some(format!("{now}/*").trim_start().to_owned()),
            (None, '\\') => return Some(format!("{now}\\").trim_start().to_owned()),
            (None, ';') => {
                if let Some(found) = strange(&std::mem::take(&mut now)) {
                    return Some(found);
                }
                continue;
            }
            _ => {}
        }
        now.push(c);
    }
    strange(&now)
}

fn strange(statement: &str) -> Option<String> {
    let statement = statement.trim();
    let known = statement.is_empty() || ACCOUNTS.iter().any(|begin| statement.starts_with(begin));
    // It may hold a hash of a password, but not so early.
    (!known).then(|| statement.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accounts_are_made() {
        let fine = "-- Users; roles\nCREATE USER IF NOT EXISTS `a;b`@`%` IDENTIFIED BY PASSWORD 'x\\';/* ';\n\
                    GRANT SELECT ON `d`.`it's` TO 'a''b'@'h';\n-- not here: SET GLOBAL x = 1;\nSET DEFAULT ROLE r FOR u;\n";
        assert_eq!(stranger(fine), None);
        for (hostile, told) in [
            ("GRANT USAGE ON *.* TO a@b; SET GLOBAL general_log = 1;", "SET GLOBAL general_log"),
            ("CREATE USER a /*!; SET GLOBAL x = 1 */;", "CREATE USER a /*"),
            ("DELIMITER $\nSET GLOBAL x = 1$", "DELIMITER $ SET"),
            ("\\! id", "\\"),
        ] {
            assert_eq!(stranger(hostile).as_deref(), Some(told), "{hostile}");
        }
    }
}
