//! A Prometheus behind TLS that wants a certificate and a password: pushed to and asked with both, and refused without either.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{report, told};
use crate::common::daemon::{Sandbox, now};
use crate::common::gateway::Simulation;
use crate::common::servers::{Prometheus, Version};

/// What Prometheus keeps of the password below: bcrypt at its least cost.
const WEB: &str = "\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users:
  report: $2b$04$ON6irNWMitRKCTuYq6fXm.BZPqAx0IZHpvXSjLU8moE3Uo0g9o09S
";
const LOGIN: &str = "report:correct horse";
/// The same, as HTTP has it.
const ENCODED: &str = "cmVwb3J0OmNvcnJlY3QgaG9yc2U=";

/// Writes an authority, and certificates of its for a client and for a server of that address.
fn certify(folder: &Path, address: IpAddr) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", params.self_signed(&key).expect("a certificate").pem());
    let issuer = Issuer::new(params, key);
    for (file, name) in [("server", address.to_string()), ("client", "client".to_owned())] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name]).expect("parameters");
        write(&format!("{file}.pem"), params.signed_by(&key, &issuer).expect("a certificate").pem());
        write(&format!("{file}.key"), key.serialize_pem());
    }
}

#[test]
fn prometheus_2_is_asked_with_what_it_wants() {
    asked_with_what_it_wants(Version::V2);
}

#[test]
fn prometheus_3_is_asked_with_what_it_wants() {
    asked_with_what_it_wants(Version::V3);
}

fn asked_with_what_it_wants(version: Version) {
    let prometheus = Prometheus::start_guarded(version, WEB, |folder, address| {
        certify(folder, address);
    });
    let address = prometheus.address();
    let sandbox = Sandbox::new();
    let file = |name: &str| prometheus.path(name).display().to_string();
    let own = |name: &str, text: &str| {
        fs::write(sandbox.path(name), text).expect("a file");
        sandbox.path(name).display().to_string()
    };
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let config = format!(
        "[[otlp]]\nendpoint = 'https://{address}/api/v1/otlp'\nbasic_auth_file = '{}'\nca_file = '{ca}'\n\
         client_cert_file = '{certificate}'\nclient_key_file = '{key}'\n",
        own("login", LOGIN)
    );
    let mut simulation = Simulation::new(&sandbox.state_dir(), 53, now().plus(-60_000), false);
    simulation.pass(20_000);
    let daemon = sandbox.serve(&["--gateway", "office", "--config", &own("own.toml", &config)]);
    daemon.until_counted(simulation.truth());
    daemon.terminate();

    let url = format!("https://{address}");
    let (home, ledger) = (sandbox.path(""), sandbox.ledger().display().to_string());
    let header = own("header", &format!("# of the office\nAuthorization: Basic {ENCODED}\n"));
    let identity = ["--client-cert-file", &certificate, "--client-key-file", &key];
    let window = ["--since", "1h", "--by", "gateway,job,model"];
    let whole = [&["--prometheus", &url, "--ca-file", &ca, "--header-file", &header][..], &identity, &window]
        .concat();
    let (rows, totals) = told(&home, &whole);
    assert_eq!(rows, told(&home, &[&["--ledger", &ledger], &window[..]].concat()).0);
    assert!(totals["runs"]["total"].as_i64() > Some(0), "{totals}");

    let foreign = sandbox.path("foreign");
    fs::create_dir(&foreign).expect("a folder");
    certify(&foreign, address.ip());
    let other = foreign.join("ca.pem").display().to_string();
    let wrong = own("wrong", "Authorization: Basic cmVwb3J0Ondyb25n\n");
    let malformed = own("malformed", &format!("Authorization Basic {ENCODED}\n"));
    let plain = format!("http://{address}");
    let nowhere = sandbox.path("nowhere.pem").display().to_string();
    let unknown = "name the PEM file of the authority that issued its certificate with --ca-file";
    let refused = "it refuses us (HTTP 401); put its credentials into a file as a line such as `Authorization: Bearer …` and name it with --header-file";
    for (server, ca, header, identity, status, said) in [
        (&url, None, Some(&header), &identity[..], 1, unknown),
        (&url, Some(&other), Some(&header), &identity, 1, unknown),
        (&url, Some(&nowhere), Some(&header), &identity, 1, "nowhere.pem"),
        (
            &url,
            Some(&ca),
            Some(&header),
            &[],
            1,
            "give --client-cert-file and --client-key-file of a certificate that it trusts",
        ),
        (&url, Some(&ca), Some(&header), &identity[..2], 64, "--client-key-file <FILE>"),
        (&url, Some(&ca), None, &identity, 1, refused),
        (&url, Some(&ca), Some(&wrong), &identity, 1, refused),
        (&url, Some(&ca), Some(&malformed), &identity, 64, "expected `Name: value` in line 1 of the file"),
        (&plain, None, Some(&header), &[], 1, "it speaks TLS there; use https:// in --prometheus"),
    ] {
        let mut arguments = vec!["--prometheus", server.as_str()];
        arguments.extend(ca.iter().flat_map(|ca| ["--ca-file", ca.as_str()]));
        arguments.extend(header.iter().flat_map(|header| ["--header-file", header.as_str()]));
        arguments.extend(identity);
        let output = report(&home, &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        for secret in [ENCODED, "cmVwb3J0Ondyb25n", "correct horse"] {
            assert!(!stderr.contains(secret), "{stderr}");
        }
    }
}
