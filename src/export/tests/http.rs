use tokio::net::TcpListener;

use super::fake::{FakeServer, Reply};
use crate::config::Compression;
use crate::export::{HttpClient, NetworkError, SetupError, TlsFiles};

fn client(url: &str, headers: &[(&str, &str)], compression: Compression) -> HttpClient {
    HttpClient::new(url, headers.iter().copied(), compression, 10_000, &TlsFiles::default()).expect("valid")
}

#[tokio::test]
async fn requests_have_exactly_the_headers_that_prometheus_wants() {
    let server = FakeServer::start(|_| Reply::of(200, "")).await;
    let headers = [("Authorization", "Bearer secret"), ("Content-Type", "text/plain"), ("x-scope", "a")];
    for (compression, encoding) in [(Compression::Gzip, Some("gzip")), (Compression::None, None)] {
        let answer = client(&server.url(), &headers, compression).post(Vec::new()).await.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        let seen = server.seen().pop().expect("one request");
        let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().expect("ASCII"));
        assert_eq!(seen.path, "/api/v1/otlp/v1/metrics");
        assert_eq!(seen.headers.get_all("content-type").iter().count(), 1);
        assert_eq!(header("content-type"), Some("application/x-protobuf"));
        assert_eq!(header("content-encoding"), encoding);
        assert_eq!(header("authorization"), Some("Bearer secret"));
        assert_eq!(header("x-scope"), Some("a"));
        assert_eq!(header("user-agent"), Some(concat!("openclaw-usage/", env!("CARGO_PKG_VERSION"))));
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let server = FakeServer::start(|_| Reply::of(500, vec![b'x'; 10 << 20])).await;
    let answer = client(&server.url(), &[], Compression::None).post(vec![1]).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (500, 64 * 1024));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = client(&format!("http://{address}/"), &[], Compression::None).post(vec![]).await;
    assert_eq!(error, Err(NetworkError::Refused { peer: address.to_string() }));

    let server = FakeServer::start(|_| Reply { hang: true, ..Reply::of(200, "") }).await;
    let tls = TlsFiles::default();
    let hasty = HttpClient::new(&server.url(), [], Compression::None, 100, &tls).expect("valid");
    let expected = NetworkError::Timeout { peer: server.address.to_string(), after_ms: 100 };
    assert_eq!(hasty.post(vec![]).await, Err(expected));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let error = client(&format!("http://{address}/?token=secret"), &[], Compression::None)
        .post(vec![])
        .await
        .expect_err("the server hangs up");
    assert!(matches!(error, NetworkError::Broken { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn settings_that_make_no_client() {
    let new = |url: &str, headers: &[(&str, &str)]| {
        HttpClient::new(url, headers.iter().copied(), Compression::None, 100, &TlsFiles::default())
            .expect_err("must be refused")
    };
    for url in ["", "/path", "localhost:9090/x", "ftp://host/", "http://", "http:///x"] {
        assert!(matches!(new(url, &[]), SetupError::Url { .. }), "{url}");
    }
    let error = new("http://host/", &[("x", "a\nb")]);
    assert_eq!(error, SetupError::Header { name: "x".into() });
    assert!(!new("http://user:secret@ host/", &[]).to_string().contains("secret"));
}
