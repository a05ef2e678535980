//! A month of daily backups, as somebody would measure it: run it with `--run-ignored only --no-capture` for the table.

use crate::lab::{Lab, stored};

#[test]
#[ignore = "takes minutes; a smaller one runs always"]
fn thirty_days_two_hundred_commits_and_two_force_pushes() {
    let mut lab = Lab::new();
    for no in 0..100 {
        lab.commit(no, 40_000);
    }
    lab.git(&["gc", "-q"]);
    let first = lab.backup();
    println!("day  commits  bundle bytes  stored bytes  ratio");
    println!("  0      100             -  {:>12}", stored(&first));
    let mut days = vec![(first["id"].as_str().unwrap().to_owned(), lab.state(&lab.repo()))];
    let (mut no, mut all, mut bundled) = (100, 0, 0);
    for day in 1..=30_u64 {
        let old = lab.git(&["rev-parse", "main"]);
        // Two hundred in all, on four days of five.
        let commits = if day % 5 == 0 { 0 } else { 8 + u64::from(day % 3 == 0) };
        if day == 10 || day == 20 {
            lab.git(&["reset", "-q", "--hard", "HEAD~5"]);
        }
        for _ in 0..commits {
            lab.commit(no, 6000);
            no += 1;
        }
        let mut bundle = 0;
        if commits > 0 {
            let path = lab.sandbox.path("bundle");
            lab.git(&["bundle", "create", "-q", path.to_str().unwrap(), "main", &format!("^{old}")]);
            bundle = std::fs::metadata(path).unwrap().len();
        }
        if day % 7 == 0 {
            lab.git(&["reflog", "expire", "--expire=now", "--all"]);
            lab.git(&["gc", "-q", "--prune=now"]);
        }
        let snapshot = lab.backup();
        let cost = stored(&snapshot);
        println!("{day:>3}  {commits:>7}  {bundle:>12}  {cost:>12}  {:>3} %", cost * 100 / bundle.max(1));
        (all, bundled) = (all + cost, bundled + bundle);
        days.push((snapshot["id"].as_str().unwrap().to_owned(), lab.state(&lab.repo())));
    }
    println!("all of them: {all} stored, {bundled} in bundles, {} commits", no - 100);
    for (id, state) in days.iter().rev() {
        let back = lab.restore(id);
        assert_eq!(lab.state(&back), *state);
    }
    assert!(no - 100 >= 200 && all < 2 * bundled, "{all} stored for {bundled}");
}
