//! Tables are counted and hashed without a lock that lasts: once `pg_dump` has its own locks, ours are let go, and each table
//! is locked for no longer than it is read. Whoever wants to change one then waits as long as for `pg_dump` alone, and for
//! one table at most.
//!
//! What is changed after `pg_dump` ended and before it was read can't be read as it was: a snapshot knows nothing of the
//! rows of a table that was rewritten. So each table has a mark, which is looked at while it is locked.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Deserialize;

use super::{
    super::{Result, SourceError},
    session::Session,
    sum::{Counted, Sum, read},
    table::Table,
};

/// What is rolled back to, with the locks that were taken since.
const SAVEPOINT: &str = "locks";
/// How often a table is asked for that others hold.
const ATTEMPTS: usize = 4;

/// What tables were while they were locked, by their names.
pub(super) struct Marks(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Mark {
    name: String,
    mark: String,
}

#[derive(Deserialize)]
struct Answer {
    counted: Option<Counted>,
    #[serde(default)]
    busy: bool,
}

/// The mark of a table, as it is now and not as it was in the snapshot: where its rows lie, and what its columns are
/// called. A column more changes nothing of those that are read.
fn mark(table: &Table) -> String {
    let Table { oid, numbers, .. } = table;
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!(
        "pg_catalog.md5(pg_catalog.concat_ws(' ', pg_catalog.pg_relation_filenode({oid}), (select pg_catalog.string_agg(\
         pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, {oid}, n), ', ' order by n) \
         from pg_catalog.unnest('{{{}}}'::pg_catalog.int4[]) n)))",
        numbers.join(",")
    )
}

impl Marks {
    /// Begins what [`of`](Self::of) ends: locks that are taken now can be let go.
    pub(super) fn begin(session: &mut Session) -> Result<()> {
        session.run("begin to lock", &format!("savepoint {SAVEPOINT}"))
    }

    /// The marks of `tables`, which are locked. None if the server lets this role run no blocks, which guard the reading.
    pub(super) fn of(session: &mut Session, tables: &[Table]) -> Result<Option<Self>> {
        const AT_ONCE: usize = 200;
        let may = "select to_json(coalesce((select has_language_privilege(oid, 'usage') from pg_language \
                   where lanname = 'plpgsql'), false))";
        if !session.one::<bool>("ask for the language of blocks", may)? {
            return Ok(None);
        }
        let mut marks = BTreeMap::new();
        for some in tables.chunks(AT_ONCE) {
            let mut sql = String::from("select json_build_object('name', name, 'mark', mark) from (values ");
            for (at, table) in some.iter().enumerate() {
                let comma = if at > 0 { ", " } else { "" };
                let _ = write!(sql, "{comma}({}, {})", literal(&table.name), mark(table));
            }
            sql.push_str(") marks(name, mark)");
            let found = session.ask::<Mark>("mark the tables", &sql)?;
            marks.extend(found.into_iter().map(|Mark { name, mark }| (name, mark)));
        }
        Ok(Some(Self(marks)))
    }

    /// Lets the locks go.
    pub(super) fn let_go(session: &mut Session) -> Result<()> {
        session.run("let go of the locks", &format!("rollback to savepoint {SAVEPOINT}"))
    }

    /// Runs what counts rows of a table while that is locked; `None` if it is no longer what it was.
    pub(super) fn ask(&self, session: &mut Session, table: &Table, counting: &str) -> Result<Option<Sum>> {
        let Some(was) = self.0.get(&table.name) else { return Ok(None) };
        let doing = format!("take the fingerprint of {}", table.name);
        // What is raised takes the answer out of the inner block, and the lock ends with that.
        let block = format!(
            "do {outer} declare answer text; begin begin \
             lock table only {name} in access share mode; \
             if {now} is distinct from {was} then raise exception sqlstate 'SR002'; end if; \
             execute {inner}{counting}{inner} into answer; \
             raise exception sqlstate 'SR001' using message = answer; \
             exception when sqlstate 'SR001' then \
             perform pg_catalog.set_config('strongroom.answer', '{{\"counted\": ' || sqlerrm || '}}', false); \
             when lock_not_available then perform pg_catalog.set_config('strongroom.answer', '{{\"busy\": true}}', false); \
             when sqlstate 'SR002' or undefined_table or undefined_column or invalid_schema_name then \
             perform pg_catalog.set_config('strongroom.answer', '{{}}', false); end; end {outer}",
            name = table.name,
            now = mark(table),
            was = literal(was),
            outer = tag("outer", &[&table.name, counting]),
            inner = tag("inner", &[counting]),
        );
        for _ in 0..ATTEMPTS {
            session.run(&doing, &block)?;
            let answer: Answer = session.one(&doing, "select current_setting('strongroom.answer')")?;
            if !answer.busy {
                let Some(counted) = answer.counted else { return Ok(None) };
                let sum = read(&counted);
                return sum.map(Some).ok_or_else(|| SourceError::new("its fingerprint is not understood", &table.name));
            }
        }
        // Somebody changes it for so long that it will be another table.
        Ok(None)
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A dollar quote that none of these texts ends.
fn tag(word: &str, texts: &[&str]) -> String {
    let tags = (0..).map(|no: u32| format!("${word}{no}$"));
    let free = |tag: &String| !texts.iter().any(|text| text.contains(tag.as_str()));
    tags.into_iter().find(free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_quote() {
        assert_eq!(tag("outer", &["x"]), "$outer0$");
        assert_eq!(tag("outer", &["a$outer0$", "$outer1$"]), "$outer2$");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
