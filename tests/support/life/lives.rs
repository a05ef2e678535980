//! Ordinary lives: at most one alarm in 60 days of each.

use strongroom::{model::Time, signal::Facts};

use super::{BEGIN, Chance, DAY, Database, Repository, Tree};

/// A life: its name, and the facts of its runs.
pub type Life = (&'static str, fn(u64, i64) -> Vec<Facts>);

pub const LIVES: &[Life] = &[
    ("steady growth", |seed, days| shop(seed, days, |_, _| {})),
    ("weekly rhythm", weekly),
    ("month-end purge", |seed, days| shop(seed, days, purge)),
    ("bulk import", |seed, days| shop(seed, days, import)),
    ("schema migration", |seed, days| shop(seed, days, migrate)),
    ("VACUUM FULL, reindex", |seed, days| shop(seed, days, vacuum)),
    ("table renamed", |seed, days| shop(seed, days, rename)),
    ("staging refresh", |seed, days| shop(seed, days, staging)),
    ("partitions by month", |seed, days| shop(seed, days, partitions)),
    ("batch run each month", |seed, days| shop(seed, days, batch)),
    ("hourly, day and night", hourly),
    ("daily rebases", rebases),
    ("dependabot by the hundred", dependabot),
    ("log rotation", logs),
    ("documents and photos", documents),
    ("dump by a command", dump),
    ("weekdays only", weekdays),
    ("a tenth of the size", |seed, days| sized(seed, days, 0.1, DAY)),
    ("four times the size", |seed, days| sized(seed, days, 4.0, DAY)),
    ("every six hours", |seed, days| sized(seed, days * 4, 1.0, DAY / 4)),
    ("once a week", |seed, days| sized(seed, days / 3, 1.0, DAY * 7)),
    ("at any hour, some days not at all", irregular),
    ("migrations, purges and imports", |seed, days| shop(seed, days, everything)),
    ("a sale of two weeks, thrice as busy", |seed, days| {
        busy(seed, days, |day, _| if (28..42).contains(&day) { 3.0 } else { 1.0 })
    }),
    ("some days four times as busy", |seed, days| busy(seed, days, |_, chance| if chance < 0.15 { 4.0 } else { 0.8 })),
    ("busier from month to month", |seed, days| busy(seed, days, |day, _| 1.0 + day as f64 / 30.0)),
    ("from nothing to all, at random", |seed, days| busy(seed, days, |_, chance| 2.0 * chance * chance)),
    ("five rows in a hundred altered a day", |seed, days| shop(seed, days, restless)),
    ("a backfill of a week", |seed, days| shop(seed, days, backfill)),
    ("every four hours, busy by day", by_day),
    ("documents, worked on in spells", spells),
    ("all proportions", super::varied::life),
];

/// A shop, with something of its own on each day.
fn shop(seed: u64, days: i64, special: fn(&mut Database, i64)) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    (0..days)
        .map(|day| {
            shop.day(1.0);
            special(&mut shop, day);
            shop.facts(BEGIN + day * DAY)
        })
        .collect()
}

/// A shop of another size and rhythm: its days go by as the time does.
fn sized(seed: u64, runs: i64, scale: f64, every: i64) -> Vec<Facts> {
    let mut shop = Database::sized(seed, scale);
    (0..runs)
        .map(|run| {
            let days = every as f64 / DAY as f64;
            if days < 1.0 {
                shop.day(days);
            } else {
                (0..days as i64).for_each(|_| shop.day(1.0));
            }
            shop.facts(BEGIN + run * every)
        })
        .collect()
}

/// A shop that is busy as `how` says of a day, with a number of chance.
fn busy(seed: u64, days: i64, how: fn(i64, f64) -> f64) -> Vec<Facts> {
    let mut shop = Database::sized(seed, 0.6);
    let mut chance = Chance::new(seed ^ 0x5eed);
    (0..days)
        .map(|day| {
            shop.day(how(day, chance.real()));
            shop.facts(BEGIN + day * DAY)
        })
        .collect()
}

/// Stock that is counted anew all the time.
pub fn restless(shop: &mut Database, _: i64) {
    let some = shop.tables["items"].rows.len() as f64;
    let some = shop.chance.about(some * 0.05);
    shop.update("items", some, false);
}

/// A column is filled row by row, by a job that runs for a week.
fn backfill(shop: &mut Database, day: i64) {
    if (30..37).contains(&day) {
        let some = shop.tables["customers"].rows.len() / 7;
        shop.update("customers", some, false);
    }
}

fn by_day(seed: u64, days: i64) -> Vec<Facts> {
    let mut shop = Database::sized(seed, 0.4);
    (0..days * 6)
        .map(|run| {
            let busy = if (2..5).contains(&(run % 6)) { 0.3 } else { 0.03 };
            shop.day(busy);
            shop.facts(BEGIN + run * DAY / 6)
        })
        .collect()
}

