//! Where settings become the things that commands work with: stores and keys.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    config::{Config, Input, WriterConfig},
    error::CliError,
    identity, places, secrets,
    settings::Settings,
};
use crate::{
    format::{
        member_key::{self, Member},
        writer_key::{self, Writer},
    },
    model::{Clock, Finding, LockPolicy, Name, Severity, Span, Time},
    ops::{self, OpsError, bucket::BucketRequest},
    store::{
        Checksum, Deleter, Mender, ObjectStore, VaultUrl,
        local::LocalStore,
        memory::MemoryStore,
        s3::{S3Settings, S3Store},
    },
};

/// What may lie in the directory of a vault that is not there yet: what an interrupted `init` or `replicate` leaves.
const LEFTOVERS: &[&str] = &[".parity", ".tmp", "keys", "members", "canaries", "copies", "evidence", "lost+found"];

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// Opens the store that `settings` mean, which must be there.
///
/// # Errors
/// If nothing says which, or it can't be opened.
pub async fn open_store(settings: &Settings) -> Result<Arc<dyn ObjectStore>, CliError> {
    match settings.vault()? {
        VaultUrl::Local(path) => {
            let mut store = LocalStore::open(path, Arc::new(SystemClock)).map_err(OpsError::from)?;
            if settings.config.as_ref().is_some_and(|config| config.immutable) {
                store = store.immutable().map_err(OpsError::from)?;
            }
            Ok(Arc::new(store))
        }
        VaultUrl::S3 { bucket, prefix } => {
            let store = S3Store::connect(settings.bucket(bucket, prefix)?).await.map_err(OpsError::from)?;
            Ok(Arc::new(store))
        }
    }
}

/// A store with the right to delete in it, for the proof of the lock.
pub struct NewStore {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The right.
    pub deleter: Arc<dyn Deleter>,
    /// How much longer than they are promised new objects are locked in it.
    pub window: Span,
    /// By what the server verifies what it is sent; `None` where it verifies nothing, or there is no server.
    pub verified_by: Option<Checksum>,
}

/// A store that is examined, with everything that may be tried in it.
pub struct ExaminedStore {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Its bucket, if it is one.
    pub bucket: Option<S3Store>,
    /// The right to delete in it, as far as the credentials have it.
    pub deleter: Arc<dyn Deleter>,
}

/// Opens the store that `settings` mean, for `doctor`.
///
/// # Errors
/// As [`open_store`].
pub async fn examined_store(settings: &Settings) -> Result<ExaminedStore, CliError> {
    match settings.vault()? {
        VaultUrl::Local(path) => {
            let store = LocalStore::open(path, Arc::new(SystemClock)).map_err(OpsError::from)?;
            Ok(ExaminedStore { store: Arc::new(store.clone()), bucket: None, deleter: Arc::new(store) })
        }
        VaultUrl::S3 { bucket, prefix } => {
            let store = S3Store::connect(settings.bucket(bucket, prefix)?).await.map_err(OpsError::from)?;
            let deleter = Arc::new(store.clone());
            Ok(ExaminedStore { store: Arc::new(store.clone()), bucket: Some(store), deleter })
        }
    }
}

/// Makes the store of a new vault, or checks that a bucket that is there can hold it.
///
/// # Errors
/// If it can't be made, or holds something else, or falls short of what `request` needs.
pub async fn create_store(settings: &Settings, request: &BucketRequest) -> Result<NewStore, CliError> {
    match settings.vault()? {
        VaultUrl::Local(path) => {
            must_go_straight(path)?;
            must_hold_nothing_else(path)?;
            let store = LocalStore::create(path, Arc::new(SystemClock)).map_err(OpsError::from)?;
            let window = LockPolicy::DEFAULT_WINDOW;
            Ok(NewStore { store: Arc::new(store.clone()), deleter: Arc::new(store), window, verified_by: None })
        }
        VaultUrl::S3 { bucket, prefix } => {
            let reach = settings.bucket(bucket, prefix)?;
            let mut store = S3Store::connect(reach.clone()).await.map_err(OpsError::from)?;
            let window = ops::bucket::prepare(&store, request).await?;
            let verified_by = ops::bucket::verified_by(&store, settings.chose_checksum()).await?;
            if let Some(checksum) = verified_by.filter(|checksum| *checksum != reach.checksum) {
                store = S3Store::connect(S3Settings { checksum, ..reach }).await.map_err(OpsError::from)?;
            }
            Ok(NewStore { store: Arc::new(store.clone()), deleter: Arc::new(store), window, verified_by })
        }
    }
}

/// Opens the store that a copy goes to; a directory is made if it is missing, unless nothing is to be changed.
///
/// # Errors
/// If it can't be opened, or a directory holds something else.
pub async fn open_target(settings: &Settings, change: bool) -> Result<Arc<dyn ObjectStore>, CliError> {
    let VaultUrl::Local(path) = settings.vault()? else { return open_store(settings).await };
    must_go_straight(path)?;
    must_hold_nothing_else(path)?;
    let clock = Arc::new(SystemClock);
    if !change && !path.exists() {
        // What would be made is empty.
        return Ok(Arc::new(MemoryStore::new(clock)));
    }
    let store = if change { LocalStore::create(path, clock) } else { LocalStore::open(path, clock) };
    Ok(Arc::new(store.map_err(OpsError::from)?))
}

