//! What is known of a bucket before it is asked.

use std::{fmt, str::FromStr, time::Duration};

use aws_sdk_s3::types::ChecksumAlgorithm;

use super::{
    super::{Result, credentials::CredentialsSpec},
    proxy::Proxy,
};

/// The checksum that a put sends along and the store verifies.
///
/// It goes into a header that is signed. Over plain HTTP the SDK signs the SHA-256 of every body besides, which servers
/// verify too; over TLS, which keeps strangers from the body, and within this machine, that would only cost time. So the cheapest one that servers
/// commonly know is the default: it finds what went wrong by accident, and the rest is for BLAKE3 when it is read.
/// Servers that ignore it may still hold a body against its `Content-MD5`, or against the hash that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// CRC-32C, known wherever `x-amz-checksum-…` is.
    #[default]
    Crc32c,
    /// CRC-64/NVME, what newer AWS clients send.
    Crc64Nvme,
    /// SHA-256, for whoever wants the store to keep a cryptographic hash.
    Sha256,
    /// `Content-MD5`, for servers that know no newer one.
    Md5,
    /// The SHA-256 that the signature covers, over TLS and within this machine too, for servers that verify nothing else.
    Signed,
}

impl Checksum {
    /// All of them, as `init` tries them.
    pub const ALL: [Self; 5] = [Self::Crc32c, Self::Md5, Self::Signed, Self::Crc64Nvme, Self::Sha256];

    pub(super) fn algorithm(self) -> ChecksumAlgorithm {
        match self {
            // Beside the other two it does no harm.
            Self::Crc32c | Self::Md5 | Self::Signed => ChecksumAlgorithm::Crc32C,
            Self::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
            Self::Sha256 => ChecksumAlgorithm::Sha256,
        }
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "crc32c" => Ok(Self::Crc32c),
            "crc64nvme" => Ok(Self::Crc64Nvme),
            "sha256" => Ok(Self::Sha256),
            "md5" => Ok(Self::Md5),
            "signed" => Ok(Self::Signed),
            _ => Err("choose one of crc32c, crc64nvme, sha256, md5 and signed".to_owned()),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Signed => "signed",
        })
    }
}

/// How long the store is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// To be connected, once.
    pub connect: Duration,
    /// For one answer to a call without a large body.
    pub answer: Duration,
    /// For one object to go up or come down, once.
    pub transfer: Duration,
    /// For a call as a whole, with everything that was tried again.
    pub budget: Duration,
    /// For the first call as a whole: as long as nothing ever answered, the endpoint is probably wrong.
    pub first: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(1),
            transfer: Duration::from_mins(5),
            budget: Duration::from_mins(10),
            first: Duration::from_secs(20),
        }
    }
}

/// Which bucket, where, as whom and how.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What stands before every key, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The server's URL, with `http://` or `https://`; AWS's own for the region if none is given.
    pub endpoint: Option<String>,
    /// The bucket's region. May be left out where an endpoint is given.
    pub region: Option<String>,
    /// The bucket's name in the path, not in the host's name; what most servers other than AWS need.
    pub path_style: bool,
    /// Where the credentials come from. Without a source there are none.
    pub credentials: Option<CredentialsSpec>,
    /// What a put sends along for the store to verify.
    pub checksum: Checksum,
    /// Whether the server honours `If-None-Match: *`. Where it does not, a put looks first, and two writers of one key
    /// can both believe that they made it.
    pub conditional_put: bool,
    /// How long the store is waited for.
    pub patience: Patience,
}

