//! From settings to clients of the SDK.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::{
    Client, Config,
    config::{
        AppName, BehaviorVersion, Builder, IdentityCache, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
        retry::{RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder as HttpBuilder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::{
    identity, lines,
    proxy::Proxy,
    settings::{Patience, S3Settings},
    trust,
    watch::{Again, Witness},
};
use crate::store::{Result, StoreError, StoreErrorKind as Kind, credentials::CredentialsSpec};

/// Tries of a call; in practice its budget ends it before.
const ATTEMPTS: u32 = 100;
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// How long a body may stand still.
const STALL: Duration = Duration::from_secs(30);
/// How long credentials may take, a helper command included.
const CREDENTIALS: Duration = Duration::from_mins(1);

/// How long before its end a session is renewed, half of it at the least: the SDK spreads it. A call that begins before
/// that must not meet a server for which the session is over.
const RENEWED: Duration = Duration::from_secs(30);

/// The clients of one bucket. They share connections, credentials and the rate limiter.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    calls: Client,
    first: Client,
    pub(super) witness: Witness,
}

impl Clients {
    /// The client for the next call: an impatient one as long as nothing ever answered.
    pub(super) fn get(&self) -> &Client {
        if self.witness.answered() { &self.calls } else { &self.first }
    }
}

/// Checks the settings, fetches credentials, and makes the clients. Does not ask the bucket anything.
///
/// # Errors
/// `Invalid` for settings that can't work; those of the credentials.
pub(super) async fn connect(settings: &S3Settings) -> Result<Clients> {
    let region = region(settings)?;
    if let Some(endpoint) = &settings.endpoint
        && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
    {
        let what = format!("the endpoint {endpoint:?} is not a URL; write http://HOST:PORT or https://HOST");
        return Err(StoreError::new(Kind::Invalid, what));
    }
    let proxy = settings.proxy()?;
    // Keys in a file are fetched from nobody, so there nobody need be trusted.
    let local = matches!(
        &settings.credentials,
        Some(CredentialsSpec::File(_) | CredentialsSpec::Systemd(_) | CredentialsSpec::Process(_))
    );
    let http = http_client(settings.is_tls() || !local, proxy.as_ref())?;
    let credentials = identity::chosen(settings.credentials.as_ref(), http, &region, CREDENTIALS).await?;
    clients(settings, Some(credentials))
}

/// Makes the clients, with what `credentials` give; without any, they sign nothing.
///
/// # Errors
/// `Invalid` for settings that can't work.
pub(super) fn clients(settings: &S3Settings, credentials: Option<SharedCredentialsProvider>) -> Result<Clients> {
    let region = region(settings)?;
    let plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let witness = Witness::default();
    let proxy = settings.proxy()?;
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).buffer_time(RENEWED).build())
        .http_client(http_client(!plain, proxy.as_ref())?)
        .force_path_style(settings.path_style)
        // A put that names an algorithm sends no checksum unless this says so.
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        // What is read is checked against BLAKE3 anyway, which no server can forge.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
        .disable_s3_express_session_auth(true)
        .retry_classifier(Again::new(witness.clone()))
        .interceptor(witness.clone());
    builder = match credentials {
        Some(credentials) => builder.credentials_provider(credentials),
        None => builder.allow_no_auth(),
    };
    builder.set_endpoint_url(settings.endpoint.clone()).set_app_name(AppName::new("strongroom").ok());
    // Retries are bounded by time. The SDK's quota of retries is for services that call each other; here it would
    // end a backup in a storm that the budget outlasts.
    let partition = RetryPartition::custom("strongroom").token_bucket(TokenBucket::unlimited()).build();
    let config = builder.retry_partition(partition).build();
    let patient = config.to_builder().retry_config(retries(ATTEMPTS)).timeout_config(call_timeouts(&settings.patience));
    let first = Patience {
        budget: settings.patience.first.min(settings.patience.budget),
        answer: settings.patience.first.min(settings.patience.answer),
        ..settings.patience
    };
    let impatient = config.to_builder().retry_config(retries(ATTEMPTS)).timeout_config(call_timeouts(&first));
    Ok(Clients { calls: Client::from_conf(patient.build()), first: Client::from_conf(impatient.build()), witness })
}

/// What a put changes: one attempt may take as long as an object takes to go up, also as the first call.
pub(super) fn for_transfer(settings: &S3Settings) -> Builder {
    let patience = Patience { answer: settings.patience.transfer, ..settings.patience };
    Config::builder().retry_config(retries(ATTEMPTS)).timeout_config(call_timeouts(&patience))
}

pub(super) fn region(settings: &S3Settings) -> Result<Region> {
    match (&settings.region, &settings.endpoint) {
        (Some(region), _) => Ok(Region::new(region.clone())),
        // Servers other than AWS mostly ignore it, and this is what they call themselves if not.
        (None, Some(_)) => Ok(Region::new("us-east-1")),
        (None, None) => {
            let what = "which region is the bucket in? Set --region or `region`, or --endpoint for a server other \
                        than AWS";
            Err(StoreError::new(Kind::Invalid, what))
        }
    }
}

/// Not the adaptive mode: after a few 503s it let one call pass in two seconds, and sixty calls of which every second
/// met a 503 took longer than ten minutes. Pauses that grow, and few calls at once, are polite enough.
fn retries(attempts: u32) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(Duration::from_millis(200))
        .with_max_backoff(MAX_PAUSE)
}

fn call_timeouts(patience: &Patience) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .operation_attempt_timeout(patience.answer)
        .operation_timeout(patience.budget)
        .disable_read_timeout()
        .build()
}

/// An HTTP client with ring's cryptography, which needs no C toolchain beyond a compiler. Without `tls` it loads no
/// roots, and trusts nobody should it ever meet a certificate.
///
/// # Errors
/// `Invalid` if the environment names certificates that can't be used.
pub(super) fn http_client(tls: bool, proxy: Option<&Proxy>) -> Result<SharedHttpClient> {
    let trust = if tls { trust::store()? } else { TrustStore::empty() };
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context =
        context.map_err(|e| StoreError::new(Kind::Invalid, format!("the certificates can't be used: {e}")))?;
    let proxy = proxy.map_or_else(ProxyConfig::disabled, Proxy::config);
    let make = move || {
        let (proxy, context) = (proxy.clone(), context.clone());
        HttpBuilder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder().proxy_config(proxy.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context.clone()).build()
        })
    };
    Ok(lines::spread(make))
}
