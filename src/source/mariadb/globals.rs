//! Users, roles and grants, as SQL.

use std::{fmt::Write as _, io::Read, process::Stdio};

use super::{
    super::{Result, SourceError},
    Client, Flavour,
    session::literal,
};

/// The most that is read.
const LIMIT: u64 = 64 << 20;

/// The statements that bring users and grants back. They hold hashes of passwords.
pub(super) fn take(client: &Client) -> Result<Vec<u8>> {
    match client.flavour() {
        Flavour::Mariadb => by_tool(client),
        Flavour::Mysql => by_statements(client),
    }
}

fn by_tool(client: &Client) -> Result<Vec<u8>> {
    let program = client.dump_program();
    let mut command = client.command(program);
    command.args(["--system=users", "--skip-dump-date"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = client.start(&mut command, program)?;
    let mut sql = Vec::new();
    let read = running.stdout()?.take(LIMIT).read_to_end(&mut sql);
    read.map_err(|e| SourceError::new("can't be read", program).because(e))?;
    running.finish()?;
    let end = sql.len().saturating_sub(4 << 10);
    if String::from_utf8_lossy(sql.get(end..).unwrap_or_default()).contains("-- Dump completed") {
        return Ok(sql);
    }
    Err(SourceError::new("its output is cut short", program))
}

fn by_statements(client: &Client) -> Result<Vec<u8>> {
    let mut session = client.connect()?;
    let accounts = session.rows("SELECT user, host FROM mysql.user ORDER BY user, host")?;
    let mut sql = "-- Users and grants\n".to_owned();
    for account in accounts {
        let [user, host] = account.as_slice() else { continue };
        // The server makes its own.
        if user.starts_with("mysql.") || user.starts_with("mariadb.") {
            continue;
        }
        let account = format!("{}@{}", literal(user), literal(host));
        let created = session.value(&format!("SHOW CREATE USER {account}"))?;
        let _ = writeln!(sql, "{};", created.replacen("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1));
        for grant in session.rows(&format!("SHOW GRANTS FOR {account}"))? {
            let _ = writeln!(sql, "{};", grant.join("\t"));
        }
    }
    sql.push_str("-- Dump completed\n");
    Ok(sql.into_bytes())
}
