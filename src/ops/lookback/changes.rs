//! How two snapshots of one source differ, in numbers.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    model::size,
    signal::{Facts, Refs},
};

/// So many things of a kind are told one by one.
const TOLD: usize = 20;

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of thing: `table`, `rows`, `contents`, `columns`, `sequence`, `role`, `branches`, `tags`, `files`, `stream` or
    /// `bytes`.
    pub what: String,
    /// Which; nothing where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it was; nothing where it was not there.
    pub before: Option<String>,
    /// What it is; nothing where it is gone.
    pub after: Option<String>,
}

/// What is told first: the greatest first.
type Weighed = (u64, Change);

fn change(what: &str, name: &str, before: Option<String>, after: Option<String>) -> Change {
    Change { what: what.to_owned(), name: name.to_owned(), before, after }
}

/// What became of `before`. Of many things of a kind, the greatest changes, and how many more there are.
#[must_use]
pub fn changes(before: &Facts, after: &Facts) -> Vec<Change> {
    let mut all = Vec::new();
    let mut take = |what: &str, mut of: Vec<Weighed>| {
        of.sort_by_key(|one| std::cmp::Reverse(one.0));
        let more = of.len().saturating_sub(TOLD);
        all.extend(of.into_iter().take(TOLD).map(|(_, change)| change));
        if more > 0 {
            all.push(change(what, "more", None, Some(format!("{more} more"))));
        }
    };
    take("table", tables(before, after));
    take("sequence", sequences(before, after));
    take("role", roles(before, after));
    take("branches", refs(before.refs.as_ref(), after.refs.as_ref()));
    take("files", files(before, after));
    if before.tables.is_none() && before.refs.is_none() && before.files.is_none() {
        take("stream", parts(before, after));
    }
    if before.bytes != after.bytes {
        all.push(change("bytes", "", Some(size::human(before.bytes)), Some(size::human(after.bytes))));
    }
    all
}

fn tables(before: &Facts, after: &Facts) -> Vec<Weighed> {
    let (Some(old), Some(new)) = (&before.tables, &after.tables) else { return Vec::new() };
    let rows = |n: u64| Some(if n == 1 { "1 row".to_owned() } else { format!("{n} rows") });
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            // What is gone comes first.
            (Some(was), None) => {
                found.push((u64::MAX / 2 + was.rows / 2, change("table", name, rows(was.rows), None)));
            }
            (None, Some(is)) => found.push((is.rows, change("table", name, None, rows(is.rows)))),
            (Some(was), Some(is)) => {
                if was.columns != is.columns && was.columns.is_some() && is.columns.is_some() {
                    let words = || Some("others".to_owned());
                    found.push((u64::MAX / 4, change("columns", name, Some("as they were".to_owned()), words())));
                }
                if was.rows != is.rows {
                    let by = was.rows.abs_diff(is.rows);
                    found.push((by, change("rows", name, rows(was.rows), rows(is.rows))));
                } else if was.hash != is.hash && was.hash.is_some() && is.hash.is_some() {
                    let same = format!("{} others or altered", rows(is.rows).unwrap_or_default());
                    found.push((0, change("contents", name, rows(was.rows), Some(same))));
                }
            }
            (None, None) => {}
        }
    }
    found
}

fn sequences(before: &Facts, after: &Facts) -> Vec<Weighed> {
    // That they go on is ordinary.
    let back = after.sequences.iter().filter_map(|(name, is)| {
        let was = before.sequences.get(name).filter(|was| *was > is)?;
        Some((was.abs_diff(*is), change("sequence", name, Some(was.to_string()), Some(is.to_string()))))
    });
    back.collect()
}

fn roles(before: &Facts, after: &Facts) -> Vec<Weighed> {
    let (Some(old), Some(new)) = (&before.roles, &after.roles) else { return Vec::new() };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let words = |rights: &BTreeSet<String>| rights.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differ.map(|name| (1, change("role", name, old.get(name).map(words), new.get(name).map(words)))).collect()
}

