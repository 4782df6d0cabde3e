//! The certificate of the receiver, which is read again when its file changes.
//!
//! Looked at when somebody connects, and not more than once in a while, so that a renewed certificate needs no restart.
//! One that cannot be used leaves the one of before in use, and is told once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock::Stopwatch;

/// How long at least lies between two looks at the files, in microseconds.
const LOOK_US: u64 = 1_000_000;

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the certificate {cert_file} with the key {key_file}: {problem}; give PEM files that belong together"
)]
pub struct CertificateError {
    cert_file: PathBuf,
    key_file: PathBuf,
    problem: String,
}

/// Secures connections.
#[derive(Clone)]
pub(super) struct Tls(Arc<Mutex<Loaded>>);

struct Loaded {
    cert_file: PathBuf,
    key_file: PathBuf,
    /// How the files looked when they were read.
    stamp: Stamp,
    looked: Stopwatch,
    acceptor: TlsAcceptor,
}

/// When each file was written, and how long it is.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads a certificate and its key.
    pub fn load(cert_file: PathBuf, key_file: PathBuf) -> Result<Self, CertificateError> {
        let stamp = stamp(&cert_file, &key_file);
        let acceptor = acceptor(&cert_file, &key_file)?;
        Ok(Self(Arc::new(Mutex::new(Loaded {
            cert_file,
            key_file,
            stamp,
            looked: Stopwatch::start(),
            acceptor,
        }))))
    }

    /// Shakes hands.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.0.lock().unwrap_or_else(PoisonError::into_inner).current();
        acceptor.accept(stream).await
    }
}

impl Loaded {
    fn current(&mut self) -> TlsAcceptor {
        if self.looked.micros() >= LOOK_US {
            self.looked = Stopwatch::start();
            let stamp = stamp(&self.cert_file, &self.key_file);
            if stamp != self.stamp {
                self.stamp = stamp;
                match acceptor(&self.cert_file, &self.key_file) {
                    Ok(acceptor) => {
                        tracing::info!("the receiver's certificate was renewed");
                        self.acceptor = acceptor;
                    }
                    Err(error) => tracing::warn!("{error}; the one of before stays in use"),
                }
            }
        }
        self.acceptor.clone()
    }
}

fn stamp(cert_file: &Path, key_file: &Path) -> Stamp {
    [cert_file, key_file].map(|path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn acceptor(cert_file: &Path, key_file: &Path) -> Result<TlsAcceptor, CertificateError> {
    let failed = |problem: String| CertificateError {
        cert_file: cert_file.to_owned(),
        key_file: key_file.to_owned(),
        problem,
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(cert_file).map_err(|error| failed(error.to_string()))?.collect();
    let chain = chain.map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| failed(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
