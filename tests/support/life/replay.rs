//! Replays lives and attacks, and tells what the rules said.

use strongroom::{
    model::Time,
    signal::{self, Facts, History, Level, Verdict},
};

use super::{
    DAY,
    attacks::{ATTACKS, Attack},
    lives::{LIVES, Life},
    varied::{self, Slowly},
};

/// What was said of one run.
pub struct Said {
    pub run: usize,
    pub verdicts: Vec<Verdict>,
}

impl Said {
    pub fn alarm(&self) -> bool {
        self.verdicts.iter().any(|v| v.level == Level::Alarm)
    }

    pub fn words(&self) -> String {
        let loudest = self.verdicts.iter().filter(|v| v.level == Level::Alarm).chain(&self.verdicts);
        let all: Vec<String> = loudest.take(1).map(|v| format!("{}: {}", v.rule, v.words)).collect();
        all.join("; ")
    }
}

/// What the rules say of each run, each judged by those before it.
pub fn replay(runs: Vec<Facts>) -> Vec<Said> {
    let mut history = History::default();
    let mut said = Vec::new();
    for (run, facts) in runs.into_iter().enumerate() {
        let mut verdicts: Vec<Verdict> = signal::quiet(&history, facts.at, None).into_iter().collect();
        verdicts.extend(signal::judge(&history, &facts));
        history.push(facts, &verdicts);
        if !verdicts.is_empty() {
            said.push(Said { run, verdicts });
        }
    }
    said
}

/// A row of the table: what, how it ended, in words, and whether that is as it should be.
pub struct Row {
    pub name: String,
    pub told: String,
    pub words: String,
    pub fine: bool,
}

pub fn life((name, life): &Life, seeds: &[u64], days: i64) -> Row {
    let all: Vec<Vec<Said>> = seeds.iter().map(|seed| replay(life(*seed, days))).collect();
    let alarms: Vec<usize> = all.iter().map(|said| said.iter().filter(|s| s.alarm()).count()).collect();
    let notices: usize = all.iter().flatten().filter(|s| !s.alarm()).count();
    let most = alarms.iter().copied().max().unwrap_or_default();
    let words = all.iter().flatten().filter(|s| s.alarm()).map(|s| format!("run {}: {}", s.run + 1, s.words())).next();
    let words = words.or_else(|| all.iter().flatten().map(Said::words).next()).unwrap_or_default();
    let told = format!("{most} alarms at most, {:.1} notices", notices as f64 / seeds.len() as f64);
    Row { name: (*name).to_owned(), told, words, fine: most <= 1 }
}

/// An attack after so many honest days.
pub fn attack((name, slow, attack): &Attack, seeds: &[u64], honest: i64) -> Row {
    let (mut latest, mut early, mut words, mut missed) = (0, 0, String::new(), 0);
    for seed in seeds {
        let said = replay(attack(*seed, honest));
        early += said.iter().filter(|s| s.alarm() && s.run < honest as usize).count();
        match said.iter().find(|s| s.alarm() && s.run >= honest as usize) {
            Some(first) => {
                latest = latest.max(first.run - honest as usize + 1);
                words = first.words();
            }
            None => missed += 1,
        }
    }
    // Where little is known of what is usual, chance is given more room, and that can cost a day.
    let days = if honest < 10 { 6 } else { 5 };
    let fine = missed == 0 && early == 0 && latest <= if *slow { days } else { 1 };
    let told =
        if missed > 0 { format!("MISSED by {missed} of {}", seeds.len()) } else { format!("alarm at run {latest}") };
    Row { name: format!("{name}, after {honest} days"), told, words, fine }
}

/// Backups that stop, after so many honest days: on which day without one somebody is told.
pub fn silence(seeds: &[u64], honest: i64) -> Row {
    let (mut latest, mut words) = (0, String::new());
    for seed in seeds {
        let runs = (LIVES[0].1)(*seed, honest);
        let mut history = History::default();
        runs.into_iter().for_each(|facts| history.push(facts, &[]));
        let last = history.last().unwrap().at.unix();
        let first = (1..10 * 24)
            .find_map(|hour| Some((hour, signal::quiet(&history, Time::from_unix(last + hour * 3600), None)?)));
        let (hour, verdict) = first.unwrap();
        latest = latest.max(hour);
        words = verdict.words;
    }
    // Five days that ended on a Friday: nobody knows yet whether it works on weekends.
    let told = format!("alarm after {latest} h");
    Row {
        name: format!("backups no longer run, after {honest} days"),
        told,
        words,
        fine: latest * 3600 <= if honest > 5 { 3 * DAY } else { 5 * DAY },
    }
}

/// A slow attack on tables of all proportions. Where little of a table is altered or deleted on a usual day, one of ten may be
/// missed; where much is, that is told and no more.
pub fn of_all_proportions(how: Slowly, seeds: &[u64], honest: i64) -> Row {
    let (mut quiet, mut busy, mut words) = ([0_usize; 2], [0_usize; 2], String::new());
    for seed in seeds {
        // Begun on any day of the week.
        let honest = honest + (*seed % 7) as i64;
        let (habit, runs) = varied::attack(*seed, honest, how);
        let within = honest as usize..honest as usize + 5;
        let told = replay(runs).into_iter().find(|said| said.alarm() && within.contains(&said.run));
        let counts = if habit.altered + habit.deleted <= 0.01 { &mut quiet } else { &mut busy };
        counts[0] += usize::from(told.is_some());
        counts[1] += 1;
        words = told.map_or(words, |said| said.words());
    }
    let name = format!("all proportions: {how:?}, after {honest} days or more");
    let told = format!(
        "within five days {} of {}, {} of {} where more than 1% is usual",
        quiet[0], quiet[1], busy[0], busy[1]
    );
    Row { name, told, words, fine: (quiet[1] - quiet[0]) * 10 <= quiet[1] }
}

/// All rows: lives, attacks, these after so many honest days.
pub fn table(seeds: &[u64], days: i64, after: &[i64]) -> (Vec<Row>, Vec<Row>) {
    (lives(seeds, days, false), attacks(seeds, after))
}

/// The rows of the lives, without those of hundreds of runs unless there is the time.
pub fn lives(seeds: &[u64], days: i64, quick: bool) -> Vec<Row> {
    let short = |name: &str| !quick || !name.starts_with("hourly");
    LIVES.iter().filter(|one| short(one.0)).map(|one| life(one, seeds, days)).collect()
}

/// The rows of the attacks, after so many honest days.
pub fn attacks(seeds: &[u64], after: &[i64]) -> Vec<Row> {
    let mut attacks = Vec::new();
    for honest in after.iter().copied() {
        // A source must have been seen to change before it can be seen that it does not; and to change so much before it can be
        // seen that it changes thrice as much.
        let late = ["old state", "large shop: columns", "mid-sized shop", "weekly rhythm"];
        let seen = |name: &str| honest >= 7 || !late.iter().any(|late| name.starts_with(late));
        attacks.extend(ATTACKS.iter().filter(|a| seen(a.0)).map(|one| attack(one, seeds, honest)));
        let slow = [Slowly::Encrypted, Slowly::EncryptedOldest, Slowly::Deleted, Slowly::DeletedOldest];
        attacks.extend(slow.map(|how| of_all_proportions(how, seeds, honest)));
        attacks.push(silence(seeds, honest));
    }
    attacks
}
