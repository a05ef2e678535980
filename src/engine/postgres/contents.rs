//! The contents of an archive, as `pg_restore --list --verbose` prints them, and what of them one table needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// What `--table` can name, by the kinds that archives have.
const RELATIONS: [&str; 4] = ["TABLE", "FOREIGN TABLE", "MATERIALIZED VIEW", "VIEW"];
/// Kinds of several words. Those that end in another kind's first word have no object of their own: their class is 0.
const LONG: [&str; 12] = [
    "TABLE ATTACH",
    "TABLE DATA",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "MATERIALIZED VIEW DATA",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "SHELL TYPE",
    "SECURITY LABEL",
    "FOREIGN DATA WRAPPER",
    "FOREIGN SERVER",
    "ACCESS METHOD",
];

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: u64,
    kind: String,
    /// Schema, name and owner, as the list has them: with blanks between, and not quoted.
    rest: String,
    needs: BTreeSet<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Contents(Vec<Entry>);

/// What is restored for one table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Picked {
    /// The table, then its partitions, as schema and name.
    pub(super) tables: Vec<(String, String)>,
    /// Entries of the table and its partitions themselves, their sequences among them.
    own: BTreeSet<u64>,
    /// Entries that they need, and which may be there already.
    needed: BTreeSet<u64>,
}

/// Something that may be there already: its entry, kind, schema and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) id: u64,
    pub(super) kind: String,
    pub(super) schema: String,
    pub(super) name: String,
}

impl Needed {
    /// For people.
    pub(super) fn told(&self) -> String {
        let kind = self.kind.to_ascii_lowercase();
        if self.kind == "SCHEMA" || self.schema == "-" {
            format!("{kind} {}", self.name)
        } else {
            format!("{kind} {}.{}", self.schema, self.name)
        }
    }
}

impl Contents {
    /// Reads the list.
    pub(super) fn of(list: &str) -> Self {
        let mut all: Vec<Entry> = Vec::new();
        for line in list.lines() {
            if let Some(needs) = line.strip_prefix(";\tdepends on:") {
                let needs = needs.split_whitespace().filter_map(|id| id.parse::<u64>().ok());
                if let Some(entry) = all.last_mut() {
                    entry.needs.extend(needs);
                }
            } else if let Some(entry) = entry(line) {
                all.push(entry);
            }
        }
        Self(all)
    }

