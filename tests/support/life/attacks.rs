//! Attacks and accidents: an alarm at the first run that shows them, of slow ones within five days.

use strongroom::signal::Facts;

use super::{
    BEGIN, Chance, DAY, Database, Repository, Tree,
    lives::{self, bytes},
};

/// An attack: its name, whether it is slow, the runs before it and from it on, by seed and the number of honest days.
pub type Attack = (&'static str, bool, fn(u64, i64) -> Vec<Facts>);

/// Days that are looked at after an attack began.
pub const AFTER: i64 = 6;

pub const ATTACKS: &[Attack] = &[
    ("DELETE without WHERE", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                db.delete("orders", 1.0, true)
            }
        })
    }),
    ("DELETE of most rows", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                db.delete("orders", 0.7, false)
            }
        })
    }),
    ("TRUNCATE", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                db.tables.get_mut("customers").unwrap().rows.clear()
            }
        })
    }),
    ("DROP TABLE", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                drop(db.tables.remove("items"))
            }
        })
    }),
    ("DROP SCHEMA", false, |s, d| shop(s, d, |db, _| db.tables.clear())),
    ("UPDATE without WHERE", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                db.update("customers", usize::MAX, false)
            }
        })
    }),
    ("columns encrypted at once, as text", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                db.update("orders", usize::MAX, false)
            }
        })
    }),
    ("columns encrypted at once, as bytea", false, |s, d| shop(s, d, sealed)),
    ("table encrypted into another", false, |s, d| shop(s, d, copied)),
    ("columns encrypted, 2% a day", true, |s, d| {
        shop(s, d, |db, _| {
            let some = db.tables["customers"].rows.len() / 50;
            db.update("customers", some, false);
        })
    }),
    ("rows deleted, 1% a day", true, |s, d| shop(s, d, |db, _| db.delete("customers", 0.01, false))),
    ("rows deleted, 1% a day, growing", true, |s, d| shop(s, d, |db, _| db.delete("items", 0.01, false))),
    ("a week-old copy restored", false, restored),
    ("emptied dump that exits 0", false, |s, d| command(s, d, |day, size| if day >= 0 { 900.0 } else { size })),
    ("dump cut off in the middle", false, |s, d| command(s, d, |day, size| if day >= 0 { size * 0.4 } else { size })),
    ("dump encrypted in place", false, encrypted_dump),
    ("role made superuser", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                drop(db.roles.get_mut("shop").unwrap().insert("superuser".to_owned()))
            }
        })
    }),
    ("new role with all rights", false, |s, d| {
        shop(s, d, |db, day| {
            if day == 0 {
                drop(db.roles.insert("svc".to_owned(), ["member of admin".to_owned()].into()));
            }
        })
    }),
    ("force-push of the default branch", false, |s, d| {
        git(s, d, |r, c, day| {
            if day == 0 {
                r.force("main", c)
            }
        })
    }),
    ("all branches deleted", false, |s, d| git(s, d, |r, _, _| r.branches.clear())),
    ("all branches but one deleted", false, |s, d| git(s, d, |r, _, _| r.branches.retain(|name, _| name == "main"))),
    ("default branch deleted", false, |s, d| git(s, d, |r, _, _| drop(r.branches.remove("main")))),
    ("files encrypted and renamed", false, |s, d| {
        files(s, d, |tree, chance, day| {
            if day == 0 {
                let names: Vec<String> = tree.files.keys().cloned().collect();
                tree.files = names.iter().map(|name| (format!("{name}.locked"), chance.next())).collect();
                tree.fresh = (tree.files.len() as u64 * 40_000, 1.0);
            }
        })
    }),
    ("files emptied, sizes kept", false, |s, d| {
        files(s, d, |tree, _, day| {
            if day == 0 {
                tree.files.values_mut().for_each(|content| *content = 7 << 60);
                tree.fresh = (0, 0.0);
            }
        })
    }),
    ("files encrypted, 2% a day", true, |s, d| {
        files(s, d, |tree, chance, _| {
            let names: Vec<String> = tree.files.keys().cloned().collect();
            for _ in 0..names.len() / 50 {
                let at = chance.below(names.len());
                tree.files.insert(names[at].clone(), chance.next());
            }
        })
    }),
    ("all files deleted but a few", false, |s, d| {
        files(s, d, |tree, _, _| tree.files.retain(|name, _| name.ends_with("00.odt")))
    }),
    ("old state replayed each day", true, replayed),
    ("small shop: DELETE without WHERE", false, |s, d| {
        amid(
            (s, d, 0.1, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    db.delete("orders", 1.0, true)
                }
            },
        )
    }),
    ("small shop: columns encrypted at once", false, |s, d| {
        amid(
            (s, d, 0.1, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    db.update("customers", usize::MAX, false)
                }
            },
        )
    }),
    ("large shop: columns encrypted, 2% a day", true, |s, d| amid((s, d, 4.0, DAY), |_, _| {}, two_in_a_hundred)),
    ("large shop: rows deleted, 1% a day", true, |s, d| {
        amid((s, d, 4.0, DAY), |_, _| {}, |db, _| db.delete("customers", 0.01, false))
    }),
    ("columns encrypted, 2% a day, amid migrations", true, |s, d| {
        amid((s, d, 1.0, DAY), lives::much, two_in_a_hundred)
    }),
    ("restless table: columns encrypted, 2% a day", true, |s, d| {
        amid((s, d, 1.0, DAY), lives::restless, |shop, day| {
            lives::restless(shop, day);
            two_in_a_hundred(shop, day);
        })
    }),
    ("mid-sized shop: oldest orders encrypted, 2% a day", true, |s, d| {
        amid(
            (s, d, 0.5, DAY),
            |_, _| {},
            |db, day| {
                let rows = &mut db.tables.get_mut("orders").unwrap().rows;
                let (some, first) = (rows.len() / 50, rows.len() / 50 * day as usize);
                rows.iter_mut().skip(first).take(some).for_each(|row| *row = db.chance.next());
            },
        )
    }),
    ("weekly rhythm: columns encrypted, 2% a day", true, |s, d| by_week((s, d), two_in_a_hundred)),
    ("weekly rhythm: rows deleted, 1% a day", true, |s, d| {
        by_week((s, d), |db, _| db.delete("customers", 0.01, false))
    }),
    ("weekly rhythm: items deleted, 1% a day", true, |s, d| by_week((s, d), |db, _| db.delete("items", 0.01, false))),
    ("every six hours: UPDATE without WHERE", false, |s, d| {
        amid(
            (s, d, 1.0, DAY / 4),
            |_, _| {},
            |db, run| {
                if run == 0 {
                    db.update("orders", usize::MAX, false)
                }
            },
        )
    }),
    ("migration of another table: UPDATE without WHERE", false, |s, d| {
        amid((s, d, 1.0, DAY), lives::much, |db, day| {
            if day == 0 {
                db.tables.get_mut("items").unwrap().columns.push_str(", discount integer");
                db.update("items", usize::MAX, false);
                db.update("customers", usize::MAX, false);
            }
        })
    }),
    ("migration of another table: DROP TABLE", false, |s, d| {
        amid((s, d, 1.0, DAY), lives::much, |db, day| {
            if day == 0 {
                db.tables.get_mut("items").unwrap().columns.push_str(", discount integer");
                db.update("items", usize::MAX, false);
                drop(db.tables.remove("customers"));
            }
        })
    }),
    ("migration: most rows deleted with it", false, |s, d| {
        amid((s, d, 1.0, DAY), lives::much, |db, day| {
            if day == 0 {
                db.tables.get_mut("orders").unwrap().columns.push_str(", discount integer");
                db.delete("orders", 0.8, false);
                db.update("orders", usize::MAX, false);
            }
        })
    }),
    ("purge at the month's end: another table emptied", false, |s, d| {
        amid(
            (s, d, 1.0, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    db.delete("events", 0.6, true);
                    db.delete("orders", 1.0, true);
                }
            },
        )
    }),
    ("import: rows encrypted beside it", false, |s, d| {
        amid(
            (s, d, 1.0, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    db.insert("items", 20_000);
                    db.update("customers", usize::MAX, false);
                    db.fresh = (0.8, 0.25);
                }
            },
        )
    }),
    ("table renamed: another one dropped", false, |s, d| {
        amid(
            (s, d, 1.0, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    let rows = db.tables.remove("events").unwrap();
                    db.tables.insert("audit_events".to_owned(), rows);
                    drop(db.tables.remove("orders"));
                }
            },
        )
    }),
    ("dropped and made again, empty", false, |s, d| {
        amid(
            (s, d, 1.0, DAY),
            |_, _| {},
            |db, day| {
                if day == 0 {
                    db.tables.get_mut("orders").unwrap().rows.clear();
                    db.sequences.remove("sequence orders_id_seq");
                }
            },
        )
    }),
    ("daily rebases: force-push of the default branch", false, |s, d| {
        git(s, d, |r, c, day| {
            if day == 0 {
                r.force("feature/search", c);
                r.force("main", c);
            }
        })
    }),
    ("half of the files encrypted", false, |s, d| {
        files(s, d, |tree, chance, day| {
            if day == 0 {
                let names: Vec<String> = tree.files.keys().cloned().collect();
                for name in names.iter().step_by(2).chain(names.iter().step_by(7)) {
                    tree.files.insert(name.clone(), chance.next());
                }
                tree.fresh = (tree.files.len() as u64 * 20_000, 1.0);
            }
        })
    }),
];

