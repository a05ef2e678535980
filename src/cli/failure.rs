//! Errors become words and exit codes here and nowhere else.

#[cfg(feature = "full")]
mod day;
mod hints;
mod reports;

use serde::Serialize;

use super::{config::ConfigError, error::CliError, shell};
use crate::{
    catalog::{CatalogError, CatalogErrorKind, RunLockError},
    codec::CodecError,
    format::FormatError,
    guard::GuardError,
    model::Finding,
    ops::OpsError,
    source::redact::redact,
    store::{StoreError, StoreErrorKind},
    vault::{VaultError, VaultErrorKind},
};

/// The exit codes. Scripts depend on them: add, never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Some sources failed.
    SomeFailed,
    /// Damage was found.
    Damage,
    /// Protection is weaker than promised.
    Weak,
    /// A drill failed.
    Drill,
    /// Something looks wrong in what is backed up.
    Signal,
    /// Fewer people agreed than have to.
    NotApproved,
    /// There is no vault there.
    NoVault,
    /// No identity opens it.
    NoIdentity,
    /// Trying again may help.
    TryAgain,
    /// Interrupted.
    Interrupted,
    /// A server that recovers must stop, rather than take what it got so far for all there is.
    StopRecovery,
}

impl Exit {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::Damage => 4,
            Self::Weak => 5,
            Self::Drill => 6,
            Self::Signal => 7,
            Self::NotApproved => 8,
            Self::NoVault => 10,
            Self::NoIdentity => 12,
            Self::TryAgain => 75,
            Self::Interrupted => 130,
            // PostgreSQL takes 1 to 125 for the end of the log.
            Self::StopRecovery => 255,
        }
    }
}

/// A failure as people and scripts see it.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What it ends with.
    #[serde(skip)]
    pub exit: Exit,
    /// A stable word for it.
    pub kind: &'static str,
    /// What happened, to what.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// An exit code, a kind, and what to do next.
