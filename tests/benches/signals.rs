//! What the rules of signals say of ordinary lives and of attacks: `cargo bench --bench signals [SEEDS [DAYS [FIRST]]]`. Who changes
//! a rule looks at other seeds than those that decide.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../support/life/mod.rs"]
mod life;

use life::replay::Row;

fn print(title: &str, rows: &[Row]) {
    println!("\n| {title} | told | in words |\n| --- | --- | --- |");
    for Row { name, told, words, fine } in rows {
        println!("| {name} | {told}{} | {words} |", if *fine { "" } else { " (NOT FINE)" });
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let (count, days) = (numbers.next().unwrap_or(10), numbers.next().unwrap_or(90));
    let seeds: Vec<u64> = (numbers.next().unwrap_or(1)..).take(usize::try_from(count).unwrap_or(10)).collect();
    let (lives, attacks) = life::replay::table(&seeds, i64::try_from(days).unwrap_or(90), &[5, 7, 9, 12, 20, 40]);
    println!("seeds {seeds:?}, {days} days of each life");
    print("ordinary life", &lives);
    print("attack or accident", &attacks);
    if std::env::args().any(|word| word == "--why") {
        for (name, life) in life::lives::LIVES {
            for seed in &seeds {
                for said in life::replay::replay(life(*seed, 61)).iter().filter(|said| said.alarm()) {
                    println!("{name}, seed {seed}, run {}: {}", said.run + 1, said.words());
                }
            }
        }
    }
    let bad = lives.iter().chain(&attacks).filter(|row| !row.fine).count();
    println!("\n{bad} rows are not as they should be");
}