/// A shop of a size, in which things happen that are meant, and an attack among them.
fn amid(
    (seed, honest, scale, every): (u64, i64, f64, i64),
    ordinary: fn(&mut Database, i64),
    attack: fn(&mut Database, i64),
) -> Vec<Facts> {
    let mut shop = Database::sized(seed, scale);
    (0..honest + AFTER)
        .map(|run| {
            shop.day(every as f64 / DAY as f64);
            // What is meant is done before: on the day itself only what the attack says.
            if run < honest {
                ordinary(&mut shop, run);
            } else {
                attack(&mut shop, run - honest);
            }
            shop.facts(BEGIN + run * every)
        })
        .collect()
}

/// A shop that rests at weekends, begun on any day of a week.
fn by_week((seed, honest): (u64, i64), attack: fn(&mut Database, i64)) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    (0..honest + AFTER)
        .map(|day| {
            shop.day(if (day + seed as i64) % 7 >= 5 { 0.15 } else { 1.0 });
            if day >= honest {
                attack(&mut shop, day - honest);
            }
            shop.facts(BEGIN + (day + seed as i64) * DAY)
        })
        .collect()
}

fn two_in_a_hundred(shop: &mut Database, _: i64) {
    let some = shop.tables["customers"].rows.len() / 50;
    shop.update("customers", some, false);
}

