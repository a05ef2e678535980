//! What the account may see. What it may not, the tools leave out without a word.

use super::{
    super::Result,
    Client,
    session::{identifier, literal},
};

/// One warning for each kind of thing that the dump may lack.
pub(super) fn warnings(client: &Client, databases: &[String]) -> Vec<String> {
    // Servers differ in how they tell; if this one can't be asked, nothing is claimed.
    missing(client, databases).unwrap_or_default()
}

fn missing(client: &Client, databases: &[String]) -> Result<Vec<String>> {
    let mut session = client.connect()?;
    let role = session.value("SELECT COALESCE(CURRENT_ROLE(), 'NONE')")?;
    if role != "NONE" {
        // What a role brings is not told by these tables.
        return Ok(Vec::new());
    }
    let account =
        "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))";
    let mut may = |privilege: &str, database: &str| -> Result<bool> {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM information_schema.user_privileges \
               WHERE grantee = {account} AND privilege_type = {privilege}) + \
             (SELECT COUNT(*) FROM information_schema.schema_privileges \
               WHERE grantee = {account} AND privilege_type = {privilege} AND {database} LIKE table_schema)",
            privilege = literal(privilege),
            database = literal(database)
        );
        Ok(session.value(&sql)? != "0")
    };
    let mut found = Vec::new();
    for database in databases {
        if !may("TRIGGER", database)? {
            found.push(format!(
                "the account may not see the triggers of {database}, so they are not in the backup: GRANT TRIGGER ON {}.*",
                identifier(database)
            ));
        }
    }
    if !may("SELECT", "mysql")? {
        found.push(
            "the account may not see procedures and functions that others defined, so they may not be in the backup: \
             GRANT SELECT ON mysql.proc (MySQL: SHOW_ROUTINE)"
                .to_owned(),
        );
    }
    Ok(found)
}