type Verdict = (Exit, &'static str, Option<String>);

const DRAFT: &str = "keep the build that wrote it for as long as its snapshots are wanted; back up into a new vault";
const AGAIN: &str = "run the command again later";
const PLUGIN: &str =
    "see that the device is there, that it is the one which the identity names, and what its plugin says by itself";
const CLOCK: &str = "set this host's clock (such as by chrony or systemd-timesyncd); locks are counted by the store's";
const STATE: &str = "let the user who runs this own it, or name another directory as `state` in [writer]: it must be on a disk \
                     that can be written to, and stay from run to run";
const NO_ACCESS: &str = "run it as a user who may read the vault's directory, and for a backup write in it; where its disk is \
                         mounted read-only, only reading is possible";
const LOCKED_OUT: &str = "the store refused these credentials: check which account they belong to and its permissions";

impl Failure {
    /// What `error` means.
    #[must_use]
    pub fn of(error: &CliError) -> Self {
        let (exit, kind, hint) = judge(error);
        Self { exit, kind, message: redact(&error.to_string()), hint }
    }

    /// What `error` means, and what was found before it happened.
    #[must_use]
    pub fn with_findings(error: CliError) -> (Self, Vec<Finding>) {
        let failure = Self::of(&error);
        let findings = match error {
            CliError::Ops(OpsError::Vault(error)) => error.findings,
            _ => Vec::new(),
        };
        (failure, findings)
    }

    /// Why a source has no snapshot.
    #[must_use]
    pub fn of_source(error: &OpsError) -> Self {
        let (exit, kind, hint) = ops(error);
        Self { exit, kind, message: redact(&error.to_string()), hint }
    }

    /// The result could not be written to standard output.
    #[must_use]
    pub fn unwritten(error: &std::io::Error) -> Self {
        let message = format!("the result could not be written to standard output: {error}");
        let hint =
            "look where it goes. What the command did is done: `strongroom snapshots` shows what is in the vault";
        let hint = hint.to_owned();
        Self { exit: Exit::Failed, kind: "unwritten", message, hint: Some(hint) }
    }

    /// A command line that can't be understood.
    #[must_use]
    pub fn usage(message: &str) -> Self {
        Self { exit: Exit::Usage, kind: "usage", message: redact(message), hint: Some("see --help".to_owned()) }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it stands beside None")]
fn hint(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

fn judge(error: &CliError) -> Verdict {
    use CliError as E;
    match error {
        E::Ops(error) => ops(error),
        E::Config(ConfigError::Unreadable { .. }) => {
            (Exit::Usage, "config", hint("give the right file with --config, or make one with `strongroom init`"))
        }
        E::Config(ConfigError::Foreign { .. }) => (
            Exit::Usage,
            "config",
            hint("whoever can write to it can run commands as this user; check its contents first"),
        ),
        E::Config(ConfigError::Wrong { .. }) => (Exit::Usage, "config", hint("correct it and run the command again")),
        E::Usage { hint: next, .. } => (Exit::Usage, "usage", hint(next)),
        E::Url { .. } => (Exit::Usage, "usage", hint("a vault's URL is s3://bucket/prefix or file:///absolute/path")),
        E::Credentials(_) => (Exit::Usage, "credentials", hint(hints::CREDENTIALS)),
        E::Exposed { path, .. } => (Exit::Usage, "exposed-key", Some(hints::exposed(path))),
        E::ForeignOwner { path, .. } => {
            let next = format!("make it your own: chown \"$(id -u)\" {}", quoted(path));
            (Exit::Usage, "exposed-key", hint(next))
        }
        E::IdentityHere { path } => {
            let next = format!(
                "whoever takes this machine could read every backup. Move it to another machine, or at least away: \
                 mv {} DIR, where DIR is on a disk that goes into a safe",
                quoted(path)
            );
            (Exit::Usage, "identity-here", hint(next))
        }
        E::FileExists { .. } => {
            let next = "give another directory with --out. If an earlier init was interrupted and no vault uses this \
                        file, move it away";
            (Exit::Usage, "file-exists", hint(next))
        }
        E::NotEmpty { .. } => (Exit::Usage, "not-empty", hint("give the path of a new or an empty directory")),
        E::WriterKey { source, .. } | E::MemberKey { source, .. } if source.is_of_another_version() => format(source),
        E::WriterKey { .. } => (Exit::Usage, "writer-key", hint("it is the writer.key that `strongroom init` wrote")),
        E::MemberKey { .. } => (Exit::Usage, "member-key", hint("it is the key file that `member add` wrote")),
        E::Identity(_) => {
            (Exit::Usage, "identity", hint("give the path of an age identity file or an ssh private key with -i"))
        }
        E::Unwritten { .. } => (Exit::Failed, "unwritten", hint("what the command did is done; give another file")),
        E::Unconfined(_) => (Exit::Failed, "unconfined", hint("or use --unconfined on a host with nothing else on it")),
        E::Late { .. } => {
            (Exit::Failed, "deadline", hint("the next run continues with what was uploaded; or allow more time"))
        }
        E::Io { .. } => (Exit::Usage, "file", hint(hints::FILE)),
    }
}

fn locked_out(by_file_system: bool) -> &'static str {
    if by_file_system { NO_ACCESS } else { LOCKED_OUT }
}

fn quoted(path: &std::path::Path) -> String {
    shell::quoted(&path.display().to_string())
}

fn ops(error: &OpsError) -> Verdict {
    use OpsError as E;
    match error {
        E::Vault(error) => vault(error),
        E::Store(error) => store(error),
        E::Catalog(error) => catalog(error),
        E::RunLock(error) => run_lock(error),
        E::Guard(error) => guard(error),
        E::Source(_) => (Exit::Failed, "source", hint(hints::SOURCE)),
        E::Format(error) => format(error),
        E::Codec(error) => codec(error),
        E::Request { next, .. } => (Exit::Usage, "usage", hint(next)),
        E::Unrecoverable { next, .. } => (Exit::Failed, "not-recoverable", hint(next)),
        E::JournalGap { next, .. } => (Exit::Damage, "journal-gap", hint(next)),
        E::JournalTaken { next, .. } => (Exit::Failed, "journal-taken", hint(next)),
        E::Occupied { next, .. } => (Exit::Usage, "target-exists", hint(next)),
        E::Server { next, .. } => {
            (Exit::Failed, "server", hint(if next.is_empty() { hints::SERVER } else { next.as_str() }))
        }
        E::Busy { .. } => (Exit::TryAgain, "busy", hint(AGAIN)),
        E::Revoked { .. } => {
            let next = "find out what happened to its host. Then an owner makes a new writer under another name: \
                        strongroom writer add NAME -i IDENTITY";
            (Exit::Failed, "revoked", hint(next))
        }
        E::VaultExists { .. } => {
            (Exit::Usage, "vault-exists", hint("back up into it with its writer's key, or give another --vault"))
        }
        E::PinConflict { .. } => {
            let next = "one of the two belongs to another vault. Trust the recovery kit's id before anything else";
            (Exit::Usage, "pin-conflict", hint(next))
        }
        E::Bucket { mend, .. } => (Exit::Weak, "bucket-unfit", hint(mend)),
        E::LockNotEnforced { check: "taken-name-refused", .. } => {
            let next = "if the server has no conditional puts, say so with --no-conditional-put; then no two writers \
                        may share a name";
            (Exit::Weak, "lock-not-enforced", hint(next))
        }
        E::LockNotEnforced { .. } => {
            (Exit::Weak, "lock-not-enforced", hint("this store can't hold a vault: what it locks can be destroyed"))
        }
        E::Ambiguous { .. } => (Exit::Usage, "ambiguous", hint("give more digits of the id")),
        E::NoSnapshot { .. } => (Exit::Failed, "no-snapshot", hint("`strongroom snapshots` lists all snapshots")),
        E::NoSnapshotYet => (Exit::Failed, "no-snapshot", hint("`strongroom backup` makes one")),
        E::NotInSnapshot { .. } => (
            Exit::Failed,
            "no-snapshot",
            hint("the same command with --list, without --to, lists what the snapshot holds"),
        ),
        E::Empty => {
            let next = "if it may be empty, add --allow-empty, or `allow_empty = true` to its [[source]]";
            (Exit::Failed, "empty", hint(next))
        }
        E::TargetExists { .. } => (Exit::Usage, "target-exists", hint(hints::TARGET_EXISTS)),
        E::TargetDiffers { .. } => (Exit::Usage, "target-exists", hint(hints::TARGET_DIFFERS)),
        E::Unfinished { snapshot, .. } => (Exit::Usage, "target-exists", Some(hints::unfinished(snapshot))),
        E::UnsafePath { .. } => {
            let next = "its writer may have been taken over: restore an earlier snapshot, or the streams you need one \
                        by one with --to - --stream NAME";
            (Exit::Damage, "unsafe-path", hint(next))
        }
        E::Unplaced { .. } => (Exit::Failed, "no-such-name", hint(hints::UNPLACED)),
        E::NoSpace { .. } => (Exit::Failed, "disk-full", hint("free some space, or restore to another disk")),
        E::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            (Exit::Failed, "disk-full", hint("free some space, or restore to another disk"))
        }
        E::Io { .. } => (Exit::Failed, "file", hint(hints::FILE)),
        E::ReaderGone => (Exit::Failed, "reader-gone", hint(hints::READER)),
        E::Interrupted => (Exit::Interrupted, "interrupted", hint(hints::INTERRUPTED)),
        E::Defect(_) => (Exit::Failed, "defect", hint("run with -vv and report what it says")),
    }
}

fn vault(error: &VaultError) -> Verdict {
    use VaultErrorKind as K;
    match error.kind {
        K::NoVault => (
            Exit::NoVault,
            "no-vault",
            hint("check the URL, and that a disk is mounted; `strongroom init` makes a new vault"),
        ),
        K::Untrusted => (Exit::Damage, "untrusted", hint(hints::UNTRUSTED)),
        K::Damaged => (Exit::Damage, "damaged", hint(hints::DAMAGED)),
        K::Unprotected => {
            (Exit::Weak, "unprotected", hint("check the store's default retention against the vault's policy"))
        }
        K::NoIdentity => {
            (Exit::NoIdentity, "no-identity", hint("give the identity of an owner or a driller of this vault with -i"))
        }
        K::Plugin => (Exit::Failed, "plugin", hint(PLUGIN)),
        K::Begun => {
            (Exit::Failed, "unfinished-copy", hint("run `strongroom replicate` into it again, which continues"))
        }
        K::NoSnapshot => (Exit::Failed, "no-snapshot", hint("`strongroom snapshots` lists all snapshots")),
        K::Unknown => (Exit::Usage, "unknown-name", hint("check the name; `strongroom snapshots` lists all snapshots")),
        K::Full => (Exit::Failed, "disk-full", hint("free some space where the error says")),
        K::Source => (Exit::Failed, "source", hint(hints::SOURCE)),
        K::Invalid => (Exit::Usage, "invalid", hint(hints::INVALID)),
        K::Clock => (Exit::Failed, "clock", hint(CLOCK)),
        K::Denied => (Exit::Failed, "denied", hint(locked_out(error.by_file_system))),
        K::Newer => (Exit::Failed, "newer-format", hint("install a newer strongroom")),
        K::Draft => (Exit::Failed, "draft-format", hint(DRAFT)),
        K::TryAgain => (Exit::TryAgain, "try-again", hint(AGAIN)),
        K::Cancelled => (Exit::Interrupted, "interrupted", hint(hints::INTERRUPTED)),
        K::Failed => (Exit::Failed, "failed", hint(hints::FAILED)),
    }
}

fn guard(error: &GuardError) -> Verdict {
    use GuardError as E;
    match error {
        E::NotApproved { next, .. } => (Exit::NotApproved, "not-approved", hint(next)),
        E::Request { next, .. } => (Exit::Usage, "usage", hint(next)),
        E::Unlocked { .. } => {
            (Exit::Weak, "unprotected", hint("check the store's default retention against the vault's policy"))
        }
        E::Vault(error) => vault(error),
        E::Store(error) => store(error),
        E::Format(error) => format(error),
        E::Codec(error) => codec(error),
    }
}

fn store(error: &StoreError) -> Verdict {
    use StoreErrorKind as K;
    match error.kind {
        K::NoVault => {
            let next = "check the URL, the region, and that a disk is mounted; `strongroom init --create-bucket` \
                        makes a bucket";
            (Exit::NoVault, "no-vault", hint(next))
        }
        K::Denied => (Exit::Failed, "denied", hint(locked_out(error.is_by_file_system()))),
        K::Unreachable => (Exit::TryAgain, "try-again", hint(AGAIN)),
        K::Full => (Exit::Failed, "disk-full", hint("free some space where the vault is")),
        K::NotFound | K::Corrupt => (Exit::Damage, "damaged", hint(hints::DAMAGED)),
        K::Unsupported => (Exit::Failed, "unsupported", hint("the store lacks what strongroom needs")),
        K::Invalid => (Exit::Usage, "invalid", hint(hints::INVALID)),
        K::Clock => (Exit::Failed, "clock", hint(CLOCK)),
        K::Cancelled => (Exit::Interrupted, "interrupted", hint(hints::INTERRUPTED)),
        K::Locked | K::BadRange | K::Other => (Exit::Failed, "failed", hint(hints::FAILED)),
    }
}

fn catalog(error: &CatalogError) -> Verdict {
    match error.kind {
        CatalogErrorKind::Busy => (Exit::TryAgain, "busy", hint(AGAIN)),
        CatalogErrorKind::Full => (Exit::Failed, "disk-full", hint("free some space in the state directory")),
        CatalogErrorKind::Io => (Exit::Failed, "state", hint(STATE)),
        CatalogErrorKind::Damaged | CatalogErrorKind::Invalid => {
            (Exit::Failed, "catalog", hint("`strongroom catalog rebuild` makes a new one from the vault"))
        }
    }
}

fn run_lock(error: &RunLockError) -> Verdict {
    match error {
        RunLockError::Held { .. } => (Exit::TryAgain, "busy", hint(AGAIN)),
        RunLockError::Io { .. } => (Exit::Failed, "state", hint(STATE)),
    }
}

fn format(error: &FormatError) -> Verdict {
    match error {
        FormatError::Version { .. } | FormatError::Features { .. } => {
            (Exit::Failed, "newer-format", hint("install a newer strongroom"))
        }
        FormatError::Draft { .. } => (Exit::Failed, "draft-format", hint(DRAFT)),
        FormatError::Untrusted { .. } => (Exit::Damage, "untrusted", hint(hints::UNTRUSTED)),
        FormatError::Damaged { .. } | FormatError::TooLarge { .. } => (Exit::Damage, "damaged", hint(hints::DAMAGED)),
        FormatError::Codec(error) => codec(error),
    }
}

fn codec(error: &CodecError) -> Verdict {
    match error {
        CodecError::NoIdentity => (Exit::NoIdentity, "no-identity", hint("give another identity with -i")),
        CodecError::BadKey(_) => (Exit::Usage, "key", hint("give the key as it was written, as a whole")),
        CodecError::Damaged(_) | CodecError::BadSignature | CodecError::TooLarge(_) => {
            (Exit::Damage, "damaged", hint(hints::DAMAGED))
        }
        CodecError::Plugin(_) => (Exit::Failed, "plugin", hint(PLUGIN)),
        CodecError::Library { .. } => (Exit::Failed, "failed", hint(hints::FAILED)),
    }
}
