//! The receiver over TLS, and a certificate that is renewed under it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::gateways::notice;
use super::{Receiving, TOKEN};
use crate::common::daemon::Sandbox;
use crate::common::real_time::until;

/// Writes a certificate for this machine that vouches for itself.
fn certify(sandbox: &Sandbox) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(sandbox.path("key.pem"), key.serialize_pem()).expect("a key's file");
    fs::write(sandbox.path("cert.pem"), certificate.pem()).expect("a certificate's file");
}

/// Posts to a server that shows this certificate and no other; `None`: it shows another.
fn post(server: SocketAddr, certificate: &Path, body: &str) -> Option<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    runtime.block_on(async {
        let stream = TcpStream::connect(server).await.expect("a connection");
        let name = ServerName::from(server.ip());
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let request = format!(
            "POST /webhook/cron HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-type: application/json\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
    })
}

#[test]
fn a_renewed_certificate_needs_no_restart() {
    let sandbox = Sandbox::new();
    certify(&sandbox);
    let files = [("CERT", "cert.pem"), ("KEY", "key.pem")]
        .map(|(name, file)| (format!("OPENCLAW_USAGE_WEBHOOK_{name}_FILE"), sandbox.path(file)));
    let receiving = Receiving::start(sandbox, true, &[], |command| {
        command.envs(files);
    });
    let certificate = receiving.sandbox.path("cert.pem");
    let body = notice(1);
    assert_eq!(post(receiving.webhook, &certificate, &body), Some(202));
    let old = receiving.sandbox.path("old.pem");
    fs::copy(&certificate, &old).expect("a copy");
    // Half of a renewal: the certificate of before stays in use.
    fs::write(&certificate, "no certificate").expect("a file");
    until("a word on the bad certificate", || {
        assert_eq!(post(receiving.webhook, &old, &body), Some(200));
        receiving.daemon().log().contains("the one of before stays in use").then_some(())
    });
    certify(&receiving.sandbox);
    until("the renewed certificate", || {
        post(receiving.webhook, &certificate, &body).filter(|status| *status == 200)
    });
    assert_eq!(post(receiving.webhook, &old, &body), None);
}