    fn get(&self, id: u64) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.id == id)
    }

    /// Who of those of these kinds is called so. Names with blanks leave a doubt; then the longest name that fits.
    fn find(&self, kinds: &[&str], schema: &str, name: &str) -> Option<u64> {
        let begins = format!("{schema} {name} ");
        let fitting = self.0.iter().filter(|entry| kinds.contains(&entry.kind.as_str()));
        let fitting = fitting.filter_map(|entry| Some((entry.rest.strip_prefix(&begins)?.len(), entry.id)));
        fitting.min().map(|(_, id)| id)
    }

    /// Partitions with their parents and what attaches them.
    fn attached(&self) -> Vec<(u64, u64, u64)> {
        let attached = self.0.iter().filter(|entry| entry.kind == "TABLE ATTACH").filter_map(|entry| {
            let mut two = entry.needs.iter().filter_map(|id| self.get(*id));
            let (a, b) = (two.next()?, two.next()?);
            // What attaches a partition is called like it.
            let (child, parent) = if a.rest == entry.rest { (a, b) } else { (b, a) };
            Some((child.id, parent.id, entry.id))
        });
        attached.collect()
    }

    /// The same as `pg_dump` wrote it before version 14: what makes a partition attaches it as well. Tables that need another
    /// for something else are taken for partitions; one too many is better than rows that are missing.
    fn attached_at_once(&self) -> Vec<(u64, u64, u64)> {
        let tables = || self.0.iter().filter(|entry| RELATIONS.contains(&entry.kind.as_str()));
        let all = tables().flat_map(|child| tables().map(move |parent| (child, parent)));
        all.filter(|(child, parent)| child.needs.contains(&parent.id)).map(|(a, b)| (a.id, b.id, a.id)).collect()
    }

    /// What the table needs; nothing if the archive has no such table. `known` are names of tables, for those with blanks.
    pub(super) fn pick(&self, table: (&str, &str), partitioned: bool, known: &[(String, String)]) -> Option<Picked> {
        let wanted = self.find(&RELATIONS, table.0, table.1)?;
        let apart = self.attached();
        let attached = if apart.is_empty() && partitioned { self.attached_at_once() } else { apart.clone() };
        let mut picked = Picked { tables: vec![(table.0.to_owned(), table.1.to_owned())], ..Picked::default() };
        let mut tables = vec![wanted];
        let mut at = 0;
        while let Some(parent) = tables.get(at).copied() {
            at += 1;
            for (child, _, attach) in attached.iter().filter(|(child, of, _)| *of == parent && *child != parent) {
                if picked.own.insert(*attach) {
                    tables.push(*child);
                    picked.tables.extend(self.get(*child).map(|entry| place(entry, known)));
                }
            }
        }
        picked.own.extend(&tables);
        let of_them = |entry: &&Entry| entry.needs.iter().any(|id| tables.contains(id));
        for entry in self.0.iter().filter(of_them) {
            if matches!(entry.kind.as_str(), "SEQUENCE" | "DEFAULT" | "TABLE DATA" | "MATERIALIZED VIEW DATA") {
                picked.own.insert(entry.id);
            }
        }
        self.close(&mut picked, &apart);
        Some(picked)
    }

    /// Adds what is needed, and what that needs. A partition does not need its parent: it is attached later, if at all.
    fn close(&self, picked: &mut Picked, attached: &[(u64, u64, u64)]) {
        let mut open: Vec<u64> = picked.own.iter().copied().collect();
        while let Some(id) = open.pop() {
            for needed in self.get(id).into_iter().flat_map(|entry| &entry.needs) {
                let is_parent = attached.iter().any(|(child, parent, _)| *child == id && parent == needed);
                if !is_parent && !picked.own.contains(needed) && picked.needed.insert(*needed) {
                    open.push(*needed);
                }
            }
        }
    }

    /// What may be there already.
    pub(super) fn needed(&self, picked: &Picked) -> Vec<Needed> {
        picked.needed.iter().filter_map(|id| self.get(*id)).map(named).collect()
    }

    /// The table's own, which must not be there.
    pub(super) fn own(&self, picked: &Picked) -> Vec<Needed> {
        let own = picked.own.iter().filter_map(|id| self.get(*id));
        own.filter(|entry| entry.kind == "SEQUENCE" || RELATIONS.contains(&entry.kind.as_str())).map(named).collect()
    }

    /// The lines of a list for `pg_restore -L`, without what is `there`.
    pub(super) fn list(&self, picked: &Picked, there: &BTreeSet<u64>) -> String {
        let mut chosen: BTreeSet<u64> =
            picked.own.iter().chain(picked.needed.iter().filter(|id| !there.contains(id))).copied().collect();
        // What says something of what is chosen, and of nothing else.
        let says = ["COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY", "SEQUENCE SET"];
        for entry in self.0.iter().filter(|entry| says.contains(&entry.kind.as_str())) {
            if !entry.needs.is_empty() && entry.needs.iter().all(|id| chosen.contains(id)) {
                chosen.insert(entry.id);
            }
        }
        let mut list = String::new();
        for entry in self.0.iter().filter(|entry| chosen.contains(&entry.id)) {
            // Writing to memory does not fail.
            let _ = writeln!(list, "{}; 0 0 {} {}", entry.id, entry.kind, entry.rest);
        }
        list
    }
}

fn entry(line: &str) -> Option<Entry> {
    let (id, rest) = line.split_once("; ")?;
    let mut words = rest.splitn(3, ' ');
    let (class, _, rest) = (words.next()?, words.next()?, words.next()?);
    let long = LONG.iter().find(|kind| {
        let begins = rest.strip_prefix(**kind).is_some_and(|more| more.starts_with(' '));
        // A table in a schema called DATA has a class.
        begins && (class == "0" || !(kind.starts_with("TABLE ") || kind.starts_with("SEQUENCE ")))
    });
    let kind = match long {
        Some(kind) => (*kind).to_owned(),
        None => rest.split(' ').next()?.to_owned(),
    };
    let rest = rest.get(kind.len() + 1..).unwrap_or_default().to_owned();
    Some(Entry { id: id.parse().ok()?, kind, rest, needs: BTreeSet::new() })
}

