//! Credentials for the SDK, from the source that was chosen and from no other.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{
        self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError as SdkCredentialsError,
        future::ProvideCredentials as Answer,
    },
};
use aws_sdk_s3::config::{Region, SharedHttpClient};

use super::{fail, helper::Helper};
use crate::{
    model::Time,
    store::{
        Result, StoreError, StoreErrorKind as Kind,
        credentials::{CredentialsError, CredentialsSpec, Keys},
    },
};

/// How long keys of a session are used before their file is read again, where it does not say when they end.
const SESSION_LIFE: Duration = Duration::from_mins(5);

/// The chosen source, asked once already, so that a bad one is told before anything else happens.
///
/// # Errors
/// `Invalid` if the source is missing or wrong, `Denied` if it gives nothing, `Unreachable` if it does not answer.
pub(super) async fn chosen(
    spec: Option<&CredentialsSpec>,
    http: SharedHttpClient,
    region: &Region,
    patience: Duration,
) -> Result<SharedCredentialsProvider> {
    let spec = spec.ok_or_else(|| invalid(&CredentialsError::Missing))?;
    let config = || ProviderConfig::without_region().with_http_client(http.clone()).with_region(Some(region.clone()));
    let source = match spec {
        CredentialsSpec::File(path) => SharedCredentialsProvider::new(KeysProvider::File(path.clone())),
        CredentialsSpec::Systemd(name) => SharedCredentialsProvider::new(KeysProvider::Systemd(name.clone())),
        CredentialsSpec::Profile(name) => {
            let builder = ProfileFileCredentialsProvider::builder().configure(&config());
            SharedCredentialsProvider::new(builder.profile_name(name).build())
        }
        CredentialsSpec::Process(command) => SharedCredentialsProvider::new(Helper::new(command, patience)),
        CredentialsSpec::WebIdentity => {
            let builder = WebIdentityTokenCredentialsProvider::builder().configure(&config());
            SharedCredentialsProvider::new(builder.build())
        }
        CredentialsSpec::Ambient => {
            let builder = DefaultCredentialsChain::builder().configure(config()).region(region.clone());
            SharedCredentialsProvider::new(builder.build().await)
        }
    };
    // A profile may name a command, and a metadata service may say nothing.
    let first = tokio::time::timeout(patience + Duration::from_secs(5), source.provide_credentials()).await;
    let first = first.unwrap_or_else(|_| Err(SdkCredentialsError::provider_timed_out(patience)));
    let first = first.map_err(|error| unusable(spec, &error))?;
    Ok(SharedCredentialsProvider::new(Primed { first: Mutex::new(Some(first)), source }))
}

fn invalid(error: &CredentialsError) -> StoreError {
    StoreError::new(Kind::Invalid, error.to_string())
}

fn unusable(spec: &CredentialsSpec, error: &SdkCredentialsError) -> StoreError {
    let reason = fail::innermost(error);
    match error {
        SdkCredentialsError::InvalidConfiguration(_) => StoreError::new(Kind::Invalid, reason),
        SdkCredentialsError::ProviderTimedOut(_) => {
            StoreError::new(Kind::Unreachable, format!("{spec} did not give credentials in time: {reason}"))
        }
        SdkCredentialsError::CredentialsNotLoaded(_) if matches!(spec, CredentialsSpec::Profile(_)) => {
            let what = format!("{spec} gave no credentials: ~/.aws has no such profile, or none with credentials");
            StoreError::new(Kind::Invalid, what)
        }
        _ => StoreError::new(Kind::Denied, format!("{spec} gave no credentials: {reason}")),
    }
}

/// A source whose first answer is at hand already.
struct Primed {
    first: Mutex<Option<Credentials>>,
    source: SharedCredentialsProvider,
}

impl fmt::Debug for Primed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Primed")
    }
}

impl ProvideCredentials for Primed {
    fn provide_credentials<'a>(&'a self) -> Answer<'a>
    where
        Self: 'a,
    {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(credentials) => Answer::ready(Ok(credentials)),
            None => self.source.provide_credentials(),
        }
    }
}

/// A session that is over, by what its file says.
#[derive(Debug, thiserror::Error)]
#[error("the session in {spec} ended at {ended}; put a new one there, in time while a run lasts")]
struct Ended {
    spec: CredentialsSpec,
    ended: Time,
}

/// Keys from a file, read anew whenever the SDK's copy has aged, so that a rotated file serves a running backup.
#[derive(Debug)]
enum KeysProvider {
    File(PathBuf),
    Systemd(String),
}

impl KeysProvider {
    fn spec(&self) -> CredentialsSpec {
        match self {
            Self::File(path) => CredentialsSpec::File(path.clone()),
            Self::Systemd(name) => CredentialsSpec::Systemd(name.clone()),
        }
    }

    fn load(&self) -> provider::Result {
        let keys = match self {
            Self::File(path) => Keys::from_file(path),
            Self::Systemd(name) => Keys::from_systemd(name),
        };
        let keys = keys.map_err(SdkCredentialsError::invalid_configuration)?;
        let now = SystemTime::now();
        let stated = keys.expires.and_then(|end| u64::try_from(end.unix()).ok()).map(Duration::from_secs);
        let end = match stated {
            Some(end) => UNIX_EPOCH.checked_add(end),
            None => keys.token.as_ref().and_then(|_| now.checked_add(SESSION_LIFE)),
        };
        if let Some(ended) = keys.expires.filter(|_| end.is_some_and(|end| end <= now)) {
            return Err(SdkCredentialsError::not_loaded(Ended { spec: self.spec(), ended }));
        }
        let token = keys.token.as_ref().map(|token| token.to_string());
        Ok(Credentials::new(keys.id.clone(), keys.secret.to_string(), token, end, "strongroom"))
    }
}

impl ProvideCredentials for KeysProvider {
    fn provide_credentials<'a>(&'a self) -> Answer<'a>
    where
        Self: 'a,
    {
        Answer::ready(self.load())
    }
}
