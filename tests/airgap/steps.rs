//! `airgap trip` and `status`, with steps that behave and steps that don't.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// A place with a vault and an `[airgap]`. A way is a file: it is open while the file is there.
pub struct Ways {
    pub sandbox: Sandbox,
}

impl Ways {
    pub fn new(head: &str, steps: &[String]) -> Self {
        let sandbox = Sandbox::with_vault();
        let ways = Self { sandbox };
        fs::create_dir(ways.sandbox.path("ways")).unwrap();
        ways.sandbox.configure(&format!("\n[airgap]\njournal = \"airgap.journal\"\n{head}\n{}", steps.concat()));
        ways
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.sandbox.path("ways").join(name)
    }

    pub fn open(&self, name: &str) {
        fs::write(self.file(name), "").unwrap();
    }

    pub fn is_open(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    pub fn run(&self, args: &[&str]) -> Run {
        self.sandbox.writer(args)
    }

    pub fn trip(&self) -> Run {
        self.run(&["airgap", "trip", "--json", "--reason", "a test"])
    }

    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.sandbox.path("etc/airgap.journal")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The program, started and not waited for.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.arg("--config").arg(self.sandbox.config()).args(args).current_dir(self.sandbox.path("home"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// A step about the file `name`, which `{dir}` is beside.
pub fn step(name: &str, disconnect: &str, more: &str) -> String {
    let sh = |script: &str| format!("[\"sh\", \"-c\", \"{script}\"]");
    format!(
        "[[airgap.step]]\nname = \"{name}\"\ndisconnect = {}\nconnect = {}\nprobe = {}\npatience = \"2s\"\n{more}\n",
        sh(disconnect),
        sh(&format!("touch ../ways/{name}")),
        sh(&format!("test -e ../ways/{name}"))
    )
}

/// A step that works.
pub fn good(name: &str) -> String {
    step(name, &format!("rm -f ../ways/{name}"), "")
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !done() {
        assert!(Instant::now() < end, "it never came to that: {what}");
        thread::sleep(Duration::from_millis(30));
    }
}

fn of<'a>(report: &'a Value, step: &str) -> &'a Value {
    report["steps"].as_array().unwrap().iter().find(|one| one["step"] == step).unwrap()
}

#[test]
fn what_works_is_proved_and_doing_it_again_changes_nothing() {
    let ways = Ways::new("", &[good("a"), good("b")]);
    ways.open("a");
    ways.open("b");
    let before = ways.run(&["airgap", "status", "--json"]).ok().json();
    assert!(before["result"]["steps"].as_array().unwrap().iter().all(|step| step["state"] == "open"), "{before}");
    let run = ways.trip().ok().json();
    assert_eq!(run["result"]["open"], serde_json::json!([]));
    assert_eq!(run["result"]["again"], false);
    assert!(!ways.is_open("a") && !ways.is_open("b"));
    // A writer may not vouch for it, so the vault has nothing of it, and that is told.
    assert!(run["findings"].to_string().contains("airgap.unstored"), "{run}");
    let events: Vec<String> = ways.events().iter().map(|e| e["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["seen", "seen", "trip", "cutting", "cut", "cutting", "cut", "tripped"]);
    let again = ways.trip().ok().json();
    assert_eq!(again["result"]["again"], true);
    let after = ways.run(&["airgap", "status"]).ok();
    assert!(after.out().contains("tripped since") && after.out().contains("cut     a"), "{}", after.out());
    // Somebody connects it behind everybody's back.
    ways.open("b");
    let told = ways.run(&["airgap", "status", "--json"]).code(5).json();
    assert_eq!(told["result"]["open"], serde_json::json!(["b"]));
    assert!(told["error"]["message"].as_str().unwrap().contains('b'));
}

#[test]
fn steps_that_lie_hang_or_fail_leave_the_others_running_and_are_named() {
    let steps = [
        step("lies", "true", ""),
        step("hangs", "sleep 100 & sleep 100", "timeout = \"1s\""),
        step("fails", "exit 3", ""),
        "[[airgap.step]]\nname = \"missing\"\ndisconnect = [\"/nowhere/at/all\"]\nconnect = [\"true\"]\n\
         probe = [\"/nowhere/probe\"]\npatience = \"1s\"\n"
            .to_owned(),
        "[[airgap.step]]\nname = \"never\"\ndisconnect = [\"true\"]\nconnect = [\"true\"]\nprobe = [\"false\"]\n".to_owned(),
        "[[airgap.step]]\nname = \"slow\"\ndisconnect = [\"true\"]\nconnect = [\"true\"]\nprobe = [\"sleep\", \"50\"]\n\
         probe_timeout = \"1s\"\npatience = \"1s\"\n"
            .to_owned(),
        step("cuts-and-fails", "rm -f ../ways/cuts-and-fails; echo no such link >&2; exit 1", ""),
        good("last"),
    ];
    let ways = Ways::new("", &steps);
    for name in ["lies", "hangs", "fails", "cuts-and-fails", "last"] {
        ways.open(name);
    }
    let begin = Instant::now();
    let run = ways.trip().code(5).json();
    assert!(begin.elapsed() < Duration::from_secs(40), "a step that hangs is not waited for");
    let report = &run["result"];
    assert_eq!(report["open"], serde_json::json!(["lies", "hangs", "fails", "missing", "never", "slow"]), "{report}");
    let told = |step: &str| of(report, step)["told"].as_str().unwrap().to_owned();
    assert!(told("lies").contains("STILL OPEN"), "{}", told("lies"));
    assert!(told("hangs").contains("was ended after 1s"), "{}", told("hangs"));
    assert!(told("fails").contains("exit code 3"), "{}", told("fails"));
    assert!(told("missing").contains("NOT PROVED"), "{}", told("missing"));
    assert!(told("never").contains("never seen to succeed"), "{}", told("never"));
    assert!(told("slow").contains("did not end within"), "{}", told("slow"));
    assert!(of(report, "cuts-and-fails")["proved"] == true && told("cuts-and-fails").contains("no such link"));
    assert!(!ways.is_open("last") && of(report, "last")["proved"] == true);
    let message = run["error"]["message"].as_str().unwrap();
    for name in ["lies", "hangs", "fails", "missing"] {
        assert!(message.contains(name), "{message}");
    }
    let open = ways.run(&["airgap", "open", "--json"]).code(8).json();
    assert_eq!(open["error"]["kind"], "not-approved", "{open}");
    assert!(!ways.is_open("last"));
}

#[test]
fn a_trip_that_is_killed_is_told_and_the_next_one_ends_it() {
    let ways = Ways::new("", &[good("a"), step("b", "sleep 3; rm -f ../ways/b", ""), good("c")]);
    for name in ["a", "b", "c"] {
        ways.open(name);
    }
    ways.run(&["airgap", "status"]).ok();
    let mut trip = ways.start(&["airgap", "trip"]);
    wait_for("the second step", || {
        ways.events().iter().any(|event| event["event"] == "cutting" && event["step"] == "b")
    });
    trip.kill().unwrap();
    trip.wait().unwrap();
    assert!(!ways.is_open("a") && ways.is_open("c"));
    let told = ways.run(&["airgap", "status", "--json"]).code(5).json();
    assert_eq!(told["result"]["unfinished"], true);
    assert!(told["result"]["open"].to_string().contains("\"c\""), "{told}");
    ways.run(&["airgap", "run", "--", "true"]).code(8).says("were cut at");
    ways.trip().ok();
    assert!(!ways.is_open("b") && !ways.is_open("c"));
    let told = ways.run(&["airgap", "status", "--json"]).ok().json();
    assert_eq!(told["result"]["unfinished"], false);
}

#[test]
fn a_disk_that_takes_no_journal_hinders_nobody_from_cutting() {
    let ways = Ways::new("", &[good("a")]);
    ways.open("a");
    std::os::unix::fs::symlink("/dev/full", ways.sandbox.path("etc/airgap.journal")).unwrap();
    let run = ways.trip().code(5).json();
    assert!(!ways.is_open("a"), "{run}");
    assert_eq!(run["error"]["kind"], "unnoted", "{run}");
}

#[test]
fn a_configuration_that_could_prove_nothing_is_refused() {
    let told = |airgap: &str| {
        let sandbox = Sandbox::with_vault();
        sandbox.configure(&format!("\n[airgap]\njournal = \"j\"\n{airgap}"));
        sandbox.writer(&["airgap", "trip"]).code(2).stderr
    };
    let step = "[[airgap.step]]\nname = \"a\"\n";
    assert!(told("").contains("nothing to cut"));
    assert!(
        told(&format!("{step}disconnect = [\"true\"]\nconnect = [\"true\"]\n"))
            .contains("Without a probe nothing is proved")
    );
    assert!(
        told(&format!("{step}disconnect = []\nconnect = [\"true\"]\nprobe = [\"true\"]\n"))
            .contains("a program and its arguments")
    );
    let bucket = format!("{step}builtin = \"bucket-deny-puts\"\ncredentials = \"file:x\"\nprobe = [\"true\"]\n");
    assert!(told(&bucket).contains("who may still put"));
    assert!(told(&format!("{bucket}allow = [\"owner\"]\n")).contains("the vault is none"));
    Sandbox::with_vault().writer(&["airgap", "status"]).code(2).says("has no [airgap]");
}

#[test]
fn watch_trips_once_for_each_cause() {
    let ways = Ways::new("", &[good("a")]);
    ways.open("a");
    let dump = |bytes: usize| ways.sandbox.backup("dump", "INSERT INTO t VALUES(1);\n".repeat(bytes / 25).as_bytes());
    (0..6).for_each(|n| drop(dump(200_000 + n * 1000)));
    ways.sandbox.configure("\n[[watch.react]]\nname = \"cut\"\nbuiltin = \"airgap-trip\"\n");
    let seen = ways.sandbox.path("seen.json").display().to_string();
    let identity = ways.sandbox.identity().display().to_string();
    let watch = || ways.run(&["watch", "--react", "--json", "--checkpoint", &seen, "-i", &identity]);
    watch().ok();
    assert!(ways.is_open("a"), "nothing happened yet");
    dump(500);
    let run = watch().code(7).json();
    assert_eq!(run["result"]["reactions"][0]["ended"], "done", "{run}");
    assert!(!ways.is_open("a"));
    let trip = ways.events().into_iter().find(|event| event["event"] == "trip").unwrap();
    assert_eq!(trip["by"], "watch");
    assert!(trip["reason"].as_str().unwrap().contains("dump@"), "{trip}");
    ways.open("a");
    watch().code(7);
    assert!(ways.is_open("a"), "once for each cause");
}