fn spells(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut tree = Tree::new(1500, &mut chance);
    let mut working = false;
    (0..days)
        .map(|day| {
            working = if chance.real() < 0.3 { !working } else { working };
            let how_many = if working { 25.0 } else { 2.0 };
            for at in 0..chance.about(how_many) {
                let name = if at % 3 == 0 { chance.below(1500) } else { chance.below(100) };
                let changed = chance.next();
                tree.files.insert(format!("docs/{name}.odt"), changed);
            }
            tree.facts(BEGIN + day * DAY)
        })
        .collect()
}

fn irregular(seed: u64, days: i64) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    let mut chance = Chance::new(seed ^ 7);
    let (mut runs, mut last) = (Vec::new(), -1);
    for day in 0..days {
        shop.day(0.7 + chance.real() * 0.6);
        // Never two days after each other: that is worth a word.
        let left_out = day - last > 1;
        if left_out || chance.real() < 0.85 {
            last = day;
            runs.push(shop.facts(BEGIN + day * DAY + (chance.real() * 20.0) as i64 * 3600));
        }
    }
    runs
}

/// A shop in which much happens that is meant.
pub fn everything(shop: &mut Database, day: i64) {
    migrate(shop, day);
    much(shop, day);
}

/// The same without a table that goes.
pub fn much(shop: &mut Database, day: i64) {
    if day % 14 == 13 {
        shop.tables.get_mut("events").unwrap().columns.push_str(&format!(", v{day} integer"));
        shop.update("events", usize::MAX, false);
    }
    import(shop, day);
    vacuum(shop, day);
    partitions(shop, day);
}

fn weekend(day: i64) -> bool {
    day % 7 >= 5
}

fn weekly(seed: u64, days: i64) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    (0..days)
        .map(|day| {
            shop.day(if weekend(day) { 0.15 } else { 1.0 });
            shop.facts(BEGIN + day * DAY)
        })
        .collect()
}

pub fn purge(shop: &mut Database, day: i64) {
    if day % 30 == 29 {
        let share = 0.5 + shop.chance.real() * 0.3;
        shop.delete("events", share, true);
        shop.delete("sessions", 1.0, true);
    }
}

fn import(shop: &mut Database, day: i64) {
    if matches!(day, 21 | 45) {
        shop.insert("items", 20_000);
        shop.update("items", 300, false);
        shop.fresh = (0.7, 0.25);
    }
}

pub fn migrate(shop: &mut Database, day: i64) {
    let tables = ["customers", "orders", "items", "events"];
    if day % 14 == 13 {
        let table = tables[(day / 14) as usize % 4];
        let rows = shop.tables.get_mut(table).unwrap();
        rows.columns.push_str(&format!(", v{day} integer"));
        shop.update(table, usize::MAX, false);
    }
    match day {
        12 => {
            drop(shop.tables.insert(
                "settings".to_owned(),
                super::Rows { columns: "k text, v text".to_owned(), ..Default::default() },
            ))
        }
        13 => shop.insert("settings", 40),
        // Its rows went into another table.
        35 => drop(shop.tables.remove("settings")),
        _ => {}
    }
}

fn vacuum(shop: &mut Database, day: i64) {
    if day % 20 == 19 {
        shop.fresh = (0.97, 0.2);
    }
}

fn rename(shop: &mut Database, day: i64) {
    if day == 23 {
        let rows = shop.tables.remove("events").unwrap();
        shop.tables.insert("audit_events".to_owned(), rows);
    }
    if day == 41 {
        let mut rows = shop.tables.remove("items").unwrap();
        rows.columns = rows.columns.replace("note text", "note text, shop integer");
        shop.tables.insert("order_items".to_owned(), rows);
        shop.update("order_items", usize::MAX, false);
    }
}

fn staging(shop: &mut Database, day: i64) {
    if day % 7 == 6 {
        // The production's data of that day, which went on without this copy.
        let seed = shop.chance.next();
        let mut fresh = Database::shop(seed);
        for _ in 0..day {
            fresh.day(0.9);
        }
        fresh.fresh = (0.98, 0.2);
        *shop = fresh;
    }
}

fn partitions(shop: &mut Database, day: i64) {
    let name = |month: i64| format!("log_2026_{month:02}");
    let month = day / 15;
    shop.tables
        .entry(name(month))
        .or_insert_with(|| super::Rows { columns: super::PLAIN.to_owned(), ..Default::default() });
    shop.insert(&name(month), 200);
    if day % 15 == 1 && month >= 2 {
        shop.tables.remove(&name(month - 2));
    }
}

fn batch(shop: &mut Database, day: i64) {
    if day % 30 == 28 {
        let some = shop.tables["orders"].rows.len() / 6;
        shop.update("orders", some, false);
    }
}

