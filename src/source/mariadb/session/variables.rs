//! Variables of a session that change what `SELECT` and `SHOW` give. A server, its `init_connect` or a proxy may set any of them
//! for whoever connects: lists are cut, the past is told as the present. Ours are put to what is known here, and it is looked
//! whether that held.

use super::{
    super::super::{Result, SourceError},
    super::sampled::LENGTH,
    Client, Session, literal,
};

/// The longest lists that there are.
const ALL: &str = "18446744073709551615";

/// A variable, its value as `SHOW` tells it, and whether a dump's tool leaves it as it is though it depends on it. Those of which
/// a server knows nothing are left out.
const KNOWN: [(&str, &str, bool); 32] = [
    ("autocommit", "ON", false),
    ("character_set_client", "utf8mb4", false),
    ("character_set_connection", "utf8mb4", false),
    ("character_set_results", "utf8mb4", false),
    ("completion_type", "NO_CHAIN", false),
    ("default_regex_flags", "", false),
    ("default_week_format", "0", false),
    ("div_precision_increment", "4", false),
    ("idle_readonly_transaction_timeout", "0", false),
    ("idle_transaction_timeout", "0", false),
    ("idle_write_transaction_timeout", "0", false),
    ("lc_time_names", "en_US", false),
    ("max_execution_time", "0", false),
    ("max_join_size", ALL, false),
    ("max_sort_length", "1024", false),
    ("max_statement_time", "0", false),
    ("show_create_table_skip_secondary_engine", "OFF", false),
    ("show_gipk_in_create_table_and_information_schema", "ON", true),
    ("sql_auto_is_null", "OFF", false),
    // After the size of joins, which sets it.
    ("sql_big_selects", "ON", false),
    ("sql_buffer_result", "OFF", false),
    ("sql_mode", "", false),
    ("sql_quote_show_create", "ON", false),
    ("sql_safe_updates", "OFF", false),
    ("sql_select_limit", ALL, true),
    ("sql_warnings", "OFF", false),
    ("system_versioning_asof", "DEFAULT", true),
    ("time_zone", "+00:00", false),
    ("transaction_isolation", "REPEATABLE-READ", false),
    ("transaction_read_only", "OFF", false),
    ("tx_isolation", "REPEATABLE-READ", false),
    ("tx_read_only", "OFF", false),
];

/// Puts a session's variables to what is known here.
///
/// # Errors
/// If the server does not take them, or they are not so afterwards.
pub(super) fn settle(session: &mut Session) -> Result<()> {
    // The first of all, since it cuts what tells of the others; the longest text holds a sample.
    session
        .run(&format!("SET NAMES utf8mb4;\nSET SESSION sql_select_limit = {ALL}, group_concat_max_len = {LENGTH}"))?;
    let others = others(session)?;
    if others.is_empty() {
        return Ok(());
    }
    let set: Vec<String> = others.iter().map(|(name, _, value)| setting(name, value)).collect();
    session.run(&format!("SET SESSION {}", set.join(", ")))?;
    match self::others(session)?.first() {
        None => Ok(()),
        Some((name, is, value)) => {
            let what =
                format!("the server keeps it at {is:?} where {value:?} was set, so what it tells may not be all");
            Err(SourceError::new(what, name.clone()))
        }
    }
}

/// What the dump's tool is to be told, so that the session that the server gives it is as it must be.
///
/// # Errors
/// If it can't be told that, and its dump would not be all that is there, or of another time.
pub(in super::super) fn for_dumps(client: &Client) -> Result<Vec<String>> {
    let mut like = client.begin()?;
    // One row comes whatever this is.
    let limit = like.value("SELECT @@SESSION.sql_select_limit")?;
    like.run(&format!("SET SESSION sql_select_limit = {ALL}"))?;
    let mut others: Vec<(String, String, String)> = others(&mut like)?
        .into_iter()
        .filter(|(name, ..)| KNOWN.iter().any(|(known, _, tool)| *tool && known == name))
        .collect();
    if limit != ALL {
        others.push(("sql_select_limit".to_owned(), limit, ALL.to_owned()));
    }
    if others.is_empty() {
        return Ok(Vec::new());
    }
    if client.dump_takes("--init-command") {
        let set: Vec<String> = others.iter().map(|(name, _, value)| setting(name, value)).collect();
        return Ok(vec![format!("--init-command=SET SESSION {}", set.join(", "))]);
    }
    let found: Vec<String> = others.iter().map(|(name, is, _)| format!("{name} = {is}")).collect();
    let unset: Vec<String> = others.iter().map(|(name, ..)| format!("SET GLOBAL {name} = DEFAULT")).collect();
    let what = format!(
        "the server begins sessions of this account with {}, so a dump would lack rows or be of another time, and its tool can't be \
         told otherwise: unset it ({}; or take it out of init_connect, which accounts with CONNECTION ADMIN are spared)",
        found.join(", "),
        unset.join("; ")
    );
    Err(SourceError::new(what, client.dump_program()))
}

/// Those that are not as they are to be: their names, what they are, and what they are to be.
fn others(session: &mut Session) -> Result<Vec<(String, String, String)>> {
    let names: Vec<String> = KNOWN.iter().map(|(name, ..)| format!("'{name}'")).collect();
    let there = session.rows(&format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(", ")))?;
    let is = |name: &str| {
        there.iter().find(|row| row.first().is_some_and(|is| is.eq_ignore_ascii_case(name)))?.get(1).cloned()
    };
    let differs = |(name, value, _): &(&str, &str, bool)| {
        // Some servers tell times as fractions.
        let none = |is: &str| *value == "0" && is.parse::<f64>().is_ok_and(|is| is == 0.0);
        let is = is(name).filter(|is| is != value && !none(is))?;
        Some(((*name).to_owned(), is, (*value).to_owned()))
    };
    Ok(KNOWN.iter().filter_map(differs).collect())
}

/// The value as `SET` takes it.
fn setting(name: &str, value: &str) -> String {
    let plain = value == "DEFAULT" || (!value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()));
    if plain { format!("{name} = {value}") } else { format!("{name} = {}", literal(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_as_servers_take_them() {
        for (name, value, set) in
            [("a", "DEFAULT", "a = DEFAULT"), ("a", "0", "a = 0"), ("a", "+00:00", "a = '+00:00'"), ("a", "", "a = ''")]
        {
            assert_eq!(setting(name, value), set);
        }
    }
}