fn refs(before: Option<&Refs>, after: Option<&Refs>) -> Vec<Weighed> {
    let (Some(old), Some(new)) = (before, after) else { return Vec::new() };
    let mut found = Vec::new();
    if old.default_there && !new.default_there {
        found
            .push((u64::MAX, change("branches", old.default.as_deref().unwrap_or("HEAD"), Some("there".into()), None)));
    }
    for name in &new.rewritten {
        let words = Some("another history".to_owned());
        found.push((1000, change("branches", name, Some("its history".to_owned()), words)));
    }
    for name in &new.moved_tags {
        found.push((900, change("tags", name, Some("one object".to_owned()), Some("another".to_owned()))));
    }
    let names: BTreeSet<&String> = old.units.keys().chain(new.units.keys()).collect();
    for name in names {
        let (was, is) = (old.units.get(name).copied(), new.units.get(name).copied());
        if was != is {
            let weight = was.unwrap_or_default().saturating_sub(is.unwrap_or_default());
            let told = |n: Option<u64>| n.map(|n| if n == 1 { "there".to_owned() } else { n.to_string() });
            found.push((weight, change("branches", name, told(was), told(is))));
        }
    }
    if old.tags != new.tags {
        found.push((1, change("tags", "", Some(old.tags.to_string()), Some(new.tags.to_string()))));
    }
    found
}

fn files(before: &Facts, after: &Facts) -> Vec<Weighed> {
    let (Some(old), Some(new)) = (&before.files, &after.files) else { return Vec::new() };
    let mut found = Vec::new();
    let mut differ = |name: &str, was: u64, is: u64| {
        if was != is {
            found.push((was.abs_diff(is), change("files", name, Some(was.to_string()), Some(is.to_string()))));
        }
    };
    differ("", old.count, new.count);
    differ("empty ones", old.empty, new.empty);
    found
}

fn parts(before: &Facts, after: &Facts) -> Vec<Weighed> {
    let names: BTreeSet<&String> = before.parts.keys().chain(after.parts.keys()).collect();
    let of = names.into_iter().filter_map(|name| {
        let (was, is) = (before.parts.get(name).copied(), after.parts.get(name).copied());
        let told = |bytes: Option<u64>| bytes.map(size::human);
        let by = was.unwrap_or_default().abs_diff(is.unwrap_or_default());
        // One stream is the whole.
        (was != is && before.parts.len() > 1).then(|| (by, change("stream", name, told(was), told(is))))
    });
    of.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Time, signal::Table};

    fn facts(tables: &[(&str, u64, &str)]) -> Facts {
        let mut facts = Facts::new(Time::from_unix(0), 10, 1);
        let table = |rows: u64, hash: &str| Table { rows, hash: Some(hash.to_owned()), ..Table::default() };
        facts.tables = Some(tables.iter().map(|(name, rows, hash)| ((*name).to_owned(), table(*rows, hash))).collect());
        facts
    }

    #[test]
    fn what_is_gone_comes_first_then_the_greatest_change() {
        let before = facts(&[("a", 5, "1"), ("b", 1000, "2"), ("c", 3, "3"), ("d", 9, "4")]);
        let mut after = facts(&[("a", 6, "1"), ("b", 10, "5"), ("d", 9, "6"), ("e", 1, "7")]);
        after.bytes = 4;
        let told: Vec<(String, String, Option<String>, Option<String>)> =
            changes(&before, &after).into_iter().map(|c| (c.what, c.name, c.before, c.after)).collect();
        let is = |what: &str, name: &str, before: Option<&str>, after: Option<&str>| {
            (what.to_owned(), name.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
        };
        assert_eq!(told[0], is("table", "c", Some("3 rows"), None));
        assert_eq!(told[1], is("rows", "b", Some("1000 rows"), Some("10 rows")));
        assert!(told.contains(&is("table", "e", None, Some("1 row"))));
        assert!(told.contains(&is("contents", "d", Some("9 rows"), Some("9 rows others or altered"))));
        assert_eq!(told.last().unwrap(), &is("bytes", "", Some("10 B"), Some("4 B")));
        assert_eq!(changes(&before, &before), []);
    }

    #[test]
    fn of_very_many_the_first_are_told_and_the_rest_counted() {
        let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
        let before = facts(&names.iter().map(|name| (name.as_str(), 1, "x")).collect::<Vec<_>>());
        let told = changes(&before, &facts(&[]));
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[TOLD].after.as_deref(), Some("80 more"));
    }
}
