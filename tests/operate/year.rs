//! Ten days of scripts/soak-year: a store that fails, a clock that jumps, sources, hooks and disks that fail.

use std::{path::Path, process::Command};

#[test]
fn ten_days_with_everything_going_wrong_end_as_they_should() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/soak-year");
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(script);
    command.args(["--days", "10", "--short", "--program"]).arg(assert_cmd::cargo::cargo_bin("strongroom"));
    let output = command.arg("--dir").arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{why} (scripts/test installs faketime)");
    assert!(said.contains("0 things were wrong"), "{said}");
    for kind in ["clock ", "gone ", "hook ", "killed ", "plain "] {
        assert!(said.contains(&format!("  {kind}")), "no day was {kind}: {said}");
    }
}
