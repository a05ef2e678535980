//! Each way: programs, or the bucket's policy.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::runtime::Handle;

use crate::{
    cli::{
        config::airgap::{Probe, StepConfig, Way},
        error::CliError,
        program::{self, Ended, how, quoted},
        settings::Settings,
        wiring::SystemClock,
    },
    format::layout,
    model::{Clock, Name, Span},
    ops::airgap::{
        Gate, Through,
        policy::{Lifted, denied, denies, lifted},
    },
    store::{
        StoreError, VaultUrl,
        credentials::CredentialsSpec,
        s3::{S3Settings, S3Store},
    },
};

/// A shell's codes for a program that can't be run, or is not there.
const NO_PROGRAM: [i32; 2] = [126, 127];

/// The way that a step is about.
pub(super) fn gate(
    step: &StepConfig,
    settings: &Settings,
    journal: &Path,
    runtime: &Handle,
) -> Result<Box<dyn Gate>, CliError> {
    let needs_bucket = matches!(step.way, Way::BucketDenyPuts { .. }) || matches!(step.probe, Probe::Put(..));
    let bucket = match settings.vault() {
        Ok(VaultUrl::S3 { bucket, prefix }) => Some(settings.reach(bucket, prefix)),
        _ if needs_bucket => {
            let what = format!("the step {} is about a bucket, and the vault is none", step.name);
            return Err(CliError::usage(what, "give a step with disconnect, connect and probe"));
        }
        _ => None,
    };
    let kept = journal.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    Ok(Box::new(Line { step: step.clone(), bucket, kept, runtime: runtime.clone() }))
}

/// A way of the configuration.
struct Line {
    step: StepConfig,
    bucket: Option<S3Settings>,
    /// The directory in which the policies are kept that were replaced.
    kept: PathBuf,
    runtime: Handle,
}

impl Line {
    fn run(&self, words: &[String]) -> Result<(), String> {
        let (mut command, name) = command(words)?;
        program::run_command(&mut command, self.step.timeout.as_duration()).success(&name, self.step.timeout)
    }

    fn store(&self, spec: &CredentialsSpec) -> Result<S3Store, String> {
        let settings = self.bucket.clone().ok_or("the vault is not a bucket")?;
        let settings = S3Settings { credentials: Some(spec.clone()), ..settings };
        self.within(self.step.timeout, S3Store::connect(settings))
    }

    /// Waits for the store, and not for longer than it may take.
    fn within<T>(&self, limit: Span, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
        let timed = async { tokio::time::timeout(limit.as_duration(), work).await };
        match self.runtime.block_on(timed) {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the store did not answer within {limit}")),
        }
    }

    fn deny(&self, allow: &[String], spec: &CredentialsSpec) -> Result<(), String> {
        let admin = self.store(spec)?.admin();
        let bucket = self.bucket.as_ref().map(|settings| settings.bucket.clone()).unwrap_or_default();
        let before = self.within(self.step.timeout, admin.policy())?;
        let after = denied(before.as_deref(), &bucket, allow)?;
        if !denies(before.as_deref())? {
            // What is replaced is kept beside, and that it can't be hinders nobody from cutting.
            let kept = self.keep(before.as_deref().unwrap_or_default());
            self.within(self.step.timeout, admin.set_policy(Some(&after)))?;
            kept?;
        } else if before.as_deref() != Some(&after) {
            self.within(self.step.timeout, admin.set_policy(Some(&after)))?;
        }
        let now = self.within(self.step.timeout, admin.policy())?;
        if denies(now.as_deref())? { Ok(()) } else { Err("the store took the policy and does not have it".to_owned()) }
    }

    fn keep(&self, policy: &str) -> Result<(), String> {
        let name = format!("{}-policy-{}.json", self.step.name, SystemClock.now().unix());
        let path = self.kept.join(name);
        let write = || {
            let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
            file.write_all(policy.as_bytes())?;
            file.sync_all()?;
            fs::File::open(&self.kept)?.sync_all()
        };
        write().map_err(|error| format!("the policy before could not be kept in {}: {error}", path.display()))
    }

    fn lift(&self, spec: &CredentialsSpec) -> Result<(), String> {
        let admin = self.store(spec)?.admin();
        let before = self.within(self.step.timeout, admin.policy())?;
        match lifted(before.as_deref())? {
            Lifted::Same => Ok(()),
            Lifted::None => self.within(self.step.timeout, admin.set_policy(None)),
            Lifted::Policy(policy) => self.within(self.step.timeout, admin.set_policy(Some(&policy))),
        }
    }

    fn put(&self, spec: &CredentialsSpec, member: &Name) -> Result<Through, String> {
        let store = self.store(spec)?;
        let key = layout::canary(member, SystemClock.now(), &format!("airgap-{:x}", std::process::id()));
        let may = self.within(self.step.probe_timeout, store.may_put(&key))?;
        Ok(if may { Through::Open } else { Through::Cut("the store refuses a put".to_owned()) })
    }
}

/// A program of the configuration. What opens the vault is nobody else's.
fn command(words: &[String]) -> Result<(Command, String), String> {
    let Some((name, args)) = words.split_first() else { return Err("there is no program".to_owned()) };
    let mut command = Command::new(name);
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STRONGROOM_") {
            command.env_remove(name);
        }
    }
    Ok((command, name.clone()))
}

impl Gate for Line {
    fn name(&self) -> &str {
        self.step.name.as_str()
    }

    fn disconnect(&mut self) -> Result<(), String> {
        match &self.step.way {
            Way::Commands { disconnect, .. } => self.run(disconnect),
            Way::BucketDenyPuts { allow, credentials } => self.deny(allow, credentials),
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        match &self.step.way {
            Way::Commands { connect, .. } => self.run(connect),
            Way::BucketDenyPuts { credentials, .. } => self.lift(credentials),
        }
    }

    fn probe(&mut self) -> Result<Through, String> {
        let words = match &self.step.probe {
            Probe::Put(spec, member) => return self.put(spec, member),
            Probe::Command(words) => words,
        };
        let (mut command, name) = command(words)?;
        match program::run_command(&mut command, self.step.probe_timeout.as_duration()) {
            Ended::Status(status, _) if status.success() => Ok(Through::Open),
            // It failed by itself. One that was killed or is not there found nothing out.
            Ended::Status(status, said) => match status.code() {
                Some(code) if !NO_PROGRAM.contains(&code) => Ok(Through::Cut(how(status))),
                _ => Err(format!("{name} ended with {}{}", how(status), quoted(&said))),
            },
            Ended::Late => {
                Err(format!("{name} did not end within {}: let it give up by itself", self.step.probe_timeout))
            }
            Ended::Never(why) => Err(format!("{name} {why}")),
        }
    }

    fn probed_by(&self) -> String {
        match &self.step.probe {
            Probe::Command(words) => words.join("\0"),
            Probe::Put(spec, member) => {
                let bucket = self.bucket.as_ref().map(|settings| settings.bucket.as_str()).unwrap_or_default();
                format!("put\0{bucket}\0{spec}\0{member}")
            }
        }
    }

    fn patience(&self) -> Duration {
        self.step.patience.as_duration()
    }
}
