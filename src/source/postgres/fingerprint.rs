//! What a database holds, told by its own server within one snapshot, so that a restored one can be held against it.
//!
//! A table's hash is the sum over its rows of two 64-bit hashes of the row's text, so the order of rows does not matter
//! and nothing is sorted. It finds what a restore lost or changed; it is no proof against somebody who can choose rows.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    super::Result,
    archive::SequenceSet,
    rows::{self, Helpers},
    session::Session,
    table::Table,
    unlocked::Marks,
};
use crate::model::{Fingerprint, TableFingerprint};

/// How much of a database is read for its fingerprint, besides what the dump reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Rows and contents.
    #[default]
    Hash,
    /// Rows only.
    Rows,
    /// Nothing.
    Off,
}

/// The first major version whose server can hash text to 64 bits.
const HASHING: u32 = 110_000;

/// The first major version whose server reads a range of a table's blocks without reading the others.
const RANGES: u32 = 140_000;

/// Tables with rows of their own that a dump holds: no foreign ones, no members of extensions but those that an extension
/// calls configuration, of which it says which rows count. Unlogged ones can't be read on a standby. Columns stand in the
/// order of their names, since a restore may put those that were inherited elsewhere.
const TABLES: &str = r#"
select json_build_object('name', format('%I.%I', n.nspname, c.relname), 'place', json_build_array(n.nspname, c.relname), 'oid', c.oid::bigint,
  'numbers', (select coalesce(json_agg(a.attnum), '[]') from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), 'bytes', coalesce(pg_table_size(c.oid), 0), 'estimate', c.reltuples,
  'blocks', case when (select a.amname from pg_am a where a.oid = c.relam) = 'heap'
     then coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint else 0 end,
  'from', format('only %I.%I x %s', n.nspname, c.relname, k.condition),
  'columns', coalesce((select string_agg(format('x.%I', a.attname), ', ' order by a.attname collate "C")
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), ''),
  'own', k.condition is null)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
left join lateral (select e.extcondition[i] as condition from pg_extension e,
  generate_subscripts(e.extconfig, 1) i where e.oid = d.refobjid and e.extconfig[i] = c.oid limit 1) k on true
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (d.objid is null or k.condition is not null)
  and not (c.relpersistence = 'u' and pg_is_in_recovery())
order by c.oid"#;

