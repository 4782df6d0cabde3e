//! An export as Parquet in a real reader, DuckDB: types, and sums equal to those of the same rows as JSON Lines.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::daemon::PROGRAM;
use crate::common::fixtures::Fixture;

/// The pinned version; `make duckdb` puts it where it is looked for.
const DUCKDB: &str = "1.4.1";

/// The Python that has DuckDB.
fn python() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).expect("HOME is set");
    let python = cache.join(format!("openclaw-usage/tools/duckdb-{DUCKDB}/bin/python"));
    assert!(python.exists(), "there is no {}: `make duckdb` makes it (needs Python 3)", python.display());
    python
}

/// Answers of DuckDB, as JSON.
fn duckdb(file: &Path) -> Value {
    let script = "import duckdb, json, sys
run = lambda sql: duckdb.sql(sql.replace('FILE', \"'\" + sys.argv[1] + \"'\")).fetchall()
types = {row[0]: row[1] for row in run('DESCRIBE SELECT * FROM FILE')}
sums = {name: int(run(f'SELECT coalesce(sum({name}), 0) FROM FILE')[0][0]) for name in types if types[name] == 'BIGINT'}
dollars, rows = run('SELECT sum(cost_usd)::VARCHAR, count(*) FROM FILE')[0]
shifted = run('SELECT count(*) FROM FILE WHERE epoch_ms(run_at) <> run_at_ms OR run_at IS NULL')[0][0]
names = [row[0] for row in run('SELECT DISTINCT job_name FROM FILE WHERE job_name IS NOT NULL ORDER BY 1')]
print(json.dumps(dict(types=types, sums=sums, dollars=dollars, rows=rows, shifted=shifted, names=names)))";
    let output = Command::new(python()).args(["-c", script]).arg(file).output().expect("run Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn export(fixture: &Fixture, format: &str) -> PathBuf {
    let file = fixture.path(&format!("runs.{format}"));
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", fixture.path("")).args([
        "export",
        "--until",
        "2027-01-01",
        "--format",
        format,
        "--state-dir",
    ]);
    let output =
        command.arg(fixture.state_dir()).arg("--output").arg(&file).output().expect("run the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

#[test]
fn duckdb_reads_the_types_and_the_sums_of_an_export() {
    for name in ["2026.5.28", "stage3-9.6"] {
        let fixture = Fixture::unpack(name);
        let told = duckdb(&export(&fixture, "parquet"));
        let lines = std::fs::read_to_string(export(&fixture, "jsonl")).expect("JSON Lines");
        let rows: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a JSON document")).collect();
        assert_eq!((&told["rows"], &told["shifted"]), (&rows.len().into(), &0.into()), "{name}");
        let types = told["types"].as_object().expect("types");
        assert_eq!(types.len(), rows[0].as_object().expect("a row").len());
        for (column, kind) in types {
            let expected = match column.as_str() {
                "run_at" | "recorded_at" => "TIMESTAMP WITH TIME ZONE",
                "cost_usd" => "DECIMAL(18,9)",
                "part" | "runs" | "run_at_ms" | "duration_ms" | "cost_nano_usd" => "BIGINT",
                column if column.starts_with("tokens_") => "BIGINT",
                _ => "VARCHAR",
            };
            assert_eq!(kind, expected, "{column}");
        }
        let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_i64()).sum::<i64>();
        for (column, total) in told["sums"].as_object().expect("sums") {
            assert_eq!(*total, sum(column), "{name} {column}");
        }
        let dollars = told["dollars"].as_str().expect("dollars").replace('.', "");
        assert_eq!(dollars.parse::<i64>().ok(), Some(sum("cost_nano_usd")), "{name}");
        let mut names: Vec<&str> = rows.iter().filter_map(|row| row["job_name"].as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(told["names"], Value::from(names), "{name}");
    }
}
