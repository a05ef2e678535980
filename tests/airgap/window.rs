//! `airgap run`: closed but while a command runs, whatever kills whom.

use std::{fs, time::Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::steps::{Ways, good, step, wait_for};

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// The watchdog of a run, by its parent.
fn watchdog(of: u32) -> Option<u32> {
    let ours = |entry: &fs::DirEntry| -> Option<u32> {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let is_dog = String::from_utf8_lossy(&words).contains("watchdog");
        (parent == of && is_dog).then_some(pid)
    };
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| ours(&entry))
}

#[test]
fn it_is_open_while_the_command_runs_and_at_no_other_time() {
    let ways = Ways::new("closed = true", &[good("a"), good("b")]);
    let look = "test -e ../ways/a && test -e ../ways/b && echo inside";
    let run = ways.run(&["airgap", "run", "--", "sh", "-c", look]).ok();
    assert_eq!(run.out().lines().next(), Some("inside"), "{}", run.out());
    assert!(!ways.is_open("a") && !ways.is_open("b"));
    let failed = ways.run(&["airgap", "run", "--json", "--", "sh", "-c", "exit 4"]).code(1).json();
    assert_eq!(failed["result"]["ended"], "exit code 4", "{failed}");
    assert_eq!(failed["result"]["open"], serde_json::json!([]));
    ways.run(&["airgap", "run", "--", "/nowhere/at/all"]).code(1).says("can't be started");
    assert!(!ways.is_open("a"));
    ways.run(&["airgap", "status"]).ok();
    // What was open before is told, and is not left open.
    ways.open("a");
    ways.run(&["airgap", "status"]).code(5).says("a");
    ways.run(&["airgap", "run", "--", "true"]).code(5).says("open before the window was: a");
    assert!(!ways.is_open("a"));
}

#[test]
fn whatever_does_not_connect_runs_nothing() {
    let broken = "[[airgap.step]]\nname = \"x\"\ndisconnect = [\"true\"]\nconnect = [\"false\"]\nprobe = [\"false\"]\npatience = \"1s\"\n";
    let ways = Ways::new("", &[good("a"), broken.to_owned()]);
    ways.open("a");
    ways.run(&["airgap", "status"]).ok();
    fs::remove_file(ways.file("a")).unwrap();
    let run = ways.run(&["airgap", "run", "--", "touch", "../ran"]);
    // Of the broken one nothing is proved either.
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(!ways.sandbox.path("ran").exists() && !ways.is_open("a"), "{}", run.stderr);
}

#[test]
fn the_watchdog_cuts_when_its_parent_is_killed() {
    let ways = Ways::new("", &[good("a")]);
    let mut run = ways.start(&["airgap", "run", "--", "sleep", "60"]);
    wait_for("the window", || ways.is_open("a"));
    wait_for("the watchdog", || watchdog(run.id()).is_some());
    let begin = Instant::now();
    kill(run.id(), Signal::KILL);
    run.wait().unwrap();
    wait_for("the cut", || !ways.is_open("a"));
    assert!(begin.elapsed().as_secs() < 20);
    wait_for("the journal", || {
        ways.events().iter().any(|event| event["event"] == "closed" && event["by"] == "watchdog")
    });
    ways.run(&["airgap", "status"]).ok();
    // And the next one finds nothing in its way.
    ways.run(&["airgap", "run", "--", "true"]).ok();
}

#[test]
fn a_command_that_runs_for_too_long_is_ended_and_so_is_one_without_a_watchdog() {
    let ways = Ways::new("longest = \"2s\"", &[good("a")]);
    let run = ways.run(&["airgap", "run", "--", "sh", "-c", "trap '' TERM; sleep 60 & wait"]).code(1);
    assert!(run.stderr.contains("its longest time is over"), "{}", run.stderr);
    assert!(!ways.is_open("a"));

    let ways = Ways::new("", &[good("a")]);
    let run = ways.start(&["airgap", "run", "--", "sleep", "60"]);
    wait_for("the window", || ways.is_open("a"));
    wait_for("the watchdog", || watchdog(run.id()).is_some());
    kill(watchdog(run.id()).unwrap(), Signal::KILL);
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the watchdog is gone"), "{said}");
    assert!(!ways.is_open("a"));
}

#[test]
fn the_watchdog_cuts_when_the_time_is_over_and_its_parent_hangs() {
    let ways = Ways::new("longest = \"2s\"", &[good("a")]);
    let mut run = ways.start(&["airgap", "run", "--", "sleep", "60"]);
    wait_for("the window", || ways.is_open("a"));
    kill(run.id(), Signal::STOP);
    wait_for("the cut", || !ways.is_open("a"));
    kill(run.id(), Signal::CONT);
    run.wait().unwrap();
    assert!(!ways.is_open("a"));
}

#[test]
fn who_trips_meanwhile_ends_the_window() {
    let ways = Ways::new("", &[good("a")]);
    let run = ways.start(&["airgap", "run", "--", "sleep", "60"]);
    wait_for("the window", || ways.is_open("a"));
    ways.run(&["airgap", "run", "--", "true"]).code(75);
    ways.trip().ok();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("stopped since tripped"), "{said}");
    assert!(!ways.is_open("a"));
    ways.run(&["airgap", "run", "--", "true"]).code(8);
    assert!(!ways.is_open("a"));
}

#[test]
fn what_can_not_be_cut_again_is_told_loudly() {
    let ways = Ways::new("", &[step("a", "true", "")]);
    ways.run(&["airgap", "run", "--", "true"]).code(5).says("not proved to be cut: a");
    assert!(ways.is_open("a"));
}
