//! One request to a server that is no vault: what a dead-man's switch is told. The client is the one that buckets are
//! reached with, its proxies and its trust; nothing is signed and nothing is tried again here.

use std::time::Duration;

use aws_sdk_s3::{config::http::HttpRequest, primitives::SdkBody};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpConnector as _;

use super::{proxy::Proxy, trust};
use crate::store::{Result, StoreError, StoreErrorKind as Kind};

/// What is posted.
#[derive(Clone)]
pub struct Letter {
    /// Its media type.
    pub kind: &'static str,
    /// Headers besides.
    pub headers: Vec<(&'static str, String)>,
    /// The text.
    pub body: String,
}

impl Letter {
    /// Plain text.
    #[must_use]
    pub const fn text(body: String) -> Self {
        Self { kind: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }
}

/// Posts a letter to `url` and gives the status that was answered. The URL stands in no error: it may be a secret.
///
/// # Errors
/// `Invalid` if the URL, a proxy or certificates can't be used, `Unreachable` if nobody answers within `limit`.
pub async fn post(url: &str, letter: &Letter, limit: Duration) -> Result<u16> {
    let invalid = |what: String| StoreError::new(Kind::Invalid, what);
    let trust = if url.starts_with("https://") { trust::store()? } else { TrustStore::empty() };
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|e| invalid(format!("the certificates can't be used: {e}")))?;
    let proxy = Proxy::to(url)?.as_ref().map_or_else(ProxyConfig::disabled, Proxy::config);
    let connector = Connector::builder().proxy_config(proxy);
    let connector = connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build();
    let length = letter.body.len();
    let mut request = HttpRequest::new(SdkBody::from(letter.body.clone()));
    request.set_method("POST").map_err(|_| invalid("this is not a request".to_owned()))?;
    request.set_uri(url.to_owned()).map_err(|_| invalid("this is not a URL".to_owned()))?;
    for (name, value) in [
        ("user-agent", concat!("strongroom/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("content-type", letter.kind.to_owned()),
        ("content-length", length.to_string()),
    ] {
        request.headers_mut().insert(name, value);
    }
    for (name, value) in &letter.headers {
        request.headers_mut().insert(*name, value.clone());
    }
    let unreachable = |what: &str| StoreError::new(Kind::Unreachable, what);
    match tokio::time::timeout(limit, connector.call(request)).await {
        Err(_) => Err(unreachable(&format!("no answer within {} s", limit.as_secs()))),
        Ok(Err(error)) if error.is_timeout() => Err(unreachable("it did not answer in time")),
        Ok(Err(_)) => Err(unreachable("it can't be reached")),
        Ok(Ok(response)) => Ok(response.status().as_u16()),
    }
}
