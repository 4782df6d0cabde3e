use super::super::{Call, Transcript};
use super::*;

const NOW: UnixMs = UnixMs(1_795_300_000_000);

fn database(sql: &str) -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database.execute_batch(sql).unwrap();
    database
}

fn call(input: u64, text: &str) -> String {
    format!(
        r#"{{"type":"message","message":{{"role":"assistant","content":[{{"text":"{text}"}}],
        "usage":{{"input":{input}}},"timestamp":1795236966502}}}}"#
    )
    .replace('\n', "")
}

fn events(database: &Connection, after: i64) -> Vec<(i64, Result<u64, RejectReason>)> {
    let mut events = Vec::new();
    read_events(database, "s", after, NOW, |seq, event| match event {
        Event::Call(Call { tokens, .. }) => events.push((seq, Ok(tokens[0]))),
        Event::Reject(reason) => events.push((seq, Err(reason))),
        other => panic!("{other:?}"),
    })
    .unwrap();
    events
}

#[test]
fn events_are_read_with_and_without_compression() {
    let old = database("CREATE TABLE transcript_events (session_id, seq, event_json, created_at)");
    let new =
        database("CREATE TABLE transcript_events (session_id, seq, event_json, created_at, event_zstd)");
    for database in [&old, &new] {
        let mut insert = database
            .prepare("INSERT INTO transcript_events (session_id, seq, event_json) VALUES (?, ?, ?)")
            .unwrap();
        insert.execute(params!["s", 2, call(2, "x")]).unwrap();
        insert.execute(params!["s", 0, call(1, "x")]).unwrap();
        insert.execute(params!["t", 7, call(9, "x")]).unwrap();
    }
    assert_eq!(events(&old, -1), [(0, Ok(1)), (2, Ok(2))]);
    assert_eq!(events(&old, 0), [(2, Ok(2))]);
    let heads = read_event_heads(&new).unwrap();
    let heads: Vec<_> = heads.iter().map(|head| (head.session_id.as_str(), head.last_seq)).collect();
    assert_eq!(heads, [("s", 2), ("t", 7)]);

    let mut insert = new
        .prepare("INSERT INTO transcript_events (session_id, seq, event_zstd) VALUES ('s', ?, ?)")
        .unwrap();
    insert
        .execute(params![3, zstd::encode_all(call(3, &"x".repeat(3 << 20)).as_bytes(), 3).unwrap()])
        .unwrap();
    insert.execute(params![4, b"no zstd"]).unwrap();
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(b'a'), (64 << 20) + 1), 1).unwrap();
    insert.execute(params![5, bomb]).unwrap();
    insert.execute(params![6, rusqlite::types::Null]).unwrap();
    let expected = [
        (3, Ok(3)),
        (4, Err(RejectReason::Unreadable)),
        (5, Err(RejectReason::LineTooLong)),
        (6, Err(RejectReason::LineTooLong)),
    ];
    assert_eq!(events(&new, 2), expected);
}

#[test]
fn a_long_event_keeps_its_usage() {
    let database = database("CREATE TABLE transcript_events (session_id, seq, event_json)");
    let event = call(5, &"x".repeat(LONG_BYTES));
    database.execute("INSERT INTO transcript_events VALUES ('s', 1, ?)", [event]).unwrap();
    assert_eq!(events(&database, -1), [(1, Ok(5))]);
}

#[test]
fn links_come_from_the_columns_that_there_are() {
    assert_eq!(read_links(&database("")).unwrap(), []);
    assert_eq!(read_subagents(&database("")).unwrap(), []);
    assert_eq!(read_event_heads(&database("")).unwrap(), []);
    let link = |id: Option<&str>, key: &str, by: Option<&str>| SessionLink {
        session_id: id.map(ToOwned::to_owned),
        key: key.to_owned(),
        spawned_by: by.map(ToOwned::to_owned),
    };
    let few = database(
        "CREATE TABLE session_windows (session_id, session_key);
         INSERT INTO session_windows VALUES ('s', 'agent:main:cron:j');",
    );
    assert_eq!(read_links(&few).unwrap(), [link(Some("s"), "agent:main:cron:j", None)]);
    let many = database(
        "CREATE TABLE session_nodes (session_key, current_session_id, parent_session_key, spawned_by);
         INSERT INTO session_nodes VALUES ('agent:main:subagent:1', 'a', 'k', NULL), ('thread', 'b', 'k', NULL),
            ('agent:main:subagent:2', 'c', 'k', 'l');
         CREATE TABLE subagent_runs (run_id, child_session_key, requester_session_key);
         INSERT INTO subagent_runs VALUES (1, 'agent:main:subagent:1', 'agent:main:cron:j:run:s');",
    );
    let expected = [
        link(Some("a"), "agent:main:subagent:1", Some("k")),
        link(Some("b"), "thread", None),
        link(Some("c"), "agent:main:subagent:2", Some("l")),
    ];
    assert_eq!(read_links(&many).unwrap(), expected);
    let expected = [link(None, "agent:main:subagent:1", Some("agent:main:cron:j:run:s"))];
    assert_eq!(read_subagents(&many).unwrap(), expected);
}

#[test]
fn archives_that_are_not_published_yet_are_read() {
    let database = database(
        "CREATE TABLE session_transcript_archives (session_id, session_key, encoding, archive_blob);",
    );
    let text = format!("{{\"type\":\"session\",\"id\":\"s\"}}\n{}\n{}\n", call(1, "x"), call(2, "x"));
    let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let mut insert =
        database.prepare("INSERT INTO session_transcript_archives VALUES (?, 'k', ?, ?)").unwrap();
    insert.execute(params!["s", "identity", text.as_bytes()]).unwrap();
    insert.execute(params!["t", "zstd", packed]).unwrap();
    insert.execute(params!["u", "lzma", packed]).unwrap();
    let mut transcript = Transcript::new("");
    let mut found = Vec::new();
    let links = read_archives(&database, NOW, |id, event| {
        let key = transcript.observe(&event);
        match event {
            Event::Call(call) => found.push((id.to_owned(), Ok((call.tokens[0], key.is_some())))),
            Event::Reject(reason) => found.push((id.to_owned(), Err(reason))),
            _ => {}
        }
    });
    let expected = [
        ("s", Ok((1, true))),
        ("s", Ok((2, true))),
        ("t", Ok((1, true))),
        ("t", Ok((2, true))),
        ("u", Err(RejectReason::LineTooLong)),
    ];
    assert_eq!(found, expected.map(|(id, event)| (id.to_owned(), event)));
    assert_eq!(links.unwrap().len(), 3);
}