/// An ordinary shop until day `honest`, then `attack` on each day, counted from 0, after what is ordinary.
fn shop(seed: u64, honest: i64, attack: fn(&mut Database, i64)) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    let days = 0..honest + AFTER;
    days.map(|day| {
        shop.day(1.0);
        if day >= honest {
            attack(&mut shop, day - honest);
        }
        shop.facts(BEGIN + day * DAY)
    })
    .collect()
}

fn sealed(shop: &mut Database, day: i64) {
    if day == 0 {
        let rows = shop.tables.get_mut("customers").unwrap();
        rows.columns = rows.columns.replace("name text", "name bytea");
        shop.update("customers", usize::MAX, false);
    }
}

fn copied(shop: &mut Database, day: i64) {
    if day == 0 {
        let mut rows = shop.tables.remove("customers").unwrap();
        rows.columns = "data bytea, id bigint not null".to_owned();
        shop.tables.insert("customers_enc".to_owned(), rows);
        shop.update("customers_enc", usize::MAX, false);
    }
}

fn restored(seed: u64, honest: i64) -> Vec<Facts> {
    let mut shop = Database::shop(seed);
    let mut old = Vec::new();
    let days = 0..honest + AFTER;
    days.map(|day| {
        if day == honest {
            shop = Database::clone(&old[(honest as usize).saturating_sub(7)]);
        } else {
            shop.day(1.0);
        }
        old.push(shop.clone());
        shop.facts(BEGIN + day * DAY)
    })
    .collect()
}

fn replayed(seed: u64, honest: i64) -> Vec<Facts> {
    let mut runs = shop(seed, honest, |_, _| {});
    let last = runs[honest as usize - 1].clone();
    for (day, facts) in runs.iter_mut().enumerate().skip(honest as usize) {
        *facts = Facts { at: strongroom::model::Time::from_unix(BEGIN + day as i64 * DAY), ..last.clone() };
    }
    runs
}

fn command(seed: u64, honest: i64, size_of: fn(i64, f64) -> f64) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let days = 0..honest + AFTER;
    days.map(|day| {
        let size = 50e6 * (1.0 + day as f64 * 0.005) * (0.97 + chance.real() * 0.06);
        bytes(BEGIN + day * DAY, size_of(day - honest, size), (0.3 + chance.real() * 0.2, 0.2))
    })
    .collect()
}

fn encrypted_dump(seed: u64, honest: i64) -> Vec<Facts> {
    let mut runs = command(seed, honest, |_, size| size);
    for facts in runs.iter_mut().skip(honest as usize) {
        facts.fresh = Some(strongroom::signal::Fresh { bytes: facts.bytes, stored: facts.bytes });
    }
    runs
}

fn git(seed: u64, honest: i64, attack: fn(&mut Repository, &mut Chance, i64)) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut repository =
        Repository::new(&["main", "develop", "feature/login", "feature/search", "release/1", "fix-tax"]);
    let days = 0..honest + AFTER;
    days.map(|day| {
        repository.push("main", &mut chance);
        if chance.real() < 0.5 {
            repository.force("feature/login", &mut chance);
        }
        if day >= honest {
            attack(&mut repository, &mut chance, day - honest);
        }
        repository.facts(BEGIN + day * DAY)
    })
    .collect()
}

fn files(seed: u64, honest: i64, attack: fn(&mut Tree, &mut Chance, i64)) -> Vec<Facts> {
    let mut chance = Chance::new(seed);
    let mut tree = Tree::new(2000, &mut chance);
    let days = 0..honest + AFTER;
    days.map(|day| {
        for at in 0..chance.about(8.0) {
            tree.files.insert(format!("docs/new-{day}-{at}.odt"), chance.next());
        }
        for _ in 0..chance.about(10.0) {
            let at = chance.below(2000);
            let name = format!("docs/{at}.odt");
            if tree.files.contains_key(&name) {
                tree.files.insert(name, chance.next());
            }
        }
        tree.fresh = (1 << 20, 0.4);
        if day >= honest {
            attack(&mut tree, &mut chance, day - honest);
        }
        tree.facts(BEGIN + day * DAY)
    })
    .collect()
}
