//! Which certificates are trusted: what the host trusts, or what `AWS_CA_BUNDLE` or `SSL_CERT_FILE` name instead. A file that
//! can't serve is refused by the name of its variable.

use std::{env, fs, path::Path};

use aws_smithy_http_client::tls::TrustStore;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::store::{Result, StoreError, StoreErrorKind as Kind};

/// What the environment says.
///
/// # Errors
/// `Invalid` if it names a file that holds no certificates.
pub(super) fn store() -> Result<TrustStore> {
    // The roots of the host are found by the variables that OpenSSL knows, which are only looked at here.
    if let Some(path) = named("SSL_CERT_FILE") {
        certificates("SSL_CERT_FILE", Path::new(&path))?;
    }
    match named("AWS_CA_BUNDLE") {
        None => Ok(TrustStore::default()),
        Some(path) => {
            let pem = certificates("AWS_CA_BUNDLE", Path::new(&path))?;
            Ok(TrustStore::empty().with_pem_certificate(pem))
        }
    }
}

fn named(variable: &str) -> Option<std::ffi::OsString> {
    env::var_os(variable).filter(|path| !path.is_empty())
}

/// The file's text, all of whose certificates can be used: the client panics at others.
fn certificates(variable: &str, path: &Path) -> Result<Vec<u8>> {
    let refused = |why: String| StoreError::new(Kind::Invalid, format!("{variable} names {}, {why}", path.display()));
    let pem = fs::read(path).map_err(|e| refused(format!("which can't be read: {e}")))?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| refused("which is not a file of certificates in PEM".to_owned()))?;
    if found.is_empty() {
        return Err(refused("which holds no certificate (in PEM)".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    let bad = found.into_iter().filter_map(|certificate| roots.add(certificate).err()).count();
    if bad > 0 && variable == "AWS_CA_BUNDLE" {
        return Err(refused(format!("which holds {bad} certificates that can't be read")));
    }
    Ok(pem)
}
