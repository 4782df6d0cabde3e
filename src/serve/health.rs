//! Asks a running daemon how it is: for a container's HEALTHCHECK, which has no other program to ask with.
//!
//! Invariant: it takes no longer than it is given. Deliberately absent: asking other machines.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most of an answer that is read, in bytes.
const ANSWER_MAX: usize = 16 << 10;

/// Why a daemon is not well, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The daemon was told to take any port.
    #[error(
        "cannot ask the daemon: its address {0} names no port; give the one that it logged with --listen"
    )]
    NoPort(SocketAddr),
    /// It did not answer.
    #[error(
        "the daemon does not answer on {address}: {source}; see whether it runs, and that `listen` is its own"
    )]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// It answered that something is wrong.
    #[error("{0}")]
    Unwell(String),
}

/// Asks the daemon that listens on `listen` for one of its pages, over loopback if it listens everywhere. Returns what
/// it says.
///
/// # Errors
/// See [`HealthError`].
pub async fn ask(listen: SocketAddr, page: &str, within: Duration) -> Result<String, HealthError> {
    if listen.port() == 0 {
        return Err(HealthError::NoPort(listen));
    }
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let silent = |source| HealthError::Silent { address, source };
    let answer = timeout(within, exchange(address, page)).await;
    let late =
        || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", within.as_millis()));
    let answer = answer.unwrap_or_else(|_| Err(late())).map_err(silent)?;
    let (status, said) = parse(&answer).ok_or_else(|| {
        silent(io::Error::new(io::ErrorKind::InvalidData, "what answers there is no daemon"))
    })?;
    if status == 200 { Ok(said) } else { Err(HealthError::Unwell(said)) }
}

/// Returns where somebody on this machine reaches who listens there.
const fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        one => one,
    }
}

/// One request on one connection, as HTTP/1.0: the answer ends where the connection does.
async fn exchange(address: SocketAddr, page: &str) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    let request = format!("GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX {
        stream.readable().await?;
        let mut part = [0; 1024];
        match stream.try_read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_everywhere_is_asked_over_loopback() {
        for (listen, asked) in
            [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse::<IpAddr>().unwrap());
        }
    }

    #[tokio::test]
    async fn whoever_does_not_answer_in_time_or_is_somebody_else_is_not_well() {
        let within = Duration::from_millis(50);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        let late = ask(address, "/healthz", within).await.unwrap_err().to_string();
        assert!(late.contains("no answer within 50 ms"), "{late}");
        drop(nobody);
        assert!(matches!(ask(address, "/healthz", within).await, Err(HealthError::Silent { .. })));
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(matches!(ask(any, "/healthz", within).await, Err(HealthError::NoPort(_))));
        assert_eq!(
            parse(b"HTTP/1.1 503 X\r\nA: b\r\n\r\nnot ready: x\n"),
            Some((503, "not ready: x".to_owned()))
        );
        assert_eq!(parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
