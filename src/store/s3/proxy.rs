//! Proxies, as the environment names them: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not.
//! What can't be honoured is refused by its name.

use aws_smithy_http_client::proxy::ProxyConfig;
use hyper_util::client::proxy::matcher::Matcher;

use crate::store::{Result, StoreError, StoreErrorKind as Kind};

/// Where no proxy leads: this host itself, and what tells a machine of a cloud its credentials.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::254";

/// A proxy, and the variable that names it.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    config: ProxyConfig,
    /// Without what it holds of a user.
    shown: String,
    variable: String,
}

impl Proxy {
    /// The proxy on the way to `url`, if there is one.
    ///
    /// # Errors
    /// `Invalid` if it is one that can't be used.
    pub(super) fn to(url: &str) -> Result<Option<Self>> {
        Self::of(url, &|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The proxy that `env` names for `url`.
    fn of(url: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let given = |name: &str| {
            [name.to_owned(), name.to_ascii_lowercase()]
                .into_iter()
                .find_map(|name| env(&name).filter(|value| !value.trim().is_empty()).map(|value| (name, value)))
        };
        let tls = url.starts_with("https://");
        let Some((variable, value)) =
            given(if tls { "HTTPS_PROXY" } else { "HTTP_PROXY" }).or_else(|| given("ALL_PROXY"))
        else {
            return Ok(None);
        };
        let never = match given("NO_PROXY") {
            Some((_, value)) => format!("{value},{NEVER}"),
            None => NEVER.to_owned(),
        };
        // Whether one leads there at all is asked first: what is not used need not be understood.
        let Ok(target) = url.parse() else { return Ok(None) };
        if Matcher::builder().all("http://proxy.invalid:1").no(never.as_str()).build().intercept(&target).is_none() {
            return Ok(None);
        }
        let value = value.trim();
        let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let kind = whole.split_once("://").map(|(kind, _)| kind.to_ascii_lowercase()).unwrap_or_default();
        let refused = |why: &str| {
            let what = format!(
                "{variable} names a proxy that can't be used: {why}. Name one as http://HOST:PORT, or add the server to \
                 NO_PROXY"
            );
            StoreError::new(Kind::Invalid, what)
        };
        if kind != "http" && kind != "https" {
            let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
            return Err(refused(&format!("it is of the kind {kind:?}, and only http and https are spoken here")));
        }
        let matcher = Matcher::builder().all(whole.as_str()).no(never.as_str()).build();
        let shown = matcher.intercept(&target).map(|found| found.uri().to_string());
        // Its text is not repeated: it may hold a password.
        let shown = shown.ok_or_else(|| refused("it is not a URL"))?.trim_end_matches('/').to_owned();
        let config = if tls { ProxyConfig::https(whole.as_str()) } else { ProxyConfig::http(whole.as_str()) };
        let config = config.map_err(|_| refused("it is not a URL"))?.no_proxy(never);
        Ok(Some(Self { config, shown, variable }))
    }

    /// What the client takes.
    pub(super) fn config(&self) -> ProxyConfig {
        self.config.clone()
    }

    /// For messages.
    pub(super) fn told(&self) -> String {
        format!("through the proxy {} of {}", self.shown, self.variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, env: &[(&str, &str)]) -> std::result::Result<Option<String>, String> {
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Proxy::of(url, &get).map(|proxy| proxy.map(|proxy| proxy.told())).map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_names_proxies_as_everywhere() {
        let told = |variable: &str| Ok(Some(format!("through the proxy http://p:1 of {variable}")));
        let (aws, plain) = ("https://s3.eu-west-1.amazonaws.com", "http://store.example:9000");
        for (url, env, want) in [
            (aws, &[][..], Ok(None)),
            (aws, &[("HTTPS_PROXY", "http://p:1")], told("HTTPS_PROXY")),
            (aws, &[("https_proxy", "http://me:pass@p:1/")], told("https_proxy")),
            (aws, &[("HTTPS_PROXY", ""), ("all_proxy", "p:1")], told("all_proxy")),
            (aws, &[("HTTP_PROXY", "http://p:1")], Ok(None)),
            (plain, &[("HTTP_PROXY", "http://p:1"), ("HTTPS_PROXY", "http://q:1")], told("HTTP_PROXY")),
            (plain, &[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "x,.example")], Ok(None)),
            (aws, &[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "*")], Ok(None)),
            ("http://127.0.0.1:9000", &[("ALL_PROXY", "socks5://p:1")], Ok(None)),
            ("http://localhost:9000", &[("http_proxy", "http://p:1")], Ok(None)),
        ] {
            assert_eq!(found(url, env), want, "{url} {env:?}");
        }
        for (value, why) in [("socks5h://me:pass@p:1", "\"socks5h\""), ("http://me:pa ss@p", "not a URL")] {
            let error = found(aws, &[("ALL_PROXY", value)]).unwrap_err();
            assert!(error.contains(why) && error.contains("ALL_PROXY") && !error.contains("pa"), "{error}");
        }
    }
}
