//! Databases of another kind: refused by what they lack, never by their number.

use super::*;

/// A database with this schema, at rest.
fn made(bench: &mut Bench, schema: &str) -> PathBuf {
    let path = bench.workshop();
    Store::open(&path).sql(schema);
    path
}

/// A table of a module that neither we nor this test have.
fn virtual_table(name: &str) -> String {
    format!(
        "PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema VALUES ('table', '{name}', '{name}', 0, 'CREATE VIRTUAL TABLE {name} USING fts5(x)');
         PRAGMA writable_schema = OFF"
    )
}

#[test]
fn an_unknown_schema_is_refused_and_a_known_one_read_whatever_its_number() {
    let mut bench = Bench::new();
    let without_rowid = SCHEMA.replacen(") STRICT", ") STRICT, WITHOUT ROWID", 1);
    let without = |column: &str| SCHEMA.replacen(&format!("{column} TEXT,"), "", 1);
    let cases: [(&str, String, &[&str]); 6] = [
        (
            "no tables",
            "CREATE TABLE other (x); PRAGMA user_version = 999".into(),
            &["(schema version 999)", "there is no table task_runs", "there is no table cron_run_logs"],
        ),
        ("a column less", without("label"), &["(schema version 18)", "task_runs has no column label"]),
        (
            "a view",
            "CREATE TABLE hidden (x); CREATE VIEW task_runs AS SELECT 1 AS task_id, 'cron' AS runtime,
             NULL AS task_kind, 'j' AS source_id, NULL AS child_session_key, NULL AS agent_id, NULL AS label,
             'succeeded' AS status, 5 AS ended_at, '{}' AS detail_json"
                .into(),
            &["(schema version 0)", "there is no table task_runs"],
        ),
        ("a virtual table", virtual_table("task_runs"), &["there is no table task_runs"]),
        ("rows without numbers", without_rowid, &["(schema version 18)", "task_runs has no column rowid"]),
        (
            "a column of the state less",
            SCHEMA.replacen("status TEXT NOT NULL,", "", 1),
            &["task_runs has no column status"],
        ),
    ];
    for (what, schema, says) in cases {
        let path = made(&mut bench, &schema);
        bench.place(&path);
        bench.until_refused("unknown_schema", says, what);
    }
    let path = made(&mut bench, &format!("{SCHEMA}; PRAGMA user_version = 999"));
    let store = Store::open(&path);
    store.sql("ALTER TABLE task_runs ADD COLUMN of_tomorrow TEXT; CREATE TABLE more (x)");
    store.run("tomorrow", 1);
    store.sql(&virtual_table("search"));
    drop(store);
    bench.place(&path);
    bench.counted = bench.counted + RUN;
    bench.daemon.until_counted(bench.counted);
    bench.daemon.until_readiness(200, "ready");
    bench.assert_rejects("a number alone");
    bench.mend();
    bench.daemon.terminate();
}
