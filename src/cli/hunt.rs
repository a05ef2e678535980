//! Looking through directories for keys that lie about.

use std::{
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{error::CliError, settings::Settings};
use crate::{
    model::{Cancel, Finding, Severity},
    ops::doctor::{
        Check,
        hunt::{Hit, HuntReport, Judge, Kind, Known, search},
    },
    store::credentials::{CredentialsSpec, Keys},
};

/// The largest file that is looked through, in bytes: keys lie in small files, and in long histories and logs.
const LARGEST: u64 = 32 << 20;
/// How much of a file must be free of zero bytes for it to be text.
const TEXT: usize = 8 << 10;
/// How long a hunt may take.
const LONGEST: Duration = Duration::from_hours(1);
/// How many places of keys are told.
const HITS: usize = 1000;
/// What is no file of anybody's, wherever it is mounted.
const NOT_FILES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Looks through `dirs`, and through what lies in them. Links are not followed.
///
/// # Errors
/// If one of `dirs` can't be read at all.
pub fn hunt(dirs: &[PathBuf], settings: &Settings, judge: &Judge, cancel: &Cancel) -> Result<HuntReport, CliError> {
    let end = Instant::now() + LONGEST;
    let known = known(settings);
    let expected = expected(settings);
    let mut report = HuntReport::default();
    let mut waiting = Vec::new();
    for dir in dirs {
        let failed = |source| CliError::Io { what: "can't look through", path: dir.clone(), source };
        waiting.push(fs::canonicalize(dir).map_err(failed)?);
    }
    while let Some(path) = waiting.pop() {
        if cancel.is_cancelled() {
            return Err(crate::ops::OpsError::Interrupted.into());
        }
        if Instant::now() > end {
            report.unopened += u64::try_from(waiting.len()).unwrap_or(u64::MAX).saturating_add(1);
            break;
        }
        let Ok(meta) = fs::symlink_metadata(&path) else {
            report.unreadable += 1;
            continue;
        };
        if meta.is_dir() {
            if NOT_FILES.iter().any(|no| path.starts_with(no)) {
                continue;
            }
            match fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.filter_map(Result::ok).map(|entry| entry.path())),
                Err(_) => report.unreadable += 1,
            }
        } else if meta.is_file() {
            look(&path, &meta, (&known, judge), &expected, &mut report);
        }
    }
    report.hits.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(report)
}

fn look(path: &Path, meta: &Metadata, (known, judge): (&Known, &Judge), expected: &[PathBuf], report: &mut HuntReport) {
    if meta.len() > LARGEST {
        report.too_large += 1;
        return;
    }
    let Some(text) = read(path) else {
        report.unreadable += 1;
        return;
    };
    if text.iter().take(TEXT).any(|byte| *byte == 0) {
        report.binary += 1;
    }
    report.files += 1;
    let searched = search(&text, known, judge);
    report.unopened += u64::from(searched.cut);
    report.ssh_unjudged += searched.ssh_unjudged;
    let private = meta.mode().trailing_zeros() >= 6;
    for (line, kind) in searched.hits {
        if report.hits.len() < HITS {
            report.hits.push(Hit {
                path: path.display().to_string(),
                line,
                kind,
                readers: readers(meta),
                in_its_place: private && expected.iter().any(|expected| expected == path),
            });
        }
    }
}

/// The bytes of a file that is still one; a pipe or a device in its place is not waited for.
fn read(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(i32::try_from(flags).ok()?).open(path).ok()?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(LARGEST).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Who can read a file, root aside.
fn readers(meta: &Metadata) -> String {
    let mode = meta.mode();
    if mode & 0o004 != 0 {
        return "everybody on this host".to_owned();
    }
    let owner = format!("user {}", meta.uid());
    if mode & 0o040 != 0 { format!("{owner} and group {}", meta.gid()) } else { owner }
}

/// The secrets of the configuration at hand. What can't be read is not looked for, and the rest is.
fn known(settings: &Settings) -> Known {
    let keys = match settings.credentials() {
        Some(CredentialsSpec::File(path)) => Keys::from_file(path).ok(),
        Some(CredentialsSpec::Systemd(name)) => Keys::from_systemd(name).ok(),
        _ => None,
    };
    Known::new(keys.into_iter().flat_map(|keys| {
        let mut secrets = vec![Zeroizing::new(keys.id.clone()), keys.secret.clone()];
        secrets.extend(keys.token.clone());
        secrets
    }))
}

/// Where the configuration at hand has keys.
fn expected(settings: &Settings) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Some(config) = &settings.config {
        paths.extend(config.writer.as_ref().map(|writer| writer.key.clone()));
        paths.extend(config.member.as_ref().map(|member| member.key.clone()));
    }
    if let Some(CredentialsSpec::File(path)) = settings.credentials() {
        paths.push(path.clone());
    }
    paths.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect()
}

