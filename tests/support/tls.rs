//! A server that speaks TLS, with a certificate that no host trusts unless it is told to.

use std::{net::TcpListener, sync::Arc, thread};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::http::{Backend, converse};

/// The server. Ends with the process.
pub struct TlsServer {
    port: u16,
    certificate: String,
}

impl TlsServer {
    /// A server on a free port in front of `backend`.
    pub fn start(backend: impl Backend) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let lines: Vec<String> = BASE64_STANDARD
            .encode(made.cert.der())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        let (config, backend) = (Arc::new(config), Arc::new(backend));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (session, backend) = (rustls::ServerConnection::new(config.clone()).unwrap(), Arc::clone(&backend));
                // Ends with the client's refusal, or when it has no more to ask.
                thread::spawn(move || converse(rustls::StreamOwned::new(session, stream), &*backend));
            }
        });
        Self { port, certificate }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Its certificate, for whoever is to trust it.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}
