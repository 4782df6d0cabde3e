//! Services of people, played: each answers as its script says, refuses what the real one documents as too much, and
//! remembers what it was sent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

pub fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply { status, body: body.into(), ..Reply::default() }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A service on the loopback device. Dropping it closes its port, as soon as a last connection came.
pub struct Service {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Request>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;
/// What a service documents as too much, or as something that it takes for a mention.
pub type Limits = fn(&Request) -> Result<(), String>;

impl Service {
    /// Answers the nth request, from 0, as the script says; what is beyond the limits with 400.
    pub fn start(limits: Limits, script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (taken, refused) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (log, complaints) = (Arc::clone(&taken), Arc::clone(&refused));
        let script: Arc<Script> = Arc::new(script);
        let asked = Arc::new(Mutex::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, complaints) = (Arc::clone(&log), Arc::clone(&complaints));
                let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                thread::spawn(move || {
                    let answer = |request: Request| {
                        if let Err(complaint) = limits(&request) {
                            complaints.lock().unwrap().push(complaint);
                            return reply(400, "too much");
                        }
                        let nth = {
                            let mut asked = asked.lock().unwrap();
                            *asked += 1;
                            *asked - 1
                        };
                        let reply = script(&request, nth);
                        if (200..300).contains(&reply.status) {
                            log.lock().unwrap().push(request);
                        }
                        reply
                    };
                    // Whoever was killed reads no answer.
                    _ = serve(stream, answer);
                });
            }
        });
        Self { address, taken, refused }
    }

    /// One that takes everything within the limits.
    pub fn willing(limits: Limits) -> Self {
        Self::start(limits, |_, _| reply(200, "ok"))
    }

    /// What it took.
    pub fn taken(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }

    /// Why it refused what was beyond its limits.
    pub fn complaints(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: impl Fn(Request) -> Reply) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(request) = next(&mut stream, &mut bytes)? {
        let reply = answer(request);
        let mut text = format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{text}\r\n{}", reply.body).as_bytes())?;
    }
    Ok(())
}

/// Reads one request; `None` at the connection's end.
fn next(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some((request, used)) = parse(bytes) {
            bytes.drain(..used);
            return Ok(Some(request));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head of ASCII");
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let body = bytes.get(end..end + length)?.to_vec();
    Some((Request { path, headers, body }, end + length))
}

fn characters(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn within(what: &str, value: &Value, most: usize) -> Result<usize, String> {
    let length = characters(value);
    if length > most { Err(format!("{what} has {length} characters, {most} at most")) } else { Ok(length) }
}

/// Every endpoint takes this.
pub fn anything(_: &Request) -> Result<(), String> {
    Ok(())
}

/// Source: Discord's "Execute Webhook" and "Embed Limits".
pub fn discord(request: &Request) -> Result<(), String> {
    let body = request.json();
    within("content", &body["content"], 2_000)?;
    if body["allowed_mentions"]["parse"].as_array().is_none_or(|kinds| !kinds.is_empty()) {
        return Err("mentions are allowed".to_owned());
    }
    let embeds = body["embeds"].as_array().cloned().unwrap_or_default();
    if embeds.len() > 10 {
        return Err(format!("{} embeds", embeds.len()));
    }
    let mut all = 0;
    for embed in &embeds {
        all += within("title", &embed["title"], 256)?;
        all += within("description", &embed["description"], 4_096)?;
        all += within("footer", &embed["footer"]["text"], 2_048)?;
        let fields = embed["fields"].as_array().cloned().unwrap_or_default();
        if fields.len() > 25 {
            return Err(format!("{} fields", fields.len()));
        }
        for field in &fields {
            all += within("name of a field", &field["name"], 256)?;
            all += within("value of a field", &field["value"], 1_024)?;
            if characters(&field["value"]) == 0 {
                return Err("a field without a value".to_owned());
            }
        }
    }
    if all > 6_000 { Err(format!("embeds of {all} characters")) } else { Ok(()) }
}

/// Source: the reference of Slack's blocks, and "Formatting text for app surfaces".
pub fn slack(request: &Request) -> Result<(), String> {
    let body = request.json();
    within("text", &body["text"], 40_000)?;
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    if blocks.len() > 50 {
        return Err(format!("{} blocks", blocks.len()));
    }
    let mut markup = vec![body["text"].clone()];
    for block in &blocks {
        let most = if block["type"] == "header" { 150 } else { 3_000 };
        within("text of a block", &block["text"]["text"], most)?;
        if block["text"]["type"] == "mrkdwn" {
            markup.push(block["text"]["text"].clone());
        }
        let fields = block["fields"].as_array().cloned().unwrap_or_default();
        if fields.len() > 10 {
            return Err(format!("{} fields", fields.len()));
        }
        for field in &fields {
            within("a field", &field["text"], 2_000)?;
        }
    }
    match markup.iter().find(|text| text.as_str().unwrap_or_default().contains('<')) {
        Some(text) => Err(format!("a mention or link in {text}")),
        None => Ok(()),
    }
}

/// Source: Telegram's `sendMessage`.
pub fn telegram(request: &Request) -> Result<(), String> {
    let body = request.json();
    let length = body["text"].as_str().unwrap_or_default().encode_utf16().count();
    if length == 0 || length > 4_096 {
        return Err(format!("a text of {length} units"));
    }
    if body["chat_id"].as_str().is_none_or(str::is_empty) || body.get("parse_mode").is_some() {
        return Err("no chat, or markup".to_owned());
    }
    for entity in body["entities"].as_array().cloned().unwrap_or_default() {
        let end = entity["offset"].as_u64().unwrap_or(0) + entity["length"].as_u64().unwrap_or(0);
        if end > length as u64 {
            return Err(format!("an entity that ends at {end} of {length}"));
        }
    }
    Ok(())
}

/// Source: Microsoft's limits of messages to Teams.
pub fn teams(request: &Request) -> Result<(), String> {
    let body = request.json();
    let card = &body["attachments"][0];
    if card["contentType"] != "application/vnd.microsoft.card.adaptive" || body["type"] != "message" {
        return Err("no adaptive card".to_owned());
    }
    if request.body.len() > 28 * 1024 { Err(format!("{} bytes", request.body.len())) } else { Ok(()) }
}

/// Source: ntfy's limits.
pub fn ntfy(request: &Request) -> Result<(), String> {
    let body = request.json();
    let length = body["message"].as_str().unwrap_or_default().len();
    if request.path != "/" || body["topic"].as_str().is_none_or(str::is_empty) {
        return Err(format!("posted to {} without a topic", request.path));
    }
    if length > 4_096 { Err(format!("a message of {length} bytes")) } else { Ok(()) }
}

/// Source: Mattermost's incoming webhooks; a mention of everybody is one wherever it stands.
pub fn mattermost(request: &Request) -> Result<(), String> {
    let body = request.json();
    let length = within("text", &body["text"], 16_383)?;
    let text = body["text"].as_str().unwrap_or_default();
    let mention = ["@all", "@channel", "@here"].into_iter().find(|mention| text.contains(mention));
    match mention {
        Some(mention) => Err(format!("{mention} in a text")),
        None if length == 0 => Err("no text".to_owned()),
        None => Ok(()),
    }
}
