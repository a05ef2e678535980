//! G12: however long a stream is, memory stays within its bound.

use std::fs;

use crate::lab::Lab;

/// The bound that is promised, in KiB.
const BOUND: u64 = 256 << 10;
/// Random bytes and text in turns, 400 MiB of it, the same each time.
const GENERATOR: &str = "
import hashlib, sys
for i in range(404):
    random = hashlib.shake_128(b'%d' % i).digest(1 << 20)
    sys.stdout.buffer.write(random if i % 2 else random[:1 << 19].hex('\\n', 32).encode()[:1 << 20])
";
/// Runs a command and tells the most memory that it, or anything that it started, had at once.
const MEASURE: &str = "
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
open(sys.argv[1], 'w').write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
";

/// The system's own one starts faster than those of version managers.
fn python() -> &'static str {
    if fs::exists("/usr/bin/python3").unwrap() { "/usr/bin/python3" } else { "python3" }
}

#[test]
fn g12_a_long_stream_there_and_back() {
    let lab = Lab::new();
    let peak = || fs::read_to_string(lab.path("peak")).unwrap().parse::<u64>().unwrap();
    let measured = |command: std::process::Command| {
        let mut measured = lab.around(python());
        measured.args(["-c", MEASURE]).arg(lab.path("peak")).arg(command.get_program()).args(command.get_args());
        measured
    };
    let backup = lab.writer(["backup", "--name", "x", "--json", "--", python(), "-c", GENERATOR]);
    let made = lab.run(&mut measured(backup)).ok().json();
    let stream = &made["result"]["snapshots"][0]["streams"][0];
    assert!(stream["bytes"].as_u64().unwrap() > 400 << 20);
    let writing = peak();

    let restore = measured(lab.reader(["restore", "latest", "--source", "x", "--to", "-"]));
    let mut hashing = lab.around("sh");
    hashing.args(["-c", "\"$@\" | sha256sum", "sh"]).arg(restore.get_program()).args(restore.get_args());
    let restored = lab.run(&mut hashing).ok();
    let reading = peak();
    let mut again = lab.around("sh");
    again.args(["-c", "\"$@\" | sha256sum", "sh", python(), "-c", GENERATOR]);
    assert_eq!(restored.stdout, lab.run(&mut again).ok().stdout, "other bytes came back");

    lab.run(&mut measured(lab.reader(["verify", "--depth", "decrypt"]))).ok();
    let verifying = peak();
    let peaks = [("backup", writing), ("restore", reading), ("verify", verifying)];
    assert!(peaks.iter().all(|(_, peak)| *peak < BOUND), "KiB: {peaks:?}");
    eprintln!("KiB: {peaks:?}");
}