/// A store with the right to put over what is damaged, for `repair`.
pub struct MendedStore {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The right.
    pub mender: Arc<dyn Mender>,
}

/// Opens the store that `settings` mean, which must be there, for `repair`.
///
/// # Errors
/// As [`open_store`].
pub async fn mended_store(settings: &Settings) -> Result<MendedStore, CliError> {
    match settings.vault()? {
        VaultUrl::Local(path) => {
            let store = LocalStore::open(path, Arc::new(SystemClock)).map_err(OpsError::from)?;
            Ok(MendedStore { store: Arc::new(store.clone()), mender: Arc::new(store) })
        }
        VaultUrl::S3 { bucket, prefix } => {
            let store = S3Store::connect(settings.bucket(bucket, prefix)?).await.map_err(OpsError::from)?;
            Ok(MendedStore { store: Arc::new(store.clone()), mender: Arc::new(store) })
        }
    }
}

/// Whoever makes a directory by a way through one that is not there would make that as well.
fn must_go_straight(path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::Io { what: "can't look at", path: path.to_owned(), source };
    let Some(led) = places::detour(path).map_err(failed)? else { return Ok(()) };
    let what = format!("the path {} goes through a directory that is not there", path.display());
    Err(CliError::usage(what, format!("give file://{}, if that is what is meant", led.display())))
}

/// A vault among other files would end with somebody deleting the wrong half.
fn must_hold_nothing_else(path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::Io { what: "can't list", path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let mut other = None;
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name == crate::format::layout::DESCRIPTOR {
            // Whoever looks at what is in it says more of it than that there is something.
            return Ok(());
        }
        if !LEFTOVERS.contains(&name.as_str()) {
            other = Some(name);
        }
    }
    other.map_or(Ok(()), |found| Err(CliError::NotEmpty { path: path.to_owned(), found }))
}

/// Reads the writer's key.
///
/// # Errors
/// If it can't be read, is none, or is another writer's.
pub fn writer(config: &WriterConfig) -> Result<Writer, CliError> {
    let bytes = secrets::read(&config.key, "can't read the writer's key")?;
    let writer = writer_key::open(&bytes).map_err(|source| CliError::WriterKey { path: config.key.clone(), source })?;
    match &config.name {
        Some(name) if *name != writer.name => {
            let what = format!("{} is the key of writer {}, not {name}", config.key.display(), writer.name);
            Err(CliError::usage(what, "correct `name` or `key` in [writer]"))
        }
        _ => Ok(writer),
    }
}

/// Who writes here, as the configuration or the writer's key says.
#[must_use]
pub fn writer_name(settings: &Settings) -> Option<Name> {
    let config = settings.config.as_ref()?.writer.as_ref()?;
    config.name.clone().or_else(|| writer(config).ok().map(|writer| writer.name))
}

/// Reads the key that signs evidence: of `[member]`, or else of `[writer]`; `None` where the configuration has neither.
///
/// # Errors
/// If it can't be read, is none, or is another member's.
pub fn member(settings: &Settings) -> Result<Option<Member>, CliError> {
    let Some(config) = &settings.config else { return Ok(None) };
    let (name, key) = match (&config.member, &config.writer) {
        (Some(member), _) => (&member.name, &member.key),
        (None, Some(writer)) => (&writer.name, &writer.key),
        (None, None) => return Ok(None),
    };
    let bytes = secrets::read(key, "can't read the member's key")?;
    let member = member_key::open(&bytes).map_err(|source| CliError::MemberKey { path: key.clone(), source })?;
    match name {
        Some(name) if *name != member.name => {
            let what = format!("{} is the key of {} {}, not of {name}", key.display(), member.role, member.name);
            Err(CliError::usage(what, "correct `name` or `key` in [member]"))
        }
        _ => Ok(Some(member)),
    }
}

/// The private keys of apps that sources name, which open no backup.
pub fn app_keys(config: &Config) -> Vec<&Path> {
    let forges = config.sources.iter().filter_map(|source| match &source.input {
        Input::Forge(forge) => forge.app.as_ref(),
        _ => None,
    });
    let files = forges.filter_map(|app| match &app.key {
        crate::store::credentials::CredentialsSpec::File(path) => Some(path.as_path()),
        _ => None,
    });
    files.collect()
}

/// Fails if an identity lies beside the configuration, unless that is `allowed`; then it is a finding.
///
/// # Errors
/// If one does.
pub fn no_identity_beside(config: &Config, allowed: bool) -> Result<Vec<Finding>, CliError> {
    match identity::lying_in(config.dir(), &app_keys(config))? {
        None => Ok(Vec::new()),
        Some(path) if allowed => {
            let message = "an identity that opens the backups lies beside the writer's configuration: whoever takes \
                           this machine can read them all. For demos only";
            Ok(vec![Finding::new(Severity::Warning, "identity.here", message).on(path.display())])
        }
        Some(path) => Err(CliError::IdentityHere { path }),
    }
}
