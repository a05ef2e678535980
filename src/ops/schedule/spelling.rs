//! How units and crontabs spell paths. Each directive of systemd has its own way to read one, and none of them says so when it
//! reads another path than was meant.

use std::path::{Component, Path};

use crate::ops::OpsError;

/// The longest path of a socket, and the longest command of a crontab that every cron takes.
const SOCKET_BYTES: usize = 107;
const COMMAND_BYTES: usize = 990;

/// For `LoadCredential=` and `ListenStream=`, which take the rest of the line as it is, specifiers aside.
pub(super) fn literal(directive: &str, path: &Path) -> Result<String, OpsError> {
    let text = checked(directive, path)?;
    if text.ends_with(|c: char| c.is_whitespace() || c == '\\') {
        return refused(directive, path, "it ends with a blank or a backslash");
    }
    if directive == "ListenStream=" && text.len() > SOCKET_BYTES {
        return refused(directive, path, "the path of a socket has at most 107 bytes");
    }
    Ok(text.replace('%', "%%"))
}

/// For `ReadWritePaths=` and `RequiresMountsFor=`, which read words, as a shell has them. `before` stands before the path and
/// within its quotes.
pub(super) fn quoted(before: &str, path: &Path) -> Result<String, OpsError> {
    let directive = if before.is_empty() { "RequiresMountsFor=" } else { "ReadWritePaths=" };
    let text = format!("{before}{}", checked(directive, path)?.replace('%', "%%"));
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
    Ok(if text.chars().all(plain) { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) })
}

/// For `ExecStart=`. Variables are put into arguments alone, so that a `$` in the program's path stands for itself.
pub(super) fn program(path: &Path) -> Result<String, OpsError> {
    let text = checked("ExecStart=", path)?;
    if text.contains(['"', '\'', '\\']) {
        return refused("ExecStart=", path, "systemd starts no program with a quote or a backslash in its path");
    }
    let text = text.replace('%', "%%");
    // A semicolon by itself would begin another command; a path begins with a slash.
    Ok(if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text })
}

/// A path as one word of `sh`, in a form that survives every cron: some make one backslash of two, and all of them take the one
/// before a `%` away. So a backslash of the path stands before a quote and nothing else.
pub(super) fn word(path: &Path) -> Result<String, OpsError> {
    let text = checked("a crontab", path)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            '\\' => out.push_str("''\\''"),
            c => out.push(c),
        }
    }
    Ok(out + "'")
}

/// A command as a crontab has it: an open `%` would end it.
pub(super) fn command(words: &str) -> Result<String, OpsError> {
    let line = words.replace('%', "\\%");
    if line.len() > COMMAND_BYTES {
        return Err(OpsError::Request {
            what: format!("the command has {} bytes, and cron may cut it after {COMMAND_BYTES}: {line}", line.len()),
            next: "put program and configuration into directories with shorter paths".to_owned(),
        });
    }
    Ok(line)
}

/// What no line of either can hold.
fn checked<'a>(directive: &str, path: &'a Path) -> Result<&'a str, OpsError> {
    let Some(text) = path.to_str() else { return refused(directive, path, "it is not UTF-8") };
    if text.contains(char::is_control) {
        return refused(directive, path, "it has a line break or another control character");
    }
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return refused(directive, path, "it must be absolute and without `..`");
    }
    Ok(text)
}

fn refused<T>(directive: &str, path: &Path, why: &str) -> Result<T, OpsError> {
    Err(OpsError::Request {
        what: format!("{} can't be written in {directive}: {why}", path.display()),
        next: "give a path that can, such as by moving what is there or by a symbolic link to it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    /// What crons hand to the shell: with `\\` made `\`, as some do, or left alone.
    fn by_cron(line: &str, collapses: bool) -> String {
        let (mut out, mut all) = (String::new(), line.chars().peekable());
        while let Some(c) = all.next() {
            match c {
                '\\' => match all.next() {
                    Some('%') => out.push('%'),
                    Some('\\') if collapses => out.push('\\'),
                    next => out.extend(std::iter::once('\\').chain(next)),
                },
                '%' => break,
                c => out.push(c),
            }
        }
        out
    }

    #[test]
    fn a_shell_that_cron_starts_finds_the_program_whatever_its_path_holds() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "plain", "a b", "it's", "q\"q", "$HOME", "$(id)", "a\\b", "a\\\\b", "a\\%b", "50%", "%\\", "\\'",
            "x;y&z|w", "größe", "*",
        ] {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            let program = folder.join(name);
            fs::write(&program, "#!/bin/sh\nprintf '%s|' ran \"$@\"\n").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let line = command(&format!("{} --config {}", word(&program).unwrap(), word(&folder).unwrap())).unwrap();
            for collapses in [false, true] {
                let out = Command::new("sh").arg("-c").arg(by_cron(&line, collapses)).output().unwrap();
                let want = format!("ran|--config|{}|", folder.display());
                assert_eq!(String::from_utf8_lossy(&out.stdout), want, "{line}");
            }
        }
    }

    #[test]
    fn what_can_not_be_written_is_refused() {
        let told = |got: Result<String, OpsError>| got.unwrap_err().to_string();
        assert!(told(word(Path::new("/a\nb"))).contains("control"));
        assert!(told(literal("LoadCredential=", Path::new("/a "))).contains("ends with a blank"));
        assert!(told(literal("LoadCredential=", Path::new("/a\\"))).contains("ends with a blank"));
        assert!(told(literal("LoadCredential=", Path::new("/a/../b"))).contains("`..`"));
        assert!(told(literal("ListenStream=", Path::new(&format!("/{}", "x".repeat(107))))).contains("107"));
        assert!(told(quoted("-", Path::new("a"))).contains("absolute"));
        assert!(told(program(Path::new("/a\"b"))).contains("starts no program"));
        assert!(told(command(&"x".repeat(1000))).contains("cut"));
    }
}
