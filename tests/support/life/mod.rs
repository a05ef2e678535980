//! Days in the life of sources, simulated: what each run of a backup would tell the rules of signals. Row by row and file
//! by file, so that samples are real samples.

#![allow(dead_code, missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, dropping_copy_types)]

pub mod attacks;
pub mod lives;
pub mod replay;
pub mod varied;

use std::collections::{BTreeMap, BTreeSet};

use strongroom::{
    model::{Sample, Time},
    signal::{Facts, Files, Fresh, Refs, Table, unit},
};

pub const DAY: i64 = 86_400;
/// Monday, 5 January 2026, two in the morning.
pub const BEGIN: i64 = 1_767_578_400;
const SAMPLED: usize = 1024;

/// Chance, the same for the same seed.
#[derive(Clone)]
pub struct Chance(u64);

const fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// Seeds are mixed: those of neighbours must not begin the same stream one number later.
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x2545_f491_4f6c_dd1d))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// From 0 to 1.
    pub fn real(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About `mean`, give or take a quarter.
    pub fn about(&mut self, mean: f64) -> usize {
        (mean * (0.75 + self.real() / 2.0)).round() as usize
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

#[derive(Clone, Default)]
pub struct Rows {
    pub rows: Vec<u64>,
    pub columns: String,
}

#[derive(Clone)]
pub struct Database {
    pub tables: BTreeMap<String, Rows>,
    pub sequences: BTreeMap<String, i64>,
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Which share of the dump is new today, and how far that shrinks.
    pub fresh: (f64, f64),
    /// How many times as large as the usual one.
    pub scale: f64,
    pub chance: Chance,
}

const PLAIN: &str = "at timestamptz, id bigint not null, name text, note text";

impl Database {
    /// A shop: customers, orders, items, events, sessions, and countries that never change.
    pub fn shop(seed: u64) -> Self {
        Self::sized(seed, 1.0)
    }

    /// One of another size.
    pub fn sized(seed: u64, scale: f64) -> Self {
        let chance = Chance::new(seed);
        let mut shop = Self {
            tables: BTreeMap::new(),
            sequences: BTreeMap::new(),
            roles: BTreeMap::new(),
            fresh: (0.1, 0.2),
            scale,
            chance,
        };
        let sizes = [
            ("customers", 2000),
            ("orders", 4000),
            ("items", 6000),
            ("events", 5000),
            ("sessions", 600),
            ("countries", 195),
        ];
        for (name, rows) in sizes {
            shop.tables.insert(name.to_owned(), Rows { rows: Vec::new(), columns: PLAIN.to_owned() });
            shop.insert(name, (f64::from(rows) * scale) as usize);
        }
        shop.roles.insert("shop".to_owned(), BTreeSet::from(["login".to_owned()]));
        shop.roles.insert("admin".to_owned(), BTreeSet::from(["superuser".to_owned()]));
        shop
    }

    pub fn insert(&mut self, table: &str, count: usize) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        rows.rows.extend((0..count).map(|_| self.chance.next()));
        if table != "sessions" && table != "countries" {
            *self.sequences.entry(format!("sequence {table}_id_seq")).or_default() += count as i64;
        }
    }

    /// Deletes a share of the rows, those that were inserted first or any.
    pub fn delete(&mut self, table: &str, share: f64, oldest: bool) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        let count = (rows.rows.len() as f64 * share).round() as usize;
        for _ in 0..count {
            let at = if oldest { 0 } else { self.chance.below(rows.rows.len()) };
            if oldest {
                drop(rows.rows.drain(..count));
                break;
            } else {
                rows.rows.swap_remove(at);
            }
        }
    }

    /// Alters so many rows: any, or those that were inserted last.
    pub fn update(&mut self, table: &str, count: usize, newest: bool) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        let len = rows.rows.len();
        for at in 0..count.min(len) {
            let at = if count >= len {
                at
            } else if newest {
                len - 1 - self.chance.below((len / 10).max(1))
            } else {
                self.chance.below(len)
            };
            rows.rows[at] = self.chance.next();
        }
    }

    /// An ordinary day: things grow by a percent, new rows are altered, sessions come and go.
    pub fn day(&mut self, activity: f64) {
        for (table, share) in [("customers", 0.004), ("orders", 0.01), ("items", 0.012), ("events", 0.012)] {
            let rows = self.tables.get(table).map_or(0, |rows| rows.rows.len()) as f64;
            let new = self.chance.about(rows * share * activity);
            self.insert(table, new);
        }
        let altered = self.chance.about(90.0 * activity * self.scale);
        self.update("orders", altered, true);
        let altered = self.chance.about(20.0 * activity * self.scale);
        self.update("customers", altered, false);
        let count = self.chance.about(600.0 * activity * self.scale).max(30);
        if let Some(sessions) = self.tables.get_mut("sessions") {
            sessions.rows.clear();
        }
        self.insert("sessions", count);
        self.fresh = (0.08 + self.chance.real() * 0.06, 0.19 + self.chance.real() * 0.03);
    }

    pub fn facts(&self, at: i64) -> Facts {
        let rows: usize = self.tables.values().map(|t| t.rows.len()).sum();
        let bytes = rows as u64 * 600 + 8000;
        let mut facts = Facts::new(Time::from_unix(at), bytes, 2);
        let table = |rows: &Rows| {
            let sum = rows.rows.iter().fold(0_u64, |sum, row| sum.wrapping_add(*row));
            Table {
                rows: rows.rows.len() as u64,
                hash: Some(format!("{sum:016x}")),
                columns: Some(rows.columns.clone()),
                sample: Some(Sample::of(rows.rows.iter().copied(), u64::MAX, SAMPLED)),
            }
        };
        let tables: BTreeMap<String, Table> =
            self.tables.iter().map(|(name, rows)| (name.clone(), table(rows))).collect();
        let state: Vec<String> = tables.iter().map(|(n, t)| format!("{n} {} {:?}", t.rows, t.hash)).collect();
        facts.state = Some(format!("{:x}", hashed(&state.join("\n"))));
        facts.tables = Some(tables);
        facts.sequences.clone_from(&self.sequences);
        facts.roles = Some(self.roles.clone());
        let fresh = (bytes as f64 * self.fresh.0) as u64;
        facts.fresh = Some(Fresh { bytes: fresh, stored: (fresh as f64 * self.fresh.1) as u64 });
        facts
    }
}