/// Tables that a standby has no rows of: they come back empty.
const UNLOGGED: &str = r"
select to_json(format('%I.%I', n.nspname, c.relname)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where pg_is_in_recovery() and c.relkind = 'r' and c.relpersistence = 'u' and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";

/// What else must be there again, as `name` and `value`. What a new database has anyway is left out, and so are indexes
/// that are not valid: a dump leaves them out too.
const OBJECTS: &str = r#"
with ns as (select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'),
member as (select classid, objid from pg_depend where deptype = 'e'),
rel as (select c.*, format('%I.%I', ns.nspname, c.relname) as label from pg_class c join ns on ns.oid = c.relnamespace
  where not exists (select from member m where m.classid = 'pg_class'::regclass and m.objid = c.oid))
select json_build_object('name', name, 'value', value) from (
  select 'extension ' || extname as name, extversion as value from pg_extension where extname <> 'plpgsql'
  union all select 'schema ' || nspname, 'present' from ns where nspname <> 'public'
    and not exists (select from member m where m.classid = 'pg_namespace'::regclass and m.objid = ns.oid)
  union all select 'columns ' || label, (select coalesce(string_agg(format('%I %s%s%s', a.attname,
      format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
      case when a.attidentity <> '' then ' identity' else '' end), ', ' order by a.attname collate "C"), '')
      from pg_attribute a where a.attrelid = rel.oid and a.attnum > 0 and not a.attisdropped)
    from rel where relkind in ('r', 'p', 'f')
  union all select case relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'p' then 'partitioned table '
      else 'foreign table ' end || label,
    case relkind when 'm' then case when relispopulated then 'populated' else 'not populated' end
      when 'p' then pg_get_partkeydef(oid) else 'present' end
    from rel where relkind in ('v', 'm', 'p', 'f')
  union all select 'row security ' || label, case when relforcerowsecurity then 'forced' else 'enabled' end
    from rel where relrowsecurity
  union all select 'index ' || format('%I.%I', ns.nspname, c.relname),
      case when i.indisunique then 'unique' else 'plain' end
    from pg_index i join rel on rel.oid = i.indrelid join pg_class c on c.oid = i.indexrelid
    join ns on ns.oid = c.relnamespace where rel.relkind in ('r', 'm', 'p') and (i.indisvalid or rel.relkind = 'p')
  union all select 'constraint ' || format('%I on %s', k.conname, label),
      k.contype::text || case when k.convalidated then '' else ', not validated' end
    from pg_constraint k join rel on rel.oid = k.conrelid where k.contype in ('c', 'f', 'p', 'u', 'x')
  union all select 'trigger ' || format('%I on %s', t.tgname, label), t.tgenabled::text
    from pg_trigger t join rel on rel.oid = t.tgrelid where not t.tgisinternal
  union all select 'policy ' || format('%I on %s', p.polname, label), p.polcmd::text
    from pg_policy p join rel on rel.oid = p.polrelid
  union all select 'function ' || format('%I.%I(%s)', ns.nspname, p.proname,
      pg_get_function_identity_arguments(p.oid)), md5(p.prosrc)
    from pg_proc p join ns on ns.oid = p.pronamespace
    where not exists (select from member m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)
  union all select 'type ' || format('%I.%I', ns.nspname, t.typname),
      case t.typtype when 'e' then (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
        from pg_enum e where e.enumtypid = t.oid) when 'd' then 'domain' else 'range' end
    from pg_type t join ns on ns.oid = t.typnamespace where t.typtype in ('e', 'd', 'r')
    and not exists (select from member m where m.classid = 'pg_type'::regclass and m.objid = t.oid)
) found order by name"#;

/// Sequences; the value and whether it was given out are read from each.
const SEQUENCES: &str = r"
select json_build_object('name', format('sequence %I.%I', n.nspname, c.relname), 'place', json_build_array(n.nspname, c.relname), 'sql',
  format('select json_build_object(''value'', last_value || case when is_called then '', called'' else '''' end) from %I.%I',
  n.nspname, c.relname))
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
    and d.objid = c.oid and d.deptype = 'e')
order by c.oid";

/// Large objects, read in parts of 1 MiB: how many, how large, and a hash of each with its number.
const LARGE_OBJECTS: &str = r"
select json_build_object('rows', count(distinct oid)::text, 'low', sum(hashtextextended(h, 0))::text,
  'high', sum(hashtextextended(h, 1))::text)
from (select s.oid, s.oid || ' ' || s.size || ' ' || coalesce(at, 0) || ' ' || coalesce(md5(lo_get(s.oid, at, 1048576)), '') as h
  from (select oid, size, lo_close(fd) as closed from (
      select oid, fd, lo_lseek64(fd, 0, 2) as size from (
        select oid, lo_open(oid, 262144) as fd from pg_largeobject_metadata offset 0) o offset 0) l offset 0) s
  left join lateral generate_series(0, s.size - 1, 1048576) at on true offset 0) parts";

/// Large objects, counted.
const LARGE_OBJECTS_COUNTED: &str = "select json_build_object('rows', count(*)::text) from pg_largeobject_metadata";

/// What the server and the database are.
const SERVER: &str = r#"
select json_build_object('server_version', current_setting('server_version'), 'server_version_num',
  current_setting('server_version_num'), 'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate,
  'ctype', d.datctype, 'locale_provider', coalesce(to_json(d)->>'datlocprovider', 'c'),
  'icu_locale', coalesce(to_json(d)->>'daticulocale', to_json(d)->>'datlocale', ''),
  'data_checksums', current_setting('data_checksums'), 'superuser', (select rolname from pg_roles where oid = 10), 'size_bytes', pg_database_size(d.oid)::text,
  'instant', to_char(transaction_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
from pg_database d where d.datname = current_database()"#;

#[derive(Deserialize)]
struct Named {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Sequence {
    name: String,
    place: (String, String),
    sql: String,
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

/// The tables of the session's database, whose rows a dump holds.
pub(super) fn tables(session: &mut Session) -> Result<Vec<Table>> {
    session.ask("list the tables", TABLES)
}

/// Whether there is anything besides tables that a new database does not have.
pub(super) fn has_objects(session: &mut Session) -> Result<bool> {
    Ok(!session.ask::<Named>("list the objects", OBJECTS)?.is_empty())
}

/// What the server and the session's database are.
pub(super) fn server(session: &mut Session) -> Result<BTreeMap<String, String>> {
    session.one("ask what the database is", SERVER)
}

/// A fingerprint, and its names of sequences by their schema and name.
pub(super) struct Taken {
    pub(super) fingerprint: Fingerprint,
    /// Tables that were changed before they could be counted.
    pub(super) changed: Vec<String>,
    sequences: BTreeMap<(String, String), String>,
}

/// Takes the fingerprint of `database` in the session's transaction. Its streams are the caller's to name.
pub(super) fn take(
    session: &mut Session,
    database: &str,
    tables: &[Table],
    depth: Depth,
    helpers: &Helpers<'_>,
    marks: Option<&Marks>,
) -> Result<Taken> {
    let server = server(session)?;
    let number = server.get("server_version_num").and_then(|n| n.parse::<u32>().ok()).unwrap_or_default();
    let hashed = depth == Depth::Hash && number >= HASHING;
    let mut taken = Fingerprint { database: database.to_owned(), server, ..Fingerprint::default() };
    for object in session.ask::<Named>("list the objects", OBJECTS)? {
        taken.objects.insert(object.name, object.value.unwrap_or_default());
    }
    let mut sequences = BTreeMap::new();
    if marks.is_some() {
        session.run("read the sequences", "savepoint sequences")?;
    }
    for Sequence { name, place, sql } in session.ask("list the sequences", SEQUENCES)? {
        let Value { value } = session.one(&format!("read {name}"), &sql)?;
        taken.objects.insert(name.clone(), value);
        sequences.insert(place, name);
    }
    if marks.is_some() {
        session.run("let go of the sequences", "rollback to savepoint sequences")?;
    }
    let counted = rows::count(session, tables, (hashed, number >= RANGES), helpers, marks)?;
    taken.tables = counted.tables;
    for name in session.ask::<String>("list the unlogged tables", UNLOGGED)? {
        taken.tables.insert(name, TableFingerprint { rows: 0, hash: None, sample: None, columns: None });
    }
    taken.bound_samples();
    let sql = if hashed { LARGE_OBJECTS } else { LARGE_OBJECTS_COUNTED };
    let large = rows::ask(session, "large objects", sql)?.told(None);
    let hash = large.hash.filter(|_| large.rows > 0).map(|hash| format!(", {hash}")).unwrap_or_default();
    taken.objects.insert("large objects".to_owned(), format!("{}{hash}", large.rows));
    Ok(Taken { fingerprint: taken, changed: counted.changed, sequences })
}

/// Puts the values into the fingerprint that the dump sets its sequences to. Sequences go on counting outside of any
/// snapshot, so what was read a moment before or after may be another value.
pub(super) fn settle_sequences(taken: &mut Taken, set: &[SequenceSet]) {
    for SequenceSet { schema, name, definition } in set {
        let key = taken.sequences.get(&(schema.clone(), name.clone()));
        if let (Some(key), Some(value)) = (key, set_to(definition)) {
            taken.fingerprint.objects.insert(key.clone(), value);
        }
    }
}

/// The value in `SELECT pg_catalog.setval('public.s', 42, true);`, as it is told here.
fn set_to(definition: &str) -> Option<String> {
    let (_, rest) = definition.rsplit_once("', ")?;
    let (value, called) = rest.trim_end().strip_suffix(");")?.split_once(", ")?;
    value.parse::<i64>().ok()?;
    Some(format!("{value}{}", if called == "true" { ", called" } else { "" }))
}

/// Locks every table against being dropped, emptied or rewritten, as a dump does, until the transaction ends.
pub(super) fn lock(session: &mut Session, tables: &[Table]) -> Result<()> {
    const AT_ONCE: usize = 500;
    for some in tables.chunks(AT_ONCE) {
        let names: Vec<String> = some.iter().map(|table| format!("only {}", table.name)).collect();
        session.run("lock the tables for reading", &format!("lock table {} in access share mode", names.join(", ")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_has_the_value_that_the_dump_sets() {
        let set = |text: &str| set_to(text);
        assert_eq!(set("SELECT pg_catalog.setval('public.s', 42, true);\n"), Some("42, called".to_owned()));
        assert_eq!(set("SELECT pg_catalog.setval('\"o''b\".\"a, ''b\"', -1, false);\n"), Some("-1".to_owned()));
        assert_eq!(set("SELECT 1"), None);
    }
}
