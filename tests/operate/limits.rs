//! `--limit-upload` and `--deadline`, and `[limits]`.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::sandbox::{Sandbox, noise};

#[test]
fn a_backup_takes_no_more_of_the_line_than_it_may() {
    let sandbox = Sandbox::with_vault();
    let bytes = noise(36 << 20, 3);
    let begun = Instant::now();
    // Three packs: the second and the third wait for what was put before them.
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "8MiB"], &bytes).ok();
    assert!(begun.elapsed() >= Duration::from_secs(3), "32 MiB before the last pack take 4 s: {:?}", begun.elapsed());
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "0"], b"x").code(2);
    sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "fast"], b"x").code(2);
}

#[test]
fn a_run_ends_with_its_deadline_and_the_next_goes_on() {
    let sandbox = Sandbox::with_vault();
    sandbox.configure("\n[limits]\nupload = \"1MiB\"\ndeadline = \"3s\"\n");
    let bytes = noise(40 << 20, 4);
    let late = sandbox.writer_with(&["backup", "--name", "big", "--stdin", "--json"], &bytes).code(1).json();
    assert_eq!(late["error"]["kind"], "deadline", "{late}");
    assert!(late["error"]["message"].as_str().unwrap().contains("3s"), "{late}");
    // What is typed comes before what is configured.
    sandbox
        .writer_with(&["backup", "--name", "big", "--stdin", "--limit-upload", "1GiB", "--deadline", "1h"], &bytes)
        .ok();
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len(), 1);
    let text = fs::read_to_string(sandbox.config()).unwrap();
    for wrong in ["upload = \"0\"", "upload = \"quick\"", "deadline = \"0s\"", "speed = 1"] {
        fs::write(sandbox.config(), text.replace("upload = \"1MiB\"", wrong).replace("deadline = \"3s\"", "")).unwrap();
        sandbox.writer_with(&["backup", "--name", "big", "--stdin"], b"x").code(2);
    }
}
