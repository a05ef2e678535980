//! A look at a server before a backup: programs, connection, rights on every table, what no dump would hold.

use serde::Deserialize;

use super::{
    super::{Look, Members, Result, SourceError, look::some_of, read::Warnings},
    Conninfo, Databases, PostgresOptions, choice, dump, fingerprint,
    globals::Globals,
    pages,
    session::{Session, lenient},
    tools::{Tool, Tools, Version},
    version, waits, whole,
};
use crate::model::size;

/// What `pg_dump` locks and reads, and this role may not. The session has `row_security` off, as `pg_dump` has.
const LACKING: &str = "\
select json_build_object('name', name, 'lacks', lacks) from (
  select format('%I.%I', n.nspname, c.relname) as name,
    case when not has_schema_privilege(n.oid, 'USAGE') then 'USAGE on its schema'
      when not has_table_privilege(c.oid, 'SELECT') then 'SELECT'
      when c.relkind in ('r', 'p') and row_security_active(c.oid) then 'BYPASSRLS, since a policy hides rows' end as lacks
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  left join pg_extension e on e.oid = d.refobjid
  where c.relkind in ('r', 'p', 'S') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (d.objid is null or c.oid = any (e.extconfig))
  union all select 'large object ' || m.oid, 'SELECT' from pg_largeobject_metadata m
  where not pg_has_role(m.lomowner, 'USAGE') and not (select rolsuper from pg_roles where rolname = current_user)
    and not exists (select from aclexplode(m.lomacl) a where a.privilege_type = 'SELECT'
      and (a.grantee = 0 or pg_has_role(a.grantee, 'USAGE')))
) found where lacks is not null order by name";

const MAY_COPY: &str = "select json_build_object('allowed', rolsuper or rolreplication, 'senders', \
    current_setting('max_wal_senders')::int, 'bytes', (select coalesce(sum(pg_database_size(oid)), 0)::bigint \
    from pg_database)) from pg_roles where rolname = current_user";

#[derive(Deserialize)]
struct Lacking {
    name: String,
    lacks: String,
}

#[derive(Deserialize)]
struct MayCopy {
    allowed: bool,
    senders: i64,
    bytes: u64,
}

/// Looks at the server that `options` mean.
pub(super) fn look(options: &PostgresOptions) -> Look {
    let mut look = Look::default();
    let (info, tools) = (&options.info, Tools::connecting(options.bin.clone(), &options.info));
    let Some(psql) = look.step("programs", tools.any("psql")) else { return look };
    let Some((mut session, version)) = look.step("reach", reach(options, &psql)) else { return look };
    look.good("reach", format!("{} answers; it is version {version}", info.place()));
    let tool = if options.physical { "pg_basebackup" } else { "pg_dump" };
    if let Some(tool) = look.step("programs", tools.for_server(tool, &version)) {
        look.good("programs", format!("{} {}", tool.path.display(), tool.version));
    }
    if options.physical {
        copied(&mut session, info, &mut look);
        return look;
    }
    let mut warnings = Warnings::default();
    if options.globals {
        look.step("programs", Globals::prepare(&mut session, &tools, &version, &mut warnings));
    }
    let chosen = choice::databases(&mut session, &psql, info, &options.databases, &mut warnings);
    look.warnings.extend(warnings.into_vec());
    let Some(databases) = look.step("contents", chosen) else { return look };
    for database in &databases {
        if let Err(error) = of_database(&psql, info, database, &mut look) {
            look.bad("reach", error.to_string());
        }
    }
    if options.databases == Databases::All {
        let taken = databases.into_iter().filter(|name| name != "template1").collect();
        look.members = Some(Members { what: "database", taken, left_out: Vec::new() });
    }
    look
}

fn reach(options: &PostgresOptions, psql: &Tool) -> Result<(Session, Version)> {
    if !options.physical {
        choice::must_be_direct(psql, &options.info)?;
    }
    let mut session = Session::open(psql, &options.info, None)?;
    let version = version(&fingerprint::server(&mut session)?, &options.info)?;
    Ok((session, version))
}

/// One database: what is in it, what may not be read, what no dump holds.
fn of_database(psql: &Tool, info: &Conninfo, database: &str, look: &mut Look) -> Result<()> {
    let mut session = Session::open(psql, info, Some(database))?;
    let strict = look.step("rights", lenient::strict(&mut session, psql, info, Some(database)));
    look.warnings.extend(strict.and_then(|(_, told)| told));
    let counted = pages::counted(&mut session)?;
    look.warnings.extend(pages::judge(counted, counted, false, database).map(|finding| finding.message));
    waits::limit(&mut session, waits::ONCE)?;
    session.run("begin", "begin transaction read only")?;
    let lacking: Vec<Lacking> = session.ask("ask for the role's rights", LACKING)?;
    if !lacking.is_empty() {
        let names: Vec<String> = lacking.iter().map(|Lacking { name, lacks }| format!("{name} ({lacks})")).collect();
        let told = format!(
            "{database}: this role may not read {}, and pg_dump would fail: grant what is missing, or all of it with \
             GRANT pg_read_all_data TO the role (version 14 and later)",
            some_of(&names)
        );
        look.bad("rights", told);
    }
    let tables = fingerprint::tables(&mut session)?;
    let bytes = tables.iter().map(|table| table.bytes).sum();
    if lacking.is_empty() {
        look.good("rights", format!("{database}: all tables can be read ({}), {}", tables.len(), size::human(bytes)));
    }
    look.warnings.extend(dump::elsewhere(&mut session, database)?);
    look.warnings.extend(whole::Expected::ask(&mut session, &tables)?.left_out(database));
    Ok(())
}

/// The files of the whole cluster.
fn copied(session: &mut Session, info: &Conninfo, look: &mut Look) {
    let asked: Result<MayCopy> = session.one("ask for the role's rights", MAY_COPY);
    let Some(MayCopy { allowed, senders, bytes }) = look.step("rights", asked) else { return };
    let refused = |what: &str| Err(SourceError::new(what, info.place()));
    let may = match (allowed, senders) {
        (false, _) => refused("this role may not copy the cluster: ALTER ROLE … REPLICATION"),
        (_, 0) => refused("the server lets nobody copy it: set max_wal_senders to 2 or more"),
        _ => Ok(()),
    };
    if look.step("rights", may).is_some() {
        let told = format!(
            "the role has REPLICATION, and the cluster has {}; whether pg_hba.conf lets it in for replication is seen by \
             a backup only",
            size::human(bytes)
        );
        look.good("rights", told);
    }
}
