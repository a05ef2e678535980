use std::{ffi::OsStr, io::Read as _};

use super::*;

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).to_vec()
}

/// Runs it to the end: what came out, and how it went.
fn run(argv: Vec<OsString>, options: CommandOptions) -> Result<Vec<u8>> {
    let mut reading = CommandSource::new(argv, options).open()?;
    let mut stream = reading.next_stream()?.unwrap();
    assert_eq!(stream.name.as_str(), "stdout");
    let mut out = Vec::new();
    stream.reader.read_to_end(&mut out).unwrap();
    assert!(reading.next_stream()?.is_none());
    reading.finish()?;
    Ok(out)
}

fn fails(argv: Vec<OsString>, options: CommandOptions) -> String {
    run(argv, options).unwrap_err().to_string()
}

#[test]
fn what_left_the_group_and_holds_the_output_is_not_waited_for() {
    let argv = ["sh", "-c", "echo a; setsid sleep 30 & exit 0"].map(Into::into).to_vec();
    let options = CommandOptions { timeout: Some(Duration::from_millis(200)), ..CommandOptions::default() };
    let began = std::time::Instant::now();
    let mut reading = CommandSource::new(argv, options).open().unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    let mut out = Vec::new();
    let error = std::io::Read::read_to_end(&mut stream.reader, &mut out).unwrap_err();
    assert!(error.to_string().contains("holds its output"), "{error}");
    drop(reading);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_output_comes_without_a_shell_and_without_our_variables() {
    let argv = ["printf", "%s", "$HOME;'"].map(OsString::from).to_vec();
    assert_eq!(run(argv, CommandOptions::default()).unwrap(), b"$HOME;'");
    let env = vec![("GREETING".into(), "hello".into())];
    let options = CommandOptions { env, ..CommandOptions::default() };
    assert_eq!(run(shell("printf $GREETING; cat"), options).unwrap(), b"hello");
}

#[test]
fn a_bad_end_is_an_error_that_names_the_program_and_not_its_arguments() {
    let said = fails(shell("echo rows; echo 'disk is full' >&2; exit 3 # hush-hush"), CommandOptions::default());
    assert!(said.contains("exit status 3") && said.contains("disk is full") && said.contains("(sh)"), "{said}");
    assert!(!said.contains("hush-hush"));
    let said = fails(shell("echo rows; kill -9 $$"), CommandOptions::default());
    assert!(said.contains("signal 9"), "{said}");
}

#[test]
fn what_can_not_be_started_says_what_to_do() {
    let said = fails(vec!["no-such-program-here".into()], CommandOptions::default());
    assert!(said.contains("no-such-program-here") && said.contains("PATH"), "{said}");
    assert!(fails(vec!["/no/such".into()], CommandOptions::default()).contains("/no/such"));
    assert!(fails(vec!["/etc/passwd".into()], CommandOptions::default()).contains("may not be run"));
    assert!(fails(Vec::new(), CommandOptions::default()).contains("no command"));
}

#[test]
fn secrets_in_what_it_said_are_masked() {
    let env = vec![("DB_PASSWORD".into(), "from-the-env".into())];
    let script = "echo \"cannot reach postgres://app:in-a-url@db/x PGPASSWORD=assigned $DB_PASSWORD $1\" >&2; exit 1";
    let mut argv = shell(script);
    argv.extend(["sh", "--password=in-an-argument"].map(OsString::from));
    let said = fails(argv, CommandOptions { env, ..CommandOptions::default() });
    for secret in ["in-a-url", "assigned", "from-the-env", "in-an-argument"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    assert!(said.contains("cannot reach"));
}

#[test]
fn only_the_end_of_much_talk_is_kept_and_never_half_a_word() {
    let script = "for i in $(seq 3000); do echo \"postgres://u:pw-$i@h\"; done >&2; echo last words >&2; exit 1";
    let said = fails(shell(script), CommandOptions::default());
    assert!(said.len() < 9 << 10 && said.contains("last words") && !said.contains("pw-"), "{}", said.len());
}

#[test]
fn too_little_output_and_a_missing_trailer_are_failures() {
    let options = |min, trailer: Option<&str>| CommandOptions {
        min_bytes: min,
        trailer: trailer.map(|t| t.as_bytes().to_vec()),
        ..CommandOptions::default()
    };
    assert!(run(shell("echo 12345"), options(Some(6), None)).is_ok());
    assert!(fails(shell("echo 1234"), options(Some(6), None)).contains("5 bytes only"));
    assert!(
        run(shell("seq 9999; echo '-- Dump completed on a day'"), options(None, Some("-- Dump completed"))).is_ok()
    );
    let early = shell("echo '-- Dump completed'; seq 9999");
    assert!(fails(early, options(None, Some("-- Dump completed"))).contains("cut short"));
}

#[test]
fn after_the_timeout_all_of_it_is_stopped() {
    // Would take a minute if only the shell were stopped, for its child holds the output.
    let options = CommandOptions { timeout: Some(Duration::from_millis(50)), ..CommandOptions::default() };
    assert!(fails(shell("sleep 60 & wait"), options).contains("not ended after 0.05 s"));
    let options = CommandOptions { timeout: Some(Duration::from_mins(10)), ..CommandOptions::default() };
    assert!(run(shell("echo quick"), options).is_ok());
}

#[test]
fn dropping_the_reading_stops_what_the_command_started() {
    let mut reading = CommandSource::new(shell("echo $$; sleep 600 & wait"), CommandOptions::default()).open().unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    let mut first = [0; 1];
    stream.reader.read_exact(&mut first).unwrap();
    drop(reading);
    // The end comes only when nothing holds the pipe any more.
    stream.reader.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_command_given_up_halfway_is_no_success() {
    let mut reading = CommandSource::new(shell("seq 99999"), CommandOptions::default()).open().unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    stream.reader.read_exact(&mut [0; 4]).unwrap();
    assert!(reading.finish().is_err());
}

#[test]
fn reading_goes_on_until_a_grandchild_closes_the_output() {
    let fifo = tempfile::tempdir().unwrap();
    let path = fifo.path().join("go");
    let mut argv = shell("mkfifo \"$1\"; (read x < \"$1\"; echo late) & echo early; exit 0");
    argv.extend([OsStr::new("sh"), path.as_os_str()].map(OsString::from));
    let mut reading = CommandSource::new(argv, CommandOptions::default()).open().unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    let mut early = [0; 6];
    stream.reader.read_exact(&mut early).unwrap();
    std::fs::write(&path, "go\n").unwrap();
    let mut rest = Vec::new();
    stream.reader.read_to_end(&mut rest).unwrap();
    assert_eq!((&early[..], &rest[..]), (&b"early\n"[..], &b"late\n"[..]));
    reading.finish().unwrap();
}
