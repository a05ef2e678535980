//! What a database held at the instant of its dump, as its own server told: what a restored one is held against.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// So many rows of all tables together are in samples: 200 KB of each snapshot.
const SAMPLES: usize = 16 << 10;
/// Fewer rows of a table say nothing.
const LEAST: usize = 64;

/// What one table held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFingerprint {
    /// Rows.
    pub rows: u64,
    /// A hash of all rows that does not depend on their order, in lower-case hex; `None` if only rows were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// A sample of its rows by their hashes, by which two times can be held against each other. Not compared after a
    /// restore: it follows from what is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::sample::lenient")]
    pub sample: Option<super::Sample>,
    /// Its columns with their types, where [`Fingerprint::objects`] does not tell them. Not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
}

/// What one database held. Names are as the server spells them, schema and table joined by a dot where it has schemas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The database.
    pub database: String,
    /// The streams of the snapshot that bring it back.
    #[serde(default)]
    pub streams: Vec<super::Name>,
    /// The server and its version, the encoding, the collation and the like: what to restore it with, not compared.
    #[serde(default)]
    pub server: BTreeMap<String, String>,
    /// The tables.
    #[serde(default)]
    pub tables: BTreeMap<String, TableFingerprint>,
    /// Whatever else must be equal after a restore, by name: `sequence public.orders_id_seq`, `extension hstore`.
    #[serde(default)]
    pub objects: BTreeMap<String, String>,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The table, or the name of the object.
    pub name: String,
    /// What it was; `None` if it was not there.
    pub expected: Option<String>,
    /// What it is; `None` if it is not there.
    pub actual: Option<String>,
}

impl Comparison {
    /// Whether it is as it was.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.expected.is_some() && self.expected == self.actual
    }
}

impl TableFingerprint {
    /// For people: `3 rows, 8f3a…`; the hash only where both sides have one.
    fn told(&self, hashed: bool) -> String {
        match &self.hash {
            Some(hash) if hashed => format!("{} rows, {hash}", self.rows),
            _ => format!("{} rows", self.rows),
        }
    }
}

impl Fingerprint {
    /// Makes samples smaller where there are many tables: they are kept with every snapshot.
    pub fn bound_samples(&mut self) {
        let mut sizes: Vec<u64> = self.tables.values().map(|table| table.rows).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let least = sizes.get(SAMPLES / LEAST).copied();
        let each = (SAMPLES / sizes.len().max(1)).clamp(LEAST, super::sample::SAMPLED);
        for table in self.tables.values_mut() {
            let kept = table.sample.take().filter(|_| least.is_none_or(|least| table.rows > least));
            table.sample = kept.map(|sample| sample.thinned(each));
        }
    }

    /// Holds `actual` against this one: every table and every object of either, in order.
    #[must_use]
    pub fn compare(&self, actual: &Self) -> Vec<Comparison> {
        let tables: BTreeSet<&String> = self.tables.keys().chain(actual.tables.keys()).collect();
        let objects: BTreeSet<&String> = self.objects.keys().chain(actual.objects.keys()).collect();
        let table = |name: &String| {
            let (was, is) = (self.tables.get(name), actual.tables.get(name));
            let hashed = [was, is].into_iter().flatten().all(|table| table.hash.is_some());
            let told = |table: Option<&TableFingerprint>| table.map(|table| table.told(hashed));
            Comparison { name: name.clone(), expected: told(was), actual: told(is) }
        };
        let object = |name: &String| {
            let (expected, actual) = (self.objects.get(name).cloned(), actual.objects.get(name).cloned());
            Comparison { name: name.clone(), expected, actual }
        };
        tables.into_iter().map(table).chain(objects.into_iter().map(object)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(tables: &[(&str, u64, Option<&str>)], objects: &[(&str, &str)]) -> Fingerprint {
        let table = |rows, hash: Option<&str>| TableFingerprint {
            rows,
            hash: hash.map(str::to_owned),
            sample: None,
            columns: None,
        };
        Fingerprint {
            tables: tables.iter().map(|(name, rows, hash)| ((*name).to_owned(), table(*rows, *hash))).collect(),
            objects: objects.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Fingerprint::default()
        }
    }

    fn unequal(was: &Fingerprint, is: &Fingerprint) -> Vec<String> {
        was.compare(is).into_iter().filter(|c| !c.equal()).map(|c| c.name).collect()
    }

    #[test]
    fn every_difference_is_told_by_name() {
        let was = print(&[("a", 1, Some("x")), ("b", 2, Some("y")), ("c", 3, None)], &[("sequence s", "7")]);
        assert_eq!(unequal(&was, &was), [""; 0]);
        let is = print(&[("a", 1, Some("z")), ("c", 3, Some("h")), ("d", 0, None)], &[("sequence s", "8")]);
        assert_eq!(unequal(&was, &is), ["a", "b", "d", "sequence s"]);
    }

    #[test]
    fn where_one_side_has_no_hash_rows_decide() {
        let (was, is) = (print(&[("a", 1, None)], &[]), print(&[("a", 1, Some("x"))], &[]));
        assert_eq!(unequal(&was, &is), [""; 0]);
        assert_eq!(unequal(&was, &print(&[("a", 2, Some("x"))], &[])), ["a"]);
    }

    #[test]
    fn what_was_and_what_is_are_told_in_words() {
        let was = print(&[("a", 1, Some("x")), ("b", 2, None)], &[]);
        let is = print(&[("a", 3, Some("z")), ("b", 2, Some("h"))], &[]);
        let told: Vec<_> = was.compare(&is).into_iter().map(|c| (c.expected.unwrap(), c.actual.unwrap())).collect();
        let rows = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(told, [rows("1 rows, x", "3 rows, z"), rows("2 rows", "2 rows")]);
        let nowhere = Comparison { name: "a".to_owned(), expected: None, actual: None };
        assert!(!nowhere.equal());
    }

    #[test]
    fn samples_of_many_tables_together_stay_within_a_bound() {
        let sample = |rows: u64| super::super::Sample::of((0..rows).map(|n| n << 40), u64::MAX, 1024);
        let of = |tables: u64, rows: &dyn Fn(u64) -> u64| {
            let mut print = Fingerprint::default();
            for no in 0..tables {
                let table = TableFingerprint { rows: rows(no), hash: None, sample: Some(sample(1024)), columns: None };
                print.tables.insert(format!("t{no:04}"), table);
            }
            print.bound_samples();
            print.tables.values().map(|t| t.sample.as_ref().map(super::super::Sample::len)).collect::<Vec<_>>()
        };
        assert_eq!(of(1, &|_| 5), [Some(1024)], "one table has as large a sample as there is");
        assert_eq!(of(32, &|_| 5), [Some(512); 32]);
        assert_eq!(of(256, &|_| 5), [Some(64); 256], "fewer rows say nothing");
        // Of more tables, those with the most rows.
        let many = of(300, &|no| no);
        assert_eq!(many.iter().filter(|sample| sample.is_some()).count(), 256);
        assert!(many[..44].iter().all(Option::is_none) && many[44..].iter().all(|one| *one == Some(64)));
    }
}