/// The first file right in `dir` that opens the vault, by the vault's own records.
#[must_use]
pub fn opening_in(dir: &Path, judge: &Judge) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).ok()?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    let small = |path: &&PathBuf| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= 1 << 20);
    let opens = |path: &&PathBuf| {
        let text = fs::read(path).map(Zeroizing::new).unwrap_or_default();
        search(&text, &Known::default(), judge).hits.iter().any(|(_, kind)| kind.opens())
    };
    paths.iter().filter(small).find(opens).cloned()
}

/// What a hunt means.
#[must_use]
pub fn checks(report: &HuntReport) -> (Vec<Check>, Vec<Finding>) {
    let (mut checks, mut findings) = (Vec::new(), Vec::new());
    for hit in &report.hits {
        let Hit { path, line, kind, readers, in_its_place } = hit;
        let detail = format!("{path}:{line}: {}, which {readers} can read", kind.as_str());
        if *in_its_place {
            checks.push(Check::ok("hunt", format!("{detail}: where the configuration has it")));
        } else if kind.is_certain() {
            checks.push(Check::failed("hunt", format!("{detail}. Move it away, and take it for known")));
        } else {
            let more = match kind {
                Kind::EncryptedIdentity => {
                    "it is protected by a passphrase, so it could not be checked; if it is an identity of the vault, move it away"
                }
                Kind::OtherIdentity => "it opens no record of this vault that can be read here",
                _ => "it may be the vault's: `doctor --as agent` tries what AWS tools would find",
            };
            findings.push(Finding::new(Severity::Warning, "hunt.secret", format!("{detail}; {more}")).on(path));
        }
    }
    let HuntReport { files, too_large, binary, unopened, ssh_unjudged, unreadable, .. } = report;
    let mut detail = format!(
        "{files} files were looked through, {binary} of them without text; not looked through were {too_large} too large, \
         {unreadable} not to be read by this user, and parts of {unopened} that are packed too deeply, too large or in \
         another way"
    );
    if *ssh_unjudged > 0 {
        let what = format!(
            "{ssh_unjudged} ssh private keys, and nothing here says whether they open the vault: give --config, or --vault \
             with credentials that may read its keys"
        );
        findings.push(Finding::new(Severity::Warning, "hunt.secret", what));
        detail.push_str("; ssh keys could not be judged");
    }
    checks.push(Check::ok("hunted", detail));
    (checks, findings)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use clap::Parser;

    use super::*;
    use crate::codec::seal::generate_identity;

    #[test]
    fn links_and_pipes_are_left_alone() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (identity, _) = generate_identity();
        let text = format!("x\n{}\n", identity.expose());
        fs::write(outside.path().join("key"), &text).unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink(outside.path().join("key"), dir.path().join("link")).unwrap();
        symlink(dir.path(), dir.path().join("round")).unwrap();
        fs::write(dir.path().join("binary"), [b"a\0".as_slice(), text.as_bytes()].concat()).unwrap();
        File::create(dir.path().join("huge")).unwrap().set_len(LARGEST + 1).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/notes.md"), &text).unwrap();
        fs::set_permissions(dir.path().join("a/b/notes.md"), fs::Permissions::from_mode(0o640)).unwrap();
        let typed = crate::cli::args::Cli::try_parse_from(["strongroom", "doctor"]).unwrap();
        let settings = Settings::without_config(&typed.global, &|_| None).unwrap();
        let judge = Judge::default();
        let report = hunt(&[dir.path().to_owned()], &settings, &judge, &Cancel::default()).unwrap();
        assert_eq!((report.files, report.binary, report.too_large), (2, 1, 1));
        let [hit, binary] = report.hits.as_slice() else { panic!("{:?}", report.hits) };
        assert!(binary.path.ends_with("binary"), "{binary:?}");
        assert!(hit.path.ends_with("a/b/notes.md") && hit.line == 2 && hit.readers.contains("group"), "{hit:?}");
        let (checks, _) = checks(&report);
        assert!(checks.iter().all(|check| !check.detail.contains("AGE-SECRET")), "{checks:?}");
        assert!(hunt(&[dir.path().join("none")], &settings, &judge, &Cancel::default()).is_err());
    }
}
