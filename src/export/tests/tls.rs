use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::fake::{FakeServer, Reply};
use crate::config::Compression;
use crate::export::{HttpClient, NetworkError, SetupError, TlsFiles, TlsProblem};

/// An authority, a certificate of its for 127.0.0.1 and one for a client, as PEM files.
pub(super) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("signed");
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).expect("written");
        let issuer = Issuer::new(params, key);
        for (file, name) in [("server", "127.0.0.1"), ("client", "openclaw-usage"), ("other", "example.org")]
        {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
            let certificate = params.signed_by(&key, &issuer).expect("signed");
            std::fs::write(dir.path().join(format!("{file}.pem")), certificate.pem()).expect("written");
            std::fs::write(dir.path().join(format!("{file}.key")), key.serialize_pem()).expect("written");
        }
        Self { dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn acceptor(&self, name: &str, client_certificate: bool, alpn: &[&[u8]]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if client_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&self.path("ca.pem"))).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![certificate(&self.path(&format!("{name}.pem")))];
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
        let mut config = builder.with_single_cert(chain, key).expect("they fit");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    pub(super) fn files(&self, ca: &str, client: Option<&str>) -> TlsFiles {
        TlsFiles {
            ca_file: Some(self.path(ca)),
            client_cert_file: client.map(|name| self.path(&format!("{name}.pem"))),
            client_key_file: client.map(|name| self.path(&format!("{name}.key"))),
        }
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

async fn post(server: &FakeServer, files: &TlsFiles) -> Result<u16, NetworkError> {
    let url = format!("https://{}/v1/metrics", server.address);
    let client = HttpClient::new(&url, [], Compression::Gzip, 10_000, files).expect("valid");
    client.post(vec![]).await.map(|answer| answer.status)
}

fn problem(result: Result<u16, NetworkError>) -> TlsProblem {
    match result {
        Err(NetworkError::Tls { problem, .. }) => problem,
        other => panic!("no TLS failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_is_believed_only_with_the_right_authority_and_name() {
    let (ours, foreign) = (Certificates::new(), Certificates::new());
    let server = FakeServer::start_tls(ours.acceptor("server", false, &[]), |_| Reply::of(200, "")).await;
    assert_eq!(post(&server, &ours.files("ca.pem", None)).await, Ok(200));
    assert_eq!(problem(post(&server, &foreign.files("ca.pem", None)).await), TlsProblem::UnknownAuthority);

    let misnamed = FakeServer::start_tls(ours.acceptor("other", false, &[]), |_| Reply::of(200, "")).await;
    assert_eq!(problem(post(&misnamed, &ours.files("ca.pem", None)).await), TlsProblem::WrongName);
    assert!(misnamed.seen().is_empty(), "nothing may be sent to a server that is not believed");

    let plain = FakeServer::start(|_| Reply::of(200, "")).await;
    assert_eq!(problem(post(&plain, &ours.files("ca.pem", None)).await), TlsProblem::NotTls);
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_the_server_wants_one() {
    let (ours, foreign) = (Certificates::new(), Certificates::new());
    let server = FakeServer::start_tls(ours.acceptor("server", true, &[]), |_| Reply::of(200, "")).await;
    assert_eq!(post(&server, &ours.files("ca.pem", Some("client"))).await, Ok(200));
    assert_eq!(problem(post(&server, &ours.files("ca.pem", None)).await), TlsProblem::ClientCertificate);
    let stranger = TlsFiles { ca_file: Some(ours.path("ca.pem")), ..foreign.files("ca.pem", Some("client")) };
    assert_eq!(problem(post(&server, &stranger).await), TlsProblem::ClientCertificate);
}

#[test]
fn unusable_files_are_named() {
    let ours = Certificates::new();
    let new = |files: &TlsFiles| HttpClient::new("https://host/", [], Compression::None, 100, files);
    let missing = new(&ours.files("nothing.pem", None)).expect_err("there is no such file");
    let SetupError::Pem { path, .. } = &missing else { panic!("{missing:?}") };
    assert_eq!(*path, ours.path("nothing.pem"));
    assert!(missing.to_string().contains("nothing.pem"), "{missing}");
    let wrong = new(&ours.files("server.key", None)).expect_err("a key is no certificate");
    assert!(matches!(wrong, SetupError::Pem { .. }), "{wrong:?}");
    let mut mixed = ours.files("ca.pem", Some("client"));
    mixed.client_key_file = Some(ours.path("server.key"));
    assert!(matches!(new(&mixed), Err(SetupError::Pem { .. })));
}
