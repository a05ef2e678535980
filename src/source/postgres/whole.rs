//! Holds what `pg_dump` wrote against what the catalog has within the same snapshot: whatever an option, a wrapper, a
//! right or an extension left out is told by name.
//!
//! Rows are what nobody can make again: tables, their data, sequences and large objects that are missing make no snapshot.
//! Anything else is a warning, since a newer `pg_dump` may call it otherwise.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    super::{Result, SourceError},
    archive::{Contents, Rows},
    fingerprint::Taken,
    session::Session,
    table::Table,
};
use crate::model::TableFingerprint;

/// How many are named before the rest are counted.
const NAMED: usize = 8;
/// Kinds without which a backup is none.
const NEEDED: [&str; 4] = ["TABLE", "FOREIGN TABLE", "TABLE DATA", "SEQUENCE SET"];

/// What an archive must hold, by the words of `pg_dump`. Members of extensions come with these.
const OBJECTS: &str = r"
with ns as (select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'),
member as (select classid, objid from pg_depend where deptype = 'e'),
rel as (select c.oid, c.relname, c.relkind, ns.nspname from pg_class c join ns on ns.oid = c.relnamespace
  where c.relpersistence <> 't' and not exists (select from member m where m.classid = 'pg_class'::regclass and m.objid = c.oid))
select json_build_object('kind', kind, 'schema', schema, 'name', name) from (
  select case relkind when 'r' then 'TABLE' when 'p' then 'TABLE' when 'f' then 'FOREIGN TABLE' when 'v' then 'VIEW'
      when 'm' then 'MATERIALIZED VIEW' else 'SEQUENCE SET' end as kind, nspname as schema, relname as name
    from rel where relkind in ('r', 'p', 'f', 'v', 'm', 'S')
  union all select 'SCHEMA', '', nspname from ns where nspname <> 'public'
    and not exists (select from member m where m.classid = 'pg_namespace'::regclass and m.objid = ns.oid)
  union all select 'EXTENSION', '', extname from pg_extension where extname <> 'plpgsql'
  union all select 'FUNCTION', ns.nspname, split_part(p.proname, '(', 1) from pg_proc p join ns on ns.oid = p.pronamespace
    where not exists (select from member m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')
  union all select case t.typtype when 'd' then 'DOMAIN' else 'TYPE' end, ns.nspname, t.typname
    from pg_type t join ns on ns.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
    where (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
      and not exists (select from member m where m.classid = 'pg_type'::regclass and m.objid = t.oid)
  union all select 'INDEX', ns.nspname, c.relname from pg_index i join rel on rel.oid = i.indrelid
    join pg_class c on c.oid = i.indexrelid join ns on ns.oid = c.relnamespace
    where rel.relkind in ('r', 'm', 'p') and (i.indisvalid or rel.relkind = 'p')
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
  union all select 'FK CONSTRAINT', rel.nspname, rel.relname || ' ' || k.conname from pg_constraint k
    join rel on rel.oid = k.conrelid where k.contype = 'f' and coalesce((to_json(k)->>'conparentid')::bigint, 0) = 0
  union all select 'TRIGGER', rel.nspname, rel.relname || ' ' || t.tgname from pg_trigger t
    join rel on rel.oid = t.tgrelid where not t.tgisinternal and coalesce((to_json(t)->>'tgparentid')::bigint, 0) = 0
  union all select 'POLICY', rel.nspname, rel.relname || ' ' || p.polname from pg_policy p join rel on rel.oid = p.polrelid
  union all select 'EVENT TRIGGER', '', evtname from pg_event_trigger e
    where not exists (select from member m where m.classid = 'pg_event_trigger'::regclass and m.objid = e.oid)
) found";

/// What no dump has: rows in tables of extensions that these don't call configuration, what was made in schemas of the
/// server's own, indexes that are not valid.
const LEFT_OUT: &str = r"
select json_build_object('kind', kind, 'schema', schema, 'name', name) from (
  select 'rows of an extension''s table' as kind, n.nspname as schema, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    join pg_extension e on e.oid = d.refobjid
    where c.relkind = 'r' and not (c.oid = any (coalesce(e.extconfig, '{}'))) and pg_relation_size(c.oid) > 0
  union all select 'a table of the server''s own schemas', n.nspname, c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.oid >= 16384 and c.relpersistence = 'p'
      and (n.nspname = 'information_schema' or n.nspname = 'pg_catalog')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  union all select 'an index that is not valid', n.nspname, c.relname
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_'
) found";

const LARGE_OBJECTS: &str = "select json_build_object('count', count(*)) from pg_largeobject_metadata";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Object {
    kind: String,
    schema: String,
    name: String,
}

impl Object {
    fn told(&self) -> String {
        let Self { kind, schema, name } = self;
        let dot = if schema.is_empty() { "" } else { "." };
        format!("{} {schema}{dot}{name}", kind.to_lowercase())
    }
}

/// What the catalog has.
#[derive(Default)]
pub(super) struct Expected {
    /// With how many of one name there must be.
    objects: BTreeMap<Object, u64>,
    /// Tables with rows, as the fingerprint calls them and as they are.
    tables: Vec<(String, (String, String))>,
    large_objects: Option<u64>,
    never: Vec<Object>,
}

impl Expected {
    /// Asks the catalog, in the session's snapshot.
    pub(super) fn ask(session: &mut Session, tables: &[Table]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let mut objects = BTreeMap::new();
        for object in session.ask::<Object>("list what a dump must hold", OBJECTS)? {
            *objects.entry(object).or_default() += 1;
        }
        let Count { count } = session.one("count the large objects", LARGE_OBJECTS)?;
        Ok(Self {
            objects,
            tables: tables.iter().map(|table| (table.name.clone(), table.place.clone())).collect(),
            large_objects: Some(count),
            never: session.ask("list what no dump holds", LEFT_OUT)?,
        })
    }

    /// Of tables that were changed before they were counted, the rows that were dumped are what is known.
    pub(super) fn changed(&self, taken: &mut Taken, written: &Contents, database: &str) -> Option<String> {
        let all = &taken.changed;
        for (name, place) in self.tables.iter().filter(|(name, _)| all.contains(name)) {
            if let Rows::Counted(rows) = written.rows(place) {
                taken
                    .fingerprint
                    .tables
                    .insert(name.clone(), TableFingerprint { rows, hash: None, sample: None, columns: None });
            }
        }
        let first = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = all.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!all.is_empty()).then(|| {
            format!(
                "{database}: others changed these tables after they were dumped and before they were hashed, so a drill \
                 can compare no more than how many rows they have: {first}{more}"
            )
        })
    }

    /// What no dump of this database holds.
    pub(super) fn left_out(&self, database: &str) -> Option<String> {
        (!self.never.is_empty()).then(|| format!("{database}: not in the dump: {}", named(&self.never)))
    }

    /// What the archives lack: an error if it is what nobody can make again, else a warning.
    pub(super) fn held_against(
        &self,
        written: &Contents,
        rows: Option<&BTreeMap<String, TableFingerprint>>,
        database: &str,
    ) -> Result<Option<String>> {
        let (mut lost, mut missing) = (Vec::new(), Vec::new());
        for (object, count) in &self.objects {
            let Object { kind, schema, name } = object;
            let kinds: &[&str] = if kind == "FUNCTION" { &["FUNCTION", "PROCEDURE", "AGGREGATE"] } else { &[kind] };
            if kinds.iter().map(|kind| written.count(kind, schema, name)).sum::<u64>() < *count {
                if NEEDED.contains(&kind.as_str()) { lost.push(object.told()) } else { missing.push(object.clone()) }
            }
        }
        for (name, place) in &self.tables {
            let there = rows.and_then(|rows| rows.get(name)).map(|table| table.rows);
            match (written.rows(place), there) {
                (Rows::Absent, _) => lost.push(format!("the rows of {name}")),
                (Rows::Counted(dumped), Some(there)) if dumped != there => {
                    lost.push(format!("{} of the {there} rows of {name} (it has {dumped})", there.abs_diff(dumped)));
                }
                _ => {}
            }
        }
        if let Some(count) = self.large_objects.filter(|count| *count > written.large_objects()) {
            lost.push(format!("{} of {count} large objects", count - written.large_objects()));
        }
        if !lost.is_empty() {
            let more = lost.len().saturating_sub(NAMED);
            lost.truncate(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let what = format!(
                "pg_dump succeeded, but its archive lacks {}{more}; find out what changes its options or its rights here",
                lost.join(", ")
            );
            return Err(SourceError::new(what, database));
        }
        Ok((!missing.is_empty()).then(|| format!("{database}: pg_dump left out {}", named(&missing))))
    }
}

fn named(objects: &[Object]) -> String {
    let names: Vec<String> = objects.iter().take(NAMED).map(Object::told).collect();
    let more = objects.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}
