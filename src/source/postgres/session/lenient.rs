//! Settings that let a server take damaged pages for sound ones: it gives other rows then, or fewer, and says nothing. They are
//! off in what reads for a backup, whoever set them.

use serde::Deserialize;

use super::{
    super::{
        super::{Result, SourceError},
        conninfo::Conninfo,
        tools::Tool,
    },
    Session,
};

/// What they are called, as SQL writes them.
pub(in super::super) const NAMES: &str = "'zero_damaged_pages', 'ignore_checksum_failure'";

/// Those that are on, and who set them.
const ON: &str = "select pg_catalog.json_build_object('name', s.name, 'source', s.source, 'user', session_user, \
    'database', pg_catalog.current_database()) from pg_catalog.pg_settings s \
    where s.name operator(pg_catalog.=) any (array[NAMES]) and s.setting operator(pg_catalog.=) 'on'";

/// One of them that is on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Lenient {
    name: String,
    /// Who set it, as `pg_settings` tells it.
    source: String,
    user: String,
    database: String,
}

impl Lenient {
    /// Who set it, and what unsets it.
    fn set_by(&self) -> String {
        let Self { name, source, user, database } = self;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (user, on) = (quoted(user), quoted(database));
        let reset = match source.as_str() {
            "database" => format!("ALTER DATABASE {on} RESET {name}"),
            "user" => format!("ALTER ROLE {user} RESET {name}"),
            "database user" => format!("ALTER ROLE {user} IN DATABASE {on} RESET {name}"),
            "global" => format!("ALTER ROLE ALL RESET {name}"),
            "configuration file" => {
                format!("ALTER SYSTEM RESET {name}, or take it out of postgresql.conf, and pg_reload_conf()")
            }
            "client" => "take it out of `options` of the connection string or of its service".to_owned(),
            _ => "take it out of how the server is started".to_owned(),
        };
        format!("{name} (set by: {source}; {reset})")
    }
}

/// Sets those off that are on, where the role may.
pub(super) fn set_off(session: &mut Session) -> Result<Vec<Lenient>> {
    let on = ask(session)?;
    for Lenient { name, .. } in &on {
        // In a block of its own: a role that may not goes on, and is told of below.
        let sql = format!(
            "do $off$ begin perform pg_catalog.set_config('{name}', 'off', false); \
             exception when insufficient_privilege then null; end $off$"
        );
        session.run("set it off that damaged pages are passed over", &sql)?;
    }
    Ok(on)
}

fn ask(session: &mut Session) -> Result<Vec<Lenient>> {
    session.ask("ask whether damaged pages are passed over", &ON.replace("NAMES", NAMES))
}

/// How the dump's tools are to connect, so that they pass nothing over, and what there is to say of that.
///
/// # Errors
/// If the role may not set it off, or the tools would not have it so.
pub(in super::super) fn strict(
    session: &mut Session,
    psql: &Tool,
    info: &Conninfo,
    database: Option<&str>,
) -> Result<(Conninfo, Option<String>)> {
    let found = session.lenient().to_vec();
    if found.is_empty() {
        return Ok((info.clone(), None));
    }
    refuse(&ask(session)?, info, "and this role may not set it off for itself")?;
    let info =
        found.iter().fold(info.clone(), |info, Lenient { name, .. }| info.with_option(&format!("-c {name}=off")));
    // Seen with the eyes of a tool: options of a service, say, are not ours to add to.
    let mut like = Session::untouched(psql, &info, database)?;
    refuse(&ask(&mut like)?, &info, "and it can't be set off in what pg_dump connects by")?;
    let names: Vec<String> = found.iter().map(Lenient::set_by).collect();
    let told = format!(
        "{}: on this server damaged pages are passed over by {}. It was set off for the backup, but a page that another session \
         emptied in the server's memory meanwhile looks sound: unset it, and restart the server",
        found.first().map(|one| one.database.as_str()).unwrap_or_default(),
        names.join(", ")
    );
    Ok((info, Some(told)))
}

fn refuse(on: &[Lenient], info: &Conninfo, why: &str) -> Result<()> {
    if on.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = on.iter().map(Lenient::set_by).collect();
    let what = format!(
        "lets sessions of this role take damaged pages for empty or sound ones by {}, {why}: a dump could lack rows and end \
         well; unset it",
        names.join(", ")
    );
    Err(SourceError::new(what, info.place()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_set_it_is_told_with_what_unsets_it() {
        for (source, reset) in [
            ("database", "ALTER DATABASE \"a\"\"b\" RESET x"),
            ("user", "ALTER ROLE \"u\" RESET x"),
            ("database user", "ALTER ROLE \"u\" IN DATABASE \"a\"\"b\" RESET x"),
            ("configuration file", "ALTER SYSTEM RESET x"),
            ("client", "`options`"),
            ("command line", "started"),
        ] {
            let (name, source, user, database) = ("x".into(), source.into(), "u".into(), "a\"b".into());
            let told = Lenient { name, source, user, database }.set_by();
            assert!(told.contains(reset), "{told}");
        }
    }
}
