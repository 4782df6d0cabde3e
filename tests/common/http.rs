//! One HTTP request on one connection, as HTTP/1.0: the answer ends where the connection does, and is never chunked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer of whatever status.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn get(server: SocketAddr, target: &str) -> io::Result<Response> {
    get_accepting(server, target, "*/*")
}

pub fn get_accepting(server: SocketAddr, target: &str, accept: &str) -> io::Result<Response> {
    let head = format!("GET {target} HTTP/1.0\r\nHost: {server}\r\nAccept: {accept}\r\n\r\n");
    exchange(server, &head, &[])
}

#[cfg(feature = "e2e")]
pub fn post(server: SocketAddr, target: &str, content_type: &str, body: &[u8]) -> io::Result<Response> {
    send(server, &format!("POST {target}"), &format!("Content-Type: {content_type}\r\n"), body)
}

/// A request of that method and target, such as `GET /`, with further lines of its head.
#[cfg(feature = "e2e")]
pub fn send(server: SocketAddr, request: &str, lines: &str, body: &[u8]) -> io::Result<Response> {
    let length = body.len();
    let head = format!("{request} HTTP/1.0\r\nHost: {server}\r\n{lines}Content-Length: {length}\r\n\r\n");
    exchange(server, &head, body)
}

/// A value of a query string: everything but letters and digits is escaped.
#[cfg(feature = "e2e")]
pub fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn exchange(server: SocketAddr, head: &str, body: &[u8]) -> io::Result<Response> {
    let limit = Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| {
        let seen = String::from_utf8_lossy(&answer);
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not a whole HTTP answer from {server}: {seen:.200}"),
        )
    })
}

/// None if the head is not one, or the body is shorter than the head announces.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&answer[..end]).ok()?;
    let body = answer[end + 4..].to_vec();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let announced = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(body.len()), |(_, length)| length.trim().parse().ok())?;
    (announced == body.len()).then_some(Response { status, body })
}