fn hourly(seed: u64, days: i64) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    let mut runs = Vec::new();
    // More runs than days, and fewer days.
    for hour in 0..days.min(30) * 24 {
        if (6..22).contains(&(hour % 24)) {
            shop.day(1.0 / 16.0);
        }
        runs.push(shop.facts(BEGIN + hour * 3600));
    }
    runs
}

fn rebases(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut repository =
        Repository::new(&["main", "develop", "feature/login", "feature/search", "feature/cart", "release/1"]);
    (0..days)
        .map(|day| {
            repository.push("main", &mut chance);
            let names: Vec<String> =
                repository.branches.keys().filter(|n| n.starts_with("feature/")).cloned().collect();
            for name in names {
                repository.force(&name, &mut chance);
                if chance.real() < 0.1 {
                    repository.branches.remove(&name);
                }
            }
            if chance.real() < 0.4 {
                repository.push(&format!("feature/{day}"), &mut chance);
            }
            repository.facts(BEGIN + day * DAY)
        })
        .collect()
}

fn dependabot(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut repository = Repository::new(&["main", "next"]);
    (0..days)
        .map(|day| {
            repository.push("main", &mut chance);
            match day % 14 {
                2 => (0..150).for_each(|at| repository.push(&format!("dependabot/cargo/{day}-{at}"), &mut chance)),
                3..=8 => {
                    let names: Vec<String> =
                        repository.branches.keys().filter(|n| n.starts_with("dependabot/")).cloned().collect();
                    names.iter().for_each(|name| repository.force(name, &mut chance));
                }
                11 => repository.branches.retain(|name, _| !name.starts_with("dependabot/")),
                _ => {}
            }
            if day % 10 == 9 {
                repository.tags.insert(format!("v2.{day}"), chance.next());
            }
            repository.facts(BEGIN + day * DAY)
        })
        .collect()
}

fn logs(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut tree = Tree::default();
    let services = ["web", "db", "mail", "cron"];
    (0..days)
        .map(|day| {
            for service in services {
                // app.log.6 goes, app.log.5 becomes app.log.6, and so on; app.log is new.
                for age in (0..7).rev() {
                    let Some(content) = tree.files.remove(&format!("{service}.log.{age}")) else { continue };
                    if age < 6 {
                        tree.files.insert(format!("{service}.log.{}", age + 1), content);
                    }
                }
                tree.files.insert(format!("{service}.log.0"), chance.next());
            }
            tree.facts(BEGIN + day * DAY)
        })
        .collect()
}

fn documents(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut tree = Tree::new(3000, &mut chance);
    (0..days)
        .map(|day| {
            for at in 0..chance.about(12.0) {
                tree.files.insert(format!("docs/new-{day}-{at}.odt"), chance.next());
            }
            for _ in 0..chance.about(25.0) {
                let at = chance.below(3000);
                let changed = chance.next();
                tree.files.insert(format!("docs/{at}.odt"), changed);
            }
            tree.fresh = (2 << 20, 0.4);
            if matches!(day, 20 | 44) {
                for at in 0..1200 {
                    tree.files.insert(format!("photos/{day}/{at}.jpg"), chance.next());
                }
                tree.fresh = (400 << 20, 0.99);
            }
            // A folder is put in order.
            if day == 33 {
                let moved: Vec<String> = tree.files.keys().filter(|n| n.starts_with("docs/1")).cloned().collect();
                for name in moved {
                    let content = tree.files.remove(&name).unwrap();
                    tree.files.insert(format!("archive/{name}"), content);
                }
            }
            tree.facts(BEGIN + day * DAY)
        })
        .collect()
}

/// A run of which only bytes are known.
pub fn bytes(at: i64, bytes: f64, fresh: (f64, f64)) -> Facts {
    let mut facts = Facts::new(Time::from_unix(at), bytes as u64, 1);
    facts.parts.insert("dump.sql".to_owned(), bytes as u64);
    facts.state = Some(format!("{bytes} {at}"));
    let new = bytes * fresh.0;
    facts.fresh = Some(strongroom::signal::Fresh { bytes: new as u64, stored: (new * fresh.1) as u64 });
    facts
}

fn dump(seed: u64, days: i64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut size = 50e6;
    (0..days)
        .map(|day| {
            size *= 1.004 + chance.real() * 0.004;
            let today = if weekend(day) { 0.3 } else { 1.0 };
            bytes(BEGIN + day * DAY, size * today * (0.97 + chance.real() * 0.06), (0.3 + chance.real() * 0.2, 0.2))
        })
        .collect()
}

fn weekdays(seed: u64, days: i64) -> Vec<Facts> {
    let all = shop(seed, days, |_, _| {});
    all.into_iter().enumerate().filter(|(day, _)| !weekend(*day as i64)).map(|(_, facts)| facts).collect()
}
