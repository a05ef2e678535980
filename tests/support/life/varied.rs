//! Lives and attacks whose proportions are drawn anew for each seed: how large tables are, how fast they grow, how much of them is
//! altered and how old that is, what is deleted, how busy the days are. So what a rule was chosen by is not what it is tried with.

use strongroom::signal::Facts;

use super::{BEGIN, Chance, DAY, Database, Rows};

/// What is usual of a table.
#[derive(Clone)]
pub struct Habit {
    pub name: String,
    /// Which share of it is new each day.
    pub growth: f64,
    /// Which share of it is altered each day.
    pub altered: f64,
    /// Among which share of the newest rows.
    pub newest: f64,
    /// Which share goes each day, and whether those are the oldest.
    pub deleted: f64,
    pub oldest: bool,
}

/// A database with tables of its own, and the rhythm of those who use it.
pub struct Varied {
    pub shop: Database,
    pub habits: Vec<Habit>,
    weekend: f64,
    restless: f64,
    bursts: f64,
    mood: f64,
}

/// A number between the two, as likely to be in one order of magnitude as in another.
fn scale(chance: &mut Chance, low: f64, high: f64) -> f64 {
    low * (high / low).powf(chance.real())
}

fn pick<T: Copy>(chance: &mut Chance, among: &[T]) -> T {
    among[chance.below(among.len())]
}

impl Varied {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x7a61);
        let mut shop = Database::sized(seed, 0.0);
        shop.tables.clear();
        shop.sequences.clear();
        let mut habits = Vec::new();
        for at in 0..2 + chance.below(4) {
            let name = format!("t{}", (b'a' + at as u8) as char);
            let rows = scale(&mut chance, 200.0, 12_000.0) as usize;
            let growth = if chance.real() < 0.2 { 0.0 } else { scale(&mut chance, 0.0005, 0.03) };
            let deleted = pick(&mut chance, &[0.0, 0.0, 0.0, 0.5, 1.0]) * growth;
            habits.push(Habit {
                name: name.clone(),
                growth,
                altered: if chance.real() < 0.2 { 0.0 } else { scale(&mut chance, 0.0005, 0.05) },
                newest: pick(&mut chance, &[0.03, 0.1, 0.3, 1.0]),
                deleted,
                oldest: chance.real() < 0.7,
            });
            shop.tables.insert(name.clone(), Rows { rows: Vec::new(), columns: super::PLAIN.to_owned() });
            shop.insert(&name, rows);
        }
        let weekend = pick(&mut chance, &[1.0, 0.5, 0.1, 0.0]);
        let restless = pick(&mut chance, &[0.0, 0.15, 0.3]);
        let bursts = pick(&mut chance, &[0.0, 0.0, 0.05]);
        Self { shop, habits, weekend, restless, bursts, mood: 0.0 }
    }

    pub fn day(&mut self, day: i64) {
        let chance = &mut self.shop.chance;
        let bell = (0..12).map(|_| chance.real()).sum::<f64>() - 6.0;
        self.mood = 0.5 * self.mood + bell * self.restless;
        let burst = if chance.real() < self.bursts { 3.0 } else { 1.0 };
        let busy = self.mood.exp() * burst * if day % 7 >= 5 { self.weekend } else { 1.0 };
        for habit in self.habits.clone() {
            let rows = self.shop.tables[&habit.name].rows.len() as f64;
            let new = poisson(&mut self.shop.chance, rows * habit.growth * busy);
            self.shop.insert(&habit.name, new);
            self.alter(&habit, rows * habit.altered * busy);
            if habit.deleted > 0.0 {
                self.shop.delete(&habit.name, habit.deleted * busy, habit.oldest);
            }
        }
    }
}

/// As many as come by chance where `mean` is expected.
fn poisson(chance: &mut Chance, mean: f64) -> usize {
    if mean > 40.0 {
        let bell = (0..12).map(|_| chance.real()).sum::<f64>() - 6.0;
        return (mean + bell * mean.sqrt()).max(0.0).round() as usize;
    }
    let (mut count, mut left) = (0, chance.real());
    while left > (-mean).exp() {
        left *= chance.real();
        count += 1;
    }
    count
}

impl Varied {
    fn alter(&mut self, habit: &Habit, how_many: f64) {
        let count = poisson(&mut self.shop.chance, how_many);
        let rows = self.shop.tables.get_mut(&habit.name).unwrap();
        let len = rows.rows.len();
        for _ in 0..count {
            let back = self.shop.chance.below(((len as f64 * habit.newest) as usize).max(1));
            rows.rows[len - 1 - back] = self.shop.chance.next();
        }
    }
}

/// So many honest days of the life of `seed`.
pub fn life(seed: u64, days: i64) -> Vec<Facts> {
    let mut varied = Varied::new(seed);
    (0..days)
        .map(|day| {
            varied.day(day);
            varied.shop.facts(BEGIN + day * DAY)
        })
        .collect()
}

/// What is done to one table, a little each day.
#[derive(Clone, Copy, Debug)]
pub enum Slowly {
    /// Two rows in a hundred are encrypted: any, each once.
    Encrypted,
    /// The same, the oldest first.
    EncryptedOldest,
    /// One row in a hundred is deleted.
    Deleted,
    /// The same, the oldest first.
    DeletedOldest,
}

/// The habit of the table that is attacked, and the runs: so many honest days, then six of the attack.
pub fn attack(seed: u64, honest: i64, how: Slowly) -> (Habit, Vec<Facts>) {
    let mut varied = Varied::new(seed);
    let target = Chance::new(seed ^ 0xa77a).below(varied.habits.len());
    let habit = varied.habits[target].clone();
    let runs = (0..honest + super::attacks::AFTER).map(|day| {
        varied.day(day);
        if day >= honest {
            let since = (day - honest) as usize;
            let rows = &mut varied.shop.tables.get_mut(&habit.name).unwrap().rows;
            let some = rows.len() / 50;
            match how {
                Slowly::Encrypted => {
                    for at in (since * 7..rows.len()).step_by(50) {
                        rows[at] = varied.shop.chance.next();
                    }
                }
                Slowly::EncryptedOldest => {
                    let first = since * some;
                    rows.iter_mut().skip(first).take(some).for_each(|row| *row = varied.shop.chance.next());
                }
                Slowly::Deleted => varied.shop.delete(&habit.name, 0.01, false),
                Slowly::DeletedOldest => varied.shop.delete(&habit.name, 0.01, true),
            }
        }
        varied.shop.facts(BEGIN + day * DAY)
    });
    let runs = runs.collect();
    (habit, runs)
}