impl S3Settings {
    /// A bucket and a prefix, with everything else as it usually is.
    #[must_use]
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: None,
            region: None,
            path_style: false,
            credentials: None,
            checksum: Checksum::default(),
            conditional_put: true,
            patience: Patience::default(),
        }
    }

    /// The key of a vault's object as the bucket has it.
    pub(super) fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    /// The vault's key of an object in the bucket; `None` if it lies outside the prefix.
    pub(super) fn relative<'a>(&self, full: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(full) } else { full.strip_prefix(&self.prefix)?.strip_prefix('/') }
    }

    /// Whether the server is reached by TLS. AWS's own endpoints are.
    pub(super) fn is_tls(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"))
    }

    /// Whether nobody between can change what is sent: it goes by TLS, or it does not leave this machine.
    pub(super) fn is_private(&self) -> bool {
        let here = self.endpoint.as_deref().and_then(|endpoint| endpoint.strip_prefix("http://")).is_some_and(is_here);
        self.is_tls() || here && matches!(self.proxy(), Ok(None))
    }

    /// Whether the bucket's name is a part of the host's name of a server that was named.
    pub(super) fn is_virtual_host(&self) -> bool {
        self.endpoint.is_some() && !self.path_style
    }

    /// The proxy on the way to the bucket, if there is one.
    ///
    /// # Errors
    /// `Invalid` if it is one that can't be used.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>> {
        let url = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://s3.{}.amazonaws.com", self.region.as_deref().unwrap_or("us-east-1")),
        };
        Proxy::to(&url)
    }

    /// The server, for messages: whom requests really go to.
    pub(super) fn place(&self) -> String {
        let host = |endpoint: &str| match endpoint.split_once("://") {
            Some((scheme, host)) if self.is_virtual_host() && !is_address(host) => {
                format!("{scheme}://{}.{host}", self.bucket)
            }
            _ => endpoint.to_owned(),
        };
        let server = match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => host(endpoint),
            (None, Some(region)) => format!("AWS S3 in {region}"),
            (None, None) => "AWS S3".to_owned(),
        };
        match self.proxy() {
            Ok(Some(proxy)) => format!("{server} ({})", proxy.told()),
            _ => server,
        }
    }
}

/// Whether a host is an IP address, with a port or not; no bucket's name is put before one.
fn is_address(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    host.parse::<std::net::SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok()
}

/// Whether a host, with a port or not, is an address of this machine alone. A name may be anybody's.
fn is_here(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    match host.parse::<std::net::SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_below_the_prefix_and_come_back() {
        let bare = S3Settings::new("b", "");
        let below = S3Settings::new("b", "prod/eu");
        assert_eq!((bare.full("a/b").as_str(), below.full("a/b").as_str()), ("a/b", "prod/eu/a/b"));
        assert_eq!((bare.relative("a/b"), below.relative("prod/eu/a/b")), (Some("a/b"), Some("a/b")));
        assert_eq!(below.relative("prod/eu2/a"), None);
        assert_eq!(below.relative("prod/eu"), None);
    }

    #[test]
    fn only_tls_and_this_machine_are_private() {
        let at = |endpoint: Option<&str>| {
            S3Settings { endpoint: endpoint.map(ToOwned::to_owned), ..S3Settings::new("b", "") }.is_private()
        };
        assert!(at(None) && at(Some("https://s3.example")));
        for here in ["127.0.0.1", "127.0.0.1:9000", "127.1.2.3:80/", "[::1]:9000", "[::1]"] {
            assert!(is_here(here), "{here}");
        }
        // A name is looked up by somebody, who may say anything.
        for elsewhere in ["localhost:9000", "10.0.0.1", "[fe80::1]:9000", "127.0.0.1.example", "", "user@127.0.0.1"] {
            assert!(!is_here(elsewhere) && !at(Some(&format!("http://{elsewhere}"))), "{elsewhere}");
        }
    }

    #[test]
    fn checksums_read_what_they_write() {
        for name in ["crc32c", "crc64nvme", "sha256", "md5", "signed"] {
            assert_eq!(name.parse::<Checksum>().unwrap().to_string(), name);
        }
        assert!("sha1".parse::<Checksum>().unwrap_err().contains("sha256"));
    }
}