/// Schema and name of an entry, as far as blanks in them allow.
fn named(entry: &Entry) -> Needed {
    let (schema, rest) = entry.rest.split_once(' ').unwrap_or_default();
    let name = rest.rsplit_once(' ').map_or(rest, |(name, _)| name);
    Needed { id: entry.id, kind: entry.kind.clone(), schema: schema.to_owned(), name: name.to_owned() }
}

fn place(entry: &Entry, known: &[(String, String)]) -> (String, String) {
    let fits = |(schema, name): &&(String, String)| entry.rest.starts_with(&format!("{schema} {name} "));
    known.iter().filter(fits).max_by_key(|(schema, name)| schema.len() + name.len()).cloned().unwrap_or_else(|| {
        let named = named(entry);
        (named.schema, named.name)
    })
}

/// Schema and name out of the label that a fingerprint has for a table, where names are quoted if they must be.
pub(super) fn of_label(label: &str) -> Option<(String, String)> {
    let part = |text: &str| -> Option<(String, String)> {
        let Some(inner) = text.strip_prefix('"') else {
            let end = text.find('.').unwrap_or(text.len());
            return Some((text.get(..end)?.to_owned(), text.get(end..)?.to_owned()));
        };
        let (mut name, mut rest) = (String::new(), inner);
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            let Some(more) = after.strip_prefix('"') else { return Some((name, after.to_owned())) };
            name.push('"');
            rest = more;
        }
    };
    let (schema, rest) = part(label)?;
    let (name, rest) = part(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((schema, name))
}

