//! The page of an incident on a cluster with a journal: what it says to type brings back the second before the accident.

use std::process::Command;

use crate::recover::{Lab, started};

#[test]
fn the_page_says_how_to_have_the_second_before_the_accident() {
    let mut lab = Lab::new();
    lab.server.sql(
        "postgres",
        "create table ledger tablespace far as select repeat(md5(n::text), 20) from generate_series(1, 4000) n",
    );
    lab.base();
    lab.row(1);
    lab.row(2);
    std::thread::sleep(std::time::Duration::from_millis(20)); // two commits that a time tells apart
    let before = lab.now();
    lab.server.sql("postgres", "drop table ledger");
    lab.row(3);
    lab.base();
    lab.ship();

    let identity = lab.sandbox.identity().display().to_string();
    let page = lab.sandbox.reader(&["incident", "--source", "cluster", "--json", "-i", &identity]).code(7).json();
    let page = &page["result"]["sources"][0];
    assert_eq!(page["state"], "alarm", "{page:#}");
    assert!(page["headline"].to_string().contains("are gone"), "{page:#}");
    assert!(page["journal"]["gap"] == false && page["journal"]["to_at"].is_string(), "{page:#}");
    let steps = page["commands"].as_array().unwrap();
    let of = |word: &str| steps.iter().map(|step| step["command"].as_str().unwrap()).find(|text| text.contains(word));
    // The page says from when on; the time is put forward as far as all is known to have been well.
    let typed = of("--recover-to").unwrap_or_else(|| panic!("{page:#}"));
    let words: Vec<&str> = typed.split(' ').collect();
    let at = words.iter().position(|word| *word == "--recover-to").unwrap() + 1;
    // The first whole second behind the base: within one second of it nobody can say more.
    let second = |text: &str| text.parse::<strongroom::model::Time>().unwrap().unix();
    let from = second(page["journal"]["from_at"].as_str().unwrap());
    assert_eq!(second(words[at]), from + 1, "{typed}");
    assert!(&before[..19] >= page["journal"]["from_at"].as_str().unwrap().trim_end_matches('Z'), "{before} {page:#}");
    let typed = typed.replace(words[at], &before);
    let program = assert_cmd::cargo::cargo_bin("strongroom");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let done = shell.args(["-c", &typed]).env("PATH", path).current_dir(lab.out.path()).output().unwrap();
    assert!(done.status.success(), "{typed}\n{}", String::from_utf8_lossy(&done.stderr));
    let dir = std::fs::read_dir(lab.out.path()).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let sql = "select (select string_agg(id::text, ',' order by id) from t) || ' ' || (select count(*) from ledger)";
    assert_eq!(started(&dir, &dir.join("cluster"), sql), "1,2 4000");
}