#[derive(Clone, Default)]
pub struct Repository {
    /// Branches and what they name.
    pub branches: BTreeMap<String, u64>,
    pub tags: BTreeMap<String, u64>,
    pub rewritten: BTreeSet<String>,
    pub moved_tags: BTreeSet<String>,
    pub default: String,
}

impl Repository {
    pub fn new(branches: &[&str]) -> Self {
        let branches = branches.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at as u64)).collect();
        let tags = (0..12).map(|at| (format!("v1.{at}"), at)).collect();
        Self { branches, tags, default: "main".to_owned(), ..Self::default() }
    }

    pub fn push(&mut self, branch: &str, chance: &mut Chance) {
        self.branches.insert(branch.to_owned(), chance.next());
    }

    pub fn force(&mut self, branch: &str, chance: &mut Chance) {
        self.push(branch, chance);
        self.rewritten.insert(branch.to_owned());
    }

    /// The facts of a run, after which nothing is rewritten yet.
    pub fn facts(&mut self, at: i64) -> Facts {
        let mut facts = Facts::new(Time::from_unix(at), 40_000_000, 3);
        let mut units: BTreeMap<String, u64> = BTreeMap::new();
        self.branches.keys().for_each(|name| *units.entry(unit(name).to_owned()).or_default() += 1);
        facts.state = Some(format!("{:x}", hashed(&format!("{:?} {:?}", self.branches, self.tags))));
        facts.refs = Some(Refs {
            default: Some(self.default.clone()),
            default_there: self.branches.contains_key(&self.default),
            units,
            tags: self.tags.len() as u64,
            unlogged: false,
            rewritten: std::mem::take(&mut self.rewritten),
            moved_tags: std::mem::take(&mut self.moved_tags),
        });
        facts
    }
}

/// A tree of files: names and contents.
#[derive(Clone, Default)]
pub struct Tree {
    pub files: BTreeMap<String, u64>,
    pub empty: u64,
    pub fresh: (u64, f64),
}

pub fn hashed(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Tree {
    pub fn new(count: usize, chance: &mut Chance) -> Self {
        let files = (0..count).map(|at| (format!("docs/{at}.odt"), chance.next())).collect();
        Self { files, empty: 0, fresh: (1 << 20, 0.4) }
    }

    pub fn facts(&self, at: i64) -> Facts {
        let bytes = self.files.len() as u64 * 40_000;
        let mut facts = Facts::new(Time::from_unix(at), bytes, self.files.len() as u64);
        let all = self.files.iter().fold(0_u64, |all, (name, content)| all.wrapping_add(hashed(name) ^ content));
        facts.state = Some(format!("{all:x}"));
        facts.files = Some(Files {
            count: self.files.len() as u64,
            empty: self.empty,
            names: Sample::of(self.files.keys().map(|name| hashed(name)), u64::MAX, SAMPLED),
            contents: Sample::of(self.files.values().copied(), u64::MAX, SAMPLED),
        });
        facts.fresh = Some(Fresh { bytes: self.fresh.0, stored: (self.fresh.0 as f64 * self.fresh.1) as u64 });
        facts
    }
}