/// What asks which of `all` are there; it gives the entries' numbers. The session must have no search path, like that of the dump.
pub(super) fn question(all: &[Needed], identifier: fn(&str) -> String, literal: fn(&str) -> String) -> Option<String> {
    let mut asked: BTreeMap<u64, String> = BTreeMap::new();
    for one in all {
        let place = format!("{}.{}", identifier(&one.schema), identifier(&one.name));
        let there = match one.kind.as_str() {
            "SCHEMA" => format!("exists (select from pg_namespace where nspname = {})", literal(&one.name)),
            "TYPE" | "DOMAIN" | "SHELL TYPE" => format!("to_regtype({}) is not null", literal(&place)),
            "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => {
                format!("to_regclass({}) is not null", literal(&place))
            }
            // By its text: `to_regprocedure` fails where an argument's type is missing.
            "FUNCTION" | "PROCEDURE" => {
                let (name, arguments) = one.name.split_once('(').unwrap_or((&one.name, ")"));
                format!(
                    "exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = {} \
                     and p.proname = {} and oidvectortypes(p.proargtypes) = {})",
                    literal(&one.schema),
                    literal(name),
                    literal(arguments.trim_end_matches(')'))
                )
            }
            "EXTENSION" => format!("exists (select from pg_extension where extname = {})", literal(&one.name)),
            _ => continue,
        };
        asked.insert(one.id, there);
    }
    let rows: Vec<String> = asked.iter().map(|(id, there)| format!("({id}, {there})")).collect();
    (!rows.is_empty())
        .then(|| format!("select to_json(id) from (values {}) as asked(id, there) where there", rows.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = ";\n; Selected TOC Entries:\n;\n3408; 1262 16384 DATABASE - rich postgres\n\
        6; 2615 16385 SCHEMA - app2 postgres\n3409; 0 0 COMMENT - SCHEMA app2 postgres\n;\tdepends on: 6\n\
        7; 2615 16386 SCHEMA - odd S postgres\n851; 1247 16388 TYPE app2 mood postgres\n;\tdepends on: 6\n\
        228; 1255 16399 FUNCTION app2 next_no(text, integer) postgres\n;\tdepends on: 6\n\
        217; 1259 16400 SEQUENCE app2 free_seq postgres\n;\tdepends on: 6\n\
        221; 1259 16407 TABLE app2 orders postgres\n;\tdepends on: 217 228 6 851\n\
        3410; 0 0 COMMENT app2 TABLE orders postgres\n;\tdepends on: 221\n\
        219; 1259 16405 SEQUENCE app2 orders_id_seq postgres\n;\tdepends on: 221 6\n\
        3412; 0 0 SEQUENCE OWNED BY app2 orders_id_seq postgres\n;\tdepends on: 219\n\
        222; 1259 16419 TABLE app2 parts postgres\n;\tdepends on: 6 851\n\
        224; 1259 16425 TABLE odd S parts_2 postgres\n;\tdepends on: 851 7 222\n\
        300; 1259 16499 TABLE DATA orders postgres\n\
        3242; 0 0 TABLE ATTACH odd S parts_2 postgres\n;\tdepends on: 224 222\n\
        3246; 2604 16411 DEFAULT app2 orders id postgres\n;\tdepends on: 221 219 221\n\
        3398; 0 16407 TABLE DATA app2 orders postgres\n;\tdepends on: 221\n\
        3400; 0 16425 TABLE DATA odd S parts_2 postgres\n;\tdepends on: 224\n\
        3413; 0 0 SEQUENCE SET app2 free_seq postgres\n;\tdepends on: 217\n\
        3251; 1259 16418 INDEX app2 orders_t_idx postgres\n;\tdepends on: 221\n";

    fn ids(list: &str) -> Vec<u64> {
        list.lines().map(|line| line.split(';').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn a_table_takes_along_what_it_needs_and_leaves_what_is_there() {
        let contents = Contents::of(LIST);
        let picked = contents.pick(("app2", "orders"), false, &[]).unwrap();
        let all = ids(&contents.list(&picked, &BTreeSet::new()));
        assert_eq!(all, [6, 3409, 851, 228, 217, 221, 3410, 219, 3412, 3246, 3398, 3413]);
        // A sequence that is there keeps its value.
        let fewer = ids(&contents.list(&picked, &BTreeSet::from([6, 217, 851])));
        assert_eq!(fewer, [228, 221, 3410, 219, 3412, 3246, 3398]);
        let told: Vec<String> = contents.needed(&picked).iter().map(Needed::told).collect();
        assert!(told.contains(&"schema app2".to_owned()), "{told:?}");
        assert!(told.contains(&"function app2.next_no(text, integer)".to_owned()), "{told:?}");
        assert!(contents.pick(("app2", "order"), false, &[]).is_none());
        assert!(
            contents.pick(("DATA", "orders"), false, &[]).is_some_and(|picked| picked.own == BTreeSet::from([300]))
        );
    }

    #[test]
    fn a_partitioned_table_takes_its_partitions_and_a_partition_no_parent() {
        let contents = Contents::of(LIST);
        let known = [("odd S".to_owned(), "parts_2".to_owned())];
        let picked = contents.pick(("app2", "parts"), true, &known).unwrap();
        assert_eq!(picked.tables, [("app2".to_owned(), "parts".to_owned()), known[0].clone()]);
        assert_eq!(ids(&contents.list(&picked, &BTreeSet::new())), [6, 3409, 7, 851, 222, 224, 3242, 3400]);
        let alone = contents.pick(("odd S", "parts_2"), true, &known).unwrap();
        assert_eq!(ids(&contents.list(&alone, &BTreeSet::new())), [6, 3409, 7, 851, 224, 3400]);
        // As versions before 14 wrote it.
        let older: String =
            LIST.split_inclusive('\n').filter(|line| !line.contains("3242") && !line.ends_with(" 224 222\n")).collect();
        let contents = Contents::of(&older);
        let picked = contents.pick(("app2", "parts"), true, &known).unwrap();
        assert_eq!(ids(&contents.list(&picked, &BTreeSet::new())), [6, 3409, 7, 851, 222, 224, 3400]);
    }

    #[test]
    fn labels_are_read_as_the_server_quotes_them() {
        let two = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(of_label("public.t"), two("public", "t"));
        assert_eq!(of_label("\"odd S\".\"O\"\"d.d\""), two("odd S", "O\"d.d"));
        assert_eq!(of_label("t"), None);
        assert_eq!(of_label("a.b.c"), None);
    }
}
